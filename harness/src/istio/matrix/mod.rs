//! All calls between all workloads and service ports.
//!
//! A mesh of a thousand workloads has a million calls, and few kinds of them. Callers that nothing distinguishes, and
//! service ports that nothing distinguishes, are put in groups (`kinship`); one call is predicted for each pair of
//! groups, and every other call is looked up by its groups.

mod joint;
mod kinship;
mod verdict;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

pub use joint::{Joint, joint};
pub use verdict::{Decider, Step, Verdict};

use super::predict;
use super::service::{Service, ServicePort};
use super::topology::Topology;
use super::workload::Workload;
use crate::call::{Call, CallKind, Destination, Payload, PodName, WorkloadName};
use crate::fault::Conditions;
use kinship::{CallerKey, Discerned, Kinship};

/// What all calls of a matrix have in common.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CallShape {
    /// Who originates the bytes.
    pub kind: CallKind,
    /// What is spoken inside.
    pub payload: Payload,
    /// ALPN protocols offered by raw TLS calls.
    pub alpn: Vec<String>,
    /// The DestinationRule subset named.
    pub subset: Option<String>,
}

/// A port of a Service; where several workloads are behind it, as one of them answers.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Column {
    /// Namespace and name of the Service.
    pub service: (String, String),
    /// The Service port.
    pub port: u16,
    /// The first pod of the workload that answers, where there are several.
    pub endpoint: Option<PodName>,
}

/// The predictions of all calls between all workloads and service ports.
#[derive(Clone, Debug)]
pub struct Matrix {
    shape: CallShape,
    callers: Vec<WorkloadName>,
    columns: Vec<Column>,
    /// The group of each caller and of each column.
    caller_groups: Vec<u32>,
    column_groups: Vec<u32>,
    group_count: (usize, usize),
    /// The verdict of each pair of groups, row by row.
    cells: Vec<u32>,
    verdicts: Vec<Verdict>,
    /// Whether the caller is what answers: a workload's call to itself.
    own: Vec<Vec<u32>>,
}

impl fmt::Display for Column {
    /// `namespace/service:port`, with `@workload` where several are behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, name) = &self.service;
        write!(f, "{namespace}/{name}:{}", self.port)?;
        match &self.endpoint {
            Some(pod) => write!(f, "@{}", pod.workload.name),
            None => Ok(()),
        }
    }
}

/// One call of a matrix.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    /// Index of the caller.
    pub caller: usize,
    /// Index of the column.
    pub column: usize,
    /// What becomes of the call, and why.
    pub verdict: &'a Verdict,
}

/// Predicts every call between workloads and service ports. Workloads without pods and gateways make no calls.
#[must_use]
pub fn predict_all(topology: &Topology, conditions: &Conditions, shape: &CallShape) -> Matrix {
    predict_ports(topology, conditions, shape, |_| true)
}

/// As [`predict_all`], for the ports that are asked about alone.
#[must_use]
pub fn predict_ports(
    topology: &Topology,
    conditions: &Conditions,
    shape: &CallShape,
    wanted: impl Fn(&ServicePort) -> bool,
) -> Matrix {
    let workloads = topology.workloads.values();
    let callers: Vec<_> = workloads.filter(|it| it.replicas > 0 && !it.gateway).collect();
    let columns: Vec<(&Service, Column)> = topology
        .services
        .values()
        .flat_map(|service| {
            columns(topology, service)
                .into_iter()
                .map(move |it| (service, it))
        })
        .filter(|(service, column)| service.port(column.port).is_some_and(&wanted))
        .collect();
    let kinship = Kinship::new(topology, conditions);
    let keys: Vec<CallerKey<'_>> = callers.iter().map(|it| kinship.caller(it)).collect();
    let callers_by_key = Groups::of(keys.iter());
    let kinds = Groups::of(keys.iter().map(|it| &it.kind)).members;
    let columns_by_key = Groups::of(
        columns
            .iter()
            .map(|(service, column)| kinship.column(service, column)),
    );

    let discerned: Vec<Discerned<'_>> = columns_by_key
        .firsts
        .iter()
        .map(|column| kinship.discerned(columns[*column].0))
        .collect();

    let mut matrix = Matrix {
        shape: shape.clone(),
        own: columns
            .iter()
            .map(|(service, column)| own(&callers, service, column))
            .collect(),
        callers: callers.into_iter().map(|it| it.name.clone()).collect(),
        columns: columns.into_iter().map(|(_, column)| column).collect(),
        group_count: (callers_by_key.firsts.len(), columns_by_key.firsts.len()),
        caller_groups: callers_by_key.members,
        column_groups: columns_by_key.members,
        cells: Vec::new(),
        verdicts: Vec::new(),
    };
    let mut known: HashMap<Verdict, u32> = HashMap::new();
    // Callers of most namespaces are one to most Services: what was predicted for one is so for the others.
    let mut predicted: Vec<HashMap<(u32, Option<&str>), u32>> = vec![HashMap::new(); discerned.len()];
    for &caller in &callers_by_key.firsts {
        for (number, &column) in columns_by_key.firsts.iter().enumerate() {
            let seen = (kinds[caller], discerned[number].seen(keys[caller].namespace));
            let cell = predicted[number].entry(seen).or_insert_with(|| {
                let call = matrix.call(caller, column);
                let verdict = Verdict::new(topology, &call, predict(topology, conditions, &call));
                let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                *known.entry(verdict).or_insert(next)
            });
            matrix.cells.push(*cell);
        }
    }
    let mut verdicts: Vec<_> = known.into_iter().collect();
    verdicts.sort_by_key(|(_, index)| *index);
    matrix.verdicts = verdicts.into_iter().map(|(verdict, _)| verdict).collect();
    matrix
}

impl Matrix {
    /// The calling workloads, by name.
    #[must_use]
    pub fn callers(&self) -> &[WorkloadName] {
        &self.callers
    }

    /// The service ports called, by name.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many groups of callers and of columns there are; what was predicted is their product.
    #[must_use]
    pub const fn group_count(&self) -> (usize, usize) {
        self.group_count
    }

    /// The group of a caller, counted from 0.
    ///
    /// # Panics
    /// When there is no such caller.
    #[must_use]
    pub fn caller_group(&self, caller: usize) -> usize {
        self.caller_groups[caller] as usize
    }

    /// The group of a column, counted from 0.
    ///
    /// # Panics
    /// When there is no such column.
    #[must_use]
    pub fn column_group(&self, column: usize) -> usize {
        self.column_groups[column] as usize
    }

    /// Every distinct verdict.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The index among [`Self::verdicts`] of what becomes of a call.
    ///
    /// # Panics
    /// When there is no such caller or column.
    #[must_use]
    pub fn verdict_index(&self, caller: usize, column: usize) -> usize {
        let row = self.caller_groups[caller] as usize * self.group_count.1;
        self.cells[row + self.column_groups[column] as usize] as usize
    }

    /// Every call, row by row; those of a workload to itself left out, which never pass a sidecar's policies as others do.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        (0..self.callers.len()).flat_map(move |caller| {
            (0..self.columns.len())
                .filter(move |&column| !self.is_own(caller, column))
                .map(move |column| Cell {
                    caller,
                    column,
                    verdict: &self.verdicts[self.verdict_index(caller, column)],
                })
        })
    }

    /// Whether a workload would call itself.
    #[must_use]
    pub fn is_own(&self, caller: usize, column: usize) -> bool {
        self.own[column].iter().any(|it| *it as usize == caller)
    }

    /// One of the calls, to be made or predicted with all its reasons.
    #[must_use]
    pub fn call(&self, caller: usize, column: usize) -> Call {
        let Column {
            service: (namespace, name),
            port,
            endpoint,
        } = &self.columns[column];
        Call {
            from: self.callers[caller].clone(),
            to: Destination::Service {
                namespace: namespace.clone(),
                name: name.clone(),
                port: *port,
            },
            endpoint: endpoint.clone(),
            kind: self.shape.kind,
            payload: self.shape.payload,
            alpn: self.shape.alpn.clone(),
            subset: self.shape.subset.clone(),
        }
    }
}

/// The calls, as (caller, column), whose outcomes differ between two matrices of the same workloads and Services: of two
/// releases, say.
#[must_use]
pub fn differences(one: &Matrix, other: &Matrix) -> Vec<(usize, usize)> {
    let mut known: HashMap<(usize, usize), bool> = HashMap::new();
    let mut differ = |caller, column| {
        let verdicts = (
            one.verdict_index(caller, column),
            other.verdict_index(caller, column),
        );
        let outcome = |matrix: &Matrix, verdict: usize| matrix.verdicts[verdict].outcome();
        *known
            .entry(verdicts)
            .or_insert_with(|| outcome(one, verdicts.0) != outcome(other, verdicts.1))
    };
    let cells = one.cells().map(|cell| (cell.caller, cell.column));
    cells
        .filter(|(caller, column)| differ(*caller, *column))
        .collect()
}

/// Equal keys, numbered in order of appearance.
struct Groups {
    members: Vec<u32>,
    /// The index of the first member of each group.
    firsts: Vec<usize>,
}

impl Groups {
    fn of<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> Self {
        let mut known = HashMap::new();
        let mut groups = Self {
            members: Vec::new(),
            firsts: Vec::new(),
        };
        for (index, key) in keys.enumerate() {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            let group = *known.entry(key).or_insert(next);
            if group == next && groups.firsts.len() == next as usize {
                groups.firsts.push(index);
            }
            groups.members.push(group);
        }
        groups
    }
}

/// One column for each port, or for each workload behind the port where there are several.
fn columns(topology: &Topology, service: &Service) -> Vec<Column> {
    let mut found = Vec::new();
    for port in &service.ports {
        let column = |endpoint| Column {
            service: (service.namespace.clone(), service.name.clone()),
            port: port.port,
            endpoint,
        };
        let answering = topology.answering(service, port.port);
        match answering.as_slice() {
            // Kubernetes refuses a port that is there twice.
            _ if found.iter().any(|it: &Column| it.port == port.port) => {}
            [] | [_] => found.push(column(None)),
            several => found.extend(several.iter().map(|pod| column(Some(pod.clone())))),
        }
    }
    found
}

/// The indexes of callers that would answer themselves; `callers` are in the order of their names.
fn own(callers: &[&Workload], service: &Service, column: &Column) -> Vec<u32> {
    let index = |name: &WorkloadName| {
        let found = callers.binary_search_by(|it| it.name.cmp(name)).ok()?;
        u32::try_from(found).ok()
    };
    match &column.endpoint {
        Some(pod) => index(&pod.workload).into_iter().collect(),
        None => service.workloads.iter().filter_map(index).collect(),
    }
}
