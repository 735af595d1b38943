//! The tiers that need a cluster: none is taken by default, none that is not allowed, and nothing is created by looking.

use kubernetes_double::{Double, ISTIO, Setup};

use crate::session::{Ended, Session};

/// A user of their own, with a context `staging` in a kubeconfig.
struct User {
    session: Session,
    double: Double,
    kubeconfig: String,
}

impl User {
    fn new() -> Self {
        let session = Session::new();
        let double = Double::start(Setup { tls: true });
        double.serve(ISTIO);
        let kubeconfig = session.write("kubeconfig", &double.kubeconfig("staging", "token"));
        Self {
            kubeconfig: kubeconfig.display().to_string(),
            session,
            double,
        }
    }

    fn allow(&self, contexts: &str) {
        std::fs::create_dir_all(self.session.path("config/meshproof")).unwrap();
        self.session.write("config/meshproof/contexts.yaml", contexts);
    }

    fn run(&self, tier: &str, more: &[&str]) -> Ended {
        let scenario = ["scenario", "baseline-strict", "--on", tier];
        self.command(&[scenario.as_slice(), more].concat())
    }

    fn command(&self, arguments: &[&str]) -> Ended {
        let mut command = self.session.command(arguments);
        for (variable, folder) in [("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data")] {
            command.env(variable, self.session.path(folder));
        }
        self.session.finish(&mut command)
    }

    fn staging<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let context = ["--context", "staging", "--kubeconfig", &self.kubeconfig];
        [context.as_slice(), more].concat()
    }
}

#[test]
fn a_cluster_that_was_not_named_made_or_allowed_is_not_used() {
    let user = User::new();
    let staging = user.staging(&[]);
    let cases: [(i32, &str, &[&str]); 7] = [
        (3, "kind", &[]),
        (2, "kind", &staging),
        (2, "cluster", &[]),
        (2, "cluster", &staging),
        (
            2,
            "cluster",
            &[
                "--context",
                "other",
                "--allow-context",
                "other",
                "--kubeconfig",
                &user.kubeconfig,
            ],
        ),
        (2, "local", &["--allow-context", "staging"]),
        (2, "local", &["--dry-run"]),
    ];
    let mut errors = String::new();
    for (code, tier, more) in cases {
        let ended = user.run(tier, more);
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{ended:#?}");
        errors.push_str(&ended.err);
    }
    user.allow("contexts: [staging, {}]");
    let ended = user.run("cluster", &staging);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    errors.push_str(&ended.err);
    assert!(user.double.seen().is_empty(), "nobody asked the cluster anything");
    user.session.with_stable_text(|| insta::assert_snapshot!(errors));
}

#[test]
fn what_would_be_created_is_shown_and_nothing_is() {
    let user = User::new();
    user.allow("contexts: [staging]");
    let ended = user.run("cluster", &user.staging(&["--dry-run"]));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for object in ["kind: Namespace", "kind: Deployment", "kind: EnvoyFilter"] {
        assert!(ended.out.contains(object), "{object} is not in {}", ended.out);
    }
    assert!(!ended.out.contains("PRIVATE KEY"));
    let written = user
        .double
        .seen()
        .into_iter()
        .filter(|it| it.verb != "get" && it.verb != "list");
    assert_eq!(written.count(), 0);
}

#[test]
fn what_a_killed_run_left_in_a_cluster_is_listed_and_removed_by_its_name_alone() {
    let user = User::new();
    user.allow("contexts: [staging]");
    for (namespace, run) in [
        ("mp00000001-payments", "mp00000001"),
        ("mp00000001-web", "mp00000001"),
        ("mp00000002-web", "mp00000002"),
    ] {
        user.double.apply(&format!(
            r#"{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{namespace}", "labels": {{"meshproof.dev/run": "{run}"}}}}}}"#
        ));
    }
    let clean = |more: &[&str]| user.command(&[&["clean", "--on", "cluster"], &*user.staging(more)].concat());
    let written = || {
        let asked = user.double.seen().into_iter();
        asked.filter(|it| it.verb != "get" && it.verb != "list").count()
    };
    let mut said = String::new();

    let listed = clean(&[]);
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    assert_eq!(written(), 0);
    for line in listed.out.lines() {
        let timeless = line.split_once(" since ").map_or(line, |(before, _)| before);
        said.push_str(&format!("{timeless}\n"));
    }

    let unknown = clean(&["--run", "mp00000001", "--run", "mp00000003"]);
    assert_eq!((unknown.code, written()), (Some(2), 0), "{unknown:#?}");
    said.push_str(&unknown.err);

    let removed = clean(&["--run", "mp00000001"]);
    assert_eq!((removed.code, written()), (Some(0), 2), "{removed:#?}");
    said.push_str(&removed.out);
    assert!(clean(&[]).out.starts_with("mp00000002 "));

    clean(&["--run", "mp00000002"]);
    said.push_str(&clean(&[]).out);
    for misused in [
        ["clean", "--context", "staging"],
        ["clean", "--run", "mp00000001"],
    ] {
        let ended = user.command(&misused);
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        said.push_str(&ended.err);
    }
    user.session.with_stable_text(|| insta::assert_snapshot!(said));
}
