//! `cargo xtask bench predict`: how fast all calls of a large mesh are predicted, and how that grows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Args;
use meshproof::fault::Conditions;
use meshproof::istio::matrix::{CallShape, Matrix, predict_all};
use meshproof::istio::releases::VERIFIED;
use meshproof::istio::{Topology, predict};
use meshproof::outcome::OutcomeId;
use meshproof::snapshot::Snapshot;

use super::judge;
use crate::exit::Exit;
use crate::output::outln;

/// What a mesh of a thousand workloads may take.
const SECONDS: f64 = 1.0;
const MEGABYTES: u64 = 500;
const GROWTH: f64 = 12.0;

/// How many workloads share a namespace.
const NAMESPACE_SIZE: usize = 50;
/// How many calls are predicted one by one, for the ratio.
const SINGLE: usize = 20_000;

/// Measure predictions of all calls of a large mesh, on one core
///
/// Every workload has a Service with one port, an account, and a name of its own; one in ten has no
/// sidecar. A tenth of the Services is named by a DestinationRule, a tenth of the workloads
/// selected by a PeerAuthentication.
///
///   read     objects to workloads, Services, and policies
///   predict  every call, and looking at the outcome of each
///
/// Then the same with ten times the workloads, in ten times the namespaces, under as many policies
/// for each: the time per call group must not grow more than the workloads did. Needs optimisation
/// to mean anything:
///
///   cargo run --release -p xtask -- bench predict
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Predict {
    /// How many workloads, each with a Service
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = at_least_ten)]
    workloads: usize,

    /// How many policies, half of them PeerAuthentications and half DestinationRules
    #[arg(long, value_name = "N", default_value_t = 200)]
    policies: usize,

    /// Exit 1 if a goal is missed
    #[arg(long)]
    check: bool,
}

impl Predict {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if cfg!(debug_assertions) {
            outln!("not optimised: use cargo run --release -p xtask -- bench predict");
        }
        let base = Measured::of(self.workloads, self.policies)?;
        let memory = peak_megabytes();
        outln!("{}", base.text().trim_end());
        outln!(
            "  memory    {}",
            memory.map_or_else(|| "unknown here".to_owned(), |it| format!("{it} MB at most"))
        );
        outln!(
            "  alone     {:.1} µs for a call, so groups are {:.0} times faster",
            base.alone() * 1e6,
            base.ratio()
        );

        let large = Measured::of(self.workloads * 10, self.policies * 10)?;
        outln!("{}", large.text().trim_end());
        let growth = large.per_caller_group() / base.per_caller_group();
        outln!("growth: 10 times the workloads take {growth:.1} times the time per group of callers");

        let goals = [
            (
                format!("{SECONDS} s for a million calls"),
                base.per_million() <= SECONDS,
            ),
            (format!("{MEGABYTES} MB"), memory.is_none_or(|it| it <= MEGABYTES)),
            (format!("growth {GROWTH}"), growth <= GROWTH),
        ];
        Ok(judge(&goals, self.check))
    }
}

struct Measured {
    workloads: usize,
    calls: usize,
    groups: (usize, usize),
    outcomes: BTreeMap<OutcomeId, usize>,
    read: Duration,
    predict: Duration,
    /// The time of [`SINGLE`] calls one by one, or of all if there are fewer.
    alone: Duration,
    alone_calls: usize,
}

impl Measured {
    fn of(workloads: usize, policies: usize) -> anyhow::Result<Self> {
        let mut snapshot = Snapshot::new(VERIFIED);
        snapshot.add_yaml(&mesh(workloads, policies), "bench")?;
        let (topology, read) = timed(|| Topology::new(&snapshot, None));
        let conditions = Conditions::default();
        let ((matrix, outcomes), predict) = timed(|| {
            let matrix = predict_all(&topology, &conditions, &CallShape::default());
            let outcomes = count(&matrix);
            (matrix, outcomes)
        });
        let step = (matrix.callers().len() * matrix.columns().len())
            .div_ceil(SINGLE)
            .max(1);
        let (alone_calls, alone) = timed(|| {
            let calls = matrix
                .cells()
                .step_by(step)
                .map(|cell| matrix.call(cell.caller, cell.column));
            calls.fold(0, |made, call| {
                black_box(predict_one(&topology, &conditions, &call));
                made + 1
            })
        });
        Ok(Self {
            workloads,
            calls: outcomes.values().sum(),
            groups: matrix.group_count(),
            outcomes,
            read,
            predict,
            alone,
            alone_calls,
        })
    }

    fn text(&self) -> String {
        let (callers, columns) = self.groups;
        let mut text = format!("{} workloads, {} calls\n", self.workloads, self.calls);
        let _ = writeln!(text, "  read      {:.3} s", self.read.as_secs_f64());
        let _ = writeln!(
            text,
            "  predict   {:.3} s in {callers} x {columns} groups, {:.3} s for a million calls",
            self.predict.as_secs_f64(),
            self.per_million(),
        );
        let outcomes: Vec<String> = self
            .outcomes
            .iter()
            .map(|(id, count)| format!("{id} {count}"))
            .collect();
        let _ = writeln!(text, "  outcomes  {}", outcomes.join(", "));
        text
    }

    fn per_million(&self) -> f64 {
        self.predict.as_secs_f64() * 1e6 / as_f64(self.calls.max(1))
    }

    fn per_caller_group(&self) -> f64 {
        self.predict.as_secs_f64() / as_f64(self.groups.0.max(1))
    }

    /// Seconds for a call predicted alone.
    fn alone(&self) -> f64 {
        self.alone.as_secs_f64() / as_f64(self.alone_calls.max(1))
    }

    fn ratio(&self) -> f64 {
        self.alone() * 1e6 / self.per_million()
    }
}

fn predict_one(topology: &Topology, conditions: &Conditions, call: &meshproof::call::Call) -> OutcomeId {
    predict(topology, conditions, call).outcome.id
}

fn count(matrix: &Matrix) -> BTreeMap<OutcomeId, usize> {
    let mut outcomes = BTreeMap::new();
    for cell in matrix.cells() {
        *outcomes.entry(cell.verdict.id).or_default() += 1;
    }
    outcomes
}

/// Half the policies PeerAuthentications, each selecting one workload; half DestinationRules, each naming one Service.
fn mesh(workloads: usize, policies: usize) -> String {
    const MODES: [&str; 3] = ["STRICT", "PERMISSIVE", "DISABLE"];
    const TLS: [&str; 3] = ["ISTIO_MUTUAL", "DISABLE", "SIMPLE"];
    let namespace = |n: usize| n / NAMESPACE_SIZE;
    let mut text = String::new();
    for n in 0..=namespace(workloads.saturating_sub(1)) {
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: ns{n}, labels: {{istio-injection: enabled}}}}\n---\n"
        );
    }
    for n in 0..workloads {
        let ns = namespace(n);
        let port = ["http", "tcp", "grpc", "auto"][n % 4];
        let inject = n % 10 != 9;
        let _ = write!(
            text,
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w{n}, namespace: ns{ns}}}\nspec: {{replicas: 3, selector: {{}}, template: {{metadata: {{labels: {{app: w{n}, sidecar.istio.io/inject: '{inject}'}}}}, spec: {{serviceAccountName: w{n}, containers: [{{name: app}}]}}}}}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: w{n}, namespace: ns{ns}}}\nspec: {{selector: {{app: w{n}}}, ports: [{{name: {port}, port: 8080}}]}}\n---\n"
        );
    }
    for policy in 0..policies / 2 {
        // Spread over the mesh: the policies of a namespace grow with its workloads, not with the mesh.
        let n = policy * workloads / (policies / 2).max(1);
        let (ns, mode, tls) = (namespace(n), MODES[policy % 3], TLS[policy % 3]);
        let _ = write!(
            text,
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: p{policy}, namespace: ns{ns}}}\nspec: {{selector: {{matchLabels: {{app: w{n}}}}}, mtls: {{mode: {mode}}}}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d{policy}, namespace: ns{ns}}}\nspec: {{host: w{n}, trafficPolicy: {{tls: {{mode: {tls}}}}}}}\n---\n"
        );
    }
    text
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

/// The kernel's high-water mark of this process; Linux only.
fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

fn at_least_ten(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 10..) => Ok(count),
        Ok(_) => Err("at least 10".to_owned()),
        Err(error) => Err(format!("{error}")),
    }
}
