//! Claims and what was found of them, as text for people.

use std::fmt::Write as _;

use crate::claims::{Claim, ClaimReport, Finding, Grounds, Piece, Shows, Weight};

/// A claim without any run: what it says, what is so instead, and what would decide it.
#[must_use]
pub fn claim(claim: &Claim) -> String {
    let mut text = heading(claim, None);
    match &claim.grounds {
        Grounds::Evidence(pieces) => pieces
            .iter()
            .for_each(|piece| line(&mut text, of(piece.shows), &shown(piece))),
        Grounds::Untested(untested) => {
            line(
                &mut text,
                "untested",
                &format!("{} (to try: {})", untested.needs, untested.how),
            );
        }
    }
    text
}

/// A claim with what was found.
#[must_use]
pub fn claim_report(report: &ClaimReport) -> String {
    let mut text = heading(&report.claim, Some(report.finding));
    for it in &report.weighed {
        match (it.weight, &it.reason) {
            (Weight::Counts, _) => line(&mut text, of(it.piece.shows), &shown(&it.piece)),
            (_, reason) => line(&mut text, "no answer", reason.as_deref().unwrap_or_default()),
        }
    }
    if report.weighed.is_empty() {
        report
            .reasons
            .iter()
            .for_each(|reason| line(&mut text, "why", reason));
    }
    text
}

/// How many claims were found what.
#[must_use]
pub fn claims_summary(reports: &[ClaimReport]) -> String {
    let findings = [
        Finding::Reproduced,
        Finding::ReproducedInPart,
        Finding::Refuted,
        Finding::NotTestableHere,
        Finding::Undecided,
    ];
    let counted = findings.map(|finding| {
        let count = reports.iter().filter(|report| report.finding == finding).count();
        format!("{count} {}", finding.as_str())
    });
    format!("{} claims: {}", reports.len(), counted.join(", "))
}

fn heading(claim: &Claim, finding: Option<Finding>) -> String {
    let mut text = format!("{} of the {}, {}", claim.id, claim.document, claim.verdict);
    if let Some(finding) = finding {
        let _ = write!(text, "; here {}", finding.as_str());
    }
    line(&mut text, "claim", &claim.claim);
    line(&mut text, "instead", &claim.instead);
    line(&mut text, "source", &claim.source);
    text
}

fn line(text: &mut String, label: &str, what: &str) {
    let _ = write!(text, "\n  {label:<10} {what}");
}

fn shown(piece: &Piece) -> String {
    format!("{}, {}: {}", piece.scenario, piece.phase, piece.because)
}

const fn of(shows: Shows) -> &'static str {
    match shows {
        Shows::Supports => "for",
        Shows::Contradicts => "against",
    }
}
