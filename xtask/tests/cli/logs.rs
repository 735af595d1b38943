//! `logs`: what it reads, in whatever wrapping and state; what it prints; and what it says of what it cannot read.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use kubernetes_double::{Cut, Double, Setup};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::session::{Ended, Session, eventually};

/// A client whose server closes, as two causes make it; and the server's line of the same connection, which decides.
const CLIENT: &str = r#"[2026-11-22T04:50:42.383Z] "GET /x?token=secret HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl" "r1" "payment:8080" "10.0.0.7:8080" outbound|8080||payment.payments.svc.cluster.local 10.0.0.6:49972 10.1.1.1:8080 10.0.0.6:48298 - default"#;
const SERVER: &str = r#"{"start_time":"2026-11-22T04:50:42.385Z","response_code":0,"response_flags":"NR","response_code_details":"filter_chain_not_found","downstream_transport_failure_reason":null,"tls_inspector_failure":"ClientHelloNotDetected","downstream_local_address":"10.0.0.7:8080","downstream_remote_address":"10.0.0.6:49972"}"#;
const HEALTHY: &str = r#"[2026-11-22T04:50:43.383Z] "GET /x HTTP/1.1" 200 - via_upstream - "-" 0 95 1 0 "-" "curl" "r2" "payment:8080" "10.0.0.7:8080" outbound|8080||payment.payments.svc.cluster.local 10.0.0.6:49974 10.1.1.1:8080 10.0.0.6:48299 - default"#;
const DENIED: &str = r#"[2026-11-22T04:52:42.383Z] "GET /x HTTP/1.1" 403 - rbac_access_denied_matched_policy[none] - "-" 0 19 0 - "-" "curl/8" "r3" "payment:8080" "-" inbound|8080|| - 10.0.0.7:8080 10.0.0.6:48298 outbound_.8080_._.payment.payments.svc.cluster.local default"#;

fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What is found in a log given on standard input.
fn read(session: &Session, log: &[u8], arguments: &[&str]) -> Ended {
    let mut child = session
        .command(&[&["logs", "-"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(log).unwrap();
    Ended::from(child.wait_with_output().unwrap())
}

/// Outcomes and who called, as JSON lines have them.
fn found(ended: &Ended) -> Vec<(String, Option<String>)> {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let finding = |line: &str| {
        let finding: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| finding[key].as_str().map(str::to_owned);
        (text("outcome").unwrap(), text("workload"))
    };
    ended.out.lines().map(finding).collect()
}

#[test]
fn a_line_that_leaves_it_open_is_decided_by_the_other_end() {
    let session = Session::new();
    let json = ["--output", "json"];
    let outcome = |log: &str| found(&read(&session, log.as_bytes(), &json));
    let by = |outcome: &str, who: &str| (outcome.to_owned(), Some(who.to_owned()));
    assert_eq!(outcome(&lines(&[CLIENT])), [by("unknown", "10.0.0.6")]);
    assert_eq!(
        outcome(&lines(&[CLIENT, HEALTHY, SERVER])),
        [by("plaintext-to-strict", "10.0.0.6")]
    );
    assert_eq!(outcome(&lines(&[HEALTHY, HEALTHY])), []);
}

#[test]
fn a_summary_says_what_to_do_and_which_scenario_shows_it() {
    let session = Session::new();
    let ended = read(
        &session,
        lines(&[CLIENT, SERVER, HEALTHY, DENIED]).as_bytes(),
        &[],
    );
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    insta::assert_snapshot!(ended.out);
}

#[test]
fn json_is_one_object_per_finding_without_the_query_of_its_path() {
    let session = Session::new();
    let ended = read(
        &session,
        lines(&[CLIENT, SERVER]).as_bytes(),
        &["--output", "json"],
    );
    let finding = ended.json();
    assert_eq!(
        finding,
        json!({
            "time": "2026-11-22T04:50:42.383Z",
            "outcome": "plaintext-to-strict",
            "side": "server",
            "about": "mtls",
            "view": "client",
            "layer": "envoy",
            "upstream": "payment.payments.svc.cluster.local:8080",
            "namespace": "payments",
            "workload": "10.0.0.6",
            "requestId": "r1",
            "pattern": "nr-plaintext",
            "corroborated": 1,
            "sample": CLIENT.replace("token=secret", "…"),
            "source": "-",
        })
    );
}

#[test]
fn whatever_wraps_a_line_it_is_read() {
    let session = Session::new();
    let pod = |name: &str| Some(name.to_owned());
    let bare = pod("10.0.0.6");
    for (wrapped, workload) in [
        (
            format!("[pod/checkout-7d4/istio-proxy] {CLIENT}\n"),
            pod("checkout-7d4"),
        ),
        (format!("2026-11-22T04:50:42.400000000Z {CLIENT}\n"), bare.clone()),
        (
            format!("2026-11-22T04:50:42.4Z stdout F {CLIENT}\n"),
            bare.clone(),
        ),
        (
            format!("checkout-7d4 istio-proxy {CLIENT}\n"),
            pod("checkout-7d4"),
        ),
        (
            format!("payments checkout-7d4 istio-proxy {CLIENT}\n"),
            pod("checkout-7d4"),
        ),
        (
            format!(
                "{}\n",
                json!({"podName": "checkout-7d4", "namespace": "payments", "message": CLIENT})
            ),
            pod("checkout-7d4"),
        ),
        (
            format!("{}\n", json!({"log": format!("{CLIENT}\n"), "stream": "stdout"})),
            bare.clone(),
        ),
        (format!("{CLIENT}\r\n{HEALTHY}\r\n"), bare.clone()),
        (CLIENT.to_owned(), bare.clone()),
        (
            format!("\u{1b}[32mcheckout-7d4\u{1b}[0m \u{1b}[36mistio-proxy\u{1b}[0m {CLIENT}\n"),
            pod("checkout-7d4"),
        ),
    ] {
        let ended = read(&session, wrapped.as_bytes(), &["--output", "json"]);
        assert_eq!(found(&ended), [("unknown".to_owned(), workload)], "{wrapped}");
    }
}

#[test]
fn damaged_bytes_are_counted_and_hide_nothing() {
    let session = Session::new();
    let mut log = b"\xff\xfe TLS_error broken \x00\n".to_vec();
    log.extend(vec![b'x'; 1 << 20]);
    log.push(b'\n');
    log.extend(lines(&[CLIENT, SERVER]).into_bytes());
    let ended = read(&session, &log, &[]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(
        ended.out.contains("plaintext-to-strict by server"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("1 with NUL bytes; 1 not UTF-8"),
        "{}",
        ended.out
    );
}

#[test]
fn packed_files_are_read_by_their_content_and_both_ends_in_one_run() {
    let session = Session::new();
    let client = session.path("client.log.gz");
    let mut gzip = flate2::write::GzEncoder::new(File::create(&client).unwrap(), flate2::Compression::fast());
    gzip.write_all(lines(&[HEALTHY, CLIENT]).as_bytes()).unwrap();
    gzip.finish().unwrap();
    // Its name does not say what it is.
    let server = session.path("server.log");
    let packed = zstd::encode_all(lines(&[SERVER]).as_bytes(), 1).unwrap();
    std::fs::write(&server, packed).unwrap();
    let run = |arguments: &[&str]| session.run(&[&["logs"], arguments].concat());
    let (client, server) = (client.to_str().unwrap(), server.to_str().unwrap());
    let ended = run(&[server, client, "--output", "json"]);
    assert_eq!(
        found(&ended),
        [("plaintext-to-strict".to_owned(), Some("10.0.0.6".to_owned()))]
    );

    let whole = std::fs::read(client).unwrap();
    std::fs::write(client, &whole[..whole.len() - 9]).unwrap();
    let ended = run(&[client, "--output", "json"]);
    assert_eq!(found(&ended).len(), 1, "what came before the damage counts");
    assert!(
        ended
            .err
            .starts_with(&format!("warning: {client} ends before its end: ")),
        "{ended:#?}"
    );
}

#[test]
fn metrics_are_named_as_asked() {
    let session = Session::new();
    let log = lines(&[CLIENT, SERVER, DENIED]);
    for (names, expected) in [
        (
            "meshproof",
            "meshproof_mtls_failures_total{outcome=\"plaintext-to-strict\",side=\"server\",view=\"client\",upstream=\"payment.payments.svc.cluster.local:8080\",namespace=\"payments\"} 1\n",
        ),
        (
            "postmortem",
            "istio_mtls_error_total{error_type=\"plaintext-to-strict\"} 1\n",
        ),
    ] {
        let ended = read(
            &session,
            log.as_bytes(),
            &["--output", "prometheus", "--metric-names", names],
        );
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(ended.out.contains(expected), "{names}: {}", ended.out);
    }
}

#[test]
fn upstreams_beyond_the_limit_are_summed_up() {
    let session = Session::new();
    let many: String = (0..50)
        .map(|n| {
            format!(
                "{}\n",
                CLIENT
                    .replace("payment.payments", &format!("s{n}.payments"))
                    .replace("r1", &format!("r{n}"))
            )
        })
        .collect();
    let ended = read(
        &session,
        many.as_bytes(),
        &["--output", "prometheus", "--max-upstreams", "3"],
    );
    let series: Vec<&str> = ended
        .out
        .lines()
        .filter(|line| line.starts_with("meshproof_mtls_failures_total{"))
        .collect();
    assert_eq!(series.len(), 4, "{series:#?}");
    assert!(
        series
            .iter()
            .any(|it| it.contains("upstream=\"(others)\"") && it.ends_with(" 47"))
    );
}

#[test]
fn bad_input_exits_2_and_names_what_is_wrong() {
    let session = Session::new();
    let folder = session.path("t").display().to_string();
    for (arguments, message) in [
        (
            vec!["logs", "no/such.log"],
            "error: cannot read no/such.log: No such file or directory".to_owned(),
        ),
        (vec!["logs", &folder], format!("error: cannot read {folder}: ")),
        (
            vec!["logs", "--cores", "0"],
            "error: invalid value '0' for '--cores <N>'".to_owned(),
        ),
        (
            vec!["logs", "--output", "xml"],
            "error: invalid value 'xml' for '--output <OUTPUT>'".to_owned(),
        ),
        (
            vec!["logs", "--listen", "127.0.0.1:0"],
            "error: the following required arguments were not provided:\n  --follow".to_owned(),
        ),
        (
            vec!["logs", "--listen", "nowhere", "--follow"],
            "error: invalid value 'nowhere' for '--listen <ADDR>'".to_owned(),
        ),
        (
            vec!["logs", "--self-test", "no-such"],
            "error: there is no scenario no-such".to_owned(),
        ),
        (
            vec!["logs", "--self-test", "--output", "prometheus"],
            "error: --self-test prints text or json".to_owned(),
        ),
    ] {
        let ended = session.run(&arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:#?}");
        assert!(ended.err.starts_with(&message), "{arguments:?}: {ended:#?}");
    }
}

#[test]
fn a_followed_log_is_read_on_as_it_grows_and_is_replaced_and_can_be_scraped() {
    let session = Session::new();
    let path = session.write("access.log", &lines(&[HEALTHY]));
    let mut child = session
        .command(&["logs", "--follow", "--listen", "127.0.0.1:0", "--output", "json"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut announced = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    errors.read_line(&mut announced).unwrap();
    let address = announced
        .trim_end()
        .strip_prefix("metrics are at http://")
        .and_then(|it| it.strip_suffix("/metrics"))
        .unwrap()
        .to_owned();
    let lines_read = |count: u32| {
        let wanted = format!("\nmeshproof_log_lines_total {count}\n");
        eventually(&wanted, || scrape(&address, "/metrics").contains(&wanted));
    };
    lines_read(1);
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(lines(&[SERVER]).as_bytes()).unwrap();
    lines_read(2);
    std::fs::rename(&path, session.path("access.log.1")).unwrap();
    std::fs::write(&path, lines(&[CLIENT])).unwrap();
    lines_read(3);
    assert!(scrape(&address, "/elsewhere").starts_with("HTTP/1.1 404 "));

    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(
        child.wait().unwrap().code(),
        Some(0),
        "an interrupt is how following ends"
    );
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains("\"outcome\":\"plaintext-to-strict\""), "{out}");
}

fn scrape(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_self_test_compares_logs_with_what_was_observed() {
    let session = Session::new();
    let ended = session.run(&[
        "logs",
        "--output",
        "json",
        "--self-test",
        "client-certificate-expired",
        "openssl-against-permissive",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let report = ended.json();
    assert_eq!(report["right"], true);
    let [installed, visible] = ["text", "with-visibility"].map(|shown| report["totals"][shown].clone());
    assert_eq!([&installed["mistaken"], &installed["falseAlarms"]], [0, 0]);
    assert_ne!(
        installed["missed"], 0,
        "Istio hides refused client certificates as installed"
    );
    assert_eq!(
        [&visible["missed"], &visible["mistaken"], &visible["unseen"]],
        [0, 0, 1]
    );
    assert_eq!(report["totals"]["json"], installed, "text and JSON say the same");
}

#[test]
fn what_istio_hides_is_explained() {
    let ended = Session::new().run(&["logs", "--explain-visibility"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    insta::assert_snapshot!(ended.out);
}

#[test]
fn the_pods_of_a_cluster_are_read_or_followed() {
    let session = Session::new();
    let double = Double::start(Setup { tls: true });
    for (pod, line) in [("checkout-7d4", CLIENT), ("payment-0", SERVER)] {
        double.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {pod}, namespace: payments}}\nspec: {{containers: [{{name: app}}, {{name: istio-proxy}}]}}\n"
        ));
        double.log(
            "payments",
            pod,
            Some("istio-proxy"),
            &format!("2026-11-22T04:50:42.4Z {line}\n"),
        );
    }
    let kubeconfig = session.write("kubeconfig", &double.kubeconfig("staging", "token"));
    let cluster = [
        "logs",
        "--context",
        "staging",
        "--namespace",
        "payments",
        "--output",
        "json",
        "--kubeconfig",
    ];
    let ended = session.finish(session.command(&cluster).arg(&kubeconfig));
    assert_eq!(
        found(&ended),
        [("plaintext-to-strict".to_owned(), Some("checkout-7d4".to_owned()))]
    );
    assert_eq!(ended.json()["source"], "staging/payments");

    let mut child = session
        .command(&cluster)
        .arg(&kubeconfig)
        .args(["--follow", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut announced = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut announced)
        .unwrap();
    let address = announced
        .trim_end()
        .trim_start_matches("metrics are at http://")
        .trim_end_matches("/metrics")
        .to_owned();
    eventually("both lines are read", || {
        scrape(&address, "/metrics").contains("\nmeshproof_log_lines_total 2\n")
    });
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(out.contains("\"outcome\":\"plaintext-to-strict\""), "{out}");

    // Its release and the pods are answered, their logs are not to their end.
    double.cut(Cut::MidwayAfter(2));
    let ended = session.finish(session.command(&cluster).arg(&kubeconfig));
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    for pod in ["checkout-7d4", "payment-0"] {
        let warning = format!(
            "warning: the API server went away while it was asked for the log of istio-proxy in payments/{pod}: "
        );
        assert!(ended.err.contains(&warning), "{ended:#?}");
    }

    drop(double);
    let ended = session.finish(session.command(&cluster).arg(&kubeconfig));
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(
        ended
            .err
            .starts_with("error: cannot reach the API server of the context staging"),
        "{ended:#?}"
    );
    let ended = session.run(&["logs", "--context", "staging"]);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.err.contains("--namespace <NAMESPACE>"), "{ended:#?}");
}
