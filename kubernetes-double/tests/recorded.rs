//! The double answers as an API server was recorded to answer (Kubernetes 1.36.2, `data/errors`).

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use kubernetes_double::{Double, ISTIO, Key, Setup};
use serde_json::{Value, json};

const BOUND: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: payments}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: nodes}
rules: [{apiGroups: [''], resources: [nodes], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: nodes}
roleRef: {kind: ClusterRole, name: nodes}
subjects: [{kind: ServiceAccount, namespace: shop, name: frontend}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: nodes, namespace: shop}
roleRef: {kind: ClusterRole, name: nodes}
subjects: [{kind: ServiceAccount, namespace: shop, name: other}]
";
const POLICIES: &str = "/apis/security.istio.io/v1/namespaces/payments/peerauthentications";

struct Answered {
    code: u16,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn ask(double: &Double, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
    let mut connection = TcpStream::connect(double.url().trim_start_matches("http://")).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: double\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    connection.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answered {
        code: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: body.to_owned(),
    }
}

fn double() -> Double {
    let double = Double::start(Setup::default());
    double.serve(ISTIO);
    double.apply(BOUND);
    double
}

fn recorded(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/errors/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn errors_are_worded_as_recorded() {
    let bearer = ("authorization", "Bearer frontend");
    let wrong = ("authorization", "Bearer wrong");
    let admin = ("authorization", "Bearer admin");
    let json_type = ("content-type", "application/json");
    let apply = ("content-type", "application/apply-patch+yaml");
    let policy = |mode: &str| {
        format!(
            "{{\"apiVersion\": \"security.istio.io/v1\", \"kind\": \"PeerAuthentication\", \"metadata\": {{\"name\": \"dup\"}}, \"spec\": {{\"mtls\": {{\"mode\": \"{mode}\"}}}}}}"
        )
    };
    let stale = policy("STRICT").replace("\"dup\"", "\"dup\", \"resourceVersion\": \"1\"");
    let (strict, permissive) = (policy("STRICT"), policy("PERMISSIVE"));
    let one = format!("{POLICIES}/dup?fieldManager=one");
    let two = format!("{POLICIES}/dup?fieldManager=two");
    let (nope, dup) = (format!("{POLICIES}/nope"), format!("{POLICIES}/dup"));
    type Case<'a> = (&'a str, &'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("401-bad-token", "GET", "/api/v1/pods", vec![wrong], ""),
        (
            "403-rbac-list",
            "GET",
            "/api/v1/namespaces/payments/pods",
            vec![bearer],
            "",
        ),
        (
            "403-rbac-cluster-scope",
            "GET",
            "/apis/security.istio.io/v1/peerauthentications",
            vec![bearer],
            "",
        ),
        (
            "403-impersonation-subject-no-create",
            "POST",
            "/api/v1/namespaces/payments/pods",
            vec![bearer],
            "",
        ),
        (
            "404-object",
            "GET",
            "/api/v1/namespaces/payments/pods/nope",
            vec![admin],
            "",
        ),
        ("404-namespace-crd", "GET", &nope, vec![admin], ""),
        (
            "404-unknown-api-group",
            "GET",
            "/apis/nope.example.io/v1/things",
            vec![admin],
            "",
        ),
        (
            "404-unknown-version",
            "GET",
            "/apis/security.istio.io/v1alpha9/peerauthentications",
            vec![admin],
            "",
        ),
        ("", "PATCH", &one, vec![admin, apply], &strict),
        (
            "409-already-exists",
            "POST",
            POLICIES,
            vec![admin, json_type],
            &strict,
        ),
        (
            "409-apply-conflict",
            "PATCH",
            &two,
            vec![admin, apply],
            &permissive,
        ),
        ("409-conflict", "PUT", &dup, vec![admin, json_type], &stale),
        (
            "415-media-type",
            "PATCH",
            &dup,
            vec![admin, ("content-type", "text/csv")],
            &strict,
        ),
    ];
    let double = double();
    double.user("admin", "admin");
    double.user("frontend", "system:serviceaccount:shop:frontend");
    for (name, method, path, headers, body) in cases {
        let answered = ask(&double, method, path, &headers, body);
        if name.is_empty() {
            assert_eq!(answered.code, 201, "{}", answered.body);
            continue;
        }
        let expected = recorded(name);
        assert_eq!(
            u64::from(answered.code),
            expected["http_status"],
            "{name}: {}",
            answered.body
        );
        match &expected["body"] {
            Value::String(text) => assert_eq!(answered.body, *text, "{name}"),
            body => assert_eq!(answered.json(), *body, "{name}"),
        }
    }
}

#[test]
fn a_list_comes_in_pages_and_expires_with_its_history() {
    let double = double();
    for name in ["a", "b", "c", "d", "e"] {
        double.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}"
        ));
    }
    let get = |query: &str| ask(&double, "GET", &format!("/api/v1/configmaps?{query}"), &[], "");
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = get("limit=2").json();
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["a".into(), "b".into()], &json!(3))
    );
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = get(&format!("limit=2&continue={}", token.replace('/', "%2F"))).json();
    assert_eq!(names(&second), ["c", "d"]);
    double.forget_history();
    let expired = get(&format!("limit=2&continue={token}"));
    let body = expired.json();
    let told = recorded("410-continue-expired");
    assert_eq!(
        (expired.code, &body["message"], &body["reason"]),
        (410, &told["body"]["message"], &told["body"]["reason"])
    );
    let rest = get(&format!(
        "continue={}",
        body["metadata"]["continue"].as_str().unwrap()
    ))
    .json();
    assert_eq!(names(&rest), ["c", "d", "e"]);
}

#[test]
fn a_watch_tells_what_happens_and_ends_with_410_where_its_history_is_gone() {
    let double = double();
    double.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: payments}");
    let version =
        ask(&double, "GET", "/api/v1/configmaps", &[], "").json()["metadata"]["resourceVersion"].clone();
    let version = version.as_str().unwrap().to_owned();
    double.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: payments}");
    let key = Key {
        group: String::new(),
        plural: "configmaps".to_owned(),
        namespace: "payments".to_owned(),
        name: "a".to_owned(),
    };
    double.delete(&key);
    let path = format!("/api/v1/configmaps?watch=1&timeoutSeconds=1&resourceVersion={version}");
    let text = ask(&double, "GET", &path, &[], "").body;
    let (added, deleted) = (text.find("ADDED").unwrap(), text.find("DELETED").unwrap());
    assert!(added < deleted && !text.contains("410"), "{text}");
    double.forget_history();
    let text = ask(&double, "GET", &path, &[], "").body;
    assert!(
        text.contains("\"ERROR\"")
            && text.contains("\"code\":410")
            && text.contains("too old resource version"),
        "{text}"
    );
}

#[test]
fn roles_decide_by_verb_resource_name_and_namespace() {
    let double = double();
    double.user("frontend", "system:serviceaccount:shop:frontend");
    double.user("other", "system:serviceaccount:shop:other");
    let code = |token: &str, path: &str| {
        let bearer = format!("Bearer {token}");
        ask(&double, "GET", path, &[("authorization", &bearer)], "").code
    };
    assert_eq!(code("frontend", "/api/v1/nodes"), 200);
    assert_eq!(code("frontend", "/api/v1/nodes/a"), 403, "get is another verb");
    assert_eq!(
        code("other", "/api/v1/nodes"),
        403,
        "a RoleBinding is about its namespace"
    );
    let seen = double.seen();
    assert_eq!(
        (seen[0].verb.as_str(), seen[0].code, seen[2].code),
        ("list", 200, 403)
    );
}

#[test]
fn applied_fields_belong_to_their_manager_until_it_lets_go() {
    let double = double();
    let apply = |manager: &str, data: &str| {
        let path = format!("/api/v1/namespaces/payments/configmaps/a?fieldManager={manager}");
        let body = format!("{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"data\": {data}}}");
        ask(
            &double,
            "PATCH",
            &path,
            &[("content-type", "application/apply-patch+yaml")],
            &body,
        )
    };
    assert_eq!(apply("one", r#"{"a": "1", "b": "1"}"#).code, 201);
    assert_eq!(apply("two", r#"{"c": "2"}"#).code, 200);
    assert_eq!(apply("two", r#"{"a": "2"}"#).code, 409);
    let left = apply("one", r#"{"a": "1"}"#).json();
    assert_eq!(left["data"], json!({"a": "1", "c": "2"}));
}

#[test]
fn a_namespace_goes_with_all_that_is_in_it() {
    let double = double();
    double.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: payments}");
    assert_eq!(
        ask(&double, "DELETE", "/api/v1/namespaces/payments", &[], "").code,
        200
    );
    assert_eq!(double.objects("", "pods"), Vec::<Value>::new());
}

#[test]
fn what_a_controller_does_follows_a_write() {
    let double = double();
    double.on_write(|key, value| {
        if key.plural == "pods" {
            value["status"] = json!({"phase": "Running"});
        }
        match key.plural.as_str() {
            "deployments" => vec![json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("{}-1", key.name), "namespace": key.namespace},
            })],
            _ => Vec::new(),
        }
    });
    double.apply("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: payments}");
    assert_eq!(double.objects("", "pods")[0]["status"]["phase"], "Running");
}
