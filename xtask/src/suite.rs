//! `cargo xtask suite`: the scenarios as tests; the same as `cargo test -p scenarios`.

use std::process::Command;

use anyhow::Context;
use clap::Args;

use crate::exit::Exit;
use crate::root::checkout;

/// Run every scenario as a test, through libtest-mimic: the same as `cargo test -p scenarios`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cargo xtask suite expired-ca")]
pub(crate) struct Suite {
    /// Only tests whose name contains this
    filter: Option<String>,
}

impl Suite {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        checkout()?;
        // Cargo tells its subcommands which cargo they belong to.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["test", "--package", "scenarios", "--test", "suite", "--"])
            .args(self.filter)
            .status()
            .context("cannot run cargo test")?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(Exit::Interrupted, Exit::Other))
    }
}
