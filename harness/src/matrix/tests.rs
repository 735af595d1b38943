use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::civil::{Date, date};
use k8s_openapi::api::batch::v1::Job;

use super::load::of_text;
use super::text::MatrixTable;
use super::*;
use crate::scenario::{Catalogue, workspace_root};
use crate::snapshot::from_yaml;

const TODAY: Date = date(2026, 11, 23);

fn root() -> PathBuf {
    workspace_root(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn catalogue() -> Catalogue {
    Catalogue::load(&root()).unwrap()
}

/// A matrix with these rows and exclusions.
fn matrix(spec: &str) -> Result<Matrix, String> {
    let text = format!(
        "apiVersion: meshproof.dev/v1alpha1\nkind: Matrix\nspec:\n  runners: {{linux: ubuntu, macos: macos}}\n{spec}"
    );
    let root = root();
    of_text(text, &root.join(MATRIX_FILE), &root, &catalogue(), TODAY).map_err(|mistakes| {
        let rendered: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        rendered.join("\n\n")
    })
}

const PAIRS: &str = "  rows:
    - name: pairs
      description: pairings
      tier: local
      istio: [1.31.1]
      client: [1.30.5, 1.31.1]
      server: [1.29.8, 1.30.5, 1.31.1]
      scenarios: [baseline-strict, expired-ca]
      shards: 2
";

#[test]
fn the_matrix_of_the_workspace_has_no_mistake_and_each_tier_that_is_there_has_a_row() {
    let matrix = load(&root(), &catalogue(), TODAY).unwrap();
    for tier in [Tier::Local, Tier::Docker, Tier::Kind] {
        assert!(matrix.rows.iter().any(|row| row.tier == tier), "{tier}");
    }
}

#[test]
fn only_pairings_that_istio_supports_are_run() {
    let matrix = matrix(PAIRS).unwrap();
    let pairs: BTreeSet<String> = matrix.rows[0]
        .cells
        .iter()
        .map(|cell| format!("{:?}", cell.releases.server))
        .collect();
    assert_eq!(matrix.rows[0].cells.len(), 8);
    assert!(!pairs.iter().any(|it| it.contains("1.29")), "{pairs:?}");
    insta::assert_snapshot!(MatrixTable {
        matrix: &matrix,
        costs: Costs::embedded().unwrap()
    });
}

#[test]
fn an_exclusion_takes_its_cells_out_until_its_last_day() {
    let exclude =
        "  exclude:\n    - {client: 1.30.5, scenario: expired-ca, reason: known, until: '2026-11-23'}\n";
    let matrix = matrix(&format!("{PAIRS}{exclude}")).unwrap();
    assert_eq!(matrix.rows[0].cells.len(), 6);
    assert_eq!(matrix.exclusions[0].cells, 2);
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let cases = [
        PAIRS
            .replace("1.29.8", "1.29.88")
            .replace("expired-ca", "expired-cca"),
        PAIRS.replace("      istio: [1.31.1]\n", ""),
        PAIRS.replace("[1.31.1]", "[1.29.0]"),
        PAIRS.replace("tier: local", "tier: kind"),
        PAIRS.replace("shards: 2", "shards: 0\n      kubernetes: ['1.32']"),
        PAIRS.replace("shards: 2", "kubernetes: ['1.32']\n      tags: [skeww]"),
        PAIRS
            .replace("tier: local", "tier: locale")
            .replace("shards", "shard"),
        format!("{PAIRS}  exclude:\n    - {{row: pairs, reason: slow, until: '2026-11-22'}}\n"),
        format!("{PAIRS}  exclude:\n    - {{row: pears, reason: slow, until: '2026-12-01'}}\n"),
        format!("{PAIRS}  exclude:\n    - {{reason: ' ', until: '2026-02-30'}}\n"),
        format!("{PAIRS}  exclude:\n    - {{reason: slow, until: '2026-12-01'}}\n"),
    ];
    let told = cases.map(|case| matrix(&case).unwrap_err());
    insta::assert_snapshot!(told.join("\n\n----\n\n"));
}

#[test]
fn shards_share_all_cells_among_them_and_are_of_about_equal_cost() {
    let matrix = load(&root(), &catalogue(), TODAY).unwrap();
    let costs = Costs::embedded().unwrap();
    let cost = |cells: &[(Tier, &Cell)]| cells.iter().map(|(_, it)| costs.of(&it.scenario)).sum::<u64>();
    let all: Vec<_> = matrix.on(Platform::Linux).collect();
    for of in [1, 2, 3, 7] {
        let shards: Vec<_> = (1..=of)
            .map(|number| Shard::new(number, of).unwrap().of(all.iter().copied(), costs))
            .collect();
        let mut together: Vec<_> = shards.iter().flatten().copied().collect();
        let mut expected = all.clone();
        together.sort();
        expected.sort();
        assert_eq!(together, expected, "{of} shards");
        let dearest = shards.iter().map(|it| cost(it)).max().unwrap();
        let best = cost(&all) / of as u64;
        assert!(dearest <= best + best / 3 + 1, "{of} shards: {dearest}, {best}");
    }
}

#[test]
fn a_shard_that_is_none_says_how_one_is_written() {
    let told = ["2", "0/3", "4/3", "1/0", "a/3", "index/3"].map(|text| {
        let error = Shard::parse(text, None).unwrap_err();
        format!("{text}: {error}")
    });
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(Shard::parse("index/3", Some("2")).unwrap().to_string(), "3/3");
}

#[test]
fn github_is_offered_a_job_for_each_shard_of_each_row() {
    let both = PAIRS.replace("tier: local", "platforms: [linux, macos]\n      tier: local");
    let containers = PAIRS
        .replace("  rows:\n", "")
        .replace("name: pairs", "name: containers")
        .replace("tier: local", "tier: docker");
    let jobs = github(&matrix(&format!("{both}{containers}")).unwrap());
    insta::assert_snapshot!(jobs.replace("},{", "},\n{"));
}

#[test]
fn a_row_that_needs_a_cluster_is_a_job_for_each_cluster() {
    let clusters = PAIRS.replace("tier: local", "tier: kind\n      kubernetes: ['1.36']");
    let jobs = github(&matrix(&clusters).unwrap());
    insta::assert_snapshot!(jobs.replace("},{", "},\n{"));
}

#[test]
fn the_indexed_job_is_one_that_kubernetes_reads() {
    let job = IndexedJob {
        image: "registry.example/meshproof:0.1.0".to_owned(),
        shards: 8,
        claim: "meshproof-results".to_owned(),
    };
    let manifest = job.manifest().unwrap();
    let read: Job = from_yaml(&manifest, "job.yaml").unwrap();
    assert_eq!(read.spec.unwrap().completions, Some(8));
    insta::assert_snapshot!(manifest);
}

#[test]
fn costs_are_of_scenarios_that_there_are() {
    let catalogue = catalogue();
    let strangers: Vec<&str> = Costs::embedded()
        .unwrap()
        .names()
        .filter(|name| catalogue.get(name).is_none())
        .collect();
    assert!(strangers.is_empty(), "remove from {COSTS_FILE}: {strangers:?}");
}

#[test]
fn the_checked_in_schema_is_the_one_of_the_types() {
    let path = root().join(SCHEMA_FILE);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, schema_text()).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == schema_text(),
        "{SCHEMA_FILE} is out of date; refresh it with: UPDATE_SCHEMA=1 cargo test -p meshproof schema"
    );
}
