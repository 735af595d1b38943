//! What a person sees of a refused call: the answer, the log lines, the statistics that move. Data, held against
//! recordings and against every run of the catalogue.

mod place;

use std::sync::LazyLock;

use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::call::{CallKind, Payload};
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::probe::Evidence;
use crate::probe::evidence::Connect;

pub use place::Place;

/// Every symptom, in the order of the file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Symptoms {
    symptoms: Vec<Symptom>,
}

/// What a refusal looks like. One outcome can have several looks.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Symptom {
    /// The outcome.
    pub outcome: OutcomeId,
    /// The end that refuses; absent where nobody decided.
    #[serde(default)]
    pub side: Option<Side>,
    /// What tells this look from another of the same outcome and side.
    #[serde(default)]
    pub when: Option<String>,
    /// The recordings that show it.
    #[serde(default)]
    pub recorded: Vec<String>,
    /// In the body of the client proxy's 503.
    #[serde(default)]
    answer: Vec<Sign>,
    /// In the client proxy's access log.
    #[serde(default)]
    client_log: Vec<Sign>,
    /// In the server proxy's listener log.
    #[serde(default)]
    server_log: Vec<Sign>,
    /// At the end of the name of a statistic of the client proxy.
    #[serde(default)]
    client_stats: Vec<Sign>,
    /// At the end of the name of a statistic of the server proxy.
    #[serde(default)]
    server_stats: Vec<Sign>,
}

/// A text to look for.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// The text.
    pub text: String,
    /// The Envoy versions that say it.
    #[serde(default)]
    pub envoy: VersionReq,
}

/// The symptoms cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("manifests/symptoms.yaml: {0}")]
pub struct SymptomsError(String);

impl Symptoms {
    /// The symptoms that are built into meshproof.
    ///
    /// # Errors
    /// When the embedded file is invalid, which its test excludes.
    pub fn embedded() -> Result<&'static Self, SymptomsError> {
        static SYMPTOMS: LazyLock<Result<Symptoms, SymptomsError>> = LazyLock::new(|| {
            let yaml = include_str!("../../../manifests/symptoms.yaml");
            serde_saphyr::from_str(yaml).map_err(|error| SymptomsError(error.to_string()))
        });
        SYMPTOMS.as_ref().map_err(Clone::clone)
    }

    /// Every symptom, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Symptom] {
        &self.symptoms
    }

    /// The looks of a refusal.
    pub fn of(&self, outcome: OutcomeId, side: Option<Side>) -> impl Iterator<Item = &Symptom> {
        let is_meant = move |it: &&Symptom| it.outcome == outcome && it.side == side;
        self.symptoms.iter().filter(is_meant)
    }

    /// What the evidence of a refused call lacks of the most similar look of its outcome; `None` where all is there, and
    /// for calls that this is not about: deliveries, failures that evidence does not decide, raw calls, other payloads than
    /// HTTP, calls that did not get past their own pod.
    #[must_use]
    pub fn lacking(&self, observed: &Outcome, evidence: &Evidence) -> Option<String> {
        let is_about = !observed.id.is_delivered()
            && observed.id != OutcomeId::Unknown
            && evidence.kind == CallKind::App
            && evidence.payload == Payload::Http
            // What the caller's own sidecar refused in TCP has no answer, and no proxy says a word of it.
            && evidence.caller.connect == Connect::Connected;
        if !is_about {
            return None;
        }
        let unseen = self
            .of(observed.id, observed.side)
            .map(|symptom| symptom.unseen(evidence));
        match unseen.min_by_key(Vec::len) {
            Some(unseen) if unseen.is_empty() => None,
            Some(unseen) => Some(format!("{observed} does not show {}", unseen.join(", "))),
            None => Some(format!(
                "manifests/symptoms.yaml does not say what {observed} looks like"
            )),
        }
    }
}

impl Symptom {
    /// Every place with what is to be found there, in the order a person looks.
    #[must_use]
    pub fn places(&self) -> [(Place, &[Sign]); 5] {
        [
            (Place::Answer, &self.answer),
            (Place::ClientLog, &self.client_log),
            (Place::ServerLog, &self.server_log),
            (Place::ClientStats, &self.client_stats),
            (Place::ServerStats, &self.server_stats),
        ]
    }

    fn unseen(&self, evidence: &Evidence) -> Vec<String> {
        let mut unseen = Vec::new();
        for (place, signs) in self.places() {
            let Some(proxy) = place.proxy(evidence) else {
                continue;
            };
            let texts = place.texts(evidence, proxy);
            let version = proxy.envoy.as_ref();
            for sign in signs
                .iter()
                .filter(|sign| version.is_none_or(|it| sign.is_said_by(it)))
            {
                if !texts.iter().any(|text| place.holds(text, &sign.text)) {
                    unseen.push(format!("`{}` in {place}", sign.text));
                }
            }
        }
        unseen
    }
}

impl Sign {
    /// Whether a proxy of that version says it.
    #[must_use]
    pub fn is_said_by(&self, envoy: &Version) -> bool {
        self.envoy.matches(envoy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::evidence::{AccessLogEntry, HttpAnswer, ProxyEvidence};

    fn plaintext_to_strict(flags: &str) -> Evidence {
        let answer =
            "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
        let entry = |flags: &str, details: &str| AccessLogEntry {
            flags: Some(flags.to_owned()),
            details: Some(details.to_owned()),
            ..AccessLogEntry::default()
        };
        let proxy = |stats: &[&str]| ProxyEvidence {
            envoy: Some(Version::new(1, 36, 4)),
            stats: stats.iter().map(|name| ((*name).to_owned(), 1)).collect(),
            ..ProxyEvidence::default()
        };
        let mut evidence = Evidence::default();
        evidence.caller.http = Some(HttpAnswer {
            status: 503,
            body: answer.to_owned(),
            from_application: false,
        });
        evidence.client_proxy = Some(ProxyEvidence {
            access_log: vec![entry(
                "UC",
                "upstream_reset_before_response_started{connection_termination}",
            )],
            ..proxy(&["cluster.outbound|8080||payment;.upstream_cx_total"])
        });
        evidence.server_proxy = Some(ProxyEvidence {
            listener_log: vec![entry(flags, "filter_chain_not_found")],
            ..proxy(&[
                "listener.0.0.0.0_15006.no_filter_chain_match",
                "tls_inspector.tls_not_found",
            ])
        });
        evidence
    }

    fn lacking(outcome: &Outcome, evidence: &Evidence) -> Option<String> {
        Symptoms::embedded().unwrap().lacking(outcome, evidence)
    }

    #[test]
    fn a_call_that_looks_as_described_lacks_nothing_and_one_that_does_not_names_it() {
        let refused = Outcome::refused(OutcomeId::PlaintextToStrict, Side::Server);
        assert_eq!(lacking(&refused, &plaintext_to_strict("NR")), None);
        assert_eq!(
            lacking(&refused, &plaintext_to_strict("UF")).as_deref(),
            Some("plaintext-to-strict by server does not show `NR` in the server's listener log")
        );
    }

    #[test]
    fn a_refusal_that_nobody_described_is_named() {
        let refused = Outcome::refused(OutcomeId::EgressBlocked, Side::Client);
        assert_eq!(
            lacking(&refused, &Evidence::default()).as_deref(),
            Some("manifests/symptoms.yaml does not say what egress-blocked by client looks like")
        );
    }

    #[test]
    fn deliveries_and_raw_calls_are_not_about_symptoms() {
        let raw = Evidence {
            kind: CallKind::RawTls,
            ..Evidence::default()
        };
        let refused = Outcome::refused(OutcomeId::NoClientCertificate, Side::Server);
        assert_eq!(lacking(&refused, &raw), None);
        assert_eq!(lacking(&Outcome::of(OutcomeId::Mtls), &Evidence::default()), None);
    }
}
