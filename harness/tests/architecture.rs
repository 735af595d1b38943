//! The shape of the library: which module may know which, and how long a file may be.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every module of the library in the order in which data flows, with all it may know. Each knows only modules above it,
/// so there is no circle.
const ALLOWED: &[(&str, &[&str])] = &[
    ("invocation", &[]),
    ("outcome", &[]),
    ("visibility", &[]),
    ("call", &[]),
    ("network_namespace", &[]),
    ("child", &["network_namespace"]),
    ("docker", &["child"]),
    ("one_or_many", &[]),
    ("reference", &["call"]),
    ("kubernetes", &[]),
    ("snapshot", &["invocation", "kubernetes", "reference"]),
    ("guardrails", &["snapshot"]),
    ("pki", &["call"]),
    ("fault", &["call", "one_or_many", "outcome", "pki", "reference"]),
    (
        "istio",
        &["call", "fault", "outcome", "pki", "reference", "snapshot"],
    ),
    ("audit", &["call", "fault", "istio", "outcome", "pki", "snapshot"]),
    (
        "cluster",
        &["invocation", "istio", "kubernetes", "pki", "snapshot"],
    ),
    ("probe", &["call", "network_namespace", "outcome", "pki"]),
    ("kernel", &["child", "network_namespace", "probe"]),
    ("wire", &["network_namespace", "outcome", "probe"]),
    (
        "envoy",
        &[
            "call",
            "child",
            "fault",
            "invocation",
            "istio",
            "network_namespace",
            "probe",
            "visibility",
        ],
    ),
    (
        "mesh",
        &[
            "call",
            "child",
            "docker",
            "envoy",
            "fault",
            "invocation",
            "istio",
            "kernel",
            "kubernetes",
            "network_namespace",
            "outcome",
            "pki",
            "probe",
            "snapshot",
            "visibility",
            "wire",
        ],
    ),
    (
        "scenario",
        &[
            "call",
            "envoy",
            "fault",
            "invocation",
            "istio",
            "mesh",
            "one_or_many",
            "outcome",
            "probe",
            "reference",
            "snapshot",
        ],
    ),
    ("claims", &["reference", "scenario"]),
    (
        "matrix",
        &["invocation", "istio", "mesh", "reference", "scenario", "snapshot"],
    ),
    ("logs", &["invocation", "outcome"]),
    (
        "diagnose",
        &[
            "audit", "call", "fault", "istio", "logs", "outcome", "pki", "snapshot",
        ],
    ),
    (
        "inspection",
        &[
            "call",
            "diagnose",
            "envoy",
            "istio",
            "kubernetes",
            "logs",
            "outcome",
            "probe",
            "snapshot",
        ],
    ),
    (
        "remediation",
        &[
            "call",
            "diagnose",
            "fault",
            "inspection",
            "istio",
            "kubernetes",
            "snapshot",
        ],
    ),
    ("symptom", &["call", "outcome", "probe"]),
    (
        "report",
        &[
            "audit",
            "call",
            "claims",
            "diagnose",
            "envoy",
            "fault",
            "invocation",
            "istio",
            "kernel",
            "mesh",
            "network_namespace",
            "outcome",
            "probe",
            "scenario",
            "symptom",
            "wire",
        ],
    ),
    (
        "preflight",
        &[
            "audit",
            "call",
            "fault",
            "istio",
            "mesh",
            "outcome",
            "probe",
            "reference",
            "scenario",
            "snapshot",
        ],
    ),
    (
        "explore",
        &[
            "call",
            "fault",
            "istio",
            "mesh",
            "one_or_many",
            "outcome",
            "pki",
            "probe",
            "reference",
            "scenario",
            "snapshot",
        ],
    ),
    (
        "chaos",
        &[
            "call",
            "child",
            "envoy",
            "fault",
            "istio",
            "logs",
            "mesh",
            "network_namespace",
            "outcome",
            "probe",
            "scenario",
            "visibility",
        ],
    ),
    (
        "rehearsal",
        &[
            "call",
            "diagnose",
            "inspection",
            "istio",
            "mesh",
            "outcome",
            "probe",
            "scenario",
            "snapshot",
        ],
    ),
    ("recognition", &["logs", "mesh", "outcome", "probe", "scenario"]),
    (
        "bench",
        &[
            "call",
            "docker",
            "envoy",
            "fault",
            "istio",
            "kernel",
            "logs",
            "mesh",
            "outcome",
            "probe",
            "recognition",
            "report",
            "scenario",
            "snapshot",
            "visibility",
            "wire",
        ],
    ),
];

/// What must never be known, whatever else changes above: the rules that make a verdict worth something.
const NEVER: &[(&str, &[&str], &str)] = &[
    (
        "istio",
        &["envoy", "mesh", "probe"],
        "a prediction observes nothing",
    ),
    (
        "audit",
        &["envoy", "mesh", "probe"],
        "an audit rests on prediction; what is observed confirms it",
    ),
    (
        "probe",
        &["fault", "istio", "mesh", "scenario"],
        "what is observed does not depend on what is predicted, broken, or expected",
    ),
    ("mesh", &["scenario"], "a mesh answers calls and has no opinion"),
    (
        "diagnose",
        &["claims", "mesh", "probe", "scenario"],
        "a diagnosis rests on what a cluster shows; what was broken is held against it",
    ),
    (
        "logs",
        &["mesh", "probe", "scenario"],
        "what lines tell is held against what was observed of their calls",
    ),
];

/// Lines of a file in the middle, of nine in ten, and of any that does not say at its top what it is long because of.
const MIDDLE: usize = 150;
const NINE_IN_TEN: usize = 450;
const LONGEST: usize = 600;
const REASON: &str = "Long because";

#[test]
fn modules_know_only_what_they_may_and_nothing_knows_itself_in_a_circle() {
    let known = dependencies();
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ALLOWED
        .iter()
        .map(|(module, others)| (*module, others.iter().copied().collect()))
        .collect();
    let mut wrong = Vec::new();
    for (module, others) in &known {
        let Some(allowed) = allowed.get(module.as_str()) else {
            wrong.push(format!("{module} is not in the table"));
            continue;
        };
        let actual: BTreeSet<&str> = others.keys().map(String::as_str).collect();
        for other in actual.difference(allowed) {
            wrong.push(format!(
                "{module} may not know {other}: {}",
                others[*other].display()
            ));
        }
        for other in allowed.difference(&actual) {
            wrong.push(format!("{module} does not know {other} (any more)"));
        }
    }
    for (index, (module, others)) in ALLOWED.iter().enumerate() {
        let above: Vec<&str> = ALLOWED[..index].iter().map(|(name, _)| *name).collect();
        for other in *others {
            if !above.contains(other) {
                wrong.push(format!("{module} would know {other}, which is not above it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_observes_knows_nothing_of_what_judges() {
    for (module, others, why) in NEVER {
        let (_, allowed) = ALLOWED.iter().find(|(name, _)| name == module).unwrap();
        for other in *others {
            assert!(!allowed.contains(other), "{module} may never know {other}: {why}");
        }
    }
}

#[test]
fn tiers_know_nothing_of_each_other() {
    let tiers = ["docker", "kubernetes", "local", "netns", "replay"];
    for tier in tiers {
        for file in sources().filter(|file| is_below(file, &format!("mesh/{tier}"))) {
            let text = code(&file);
            for other in tiers.iter().filter(|other| **other != tier) {
                assert!(
                    !text.contains(&format!("mesh::{other}")),
                    "{} names {other}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn a_file_can_be_read_in_one_sitting() {
    let mut lengths: Vec<(usize, PathBuf)> = sources()
        .map(|file| (std::fs::read_to_string(&file).unwrap().lines().count(), file))
        .collect();
    lengths.sort();
    let at = |share: usize| lengths[(lengths.len() - 1) * share / 100].0;
    assert!(at(50) <= MIDDLE, "median {}", at(50));
    assert!(at(90) <= NINE_IN_TEN, "90th percentile {}", at(90));
    let too_long: Vec<String> = lengths
        .iter()
        .filter(|(length, file)| *length > LONGEST && !says_why(file))
        .map(|(length, file)| format!("{} has {length} lines", file.display()))
        .collect();
    assert!(too_long.is_empty(), "{}", too_long.join("\n"));
}

fn says_why(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let mut top = text.lines().take_while(|line| line.starts_with("//!"));
    top.any(|line| line.contains(REASON))
}

/// For every module, which others its code names, and where.
fn dependencies() -> BTreeMap<String, BTreeMap<String, PathBuf>> {
    let mut found: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for file in sources() {
        let relative = file.strip_prefix(source()).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "lib" || is_test(relative) {
            continue;
        }
        let others = found.entry(module.clone()).or_default();
        let text = code(&file);
        for (_, after) in text
            .match_indices("crate::")
            .map(|(at, it)| text.split_at(at + it.len()))
        {
            let name: String = after
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if name != module {
                others.entry(name).or_insert_with(|| relative.to_owned());
            }
        }
    }
    found
}

/// A file without its comments and its own tests.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<&str>>().join("\n")
}

fn is_test(relative: &Path) -> bool {
    // Modules that only tests compile.
    relative.iter().any(|part| {
        let part = part.to_str().unwrap().trim_end_matches(".rs");
        part == "tests" || part == "recorded"
    })
}

fn is_below(file: &Path, folder: &str) -> bool {
    let relative = file.strip_prefix(source()).unwrap().with_extension("");
    relative.starts_with(folder)
}

fn sources() -> impl Iterator<Item = PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(&source(), &mut found);
    found.into_iter()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
