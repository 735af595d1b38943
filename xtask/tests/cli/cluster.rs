//! A cluster or a bundle in place of manifests: the same report, and a clear end where there is none.

use std::process::Command;

use kubernetes_double::{Cut, Double, ISTIO, Setup};

use crate::session::{Ended, Session, workspace};

const CLEAN: &str = include_str!("../../../harness/tests/data/audit/clean.yaml");
const PLAIN_TO_STRICT: &str = include_str!("../../../harness/tests/data/audit/plain-to-strict.yaml");
const RELEASES: [&str; 4] = ["--istio", "1.30.3", "--to", "1.31.1"];

fn cluster(text: &str) -> Double {
    let double = Double::start(Setup { tls: true });
    double.serve(ISTIO);
    double.apply(text);
    double
}

/// What is asked of the cluster of a double.
struct Client<'a> {
    session: &'a Session,
    kubeconfig: String,
}

impl<'a> Client<'a> {
    fn new(session: &'a Session, double: &Double) -> Self {
        let kubeconfig = session.write("kubeconfig", &double.kubeconfig("staging", "token"));
        Self {
            session,
            kubeconfig: kubeconfig.display().to_string(),
        }
    }

    fn run(&self, command: &str, more: &[&str]) -> Ended {
        let cluster = ["--context", "staging", "--kubeconfig", &self.kubeconfig];
        self.session.run(&[&[command], cluster.as_slice(), more].concat())
    }
}

fn findings(ended: &Ended) -> Vec<String> {
    let json = ended.json();
    let findings = json["findings"].as_array().unwrap().iter();
    findings.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_cluster_its_bundle_and_its_manifests_have_one_report() {
    let session = Session::new();
    let mesh = format!("{CLEAN}---\n{PLAIN_TO_STRICT}");
    let double = cluster(&mesh);
    let client = Client::new(&session, &double);
    let file = session.write("mesh.yaml", &mesh).display().to_string();
    let bundle = session.path("mesh.bundle").display().to_string();
    let saved = client.run("snapshot", &["-o", &bundle]);
    assert_eq!(saved.code, Some(0), "{saved:#?}");
    let json = ["--output", "json"];
    let of = |from: &[&str]| session.run(&[&["preflight"], from, &RELEASES, &json].concat());
    let live = client.run("preflight", &[RELEASES.as_slice(), &json].concat());
    let (written, bundled) = (of(&["-f", &file]), of(&["--bundle", &bundle]));
    assert_eq!(live.code, Some(1), "{live:#?}");
    assert!(
        findings(&live)
            .iter()
            .any(|it| it.starts_with("policy.disable-to-strict"))
    );
    assert_eq!(findings(&live), findings(&written));
    assert_eq!(findings(&live), findings(&bundled));
    let predicted = |from: &[&str]| session.run(&[&["predict"], from, &json].concat()).json();
    assert_eq!(predicted(&["--bundle", &bundle]), predicted(&["-f", &file]));
}

#[test]
fn what_may_not_be_read_makes_the_audit_incomplete_there_and_in_a_bundle() {
    let session = Session::new();
    let double = cluster(CLEAN);
    double.user("token", "somebody");
    double.apply(&include_str!("../../../manifests/rbac/preflight.yaml").replace("nodes, ", ""));
    double.user("token", "system:serviceaccount:meshproof:preflight");
    let client = Client::new(&session, &double);
    let ended = client.run("preflight", &RELEASES);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(
        ended.out.contains("may not list nodes in the cluster (403)"),
        "{ended:#?}"
    );
    let allowed = [RELEASES.as_slice(), &["--allow-incomplete"]].concat();
    assert_eq!(client.run("preflight", &allowed).code, Some(0));
    let bundle = session.path("mesh.bundle").display().to_string();
    let saved = client.run("snapshot", &["-o", &bundle]);
    assert!(
        saved.code == Some(0) && saved.err.contains("may not list nodes"),
        "{saved:#?}"
    );
    let ended = session.run(&[&["preflight", "--bundle", &bundle], RELEASES.as_slice()].concat());
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(
        double.seen().iter().all(|it| it.verb == "list"),
        "nothing is written"
    );
}

#[test]
fn a_cluster_that_cannot_be_read_ends_with_what_to_do() {
    let session = Session::new();
    let double = cluster(CLEAN);
    let client = Client::new(&session, &double);
    double.user("other", "admin");
    let refused = client.run("preflight", &RELEASES);
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.err.contains("log in anew"), "{refused:#?}");
    double.user("token", "admin");
    double.cut(Cut::MidwayAfter(5));
    let midway = client.run("snapshot", &["-o", &session.path("half").display().to_string()]);
    assert_eq!(midway.code, Some(3), "{midway:#?}");
    assert!(midway.err.contains("went away while"), "{midway:#?}");
    assert!(
        !session.path("half").exists(),
        "no half bundle under the name of a whole one"
    );
    let kubeconfig = client.kubeconfig.clone();
    let unknown = [
        "preflight",
        "--context",
        "prod",
        "--kubeconfig",
        &kubeconfig,
        "--to",
        "1.31.1",
    ];
    let unknown = session.run(&unknown);
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
    assert!(
        unknown
            .err
            .contains("there is no context prod in the kubeconfig; it has staging")
    );
    drop(double);
    assert_eq!(client.run("preflight", &RELEASES).code, Some(3));
}

#[test]
fn half_a_bundle_is_bad_input() {
    let session = Session::new();
    let file = session.write("mesh.yaml", CLEAN).display().to_string();
    let bundle = session.path("mesh.bundle");
    let name = bundle.display().to_string();
    assert_eq!(session.run(&["snapshot", "-f", &file, "-o", &name]).code, Some(0));
    let whole = std::fs::read(&bundle).unwrap();
    std::fs::write(&bundle, &whole[..whole.len() / 2]).unwrap();
    for command in ["preflight", "predict"] {
        let to: &[&str] = if command == "preflight" {
            &["--to", "1.31.1"]
        } else {
            &[]
        };
        let ended = session.run(&[&[command, "--bundle", &name], to].concat());
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.err.contains("is half a bundle"), "{ended:#?}");
    }
}

#[test]
fn an_incident_becomes_a_scenario_that_holds() {
    let session = Session::new();
    let file = session
        .write("mesh.yaml", &format!("{CLEAN}---\n{PLAIN_TO_STRICT}"))
        .display()
        .to_string();
    let scenario = session.path("outage.yaml").display().to_string();
    let to_scenario = |call: &str| session.run(&["snapshot", "-f", &file, "--call", call, "-o", &scenario]);
    let ended = to_scenario("client,server:80");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let run = session.run(&["scenario", "--file", &scenario]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.out.contains("plaintext-to-strict"), "{run:#?}");
    let unknown = to_scenario("clint,server:80");
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
    assert!(unknown.err.contains("did you mean"), "{unknown:#?}");
}

#[test]
fn it_answers_as_a_plugin_of_kubectl() {
    let session = Session::new();
    let plugin = session.path("kubectl-meshproof");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_xtask"), &plugin).unwrap();
    let file = session.write("mesh.yaml", CLEAN).display().to_string();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&plugin);
        session.finish(command.args(arguments).current_dir(workspace()))
    };
    let audit = [&["preflight", "-f", &file], RELEASES.as_slice()].concat();
    assert_eq!(run(&audit).code, Some(0));
    let help = run(&["preflight", "--help"]);
    assert!(
        help.out.contains("Usage: kubectl meshproof preflight"),
        "{help:#?}"
    );
}
