//! The control plane: ADS and SDS over one unix socket, state of the world, ACK and NACK seen.
//!
//! A proxy is told all resources of a type whenever any of them changes, in the order CDS, EDS, LDS, RDS, as istiod
//! does. An ACK means that Envoy accepted the words, not that they are in force; [`crate::envoy::admin`] tells the latter.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;
use prost::{Message, Name};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::config::Resources;

mod stream;

use stream::Conversation;

/// The node id of a proxy in its bootstrap.
pub(crate) type NodeId = String;

/// Why a proxy could not be told something.
#[derive(Debug, thiserror::Error)]
pub enum XdsError {
    /// The socket could not be opened.
    #[error("cannot listen on the control-plane socket {path}: {source}")]
    Socket {
        /// Its path.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Envoy refused what it was sent. This is a fault of meshproof, never of a scenario.
    #[error("envoy {node} refused {kind}: {reason}")]
    Refused {
        /// The proxy.
        node: String,
        /// The resource type.
        kind: String,
        /// Envoy's words.
        reason: String,
    },
}

/// What one proxy is to know, and how far it has acknowledged it.
#[derive(Default)]
struct ProxyState {
    /// What it was last told. Messages are compared and not their encoding, in which maps have no order.
    told: Option<Resources>,
    /// The same by type, packed, with the number of times it has changed.
    resources: HashMap<&'static str, (u64, BTreeMap<String, Any>)>,
    secrets: BTreeMap<String, (u64, Any)>,
    /// Newest acknowledged version per (type, secret name or empty).
    acknowledged: HashMap<(String, String), u64>,
    /// Resource names asked for, per type.
    subscribed: HashMap<String, Vec<String>>,
    refused: Option<(String, String)>,
}

/// Which of a proxy's resources a push changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pushed {
    pub(crate) clusters: bool,
    endpoints: bool,
    pub(crate) listeners: bool,
    routes: bool,
}

impl Pushed {
    pub(crate) const fn anything(self) -> bool {
        self.clusters || self.endpoints || self.listeners || self.routes
    }
}

/// A running control plane.
pub(crate) struct ControlPlane {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    proxies: Mutex<HashMap<NodeId, ProxyState>>,
    /// Ticks whenever anything above changes.
    changed: watch::Sender<u64>,
}

impl Shared {
    fn proxies(&self) -> MutexGuard<'_, HashMap<NodeId, ProxyState>> {
        // A panic elsewhere cannot leave the table half-written: every change is one assignment.
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// The ADS resource types, in the order they are sent.
const ADS_TYPES: [&str; 4] = [CDS, EDS, LDS, RDS];
const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const LDS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const RDS: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const SDS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

impl ControlPlane {
    /// Listens on `socket` until dropped.
    pub(crate) fn start(socket: &Path) -> Result<Self, XdsError> {
        let listener = UnixListener::bind(socket).map_err(|source| XdsError::Socket {
            path: socket.to_owned(),
            source,
        })?;
        let shared = Arc::new(Shared {
            proxies: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let service = Service(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            let served = tonic::transport::Server::builder()
                .add_service(AggregatedDiscoveryServiceServer::new(service.clone()))
                .add_service(SecretDiscoveryServiceServer::new(service))
                .serve_with_incoming(UnixListenerStream::new(listener))
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the control plane stopped");
            }
        });
        Ok(Self { shared, server })
    }

    /// Tells `node` its whole ADS state, as far as it is new to it. Returns what is.
    pub(crate) fn push(&self, node: &str, resources: Resources) -> Pushed {
        let mut proxies = self.shared.proxies();
        let proxy = proxies.entry(node.to_owned()).or_default();
        let told = proxy.told.as_ref();
        let pushed = Pushed {
            clusters: told.is_none_or(|told| told.clusters != resources.clusters),
            endpoints: told.is_none_or(|told| told.endpoints != resources.endpoints),
            listeners: told.is_none_or(|told| told.listeners != resources.listeners),
            routes: told.is_none_or(|told| told.routes != resources.routes),
        };
        if !pushed.anything() {
            return pushed;
        }
        if pushed.clusters {
            proxy.owe(CDS, named(&resources.clusters, |cluster| &cluster.name));
        }
        // A cluster that warms waits for its endpoints, a listener for its routes, even for the same as before.
        if pushed.clusters || pushed.endpoints {
            proxy.owe(
                EDS,
                named(&resources.endpoints, |endpoints| &endpoints.cluster_name),
            );
        }
        if pushed.listeners {
            proxy.owe(LDS, named(&resources.listeners, |listener| &listener.name));
        }
        if pushed.listeners || pushed.routes {
            proxy.owe(RDS, named(&resources.routes, |routes| &routes.name));
        }
        proxy.told = Some(resources);
        drop(proxies);
        self.shared.tick();
        pushed
    }

    /// Tells `node` one secret. Returns whether it is new to it.
    pub(crate) fn push_secret(&self, node: &str, secret: Secret) -> bool {
        let name = secret.name.clone();
        let packed = pack_any(secret);
        let mut proxies = self.shared.proxies();
        let proxy = proxies.entry(node.to_owned()).or_default();
        let version = match proxy.secrets.get(&name) {
            Some((_, known)) if *known == packed => return false,
            Some((version, _)) => version + 1,
            None => 1,
        };
        proxy.secrets.insert(name, (version, packed));
        drop(proxies);
        self.shared.tick();
        true
    }

    /// Tells `node`, which is yet to come, what `other` has been told, after `change`.
    pub(crate) fn tell_the_same(&self, node: &str, other: &str, change: impl FnOnce(&mut Resources)) {
        let proxies = self.shared.proxies();
        let Some(known) = proxies.get(other) else { return };
        let mut resources = known.told.clone().unwrap_or_default();
        let secrets = known.secrets.clone();
        drop(proxies);
        change(&mut resources);
        self.push(node, resources);
        if let Some(proxy) = self.shared.proxies().get_mut(node) {
            proxy.secrets = secrets;
        }
        self.shared.tick();
    }

    /// Waits until `node` has acknowledged all it was told and asked for.
    ///
    /// # Errors
    /// [`XdsError::Refused`] as soon as the proxy refuses anything.
    pub(crate) async fn acknowledged(&self, node: &str) -> Result<(), XdsError> {
        let mut changes = self.shared.changed.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(proxy) = self.shared.proxies().get(node) {
                if let Some((kind, reason)) = &proxy.refused {
                    return Err(XdsError::Refused {
                        node: node.to_owned(),
                        kind: kind.clone(),
                        reason: reason.clone(),
                    });
                }
                if proxy.is_acknowledged() {
                    return Ok(());
                }
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// What is still unacknowledged by `node`, for an error message.
    pub(crate) fn pending(&self, node: &str) -> Vec<String> {
        self.shared
            .proxies()
            .get(node)
            .map(ProxyState::pending)
            .unwrap_or_default()
    }

    /// The newest version of the secret `name` that `node` was told.
    pub(crate) fn secret_version(&self, node: &str, name: &str) -> Option<u64> {
        let proxies = self.shared.proxies();
        proxies.get(node)?.secrets.get(name).map(|(version, _)| *version)
    }

    /// Forgets a proxy that is gone, so that its successor under the same id starts afresh.
    pub(crate) fn forget(&self, node: &str) {
        self.shared.proxies().remove(node);
        self.shared.tick();
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl ProxyState {
    fn is_acknowledged(&self) -> bool {
        self.pending().is_empty()
    }

    fn pending(&self) -> Vec<String> {
        let kinds = ADS_TYPES.into_iter().filter(|kind| {
            // EDS and RDS are asked for by name; nothing is owed to a proxy that asked for nothing.
            let owed = *kind == CDS
                || *kind == LDS
                || self.subscribed.get(*kind).is_some_and(|names| !names.is_empty());
            owed && self.acknowledged_version(kind, "") < self.version(kind)
        });
        let secrets = self.secrets.iter().filter(|(name, (version, _))| {
            let asked = self.subscribed.get(SDS).is_some_and(|names| names.contains(name));
            asked && self.acknowledged_version(SDS, name) < *version
        });
        kinds
            .map(|kind| short(kind).to_owned())
            .chain(secrets.map(|(name, _)| format!("secret {name}")))
            .collect()
    }

    fn owe(&mut self, kind: &'static str, resources: BTreeMap<String, Any>) {
        let version = self.version(kind) + 1;
        self.resources.insert(kind, (version, resources));
    }

    /// The newest version of a resource type; 0 if it was never pushed.
    fn version(&self, kind: &str) -> u64 {
        self.resources
            .get(kind)
            .map(|(version, _)| *version)
            .unwrap_or_default()
    }

    fn acknowledged_version(&self, kind: &str, name: &str) -> u64 {
        self.acknowledged
            .get(&(kind.to_owned(), name.to_owned()))
            .copied()
            .unwrap_or_default()
    }
}

fn named<M: Clone + Message + Name>(resources: &[M], name: impl Fn(&M) -> &String) -> BTreeMap<String, Any> {
    resources
        .iter()
        .map(|resource| (name(resource).clone(), pack_any(resource.clone())))
        .collect()
}

/// `Cluster` of `type.googleapis.com/envoy.config.cluster.v3.Cluster`.
fn short(type_url: &str) -> &str {
    type_url.rsplit('.').next().unwrap_or(type_url)
}

#[derive(Clone)]
struct Service(Arc<Shared>);

type Responses = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;
type DeltaResponses = Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

impl Service {
    fn converse(&self, requests: Streaming<DiscoveryRequest>) -> Responses {
        let (answers, receiver) = mpsc::channel(16);
        let conversation = Conversation::new(Arc::clone(&self.0), answers);
        tokio::spawn(conversation.run(requests));
        Box::pin(ReceiverStream::new(receiver).map(Ok))
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses;
    type DeltaAggregatedResourcesStream = DeltaResponses;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        Ok(Response::new(self.converse(request.into_inner())))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<DeltaResponses>, Status> {
        Err(Status::unimplemented("the bootstrap asks for state of the world"))
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Service {
    type StreamSecretsStream = Responses;
    type DeltaSecretsStream = DeltaResponses;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        Ok(Response::new(self.converse(request.into_inner())))
    }

    async fn delta_secrets(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<DeltaResponses>, Status> {
        Err(Status::unimplemented("the bootstrap asks for state of the world"))
    }

    async fn fetch_secrets(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("the bootstrap asks for a stream"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Connections;
    use crate::envoy::config::{Instruments, inbound_passthrough};

    #[tokio::test]
    async fn what_a_proxy_knows_it_is_not_told_again() {
        let folder = tempfile::tempdir().unwrap();
        let control = ControlPlane::start(&folder.path().join("xds")).unwrap();
        let instruments = Instruments {
            limits: crate::fault::TlsLimits::default(),
            access_log: "/run/access.log".into(),
            connections: Connections::Fresh,
            istio_logs: None,
            key_log: None,
        };
        let told = || Resources {
            clusters: vec![inbound_passthrough(None, &instruments)],
            ..Resources::default()
        };
        assert!(control.push("a", told()).anything());
        assert!(!control.push("a", told()).anything());
        assert!(control.push("b", told()).anything());
        let pushed = control.push("a", Resources::default());
        assert!(pushed.clusters && !pushed.listeners, "{pushed:?}");
    }
}
