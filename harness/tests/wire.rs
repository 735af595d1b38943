//! The wire as a witness. Trials that this machine cannot make are listed as ignored, with what is missing.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use meshproof::mesh::{Settings, Tier};
use meshproof::report::attribution_by_wire;
use meshproof::scenario::verdict::{CallResult, Verdict};
use meshproof::scenario::{Catalogue, Options, execute, workspace_root};
use meshproof::wire;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new().unwrap();
    let local = runtime.block_on(wire::measure()).map_err(|it| it.to_string());
    let netns = runtime
        .block_on(Tier::Netns.measure())
        .map_err(|it| it.to_string());
    let trials = [(Tier::Local, local), (Tier::Netns, netns)].map(|(tier, possible)| {
        let name = format!("alerts_are_read_with_who_sent_them::{tier}");
        match possible {
            Ok(()) => Trial::test(name, move || alerts(tier)),
            Err(missing) => Trial::test(name, || Ok(()))
                .with_kind(missing)
                .with_ignored_flag(true),
        }
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// A scenario, the outcome in it that is looked at, and what every call that came to it must have shown.
const SHOWN: [(&str, &str, &str); 6] = [
    (
        "skew-1.24.0",
        "san-mismatch by client",
        "certificate: the client sent alert 46 (certificate_unknown), encrypted",
    ),
    (
        "expired-ca",
        "ca-expired by server",
        "certificate: the server sent alert 45 (certificate_expired), encrypted",
    ),
    (
        "no-key-usage-rsa-tls12",
        "bad-key-usage by server",
        "certificate: the server sent alert 43 (unsupported_certificate)",
    ),
    (
        "missing-sidecar",
        "tls-to-plaintext by server",
        "proxy: the client sent alert 70 (protocol_version)",
    ),
    ("black-hole", "connect-timeout", "tcp: no answer to its SYN"),
    ("skew-1.24.0", "mtls", ""),
];

fn alerts(tier: Tier) -> Result<(), Failed> {
    let root = workspace_root(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let catalogue = Catalogue::load(&root)?;
    let settings = Settings {
        wire: true,
        ..Settings::default()
    };
    let names: BTreeSet<&str> = SHOWN.iter().map(|(name, ..)| *name).collect();
    for name in names {
        let scenario = catalogue.scenarios.iter().find(|it| it.name() == name).unwrap();
        let result = Runtime::new()?.block_on(execute(scenario, &Options::on(tier), &settings, |_| {}))?;
        assert_eq!(result.verdict, Verdict::Held, "{name}: {:?}", result.reason);
        let calls: Vec<&CallResult> = result.phases.iter().flat_map(|phase| &phase.calls).collect();
        for (_, outcome, expected) in SHOWN.iter().filter(|(of, ..)| *of == name) {
            let became = |call: &CallResult| {
                call.observed
                    .as_ref()
                    .is_some_and(|it| it.to_string() == *outcome)
            };
            let shown: BTreeSet<String> = calls
                .iter()
                .filter(|call| became(call))
                .inspect(|call| assert!(!call.evidence.wire.is_empty(), "{name}: nothing of {outcome}"))
                .map(|call| attribution_by_wire(&call.evidence).map_or_else(String::new, |it| it.to_string()))
                .collect();
            assert_eq!(Vec::from_iter(&shown), [expected], "{name}: {outcome}");
        }
    }
    Ok(())
}
