//! What a well-formed scenario can still have wrong: names, the control phase, faults without effect, and every
//! reference, followed through the phases.

use std::collections::BTreeMap;

use super::diagnostic::Diagnostic;
use super::draft::{Draft, PhaseDraft};
use super::failures::{FailureBounds, Failures};
use super::format::Expectation;
use super::load::{Place, steps};
use super::walk::Walk;
use crate::call::{CallKind, Payload};
use crate::outcome::OutcomeId;
use crate::reference::most_similar;
use crate::snapshot::tree::Step;

/// All mistakes that the shape does not tell.
pub(super) fn check(draft: &Draft, place: &Place<'_>) -> Vec<Diagnostic> {
    let mut checker = Checker {
        draft,
        place,
        found: Vec::new(),
    };
    checker.scenario_name();
    checker.release();
    checker.phase_names();
    checker.control();
    checker.faults();
    for (index, phase) in draft.phases.iter().enumerate() {
        for (number, expectation) in &phase.expect.read {
            let path = steps(index, "expect", *number);
            checker.expectation(expectation, &path);
            checker.load(phase, expectation, &path);
        }
    }
    let mut found = checker.found;
    found.extend(Walk::through(draft, place));
    found
}

struct Checker<'a> {
    draft: &'a Draft,
    place: &'a Place<'a>,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn scenario_name(&mut self) {
        let Some(name) = &self.draft.name else { return };
        let path = ["metadata".into(), "name".into()];
        let stem = self
            .place
            .path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        if !is_name(name) {
            self.report(self.at(&path, format!("`{name}` is no name")).label(NAME_RULE));
        } else if let Some(stem) = stem.filter(|stem| stem != name) {
            let mistake = self.at(
                &path,
                format!("the scenario is called `{name}`, its file `{stem}.yaml`"),
            );
            let mistake = mistake.label(format!("expected `{stem}`"));
            self.report(mistake.help(format!("rename the scenario, or the file to `{name}.yaml`")));
        }
    }

    fn release(&mut self) {
        let (Some(written), None) = (&self.draft.istio, &self.draft.release) else {
            return;
        };
        let mistake = self.at(
            &["spec".into(), "istio".into()],
            format!("`{written}` is no Istio release"),
        );
        let mistake = mistake.label("expected a full version");
        self.report(mistake.help("write major, minor and patch, for example `istio: 1.24.1`"));
    }

    fn phase_names(&mut self) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, phase) in self.draft.phases.iter().enumerate() {
            let Some(name) = phase.name.as_deref() else {
                continue;
            };
            let path = phase_name(index);
            if !is_name(name) {
                self.report(self.at(&path, format!("`{name}` is no name")).label(NAME_RULE));
            }
            match seen.get(name) {
                None => {
                    seen.insert(name, index);
                }
                Some(first) => {
                    let first = self.place.tree.span_near(&phase_name(*first));
                    let mistake = self.at(&path, format!("two phases are called `{name}`"));
                    self.report(mistake.label("used again here").related(first, "first used here"));
                }
            }
        }
    }

    /// The first phase must show that the calls work when nothing is broken, or the others prove nothing.
    fn control(&mut self) {
        let Some(first) = self.draft.phases.first() else {
            return;
        };
        if let Some((number, _)) = first.inject.read.first() {
            let mistake = self.at(&steps(0, "inject", *number), "the first phase injects a fault");
            let mistake = mistake.label("nothing may be broken yet");
            self.report(mistake.help(CONTROL_HELP));
        }
        let delivered = first.expect.values().any(|e| e.outcome.is_delivered());
        if !delivered && !first.expect.gaps && !first.expect.read.is_empty() {
            let mistake = self.at(&phase_name(0), "the first phase expects no call to be delivered");
            let mistake = mistake.label("without a control the other phases prove nothing");
            self.report(mistake.help(CONTROL_HELP));
        }
    }

    /// Names of active faults, what heals them, and whether anybody notices.
    fn faults(&mut self) {
        let mut active: Vec<Active> = Vec::new();
        for (index, phase) in self.draft.phases.iter().enumerate() {
            self.heal(phase, index, &mut active);
            for (number, fault) in &phase.inject.read {
                let path = steps(index, "inject", *number);
                if let Some(other) = active.iter().find(|a| a.name == fault.name()) {
                    let first = self.place.tree.key_span(&other.kind_path());
                    let mistake = self.at_key(
                        &kind_path(&path, fault.kind().id),
                        format!("two active faults are called `{}`", fault.name()),
                    );
                    let mistake = mistake
                        .label("injected again here")
                        .related(first, "still active from here");
                    self.report(mistake.help("heal the first one, or give one of them a `name`"));
                }
                active.push(Active {
                    name: fault.name().to_owned(),
                    kind: fault.kind().id,
                    path,
                    noticed: fault.masks(),
                });
            }
            if phase.expect.values().any(Expectation::expects_failure) {
                active.iter_mut().for_each(|fault| fault.noticed = true);
            }
        }
        active.into_iter().for_each(|fault| self.unnoticed(&fault));
    }

    fn heal(&mut self, phase: &PhaseDraft, index: usize, active: &mut Vec<Active>) {
        for (number, name) in &phase.heal.read {
            let healed: Vec<Active> = active
                .extract_if(.., |f| name == "all" || f.name == *name)
                .collect();
            if healed.is_empty() && !self.draft.has_gaps() {
                let path = steps(index, "heal", *number);
                let message = if name == "all" {
                    "nothing is broken that could be healed".to_owned()
                } else {
                    format!("no active fault is called `{name}`")
                };
                let similar = most_similar(name, active.iter().map(|f| &f.name));
                let label = similar.map_or("nothing to heal".to_owned(), |name| {
                    format!("did you mean `{name}`?")
                });
                let names: Vec<String> = active.iter().map(|f| format!("`{}`", f.name)).collect();
                let help = (!names.is_empty()).then(|| format!("active here: {}", names.join(", ")));
                self.report(self.at(&path, message).label(label).maybe_help(help));
            }
            healed.iter().for_each(|fault| self.unnoticed(fault));
        }
    }

    fn unnoticed(&mut self, fault: &Active) {
        if fault.noticed || self.draft.has_gaps() {
            return;
        }
        let message = format!("no phase expects the fault `{}` to matter", fault.name);
        let mistake = self
            .at_key(&fault.kind_path(), message)
            .label("every call is delivered while it is active");
        let mistake = mistake.help("expect a refusal in a phase in which it is active");
        self.report(mistake.help("or set `masks: true` if the point is that nothing visible changes"));
    }

    fn expectation(&mut self, expectation: &Expectation, path: &[Step]) {
        let outcome = expectation.outcome;
        let at =
            |checker: &Self, key: &str, message: String| checker.at(&[path, &[key.into()]].concat(), message);
        if expectation.side.is_some() && outcome.is_delivered() {
            let mistake = at(
                self,
                "side",
                format!("`{outcome}` is a delivery: no side refuses it"),
            );
            self.report(mistake.label("remove `side`"));
        }
        if !expectation.candidates.is_empty() && outcome != OutcomeId::Unknown {
            let mistake = at(
                self,
                "candidates",
                format!("`{outcome}` is decided: there are no candidates"),
            );
            self.report(mistake.label("only with `outcome: unknown`"));
        }
        let raw_tls = matches!(expectation.call, CallKind::RawTls | CallKind::RawMtls);
        if expectation.alpn.is_some() && !raw_tls {
            let message = format!(
                "a call of kind `{}` offers no ALPN of its own",
                expectation.call.as_str()
            );
            self.report(at(self, "alpn", message).label("only with `call: raw-tls` or `call: raw-mtls`"));
        }
        if expectation.call == CallKind::Mirrored && expectation.payload != Payload::Http {
            let message = "only HTTP requests are mirrored".to_owned();
            self.report(at(self, "payload", message).label("only with `payload: http`"));
        }
        if expectation.subset.is_some() && expectation.call != CallKind::App {
            let message = format!(
                "a call of kind `{}` bypasses the sidecar that knows subsets",
                expectation.call.as_str()
            );
            self.report(at(self, "subset", message).label("only with `call: app`"));
        }
    }

    /// What must be so for a call to be under load.
    fn load(&mut self, phase: &PhaseDraft, expectation: &Expectation, path: &[Step]) {
        let Some(failed) = expectation.failed else { return };
        let at = |checker: &Self, message: &str| checker.at(&[path, &["failed".into()]].concat(), message);
        if (expectation.call, expectation.payload) != (CallKind::App, Payload::Http) {
            let mistake = at(self, "only HTTP requests of an application are put under load");
            self.report(mistake.label("remove `failed`, or `call` and `payload`"));
        }
        if failed == Failures::Between(FailureBounds::default()) {
            let mistake = at(self, "these bounds bound nothing").label("expected `min`, `max` or both");
            self.report(mistake.help("for any number of failures leave `failed` out"));
        } else if failed.least() > failed.most() {
            let mistake = at(self, "no number of failures lies between these bounds");
            self.report(mistake.label(format!("{} is more than {}", failed.least(), failed.most())));
        }
        if !phase.does_something() {
            let mistake = at(self, "this phase does nothing that requests could fail by");
            self.report(mistake.label("counted while something is done").help(
                "put `failed` on the phase that does it: with `delete`, `manifests`, `apply`, `heal`, `inject`, `rotate` or `restart`",
            ));
        }
    }

    fn at(&self, path: &[Step], message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.place.source, self.place.tree.span_near(path), message)
    }

    fn at_key(&self, path: &[Step], message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.place.source, self.place.tree.key_span(path), message)
    }

    fn report(&mut self, mistake: Diagnostic) {
        self.found.push(mistake);
    }
}

struct Active {
    name: String,
    kind: &'static str,
    path: [Step; 5],
    noticed: bool,
}

impl Active {
    fn kind_path(&self) -> Vec<Step> {
        kind_path(&self.path, self.kind)
    }
}

const NAME_RULE: &str = "expected lower-case letters, digits, `.` and `-`";
const CONTROL_HELP: &str = "begin with a phase in which nothing is broken and the calls are delivered; it shows that a refusal \
                            later comes from the fault";

fn kind_path(fault: &[Step], kind: &str) -> Vec<Step> {
    [fault, &[kind.into()]].concat()
}

fn phase_name(index: usize) -> [Step; 4] {
    ["spec".into(), "phases".into(), index.into(), "name".into()]
}

fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(inner)
}
