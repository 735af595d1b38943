//! Predictions as text for people, and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::call::Call;
use crate::fault::Conditions;
use crate::istio::matrix::{Matrix, Verdict};
use crate::istio::policy::Because;
use crate::istio::{Prediction, Topology, predict};
use crate::outcome::{Outcome, OutcomeId};

/// How many names are listed before the rest is counted.
const NAMES: usize = 12;

/// One predicted call as JSON. The order of `because` is that of the decision.
#[derive(Clone, Debug, Serialize)]
pub struct PredictedCall {
    from: String,
    to: String,
    call: &'static str,
    /// The pod that answers, where several workloads are behind the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(flatten)]
    outcome: Outcome,
    because: Vec<Because>,
}

impl PredictedCall {
    /// A call and its prediction; `cluster_domain` completes the name of the Service.
    #[must_use]
    pub fn new(call: &Call, prediction: Prediction, cluster_domain: &str) -> Self {
        Self {
            from: call.from.to_string(),
            to: call.to.authority(cluster_domain),
            call: call.kind.as_str(),
            endpoint: call.endpoint.as_ref().map(ToString::to_string),
            outcome: prediction.outcome,
            because: prediction.because,
        }
    }
}

/// An outcome, and below it, indented, what decides it in order.
#[must_use]
pub fn reasons(prediction: &Prediction, indent: &str) -> String {
    let mut text = worded(&prediction.outcome);
    if let Some(reason) = &prediction.outcome.reason {
        let _ = write!(text, "\n{indent}{reason}");
    }
    for (index, because) in prediction.because.iter().enumerate() {
        let _ = write!(text, "\n{indent}{}. ", index + 1);
        if let Some(object) = &because.object {
            let _ = write!(text, "{object}: ");
        }
        let _ = write!(text, "{} ({})", because.rule.meaning(), because.rule);
    }
    text
}

/// A matrix as text: callers down, service ports across, each as few times as they differ, and below it what decides
/// everything that is not mTLS.
#[derive(Clone, Copy, Debug)]
pub struct MatrixText<'a> {
    /// The predictions.
    pub matrix: &'a Matrix,
    /// The mesh they are about.
    pub topology: &'a Topology,
    /// The state of its certificates.
    pub conditions: &'a Conditions,
}

impl MatrixText<'_> {
    /// The whole text.
    #[must_use]
    pub fn render(self) -> String {
        let matrix = self.matrix;
        let (callers, columns) = (matrix.callers().len(), matrix.columns().len());
        let mut text = format!(
            "{callers} workloads, {columns} service ports, Istio {}\n",
            self.topology.release
        );
        if callers == 0 || columns == 0 {
            text.push_str(
                "nobody to call, or nobody to be called: the objects hold no such workload or Service\n",
            );
            return text;
        }
        let codes = Codes::new(matrix);
        let rows = Lines::merged(
            callers,
            |it| matrix.caller_group(it),
            |caller| {
                (0..columns)
                    .map(|column| codes.of(matrix.verdict_index(caller, column)))
                    .collect()
            },
        );
        let cols = Lines::merged(
            columns,
            |it| matrix.column_group(it),
            |column| {
                (0..callers)
                    .map(|caller| codes.of(matrix.verdict_index(caller, column)))
                    .collect()
            },
        );
        self.table(&mut text, &codes, &rows, &cols);
        self.legend(&mut text, &codes);
        text
    }

    fn table(self, text: &mut String, codes: &Codes, rows: &Lines, cols: &Lines) {
        let labels: Vec<String> = rows.0.iter().map(|members| self.row_label(members)).collect();
        let width = labels.iter().map(String::len).max().unwrap_or_default();
        let cell = codes.width().max(cols.0.len().to_string().len());
        let _ = write!(text, "\n{:width$}", "");
        for number in 1..=cols.0.len() {
            let _ = write!(text, "  {number:cell$}");
        }
        text.push('\n');
        for (label, members) in labels.iter().zip(&rows.0) {
            let _ = write!(text, "{label:width$}");
            for column in &cols.0 {
                let shown = if self.is_only_own(members, column) {
                    "-"
                } else {
                    codes.of(self.matrix.verdict_index(members[0], column[0]))
                };
                let _ = write!(text, "  {shown:cell$}");
            }
            trim_line(text);
        }
        text.push_str("\nto\n");
        let number_width = cols.0.len().to_string().len();
        for (index, members) in cols.0.iter().enumerate() {
            let _ = writeln!(
                text,
                "  {:number_width$}  {}",
                index + 1,
                self.column_names(members)
            );
        }
        let several: Vec<_> = rows.0.iter().filter(|members| members.len() > 1).collect();
        if !several.is_empty() {
            text.push_str("\nfrom\n");
            for members in several {
                let _ = writeln!(
                    text,
                    "  {}: {}",
                    self.row_label(members),
                    self.caller_names(members)
                );
            }
        }
    }

    /// What every code means, and for what is not mTLS: which calls, and what decides.
    fn legend(self, text: &mut String, codes: &Codes) {
        for (outcome, code) in &codes.by_outcome {
            let _ = write!(text, "\n{code}  {}\n", worded(&outcome.outcome()));
            if outcome.id == OutcomeId::Mtls {
                continue;
            }
            let of_outcome = self.matrix.verdicts().iter().enumerate();
            for (index, verdict) in of_outcome.filter(|(_, it)| Shown::of(it) == *outcome) {
                self.decided(text, index, verdict);
            }
        }
    }

    fn decided(self, text: &mut String, index: usize, verdict: &Verdict) {
        for (callers, columns) in self.blocks(index) {
            let _ = writeln!(
                text,
                "  {} -> {}",
                self.caller_names(&callers),
                self.column_names(&columns)
            );
        }
        if let (OutcomeId::Unknown, Some(reason)) = (verdict.id, self.reason(index)) {
            let _ = writeln!(text, "    {reason}");
        }
        let width = verdict
            .because
            .iter()
            .map(|step| step.rule.as_str().len())
            .max()
            .unwrap_or_default();
        for step in &verdict.because {
            let _ = writeln!(text, "    {:width$}  {}", step.rule, step.by);
        }
    }

    /// The calls of a verdict as blocks of callers and columns.
    fn blocks(self, verdict: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
        let matrix = self.matrix;
        let (callers, columns) = (matrix.callers().len(), matrix.columns().len());
        let groups = |count, group: &dyn Fn(usize) -> usize| {
            let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            (0..count).for_each(|it| members.entry(group(it)).or_default().push(it));
            members
        };
        let callers = groups(callers, &|it| matrix.caller_group(it));
        let columns = groups(columns, &|it| matrix.column_group(it));
        let mut blocks: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for members in callers.values() {
            let hit = columns
                .values()
                .filter(|column| matrix.verdict_index(members[0], column[0]) == verdict);
            let mut to: Vec<usize> = hit
                .filter(|it| !self.is_only_own(members, it))
                .flatten()
                .copied()
                .collect();
            to.sort_unstable();
            if !to.is_empty() {
                blocks.entry(to).or_default().extend(members);
            }
        }
        blocks
            .into_iter()
            .map(|(to, mut from)| {
                from.sort_unstable();
                (from, to)
            })
            .collect()
    }

    /// Why a verdict is unknown, by the example of one of its calls.
    fn reason(self, verdict: usize) -> Option<String> {
        let (callers, columns) = self.blocks(verdict).into_iter().next()?;
        let call = self.matrix.call(*callers.first()?, *columns.first()?);
        predict(self.topology, self.conditions, &call).outcome.reason
    }

    fn is_only_own(self, callers: &[usize], columns: &[usize]) -> bool {
        callers.len() == 1
            && columns
                .iter()
                .all(|column| self.matrix.is_own(callers[0], *column))
    }

    fn row_label(self, members: &[usize]) -> String {
        let first = &self.matrix.callers()[members[0]];
        match members.len() {
            1 => first.to_string(),
            count => format!("{first} +{}", count - 1),
        }
    }

    fn caller_names(self, members: &[usize]) -> String {
        listed(members, |it| self.matrix.callers()[it].to_string())
    }

    fn column_names(self, members: &[usize]) -> String {
        listed(members, |it| self.matrix.columns()[it].to_string())
    }
}

/// Rows or columns, those that show the same merged.
struct Lines(Vec<Vec<usize>>);

impl Lines {
    /// `shown` is what a line shows; lines of one group show the same.
    fn merged<'c>(
        count: usize,
        group: impl Fn(usize) -> usize,
        shown: impl Fn(usize) -> Vec<&'c str>,
    ) -> Self {
        let mut by_group: BTreeMap<usize, usize> = BTreeMap::new();
        let mut by_content: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
        let mut lines: Vec<Vec<usize>> = Vec::new();
        for index in 0..count {
            let line = *by_group.entry(group(index)).or_insert_with(|| {
                *by_content.entry(shown(index)).or_insert_with(|| {
                    lines.push(Vec::new());
                    lines.len() - 1
                })
            });
            lines[line].push(index);
        }
        Self(lines)
    }
}

/// What a cell shows of a verdict.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Shown {
    id: OutcomeId,
    side: Option<crate::outcome::Side>,
    transport: Option<crate::outcome::Transport>,
    candidates: Vec<OutcomeId>,
}

impl Shown {
    fn of(verdict: &Verdict) -> Self {
        Self {
            id: verdict.id,
            side: verdict.side,
            transport: verdict.transport,
            candidates: verdict.candidates.clone(),
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            side: self.side,
            transport: self.transport,
            candidates: self.candidates.clone(),
            ..Outcome::of(self.id)
        }
    }
}

/// A short code for each outcome: `mtls`, `plain`, `!1` for refusals, `?1` for what is unknown.
struct Codes {
    by_outcome: BTreeMap<Shown, String>,
    by_verdict: Vec<String>,
}

impl Codes {
    fn new(matrix: &Matrix) -> Self {
        let seen: BTreeSet<usize> = matrix
            .cells()
            .map(|cell| matrix.verdict_index(cell.caller, cell.column))
            .collect();
        let mut by_outcome: BTreeMap<Shown, String> = BTreeMap::new();
        let shown = seen
            .iter()
            .map(|it| Shown::of(&matrix.verdicts()[*it]))
            .collect::<BTreeSet<_>>();
        let (mut refusals, mut unknowns) = (0, 0);
        for outcome in shown {
            let code = match outcome.id {
                OutcomeId::Plaintext => "plain".to_owned(),
                OutcomeId::Unknown => {
                    unknowns += 1;
                    format!("?{unknowns}")
                }
                id if id.is_delivered() => id.to_string(),
                _ => {
                    refusals += 1;
                    format!("!{refusals}")
                }
            };
            by_outcome.insert(outcome, code);
        }
        let code = |verdict: &Verdict| {
            by_outcome
                .get(&Shown::of(verdict))
                .cloned()
                .unwrap_or_else(|| "-".to_owned())
        };
        Self {
            by_verdict: matrix.verdicts().iter().map(code).collect(),
            by_outcome,
        }
    }

    fn of(&self, verdict: usize) -> &str {
        &self.by_verdict[verdict]
    }

    fn width(&self) -> usize {
        self.by_verdict.iter().map(String::len).max().unwrap_or_default()
    }
}

fn listed(members: &[usize], name: impl Fn(usize) -> String) -> String {
    let names: Vec<String> = members.iter().take(NAMES).map(|it| name(*it)).collect();
    match members.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn worded(outcome: &Outcome) -> String {
    let mut text = match outcome.id {
        OutcomeId::Mtls => "mtls: delivered, both ends authenticated".to_owned(),
        OutcomeId::Plaintext => "plaintext: delivered without TLS".to_owned(),
        id => id.to_string(),
    };
    if let Some(side) = outcome.side {
        let _ = write!(text, ", refused by the {side}");
    }
    if !outcome.candidates.is_empty() {
        let candidates: Vec<&str> = outcome.candidates.iter().map(|it| it.as_str()).collect();
        let _ = write!(text, ": {}", candidates.join(" or "));
    }
    text
}

fn trim_line(text: &mut String) {
    text.truncate(text.trim_end().len());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;
    use crate::istio::matrix::{CallShape, predict_all};
    use crate::snapshot::Snapshot;

    const MESH: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec: {template: {metadata: {labels: {app: cart}}, spec: {containers: [{name: app}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart-canary, namespace: shop}
spec: {template: {metadata: {labels: {app: cart, sidecar.istio.io/inject: 'false'}}, spec: {containers: [{name: app}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: old, namespace: legacy}
spec: {template: {metadata: {labels: {app: old}}, spec: {containers: [{name: app}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: tcp, port: 90}]}
---
apiVersion: v1
kind: Service
metadata: {name: search, namespace: legacy}
spec: {type: ExternalName, externalName: example.com, ports: [{name: https, port: 443}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 90}, tls: {mode: ISTIO_MUTUAL}}]}}
";

    fn topology(text: &str) -> Topology {
        let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
        snapshot.add_yaml(text, "mesh.yaml").unwrap();
        Topology::new(&snapshot, None)
    }

    fn rendered(topology: &Topology) -> String {
        let conditions = Conditions::default();
        let matrix = predict_all(topology, &conditions, &CallShape::default());
        MatrixText {
            matrix: &matrix,
            topology,
            conditions: &conditions,
        }
        .render()
    }

    #[test]
    fn a_mesh_is_shown_with_like_callers_and_ports_once_and_with_what_decides() {
        insta::assert_snapshot!(rendered(&topology(MESH)));
    }

    #[test]
    fn a_mesh_without_services_says_so() {
        let namespace = MESH.split("---").next().unwrap();
        insta::assert_snapshot!(rendered(&topology(namespace)));
    }

    #[test]
    fn one_call_is_explained_step_by_step() {
        let topology = topology(MESH);
        let conditions = Conditions::default();
        let matrix = predict_all(&topology, &conditions, &CallShape::default());
        let web = matrix
            .columns()
            .iter()
            .position(|it| it.to_string() == "shop/web:80")
            .unwrap();
        let cart = matrix.callers().iter().position(|it| it.name == "cart").unwrap();
        let call = matrix.call(cart, web);
        let prediction = predict(&topology, &conditions, &call);
        let json =
            serde_json::to_string_pretty(&PredictedCall::new(&call, prediction.clone(), "cluster.local"));
        insta::assert_snapshot!(format!(
            "{call}\n  {}\n\n{}",
            reasons(&prediction, "  "),
            json.unwrap()
        ));
    }
}
