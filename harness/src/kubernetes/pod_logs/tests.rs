use std::time::Duration;

use kubernetes_double::{Cut, Double, Key, Setup};
use tokio::sync::mpsc::{Receiver, channel};

use super::*;

fn pod(name: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: payments}}\nspec: {{initContainers: [{{name: {container}}}], containers: [{{name: app}}]}}\n---\n"
    )
}

/// Logs those lines, and no others: each the end of a time and what is said then.
fn log(double: &Double, pod: &str, lines: &[&str]) {
    let text: String = lines
        .iter()
        .map(|line| format!("2026-11-22T04:50:{line}\n"))
        .collect();
    double.log("payments", pod, Some("istio-proxy"), &text);
}

fn containers() -> Containers {
    Containers {
        namespace: "payments".to_owned(),
        container: "istio-proxy".to_owned(),
        since: None,
    }
}

async fn open(double: &Double) -> Context {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, double.kubeconfig("staging", "token")).unwrap();
    let within = Duration::from_secs(2);
    Context::open_within("staging", Some(&path), within)
        .await
        .unwrap()
}

async fn next(lines: &mut Receiver<LogLine>) -> String {
    let line = tokio::time::timeout(Duration::from_secs(60), lines.recv());
    let line = line.await.unwrap().unwrap();
    format!("{}: {}", line.pod, line.text)
}

/// How often the log of a pod was asked for.
fn asked(double: &Double, pod: &str) -> usize {
    let of_pod = |it: &&kubernetes_double::Seen| it.resource == "pods/log" && it.name.as_deref() == Some(pod);
    double.seen().iter().filter(of_pod).count()
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(60), looking)
            .await
            .is_ok(),
        "{what}"
    );
}

#[tokio::test]
async fn what_is_there_is_read_of_pods_that_have_the_container() {
    let double = Double::start(Setup { tls: false });
    for (name, container) in [
        ("a", "istio-proxy"),
        ("b", "other"),
        ("c", "istio-proxy"),
        ("d", "istio-proxy"),
    ] {
        double.apply(&pod(name, container));
    }
    log(&double, "a", &["42.1Z one", "42.1Z two"]);
    // d has not begun.
    log(&double, "c", &["41Z three"]);
    let (sender, mut lines) = channel(10);
    let unread = open(&double).await.pod_logs(&containers(), sender).await.unwrap();
    assert!(unread.is_empty(), "{unread:?}");
    for expected in ["a: one", "a: two", "c: three"] {
        assert_eq!(next(&mut lines).await, expected);
    }
    assert_eq!(lines.recv().await, None);
}

#[tokio::test]
async fn a_log_that_breaks_off_is_read_on_and_said_where_it_cannot() {
    let double = Double::start(Setup { tls: false });
    double.apply(&pod("a", "istio-proxy"));
    log(&double, "a", &["42.1Z one", "43.2Z two"]);
    let context = open(&double).await;
    double.cut(Cut::MidwayAfter(1));
    let (sender, mut lines) = channel(10);
    let unread = context.pod_logs(&containers(), sender).await.unwrap();
    assert_eq!(next(&mut lines).await, "a: one");
    assert_eq!(lines.recv().await, None);
    let said: Vec<String> = unread.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(
            "the API server went away while it was asked for the log of istio-proxy in payments/a: "
        ),
        "{said:?}"
    );
}

#[tokio::test]
async fn followed_logs_go_on_where_they_ended_over_lost_connections() {
    let double = Double::start(Setup { tls: false });
    double.apply(&pod("a", "istio-proxy"));
    let mut so_far = vec!["42.6Z one", "42.6Z two"];
    log(&double, "a", &so_far);
    let context = open(&double).await;
    let (sender, mut lines) = channel(10);
    let following = tokio::spawn(async move { context.follow_pod_logs(&containers(), sender).await });
    assert_eq!(next(&mut lines).await, "a: one");
    assert_eq!(next(&mut lines).await, "a: two");

    // Lost midway in a line; what comes in the same second, at the same time and before it (standard error is stamped apart
    // from standard output) is not known yet.
    double.cut(Cut::MidwayAfter(0));
    so_far.extend(["42.6Z three", "42.5Z four", "42.7Z five"]);
    log(&double, "a", &so_far);
    eventually("the connection is lost", || asked(&double, "a") > 1).await;
    double.cut(Cut::Never);
    for expected in ["a: three", "a: four", "a: five"] {
        assert_eq!(next(&mut lines).await, expected);
    }

    // Nobody answers for a while.
    double.cut(Cut::After(0));
    so_far.extend(["42.8Z six", "43Z seven"]);
    log(&double, "a", &so_far);
    double.cut(Cut::Never);
    for expected in ["a: six", "a: seven"] {
        assert_eq!(next(&mut lines).await, expected);
    }

    // The container begins again, with a log of its own.
    log(&double, "a", &["44Z eight"]);
    assert_eq!(next(&mut lines).await, "a: eight");

    drop(lines);
    let ended = tokio::time::timeout(Duration::from_secs(60), following);
    ended.await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn pods_are_followed_as_they_come_and_left_as_they_go() {
    let double = Double::start(Setup { tls: false });
    let context = open(&double).await;
    let (sender, mut lines) = channel(10);
    let following = tokio::spawn(async move { context.follow_pod_logs(&containers(), sender).await });
    // Its container begins after it does.
    double.apply(&pod("a", "istio-proxy"));
    eventually("the log is asked for", || asked(&double, "a") > 0).await;
    log(&double, "a", &["42Z one"]);
    assert_eq!(next(&mut lines).await, "a: one");

    double.delete(&Key {
        group: String::new(),
        plural: "pods".to_owned(),
        namespace: "payments".to_owned(),
        name: "a".to_owned(),
    });
    // Another of the same name.
    log(&double, "a", &["43Z two"]);
    double.apply(&pod("a", "istio-proxy"));
    assert_eq!(next(&mut lines).await, "a: two");

    // The watch has to begin anew.
    double.forget_history();
    log(&double, "b", &["44Z three"]);
    double.apply(&pod("b", "istio-proxy"));
    assert_eq!(next(&mut lines).await, "b: three");
    following.abort();
}

#[tokio::test]
async fn a_log_that_is_silent_for_long_is_asked_for_anew() {
    let double = Double::start(Setup { tls: false });
    double.apply(&pod("a", "istio-proxy"));
    log(&double, "a", &["42Z one"]);
    let context = open(&double).await;
    let (sender, mut lines) = channel(10);
    let following = tokio::spawn(async move {
        let containers = containers();
        let mut log = PodLog::new(&context, &containers, "a");
        log.silence = Duration::from_millis(50);
        log.follow(&sender).await
    });
    assert_eq!(next(&mut lines).await, "a: one");
    eventually("it is asked for anew", || asked(&double, "a") > 1).await;
    log(&double, "a", &["42Z one", "43Z two"]);
    assert_eq!(next(&mut lines).await, "a: two");
    following.abort();
}

#[tokio::test]
async fn logs_that_may_not_be_read_end_it_with_what_is_missing() {
    let double = Double::start(Setup { tls: false });
    double.apply(&pod("a", "istio-proxy"));
    double.user("token", "somebody");
    let grant = |resources: &str| {
        double.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: r, namespace: payments}}\nrules: [{{apiGroups: [''], resources: [{resources}], verbs: [get, list, watch]}}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: r, namespace: payments}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}}\nsubjects: [{{kind: User, name: somebody}}]\n"
        ));
    };
    let context = open(&double).await;
    let failures = async || {
        let (sender, _lines) = channel(10);
        let followed = context.follow_pod_logs(&containers(), sender.clone()).await;
        let read = context.pod_logs(&containers(), sender).await;
        [followed.unwrap_err().to_string(), read.unwrap_err().to_string()]
    };
    let may_not_list = "may not list pods in the namespace payments (403)";
    assert_eq!(failures().await, [may_not_list; 2]);
    grant("pods");
    let may_not_read = "may not get the log of istio-proxy in payments/a (403)";
    assert_eq!(failures().await, [may_not_read; 2]);
}
