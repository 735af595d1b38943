//! Following every reference of a scenario through its phases, in the state in which it would be used.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use semver::Version;
use serde_json::Value;

use super::diagnostic::{Diagnostic, SourceText};
use super::draft::{Draft, PhaseDraft};
use super::expand::{ExpandError, Origin, expansion};
use super::format::Expectation;
use super::load::{Place, in_place, manifest_path, steps};
use super::state::{State, StateError};
use super::wording::{self, in_file};
use crate::call::{Call, CallKind, Destination, Payload};
use crate::istio::address::AddressError;
use crate::mesh::Tier;
use crate::one_or_many::OneOrMany;
use crate::reference::{ReferenceError, most_similar};
use crate::snapshot::LoadError;
use crate::snapshot::tree::{Step, Yaml};

/// A walk through the phases.
pub(super) struct Walk<'a> {
    place: &'a Place<'a>,
    state: State,
    found: Vec<Diagnostic>,
    /// Set when objects are missing: then workloads and Services may be, and cannot be judged.
    incomplete: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn through(draft: &Draft, place: &'a Place<'a>) -> Vec<Diagnostic> {
        // Any release will do to go on with where none could be read; that mistake is reported already.
        let release = draft.release.clone().unwrap_or_else(|| Version::new(1, 24, 0));
        let mut walk = Self {
            place,
            state: State::empty(release),
            found: Vec::new(),
            incomplete: draft.manifests.gaps || draft.manifests.read.is_empty(),
        };
        for (number, written) in &draft.manifests.read {
            walk.manifest(written, &["spec".into(), "manifests".into(), (*number).into()]);
        }
        walk.state.settle();
        for (index, phase) in draft.phases.iter().enumerate() {
            walk.objects(phase, index);
            walk.certificates(phase, index);
            walk.restarts(phase, index);
            walk.expectations(phase, index);
        }
        walk.found
    }

    fn objects(&mut self, phase: &PhaseDraft, index: usize) {
        for (number, object) in &phase.delete.read {
            if let Err(error) = self.state.delete(object) {
                self.undeletable(&error, &steps(index, "delete", *number));
            }
        }
        for (number, written) in &phase.manifests.read {
            self.manifest(written, &steps(index, "manifests", *number));
        }
        for (number, object) in &phase.apply.read {
            if !is_object(object) {
                self.incomplete = true;
                continue;
            }
            let path = steps(index, "apply", *number);
            let text = in_place(&self.place.source.text, self.place.tree.span_near(&path));
            if let Err(LoadError::Yaml(error)) = self.state.apply(&text, &self.place.source.name) {
                self.incomplete = true;
                self.found.push(in_file(&error, self.place.source));
            }
        }
        self.incomplete |= phase.manifests.gaps || phase.apply.gaps;
        self.state.settle();
    }

    fn manifest(&mut self, written: &str, path: &[Step]) {
        let file = manifest_path(written, self.place.path, self.place.root);
        let Err(error) = self.state.manifest(&file) else {
            return;
        };
        self.incomplete = true;
        let mistake = match error {
            LoadError::Read {
                path: missing,
                source,
            } if source.kind() == std::io::ErrorKind::NotFound => {
                let shown = shown(&missing, self.place.root);
                let mistake = self
                    .at(path, format!("manifest not found: {shown}"))
                    .label("no such file");
                let mistake = mistake.maybe_help(
                    neighbour(&file).map(|name| format!("did you mean `{}`?", beside(written, &name))),
                );
                mistake.help("paths start from the workspace root; `./` means beside this file")
            }
            LoadError::Yaml(error) => match fs::read_to_string(&error.file) {
                Ok(text) => {
                    let source = SourceText::new(Path::new(&error.file), self.place.root, text);
                    let used = self
                        .place
                        .source
                        .position(self.place.tree.span_near(path).start)
                        .0;
                    in_file(&error, &source).help(format!("loaded by {}:{used}", self.place.source.name))
                }
                Err(_) => self.at(path, error.message.clone()).label("in this manifest"),
            },
            other => self.at(path, other.to_string()).label("this manifest"),
        };
        self.found.push(mistake);
    }

    fn undeletable(&mut self, error: &StateError, path: &[Step]) {
        if self.incomplete {
            return;
        }
        let mistake = match error {
            StateError::Delete(missing) => {
                let mistake = self.at(path, format!("nothing to delete: there is no {}", missing.object));
                match &missing.nearest {
                    Some(nearest) => mistake.label(format!("did you mean `{nearest}`?")),
                    None => mistake.label("no such object in this phase"),
                }
            }
            _ => {
                let mistake = self
                    .at(path, "no reference to an object")
                    .label("expected `Kind/namespace/name`");
                mistake.help("for example `PeerAuthentication/payments/strict`")
            }
        };
        self.found.push(mistake);
    }

    fn certificates(&mut self, phase: &PhaseDraft, index: usize) {
        for (number, fault) in &phase.inject.read {
            if self.state.inject(fault).is_err() {
                self.workloads(
                    fault.workload(),
                    &steps(index, "inject", *number),
                    fault.kind().id,
                );
            }
        }
        for (number, step) in &phase.rotate.read {
            if self.state.rotate(step).is_err() {
                let path = steps(index, "rotate", *number);
                let kind = match self.place.tree.at(&path).map(|node| &node.value) {
                    Some(Yaml::Map(entries)) => entries.first().map(|e| e.key.clone()),
                    _ => None,
                };
                self.workloads(step.workload(), &path, &kind.unwrap_or_default());
            }
        }
    }

    fn restarts(&mut self, phase: &PhaseDraft, index: usize) {
        for restart in phase.restart.values() {
            if self.state.restart(restart).is_err() {
                let of_phase = ["spec".into(), "phases".into(), index.into()];
                self.workloads(Some(&restart.workload), &of_phase, "restart");
            }
        }
    }

    /// Whoever is being restarted cannot call all the while.
    fn restarted(&mut self, phase: &PhaseDraft, expectation: &Expectation, calls: &[Call], path: &[Step]) {
        if expectation.failed.is_none() {
            return;
        }
        let known = self.state.topology.workloads.keys();
        let is_restarted = |call: &&Call| {
            let mut names = phase.restart.values().flat_map(|restart| restart.workload.iter());
            names.any(|name| {
                let named = crate::reference::resolve_workload(name, known.clone());
                name == "*" || named.is_ok_and(|workload| workload == call.from)
            })
        };
        if let Some(call) = calls.iter().find(is_restarted) {
            let message = format!(
                "`{}` is restarted itself and cannot call all the while",
                call.from
            );
            let mistake = self.at(&[path, &["failed".into()]].concat(), message);
            self.found.push(
                mistake.label("put others' calls to it under load, or restart it in a phase of its own"),
            );
        }
    }

    /// Points at each name of a fault's, rotation's or restart's `workload` that leads nowhere.
    fn workloads(&mut self, written: Option<&OneOrMany<String>>, path: &[Step], kind: &str) {
        let known = self.state.topology.workloads.keys();
        let wrong: Vec<(usize, ReferenceError)> = written
            .into_iter()
            .flatten()
            .enumerate()
            .filter(|(_, name)| *name != "*")
            .filter_map(|(index, name)| {
                let error = crate::reference::resolve_workload(name, known.clone()).err()?;
                Some((index, error))
            })
            .collect();
        for (index, error) in wrong {
            let path = [path, &[kind.into(), "workload".into(), index.into()]].concat();
            self.reference(&error, &path);
        }
    }

    fn expectations(&mut self, phase: &PhaseDraft, index: usize) {
        let mut seen: BTreeMap<(String, Tier), usize> = BTreeMap::new();
        let mut payloads: BTreeMap<Destination, Payload> = BTreeMap::new();
        for (number, expectation) in &phase.expect.read {
            let path = steps(index, "expect", *number);
            let anywhere = expansion(expectation, &self.state.topology, None);
            for (origin, error) in &anywhere.errors {
                self.unexpandable(*origin, error, &path);
            }
            if anywhere.errors.is_empty()
                && anywhere.calls.is_empty()
                && expectation.when.is_none()
                && !self.incomplete
            {
                let mistake = self.at(&path, "this expectation stands for no call");
                self.found.push(
                    mistake.label("`*` leaves out a workload that calls itself, and nothing else is left"),
                );
            }
            self.copied(expectation, &anywhere.calls, &path);
            self.restarted(phase, expectation, &anywhere.calls, &path);
            self.greeted(&anywhere.calls, &mut payloads, &path);
            self.twice(expectation, *number, index, &mut seen);
        }
    }

    /// An application either greets whoever connects or does not.
    fn greeted(&mut self, calls: &[Call], payloads: &mut BTreeMap<Destination, Payload>, path: &[Step]) {
        for call in calls {
            let known = *payloads.entry(call.to.clone()).or_insert(call.payload);
            if known != call.payload && [known, call.payload].contains(&Payload::ServerFirst) {
                let message = format!(
                    "`{}` is called as a server that speaks first, and as one that does not",
                    call.to
                );
                let mistake = self.at(&[path, &["payload".into()]].concat(), message);
                self.found
                    .push(mistake.label("put these calls into phases of their own"));
                return;
            }
        }
    }

    /// There is nothing to say of the copy of a call of which nobody makes one.
    fn copied(&mut self, expectation: &Expectation, calls: &[Call], path: &[Step]) {
        if expectation.call != CallKind::Mirrored || self.incomplete {
            return;
        }
        let topology = &self.state.topology;
        let is_copied = |call: &&Call| {
            let to = call.to.service();
            to.is_some_and(|(namespace, name, port)| topology.may_mirror(&call.from, namespace, name, port))
        };
        let Some(call) = calls.iter().find(|call| !is_copied(call)) else {
            return;
        };
        let message = format!("nobody mirrors the calls of `{}` to `{}`", call.from, call.to);
        let mistake = self.at(&[path, &["call".into()]].concat(), message);
        let mistake = mistake.label("there is no copy in this phase");
        self.found.push(mistake.help(
            "a sidecar copies what a VirtualService with `mirror` or `mirrors` tells it to, for the host and port called",
        ));
    }

    fn twice(
        &mut self,
        expectation: &Expectation,
        number: usize,
        phase: usize,
        seen: &mut BTreeMap<(String, Tier), usize>,
    ) {
        let mut reported = false;
        for &tier in Tier::ALL {
            for call in expansion(expectation, &self.state.topology, Some(tier)).calls {
                let id = call.to_string();
                let first = *seen.entry((id.clone(), tier)).or_insert(number);
                if first != number && !reported {
                    reported = true;
                    let first = self.place.tree.span_near(&steps(phase, "expect", first));
                    let mistake = self.at(
                        &steps(phase, "expect", number),
                        format!("`{id}` is expected twice"),
                    );
                    self.found
                        .push(mistake.label("again here").related(first, "first expected here"));
                }
            }
        }
    }

    fn unexpandable(&mut self, origin: Origin, error: &ExpandError, expectation: &[Step]) {
        let below = |steps: &[Step]| [expectation, steps].concat();
        let path = match origin {
            Origin::From(index) => below(&["from".into(), index.into()]),
            Origin::To(index) => below(&["to".into(), index.into()]),
            Origin::Client => below(&["when".into(), "client".into()]),
            Origin::Server => below(&["when".into(), "server".into()]),
        };
        match error {
            ExpandError::From(error) => self.reference(error, &path),
            ExpandError::To(error) => self.address(error, &path),
            ExpandError::When { .. } => {
                let mistake = self
                    .at(&path, error.to_string())
                    .label("expected a version requirement");
                self.found
                    .push(mistake.help("for example `>=1.30` or `>=1.28, <1.31`"));
            }
            ExpandError::NoCaller(_) | ExpandError::Twice(_) if self.incomplete => {}
            ExpandError::NoCaller(_) | ExpandError::Twice(_) => {
                let mistake = self.at(&path, error.to_string()).label("`replicas: 0`");
                self.found.push(mistake);
            }
        }
    }

    fn reference(&mut self, error: &ReferenceError, path: &[Step]) {
        if !self.incomplete {
            let mistake = wording::reference(self.at(path, error.to_string()), error, &self.state.topology);
            self.found.push(mistake);
        }
    }

    fn address(&mut self, error: &AddressError, path: &[Step]) {
        if !self.incomplete || matches!(error, AddressError::Malformed(_)) {
            let mistake = wording::address(self.at(path, error.to_string()), error, &self.state.topology);
            self.found.push(mistake);
        }
    }

    fn at(&self, path: &[Step], message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.place.source, self.place.tree.span_near(path), message)
    }
}

/// Whether an inline object has what the shape demands; if not, that is reported already.
fn is_object(object: &Value) -> bool {
    let name = object.pointer("/metadata/name");
    [object.get("apiVersion"), object.get("kind"), name]
        .iter()
        .all(|key| key.is_some_and(Value::is_string))
}

fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The file beside a missing one whose name is most similar.
fn neighbour(missing: &Path) -> Option<String> {
    let entries = fs::read_dir(missing.parent()?).ok()?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    most_similar(&missing.file_name()?.to_string_lossy(), names)
}

fn beside(written: &str, name: &str) -> String {
    match written.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}
