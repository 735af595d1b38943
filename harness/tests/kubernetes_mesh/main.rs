//! Scenarios in a cluster: an API server in this process with pods, sidecars and agents that answer as they were recorded to.
//! No real cluster was ever used by these tests.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod kubelet;
mod webhook;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use kubelet::Kubelet;
use kubernetes_double::{Cut, Double, ISTIO, Setup};
use meshproof::kubernetes::Context;
use meshproof::mesh::kubernetes::{KubernetesMesh, Place, Revision};
use meshproof::mesh::{Mesh, Settings, Tier};
use meshproof::scenario::verdict::{ScenarioResult, Verdict};
use meshproof::scenario::{Catalogue, Options, RunError, Scenario, execute, plan};

const RIGHTS: &str = include_str!("../../../manifests/rbac/runs.yaml");
const NODES: &str = "kindest/node:v1.31.2@sha256:18fbefc2";
const USER: &str = "system:serviceaccount:meshproof:runs";

/// A cluster with Istio.
struct Cluster {
    double: Arc<Double>,
    kubelet: Kubelet,
    folder: tempfile::TempDir,
}

impl Cluster {
    fn start() -> Self {
        let double = Arc::new(Double::start(Setup::default()));
        double.serve(ISTIO);
        double.apply(RIGHTS);
        double.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: somebody-elses}");
        double.user("token", "admin");
        let kubelet = kubelet::start(&double);
        Self {
            double,
            kubelet,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Lets runs do what the shipped role lets them, and no more.
    fn restrict(&self) {
        self.double.user("token", USER);
    }

    async fn place(&self, tier: Tier) -> Place {
        let path = self.folder.path().join("config");
        std::fs::write(&path, self.double.kubeconfig("staging", "token")).unwrap();
        let context = Context::open("staging", Some(&path)).await.unwrap();
        let revision = match tier {
            Tier::Kind => Revision::OfRelease,
            _ => Revision::AsWritten,
        };
        let bundles = self.folder.path().join("bundles");
        Place::new(
            tier,
            context,
            "meshproof-agent:dev".to_owned(),
            revision,
            Some(bundles),
        )
        .on_nodes((tier == Tier::Kind).then(|| NODES.to_owned()))
    }

    async fn run(&self, tier: Tier, scenario: &Scenario) -> (Result<ScenarioResult, RunError>, Place) {
        let place = self.place(tier).await;
        let settings = Settings {
            place: Some(place.clone()),
            ..Settings::default()
        };
        (
            execute(scenario, &Options::on(tier), &settings, |_| {}).await,
            place,
        )
    }

    async fn settings(&self, tier: Tier) -> Settings {
        Settings {
            place: Some(self.place(tier).await),
            ..Settings::default()
        }
    }

    /// Everything that carries the label of a run, and is not on its way out.
    fn left(&self) -> Vec<String> {
        let kinds = [
            ("", "namespaces"),
            ("", "secrets"),
            ("", "services"),
            ("apps", "deployments"),
            ("networking.istio.io", "envoyfilters"),
            ("security.istio.io", "peerauthentications"),
        ];
        let all = kinds
            .iter()
            .flat_map(|(group, plural)| self.double.objects(group, plural));
        let labelled = all.filter(|it| {
            let is_going = !it["metadata"]["deletionTimestamp"].is_null();
            !is_going && !it["metadata"]["labels"]["meshproof.dev/run"].is_null()
        });
        labelled.map(|it| it["metadata"]["name"].to_string()).collect()
    }
}

fn scenario(name: &str) -> Scenario {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Catalogue::load(root).unwrap().get(name).unwrap().clone()
}

/// A text with the name of the run, which differs each time, as `mpRUN`, and what is made of it as `DIGEST`.
fn steady(text: &str) -> String {
    let run = regex::Regex::new("mp[0-9a-f]{8}").unwrap();
    let digest = regex::Regex::new("dev/template: [0-9a-f]{10}").unwrap();
    let text = run.replace_all(text, "mpRUN");
    digest.replace_all(&text, "dev/template: DIGEST").into_owned()
}

#[tokio::test]
async fn a_scenario_is_shown_by_a_cluster_and_nothing_of_it_is_left() {
    let cluster = Cluster::start();
    let (result, _) = cluster.run(Tier::Kind, &scenario("skew-1.24.0")).await;
    let result = result.unwrap();
    let seen: Vec<String> = result
        .phases
        .iter()
        .flat_map(|phase| &phase.calls)
        .map(|call| {
            format!(
                "{} {} {:?}",
                call.verdict,
                call.id,
                call.observed.as_ref().map(|it| it.id)
            )
        })
        .collect();
    assert_eq!(result.verdict, Verdict::Held, "{seen:#?}");
    insta::assert_snapshot!(seen.join("\n"));
    let components: Vec<String> = result
        .components
        .iter()
        .map(|it| format!("{} {} {}", it.workload, it.istio, it.provenance.as_str()))
        .collect();
    insta::assert_snapshot!("components", components.join("\n"));
    assert_eq!(result.node_image.as_deref(), Some(NODES));
    let text = serde_json::to_string(&result).unwrap();
    assert!(!text.contains("PRIVATE KEY"), "a key is in the report");
    assert_eq!(steady(&text), text, "evidence speaks of the scenario's own names");
    assert_eq!(cluster.left(), Vec::<String>::new());
    let others = cluster.double.objects("", "namespaces");
    assert!(others.iter().any(|it| it["metadata"]["name"] == "somebody-elses"));
}

#[tokio::test]
async fn what_a_run_asks_of_a_cluster_is_what_the_shipped_role_lets_it() {
    let cluster = Cluster::start();
    cluster.restrict();
    let (result, _) = cluster.run(Tier::Cluster, &scenario("skew-1.24.0")).await;
    assert_eq!(result.unwrap().verdict, Verdict::Held);
    let seen = cluster.double.seen();
    let refused: Vec<_> = seen.iter().filter(|it| it.code == 403).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let asked: BTreeSet<String> = seen
        .iter()
        .map(|it| {
            format!("{} {} {}", it.verb, it.resource, it.group)
                .trim()
                .to_owned()
        })
        .collect();
    insta::assert_snapshot!(asked.into_iter().collect::<Vec<_>>().join("\n"));
    let read_secrets = seen
        .iter()
        .any(|it| it.resource == "secrets" && matches!(it.verb.as_str(), "get" | "list" | "watch"));
    assert!(!read_secrets, "no Secret is read");
    let elsewhere: Vec<_> = seen
        .iter()
        .filter(|it| {
            it.namespace
                .as_ref()
                .is_some_and(|place| !place.starts_with("mp"))
        })
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

#[tokio::test]
async fn every_object_that_would_be_created_is_shown_and_no_key_with_it() {
    let cluster = Cluster::start();
    let settings = cluster.settings(Tier::Kind).await;
    let scenario = scenario("skew-1.24.0");
    let mut mesh = KubernetesMesh::new(Tier::Kind, &settings).unwrap();
    let phases = plan(&scenario, &Options::on(Tier::Kind)).unwrap();
    let control = mesh.would_create(&phases[0].desired).unwrap().join("---\n");
    insta::assert_snapshot!(steady(&control));
    let broken = mesh.would_create(&phases[2].desired).unwrap().join("---\n");
    assert!(
        broken.contains("kind: Secret") && broken.contains("(not shown)"),
        "{broken}"
    );
    assert!(
        !broken.contains("PRIVATE KEY") && !broken.contains("BEGIN CERTIFICATE"),
        "{broken}"
    );
    assert_eq!(cluster.left(), Vec::<String>::new(), "nothing was created");
}

#[tokio::test]
async fn a_call_that_is_not_as_expected_leaves_a_folder_that_says_why_and_holds_no_key() {
    let cluster = Cluster::start();
    let scenario = scenario("skew-1.24.0");
    let settings = cluster.settings(Tier::Kind).await;
    let options = Options {
        causes: meshproof::scenario::Causes::LeftOut,
        ..Options::on(Tier::Kind)
    };
    let result = execute(&scenario, &options, &settings, |_| {}).await.unwrap();
    assert_eq!(result.verdict, Verdict::Falsified);
    let calls = result.phases.iter().flat_map(|phase| &phase.calls);
    let kept: Vec<&Path> = calls.filter_map(|it| it.kept_evidence.as_deref()).collect();
    assert_eq!(kept.len(), 1);
    let mut files: Vec<String> = std::fs::read_dir(kept[0])
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    insta::assert_snapshot!(steady(&files.join("\n")));
    for file in &files {
        let text = std::fs::read_to_string(kept[0].join(file)).unwrap();
        assert!(
            !text.contains("hunter2") && !text.contains("PRIVATE KEY"),
            "{file}"
        );
    }
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn what_goes_wrong_is_one_error_that_says_what_to_do_and_leaves_nothing() {
    type Wrong = fn(&Cluster);
    let cases: [(&str, Wrong); 6] = [
        ("forbidden", |it| {
            it.restrict();
            it.double.delete(&key(
                "rbac.authorization.k8s.io",
                "clusterrolebindings",
                "meshproof-runs",
            ));
        }),
        ("crds-missing", |it| it.double.withdraw("networking.istio.io")),
        ("terminating", |it| it.kubelet.terminate_namespaces()),
        ("no-image", |it| it.kubelet.fail_pods("ImagePullBackOff")),
        ("token-expired", |it| it.double.expire("token")),
        ("api-gone", |it| it.double.cut(Cut::After(12))),
    ];
    let mut errors = Vec::new();
    for (name, wrong) in cases {
        let cluster = Cluster::start();
        let place = cluster.place(Tier::Kind).await;
        wrong(&cluster);
        let settings = Settings {
            place: Some(place.clone()),
            ..Settings::default()
        };
        let run = execute(
            &scenario("skew-1.24.0"),
            &Options::on(Tier::Kind),
            &settings,
            |_| {},
        )
        .await;
        let error = run.expect_err(name);
        let RunError::Mesh(error) = error else {
            panic!("{error}")
        };
        let machine = if error.is_machine() { "exit 3" } else { "exit 4" };
        let mut text = format!("{name} ({machine}): {error}");
        if let Err(left) = place.clear().await {
            text = format!("{text}\n    {left}");
            // What was in the way is gone, and what was left can be removed.
            cluster.double.cut(Cut::Never);
            cluster.double.user("token", "admin");
            place.clear().await.unwrap();
        }
        let address = cluster.double.url();
        errors.push(steady(&text.replace(&address, "http://SERVER")));
        assert_eq!(cluster.left(), Vec::<String>::new(), "{name}");
    }
    insta::assert_snapshot!(errors.join("\n"));
}

#[tokio::test]
async fn a_run_that_is_dropped_midway_is_cleared_by_its_place() {
    let cluster = Cluster::start();
    let settings = cluster.settings(Tier::Kind).await;
    let scenario = scenario("skew-1.24.0");
    let mut mesh = KubernetesMesh::new(Tier::Kind, &settings).unwrap();
    let phases = plan(&scenario, &Options::on(Tier::Kind)).unwrap();
    mesh.apply(phases[0].desired.clone()).await.unwrap();
    drop(mesh);
    assert!(!cluster.left().is_empty());
    let removed = settings.place.unwrap().clear().await.unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(cluster.left(), Vec::<String>::new());
}

#[test]
fn what_the_catalogue_shows_in_a_cluster_and_why_not_the_rest() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let catalogue = Catalogue::load(root).unwrap();
    let mut lines = Vec::new();
    for tier in [Tier::Kind, Tier::Cluster] {
        let mut shown = 0;
        for scenario in &catalogue.scenarios {
            let reason = meshproof::scenario::runnable(scenario, tier).err().or_else(|| {
                let phases = plan(scenario, &Options::on(tier)).unwrap();
                phases
                    .iter()
                    .find_map(|it| tier.objection(&it.desired, it.load.is_some()))
            });
            match reason {
                None => shown += 1,
                Some(reason) => lines.push(format!("{tier} {}: {reason}", scenario.name())),
            }
        }
        lines.push(format!("{tier}: {shown} of {} shown", catalogue.scenarios.len()));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

fn key(group: &str, plural: &str, name: &str) -> kubernetes_double::Key {
    kubernetes_double::Key {
        group: group.to_owned(),
        plural: plural.to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    }
}
