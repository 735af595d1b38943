//! Pods of a run: awaited by watch until they are those of the present templates and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::kinds::{DEPLOYMENTS, PODS};
use super::names::Names;
use super::objects::Objects;
use super::workload::{SHOWN, TEMPLATE, WORKLOAD};
use crate::call::{PodName, WorkloadName};
use crate::istio::Topology;
use crate::kubernetes::{Change, Container, Context, HOPELESS, KubernetesError, Selection};
use crate::mesh::MeshError;

/// How long pods may take to come and go: a node pulls 100 MB of proxy for the first of them.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// How often what a watch of pods does not tell is looked at: that none can be made.
const LOOK_FOR_REFUSALS: Duration = Duration::from_secs(3);

/// A pod that runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Running {
    pub(super) namespace: String,
    /// As the cluster calls it.
    pub(super) name: String,
    pub(super) address: String,
    /// The image and the digest of its sidecar, where it has one.
    pub(super) proxy: Option<(String, String)>,
}

/// The pods of a run, by their names in the scenario.
pub(super) type Pods = BTreeMap<PodName, Running>;

impl Running {
    pub(super) fn container(&self, name: &str) -> Container {
        Container {
            namespace: self.namespace.clone(),
            pod: self.name.clone(),
            name: name.to_owned(),
        }
    }
}

/// Waits until every workload has its pods, and all their containers are ready.
pub(super) async fn ready(
    context: &Context,
    names: &Names,
    topology: &Topology,
    objects: &Objects,
) -> Result<Pods, MeshError> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut all = Pods::new();
    let mut namespaces: BTreeMap<String, Vec<Wanted<'_>>> = BTreeMap::new();
    for (key, object) in objects {
        let workload = topology.workloads.values().find(|it| {
            it.object.kind == key.resource.kind
                && it.object.name == key.name
                && key.namespace == Some(names.namespace(&it.name.namespace))
        });
        let (Some(workload), Some(namespace)) = (workload, &key.namespace) else {
            continue;
        };
        let pods = if key.resource == PODS {
            object
        } else {
            &object["spec"]["template"]
        };
        let template = pods.pointer(&format!("/metadata/annotations/{}", TEMPLATE.replace('/', "~1")));
        namespaces.entry(namespace.clone()).or_default().push(Wanted {
            workload: &workload.name,
            template: template.and_then(Value::as_str).unwrap_or_default(),
            replicas: workload.replicas as usize,
        });
    }
    for (namespace, wanted) in namespaces {
        all.extend(ready_in(context, &namespace, &wanted, deadline).await?);
    }
    Ok(all)
}

/// The pods that one workload should have.
struct Wanted<'a> {
    workload: &'a WorkloadName,
    template: &'a str,
    replicas: usize,
}

async fn ready_in(
    context: &Context,
    namespace: &str,
    wanted: &[Wanted<'_>],
    deadline: Instant,
) -> Result<Pods, MeshError> {
    let selection = Selection {
        resource: &PODS,
        namespace: Some(namespace),
        name: None,
    };
    loop {
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        let version = context
            .list(&selection, |pod| {
                found.insert(name_of(&pod).to_owned(), pod);
            })
            .await?;
        if let Ok(pods) = judge(namespace, wanted, &found)? {
            return Ok(pods);
        }
        let mut watch = Box::pin(context.watch(&selection, &version).await?);
        loop {
            let patience = deadline.min(Instant::now() + LOOK_FOR_REFUSALS);
            match timeout_at(patience, watch.next()).await {
                Ok(Some(Ok(Change::Written(pod)))) => {
                    found.insert(name_of(&pod).to_owned(), pod);
                }
                Ok(Some(Ok(Change::Deleted(pod)))) => {
                    found.remove(name_of(&pod));
                }
                // The list begins anew.
                Ok(None | Some(Err(KubernetesError::Expired { .. }))) => break,
                Ok(Some(Err(error))) => return Err(error.into()),
                Err(_) => no_pod_is_refused(context, namespace).await?,
            }
            let missing = match judge(namespace, wanted, &found)? {
                Ok(pods) => return Ok(pods),
                Err(missing) => missing,
            };
            if Instant::now() >= deadline {
                return Err(MeshError::NotReady {
                    what: missing,
                    within: READY_WITHIN,
                });
            }
        }
    }
}

/// The pods, where they are what is wanted; else what is missing.
fn judge(
    namespace: &str,
    wanted: &[Wanted<'_>],
    found: &BTreeMap<String, Value>,
) -> Result<Result<Pods, String>, MeshError> {
    let mut pods = Pods::new();
    for one in wanted {
        let of_it: Vec<&Value> = found
            .values()
            .filter(|pod| pod["metadata"]["labels"][WORKLOAD] == one.workload.name.as_str())
            .collect();
        for pod in &of_it {
            if let Some(error) = hopeless(namespace, pod) {
                return Err(error);
            }
        }
        let is_current = |pod: &&Value| {
            pod["metadata"]["annotations"][TEMPLATE] == one.template
                && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let ready = of_it.iter().filter(|pod| is_current(pod) && is_started(pod));
        let ready: Vec<Running> = ready.filter_map(|pod| running(namespace, pod)).collect();
        if of_it.len() != one.replicas || ready.len() != one.replicas {
            return Ok(Err(format!(
                "{} of {} pods of {} ({} in all)",
                ready.len(),
                one.replicas,
                one.workload,
                of_it.len()
            )));
        }
        for (ordinal, pod) in (0..).zip(ready) {
            pods.insert(one.workload.pod(ordinal), pod);
        }
    }
    Ok(Ok(pods))
}

/// Whether all its containers are ready. The pod itself is when it is shown.
fn is_started(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|it| it["type"] == "ContainersReady" && it["status"] == "True")
}

fn running(namespace: &str, pod: &Value) -> Option<Running> {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut statuses = lists
        .iter()
        .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
    let proxy = statuses
        .find(|it| it["name"] == crate::istio::injection::PROXY)
        .map(|it| {
            let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
            (text("image"), text("imageID"))
        });
    Some(Running {
        namespace: namespace.to_owned(),
        name: name_of(pod).to_owned(),
        address: pod["status"]["podIP"].as_str()?.to_owned(),
        proxy,
    })
}

fn hopeless(namespace: &str, pod: &Value) -> Option<MeshError> {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut statuses = lists
        .iter()
        .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
    statuses.find_map(|status| {
        let waiting = &status["state"]["waiting"];
        let reason = waiting["reason"].as_str().filter(|it| HOPELESS.contains(it))?;
        Some(MeshError::PodFails {
            pod: format!("{namespace}/{}", name_of(pod)),
            container: status["name"].as_str().unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
            message: waiting["message"].as_str().unwrap_or_default().to_owned(),
        })
    })
}

/// Fails where the cluster says that it cannot make a pod: the injection webhook does not answer, or a quota is full.
async fn no_pod_is_refused(context: &Context, namespace: &str) -> Result<(), MeshError> {
    let selection = Selection {
        resource: &DEPLOYMENTS,
        namespace: Some(namespace),
        name: None,
    };
    let mut refusal = None;
    context
        .list(&selection, |deployment| {
            let conditions = deployment["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            let failure = conditions.find(|it| it["type"] == "ReplicaFailure" && it["status"] == "True");
            if let Some(failure) = failure {
                let name = name_of(&deployment).to_owned();
                refusal = Some((name, failure["message"].as_str().unwrap_or_default().to_owned()));
            }
        })
        .await?;
    match refusal {
        None => Ok(()),
        Some((deployment, message)) => Err(MeshError::PodRefused {
            deployment: format!("{namespace}/{deployment}"),
            message,
        }),
    }
}

/// Shows these pods to their callers, and hides the others.
pub(super) async fn show(
    context: &Context,
    pods: &Pods,
    hidden: &BTreeSet<PodName>,
    before: Option<&BTreeSet<PodName>>,
) -> Result<(), MeshError> {
    for (name, pod) in pods {
        let is_hidden = hidden.contains(name);
        if before.is_some_and(|before| before.contains(name) == is_hidden) {
            continue;
        }
        let status = if is_hidden { "False" } else { "True" };
        let conditions = json!([{"type": SHOWN, "status": status}]);
        context
            .set_conditions(&PODS, &pod.namespace, &pod.name, &conditions)
            .await?;
    }
    Ok(())
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
