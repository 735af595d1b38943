//! The matrix as a table for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Costs, Matrix, Row};
use crate::invocation::command;
use crate::scenario::verdict::ReleaseOverrides;

/// A matrix with what it costs.
pub struct MatrixTable<'a> {
    /// The matrix.
    pub matrix: &'a Matrix,
    /// What scenarios cost.
    pub costs: &'a Costs,
}

const HEAD: [&str; 6] = ["row", "tier", "platforms", "pairings", "cells", "jobs"];

impl fmt::Display for MatrixTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = &self.matrix.rows;
        let lines: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned))
            .chain(rows.iter().map(cells))
            .collect();
        let widths: Vec<usize> = (0..HEAD.len())
            .map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0))
            .collect();
        for (number, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                write!(f, "{cell:<width$}  ")?;
            }
            match number.checked_sub(1).map(|number| &rows[number]) {
                None => writeln!(f, "cost")?,
                Some(row) => writeln!(f, "{}", self.cost(row))?,
            }
        }
        for row in rows {
            write!(f, "\n{}: {}", row.name, row.description)?;
            if row.tier.needs_cluster() {
                write!(
                    f,
                    "\n  needs a cluster ({} cluster up), and runs where it is named: --row {} --istio RELEASE",
                    command(),
                    row.name
                )?;
            }
            for (reason, pairings) in unsupported(row) {
                write!(f, "\n  {pairings} left out: {reason}")?;
            }
        }
        for it in &self.matrix.exclusions {
            write!(
                f,
                "\n{} excluded until {}: {}\n  {}",
                counted(it.cells, "cell"),
                it.until,
                it.coordinates(),
                it.reason
            )?;
        }
        Ok(())
    }
}

impl MatrixTable<'_> {
    /// Of one platform, one scenario after the other.
    fn cost(&self, row: &Row) -> String {
        let Some((platform, _)) = row.runners.first() else {
            return String::new();
        };
        let millis: u64 = row.on(*platform).map(|cell| self.costs.of(&cell.scenario)).sum();
        let seconds = millis.div_ceil(1000);
        match seconds {
            0..120 => format!("{seconds} s"),
            longer => format!("{} min", longer.div_ceil(60)),
        }
    }
}

fn cells(row: &Row) -> [String; 6] {
    let platforms: Vec<String> = row
        .runners
        .iter()
        .map(|(platform, _)| platform.to_string())
        .collect();
    let pairings: BTreeSet<&ReleaseOverrides> = row.cells.iter().map(|cell| &cell.releases).collect();
    [
        row.name.clone(),
        row.tier.to_string(),
        platforms.join(", "),
        match Vec::from_iter(pairings).as_slice() {
            [only] if only.is_none() => "as written".to_owned(),
            many => many.len().to_string(),
        },
        row.cells.len().to_string(),
        (row.shards * row.runners.len()).to_string(),
    ]
}

/// How many pairings are left out for each reason.
fn unsupported(row: &Row) -> Vec<(&str, String)> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for it in &row.unsupported {
        *reasons.entry(&it.reason).or_default() += 1;
    }
    let worded = |(reason, count)| (reason, counted(count, "pairing"));
    reasons.into_iter().map(worded).collect()
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}
