//! `meshproof completions` and `meshproof man`: what a shell and `man` know of the command line.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit::{BadInput, Exit};
use crate::output::outln;

const NAME: &str = "meshproof";

/// Write completions for a shell, to standard output.
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
    pub(crate) fn run(self, mut command: Command) -> anyhow::Result<Exit> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, NAME, &mut text);
        outln!("{}", String::from_utf8_lossy(&text).trim_end());
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
        let command = crate::named(command, NAME);
        match self.out {
            Some(folder) => {
                let failed =
                    |error: std::io::Error| BadInput(format!("cannot write {}: {error}", folder.display()));
                std::fs::create_dir_all(&folder).map_err(failed)?;
                clap_mangen::generate_to(command, &folder).map_err(failed)?;
                outln!("manual pages are in {}", folder.display());
            }
            None => {
                let mut text = Vec::new();
                clap_mangen::Man::new(command).render(&mut text)?;
                outln!("{}", String::from_utf8_lossy(&text).trim_end());
            }
        }
        Ok(Exit::Held)
    }
}
