//! `cargo xtask claims`: what two documents claim about Istio mTLS, and what runs show of it.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use meshproof::claims::{Claim, ClaimReport, Finding, Ledger, weigh};
use meshproof::envoy::binary::Overrides;
use meshproof::mesh::{Settings, Tier};
use meshproof::report::{claim as described, claim_report, claims_summary};
use meshproof::scenario::Catalogue;
use meshproof::scenario::verdict::{ScenarioResult, Verdict};

use crate::exit::{BadInput, Exit};
use crate::output::outln;
use crate::root::root;
use crate::scenario::{Output, mistakes, silently, tier};

/// Run what bears on the claims of two documents, and tell what is so
///
/// A claim is reproduced, refuted, or not testable here; why is told. A claim of a runbook (R..) or a postmortem (P..)
/// is judged by the phases of scenarios that bear on it. A scenario that is falsified decides nothing, and neither does
/// a proxy that stands in for another release.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask claims                     run what bears on any claim
  cargo xtask claims R15 P15             only these
  cargo xtask claims --list              what is claimed and what is so, without running anything
  cargo xtask claims P02 --proxy 1.24.0=/opt/envoy --proxy 1.24.1=/opt/envoy")]
pub(crate) struct Claims {
    /// Ids of claims; all by default
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    /// Tell what is claimed and what is so, without running anything
    #[arg(long)]
    list: bool,

    /// Where to run
    #[arg(long, value_name = "TIER", default_value = "local", value_parser = tier)]
    on: Tier,

    /// Exit 3 if a scenario that bears on a claim cannot be run on this tier
    #[arg(long, value_name = "TIER", value_parser = tier)]
    require: Option<Tier>,

    /// Give up on a scenario after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,

    /// Use this binary for an Istio release, for example 1.24.0=/opt/envoy
    #[arg(long, value_name = "VERSION=PATH")]
    proxy: Vec<String>,

    /// How to print results
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Claims {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let ledger = Ledger::embedded()?;
        let claims = self.chosen(ledger)?;
        let catalogue = catalogue(ledger)?;
        if self.list {
            for claim in &claims {
                match self.output {
                    Output::Text => outln!("{}", described(claim)),
                    Output::Json => outln!("{}", serde_json::to_string(claim)?),
                }
            }
            return Ok(Exit::Held);
        }
        let scenarios: Vec<_> = catalogue
            .scenarios
            .into_iter()
            .filter(|scenario| claims.iter().any(|claim| rests_on(claim, scenario.name())))
            .collect();
        let settings = Settings {
            overrides: Overrides::from_flags(&self.proxy)?,
            ..Settings::default()
        };
        let limit = Duration::from_secs(self.timeout);
        let Some(results) = silently(&scenarios, self.on, settings, limit, &[])? else {
            return Ok(Exit::Interrupted);
        };
        let reports: Vec<ClaimReport> = claims.iter().map(|claim| weigh(claim, &results)).collect();
        for report in &reports {
            match self.output {
                Output::Text => outln!("{}", claim_report(report)),
                Output::Json => outln!("{}", serde_json::to_string(report)?),
            }
        }
        if self.output == Output::Text {
            outln!("{}", claims_summary(&reports));
        }
        Ok(self.exit(&reports, &results))
    }

    fn chosen<'a>(&self, ledger: &'a Ledger) -> Result<Vec<&'a Claim>, BadInput> {
        if self.ids.is_empty() {
            return Ok(ledger.claims().iter().collect());
        }
        let find = |id: &String| {
            ledger.get(id).ok_or_else(|| {
                let hint = ledger.similar(id).map_or_else(
                    || format!("see {} claims --list", meshproof::invocation::command()),
                    |similar| format!("did you mean {similar}?"),
                );
                BadInput(format!("there is no claim {id} ({hint})"))
            })
        };
        self.ids.iter().map(find).collect()
    }

    fn exit(&self, reports: &[ClaimReport], results: &[ScenarioResult]) -> Exit {
        if reports.iter().any(|report| report.finding == Finding::Undecided) {
            return Exit::Falsified;
        }
        let missing = results.iter().any(|result| result.verdict == Verdict::NotRun);
        if missing && self.require == Some(self.on) {
            Exit::CannotRun
        } else {
            Exit::Held
        }
    }
}

/// The scenarios, in step with the ledger.
fn catalogue(ledger: &Ledger) -> anyhow::Result<Catalogue> {
    let root = root()?;
    let catalogue = Catalogue::load(&root)
        .with_context(|| format!("cannot read {}", root.join("scenarios").display()))?;
    if !catalogue.mistakes.is_empty() {
        return Err(mistakes(&catalogue.mistakes).into());
    }
    let disagreements = ledger.disagreements(&catalogue);
    if !disagreements.is_empty() {
        return Err(BadInput(disagreements.join("\n")).into());
    }
    Ok(catalogue)
}

fn rests_on(claim: &Claim, scenario: &str) -> bool {
    claim.evidence().iter().any(|piece| piece.scenario == scenario)
}
