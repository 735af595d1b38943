//! How a destination is written, and what it means in a topology.
//!
//! One parser for scenarios and the command line: `svc:port` (in the caller's namespace), `svc.ns:port`, an FQDN with
//! port, `pod/ns/workload[-ordinal]:port`, `*:port`.

use super::{Service, Topology};
use crate::call::{Destination, PodName, WorkloadName};
use crate::reference::most_similar;

/// Why a written destination leads nowhere.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// None of the forms.
    #[error("`{0}` is no destination")]
    Malformed(String),
    /// The snapshot has no Service of that name.
    #[error("no Service `{name}` in namespace `{namespace}`")]
    NoService {
        /// The namespace looked in.
        namespace: String,
        /// The name looked for.
        name: String,
        /// What may have been meant, in the form of `to`.
        instead: Option<String>,
    },
    /// The Service has no such port.
    #[error("Service `{service}` has no port {port}")]
    NoPort {
        /// `namespace/name`.
        service: String,
        /// The port looked for.
        port: u16,
        /// The ports it has: number and name.
        ports: Vec<(u16, String)>,
    },
    /// No pod of that name.
    #[error("no pod `{name}` in namespace `{namespace}`")]
    NoPod {
        /// The namespace looked in.
        namespace: String,
        /// Workload or pod name looked for.
        name: String,
        /// The most similar workload of the namespace.
        similar: Option<String>,
    },
    /// The workload has fewer pods.
    #[error("workload `{workload}` has no pod {ordinal}")]
    NoOrdinal {
        /// The workload.
        workload: WorkloadName,
        /// The pod asked for.
        ordinal: u32,
        /// How many there are.
        replicas: u32,
    },
    /// `*:port`, and no Service has the port.
    #[error("no Service has port {0}")]
    NothingMatches(u16),
}

/// What one written destination stands for.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The destination.
    pub destination: Destination,
    /// The Service it is a port of, if it is one.
    pub service: Option<&'a Service>,
}

/// Resolves `written` for a caller in `namespace`. `lenient` lets names and ports that do not exist pass as hosts.
///
/// # Errors
/// When it has none of the forms, or names what the topology does not have.
pub fn resolve<'a>(
    written: &str,
    namespace: &str,
    topology: &'a Topology,
    lenient: bool,
) -> Result<Vec<Target<'a>>, AddressError> {
    let malformed = || AddressError::Malformed(written.to_owned());
    let (host, port) = written.rsplit_once(':').ok_or_else(malformed)?;
    let port: u16 = port.parse().map_err(|_| malformed())?;
    if host.is_empty() || port == 0 || host.contains(char::is_whitespace) {
        return Err(malformed());
    }
    if host == "*" {
        return every_service(port, topology);
    }
    if let Some(pod) = host.strip_prefix("pod/") {
        let (namespace, name) = pod.split_once('/').ok_or_else(malformed)?;
        return pods(namespace, name, port, topology);
    }
    if host.contains(['/', '*']) {
        return Err(malformed());
    }
    match service(host, namespace, port, topology) {
        Ok(target) => Ok(vec![target]),
        Err(_) if lenient => Ok(vec![Target::host(host, port)]),
        Err(error) => Err(error),
    }
}

impl<'a> Target<'a> {
    fn of_service(service: &'a Service, port: u16) -> Self {
        Self {
            destination: Destination::Service {
                namespace: service.namespace.clone(),
                name: service.name.clone(),
                port,
            },
            service: Some(service),
        }
    }

    fn host(host: &str, port: u16) -> Self {
        Self {
            destination: Destination::Host {
                host: host.to_owned(),
                port,
            },
            service: None,
        }
    }
}

fn every_service(port: u16, topology: &Topology) -> Result<Vec<Target<'_>>, AddressError> {
    let found: Vec<_> = topology
        .services
        .values()
        .filter(|service| service.port(port).is_some())
        .map(|service| Target::of_service(service, port))
        .collect();
    if found.is_empty() {
        return Err(AddressError::NothingMatches(port));
    }
    Ok(found)
}

fn service<'a>(
    host: &str,
    caller_namespace: &str,
    port: u16,
    topology: &'a Topology,
) -> Result<Target<'a>, AddressError> {
    let suffix = format!(".svc.{}", topology.mesh.cluster_domain);
    let short = host
        .strip_suffix(suffix.as_str())
        .or_else(|| host.strip_suffix(".svc"));
    let (name, namespace) = match short.unwrap_or(host).split_once('.') {
        None => (host, caller_namespace),
        Some((name, namespace)) => (name, namespace),
    };
    let key = (namespace.to_owned(), name.to_owned());
    if let Some(service) = topology.services.get(&key) {
        return match service.port(port) {
            Some(_) => Ok(Target::of_service(service, port)),
            None => Err(AddressError::NoPort {
                service: format!("{namespace}/{name}"),
                port,
                ports: service.ports.iter().map(|p| (p.port, p.name.clone())).collect(),
            }),
        };
    }
    if short.is_none() && host.contains('.') && is_elsewhere(name, namespace, topology) {
        return Ok(Target::host(host, port));
    }
    Err(AddressError::NoService {
        instead: instead(name, namespace, caller_namespace, port, topology),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// A host outside of the mesh has nothing in common with it; `payment.paymets` is a slip, `example.com` is not.
fn is_elsewhere(name: &str, namespace: &str, topology: &Topology) -> bool {
    let namespaces = topology.workloads.keys().map(|w| &w.namespace);
    let namespaces: Vec<&String> = namespaces
        .chain(topology.services.keys().map(|(ns, _)| ns))
        .collect();
    most_similar(namespace, &namespaces).is_none() && topology.services.keys().all(|(_, other)| other != name)
}

/// What may have been meant: the pod form of a workload, the Service of another namespace, a similar name.
fn instead(name: &str, namespace: &str, caller: &str, port: u16, topology: &Topology) -> Option<String> {
    let written = |(ns, name): &(String, String)| {
        if ns == caller {
            format!("{name}:{port}")
        } else {
            format!("{name}.{ns}:{port}")
        }
    };
    if let Some(elsewhere) = topology.services.keys().find(|(_, other)| other == name) {
        return Some(written(elsewhere));
    }
    if topology
        .workloads
        .contains_key(&WorkloadName::new(namespace, name))
    {
        return Some(format!("pod/{namespace}/{name}:{port}"));
    }
    let similar = most_similar(name, topology.services.keys().map(|(_, name)| name))?;
    let in_namespace = (namespace.to_owned(), similar.clone());
    let key = topology.services.get_key_value(&in_namespace).map(|(key, _)| key);
    key.or_else(|| topology.services.keys().find(|(_, name)| *name == similar))
        .map(written)
}

fn pods<'a>(
    namespace: &str,
    name: &str,
    port: u16,
    topology: &'a Topology,
) -> Result<Vec<Target<'a>>, AddressError> {
    let of_pod = |pod: PodName| Target {
        destination: Destination::Pod { pod, port },
        service: None,
    };
    let replicas = |name: &str| {
        topology
            .workloads
            .get(&WorkloadName::new(namespace, name))
            .map(|w| w.replicas)
    };
    if let Some(count @ 1..) = replicas(name) {
        let workload = WorkloadName::new(namespace, name);
        return Ok((0..count).map(|ordinal| of_pod(workload.pod(ordinal))).collect());
    }
    if let Some((workload, ordinal)) = name.rsplit_once('-')
        && let Ok(ordinal) = ordinal.parse::<u32>()
        && let Some(replicas) = replicas(workload)
    {
        let workload = WorkloadName::new(namespace, workload);
        if ordinal < replicas {
            return Ok(vec![of_pod(workload.pod(ordinal))]);
        }
        return Err(AddressError::NoOrdinal {
            workload,
            ordinal,
            replicas,
        });
    }
    let of_namespace = topology.workloads.keys().filter(|w| w.namespace == namespace);
    Err(AddressError::NoPod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        similar: most_similar(name, of_namespace.map(|w| &w.name)),
    })
}
