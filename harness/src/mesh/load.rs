//! Requests made one after the other while a mesh changes, and what became of them.
//!
//! A load counts. It judges a request by what its caller got back and nothing else, and it names no cause: what became
//! of a call in the end, and why, is told by the evidence of an ordinary call.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::probe::evidence::{Caller, Connect, Ended};

/// What became of the requests of one load in one state of the mesh.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tally {
    /// Requests that were under way while the mesh was being brought into the state, and those that may have used
    /// connections from before.
    pub changing: Requests,
    /// Requests begun and ended while the state was in force and nothing was being done, over connections made in it.
    pub in_force: Requests,
}

/// Requests and their failures.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requests {
    /// How many ended.
    pub made: u64,
    /// How many of them were not answered well by the application.
    pub failed: u64,
    /// How many ended how, as their callers saw it: the status code, or how the connection ended.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, u64>,
    /// What the caller of the first failure saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<Caller>,
}

impl Tally {
    /// How many requests ended.
    #[must_use]
    pub const fn made(&self) -> u64 {
        self.changing.made + self.in_force.made
    }

    /// How many requests failed.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.changing.failed + self.in_force.failed
    }
}

impl Requests {
    pub(super) fn count(&mut self, caller: Caller) {
        self.made += 1;
        *self.answers.entry(answer(&caller)).or_default() += 1;
        if !is_good(&caller) {
            self.failed += 1;
            self.first_failure.get_or_insert(caller);
        }
    }
}

impl fmt::Display for Requests {
    /// How many ended how: `12 200, 3 503`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers = self
            .answers
            .iter()
            .map(|(answer, count)| format!("{count} {answer}"));
        match self.made {
            0 => f.write_str("none"),
            _ => f.write_str(&answers.collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Whether the application itself answered, and with no error.
fn is_good(caller: &Caller) -> bool {
    let http = caller.http.as_ref();
    http.is_some_and(|answer| answer.from_application && answer.status < 400)
}

fn answer(caller: &Caller) -> String {
    if let Some(http) = &caller.http {
        return http.status.to_string();
    }
    let ended = match (caller.connect, caller.ended) {
        (Connect::Refused, _) => "refused",
        (Connect::Unreachable, _) => "unreachable",
        (Connect::TimedOut, _) | (Connect::Connected, Some(Ended::TimedOut)) => "timed-out",
        (Connect::Connected, Some(Ended::Reset)) => "reset",
        (Connect::Connected, Some(Ended::Closed) | None) => "closed",
    };
    ended.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::evidence::HttpAnswer;

    #[test]
    fn only_a_good_answer_of_the_application_is_none_that_failed() {
        let answered = |status, from_application| Caller {
            http: Some(HttpAnswer {
                status,
                from_application,
                ..HttpAnswer::default()
            }),
            ..Caller::default()
        };
        let refused = Caller {
            connect: Connect::Refused,
            ..Caller::default()
        };
        let mut requests = Requests::default();
        for caller in [
            answered(200, true),
            answered(404, true),
            answered(200, false),
            refused.clone(),
        ] {
            requests.count(caller);
        }
        assert_eq!((requests.made, requests.failed), (4, 3));
        assert_eq!(requests.first_failure, Some(answered(404, true)));
        assert_eq!(requests.answers["200"], 2);
        assert_eq!(requests.answers["refused"], 1);
    }
}
