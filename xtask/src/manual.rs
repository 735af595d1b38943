//! `meshproof completions` and `meshproof man`: what a shell and `man` know of the command line.

use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum as _};
use clap_complete::{Generator as _, Shell};

use crate::exit::{BadInput, Exit};
use crate::output::outln;

const NAME: &str = "meshproof";

/// Write completions for a shell, to standard output
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meshproof completions bash > ~/.local/share/bash-completion/completions/meshproof
  meshproof completions zsh  > \"${fpath[1]}/_meshproof\"
  meshproof completions fish > ~/.config/fish/completions/meshproof.fish")]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, command: Command) -> anyhow::Result<Exit> {
        outln!(
            "{}",
            String::from_utf8_lossy(&completion(self.shell, command)).trim_end()
        );
        Ok(Exit::Held)
    }
}

/// Write manual pages: one to standard output, or all of them into a folder.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meshproof man | man -l -                       read it
  meshproof man --out ~/.local/share/man/man1    install all; then: man meshproof-scenario")]
pub(crate) struct Man {
    /// Write a page for each command into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, command: Command) -> anyhow::Result<Exit> {
        match self.out {
            Some(folder) => {
                let failed =
                    |error: std::io::Error| BadInput(format!("cannot write {}: {error}", folder.display()));
                std::fs::create_dir_all(&folder).map_err(failed)?;
                write_pages(command, &folder).map_err(failed)?;
                outln!("manual pages are in {}", folder.display());
            }
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(crate::named(command, NAME)).render(&mut page)?;
                outln!("{}", String::from_utf8_lossy(&page).trim_end());
            }
        }
        Ok(Exit::Held)
    }
}

/// The completions for each shell, with the file names under which shells look for them.
pub(crate) fn completions(command: &Command) -> Vec<(String, Vec<u8>)> {
    let all = Shell::value_variants().iter();
    all.map(|shell| (shell.file_name(NAME), completion(*shell, command.clone())))
        .collect()
}

/// A manual page for each command, with its file name.
pub(crate) fn pages(command: Command) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let folder = tempfile::tempdir()?;
    write_pages(command, folder.path())?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder.path())? {
        let entry = entry?;
        pages.push((
            entry.file_name().to_string_lossy().into_owned(),
            std::fs::read(entry.path())?,
        ));
    }
    pages.sort();
    Ok(pages)
}

fn write_pages(command: Command, folder: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(crate::named(command, NAME), folder)
}

fn completion(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, NAME, &mut text);
    text
}
