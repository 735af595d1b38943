//! One xDS stream of one proxy: what it asked for, what it was sent, what it made of it.

use std::collections::HashMap;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::Streaming;

use super::{ADS_TYPES, CDS, LDS, NodeId, SDS, Shared, short};

/// What this stream knows of one resource type.
#[derive(Default)]
struct Subscription {
    names: Vec<String>,
    sent_version: u64,
    nonce: u64,
}

pub(super) struct Conversation {
    shared: Arc<Shared>,
    answers: mpsc::Sender<DiscoveryResponse>,
    node: Option<NodeId>,
    subscriptions: HashMap<String, Subscription>,
}

impl Conversation {
    pub(super) fn new(shared: Arc<Shared>, answers: mpsc::Sender<DiscoveryResponse>) -> Self {
        Self {
            shared,
            answers,
            node: None,
            subscriptions: HashMap::new(),
        }
    }

    /// Answers requests and announces changes until the proxy hangs up.
    pub(super) async fn run(mut self, mut requests: Streaming<DiscoveryRequest>) {
        let mut changes = self.shared.changed.subscribe();
        loop {
            tokio::select! {
                request = requests.next() => match request {
                    Some(Ok(request)) => self.hear(request),
                    Some(Err(_)) | None => return,
                },
                changed = changes.changed() => if changed.is_err() { return },
            }
            if self.answer().await.is_err() {
                return;
            }
        }
    }

    /// Takes in a subscription, an ACK, or a NACK.
    fn hear(&mut self, request: DiscoveryRequest) {
        if let Some(node) = &request.node
            && !node.id.is_empty()
        {
            self.node = Some(node.id.clone());
        }
        let Some(node) = self.node.clone() else { return };
        let kind = request.type_url.clone();
        let subscription = self.subscriptions.entry(kind.clone()).or_default();
        let answers_latest = request.response_nonce == subscription.nonce.to_string();
        // A stale nonce answers a response that a newer one has overtaken; its names are outdated too.
        if !request.response_nonce.is_empty() && !answers_latest {
            return;
        }
        if subscription.names != request.resource_names {
            subscription.names.clone_from(&request.resource_names);
            // New names are owed an answer even when nothing changed.
            if request.response_nonce.is_empty() || kind != SDS {
                subscription.sent_version = 0;
            }
        }
        let mut proxies = self.shared.proxies();
        let proxy = proxies.entry(node).or_default();
        let names = proxy.subscribed.entry(kind.clone()).or_default();
        if kind == SDS {
            // Every secret has a stream of its own.
            names.extend(
                request
                    .resource_names
                    .iter()
                    .filter(|name| !names.contains(name))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        } else {
            names.clone_from(&request.resource_names);
        }
        if let Some(error) = request.error_detail {
            proxy.refused = Some((short(&kind).to_owned(), error.message));
        } else if answers_latest && subscription.nonce > 0 {
            let name = if kind == SDS {
                request.resource_names.first().cloned()
            } else {
                None
            };
            let version = request.version_info.parse().unwrap_or_default();
            proxy
                .acknowledged
                .insert((kind, name.unwrap_or_default()), version);
        }
        drop(proxies);
        self.shared.tick();
    }

    /// Sends whatever this stream asked for and does not have. Fails when the proxy is gone.
    async fn answer(&mut self) -> Result<(), mpsc::error::SendError<DiscoveryResponse>> {
        for response in self.owed() {
            self.answers.send(response).await?;
        }
        Ok(())
    }

    fn owed(&mut self) -> Vec<DiscoveryResponse> {
        let Some(node) = &self.node else { return Vec::new() };
        let proxies = self.shared.proxies();
        let Some(proxy) = proxies.get(node) else {
            return Vec::new();
        };
        let mut owed = Vec::new();
        for kind in ADS_TYPES {
            let Some(subscription) = self.subscriptions.get_mut(kind) else {
                continue;
            };
            let Some((version, resources)) = proxy.resources.get(kind) else {
                continue;
            };
            if subscription.sent_version >= *version {
                continue;
            }
            let wildcard = kind == CDS || kind == LDS;
            let resources = resources
                .iter()
                .filter(|(name, _)| wildcard || subscription.names.contains(name))
                .map(|(_, resource)| resource.clone())
                .collect();
            if !wildcard && subscription.names.is_empty() {
                continue;
            }
            owed.push(subscription.response(kind, *version, resources));
        }
        if let Some(subscription) = self.subscriptions.get_mut(SDS) {
            let newest = subscription
                .names
                .iter()
                .filter_map(|name| proxy.secrets.get(name));
            if let Some((version, secret)) = newest.max_by_key(|(version, _)| *version)
                && subscription.sent_version < *version
            {
                owed.push(subscription.response(SDS, *version, vec![secret.clone()]));
            }
        }
        owed
    }
}

impl Subscription {
    fn response(
        &mut self,
        kind: &str,
        version: u64,
        resources: Vec<envoy_types::pb::google::protobuf::Any>,
    ) -> DiscoveryResponse {
        self.sent_version = version;
        self.nonce += 1;
        DiscoveryResponse {
            version_info: version.to_string(),
            resources,
            type_url: kind.to_owned(),
            nonce: self.nonce.to_string(),
            ..DiscoveryResponse::default()
        }
    }
}
