//! The matrix as jobs of a GitHub workflow.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Matrix, Platform, Row};

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
    /// The releases of the cluster that it needs.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct Cluster {
    /// Of the control plane.
    istio: String,
    /// The minor release, as `1.32`.
    kubernetes: String,
}

/// What `strategy.matrix` of a job takes, as JSON: a job for each shard of each row on each platform, and where a cluster is
/// needed for each cluster.
#[must_use]
pub fn github(matrix: &Matrix) -> String {
    let mut include = Vec::new();
    for row in &matrix.rows {
        for (platform, runner) in &row.runners {
            for cluster in clusters(row, *platform) {
                for number in 1..=row.shards {
                    let shard = format!("{number}/{}", row.shards);
                    let of = cluster.as_ref().map_or_else(String::new, |it| {
                        format!(" with Istio {} on Kubernetes {}", it.istio, it.kubernetes)
                    });
                    include.push(Job {
                        name: format!("{} on {platform}{of}, {shard}", row.name),
                        runner,
                        row: &row.name,
                        platform: *platform,
                        shard,
                        cluster: cluster.clone(),
                    });
                }
            }
        }
    }
    serde_json::to_string(&Jobs { include }).unwrap_or_default()
}

/// The clusters that the cells of a row need; one `None` where they need none.
fn clusters(row: &Row, platform: Platform) -> BTreeSet<Option<Cluster>> {
    row.on(platform)
        .map(|cell| {
            let (istio, kubernetes) = (cell.releases.istio.as_ref()?, cell.kubernetes_minor()?);
            Some(Cluster {
                istio: istio.to_string(),
                kubernetes,
            })
        })
        .collect()
}
