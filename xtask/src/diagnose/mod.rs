//! `cargo xtask diagnose`: why a call fails, who is responsible, and what helps.

mod apply;
mod self_test;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use meshproof::call::{Call, CallKind, Payload};
use meshproof::diagnose::{Case, Diagnosis, Observed, Shown, Subject, diagnose};
use meshproof::inspection::{self, Inspection};
use meshproof::istio::releases::{self, VERIFIED};
use meshproof::istio::{Topology, address};
use meshproof::kubernetes::Context;
use meshproof::mesh::{Settings, Tier};
use meshproof::reference::resolve_workload;
use meshproof::rehearsal::{Probing, first_failure};
use meshproof::report::{diagnosis_json, diagnosis_text};
use meshproof::scenario::{Catalogue, runnable};
use meshproof::snapshot::{Mixed, Scope, Snapshot};
use meshproof::visibility::{AccessLogs, Visibility};
use semver::Version;

use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::mesh_input::load_bundle;
use crate::output::outln;
use crate::predict::{destination, reference};
use crate::root::root;
use crate::scenario::find;

/// Say why a call fails, who is responsible, and what helps
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask diagnose --bundle mesh.bundle --from checkout --to payment:8080   one call
  cargo xtask diagnose --bundle mesh.bundle -n payments                         every call from and to a namespace
  cargo xtask diagnose --context prod --from shop/web --to payment.payments:8080   the same of a cluster, its proxies asked
  cargo xtask diagnose --context prod --from shop/web --to payment.payments:8080 --apply   and do the remedy, if it is a safe one
  cargo xtask diagnose --context prod --from shop/web --to payment.payments:8080 --probe --agent R/meshproof-agent:1   and the call made
  cargo xtask diagnose --scenario expired-ca                                    an incident to practise on: its cause is hidden
  cargo xtask diagnose --self-test                                              diagnose the whole catalogue, and score it

Exit codes: 0 nothing fails (with --apply: any more), 1 something does (or --self-test misses its measure), 2 bad usage,
3 cannot be read (or may not be changed) from here.")]
pub(crate) struct Diagnose {
    /// A bundle of `cargo xtask snapshot`, or an archive of `istioctl bug-report`
    #[arg(long, value_name = "FILE", group = "input")]
    bundle: Option<PathBuf>,

    /// Manifests: files, or folders with everything below them
    #[arg(short, long = "file", value_name = "PATH", num_args = 1.., group = "input")]
    file: Vec<PathBuf>,

    /// Break the local mesh as this scenario says, hide what was broken, and diagnose what a cluster would show
    #[arg(long, value_name = "NAME", group = "input", conflicts_with_all = ["from", "to", "namespace"])]
    scenario: Option<String>,

    /// Of the scenario, the phase to diagnose [default: the first in which a call fails]
    #[arg(long, value_name = "PHASE", requires = "scenario")]
    phase: Option<String>,

    /// Diagnose every scenario of the catalogue, or those named, and say how often that is right
    #[arg(long, value_name = "SCENARIO", num_args = 0.., group = "input")]
    self_test: Option<Vec<String>>,

    /// A cluster, by the name of its context in the kubeconfig: its objects, and what its proxies hold and log; nothing of it
    /// is changed without --apply (manifests/rbac/diagnose.yaml)
    #[arg(long, value_name = "CONTEXT", group = "input")]
    context: Option<String>,

    /// The kubeconfig [default: what kubectl reads]
    #[arg(long, value_name = "FILE", requires = "context")]
    kubeconfig: Option<PathBuf>,

    /// The namespace of the cluster's control plane
    #[arg(
        long,
        value_name = "NAMESPACE",
        requires = "context",
        default_value = "istio-system"
    )]
    istio_namespace: String,

    /// The calling workload: name, or namespace/name
    #[arg(long, value_name = "WORKLOAD", requires = "to")]
    from: Option<String>,

    /// The destination, as `cargo xtask predict` takes it: svc:port, svc.ns:port, an FQDN with port
    #[arg(long, value_name = "HOST:PORT", requires = "from")]
    to: Option<String>,

    /// What is spoken inside
    #[arg(long, value_enum, default_value_t = Spoken::Http)]
    payload: Spoken,

    /// Every call from and to this namespace [default: the whole mesh]
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "from")]
    namespace: Option<String>,

    /// Also make the call (an HTTP request), and say what becomes of it by what an agent beside the caller sees and the logs of
    /// both ends tell. In a cluster the agent is an ephemeral container of one of the caller's pods: it ends by itself, and
    /// stays listed in the pod until that is gone (manifests/rbac/probe.yaml)
    #[arg(long, conflicts_with_all = ["bundle", "file", "namespace"])]
    probe: bool,

    /// The image of the agent, as nodes pull it (manifests/agent/Containerfile)
    #[arg(long, value_name = "IMAGE", requires = "context", requires = "probe")]
    agent: Option<String>,

    /// Do the remedy, if it is marked safe (manifests/remedies.yaml): show what would change, ask, apply it, watch whether the
    /// call goes through again, and undo it if not (manifests/rbac/remedy.yaml)
    #[arg(long, requires = "context", requires = "from")]
    apply: bool,

    /// Ask nobody
    #[arg(long, requires = "apply")]
    yes: bool,

    /// With --apply, how long the call may log no failure to count as recovered; it may take six times as long
    #[arg(long, value_name = "SECONDS", requires = "apply", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    watch: u64,

    /// The control plane's release, where the input does not say
    #[arg(long, value_name = "VERSION", value_parser = releases::parse, default_value_t = VERIFIED)]
    istio: Version,

    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How a diagnosis is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// What the application speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Spoken {
    /// HTTP requests
    Http,
    /// Anything else over TCP
    Tcp,
}

impl Diagnose {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        if let Some(names) = &self.self_test {
            return self_test::run(names, self.probing(), self.output == Output::Json);
        }
        if let Some(name) = &self.context {
            self.can_probe()?;
            return self.of_context(name);
        }
        let diagnosis = match &self.scenario {
            Some(name) => self.of_scenario(name)?,
            None => Some(diagnose(self.of_files()?)?),
        };
        let Some(diagnosis) = diagnosis else {
            return Ok(Exit::Interrupted);
        };
        match self.output {
            Output::Text => outln!("{}", diagnosis_text(&diagnosis)?),
            Output::Json => outln!("{}", diagnosis_json(&diagnosis)?),
        }
        Ok(exit(&diagnosis))
    }

    /// In a cluster a probe is one call, by an agent of which somebody must say where its image is.
    fn can_probe(&self) -> anyhow::Result<()> {
        let missing = match (self.probe, &self.from, &self.agent) {
            (true, None, _) => "--probe makes one call: name it with --from and --to",
            (true, _, None) => {
                "--probe needs --agent IMAGE: the agent, in a registry that the cluster's nodes pull from; \
                 manifests/agent/Containerfile builds it"
            }
            _ => return Ok(()),
        };
        Err(BadInput(missing.to_owned()).into())
    }

    /// The image of the agent that makes the call in a cluster, if one shall.
    fn agent(&self) -> Option<&str> {
        self.agent.as_deref().filter(|_| self.probe)
    }

    const fn probing(&self) -> Probing {
        match self.probe {
            true => Probing::Always,
            false => Probing::Never,
        }
    }

    /// The first call of the scenario that fails. `None`: interrupted.
    fn of_scenario(&self, name: &str) -> anyhow::Result<Option<Diagnosis>> {
        let root = root()?;
        let catalogue = Catalogue::load(&root)?;
        let scenario = find(&catalogue, name)?;
        if let Err(reason) = runnable(scenario, Tier::Local) {
            return Err(BadInput(format!("{name} cannot be run here: {reason}")).into());
        }
        let has_phase = |it: &String| scenario.file.spec.phases.iter().any(|phase| phase.name == *it);
        if let Some(phase) = self.phase.as_ref().filter(|it| !has_phase(it)) {
            let phases: Vec<&str> = scenario
                .file
                .spec
                .phases
                .iter()
                .map(|it| it.name.as_str())
                .collect();
            let known = phases.join(", ");
            return Err(BadInput(format!("{name} has no phase `{phase}`; it has {known}")).into());
        }
        let settings = Settings {
            access_logs: AccessLogs::OursAndIstio(Visibility::embedded()?),
            ..Settings::default()
        };
        let work = first_failure(scenario, self.phase.as_deref(), &settings, self.probing());
        let Some(found) = Interruptible::new()?.run(work)? else {
            return Ok(None);
        };
        let found = found?;
        let diagnosed = found.ok_or_else(|| BadInput(format!("{name} makes no call there")))?;
        Ok(Some(diagnosed.diagnosis))
    }

    fn of_context(&self, name: &str) -> anyhow::Result<Exit> {
        let interruptible = Interruptible::new()?;
        let scope = Scope {
            control_plane: self.istio_namespace.clone(),
            ..Scope::default()
        };
        let Some(read) = interruptible.run(self.of_cluster(name, &scope))? else {
            return Ok(Exit::Interrupted);
        };
        let (context, case) = read?;
        let (subject, snapshot) = (case.subject.clone(), case.snapshot.clone());
        let diagnosis = diagnose(case)?;
        let is_text = self.output == Output::Text;
        if is_text {
            outln!("{}", diagnosis_text(&diagnosis)?);
        }
        let done = match &subject {
            Subject::Call(call) if self.apply && diagnosis.found_failure() => {
                let patient = apply::Patient {
                    context: &context,
                    scope: &scope,
                    release: &self.istio,
                    snapshot: &snapshot,
                    call,
                };
                let manner = apply::Manner {
                    yes: self.yes,
                    window: Duration::from_secs(self.watch),
                    agent: self.agent(),
                };
                Some(apply::apply(&diagnosis, &patient, &manner, &interruptible)?)
            }
            _ => None,
        };
        match &done {
            Some(done) if is_text => outln!("{}", done.text()),
            _ if is_text => {}
            _ => {
                let mut json = diagnosis_json(&diagnosis)?;
                if let Some(done) = &done {
                    json["applied"] = serde_json::to_value(done)?;
                }
                outln!("{json}");
            }
        }
        Ok(done.map_or_else(|| exit(&diagnosis), |it| it.exit()))
    }

    fn of_files(&self) -> anyhow::Result<Case> {
        let (snapshot, mixed) = self.read()?;
        let subject = self.subject(&snapshot)?;
        let missing = || "the input is no cluster that can be asked".to_owned();
        let observed = Observed {
            istiod: Shown::Missing(missing()),
            probe: Shown::Missing(missing()),
            ..Observed::default()
        };
        Ok(case(snapshot, mixed, observed, subject))
    }

    async fn of_cluster(&self, name: &str, scope: &Scope) -> anyhow::Result<(Context, Case)> {
        let context = Context::open(name, self.kubeconfig.as_deref()).await?;
        let (snapshot, mixed) = inspection::objects(&context, scope, &self.istio).await?;
        let subject = self.subject(&snapshot)?;
        let inspection = Inspection {
            context: &context,
            snapshot: &snapshot,
            control_plane: &self.istio_namespace,
            since: None,
        };
        let observed = match self.agent() {
            Some(agent) => inspection.observe_and_probe(&subject, agent).await,
            None => inspection.observe(&subject).await,
        };
        let case = case(snapshot, mixed, observed, subject);
        Ok((context, case))
    }

    fn read(&self) -> anyhow::Result<(Snapshot, Mixed)> {
        let mut snapshot = Snapshot::new(self.istio.clone());
        let mut mixed = Mixed::default();
        if let Some(path) = &self.bundle {
            load_bundle(path, &mut snapshot, &mut mixed)?;
        }
        if let Some(missing) = self.file.iter().find(|it| !it.exists()) {
            return Err(BadInput(format!(
                "cannot read {}: there is no such file",
                missing.display()
            ))
            .into());
        }
        snapshot.load_mixed(&self.file, &mut mixed);
        if snapshot.objects().next().is_none() {
            let none = "the input holds no object; name --bundle FILE, -f PATH, --context CONTEXT, or --scenario NAME";
            return Err(BadInput(none.to_owned()).into());
        }
        Ok((snapshot, mixed))
    }

    fn subject(&self, snapshot: &Snapshot) -> anyhow::Result<Subject> {
        let topology = Topology::new(snapshot, None);
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            let from =
                resolve_workload(from, topology.workloads.keys()).map_err(|error| reference(&error))?;
            let targets = address::resolve(to, &from.namespace, &topology, false);
            let targets = targets.map_err(|error| destination(&error))?;
            let [target] = targets.as_slice() else {
                return Err(BadInput(format!("--to {to} names several destinations; name one")).into());
            };
            return Ok(Subject::Call(Box::new(Call {
                kind: CallKind::App,
                payload: match self.payload {
                    Spoken::Http => Payload::Http,
                    Spoken::Tcp => Payload::Tcp,
                },
                ..Call::app(from, target.destination.clone())
            })));
        }
        match &self.namespace {
            None => Ok(Subject::Mesh),
            Some(namespace) => {
                let mut known = topology.workloads.keys().map(|it| &it.namespace);
                match known.any(|it| it == namespace) {
                    true => Ok(Subject::Namespace(namespace.clone())),
                    false => Err(BadInput(format!("no workload is in namespace `{namespace}`")).into()),
                }
            }
        }
    }
}

fn exit(diagnosis: &Diagnosis) -> Exit {
    match diagnosis.found_failure() {
        true => Exit::Falsified,
        false => Exit::Held,
    }
}

fn case(snapshot: Snapshot, mixed: Mixed, observed: Observed, subject: Subject) -> Case {
    Case {
        snapshot,
        mixed,
        observed,
        now: Timestamp::now(),
        subject,
    }
}
