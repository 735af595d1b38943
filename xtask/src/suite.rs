//! `cargo xtask suite`: the scenarios as tests; the same as `cargo test -p scenarios`.

use std::process::Command;

use anyhow::Context;
use clap::Args;
use meshproof::mesh::Tier;

use crate::exit::Exit;
use crate::root::checkout;
use crate::scenario::tier;

/// Run every scenario as a test
///
/// Through libtest-mimic: the same as `cargo test -p scenarios`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  cargo xtask suite expired-ca\n  cargo xtask suite --on netns")]
pub(crate) struct Suite {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// On this tier alone, with causes left out too; else all on `local`, and on `netns` whether they hold there as well
    #[arg(long, value_name = "TIER", value_parser = tier)]
    on: Option<Tier>,
}

impl Suite {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        checkout()?;
        // Cargo tells its subcommands which cargo they belong to.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["test", "--package", "scenarios", "--test", "suite", "--"])
            .args(self.filter)
            .envs(self.on.map(|tier| ("MESHPROOF_TIER", tier.as_str())))
            .status()
            .context("cannot run cargo test")?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(Exit::Interrupted, Exit::Other))
    }
}
