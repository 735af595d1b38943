//! The matrix as jobs of a GitHub workflow.

use serde::Serialize;

use super::{Matrix, Platform};

#[derive(Serialize)]
struct Jobs<'a> {
    include: Vec<Job<'a>>,
}

#[derive(Serialize)]
struct Job<'a> {
    name: String,
    runner: &'a str,
    row: &'a str,
    platform: Platform,
    shard: String,
}

/// What `strategy.matrix` of a job takes, as JSON: a job for each shard of each row on each platform. Rows of tiers that
/// this version does not have are not in it.
#[must_use]
pub fn github(matrix: &Matrix) -> String {
    let mut include = Vec::new();
    for row in matrix.rows.iter().filter(|row| row.offered) {
        for (platform, runner) in &row.runners {
            for number in 1..=row.shards {
                let shard = format!("{number}/{}", row.shards);
                include.push(Job {
                    name: format!("{} on {platform}, {shard}", row.name),
                    runner,
                    row: &row.name,
                    platform: *platform,
                    shard,
                });
            }
        }
    }
    serde_json::to_string(&Jobs { include }).unwrap_or_default()
}
