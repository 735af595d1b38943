//! What needs Prometheus: its tools judge the metrics, the rules and the route; a chaos run starts it.
//!
//! Where it is not installed, trials are shown as ignored with the reason, when they are listed: a runner that skips at run
//! time counts it as passed.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "cli/session.rs"]
#[expect(dead_code, reason = "shared with the tests of the command line")]
mod session;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use session::{Ended, Session, workspace};

/// Both kinds of failure, an upstream in need of quotes, and a healthy line.
const LOG: &str = r#"[2026-11-22T04:50:42.383Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl" "r1" "payment:8080" "10.0.0.7:8080" outbound|8080||payment.payments.svc.cluster.local 10.0.0.6:49972 10.1.1.1:8080 10.0.0.6:48298 - default
[2026-11-22T04:50:42.385Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" - - 10.0.0.7:8080 10.0.0.6:49972 - -
[2026-11-22T04:50:43.383Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl" "r4" "x:80" "10.0.0.8:8080" outbound|80||a"b\c.example 10.0.0.6:49973 10.1.1.1:8080 10.0.0.6:48298 - default
[2026-11-22T04:52:42.383Z] "GET /x HTTP/1.1" 403 - rbac_access_denied_matched_policy[none] - "-" 0 19 0 - "-" "curl/8" "r3" "payment:8080" "-" inbound|8080|| - 10.0.0.7:8080 10.0.0.6:48298 outbound_.8080_._.payment.payments.svc.cluster.local default
"#;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("the_rules_are_valid", &["promtool"], || {
            passes(tool(
                "promtool",
                &["check", "rules", "manifests/alerts/rules.yaml"],
            ))
        }),
        trial("the_rules_alert_on_what_they_are_for", &["promtool"], || {
            passes(tool(
                "promtool",
                &["test", "rules", "manifests/alerts/rules.test.yaml"],
            ))
        }),
        trial("the_route_is_valid", &["amtool"], || {
            passes(tool(
                "amtool",
                &["check-config", "manifests/alerts/alertmanager.yaml"],
            ))
        }),
        trial(
            "metrics_are_named_and_written_by_convention",
            &["promtool"],
            metrics,
        ),
        trial(
            "an_interrupted_chaos_exits_130_and_leaves_nothing_behind",
            &["prometheus", "prometheus-alertmanager"],
            interrupted,
        ),
        trial(
            "an_alertmanager_that_ends_at_start_is_named_with_its_last_words",
            &["prometheus"],
            ends_at_start,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, needs: &[&str], run: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    let missing = needs.iter().find(|it| installed(it).is_none());
    match missing {
        None => Trial::test(name, run),
        Some(missing) => Trial::test(
            format!("{name} (no {missing}: apt-get install prometheus prometheus-alertmanager)"),
            run,
        )
        .with_ignored_flag(true),
    }
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|it| it.is_file())
}

fn tool(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace());
    command
}

fn passes(mut command: Command) -> Result<(), Failed> {
    let ended = Ended::from(command.output()?);
    match ended.code {
        Some(0) => Ok(()),
        _ => Err(format!("{command:?}: {ended:#?}").into()),
    }
}

fn metrics() -> Result<(), Failed> {
    let session = Session::new();
    let log = session.write("access.log", LOG);
    for names in ["meshproof", "postmortem"] {
        let arguments = ["logs", "--output", "prometheus", "--metric-names", names];
        let exposed = session.finish(session.command(&arguments).arg(&log));
        assert_eq!(exposed.code, Some(0), "{exposed:#?}");
        assert!(exposed.out.contains("plaintext-to-strict"), "{}", exposed.out);
        let mut promtool = tool("promtool", &["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        promtool.stdin.take().unwrap().write_all(exposed.out.as_bytes())?;
        let judged = Ended::from(promtool.wait_with_output()?);
        assert_eq!(judged.code, Some(0), "{names}: {judged:#?}\n{}", exposed.out);
    }
    Ok(())
}

fn interrupted() -> Result<(), Failed> {
    let session = Session::new();
    let mut child = session
        .command(&["chaos", "--workloads", "2"])
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line)?;
    assert!(line.starts_with("2 workloads stand"), "{line}");
    killpg(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT)?;
    assert_eq!(child.wait()?.code(), Some(130));
    session.assert_nothing_left();
    Ok(())
}

fn ends_at_start() -> Result<(), Failed> {
    let session = Session::new();
    let broken = session.write("alertmanager", "#!/bin/sh\necho no room >&2\nexit 1\n");
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut command = session.command(&["chaos", "--workloads", "2", "--alertmanager"]);
    let ended = session.finish(command.arg(&broken));
    assert_eq!(ended.code, Some(4), "{ended:#?}");
    assert!(
        ended
            .err
            .contains("/alertmanager ended (exit status: 1); its last words:\nno room"),
        "{ended:#?}"
    );
    Ok(())
}
