//! What a real cluster adds to an API server: controllers that make pods, sidecars that answer, and an agent that calls. Pods
//! are as they were recorded; what both ends of a call show was recorded from real Envoys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};

use kubernetes_double::{Double, Exec, Executed, Key};
use meshproof::probe::agent::{Answer, Question, Seen};
use meshproof::probe::dial::request_id;
use meshproof::probe::evidence::{AccessLogEntry, Evidence, ProxyEvidence};
use serde_json::{Value, json};
use x509_parser::extensions::GeneralName;

const INJECTED: &str = include_str!("../data/kube-fixtures/pod-injected-native-sidecar.json");
const HEALTHY: &str = include_str!("../data/recorded-healthy.json");
const REFUSED: &str = include_str!("../data/recorded-scenarios.yaml");
const REFUSED_CALL: &str =
    "skew-1.24.0::trailing-dot::payments/checkout->payments/payment:8080@payment-canary-0";
const WEBHOOKS: &str = "mutatingwebhookconfigurations";
const UNCAPTURED_CALL: &str =
    "missing-sidecar::client-without-sidecar::legacy/reports->payments/payment:8080";
const SHOWN: &str = "meshproof.dev/shown";

#[derive(Default)]
struct World {
    /// The state that EnvoyFilters last asked for.
    number: String,
    counters: BTreeMap<String, BTreeMap<String, i64>>,
    pods_made: usize,
    /// Pods whose containers do not start, and why.
    failing: Option<&'static str>,
    /// The injection webhooks that are registered; absent: nobody cares, and every pod is injected.
    webhooks: Option<BTreeSet<String>>,
    /// Whether somebody deletes namespaces as soon as they are there.
    terminates: bool,
}

/// Lets pods come and programs run.
pub(crate) fn start(double: &Arc<Double>) -> Kubelet {
    let world = Arc::new(Mutex::new(World::default()));
    let controllers = Arc::clone(&world);
    double.on_write(move |key, object| controllers.lock().unwrap().written(key, object));
    let injector = Arc::clone(&world);
    double.on_admission(move |key, object| {
        if key.plural == "pods" && !has_sidecar(object) && injector.lock().unwrap().injects() {
            object["spec"]["initContainers"] = json!([{"name": "istio-proxy", "restartPolicy": "Always"}]);
        }
    });
    let mourner = Arc::clone(&world);
    double.on_delete(move |key, _| {
        if let (WEBHOOKS, Some(webhooks)) = (key.plural.as_str(), &mut mourner.lock().unwrap().webhooks) {
            webhooks.remove(&key.name);
        }
        Vec::new()
    });
    let (handle, programs) = (Arc::downgrade(double), Arc::clone(&world));
    double.on_exec(move |exec| run(&handle, &programs, exec));
    Kubelet(world)
}

/// What a test may change about it.
pub(crate) struct Kubelet(Arc<Mutex<World>>);

impl Kubelet {
    pub(crate) fn fail_pods(&self, reason: &'static str) {
        self.0.lock().unwrap().failing = Some(reason);
    }

    pub(crate) fn terminate_namespaces(&self) {
        self.0.lock().unwrap().terminates = true;
    }
}

impl World {
    fn written(&mut self, key: &Key, object: &mut Value) -> Vec<Value> {
        if key.plural == "envoyfilters" {
            let patch = &object["spec"]["configPatches"][0]["patch"]["value"];
            let number = &patch["metadata"]["filter_metadata"]["meshproof.dev/state"]["number"];
            self.number = number.as_str().unwrap().to_owned();
        }
        if key.plural == "namespaces" && self.terminates {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        if key.plural == WEBHOOKS {
            let webhooks = self.webhooks.get_or_insert_default();
            webhooks.insert(key.name.clone());
        }
        if key.plural != "deployments" {
            return Vec::new();
        }
        let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
        (0..replicas)
            .map(|number| self.pod(key, object, number))
            .collect()
    }

    fn injects(&self) -> bool {
        self.webhooks.as_ref().is_none_or(|it| !it.is_empty())
    }

    fn pod(&mut self, key: &Key, deployment: &Value, number: u64) -> Value {
        self.pods_made += 1;
        let mut pod: Value = serde_json::from_str(INJECTED).unwrap();
        let template = &deployment["spec"]["template"];
        pod["metadata"] = template["metadata"].clone();
        pod["metadata"]["name"] = format!("{}-{number}", key.name).into();
        pod["metadata"]["namespace"] = key.namespace.as_str().into();
        pod["spec"]["containers"] = template["spec"]["containers"].clone();
        let status = &mut pod["status"];
        status["podIP"] = format!("10.0.0.{}", self.pods_made).into();
        let image = template["metadata"]["annotations"]["sidecar.istio.io/proxyImage"].as_str();
        let proxy = &mut status["initContainerStatuses"];
        for one in proxy
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .filter(|it| it["name"] == "istio-proxy")
        {
            one["image"] = image.unwrap_or("docker.io/istio/proxyv2:1.24.1").into();
            one["imageID"] = format!("docker.io/istio/proxyv2@sha256:{}", "0".repeat(64)).into();
        }
        if !self.injects() {
            for list in ["/spec/initContainers", "/status/initContainerStatuses"] {
                pod.pointer_mut(list).unwrap().as_array_mut().unwrap().clear();
            }
        }
        let status = &mut pod["status"];
        if let Some(reason) = self.failing {
            status["containerStatuses"] = json!([{
                "name": "app",
                "state": {"waiting": {"reason": reason, "message": "Back-off pulling image \"meshproof-agent:dev\""}},
            }]);
            status["conditions"] = json!([{"type": "ContainersReady", "status": "False"}]);
        }
        pod
    }
}

fn run(double: &Weak<Double>, world: &Mutex<World>, exec: &Exec) -> Executed {
    let double = double.upgrade().unwrap();
    let mut world = world.lock().unwrap();
    let output = match exec.command[0].as_str() {
        "pilot-agent" => sidecar(&double, &world, exec),
        "/meshproof-agent" => call(&double, &mut world, exec),
        other => panic!("nobody runs {other}"),
    };
    Executed {
        output,
        ..Executed::default()
    }
}

/// What a sidecar answers.
fn sidecar(double: &Double, world: &World, exec: &Exec) -> String {
    assert_eq!(exec.container, "istio-proxy");
    assert_eq!(exec.command[..3], ["pilot-agent", "request", "GET"]);
    let mark = json!({"filter_metadata": {"meshproof.dev/state": {"number": world.number}}});
    let path = exec.command[3].as_str();
    let (page, query) = path.split_once('?').unwrap_or((path, ""));
    let answer = match (page, query) {
        ("stats", _) => {
            let counters = world.counters.get(&exec.pod);
            return counters
                .into_iter()
                .flatten()
                .map(|(name, value)| format!("{name}: {value}\n"))
                .collect();
        }
        ("server_info", _) => json!({"version": "0a1b2c/1.36.4/Clean/RELEASE/BoringSSL"}),
        ("certs", _) => json!({"certificates": []}),
        ("clusters", _) => json!({"cluster_statuses": clusters(double, &exec.namespace)}),
        ("config_dump", "resource=dynamic_listeners") => json!({"configs": [{
            "name": "virtualInbound",
            "active_state": {"listener": {"metadata": mark, "san": {"prefix": "spiffe://cluster.local/"}}},
        }]}),
        ("config_dump", "resource=dynamic_active_clusters") => {
            json!({"configs": [{"cluster": {"name": "outbound|8080||a", "metadata": mark}}]})
        }
        ("config_dump", _) => json!({"configs": [{"secret": {"private_key": {"inline_bytes": "hunter2"}}}]})
            .as_object()
            .filter(|_| query.contains("active_secrets"))
            .map_or_else(|| json!({}), |it| it.clone().into()),
        _ => panic!("nobody answers {path}"),
    };
    answer.to_string()
}

/// The clusters of the Services of a namespace, and where they lead.
fn clusters(double: &Double, namespace: &str) -> Vec<Value> {
    let services = double.objects("", "services").into_iter();
    let here = services.filter(|it| it["metadata"]["namespace"] == namespace);
    here.map(|service| {
        let hosts: Vec<Value> = behind(double, &service)
            .map(|pod| json!({"address": {"socket_address": {"address": pod["status"]["podIP"]}}}))
            .collect();
        let name = service["metadata"]["name"].as_str().unwrap();
        let name = format!("outbound|8080||{name}.{namespace}.svc.cluster.local");
        json!({"name": name, "host_statuses": hosts})
    })
    .collect()
}

/// The pods behind a Service that are shown.
fn behind(double: &Double, service: &Value) -> impl Iterator<Item = Value> {
    let selector = service["spec"]["selector"].as_object().unwrap().clone();
    let namespace = service["metadata"]["namespace"].clone();
    double.objects("", "pods").into_iter().filter(move |pod| {
        let metadata = &pod["metadata"];
        metadata["namespace"] == namespace
            && is_shown(pod)
            && selector
                .iter()
                .all(|(key, value)| metadata["labels"][key] == *value)
    })
}

/// A call as the agent makes it, with what both ends show of it.
fn call(double: &Double, world: &mut World, exec: &Exec) -> String {
    let question: Question = serde_json::from_str(&exec.input).unwrap();
    let server = endpoint(double, exec, &question);
    let recorded = |call: &str| {
        let all: BTreeMap<String, Recorded> = serde_saphyr::from_str(REFUSED).unwrap();
        all[call].evidence[0].clone()
    };
    let pods = double.objects("", "pods");
    let caller = pods.iter().find(|it| {
        it["metadata"]["name"] == exec.pod.as_str() && it["metadata"]["namespace"] == exec.namespace.as_str()
    });
    let has_sidecar = has_sidecar(caller.unwrap());
    let evidence = match identity(double, &server) {
        _ if !has_sidecar => recorded(UNCAPTURED_CALL),
        Some(identity) if identity.ends_with('.') => recorded(REFUSED_CALL),
        _ => serde_json::from_str(HEALTHY).unwrap(),
    };
    let text = evidence.to_string();
    let text = text
        .replace("/ns/payments/", &format!("/ns/{}/", exec.namespace))
        .replace(".payments.svc", &format!(".{}.svc", exec.namespace));
    let evidence: Evidence = serde_json::from_str(&text).unwrap();
    let request = request_id(&question.nonce);
    let server_pod = server["metadata"]["name"].as_str().unwrap();
    let ends = [
        (exec.pod.as_str(), &evidence.client_proxy, "outbound"),
        (server_pod, &evidence.server_proxy, "inbound"),
    ];
    for (pod, proxy, log) in ends {
        let Some(proxy) = proxy else { continue };
        show(double, world, &exec.namespace, pod, proxy, log, &request);
    }
    if let Some(application) = &evidence.application {
        let seen = Seen {
            application: application.clone(),
            nonce: Some(question.nonce),
        };
        let line = serde_json::to_string(&seen).unwrap();
        double.append_log(&exec.namespace, server_pod, Some("app"), &line);
    }
    serde_json::to_string(&Answer::Seen(Box::new(evidence.caller))).unwrap()
}

fn has_sidecar(pod: &Value) -> bool {
    let containers = pod["spec"]["initContainers"].as_array();
    let mut containers = containers.into_iter().flatten();
    containers.any(|it| it["name"] == "istio-proxy")
}

#[derive(serde::Deserialize)]
struct Recorded {
    evidence: Vec<Value>,
}

/// A sidecar writes and counts what it was recorded to.
fn show(
    double: &Double,
    world: &mut World,
    namespace: &str,
    pod: &str,
    proxy: &ProxyEvidence,
    log: &str,
    request: &str,
) {
    let line = |entry: &AccessLogEntry, log: &str| {
        let mut line = serde_json::to_value(entry).unwrap();
        line["log"] = log.into();
        line["request"] = request.into();
        format!("{line}\n")
    };
    let mut lines: String = proxy.access_log.iter().map(|it| line(it, log)).collect();
    lines.extend(proxy.listener_log.iter().map(|it| line(it, "listener")));
    lines.extend(proxy.debug_log.iter().map(|message| {
        format!("2026-11-22T04:51:20.030423Z\tdebug\tenvoy connection source/a.cc:1\t{message}\tthread=22\n")
    }));
    double.append_log(namespace, pod, Some("istio-proxy"), &lines);
    let counters = world.counters.entry(pod.to_owned()).or_default();
    for (name, moved) in &proxy.stats {
        *counters.entry(name.clone()).or_default() += moved;
    }
}

/// The pod that kube-proxy and the sidecar between them would lead the call to.
fn endpoint(double: &Double, exec: &Exec, question: &Question) -> Value {
    let service = question.host.split('.').next().unwrap();
    let services = double.objects("", "services");
    let of_name = services.iter().find(|it| {
        it["metadata"]["name"] == service && it["metadata"]["namespace"] == exec.namespace.as_str()
    });
    let found = match of_name {
        None => double.objects("", "pods").into_iter().find(|pod| {
            pod["metadata"]["namespace"] == exec.namespace.as_str()
                && pod["status"]["podIP"] == question.host.as_str()
        }),
        Some(service) => behind(double, service).next(),
    };
    found.unwrap_or_else(|| panic!("nobody answers {}", question.host))
}

fn is_shown(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    conditions
        .iter()
        .any(|it| it["type"] == SHOWN && it["status"] == "True")
}

/// The URI in the certificate that is mounted into a pod's sidecar, if one is.
fn identity(double: &Double, pod: &Value) -> Option<String> {
    let volume = pod["metadata"]["annotations"]["sidecar.istio.io/userVolume"].as_str()?;
    let volume: Value = serde_json::from_str(volume).unwrap();
    let name = volume["meshproof-credentials"]["secret"]["secretName"].clone();
    let secrets = double.objects("", "secrets");
    let secret = secrets.iter().find(|it| it["metadata"]["name"] == name).unwrap();
    let files: BTreeSet<&String> = secret["stringData"].as_object().unwrap().keys().collect();
    assert_eq!(files.len(), 3, "{files:?}");
    let chain = secret["stringData"]["cert-chain.pem"].as_str().unwrap();
    let (_, leaf) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).unwrap();
    let leaf = leaf.parse_x509().unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    })
}
