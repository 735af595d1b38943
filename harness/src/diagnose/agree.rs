//! What sources that do not know each other make of a call together.

use super::presumed::below_tls;
use super::told::Reading;
use super::verdict::Confidence;
use super::{Carried, Probed};
use crate::outcome::{Outcome, OutcomeId};

/// How many candidates are told.
const CANDIDATES: usize = 3;

/// What becomes of a call, by each source.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// What prediction makes of what is configured and held.
    pub(super) expected: &'a Outcome,
    /// What logs tell.
    pub(super) reading: Option<&'a Reading>,
    /// What a call of our own became.
    pub(super) probed: Option<&'a Probed>,
    /// Whether the proxies of both ends showed what they hold.
    pub(super) is_held_known: bool,
    /// Whether the caller's proxy would have logged a failure of the call, and logged none.
    pub(super) is_silent: bool,
}

/// What the sources agree on.
#[derive(Debug, PartialEq)]
pub(super) struct Agreed {
    pub(super) outcome: Outcome,
    pub(super) confidence: Confidence,
    pub(super) suspects: Vec<OutcomeId>,
}

impl Sources<'_> {
    /// Weighs them. A call of our own counts most, then what both others say, then what nothing speaks against.
    pub(super) fn agree(self) -> Agreed {
        if let Some(agreed) = self.probed.and_then(|it| self.by_probe(it)) {
            return agreed;
        }
        match self.reading {
            Some(reading) => self.by_reading(reading),
            None => match self.expected.id {
                OutcomeId::Unknown => undecided(self.expected.candidates.clone()),
                id if id.is_delivered() && self.is_silent => sure(self.expected.clone(), Confidence::High),
                _ => sure(self.expected.clone(), Confidence::Medium),
            },
        }
    }

    /// `None` where it leaves the decision to the others.
    fn by_probe(self, probed: &Probed) -> Option<Agreed> {
        let (outcome, expected) = (&probed.outcome, self.expected);
        if probed.is_delivered() && probed.carried == Carried::OpenBefore {
            // What was open before goes on being open: it speaks for nothing and against nothing.
            return None;
        }
        if outcome.id == OutcomeId::Unknown {
            let is_possible = outcome.candidates.contains(&expected.id);
            return match (is_possible, probed.is_delivered()) {
                (true, _) if self.reading.is_none_or(|it| it.allows(expected)) => {
                    Some(sure(expected.clone(), Confidence::High))
                }
                // It is answered, and nobody else says that it would be.
                (false, true) if expected.id != OutcomeId::Unknown => Some(undecided(
                    [&[expected.id], outcome.candidates.as_slice()].concat(),
                )),
                _ => None,
            };
        }
        let is_read = self.reading.is_some_and(|it| it.allows(outcome));
        let confidence = match self.expected.agrees_with(outcome) || is_read {
            true => Confidence::High,
            false => Confidence::Medium,
        };
        Some(sure(outcome.clone(), confidence))
    }

    fn by_reading(self, reading: &Reading) -> Agreed {
        let expected = self.expected;
        match (expected.id, reading.outcome) {
            (OutcomeId::Unknown, OutcomeId::Unknown) => {
                let both = in_common(&expected.candidates, &reading.candidates);
                match both.as_slice() {
                    [one] => sure(Outcome::of(*one), Confidence::Medium),
                    _ => undecided(both),
                }
            }
            (OutcomeId::Unknown, named) => {
                let is_possible = expected.candidates.is_empty() || expected.candidates.contains(&named);
                match is_possible {
                    true => sure(reading.as_outcome(), Confidence::Medium),
                    false => undecided([&[named], expected.candidates.as_slice()].concat()),
                }
            }
            (id, OutcomeId::Unknown) if id.is_delivered() => self.outside(&reading.candidates),
            // What is below TLS, or in the application, no configuration shows.
            (id, named) if id.is_delivered() => match below_tls(named) {
                Some(_) => sure(reading.as_outcome(), Confidence::High),
                None => sure(reading.as_outcome(), Confidence::Medium),
            },
            _ if reading.allows(expected) => sure(expected.clone(), Confidence::High),
            (id, named) => {
                let mut suspects = vec![id];
                match named {
                    OutcomeId::Unknown => suspects.extend(&reading.candidates),
                    named => suspects.push(named),
                }
                undecided(suspects)
            }
        }
    }

    /// A failure that nothing configured explains. Where what both ends hold was seen and is in order, it is outside of
    /// what they hold.
    fn outside(self, candidates: &[OutcomeId]) -> Agreed {
        let below: Vec<OutcomeId> = candidates
            .iter()
            .copied()
            .filter(|it| below_tls(*it).is_some())
            .collect();
        match below.as_slice() {
            [one] if self.is_held_known => sure(Outcome::of(*one), Confidence::Medium),
            [_, ..] if self.is_held_known => undecided(below),
            _ => undecided(candidates.to_vec()),
        }
    }
}

const fn sure(outcome: Outcome, confidence: Confidence) -> Agreed {
    Agreed {
        outcome,
        confidence,
        suspects: Vec::new(),
    }
}

fn undecided(mut suspects: Vec<OutcomeId>) -> Agreed {
    let mut seen = Vec::new();
    suspects.retain(|it| {
        let is_new = !seen.contains(it);
        seen.push(*it);
        is_new
    });
    let outcome = Outcome::unknown(suspects.clone(), "what was seen does not decide");
    suspects.truncate(CANDIDATES);
    Agreed {
        outcome,
        confidence: Confidence::Low,
        suspects,
    }
}

/// What both leave open; one that names nothing excludes nothing.
fn in_common(ours: &[OutcomeId], theirs: &[OutcomeId]) -> Vec<OutcomeId> {
    match (ours.is_empty(), theirs.is_empty()) {
        (true, _) => theirs.to_vec(),
        (_, true) => ours.to_vec(),
        _ => ours.iter().filter(|it| theirs.contains(it)).copied().collect(),
    }
}

impl Reading {
    /// Whether the lines do not speak against an outcome.
    fn allows(&self, outcome: &Outcome) -> bool {
        let is_side = self.side.is_none() || outcome.side.is_none() || self.side == outcome.side;
        let is_outcome = match self.outcome {
            OutcomeId::Unknown => self.candidates.is_empty() || self.candidates.contains(&outcome.id),
            named => named == outcome.id,
        };
        is_side && is_outcome
    }

    fn as_outcome(&self) -> Outcome {
        Outcome {
            side: self.side,
            ..Outcome::of(self.outcome)
        }
    }
}
