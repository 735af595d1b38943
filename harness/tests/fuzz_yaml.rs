//! The fuzz target of `fuzz/`, as a bounded property test: the same function on mutated seeds, for machines without a
//! nightly compiler. It bounds what it tries, says so in its name, and does not replace the fuzzer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

#[path = "../../fuzz/yaml_entry.rs"]
#[expect(unreachable_pub, reason = "the fuzz target is a crate of its own")]
mod yaml_entry;

use yaml_entry::read_and_predict;

/// Folders whose files are the seeds, from the workspace root.
const SEEDS: [&str; 5] = [
    "manifests/apps",
    "manifests/policies",
    "harness/tests/bad_scenarios",
    "harness/tests/data/examples",
    "harness/tests/data/examples/objects",
];

/// What parsers and arithmetic stumble over.
const TOKENS: &[&str] = &[
    "",
    " ",
    "\n",
    "\t",
    "---\n",
    "...\n",
    "- ",
    ": ",
    "? ",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "|\n",
    ">-\n",
    "#",
    "%YAML 1.2\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!binary ",
    "!x ",
    "~",
    "null",
    "true",
    "0",
    "-1",
    "0x7fffffff",
    "2147483647",
    "-2147483648",
    "4294967296",
    "65535",
    "65536",
    "1e309",
    ".nan",
    ".inf",
    "*",
    "*.",
    ".",
    "..",
    "/",
    "\u{feff}",
    "\u{a0}",
    "\u{2028}",
    "é",
    "𝄞",
    "\u{0}",
    "List",
    "items:\n",
    "STRICT",
    "DISABLE",
    "ISTIO_MUTUAL",
    "None",
    "ExternalName",
    "istio-system",
    "kind: List\n",
    "selector: {}",
    "portLevelMtls: {0: {mode: STRICT}}",
    "clusterIP: None",
    "replicas: 2147483647",
    "targetPort: -1",
];

static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = SEEDS
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let mut files: Vec<_> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let texts: Vec<String> = files
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    // The objects of an example are one scalar; they are worth mutating on their own.
    let mesh = fs::read_to_string(root.join("harness/tests/data/examples/objects/httpbin.yaml")).unwrap();
    let policies = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: foo}
spec: {host: httpbin, workloadSelector: {matchLabels: {app: curl}}, subsets: [{name: v1, labels: {version: v1}}], trafficPolicy: {tls: {mode: MUTUAL}, portLevelSettings: [{port: {number: 8000}, tls: {mode: SIMPLE, sni: x}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: foo}
spec: {hosts: [httpbin, '*'], http: [{route: [{destination: {host: httpbin, subset: v1, port: {number: 8000}}, weight: 1}]}], tcp: [{route: []}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '{trustDomain: a, caCertificates: [{trustDomains: [b]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}'}
";
    texts
        .into_iter()
        .chain([format!("{mesh}---{policies}")])
        .collect()
});

/// One change of a text.
#[derive(Clone, Debug)]
enum Mutation {
    Insert(Index, &'static str),
    Replace(Index, usize, &'static str),
    Delete(Index, usize),
    /// A line of another seed.
    Graft(Index, Index, Index),
    RepeatLine(Index),
    Cut(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let token = || proptest::sample::select(TOKENS);
    prop_oneof![
        (any::<Index>(), token()).prop_map(|(at, token)| Mutation::Insert(at, token)),
        (any::<Index>(), 1..12_usize, token())
            .prop_map(|(at, count, token)| Mutation::Replace(at, count, token)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, count)| Mutation::Delete(at, count)),
        any::<(Index, Index, Index)>().prop_map(|(at, seed, line)| Mutation::Graft(at, seed, line)),
        any::<Index>().prop_map(Mutation::RepeatLine),
        any::<Index>().prop_map(Mutation::Cut),
    ]
}

/// Applies a change; positions count characters.
fn mutated(text: &str, mutation: &Mutation) -> String {
    let at = |index: &Index| {
        let characters = text.chars().count();
        text.char_indices()
            .nth(index.index(characters + 1))
            .map_or(text.len(), |(byte, _)| byte)
    };
    let splice = |start: usize, count: usize, with: &str| {
        let rest = text[start..]
            .char_indices()
            .nth(count)
            .map_or("", |(byte, _)| &text[start + byte..]);
        format!("{}{with}{rest}", &text[..start])
    };
    match mutation {
        Mutation::Insert(index, token) => splice(at(index), 0, token),
        Mutation::Replace(index, count, token) => splice(at(index), *count, token),
        Mutation::Delete(index, count) => splice(at(index), *count, ""),
        Mutation::Cut(index) => text[..at(index)].to_owned(),
        Mutation::Graft(index, seed, line) => {
            let lines: Vec<&str> = seed.get(&TEXTS).split_inclusive('\n').collect();
            let graft = if lines.is_empty() { "" } else { *line.get(&lines) };
            let start = text[..at(index)].rfind('\n').map_or(0, |newline| newline + 1);
            splice(start, 0, graft)
        }
        Mutation::RepeatLine(index) => {
            let end = at(index);
            let start = text[..end].rfind('\n').map_or(0, |newline| newline + 1);
            splice(end, 0, &text[start..end])
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_122),
        ..ProptestConfig::with_cases(1_500)
    })]

    #[test]
    fn no_text_makes_prediction_panic_in_fifteen_hundred_mutations(
        seed in any::<Index>(),
        mutations in prop::collection::vec(mutation(), 0..6),
    ) {
        let text = mutations.iter().fold(seed.get(&TEXTS).clone(), |text, mutation| mutated(&text, mutation));
        read_and_predict(&text);
    }
}

#[test]
fn every_seed_goes_through() {
    assert!(TEXTS.len() > 40);
    TEXTS.iter().for_each(|text| read_and_predict(text));
}

#[test]
fn texts_that_are_made_to_hurt_are_refused_in_time() {
    let bomb = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        format!("{text}a{}: &a{} [*a{n}, *a{n}, *a{n}]\n", n + 1, n + 1)
    });
    let object = "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\nspec: ";
    let texts = [
        "[".repeat(200_000),
        format!("{object}{}", "{a: ".repeat(100_000)),
        format!("{object}{}", "[".repeat(500) + &"]".repeat(500)),
        format!(
            "{object}\n{}",
            (0..3_000).map(|n| " ".repeat(n) + " a:\n").collect::<String>()
        ),
        format!("apiVersion: v1\nkind: Thing\nmetadata: {{name: a}}\n{bomb}"),
        "? ".repeat(50_000),
        "- ".repeat(50_000),
        "\u{feff}---\n".repeat(10_000),
    ];
    let start = std::time::Instant::now();
    texts.iter().for_each(|text| read_and_predict(text));
    // With the aliases unbounded, it took more than half a minute.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
