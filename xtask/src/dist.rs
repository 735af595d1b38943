//! `cargo xtask dist`: what a release consists of.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::Args;
use flate2::Compression;
use flate2::GzBuilder;
use sha2::{Digest, Sha256};

use crate::exit::{BadInput, Exit};
use crate::manual;
use crate::output::outln;
use crate::root::checkout;

const NAME: &str = "meshproof";
const SBOM: &str = "meshproof.cdx.json";
const CHECKSUMS: &str = "SHA256SUMS";

/// Build what a release consists of
///
/// An archive with the program, its manual pages and completions, its checksum, and a bill of materials (CycloneDX, which
/// needs cargo-cyclonedx), in the archive and beside it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask dist                 into dist/
  cargo xtask dist --tag v0.1.0    and only if that is the version in Cargo.toml")]
pub(crate) struct Dist {
    /// Where it is put; what is there already is replaced
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,

    /// The tag that is released: its version must be the one in Cargo.toml
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl Dist {
    pub(crate) fn run(self, command: clap::Command) -> anyhow::Result<Exit> {
        let root = checkout()?;
        let version = env!("CARGO_PKG_VERSION");
        if let Some(tag) = &self.tag
            && tag.strip_prefix('v') != Some(version)
        {
            let message =
                format!("the tag {tag} is not v{version}, the version in Cargo.toml: change one of them");
            return Err(BadInput(message).into());
        }
        let out = std::path::absolute(&self.out)?;
        if out.exists() {
            std::fs::remove_dir_all(&out).with_context(|| format!("cannot replace {}", out.display()))?;
        }
        std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        let sbom = sbom(&root)?;
        std::fs::write(out.join(SBOM), &sbom)?;
        let binary = build(&root)?;
        let name = format!(
            "{NAME}-{version}-{}-{}",
            std::env::consts::ARCH,
            std::env::consts::OS
        );
        let archive = out.join(format!("{name}.tar.gz"));
        pack(&root, &binary, sbom.as_bytes(), command, &name, &archive)?;
        let digest = format!("{}  {name}.tar.gz\n", digest(&archive)?);
        std::fs::write(out.join(CHECKSUMS), digest)?;
        for file in [archive, out.join(CHECKSUMS), out.join(SBOM)] {
            outln!("{}", file.display());
        }
        Ok(Exit::Held)
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {what}"))?;
    anyhow::ensure!(status.success(), "{what} failed ({status})");
    Ok(())
}

fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let target = root.join("target/dist");
    let arguments = [
        "build",
        "--release",
        "--locked",
        "--package",
        "xtask",
        "--bin",
        NAME,
    ];
    run(
        cargo()
            .args(arguments)
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(root),
        "cargo build",
    )?;
    Ok(target.join("release").join(NAME))
}

/// The bill of materials of the program, for the target it is built for.
///
/// cargo-cyclonedx writes one beside the manifest of every package of the workspace; only the program's is wanted.
fn sbom(root: &Path) -> anyhow::Result<String> {
    const NAMED: &str = "dist-sbom";
    let arguments = ["cyclonedx", "--format", "json", "--override-filename", NAMED];
    let mut command = cargo();
    command.args(arguments).arg("--quiet").current_dir(root);
    if let Some(seconds) = committed(root) {
        // Without it the time of the build and a random number would be in it.
        command.env("SOURCE_DATE_EPOCH", seconds);
    }
    let made = run(&mut command, "cargo cyclonedx");
    let mut of_program = None;
    for package in std::fs::read_dir(root)? {
        let package = package?;
        let file = package.path().join(format!("{NAMED}.json"));
        if !file.is_file() {
            continue;
        }
        if package.file_name() == "xtask" {
            of_program = Some(std::fs::read_to_string(&file)?);
        }
        std::fs::remove_file(&file)?;
    }
    made.context("the bill of materials needs it: cargo install --locked --version 0.5.9 cargo-cyclonedx")?;
    let text = of_program.context("cargo cyclonedx wrote nothing beside xtask/Cargo.toml")?;
    Ok(relative(&text, root))
}

/// When what is built was committed, in seconds since 1970: none outside of a checkout.
fn committed(root: &Path) -> Option<String> {
    if let Some(set) = std::env::var_os("SOURCE_DATE_EPOCH") {
        return set.into_string().ok();
    }
    let arguments = ["log", "-1", "--format=%ct"];
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .ok()?;
    let seconds = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !seconds.is_empty()).then_some(seconds)
}

/// Where it was built is nobody's business, and another folder must not give another bill.
fn relative(text: &str, root: &Path) -> String {
    text.replace(&format!("file://{}", root.display()), "file://")
}

/// The same content gives the same archive: no times and no owners are in it.
fn pack(
    root: &Path,
    binary: &Path,
    sbom: &[u8],
    command: clap::Command,
    name: &str,
    archive: &Path,
) -> anyhow::Result<()> {
    let file = File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
    let mut tar = tar::Builder::new(GzBuilder::new().mtime(0).write(file, Compression::best()));
    let mut add = |path: String, content: &[u8], mode: u32| -> std::io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{name}/{path}"), content)
    };
    add(NAME.to_owned(), &std::fs::read(binary)?, 0o755)?;
    add(SBOM.to_owned(), sbom, 0o644)?;
    for text in ["LICENSE", "README.md", "CHANGELOG.md"] {
        add(text.to_owned(), &std::fs::read(root.join(text))?, 0o644)?;
    }
    for (path, content) in manual::completions(&command) {
        add(format!("completions/{path}"), &content, 0o644)?;
    }
    for (path, content) in manual::pages(command)? {
        add(format!("man/man1/{path}"), &content, 0o644)?;
    }
    tar.into_inner()?.finish()?.flush()?;
    Ok(())
}

fn digest(file: &Path) -> anyhow::Result<String> {
    let digest = Sha256::digest(std::fs::read(file)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_does_not_say_where_it_was_built() {
        let of = |root: &str| {
            let text =
                format!(r#"{{"bom-ref":"path+file://{root}/xtask#0.1.0","purl":"file://../harness"}}"#);
            relative(&text, Path::new(root))
        };
        assert_eq!(of("/home/somebody/meshproof"), of("/src"));
        assert_eq!(
            of("/src"),
            r#"{"bom-ref":"path+file:///xtask#0.1.0","purl":"file://../harness"}"#
        );
    }
}
