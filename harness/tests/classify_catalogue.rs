//! The classifier over everything that was measured: the catalogue of what Envoy shows per fault and version, and
//! calls recorded with the connection debug log. The expected outcomes are data beside the recordings.

#![expect(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use std::collections::{BTreeMap, BTreeSet};

use meshproof::call::{CallKind, Payload};
use meshproof::outcome::{Outcome, OutcomeId, Side, Transport};
use meshproof::probe::classify::explain;
use meshproof::probe::evidence::{
    AccessLogEntry, Application, Bytes, Caller, Connect, Ended, Evidence, HttpAnswer, ProxyEvidence, RawTls,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Catalogue {
    modes: Vec<Mode>,
}

#[derive(Deserialize)]
struct Mode {
    id: String,
    observed: Vec<Observed>,
}

/// One set of Envoy versions that behaved alike.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Observed {
    envoy: Vec<String>,
    app: Option<App>,
    client_log: Option<AccessLogEntry>,
    server_http_log: Option<AccessLogEntry>,
    server_listener_log: Option<AccessLogEntry>,
    server_listener_log_n: usize,
    client_stats: BTreeMap<String, i64>,
    server_stats: BTreeMap<String, i64>,
    app_requests: u32,
    app_first_bytes: Option<String>,
    raw: BTreeMap<String, RawProbe>,
}

#[derive(Deserialize)]
struct App {
    status: u16,
    body: String,
}

/// A probe with openssl or a plain socket, straight at the server's sidecar.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawProbe {
    alerts: Vec<String>,
    errors: Vec<String>,
    http: Vec<String>,
    got: String,
    end: Option<String>,
    server_ver: Option<String>,
    server_stat_delta: BTreeMap<String, i64>,
    server_listener_log: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeExpectation {
    skip: Option<String>,
    call: Option<VersionedExpectation>,
    #[serde(default)]
    raw: BTreeMap<String, VersionedExpectation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionedExpectation {
    outcome: OutcomeId,
    side: Option<Side>,
    #[serde(default)]
    candidates: Vec<OutcomeId>,
    #[serde(default)]
    on: BTreeMap<String, Expectation>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Expectation {
    outcome: OutcomeId,
    side: Option<Side>,
    transport: Option<Transport>,
    #[serde(default)]
    candidates: Vec<OutcomeId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedCall {
    expect: Expectation,
    evidence: Vec<Evidence>,
}

/// Modes as a scenario makes them, and those that none makes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedModes {
    calls: Vec<CallOfMode>,
    without: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallOfMode {
    mode: String,
    call: String,
    expect: VersionedExpectation,
    evidence: BTreeMap<String, Evidence>,
}

#[test]
fn every_mode_of_the_catalogue_gets_its_outcome_on_every_version() {
    let catalogue: Catalogue = serde_saphyr::from_str(include_str!("data/envoy-evidence.yaml")).unwrap();
    let mut expectations: BTreeMap<String, ModeExpectation> =
        serde_saphyr::from_str(include_str!("data/evidence-outcomes.yaml")).unwrap();
    let mut wrong = Vec::new();
    for mode in &catalogue.modes {
        match expectations.remove(&mode.id) {
            None => wrong.push(format!("{}: no entry in evidence-outcomes.yaml", mode.id)),
            Some(expected) => check_mode(mode, &expected, &mut wrong),
        }
    }
    wrong.extend(
        expectations
            .keys()
            .map(|id| format!("{id}: no such mode in the catalogue")),
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn calls_recorded_with_the_debug_log_are_decided_alike_on_1_36_and_1_39() {
    let calls: BTreeMap<String, RecordedCall> =
        serde_saphyr::from_str(include_str!("data/recorded-calls.yaml")).unwrap();
    let mut wrong = Vec::new();
    for (name, call) in &calls {
        for evidence in &call.evidence {
            let proxy = evidence.client_proxy.as_ref().unwrap();
            let label = format!("{name} on {}", proxy.envoy.as_ref().unwrap());
            check(&label, evidence, &call.expect, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn refused_calls_of_the_catalogue_are_decided_alike_on_1_37_and_1_39() {
    let calls: BTreeMap<String, RecordedCall> =
        serde_saphyr::from_str(include_str!("data/recorded-scenarios.yaml")).unwrap();
    let mut wrong = Vec::new();
    let mut outcomes = BTreeSet::new();
    for (name, call) in &calls {
        outcomes.insert(call.expect.outcome);
        for (number, evidence) in call.evidence.iter().enumerate() {
            check(
                &format!("{name}, recording {number}"),
                evidence,
                &call.expect,
                &mut wrong,
            );
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(outcomes.len() > 15, "{outcomes:?}");
}

#[test]
fn every_mode_of_the_catalogue_is_decided_on_1_37_and_1_39_or_says_why_nobody_makes_it() {
    let catalogue: Catalogue = serde_saphyr::from_str(include_str!("data/envoy-evidence.yaml")).unwrap();
    let expectations: BTreeMap<String, ModeExpectation> =
        serde_saphyr::from_str(include_str!("data/evidence-outcomes.yaml")).unwrap();
    let recorded: RecordedModes = serde_saphyr::from_str(include_str!("data/recorded-modes.yaml")).unwrap();
    let mut wrong = Vec::new();
    for call in &recorded.calls {
        for version in ["1.37.0", "1.39.3"] {
            let label = format!("{} {} on {version}", call.mode, call.call);
            let Some(evidence) = call.evidence.get(version) else {
                wrong.push(format!("{label}: not recorded"));
                continue;
            };
            let proxies = [&evidence.client_proxy, &evidence.server_proxy];
            for proxy in proxies.into_iter().flatten() {
                assert_eq!(proxy.envoy.as_ref().unwrap().to_string(), version, "{label}");
            }
            check(&label, evidence, &call.expect.on(version), &mut wrong);
        }
    }
    let made: BTreeSet<&str> = recorded.calls.iter().map(|call| call.mode.as_str()).collect();
    for mode in &catalogue.modes {
        let is_skipped = expectations[&mode.id].skip.is_some();
        let reason = recorded.without.get(&mode.id);
        match (made.contains(mode.id.as_str()), reason, is_skipped) {
            (true, None, false) | (false, None, true) => {}
            (false, Some(reason), false) if !reason.is_empty() => {}
            found => wrong.push(format!("{}: made, excused, skipped are {found:?}", mode.id)),
        }
    }
    let known: BTreeSet<&str> = catalogue.modes.iter().map(|mode| mode.id.as_str()).collect();
    let named = made
        .into_iter()
        .chain(recorded.without.keys().map(String::as_str));
    wrong.extend(
        named
            .filter(|mode| !known.contains(mode))
            .map(|mode| format!("{mode}: no such mode in the catalogue")),
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_mode_means_the_same_whoever_makes_it() {
    let expectations: BTreeMap<String, ModeExpectation> =
        serde_saphyr::from_str(include_str!("data/evidence-outcomes.yaml")).unwrap();
    let recorded: RecordedModes = serde_saphyr::from_str(include_str!("data/recorded-modes.yaml")).unwrap();
    let mut compared = 0;
    for call in recorded.calls.iter().filter(|call| !call.call.contains('#')) {
        let Some(catalogued) = &expectations[&call.mode].call else {
            continue;
        };
        let ours = call.expect.on("1.39.3");
        // Without the debug log the catalogue leaves some open.
        if catalogued.outcome == OutcomeId::Unknown {
            let ids = [std::slice::from_ref(&ours.outcome), &ours.candidates].concat();
            let among = ids.iter().any(|id| catalogued.candidates.contains(id));
            assert!(among, "{}: {ours:?}", call.mode);
        } else {
            assert_eq!(
                (ours.outcome, ours.side),
                (catalogued.outcome, catalogued.side),
                "{}",
                call.mode
            );
        }
        compared += 1;
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn without_the_debug_log_a_black_hole_and_a_silent_port_are_the_same() {
    let calls: BTreeMap<String, RecordedCall> =
        serde_saphyr::from_str(include_str!("data/recorded-scenarios.yaml")).unwrap();
    let timeouts = [OutcomeId::HandshakeTimeout, OutcomeId::ConnectTimeout];
    let of_time = calls
        .values()
        .filter(|call| timeouts.contains(&call.expect.outcome));
    let mut seen = 0;
    for evidence in of_time.flat_map(|call| &call.evidence) {
        let mut evidence = evidence.clone();
        evidence.client_proxy.as_mut().unwrap().debug_log.clear();
        let outcome = explain(&evidence).0;
        assert_eq!(
            (outcome.id, outcome.candidates.as_slice()),
            (OutcomeId::Unknown, &timeouts[..])
        );
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn recorded_certificate_faults_of_1_36_are_undecided_without_the_debug_log() {
    let calls: BTreeMap<String, RecordedCall> =
        serde_saphyr::from_str(include_str!("data/recorded-calls.yaml")).unwrap();
    for name in [
        "expired_leaf_client",
        "expired_intermediate_client",
        "not_yet_valid_client",
    ] {
        let mut evidence = calls[name].evidence[0].clone();
        for proxy in [&mut evidence.client_proxy, &mut evidence.server_proxy] {
            proxy.as_mut().unwrap().debug_log.clear();
        }
        let (outcome, rule) = explain(&evidence);
        assert_eq!(
            (outcome.id, rule),
            (OutcomeId::Unknown, "unnamed-refusal"),
            "{name}"
        );
        assert!(
            outcome.candidates.contains(&calls[name].expect.outcome),
            "{name}: {outcome}"
        );
        assert!(outcome.reason.unwrap().contains("connection debug log"), "{name}");
    }
}

fn check_mode(mode: &Mode, expected: &ModeExpectation, wrong: &mut Vec<String>) {
    if let Some(reason) = &expected.skip {
        assert!(
            !reason.is_empty() && expected.call.is_none(),
            "{}: skip says why, alone",
            mode.id
        );
        return;
    }
    for observed in &mode.observed {
        for version in &observed.envoy {
            let label = format!("{} on {version}", mode.id);
            if observed.client_log.is_some() {
                match &expected.call {
                    None => wrong.push(format!("{label}: no `call` expected")),
                    Some(call) => check(&label, &observed.evidence(version), &call.on(version), wrong),
                }
            }
            for (name, probe) in &observed.raw {
                let label = format!("{label}, raw {name}");
                match expected.raw.get(name) {
                    None => wrong.push(format!("{label}: not expected")),
                    Some(raw) => check(&label, &probe.evidence(name, version), &raw.on(version), wrong),
                }
            }
        }
    }
}

fn check(label: &str, evidence: &Evidence, expected: &Expectation, wrong: &mut Vec<String>) {
    let (outcome, rule) = explain(evidence);
    let seen = Expectation::from(&outcome);
    if seen != *expected {
        wrong.push(format!(
            "{label}: rule {rule} says {outcome}, expected {expected:?}"
        ));
    }
    let has_peers = outcome
        .peers
        .as_ref()
        .is_some_and(|peers| peers.client.is_some() && peers.server.is_some() && peers.tls_version.is_some());
    if (outcome.id == OutcomeId::Mtls) != has_peers {
        wrong.push(format!("{label}: peers {:?}", outcome.peers));
    }
}

impl From<&Outcome> for Expectation {
    fn from(outcome: &Outcome) -> Self {
        Self {
            outcome: outcome.id,
            side: outcome.side,
            transport: outcome.transport,
            candidates: outcome.candidates.clone(),
        }
    }
}

impl VersionedExpectation {
    fn on(&self, version: &str) -> Expectation {
        self.on.get(version).cloned().unwrap_or_else(|| Expectation {
            outcome: self.outcome,
            side: self.side,
            transport: None,
            candidates: self.candidates.clone(),
        })
    }
}

impl Observed {
    fn evidence(&self, version: &str) -> Evidence {
        let app = self.app.as_ref().unwrap();
        let answer = serde_json::from_str::<Value>(&app.body).ok();
        let client_hello = self.app_first_bytes.is_some();
        Evidence {
            kind: CallKind::App,
            payload: Payload::Http,
            caller: Caller {
                http: Some(HttpAnswer {
                    status: app.status,
                    body: app.body.clone(),
                    from_application: answer.is_some(),
                }),
                ..Caller::default()
            },
            client_proxy: Some(ProxyEvidence {
                envoy: version.parse().ok(),
                access_log: self.client_log.clone().into_iter().collect(),
                stats: self.client_stats.clone(),
                ..ProxyEvidence::default()
            }),
            server_proxy: self.server_listener_log.as_ref().map(|entry| ProxyEvidence {
                access_log: self.server_http_log.clone().into_iter().collect(),
                ..server_proxy(
                    version,
                    vec![entry.clone(); self.server_listener_log_n.max(1)],
                    &self.server_stats,
                )
            }),
            application: (self.app_requests > 0 || client_hello).then(|| Application {
                saw: if client_hello {
                    Bytes::ClientHello
                } else {
                    Bytes::Http
                },
                requests: self.app_requests,
                forwarded_client_cert: answer.and_then(|body| Some(body["xfcc"].as_str()?.to_owned())),
            }),
            ..Evidence::default()
        }
    }
}

impl RawProbe {
    fn evidence(&self, name: &str, version: &str) -> Evidence {
        let kind = match name.split('_').next().unwrap() {
            "plain" => CallKind::RawPlaintext,
            "tls" => CallKind::RawTls,
            _ => CallKind::RawMtls,
        };
        let said = |text: &str| self.errors.iter().any(|error| error.contains(text));
        let ok = self
            .http
            .first()
            .map_or(self.got.as_str(), String::as_str)
            .contains("200 OK");
        let ended = match self.end.as_deref() {
            Some("RST") => Ended::Reset,
            _ if said("errno=104") => Ended::Reset,
            _ => Ended::Closed,
        };
        let listener_log = self.server_listener_log.iter().map(|entry| {
            let mut entry = entry.clone();
            // The catalogue's short name of the field.
            if let Some(term) = entry.as_object_mut().unwrap().remove("term") {
                entry["termination"] = term;
            }
            serde_json::from_value(entry).unwrap()
        });
        Evidence {
            kind,
            caller: Caller {
                connect: if said("Connection refused") {
                    Connect::Refused
                } else {
                    Connect::Connected
                },
                ended: (!ok).then_some(ended),
                http: ok.then(|| HttpAnswer {
                    status: 200,
                    from_application: true,
                    ..HttpAnswer::default()
                }),
                tcp: None,
                tls: (kind != CallKind::RawPlaintext).then(|| self.tls()),
            },
            server_proxy: Some(server_proxy(
                version,
                listener_log.collect(),
                &self.server_stat_delta,
            )),
            ..Evidence::default()
        }
    }

    /// openssl's output in rustls' words. The catalogue's server has one identity; openssl did not print it.
    fn tls(&self) -> RawTls {
        let wrong_version = self
            .errors
            .iter()
            .any(|error| error.contains("wrong version number"));
        RawTls {
            handshake_completed: self.server_ver.is_some(),
            version: self
                .server_ver
                .as_ref()
                .map(|version| version.replace("TLS ", "TLSv")),
            peer_uris: self
                .server_ver
                .iter()
                .map(|_| "spiffe://cluster.local/ns/ns/sa/server".to_owned())
                .collect(),
            alert_received: self
                .alerts
                .iter()
                .filter(|alert| alert.starts_with("<<<"))
                .find_map(|alert| Some(alert.split_once("fatal ")?.1.to_owned())),
            error: wrong_version.then(|| "received corrupt message of type InvalidContentType".to_owned()),
            ..RawTls::default()
        }
    }
}

fn server_proxy(
    version: &str,
    listener_log: Vec<AccessLogEntry>,
    stats: &BTreeMap<String, i64>,
) -> ProxyEvidence {
    ProxyEvidence {
        envoy: version.parse().ok(),
        listener_log,
        stats: stats.clone(),
        // Its SAN matcher is the prefix `spiffe://cluster.local/`.
        accepted_trust_domains: vec!["cluster.local".to_owned()],
        ..ProxyEvidence::default()
    }
}
