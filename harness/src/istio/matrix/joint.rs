//! Two matrices held against each other without looking at each of a million calls.

use std::collections::{BTreeMap, HashMap};

use super::Matrix;

/// Calls that share their verdicts in both of two matrices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Joint {
    /// The index of the verdict in each matrix.
    pub verdicts: (usize, usize),
    /// How many calls.
    pub calls: usize,
    /// One of them, as caller and column.
    pub example: (usize, usize),
}

/// All calls of two matrices of the same workloads and Services, grouped by their two verdicts. Calls of a workload to
/// itself are left out.
#[must_use]
pub fn joint(one: &Matrix, other: &Matrix) -> Vec<Joint> {
    let callers =
        Classes::of((0..one.callers.len()).map(|it| (one.caller_group(it), other.caller_group(it))));
    let columns =
        Classes::of((0..one.columns.len()).map(|it| (one.column_group(it), other.column_group(it))));
    let mut own: HashMap<(usize, usize), usize> = HashMap::new();
    for (column, class) in columns.of.iter().enumerate() {
        for caller in &one.own[column] {
            *own.entry((callers.of[*caller as usize], *class)).or_default() += 1;
        }
    }
    let mut found: BTreeMap<(usize, usize), Joint> = BTreeMap::new();
    for (row, of_row) in callers.members.iter().enumerate() {
        for (class, of_class) in columns.members.iter().enumerate() {
            let calls = of_row.len() * of_class.len() - own.get(&(row, class)).copied().unwrap_or_default();
            let pairs = of_row
                .iter()
                .flat_map(|caller| of_class.iter().map(|column| (*caller, *column)));
            let Some(example) = pairs
                .into_iter()
                .find(|(caller, column)| !one.is_own(*caller, *column))
            else {
                continue;
            };
            let verdicts = (
                one.verdict_index(example.0, example.1),
                other.verdict_index(example.0, example.1),
            );
            let group = found.entry(verdicts).or_insert(Joint {
                verdicts,
                calls: 0,
                example,
            });
            group.calls += calls;
        }
    }
    found.into_values().collect()
}

/// Indexes that belong to the same groups.
struct Classes {
    of: Vec<usize>,
    members: Vec<Vec<usize>>,
}

impl Classes {
    fn of(groups: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut known = HashMap::new();
        let mut classes = Self {
            of: Vec::new(),
            members: Vec::new(),
        };
        for (index, groups) in groups.enumerate() {
            let class = *known.entry(groups).or_insert(classes.members.len());
            if class == classes.members.len() {
                classes.members.push(Vec::new());
            }
            classes.members[class].push(index);
            classes.of.push(class);
        }
        classes
    }
}
