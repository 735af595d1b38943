//! A result as text for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::layers::{attribution, attribution_by_wire};
use super::load;
use crate::outcome::Outcome;
use crate::probe::Evidence;
use crate::probe::evidence::ProxyEvidence;
use crate::scenario::Expected;
use crate::scenario::verdict::{CallResult, Cause, PhaseResult, ScenarioResult, UndecidedClaim, Verdict};

/// Renders results, with colour only where the reader is a terminal.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Whether to colour verdicts.
    pub colour: bool,
}

impl Text {
    /// What stands above the phases: the scenario and where it runs.
    #[must_use]
    pub fn heading(self, scenario: &str, title: &str, tier: &str) -> String {
        format!("{} on {tier}: {title}", self.bold(scenario))
    }

    /// One phase and its calls; a call that is not as expected with all that is known of it.
    #[must_use]
    pub fn phase(self, phase: &PhaseResult, reproduce: &str) -> String {
        let mut text = format!("  {} {}", self.verdict(phase.verdict), phase.name);
        if !phase.faults.is_empty() {
            let _ = write!(text, " [faults: {}]", phase.faults.join(", "));
        }
        if phase.millis > 0.0 {
            let _ = write!(text, " ({:.0} ms)", phase.millis);
        }
        for load in &phase.loads {
            text.push('\n');
            let verdict = self.verdict(load.verdict);
            text.push_str(&load::text(load, &verdict, reproduce));
        }
        for call in &phase.calls {
            text.push('\n');
            text.push_str(&self.call(call, reproduce));
        }
        text
    }

    /// What stands below the phases: proxies with their provenance, what is undecided, and the verdict.
    #[must_use]
    pub fn footing(self, result: &ScenarioResult) -> String {
        let mut text = String::new();
        for component in &result.components {
            let _ = writeln!(
                text,
                "  {}: Istio {} by Envoy {} ({})",
                component.workload, component.istio, component.envoy, component.provenance
            );
        }
        if let Some(kept) = &result.kept {
            let _ = writeln!(text, "  logs and configuration are kept in {}", kept.display());
        }
        text.push_str(&undecided_claims(&result.undecided_claims));
        let _ = write!(text, "{} {}", self.verdict(result.verdict), result.scenario);
        match &result.reason {
            Some(reason) => {
                let _ = write!(text, ": {reason}");
            }
            None => {
                let _ = write!(text, " in {:.2} s", result.millis / 1000.0);
            }
        }
        text
    }

    fn call(self, call: &CallResult, reproduce: &str) -> String {
        let shown = call.observed.as_ref().unwrap_or(&call.predicted);
        let short = call.id.rsplit("::").next().unwrap_or(&call.id);
        let mut text = format!("    {} {short}  {shown}", self.verdict(call.verdict));
        if call.verdict != Verdict::Falsified {
            return text;
        }
        let _ = write!(text, "\n        at         {}", call.location);
        let _ = write!(text, "\n        expected   {}", expected(&call.expected));
        let _ = write!(text, "\n        predicted  {}", undecided(&call.predicted));
        if let Some(observed) = &call.observed {
            let _ = write!(text, "\n        observed   {}", undecided(observed));
        }
        if call.cause == Some(Cause::Prediction) {
            text.push_str("\n        the expectation holds, the prediction does not");
        }
        for line in evidence(&call.evidence) {
            let _ = write!(text, "\n        {line}");
        }
        let _ = write!(text, "\n        repeat     {reproduce} --only '{}'", call.id);
        if let Some(folder) = &call.kept_evidence {
            let _ = write!(text, "\n        evidence   {}", folder.display());
        }
        text
    }

    fn verdict(self, verdict: Verdict) -> String {
        let word = format!("{verdict:<9}");
        if !self.colour {
            return word;
        }
        let code = match verdict {
            Verdict::Held => 32,
            Verdict::NotRun => 33,
            Verdict::Falsified => 31,
        };
        format!("\x1b[{code}m{word}\x1b[0m")
    }

    fn bold(self, text: &str) -> String {
        if self.colour {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// How many scenarios ended how, and the reason of each that was not run.
#[must_use]
pub fn summary(results: &[ScenarioResult]) -> String {
    let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
    let mut text = format!(
        "{} held, {} falsified, {} not run",
        count(Verdict::Held),
        count(Verdict::Falsified),
        count(Verdict::NotRun)
    );
    for result in results {
        match (result.verdict, &result.reason) {
            (Verdict::Falsified, _) => {
                let _ = write!(text, "\n  falsified: {}", result.scenario);
            }
            (Verdict::NotRun, Some(reason)) => {
                let _ = write!(text, "\n  not run: {} ({reason})", result.scenario);
            }
            _ => {}
        }
    }
    text
}

/// Claims that share a reason share a line.
fn undecided_claims(claims: &[UndecidedClaim]) -> String {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for undecided in claims {
        by_reason
            .entry(&undecided.reason)
            .or_default()
            .push(&undecided.claim);
    }
    let lines = by_reason
        .into_iter()
        .map(|(reason, claims)| match claims.as_slice() {
            [claim] => format!("  claim {claim} is not decided here: {reason}\n"),
            several => format!("  claims {} are not decided here: {reason}\n", several.join(", ")),
        });
    lines.collect()
}

pub(super) fn expected(expected: &Expected) -> String {
    let mut outcome = Outcome::of(expected.outcome);
    outcome.side = expected.side;
    outcome.candidates.clone_from(&expected.candidates);
    outcome.to_string()
}

pub(super) fn undecided(outcome: &Outcome) -> String {
    match &outcome.reason {
        Some(reason) => format!("{outcome}: {reason}"),
        None => outcome.to_string(),
    }
}

/// Both ends' evidence, a line each piece.
pub(super) fn evidence(evidence: &Evidence) -> Vec<String> {
    let mut lines = vec![format!("caller     {}", json(&evidence.caller))];
    for (end, proxy) in [
        ("client", &evidence.client_proxy),
        ("server", &evidence.server_proxy),
    ] {
        if let Some(proxy) = proxy {
            lines.extend(proxy_evidence(end, proxy));
        }
    }
    if let Some(application) = &evidence.application {
        lines.push(format!("app        {}", json(application)));
    }
    lines.extend(attribution(evidence).map(|it| format!("kernel     {it}")));
    lines.extend(attribution_by_wire(evidence).map(|it| format!("wire       {it}")));
    if let Some(missing) = &evidence.incomplete {
        lines.push(format!("incomplete {missing}"));
    }
    lines
}

fn proxy_evidence(end: &str, proxy: &ProxyEvidence) -> Vec<String> {
    let mut lines = Vec::new();
    let logs = [("access", &proxy.access_log), ("listener", &proxy.listener_log)];
    for (log, entries) in logs {
        lines.extend(
            entries
                .iter()
                .map(|entry| format!("{end:<10} {log} log {}", json(entry))),
        );
    }
    if !proxy.stats.is_empty() {
        lines.push(format!("{end:<10} statistics {}", json(&proxy.stats)));
    }
    lines.extend(
        proxy
            .debug_log
            .iter()
            .map(|line| format!("{end:<10} debug log {line}")),
    );
    if !proxy.missing_secrets.is_empty() {
        lines.push(format!(
            "{end:<10} waits for secrets {}",
            proxy.missing_secrets.join(", ")
        ));
    }
    lines
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}
