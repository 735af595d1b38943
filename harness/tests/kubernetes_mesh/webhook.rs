//! The injection webhook of a kind cluster is taken away by a run, and put back whatever becomes of the run.

use meshproof::mesh::kubernetes::KubernetesMesh;
use meshproof::mesh::{Mesh, Settings, Tier};
use meshproof::scenario::verdict::Verdict;
use meshproof::scenario::{Options, plan};
use serde_json::Value;

use crate::{Cluster, scenario};

const RECORDED: &str = include_str!("../data/kube-fixtures/mutatingwebhookconfiguration.json");

fn cluster() -> Cluster {
    let cluster = Cluster::start();
    cluster.double.apply(RECORDED);
    cluster
}

/// The registered webhooks, without what the server adds.
fn registered(cluster: &Cluster) -> Vec<(Value, Value)> {
    let all = cluster
        .double
        .objects("admissionregistration.k8s.io", "mutatingwebhookconfigurations");
    all.into_iter()
        .map(|it| (it["metadata"]["labels"].clone(), it["webhooks"].clone()))
        .collect()
}

fn copies(cluster: &Cluster) -> usize {
    let maps = cluster.double.objects("", "configmaps").into_iter();
    maps.filter(|it| {
        it["metadata"]["name"] == "meshproof-removed-webhooks"
            && it["metadata"]["deletionTimestamp"].is_null()
    })
    .count()
}

/// A run that has taken the webhook away.
async fn without_webhook(settings: &Settings) -> KubernetesMesh {
    let mut mesh = KubernetesMesh::new(Tier::Kind, settings).unwrap();
    let phases = plan(&scenario("webhook-removed"), &Options::on(Tier::Kind)).unwrap();
    for phase in &phases[..2] {
        mesh.apply(phase.desired.clone()).await.unwrap();
    }
    mesh
}

#[tokio::test]
async fn the_webhook_is_taken_away_and_put_back_as_it_was() {
    let cluster = cluster();
    let before = registered(&cluster);
    let (result, _) = cluster.run(Tier::Kind, &scenario("webhook-removed")).await;
    let result = result.unwrap();
    assert_eq!(result.verdict, Verdict::Held, "{result:#?}");
    assert_eq!(registered(&cluster), before);
    assert_eq!((copies(&cluster), cluster.left()), (0, Vec::new()));
    let deleted = cluster
        .double
        .seen()
        .into_iter()
        .filter(|it| it.verb == "delete" && it.resource == "mutatingwebhookconfigurations");
    assert_eq!(deleted.count(), 1);
}

#[tokio::test]
async fn where_a_state_has_both_the_webhook_changes_before_pods_are_restarted() {
    let cluster = cluster();
    let settings = cluster.settings(Tier::Kind).await;
    let mut mesh = KubernetesMesh::new(Tier::Kind, &settings).unwrap();
    let phases = plan(&scenario("webhook-removed"), &Options::on(Tier::Kind)).unwrap();
    let by_name = |name| phases.iter().find(|phase| phase.name == name).unwrap();
    let sidecars = || {
        let pods = cluster.double.objects("", "pods").into_iter();
        let mut sidecars: Vec<(String, bool)> = pods
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| {
                let containers = pod["spec"]["initContainers"].as_array().unwrap();
                let app = pod["metadata"]["labels"]["app"].as_str().unwrap().to_owned();
                (app, containers.iter().any(|it| it["name"] == "istio-proxy"))
            })
            .collect();
        sidecars.sort();
        sidecars
    };
    for (phase, checkout_has_one) in [("control", true), ("rolled-out", false), ("remedied", true)] {
        mesh.apply(by_name(phase).desired.clone()).await.unwrap();
        let expected = [("checkout", checkout_has_one), ("payment", true)];
        assert_eq!(
            sidecars(),
            expected.map(|(app, has_one)| (app.to_owned(), has_one)),
            "{phase}"
        );
    }
    mesh.down().await;
    assert_eq!((copies(&cluster), cluster.left()), (0, Vec::new()));
}

#[tokio::test]
async fn a_run_that_is_given_up_puts_it_back_and_until_then_no_other_begins() {
    let cluster = cluster();
    let before = registered(&cluster);
    let settings = cluster.settings(Tier::Kind).await;
    let mesh = without_webhook(&settings).await;
    assert_eq!((registered(&cluster).len(), copies(&cluster)), (0, 1));
    drop(mesh);

    let (other, _) = cluster.run(Tier::Kind, &scenario("skew-1.24.0")).await;
    let error = other.unwrap_err().to_string();
    assert!(
        error.contains("has removed the injection webhook of context staging"),
        "{error}"
    );

    settings.place.unwrap().clear().await.unwrap();
    assert_eq!((registered(&cluster), copies(&cluster)), (before, 0));
    assert_eq!(cluster.left(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_killed_run_took_away_is_put_back_by_whoever_removes_the_run() {
    let cluster = cluster();
    let before = registered(&cluster);
    {
        let settings = cluster.settings(Tier::Kind).await;
        // Nobody is left who knows of the run.
        std::mem::forget(without_webhook(&settings).await);
    }
    let place = cluster.place(Tier::Kind).await;
    let there = place.runs_there().await.unwrap();
    let (run, left) = there.first_key_value().unwrap();
    assert_eq!(there.len(), 1);
    assert!(
        left.holds_webhook && left.since.is_some() && !left.namespaces.is_empty(),
        "{left:?}"
    );

    let (other, _) = cluster.run(Tier::Kind, &scenario("skew-1.24.0")).await;
    let error = other.unwrap_err().to_string();
    assert!(error.contains(&place.removal(run)), "{error}");
    assert_eq!(place.clear().await.unwrap(), Vec::<String>::new());
    assert_eq!(copies(&cluster), 1);

    assert_eq!(place.remove_run(run).await.unwrap(), left.namespaces);
    assert_eq!((registered(&cluster), copies(&cluster)), (before, 0));
    assert_eq!(cluster.left(), Vec::<String>::new());
    assert!(place.runs_there().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_somebody_installed_meanwhile_is_left_alone() {
    let cluster = cluster();
    let settings = cluster.settings(Tier::Kind).await;
    let mut mesh = without_webhook(&settings).await;
    let newer = RECORDED.replace("\"istio.io/rev\": \"default\"", "\"istio.io/rev\": \"newer\"");
    assert_ne!(newer, RECORDED);
    cluster.double.apply(&newer);
    mesh.down().await;
    assert_eq!(registered(&cluster)[0].0["istio.io/rev"], "newer");
    assert_eq!((copies(&cluster), cluster.left()), (0, Vec::new()));
}

#[tokio::test]
async fn a_run_that_keeps_what_it_made_keeps_no_webhook_from_others() {
    let cluster = cluster();
    let before = registered(&cluster);
    let settings = Settings {
        keep: true,
        ..cluster.settings(Tier::Kind).await
    };
    let mut mesh = without_webhook(&settings).await;
    mesh.down().await;
    settings.place.unwrap().clear().await.unwrap();
    assert_eq!((registered(&cluster), copies(&cluster)), (before, 0));
    assert!(!cluster.left().is_empty());
}
