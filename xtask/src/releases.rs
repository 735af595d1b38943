//! `cargo xtask releases`: the Istio releases there are.

use clap::Args;
use meshproof::istio::ReleaseTable;
use meshproof::report::Releases as Table;

use crate::exit::Exit;
use crate::output::outln;
use crate::scenario::Output;

/// List the Istio releases, and what each runs on
///
/// Its Envoy, the Kubernetes versions it supports, the node image that kind runs, and the Envoy that the local tier runs in
/// its place.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask releases
  cargo xtask releases --output json | jq '.[] | select(.endOfLife == null) | .minor'")]
pub(crate) struct Releases {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Releases {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let table = ReleaseTable::known()?;
        let releases = Table::known(table)?;
        match self.output {
            Output::Text => outln!("{releases}\nAs of {}.", table.as_of),
            Output::Json => outln!("{}", serde_json::to_string(&releases)?),
        }
        Ok(Exit::Held)
    }
}
