//! `meshproof`: the command line by itself, with the catalogue in it.

use std::process::ExitCode;

use include_dir::{Dir, include_dir};
use xtask::Catalogue;

static SCENARIOS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../scenarios");
static MANIFESTS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../manifests");

fn main() -> ExitCode {
    let mut files = Vec::new();
    add("scenarios", &SCENARIOS, &mut files);
    add("manifests", &MANIFESTS, &mut files);
    files.push(("matrix.yaml".into(), include_bytes!("../../../matrix.yaml")));
    xtask::main(Some(Catalogue(files)))
}

/// Every file below a folder that is called `name` in the catalogue, apart from code.
fn add(name: &str, folder: &Dir<'static>, files: &mut Vec<(std::path::PathBuf, &'static [u8])>) {
    for file in folder.files() {
        if file
            .path()
            .extension()
            .is_some_and(|it| it == "yaml" || it == "json")
        {
            files.push((std::path::Path::new(name).join(file.path()), file.contents()));
        }
    }
    for below in folder.dirs() {
        add(name, below, files);
    }
}
