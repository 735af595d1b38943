//! Pods of a run: those that a scenario's workload would have, with the agent for its application.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::istio::policy::ListenerClass;
use crate::istio::{Topology, Workload};
use crate::kubernetes::without_privileges;

/// The label by which everything of a run is known, and nothing else is touched.
pub(super) const RUN: &str = "meshproof.dev/run";
/// Says which workload of the scenario a pod is of.
pub(super) const WORKLOAD: &str = "meshproof.dev/workload";
/// Tells pods of a template from those of the one before.
pub(super) const TEMPLATE: &str = "meshproof.dev/template";
/// How often its pods were restarted: a template that says something else makes them anew.
const RESTARTS: &str = "meshproof.dev/restarts";
/// The gate by which a pod is shown to its callers, or not.
pub(super) const SHOWN: &str = "meshproof.dev/shown";
/// The agent as the application.
pub(super) const APPLICATION: &str = "app";
/// The agent as the user whose bytes are not captured: what makes raw calls.
pub(super) const RAW: &str = "meshproof-raw";
/// `runAsUser` of istio-proxy, which its iptables rules leave alone.
const PROXY_USER: u32 = 1337;
/// Where agents look for credentials before they ask istiod for any
/// (pkg/security/security.go@1.30.3: `DefaultCertChainFilePath` and its like).
const CREDENTIALS: &str = "/etc/certs";
/// A regular expression for the names of the statistics that evidence holds; what istio-proxy counts otherwise is too little.
const COUNTED: &str = r"(cluster\.(in|out)bound|listener\.0\.0\.0\.0_15006|tls_inspector|.*(codec_error|protocol_error|rbac)).*";

/// What a pod template becomes.
pub(super) struct Dressing<'a> {
    pub(super) topology: &'a Topology,
    pub(super) run: &'a str,
    pub(super) agent: &'a str,
    /// Where images of proxies come from, for those pinned to another release than the control plane's.
    pub(super) hub: &'a str,
    /// The Secret with the workload's own credentials, where it has any.
    pub(super) credentials: Option<&'a str>,
    /// How often its pods were restarted.
    pub(super) restarts: u32,
}

impl Dressing<'_> {
    /// Gives a workload's object the agent for its containers; its metadata, labels and selectors stay.
    pub(super) fn dress(&self, workload: &Workload, object: &mut Value) {
        let is_pod = object["kind"] == "Pod";
        let template = if is_pod {
            object
        } else {
            &mut object["spec"]["template"]
        };
        let mut metadata = template["metadata"].take();
        self.annotate(workload, &mut metadata);
        metadata["labels"][RUN] = self.run.into();
        metadata["labels"][WORKLOAD] = workload.name.name.as_str().into();
        template["metadata"] = metadata;
        let written = template["spec"].take();
        template["spec"] = self.spec(workload, &written);
        let made = digest(&format!("{}{}", template["metadata"], template["spec"]));
        template["metadata"]["annotations"][TEMPLATE] = made.into();
    }

    fn annotate(&self, workload: &Workload, metadata: &mut Value) {
        if !metadata.is_object() {
            *metadata = json!({});
        }
        let annotations = &mut metadata["annotations"];
        let mut set = |key: &str, value: Value| {
            if annotations[key].is_null() {
                annotations[key] = match value {
                    Value::String(_) => value,
                    other => other.to_string().into(),
                };
            }
        };
        if let Some(release) = workload.proxy_release()
            && *release != self.topology.release
        {
            set(
                "sidecar.istio.io/proxyImage",
                format!("{}/proxyv2:{release}", self.hub).into(),
            );
        }
        let config = json!({"proxyStatsMatcher": {"inclusionRegexps": [COUNTED]}});
        set("proxy.istio.io/config", config);
        set("sidecar.istio.io/componentLogLevel", "connection:debug".into());
        set("sidecar.istio.io/proxyCPU", "10m".into());
        set("sidecar.istio.io/proxyMemory", "64Mi".into());
        if self.restarts > 0 {
            set(RESTARTS, self.restarts.to_string().into());
        }
        if let Some(secret) = self.credentials {
            let volume = json!({"meshproof-credentials": {"secret": {"secretName": secret}}});
            let mount = json!({"meshproof-credentials": {"mountPath": CREDENTIALS, "readOnly": true}});
            set("sidecar.istio.io/userVolume", volume);
            set("sidecar.istio.io/userVolumeMount", mount);
        }
    }

    fn spec(&self, workload: &Workload, written: &Value) -> Value {
        let mut ports: BTreeMap<u16, Value> = BTreeMap::new();
        let containers = written["containers"].as_array().into_iter().flatten();
        for port in containers.flat_map(|it| it["ports"].as_array().into_iter().flatten()) {
            let number = port["containerPort"]
                .as_u64()
                .and_then(|it| u16::try_from(it).ok());
            if let Some(number) = number {
                ports.entry(number).or_insert_with(|| port.clone());
            }
        }
        let mut serves = vec!["serve".to_owned(), "--name".to_owned(), workload.name.to_string()];
        serves.extend(
            self.listened(workload)
                .into_iter()
                .map(|(port, speaks)| format!("{port}={speaks}")),
        );
        let mut spec = json!({
            "containers": [
                self.container(APPLICATION, &serves, 10001, ports.into_values().collect()),
                self.container(RAW, &["serve".to_owned(), "--name".to_owned(), "raw".to_owned()], PROXY_USER, Vec::new()),
            ],
            "readinessGates": [{"conditionType": SHOWN}],
            "terminationGracePeriodSeconds": 2,
        });
        for kept in [
            "serviceAccountName",
            "hostNetwork",
            "restartPolicy",
            "subdomain",
            "hostname",
        ] {
            if !written[kept].is_null() {
                spec[kept] = written[kept].clone();
            }
        }
        spec
    }

    fn container(&self, name: &str, arguments: &[String], user: u32, ports: Vec<Value>) -> Value {
        let mut container = json!({
            "name": name,
            "image": self.agent,
            "args": arguments,
            "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
            "securityContext": without_privileges(user),
        });
        if !ports.is_empty() {
            container["ports"] = ports.into();
        }
        container
    }

    /// The pod ports at which the application listens, and what it speaks there: those its containers declare; where they
    /// declare none, those that Services lead to.
    fn listened(&self, workload: &Workload) -> BTreeMap<u16, &'static str> {
        let declared = workload.container_ports.iter().copied();
        let services = self.topology.services.values();
        let of_services = services
            .filter(|it| it.workloads.contains(&workload.name))
            .flat_map(|it| it.ports.iter().filter_map(|port| port.pod_port(workload)));
        let all: Vec<u16> = declared.chain(of_services).collect();
        let listened = all.into_iter().filter(|port| workload.listens_on(*port));
        listened
            .map(|port| {
                let class = self.topology.declared_class(&workload.name, port);
                let speaks = if class == Some(ListenerClass::Http) {
                    "http"
                } else {
                    "either"
                };
                (port, speaks)
            })
            .collect()
    }
}

/// The beginning of a digest, as part of names.
pub(super) fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}
