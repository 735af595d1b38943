//! Diagnosis as its readers meet it: from what a cluster shows to one verdict, and its text.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use meshproof::call::{Call, Destination, Payload, WorkloadName};
use meshproof::diagnose::{
    Carried, Case, Cause, Confidence, Diagnosis, Observed, Probed, ProxySeen, Remedies, Shown, Subject,
    Verdict, diagnose, steps,
};
use meshproof::outcome::{Outcome, OutcomeId};
use meshproof::report::{diagnosis_json, diagnosis_text};
use meshproof::scenario::{Catalogue, Expectation, workspace_root};
use meshproof::snapshot::{Mixed, Snapshot};
use semver::Version;
use serde::Deserialize;
use strum::VariantArray as _;

/// A mesh, a call of it, and what is diagnosed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Example {
    name: String,
    manifests: Vec<String>,
    #[serde(default)]
    objects: String,
    from: String,
    to: String,
    #[serde(default)]
    payload: Spoken,
    /// What the caller's proxy logs.
    #[serde(default)]
    log: String,
    outcome: OutcomeId,
    cause: Option<Cause>,
    #[serde(default)]
    responsible: Vec<String>,
    confidence: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Spoken {
    #[default]
    Http,
    Tcp,
    ServerFirst,
}

impl Example {
    fn all() -> Vec<Self> {
        serde_saphyr::from_str(include_str!("data/diagnose/calls.yaml")).unwrap()
    }

    fn named(name: &str) -> Self {
        let mut all = Self::all().into_iter();
        all.find(|it| it.name == name).unwrap()
    }

    fn call(&self) -> Call {
        let (namespace, name) = self.from.split_once('/').unwrap();
        let (host, port) = self.to.split_once(':').unwrap();
        let (service, service_namespace) = host.split_once('.').unwrap();
        let to = Destination::Service {
            namespace: service_namespace.to_owned(),
            name: service.to_owned(),
            port: port.parse().unwrap(),
        };
        Call {
            payload: match self.payload {
                Spoken::Http => Payload::Http,
                Spoken::Tcp => Payload::Tcp,
                Spoken::ServerFirst => Payload::ServerFirst,
            },
            ..Call::app(WorkloadName::new(namespace, name), to)
        }
    }

    fn observed(&self) -> Observed {
        let missing = || "no rights to run anything in the pod".to_owned();
        let caller = self.call().from.pod(0);
        let seen = ProxySeen {
            pod: caller.to_string(),
            config: Shown::Missing(missing()),
            log: match self.log.as_str() {
                "" => Shown::Missing("no rights to read it".to_owned()),
                text => Shown::Seen(text.to_owned()),
            },
        };
        Observed {
            proxies: BTreeMap::from([(caller, seen)]),
            istiod: Shown::Missing(missing()),
            probe: Shown::Missing("no agent is beside the caller".to_owned()),
        }
    }

    fn diagnose(&self, observed: Observed, subject: Subject) -> Diagnosis {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../manifests");
        let paths: Vec<PathBuf> = self.manifests.iter().map(|it| root.join(it)).collect();
        let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
        snapshot.load_files(&paths).unwrap();
        snapshot.add_yaml(&self.objects, "objects").unwrap();
        diagnose(Case {
            snapshot,
            mixed: Mixed::default(),
            observed,
            now: "2026-11-23T00:00:00Z".parse().unwrap(),
            subject,
        })
        .unwrap()
    }

    fn verdict(&self, observed: Observed) -> Verdict {
        let subject = Subject::Call(Box::new(self.call()));
        self.diagnose(observed, subject).verdicts.remove(0)
    }
}

#[test]
fn a_verdict_names_the_outcome_and_what_is_responsible() {
    for example in Example::all() {
        let verdict = example.verdict(example.observed());
        let name = &example.name;
        assert_eq!(verdict.outcome.id, example.outcome, "{name}: {verdict:#?}");
        assert_eq!(verdict.cause, example.cause, "{name}: {verdict:#?}");
        let blamed: Vec<&str> = verdict.responsible.iter().map(|it| it.object.as_str()).collect();
        assert_eq!(blamed, example.responsible, "{name}");
        assert_eq!(verdict.confidence.to_string(), example.confidence, "{name}");
        let is_cured = verdict.remedy.is_some() && verdict.reproduced_by.is_some();
        assert_eq!(
            is_cured,
            example.cause.is_some(),
            "{name}: every cause has a remedy"
        );
    }
}

#[test]
fn a_call_of_our_own_decides_what_sources_leave_open() {
    let example = Example::named("a proxy that says no more than that its connection ended");
    let open = example.verdict(example.observed());
    assert_eq!(open.outcome.id, OutcomeId::Unknown);
    assert!(open.suspects.len() <= 3, "{:?}", open.suspects);
    assert!(open.raised_by.iter().any(|it| it.contains("agent")));
    let probed = Probed {
        call: example.call(),
        agent: "an agent in payments/checkout-0".to_owned(),
        outcome: Outcome::of(OutcomeId::ConnectionReset),
        carried: Carried::OpenedMeanwhile,
    };
    let decided = example.verdict(Observed {
        probe: Shown::Seen(probed),
        ..example.observed()
    });
    assert_eq!(decided.outcome.id, OutcomeId::ConnectionReset);
    assert_eq!(decided.cause, Some(Cause::BelowTls));
    assert_eq!(
        decided.confidence,
        Confidence::Medium,
        "no proxy showed what it holds"
    );
}

#[test]
fn every_step_is_walked_and_what_was_not_seen_is_said() {
    let example = Example::named("a rule that turns TLS off into STRICT");
    let diagnosis = example.diagnose(example.observed(), Subject::Call(Box::new(example.call())));
    let walked: Vec<&str> = diagnosis.checks.iter().map(|it| it.step.id).collect();
    let known: Vec<&str> = steps().map(|it| it.id).collect();
    assert_eq!(walked, known);
    for check in &diagnosis.checks {
        assert!(!check.found.is_empty(), "{} says nothing", check.step.id);
    }
    insta::assert_snapshot!(diagnosis_text(&diagnosis).unwrap());
    let json = diagnosis_json(&diagnosis).unwrap();
    assert_eq!(json["verdicts"][0]["outcome"], "plaintext-to-strict");
    assert_eq!(json["checks"].as_array().unwrap().len(), known.len());
}

#[test]
fn a_namespace_has_one_verdict_for_each_failure_of_its_own() {
    let example = Example::named("a rule that turns TLS off into STRICT");
    let subject = Subject::Namespace("payments".to_owned());
    let diagnosis = example.diagnose(Observed::default(), subject);
    let causes: Vec<_> = diagnosis.verdicts.iter().map(|it| it.cause).collect();
    assert_eq!(
        causes,
        [Some(Cause::DestinationRule)],
        "{:#?}",
        diagnosis.verdicts
    );
    assert!(diagnosis.calls > 1);
    insta::assert_snapshot!(diagnosis_text(&diagnosis).unwrap());
}

#[test]
fn the_runbook_is_corrected_where_it_leads_astray() {
    for (name, corrected) in [
        ("a platform client without a sidecar, into STRICT", ["R04", "R15"]),
        ("a rule that another namespace does not see", ["R04", "R04"]),
    ] {
        let example = Example::named(name);
        let diagnosis = example.diagnose(example.observed(), Subject::Call(Box::new(example.call())));
        let text = diagnosis_text(&diagnosis).unwrap();
        for claim in corrected {
            assert!(
                text.contains(&format!("runbook ({claim})")),
                "{name}: {claim}\n{text}"
            );
        }
    }
}

/// Every remedy rests on a phase of the catalogue in which calls go through again; every cause has one.
#[test]
fn every_remedy_is_proven_by_the_phase_it_names() {
    let root = workspace_root(&PathBuf::from(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let catalogue = Catalogue::load(&root).unwrap();
    let entries = Remedies::embedded().unwrap().entries();
    for entry in entries {
        let proof = &entry.proven;
        let scenario = catalogue.get(&proof.scenario);
        let scenario = scenario.unwrap_or_else(|| panic!("{} names no scenario", proof.scenario));
        let mut phases = scenario.file.spec.phases.iter();
        let phase = phases.find(|it| it.name == proof.phase);
        let phase = phase.unwrap_or_else(|| panic!("{} has no phase {}", proof.scenario, proof.phase));
        let is_delivered = |it: &Expectation| it.outcome.is_delivered();
        assert!(
            phase.expect.iter().any(is_delivered),
            "{proof:?} shows no delivery"
        );
        assert!(!entry.commands.is_empty(), "{proof:?}");
    }
    for cause in Cause::VARIANTS {
        // A VirtualService is no remedy's business: it says where calls go, and someone meant it.
        let has_one = entries.iter().any(|it| it.cause == *cause) || *cause == Cause::VirtualService;
        assert!(has_one, "{cause} has no remedy");
    }
}
