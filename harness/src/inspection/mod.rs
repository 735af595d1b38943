//! What a live cluster shows of its proxies, asked for over the API server: configuration dumps by a program in their
//! containers, and their logs. Whatever may not be read, or is not there any more, says why.

mod beneath;
mod probe;
mod witnessed;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use semver::Version;
use tokio::sync::mpsc::channel;

use crate::call::{PodName, WorkloadName};
use crate::diagnose::{Observed, ProxyConfig, ProxySeen, Shown, Subject};
use crate::istio::injection::PROXY;
use crate::istio::{Topology, workload_of};
use crate::kubernetes::{Container, Containers, Context, KubernetesError, LogLine};
use crate::snapshot::{Mixed, Object, Scope, Snapshot};

pub use beneath::{beneath, is_open_beneath, narrowed};
pub use witnessed::{Logged, Witnessed, witnesses};

/// istiod's container.
const ISTIOD: &str = "discovery";
/// How the agent in a sidecar is asked for what its Envoy's admin interface shows (istioctl/pkg/kubeclient@1.30.3).
const ADMIN: [&str; 3] = ["pilot-agent", "request", "GET"];
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(15);
/// How many pods are asked; the verdict on a call needs few, and of a namespace each workload's first.
const PODS: usize = 200;
/// How many are asked at once: each costs the API server a connection to a node.
const AT_ONCE: usize = 8;
/// How many lines wait to be sorted by pod.
const WAITING: usize = 4_096;
/// As much of a log as is kept, bytes; the newest.
const LOG: usize = 4 * 1024 * 1024;

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Inspection<'a> {
    /// The cluster.
    pub context: &'a Context,
    /// Its objects, pods included.
    pub snapshot: &'a Snapshot,
    /// Where istiod is.
    pub control_plane: &'a str,
    /// Only what was logged from this second on; absent: all that there is.
    pub since: Option<Timestamp>,
}

/// The objects of a cluster, as a diagnosis takes them.
///
/// # Errors
/// When nothing more can be read: the server is gone, or refuses the credentials.
pub async fn objects(
    context: &Context,
    scope: &Scope,
    release: &Version,
) -> Result<(Snapshot, Mixed), KubernetesError> {
    let mut snapshot = Snapshot::new(release.clone());
    let mut mixed = Mixed::default();
    // Where mesh-wide policies are, unless the mesh configuration says otherwise.
    snapshot.mesh.root_namespace.clone_from(&scope.control_plane);
    snapshot.load_cluster(context, scope, &mut mixed).await?;
    Ok((snapshot, mixed))
}

/// A pod with a sidecar.
struct Pod {
    name: PodName,
    namespace: String,
    own_name: String,
}

impl Pod {
    fn container(&self, name: &str) -> Container {
        Container {
            namespace: self.namespace.clone(),
            pod: self.own_name.clone(),
            name: name.to_owned(),
        }
    }
}

impl Inspection<'_> {
    /// Asks the proxies of those who take part, and istiod. Nothing of it is an error: what cannot be seen says so.
    pub async fn observe(&self, subject: &Subject) -> Observed {
        let topology = Topology::new(self.snapshot, None);
        let pods = self.pods(&topology, subject);
        let mut namespaces: Vec<&str> = pods.iter().map(|it| it.namespace.as_str()).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let mut logs = BTreeMap::new();
        for namespace in namespaces {
            logs.insert(namespace.to_owned(), self.logs(namespace, PROXY).await);
        }
        let asked = futures_util::stream::iter(pods.iter().enumerate())
            .map(|(index, pod)| async move { (pod, self.config(index, pod).await) })
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let proxies = asked.into_iter().map(|(pod, config)| {
            let seen = ProxySeen {
                pod: pod.own_name.clone(),
                config,
                log: log_of(&logs, pod),
            };
            (pod.name.clone(), seen)
        });
        Observed {
            proxies: proxies.collect(),
            istiod: match self.logs(self.control_plane, ISTIOD).await {
                Ok(logs) if logs.is_empty() => {
                    Shown::Missing("no pod of istiod has logged anything".to_owned())
                }
                Ok(logs) => Shown::Seen(logs),
                Err(error) => Shown::Missing(error.to_string()),
            },
            probe: Shown::Missing("nobody asked for one (--probe)".to_owned()),
        }
    }

    /// The pods with a sidecar of those who take part, each workload's in the order of their names.
    fn pods(&self, topology: &Topology, subject: &Subject) -> Vec<Pod> {
        self.pods_of(topology, &subject.workloads(topology))
    }

    fn pods_of(&self, topology: &Topology, asked: &[WorkloadName]) -> Vec<Pod> {
        let mut counts = BTreeMap::new();
        let mut found = Vec::new();
        for (object, stored) in self.snapshot.objects() {
            let Object::Pod(pod) = &stored.object else {
                continue;
            };
            let workload = workload_of(pod, topology);
            let Some(workload) = workload.filter(|it| asked.contains(it) && topology.has_sidecar(it)) else {
                continue;
            };
            let ordinal = counts.entry(workload.clone()).or_insert(0);
            found.push(Pod {
                name: workload.pod(*ordinal),
                namespace: workload.namespace,
                own_name: object.name.clone(),
            });
            *ordinal += 1;
        }
        // Each workload's first before anybody's second: pods of one template seldom differ.
        found.sort_by_key(|it| it.name.ordinal);
        found
    }

    async fn config(&self, index: usize, pod: &Pod) -> Shown<Box<ProxyConfig>> {
        if index >= PODS {
            return Shown::Missing(format!("only the first {PODS} pods are asked"));
        }
        let dump = match self.admin(pod, "config_dump").await {
            Ok(dump) => dump,
            Err(why) => return Shown::Missing(why),
        };
        match ProxyConfig::read(&dump) {
            Ok(config) => Shown::Seen(Box::new(config)),
            Err(error) => Shown::Missing(error.to_string()),
        }
    }

    /// What a sidecar's admin interface answers; why not.
    async fn admin(&self, pod: &Pod, path: &str) -> Result<String, String> {
        let command = [ADMIN.as_slice(), &[path]].concat();
        let ran = self
            .context
            .exec(&pod.container(PROXY), &command, None, WITHIN)
            .await
            .map_err(|error| error.to_string())?;
        match ran.failure {
            None => Ok(ran.output),
            Some(failure) => {
                let said = ran.errors.lines().last().unwrap_or_default();
                Err(format!("its agent shows no {path}: {failure} {said}")
                    .trim_end()
                    .to_owned())
            }
        }
    }

    /// The newest lines of a namespace's containers, by pod.
    async fn logs(
        &self,
        namespace: &str,
        container: &str,
    ) -> Result<BTreeMap<String, String>, KubernetesError> {
        let containers = Containers {
            namespace: namespace.to_owned(),
            container: container.to_owned(),
            since: self.since,
        };
        let (sender, mut lines) = channel::<LogLine>(WAITING);
        let sorted = async {
            let mut logs: BTreeMap<String, String> = BTreeMap::new();
            while let Some(line) = lines.recv().await {
                let log = logs.entry(line.pod).or_default();
                log.push_str(&line.text);
                log.push('\n');
                if log.len() > 2 * LOG {
                    let half = log[LOG..].find('\n').map_or(log.len(), |it| LOG + it + 1);
                    log.drain(..half);
                }
            }
            logs
        };
        let (read, logs) = tokio::join!(self.context.pod_logs(&containers, sender), sorted);
        let unread = read?;
        match unread.into_iter().next() {
            Some(error) if logs.is_empty() => Err(error),
            _ => Ok(logs),
        }
    }
}

fn log_of(
    logs: &BTreeMap<String, Result<BTreeMap<String, String>, KubernetesError>>,
    pod: &Pod,
) -> Shown<String> {
    match logs.get(&pod.namespace) {
        Some(Ok(logs)) => match logs.get(&pod.own_name) {
            Some(log) => Shown::Seen(log.clone()),
            None => Shown::Missing("it has logged nothing, or is gone".to_owned()),
        },
        Some(Err(error)) => Shown::Missing(error.to_string()),
        None => Shown::default(),
    }
}
