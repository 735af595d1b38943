//! Held against an API server in this process (`kubernetes-double`).

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use kubernetes_double::{Cut, Double, Executed, Setup};
use tempfile::TempDir;

use super::{Change, Container, Context, Cursor, KubernetesError, Resource, Selection};

const CONFIG_MAPS: Resource = Resource {
    group: "",
    versions: &["v1"],
    plural: "configmaps",
    kind: "ConfigMap",
};
const POLICIES: Resource = Resource {
    group: "security.istio.io",
    versions: &["v1", "v1beta1"],
    plural: "peerauthentications",
    kind: "PeerAuthentication",
};

fn kubeconfig(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

async fn open(double: &Double, token: &str) -> Result<Context, KubernetesError> {
    let (_folder, path) = kubeconfig(&double.kubeconfig("staging", token));
    Context::open_within("staging", Some(&path), Duration::from_secs(2)).await
}

async fn names(context: &Context, selection: &Selection<'_>) -> Result<Vec<String>, KubernetesError> {
    let mut names = Vec::new();
    context
        .list(selection, |it| {
            names.push(it["metadata"]["name"].as_str().unwrap().to_owned())
        })
        .await
        .map(|_| names)
}

fn config_maps(range: std::ops::Range<usize>) -> String {
    range
        .map(|n| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{n:04}}}\n---\n"))
        .collect()
}

#[tokio::test]
async fn pages_are_asked_for_until_there_is_no_more_and_each_object_says_what_it_is() {
    for tls in [false, true] {
        let double = Double::start(Setup { tls });
        double.apply(&config_maps(0..1201));
        let context = open(&double, "any").await.unwrap();
        assert_eq!(context.release(), "v1.36.2");
        let mut last = None;
        let mut count = 0;
        let selection = Selection::all(&CONFIG_MAPS);
        context
            .list(&selection, |it| {
                count += 1;
                last = Some(it);
            })
            .await
            .unwrap();
        let last = last.unwrap();
        assert_eq!(
            (count, &last["kind"], &last["apiVersion"]),
            (1201, &"ConfigMap".into(), &"v1".into())
        );
        assert_eq!(double.seen().iter().filter(|it| it.verb == "list").count(), 3);
    }
}

#[tokio::test]
async fn a_list_whose_beginning_is_forgotten_goes_on_with_the_rest() {
    let double = std::sync::Arc::new(Double::start(Setup::default()));
    double.apply(&config_maps(0..1000));
    let context = open(&double, "any").await.unwrap();
    let mut count = 0;
    let selection = Selection::all(&CONFIG_MAPS);
    context
        .list(&selection, |_| {
            count += 1;
            if count == 1 {
                double.forget_history();
            }
        })
        .await
        .unwrap();
    assert_eq!(count, 1000);
    let codes: Vec<u16> = double.seen().iter().map(|it| it.code).collect();
    assert_eq!(codes, [200, 410, 200]);
}

#[tokio::test]
async fn the_first_version_that_is_served_is_read() {
    let double = Double::start(Setup::default());
    double.serve(&[(
        "security.istio.io",
        &["v1beta1"],
        "peerauthentications",
        "PeerAuthentication",
        true,
    )]);
    double.apply("apiVersion: security.istio.io/v1beta1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: shop}");
    let context = open(&double, "any").await.unwrap();
    assert_eq!(names(&context, &Selection::all(&POLICIES)).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn every_failure_says_what_it_is_and_what_to_do() {
    let double = Double::start(Setup::default());
    double.apply(&config_maps(0..10));
    let address = double.url();
    let maps = Selection {
        namespace: Some("shop"),
        ..Selection::all(&CONFIG_MAPS)
    };
    let mut told = Vec::new();
    let mut tell = |what: &str, error: KubernetesError| {
        let text = error.to_string();
        told.push(format!(
            "{what} (partial: {}, usage: {}): {text}",
            error.is_partial(),
            error.is_usage()
        ));
    };
    let context = open(&double, "token").await.unwrap();
    tell(
        "no CRDs",
        names(&context, &Selection::all(&POLICIES)).await.unwrap_err(),
    );
    double.user("token", "somebody");
    tell("no right", names(&context, &maps).await.unwrap_err());
    double.expire("token");
    tell("expired", names(&context, &maps).await.unwrap_err());
    tell("expired at once", open(&double, "token").await.unwrap_err());
    double.user("token", "admin");
    double.cut(Cut::MidwayAfter(0));
    tell("cut midway", names(&context, &maps).await.unwrap_err());
    double.cut(Cut::Silent);
    tell("silent", names(&context, &maps).await.unwrap_err());
    double.cut(Cut::Never);
    let text = double.kubeconfig("staging", "token");
    drop(double);
    tell("gone", names(&context, &maps).await.unwrap_err());
    let (_folder, path) = kubeconfig(&text);
    tell(
        "unreachable",
        Context::open("staging", Some(&path)).await.unwrap_err(),
    );
    tell("unknown", Context::open("stagin", Some(&path)).await.unwrap_err());
    tell(
        "no file",
        Context::open("staging", Some("/no/such/file".as_ref()))
            .await
            .unwrap_err(),
    );
    let (_folder, path) = kubeconfig("users:\n- {name: a, user: {token: hunter2}\n");
    tell(
        "no YAML",
        Context::open("staging", Some(&path)).await.unwrap_err(),
    );
    let helper = text.replace(
        "token: token",
        "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [-c, 'echo hunter2; exit 3']}",
    );
    let (_folder, path) = kubeconfig(&helper);
    tell("helper", Context::open("staging", Some(&path)).await.unwrap_err());
    let told = told.join("\n").replace(&address, "[ADDRESS]");
    assert!(!told.contains("hunter2"), "{told}");
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_watch_goes_on_from_a_list_and_says_when_it_cannot() {
    let double = Double::start(Setup::default());
    double.apply(&config_maps(0..2));
    let context = open(&double, "any").await.unwrap();
    let maps = Selection::all(&CONFIG_MAPS);
    let version = context.list(&maps, |_| ()).await.unwrap();
    double.apply(&config_maps(2..3));
    let mut changes = Box::pin(context.watch(&maps, &version).await.unwrap());
    match changes.next().await {
        Some(Ok(Change::Written(it))) => assert_eq!(it["metadata"]["name"], "m0002"),
        other => panic!("{other:?}"),
    }
    double.forget_history();
    assert!(matches!(
        changes.next().await,
        Some(Err(KubernetesError::Expired { .. }))
    ));
}

const PODS: Resource = Resource {
    group: "",
    versions: &["v1"],
    plural: "pods",
    kind: "Pod",
};
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: checkout, namespace: payments}\n\
                   status: {conditions: [{type: Ready, status: 'False'}, {type: Initialized, status: 'True'}]}";

fn container() -> Container {
    Container {
        namespace: "payments".to_owned(),
        pod: "checkout".to_owned(),
        name: "app".to_owned(),
    }
}

#[tokio::test]
async fn a_program_gets_its_input_and_its_streams_and_end_are_told_apart() {
    let double = Double::start(Setup::default());
    double.apply(POD);
    double.on_exec(|exec| Executed {
        output: format!(
            "{} {} {}",
            exec.container,
            exec.command.join(" "),
            exec.input.trim()
        )
        .repeat(10_000),
        errors: "warned".to_owned(),
        code: i32::from(exec.command.len() > 2),
    });
    let context = open(&double, "any").await.unwrap();
    let within = Duration::from_secs(20);
    let run = context
        .exec(&container(), &["agent", "call me"], Some("{}\n"), within)
        .await
        .unwrap();
    assert_eq!(run.output.len(), "app agent call me {}".len() * 10_000);
    assert_eq!((run.errors.as_str(), run.failure), ("warned", None));
    let failed = context
        .exec(&container(), &["a", "b", "c"], None, within)
        .await
        .unwrap();
    insta::assert_snapshot!(failed.failure.unwrap(), @"command terminated with non-zero exit code: exit status 1");
    let nobody = Container {
        pod: "gone".to_owned(),
        ..container()
    };
    let error = context.exec(&nobody, &["agent"], None, within).await.unwrap_err();
    insta::assert_snapshot!(error, @r#"the API server refuses agent in container app of pod payments/gone (404): pods "gone" not found"#);
}

#[tokio::test]
async fn a_program_that_does_not_end_is_given_up() {
    let double = Double::start(Setup::default());
    double.apply(POD);
    let (release, held) = std::sync::mpsc::channel::<()>();
    double.on_exec(move |_| {
        let _ = held.recv();
        Executed::default()
    });
    let context = open(&double, "any").await.unwrap();
    let error = context
        .exec(&container(), &["agent"], None, Duration::from_millis(100))
        .await
        .unwrap_err();
    assert!(matches!(error, KubernetesError::Silent { .. }), "{error}");
    drop(release);
}

#[tokio::test]
async fn a_log_is_read_once_however_often_it_is_looked_at() {
    let double = Double::start(Setup::default());
    double.apply(POD);
    let context = open(&double, "any").await.unwrap();
    let mut cursor = Cursor::default();
    for (logged, expected) in [
        ("one\ntwo", vec!["one", "two"]),
        ("", vec![]),
        ("three", vec!["three"]),
    ] {
        double.append_log("payments", "checkout", Some("app"), logged);
        assert_eq!(context.log(&container(), &mut cursor).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn conditions_are_set_beside_others_and_an_object_that_is_gone_is_no_error_to_delete() {
    let double = Double::start(Setup::default());
    double.apply(POD);
    let context = open(&double, "any").await.unwrap();
    let ready = serde_json::json!([{"type": "Ready", "status": "True"}]);
    context
        .set_conditions(&PODS, "payments", "checkout", &ready)
        .await
        .unwrap();
    let conditions = double.objects("", "pods")[0]["status"]["conditions"].clone();
    assert_eq!(
        conditions,
        serde_json::json!([{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}])
    );
    assert!(context.delete(&PODS, Some("payments"), "checkout").await.unwrap());
    assert!(!context.delete(&PODS, Some("payments"), "checkout").await.unwrap());
}

#[tokio::test]
async fn a_namespace_that_goes_is_named_and_rights_are_not_blamed() {
    let double = Double::start(Setup::default());
    double.apply(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: payments, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [kubernetes]}",
    );
    let context = open(&double, "any").await.unwrap();
    let map = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "payments"}});
    let error = context.apply(&CONFIG_MAPS, &map).await.unwrap_err();
    insta::assert_snapshot!(error, @r#"the API server refuses configmaps named m in the namespace payments (403): configmaps "m" is forbidden: unable to create new content in namespace payments because it is being terminated"#);
}
