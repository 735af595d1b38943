//! `cargo xtask predict`: what becomes of calls, and which objects decide it.

mod input;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use meshproof::call::{Call, CallKind, Payload};
use meshproof::fault::Conditions;
use meshproof::istio::address::{self, Target};
use meshproof::istio::matrix::{CallShape, differences, predict_all};
use meshproof::istio::releases::{self, VERIFIED};
use meshproof::istio::{Prediction, Topology, Workload, predict};
use meshproof::reference::resolve_workload;
use meshproof::report::{MatrixText, PredictedCall, reasons};
use meshproof::snapshot::Snapshot;
use semver::Version;
use serde::Serialize;

use self::input::bad;
pub(crate) use self::input::{destination, reference};
use crate::exit::Exit;

/// Predict what becomes of calls, and which objects decide it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask predict -f my-mesh/                                     every call between workloads and service ports
  cargo xtask predict -f my-mesh/ --from checkout --to payment:8080   one call, with all that decides it
  kubectl get -A pods,svc,ns,pa,dr,vs -o yaml | cargo xtask predict -f -   a live cluster
  cargo xtask predict -f my-mesh/ --diff-release 1.30,1.31          the calls an upgrade changes")]
pub(crate) struct Predict {
    /// Manifests: files, folders with everything below them, or - for stdin
    #[arg(short, long = "file", value_name = "PATH", num_args = 1.., required_unless_present = "bundle")]
    file: Vec<PathBuf>,

    /// A bundle of `cargo xtask snapshot`, or an archive of `istioctl bug-report`
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// The calling workload: name, or namespace/name
    #[arg(long, value_name = "WORKLOAD")]
    from: Option<String>,

    /// The destination: svc:port (in the caller's namespace), svc.ns:port, an FQDN with port, *:port, or
    /// pod/ns/workload:port
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,

    /// Who originates the bytes: app, raw-plaintext, raw-tls, raw-mtls
    #[arg(long, value_name = "KIND", default_value = "app", value_parser = kind)]
    call: CallKind,

    /// What is spoken inside
    #[arg(long, value_enum, default_value_t = Spoken::Http)]
    payload: Spoken,

    /// ALPN protocols that a raw TLS call offers
    #[arg(long, value_name = "PROTOCOLS", value_delimiter = ',')]
    alpn: Vec<String>,

    /// The DestinationRule subset called
    #[arg(long, value_name = "NAME")]
    subset: Option<String>,

    /// The control plane's release, 1.30.3 or 1.30
    #[arg(long, value_name = "VERSION", value_parser = releases::parse, default_value_t = VERIFIED)]
    istio: Version,

    /// List only the calls whose outcome differs between two releases
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = releases::parse, conflicts_with = "istio")]
    diff_release: Vec<Version>,

    /// The mesh's trust domain; goes before what any file says
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: Option<String>,

    /// The namespace of mesh-wide policies; goes before what any file says
    #[arg(long, value_name = "NAMESPACE")]
    root_namespace: Option<String>,

    /// Mesh configuration: bare, a ConfigMap, an IstioOperator, or Helm values; goes before that of the manifests
    #[arg(long, value_name = "FILE")]
    mesh_config: Option<PathBuf>,

    /// How to print predictions
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How predictions are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON array
    Json,
}

/// What the application speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Spoken {
    /// One HTTP request
    Http,
    /// One line over TCP
    Tcp,
    /// One line over TCP, once the server has greeted
    ServerFirst,
}

impl Predict {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        if !self.alpn.is_empty() && !matches!(self.call, CallKind::RawTls | CallKind::RawMtls) {
            return Err(bad(
                "--alpn is for --call raw-tls and --call raw-mtls: a sidecar chooses its own",
            ));
        }
        if self.subset.is_some() && self.call != CallKind::App {
            return Err(bad(
                "--subset is for --call app: raw calls pass no DestinationRule",
            ));
        }
        let snapshot = self.snapshot()?;
        let mut out = std::io::stdout().lock();
        let printed = match self.diff_release.as_slice() {
            [] => self.one_release(&snapshot, &mut out),
            [before, after] => self.two_releases(&snapshot, before, after, &mut out),
            _ => return Err(bad("--diff-release takes two releases, for example 1.30,1.31")),
        };
        match printed {
            // The reader has seen enough: `| head`.
            Err(error)
                if error
                    .downcast_ref()
                    .is_some_and(|it: &std::io::Error| it.kind() == ErrorKind::BrokenPipe) =>
            {
                Ok(Exit::Held)
            }
            printed => printed.map(|()| Exit::Held),
        }
    }

    fn one_release(&self, snapshot: &Snapshot, out: &mut impl Write) -> anyhow::Result<()> {
        let topology = Topology::new(snapshot, None);
        warn(&topology);
        let conditions = Conditions::default();
        let domain = &topology.mesh.cluster_domain;
        let calls: Box<dyn Iterator<Item = Call>> = match self.named_calls(&topology)? {
            Some(calls) if self.output == Output::Text => {
                let blocks = calls.iter().map(|call| {
                    let prediction = predict(&topology, &conditions, call);
                    format!("{call}\n  {}", reasons(&prediction, "  "))
                });
                writeln!(out, "{}", blocks.collect::<Vec<_>>().join("\n\n"))?;
                return Ok(());
            }
            Some(calls) => Box::new(calls.into_iter()),
            None => {
                let matrix = predict_all(&topology, &conditions, &self.shape());
                if self.output == Output::Text {
                    let text = MatrixText {
                        matrix: &matrix,
                        topology: &topology,
                        conditions: &conditions,
                    };
                    out.write_all(text.render().as_bytes())?;
                    return Ok(());
                }
                let cells: Vec<_> = matrix.cells().map(|cell| (cell.caller, cell.column)).collect();
                Box::new(
                    cells
                        .into_iter()
                        .map(move |(caller, column)| matrix.call(caller, column)),
                )
            }
        };
        let predicted = calls.map(|call| {
            let prediction = predict(&topology, &conditions, &call);
            PredictedCall::new(&call, prediction, domain)
        });
        json_array(predicted, out)
    }

    fn two_releases(
        &self,
        snapshot: &Snapshot,
        before: &Version,
        after: &Version,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let topology_of = |release: &Version| {
            let mut snapshot = snapshot.clone();
            snapshot.release = release.clone();
            Topology::new(&snapshot, None)
        };
        let (one, other) = (topology_of(before), topology_of(after));
        warn(&one);
        let conditions = Conditions::default();
        let calls = match self.named_calls(&one)? {
            Some(calls) => calls,
            None => {
                let matrix = predict_all(&one, &conditions, &self.shape());
                let differing = differences(&matrix, &predict_all(&other, &conditions, &self.shape()));
                differing
                    .into_iter()
                    .map(|(caller, column)| matrix.call(caller, column))
                    .collect()
            }
        };
        let both = |call: &Call| {
            (
                predict(&one, &conditions, call),
                predict(&other, &conditions, call),
            )
        };
        let differing = calls.iter().map(|call| (call, both(call))).filter(|(_, (a, b))| {
            !a.outcome.agrees_with(&b.outcome) || a.outcome.candidates != b.outcome.candidates
        });
        if self.output == Output::Json {
            let domain = &one.mesh.cluster_domain;
            let of_release = |release: &Version, call: &Call, prediction: Prediction| OfRelease {
                istio: release.clone(),
                prediction: PredictedCall::new(call, prediction, domain),
            };
            let pairs =
                differing.map(|(call, (a, b))| [of_release(before, call, a), of_release(after, call, b)]);
            return json_array(pairs, out);
        }
        let blocks: Vec<String> = differing
            .map(|(call, (a, b))| {
                let (a, b) = (reasons(&a, "    "), reasons(&b, "    "));
                format!(
                    "{call}
  Istio {before}: {a}
  Istio {after}: {b}"
                )
            })
            .collect();
        match blocks.as_slice() {
            [] => writeln!(out, "no call differs between Istio {before} and {after}")?,
            blocks => writeln!(out, "{}", blocks.join("\n\n"))?,
        }
        Ok(())
    }

    /// The calls that `--from` and `--to` name; none named: every call.
    fn named_calls(&self, topology: &Topology) -> anyhow::Result<Option<Vec<Call>>> {
        let from = match &self.from {
            Some(written) => {
                let name = resolve_workload(written, topology.workloads.keys())
                    .map_err(|error| reference(&error))?;
                let caller = topology.workloads.get(&name).filter(|it| it.replicas > 0);
                Some(caller.ok_or_else(|| bad(format!("workload {name} has no pod to call from")))?)
            }
            None => None,
        };
        match (from, &self.to) {
            (None, None) => Ok(None),
            (Some(caller), None) => Ok(Some(self.to_everybody(caller, topology))),
            (caller, Some(to)) => self.to_named(caller, to, topology).map(Some),
        }
    }

    fn to_everybody(&self, caller: &Workload, topology: &Topology) -> Vec<Call> {
        let matrix = predict_all(topology, &Conditions::default(), &self.shape());
        let cells = matrix
            .cells()
            .filter(|cell| matrix.callers()[cell.caller] == caller.name);
        cells.map(|cell| matrix.call(cell.caller, cell.column)).collect()
    }

    /// Calls of one workload, or of all that know the destination.
    fn to_named(
        &self,
        caller: Option<&Workload>,
        to: &str,
        topology: &Topology,
    ) -> anyhow::Result<Vec<Call>> {
        let everybody = topology
            .workloads
            .values()
            .filter(|it| it.replicas > 0 && !it.gateway);
        let callers: Vec<&Workload> = caller.map_or_else(|| everybody.collect(), |it| vec![it]);
        let mut calls = Vec::new();
        let mut refused = None;
        for caller in callers {
            match address::resolve(to, &caller.name.namespace, topology, false) {
                Ok(targets) => calls.extend(targets.iter().flat_map(|it| self.calls(caller, it, topology))),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) if calls.is_empty() => Err(destination(&error)),
            _ => Ok(calls),
        }
    }

    /// One call, or one to each of several workloads behind the Service.
    fn calls(&self, caller: &Workload, target: &Target<'_>, topology: &Topology) -> Vec<Call> {
        let shape = self.shape();
        let call = |endpoint| Call {
            from: caller.name.clone(),
            to: target.destination.clone(),
            endpoint,
            kind: shape.kind,
            payload: shape.payload,
            alpn: shape.alpn.clone(),
            subset: shape.subset.clone(),
        };
        let answering = target
            .service
            .map(|it| topology.answering(it, target.destination.port()));
        match answering.unwrap_or_default().as_slice() {
            [] | [_] => vec![call(None)],
            several => several.iter().map(|pod| call(Some(pod.clone()))).collect(),
        }
    }

    fn shape(&self) -> CallShape {
        CallShape {
            kind: self.call,
            payload: match self.payload {
                Spoken::Http => Payload::Http,
                Spoken::Tcp => Payload::Tcp,
                Spoken::ServerFirst => Payload::ServerFirst,
            },
            alpn: self.alpn.clone(),
            subset: self.subset.clone(),
        }
    }
}

/// A prediction for one of two releases.
#[derive(Serialize)]
struct OfRelease {
    istio: Version,
    #[serde(flatten)]
    prediction: PredictedCall,
}

/// Element by element: a million calls are not held in memory.
fn json_array(elements: impl Iterator<Item = impl Serialize>, out: &mut impl Write) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(out);
    out.write_all(b"[")?;
    for (index, element) in elements.enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        out.write_all(&serde_json::to_vec(&element)?)?;
    }
    out.write_all(b"\n]\n")?;
    Ok(out.flush()?)
}

#[expect(clippy::print_stderr, reason = "the command's warnings")]
fn warn(topology: &Topology) {
    for finding in topology.findings() {
        eprintln!("warning: {finding}");
    }
}

fn kind(text: &str) -> Result<CallKind, String> {
    let kinds = [
        CallKind::App,
        CallKind::RawPlaintext,
        CallKind::RawTls,
        CallKind::RawMtls,
        CallKind::Mirrored,
    ];
    let found = kinds.into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| format!("known kinds are {}", kinds.map(CallKind::as_str).join(", ")))
}
