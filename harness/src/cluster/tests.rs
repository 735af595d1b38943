//! Clusters made by programs that only record what they were asked, and an API server in this process.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubernetes_double::{Double, Setup};
use semver::Version;
use tempfile::TempDir;

use super::{ClusterError, Clusters, Condition, Limits, Plan};

const KIND: &str = r#"
case "$1" in
version) echo "kind v0.32.0 go1.26.8 linux/amd64";;
get) cat known 2>/dev/null || echo "No kind clusters found." >&2;;
create) echo "$4" >>known; cp prepared "$8";;
delete) rm -f known;;
esac"#;
const DOCKER: &str = r#"
case "$1" in
version) echo 27.5.1;;
inspect) test -e registry && echo true;;
run) touch registry;;
rm) rm -f registry;;
exec) cat >hosts;;
esac"#;
const ISTIOCTL: &str = r#"
case "$1" in
version) echo "{\"clientVersion\": {\"version\": \"${0##*-}\"}}";;
esac"#;

/// Takes something away from a machine.
type Prepare<'a> = &'a dyn Fn(&Machine);

/// A machine: programs in its `bin`, clusters in its `clusters`.
struct Machine {
    folder: TempDir,
    double: Double,
    clusters: Clusters,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let double = Double::start(Setup { tls: false });
        std::fs::write(folder.path().join("prepared"), double.kubeconfig("kind-t", "any")).unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let clusters = Clusters::at(
            folder.path().join("clusters"),
            folder.path().join("tools"),
            bin.into(),
        );
        let machine = Self {
            folder,
            double,
            clusters,
        };
        machine.install("kind", KIND);
        machine.install("docker", DOCKER);
        machine.install("istioctl-1.24.0", ISTIOCTL);
        machine.install("istioctl-1.24.1", ISTIOCTL);
        machine
    }

    /// A program that writes its call down, does as `hook` says if there is one, and then its own.
    fn install(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        let text = format!(
            "#!/bin/sh\ncd {} || exit 9\ntool=${{0##*/}}\necho \"$tool $*\" >>calls\nif test -e hook; then . ./hook; fi\n{script}\n",
            self.folder.path().display()
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// From now on, a call that matches the pattern of the shell does this instead.
    fn instead(&self, pattern: &str, script: &str) {
        let hook = format!("case \"$tool $*\" in\n{pattern}) {script};;\nesac\n");
        std::fs::write(self.path("hook"), hook).unwrap();
    }

    fn heal(&self) {
        std::fs::remove_file(self.path("hook")).unwrap();
    }

    /// The calls since the last time.
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        std::fs::write(self.path("calls"), "").unwrap();
        let text = text.replace(&*self.folder.path().to_string_lossy(), "~");
        text.lines().map(str::to_owned).collect()
    }

    /// The calls that change something.
    fn changes(&self) -> Vec<String> {
        let is_question = |it: &String| {
            [" version", " get clusters", " inspect"]
                .iter()
                .any(|question| it.contains(question))
        };
        self.calls().into_iter().filter(|it| !is_question(it)).collect()
    }

    async fn up(&self, releases: &[&str]) -> Result<super::Cluster, ClusterError> {
        self.clusters.up("t", &plan(releases), false).await
    }

    async fn conditions(&self) -> Vec<(String, Condition)> {
        let found = self.clusters.list().await.unwrap();
        found.into_iter().map(|it| (it.name, it.condition)).collect()
    }

    fn has_nothing_left(&self) -> bool {
        !self.path("clusters/t").exists() && !self.path("registry").exists()
    }
}

fn versions(releases: &[&str]) -> Vec<Version> {
    releases.iter().map(|it| it.parse().unwrap()).collect()
}

fn plan(releases: &[&str]) -> Plan {
    Plan::new(&versions(releases), Some("1.31")).unwrap()
}

fn starts(calls: &[String]) -> Vec<&str> {
    let two = |call: &str| call.match_indices(' ').nth(1).map_or(call.len(), |it| it.0);
    calls.iter().map(|it| &it[..two(it)]).collect()
}

#[tokio::test]
async fn a_cluster_is_made_in_this_order_and_with_these_arguments() {
    let machine = Machine::new();
    let cluster = machine.up(&["1.24.1", "1.24.0"]).await.unwrap();
    assert_eq!((cluster.name.as_str(), cluster.context.as_str()), ("t", "kind-t"));
    assert_eq!(cluster.istio, versions(&["1.24.0", "1.24.1"]));
    insta::assert_snapshot!(machine.calls().join("\n"));
    let written = std::fs::read_to_string(machine.path("hosts")).unwrap();
    assert!(
        written.contains("[host.\"http://meshproof-registry:5000\"]"),
        "{written}"
    );
    let config = std::fs::read_to_string(machine.path("clusters/t/kind.yaml")).unwrap();
    assert!(config.contains("kindest/node:v1.31.2@sha256:"), "{config}");
}

#[tokio::test]
async fn an_authority_is_plugged_in_once_for_all_revisions_and_its_key_is_in_no_file() {
    let machine = Machine::new();
    machine.up(&["1.24.0"]).await.unwrap();
    let secret = || {
        let secrets = machine.double.objects("", "secrets");
        assert_eq!(secrets.len(), 1);
        assert_eq!(secrets[0]["metadata"]["namespace"], "istio-system");
        secrets[0].clone()
    };
    let first = secret();
    let text = first.to_string();
    for key in ["ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"] {
        assert!(text.contains(key), "{key}");
    }
    let folder = machine.path("clusters/t");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            !std::fs::read_to_string(&path).unwrap().contains("PRIVATE KEY"),
            "{}",
            path.display()
        );
    }
    machine.up(&["1.24.1"]).await.unwrap();
    assert_eq!(secret(), first);
}

#[tokio::test]
async fn what_is_kept_of_a_cluster_is_for_its_user_alone() {
    let machine = Machine::new();
    machine.up(&["1.24.0"]).await.unwrap();
    let mode = |name: &str| machine.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("clusters/t"), 0o700);
    for file in ["kubeconfig", "commands.log", "state.json"] {
        assert_eq!(mode(&format!("clusters/t/{file}")), 0o600, "{file}");
    }
}

#[tokio::test]
async fn what_is_there_is_not_made_again() {
    let machine = Machine::new();
    machine.up(&["1.24.0"]).await.unwrap();
    machine.calls();
    machine.up(&["1.24.0"]).await.unwrap();
    assert_eq!(machine.changes(), Vec::<String>::new());
    let more = machine.up(&["1.24.1"]).await.unwrap();
    assert_eq!(starts(&machine.changes()), ["istioctl-1.24.1 install"]);
    assert_eq!(more.istio, versions(&["1.24.0", "1.24.1"]));
}

#[tokio::test]
async fn a_failure_midway_removes_what_was_made_and_says_what_failed() {
    let cases = [
        ("kind\\ create*", "`kind create cluster"),
        ("docker\\ run*", "`docker run"),
        ("docker\\ exec*", "`docker exec"),
        ("istioctl*install*", "`istioctl-1.24.0 install"),
    ];
    for (pattern, named) in cases {
        let machine = Machine::new();
        machine.instead(pattern, "echo no room >&2; exit 1");
        let error = machine.up(&["1.24.0"]).await.unwrap_err().to_string();
        assert!(error.starts_with(named), "{error}");
        assert!(error.ends_with("ended with exit status: 1: no room"), "{error}");
        let calls = machine.calls();
        let last = &calls[calls.len() - 2..];
        assert_eq!(starts(last), ["kind delete", "docker rm"], "{pattern}");
        assert!(machine.has_nothing_left(), "{pattern}");
    }
}

#[tokio::test]
async fn a_stall_is_ended_and_named_and_what_was_made_is_removed() {
    let mut machine = Machine::new();
    machine.clusters = machine.clusters.within(Limits {
        install: Duration::from_millis(500),
        ..Limits::default()
    });
    machine.instead("istioctl*install*", "sleep 600");
    let error = machine.up(&["1.24.0"]).await.unwrap_err().to_string();
    assert!(error.starts_with("`istioctl-1.24.0 install"), "{error}");
    assert!(error.contains("was killed"), "{error}");
    assert!(machine.has_nothing_left());
}

#[tokio::test]
async fn an_interrupt_kills_what_runs_and_leaves_nothing_behind() {
    let machine = Machine::new();
    let fifo = machine.path("alive");
    duct::cmd!("mkfifo", &fifo).run().unwrap();
    machine.instead("istioctl*install*", "exec 3>alive; sleep 600");
    let opened = tokio::task::spawn_blocking(move || File::open(fifo).unwrap());
    let mut alive = tokio::select! {
        ended = machine.up(&["1.24.0"]) => panic!("{ended:?}"),
        opened = opened => opened.unwrap(),
    };
    // Ends when nobody can write any more.
    alive.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(
        machine.conditions().await,
        [("t".to_owned(), Condition::HalfMade)]
    );
    machine.clusters.clear_interrupted("t").await.unwrap();
    assert!(machine.has_nothing_left());
}

#[tokio::test]
async fn a_cluster_that_was_ready_survives_a_failure_to_add_to_it() {
    let machine = Machine::new();
    machine.up(&["1.24.0"]).await.unwrap();
    machine.instead("istioctl-1.24.1*install*", "exit 1");
    machine.up(&["1.24.1"]).await.unwrap_err();
    machine.clusters.clear_interrupted("t").await.unwrap();
    assert_eq!(machine.conditions().await, [("t".to_owned(), Condition::Ready)]);
    machine.heal();
    machine.calls();
    machine.up(&["1.24.1"]).await.unwrap();
    assert_eq!(starts(&machine.changes()), ["istioctl-1.24.1 install"]);
}

#[tokio::test]
async fn a_half_made_cluster_that_was_kept_is_repaired_or_replaced() {
    let machine = Machine::new();
    machine.instead("istioctl*install*", "exit 1");
    let kept = machine.clusters.up("t", &plan(&["1.24.0"]), true).await;
    assert!(matches!(kept, Err(ClusterError::Command(_))));
    assert_eq!(
        machine.conditions().await,
        [("t".to_owned(), Condition::HalfMade)]
    );
    machine.heal();
    machine.calls();
    machine.up(&["1.24.0"]).await.unwrap();
    assert_eq!(starts(&machine.changes()), ["istioctl-1.24.0 install"]);

    // kind does not know it any more.
    duct::cmd!(machine.path("bin/kind"), "delete", "cluster")
        .run()
        .unwrap();
    assert_eq!(machine.conditions().await, [("t".to_owned(), Condition::Gone)]);
    machine.calls();
    machine.up(&["1.24.0"]).await.unwrap();
    let changes = machine.changes();
    assert_eq!(&starts(&changes)[..2], ["kind delete", "kind create"]);
    assert_eq!(machine.conditions().await, [("t".to_owned(), Condition::Ready)]);
}

#[tokio::test]
async fn what_cannot_be_removed_is_named_and_stays_known() {
    let machine = Machine::new();
    machine.instead("istioctl*install*|kind\\ delete*", "echo stuck >&2; exit 1");
    let error = machine.up(&["1.24.0"]).await.unwrap_err();
    assert!(matches!(error, ClusterError::Left { .. }), "{error}");
    assert!(error.to_string().contains("cluster down t"), "{error}");
    assert!(machine.path("clusters/t/state.json").exists());
    machine.heal();
    machine.clusters.down("t").await.unwrap();
    assert!(machine.has_nothing_left());
}

#[tokio::test]
async fn what_a_machine_lacks_is_said_before_anything_is_made() {
    let remove = |machine: &Machine, name: &str| {
        std::fs::remove_file(machine.path("bin").join(name)).unwrap();
    };
    let cases: [(&str, Prepare<'_>, &str); 6] = [
        (
            "no kind",
            &|it| remove(it, "kind"),
            "kind is not to be found: install it",
        ),
        (
            "no docker",
            &|it| remove(it, "docker"),
            "docker is not to be found: install it",
        ),
        (
            "no istioctl",
            &|it| remove(it, "istioctl-1.24.0"),
            "istioctl 1.24.0 is not to be found: put istioctl 1.24.0 of",
        ),
        (
            "an old kind",
            &|it| it.instead("kind\\ version*", "echo kind v0.20.0 go1.20 linux/amd64; exit 0"),
            "and kind 0.25.0 or later is needed",
        ),
        (
            "no daemon",
            &|it| it.instead("docker\\ version*", "echo Cannot connect >&2; exit 1"),
            "docker does not answer (Cannot connect)",
        ),
        (
            "another istioctl",
            &|it| {
                it.instead(
                    "istioctl*version*",
                    "echo '{\"clientVersion\": {\"version\": \"1.30.3\"}}'; exit 0",
                );
            },
            "is 1.30.3, and 1.24.0 is needed",
        ),
    ];
    for (case, prepare, said) in cases {
        let machine = Machine::new();
        prepare(&machine);
        let error = machine.up(&["1.24.0"]).await.unwrap_err();
        assert!(error.is_machine(), "{case}: {error}");
        assert!(error.to_string().contains(said), "{case}: {error}");
        assert_eq!(machine.changes(), Vec::<String>::new(), "{case}");
        assert!(!machine.path("clusters/t").exists(), "{case}");
    }
}

#[tokio::test]
async fn what_is_another_s_is_not_touched() {
    let machine = Machine::new();
    machine.instead("kind\\ get*", "echo t; exit 0");
    let error = machine.up(&["1.24.0"]).await.unwrap_err();
    assert!(matches!(error, ClusterError::Foreign { .. }), "{error}");
    assert!(matches!(
        machine.clusters.down("t").await,
        Err(ClusterError::Unknown { .. })
    ));
    assert_eq!(machine.changes(), Vec::<String>::new());
}

#[tokio::test]
async fn another_kubernetes_under_the_same_name_is_refused() {
    let machine = Machine::new();
    machine.up(&["1.24.0"]).await.unwrap();
    let other = Plan::new(&versions(&["1.24.0"]), Some("1.30")).unwrap();
    let error = machine.clusters.up("t", &other, false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster t runs Kubernetes 1.31.2, not 1.30.0: choose another name with --name, or remove it with `cargo xtask cluster down t`"
    );
    assert_eq!(machine.conditions().await, [("t".to_owned(), Condition::Ready)]);
}

#[test]
fn only_pairings_that_istio_supports_are_planned() {
    let newest =
        |releases: &[&str]| Plan::new(&versions(releases), None).map(|it| it.node.kubernetes.to_string());
    assert_eq!(newest(&["1.24.0"]).unwrap(), "1.31.2");
    assert_eq!(newest(&["1.24.0", "1.23.0"]).unwrap(), "1.30.0");
    let cases: [(&[&str], Option<&str>, &str); 4] = [
        (
            &["1.24.0", "1.31.0"],
            None,
            "no Kubernetes is both supported by Istio 1.24.0 and 1.31.0 and run by kind; possible is none: use a cluster for each",
        ),
        (
            &["1.24.0"],
            Some("1.36"),
            "Kubernetes 1.36 is not both supported by Istio 1.24.0 and run by kind; possible are --kubernetes 1.29, 1.30, 1.31",
        ),
        (
            &["1.24.9"],
            None,
            "there is no Istio 1.24.9 (the nearest is 1.24.6); `cargo xtask releases` lists them",
        ),
        (&[], None, "no release of Istio to install: name one with --istio"),
    ];
    for (releases, kubernetes, said) in cases {
        let error = Plan::new(&versions(releases), kubernetes).unwrap_err();
        assert_eq!(error.to_string(), said);
        assert!(error.is_usage());
    }
}

#[test]
fn a_name_that_could_lead_elsewhere_is_refused() {
    for name in ["", "..", "a/b", "A", "-a", "a-", "1a", &"a".repeat(41)] {
        let folder = super::folder::Folder::at(Path::new("/nowhere"), name);
        assert!(matches!(folder, Err(ClusterError::Name { .. })), "{name}");
    }
}

#[tokio::test]
async fn the_image_of_the_agent_is_loaded_each_time_it_is_asked_for() {
    let machine = Machine::new();
    let plan = plan(&["1.24.1"]).with_agent(Some("meshproof-agent:dev".to_owned()));
    for _ in 0..2 {
        machine.clusters.up("t", &plan, false).await.unwrap();
        let loaded = "kind load docker-image meshproof-agent:dev --name t";
        assert_eq!(machine.changes().last().map(String::as_str), Some(loaded));
    }
    machine.instead(
        "'kind load '*",
        "echo 'image: \"meshproof-agent:dev\" not present locally' >&2; exit 1",
    );
    let error = machine.clusters.up("t", &plan, false).await.unwrap_err();
    assert!(error.to_string().contains("not present locally"), "{error}");
    assert_eq!(machine.conditions().await, [("t".to_owned(), Condition::Ready)]);
}
