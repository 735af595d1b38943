//! `cargo xtask clean`: removes what killed runs left behind.

use clap::Args;
use meshproof::envoy::binary::Store;
use meshproof::mesh::sweep;

use crate::exit::Exit;
use crate::output::outln;

/// Remove what killed runs left behind: their proxies and directories, and half-made downloads. Runs that live are
/// left alone.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cargo xtask clean")]
pub(crate) struct Clean {}

impl Clean {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let mut removed = sweep();
        removed.extend(Store::user()?.sweep()?);
        for path in &removed {
            outln!("removed {}", path.display());
        }
        if removed.is_empty() {
            outln!("nothing was left behind");
        }
        Ok(Exit::Held)
    }
}
