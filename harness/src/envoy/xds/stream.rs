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
    pub(super) async fn run(mut self, requests: Streaming<DiscoveryRequest>) {
        self.converse(requests).await;
        // A proxy with no more use for a secret closes its stream.
        self.asks_for_nothing(SDS);
    }

    async fn converse(&mut self, mut requests: Streaming<DiscoveryRequest>) {
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
        // A stale nonce answers a response that a newer one has overtaken; the answer to that one says all it says.
        // But a proxy that asks for nothing any more does not answer again.
        if !request.response_nonce.is_empty() && !answers_latest {
            if request.resource_names.is_empty() {
                self.asks_for_nothing(&kind);
            }
            return;
        }
        let known = subscription.names.clone();
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
            // Every secret has a stream of its own, and may have two while one is replaced: each counts.
            replace(names, &known, &request.resource_names);
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

    /// Nothing of this kind is owed on this stream any more.
    fn asks_for_nothing(&mut self, kind: &str) {
        let (Some(node), Some(subscription)) = (&self.node, self.subscriptions.get_mut(kind)) else {
            return;
        };
        let known = std::mem::take(&mut subscription.names);
        if let Some(proxy) = self.shared.proxies().get_mut(node)
            && let Some(names) = proxy.subscribed.get_mut(kind)
        {
            replace(names, &known, &[]);
        }
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

/// Puts what a stream asks for now in the place of what it asked for before, among what all streams ask for.
fn replace(names: &mut Vec<String>, before: &[String], now: &[String]) {
    for name in before {
        if let Some(index) = names.iter().position(|it| it == name) {
            names.swap_remove(index);
        }
    }
    names.extend_from_slice(now);
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use envoy_types::pb::envoy::config::core::v3::Node;
    use tokio::sync::watch;

    use super::*;
    use crate::envoy::xds::EDS;

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            proxies: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    fn request(kind: &str, nonce: &str, names: &[&str]) -> DiscoveryRequest {
        DiscoveryRequest {
            node: Some(Node {
                id: "a".to_owned(),
                ..Node::default()
            }),
            type_url: kind.to_owned(),
            response_nonce: nonce.to_owned(),
            resource_names: names.iter().map(|&name| name.to_owned()).collect(),
            ..DiscoveryRequest::default()
        }
    }

    fn conversation(shared: &Arc<Shared>) -> Conversation {
        Conversation::new(Arc::clone(shared), mpsc::channel(1).0)
    }

    #[test]
    fn nothing_is_owed_to_a_proxy_that_asks_for_nothing_any_more_even_if_it_does_so_late() {
        let shared = shared();
        let mut conversation = conversation(&shared);
        conversation.hear(request(EDS, "", &["cluster"]));
        let subscription = conversation.subscriptions.get_mut(EDS).unwrap();
        subscription.response(EDS, 1, Vec::new());
        subscription.response(EDS, 2, Vec::new());
        let asks = || !shared.proxies()["a"].subscribed[EDS].is_empty();
        conversation.hear(request(EDS, "1", &["cluster", "another"]));
        assert!(asks());
        conversation.hear(request(EDS, "1", &[]));
        assert!(!asks());
    }

    #[test]
    fn a_secret_is_owed_while_any_stream_asks_for_it() {
        let shared = shared();
        let (mut first, mut second) = (conversation(&shared), conversation(&shared));
        first.hear(request(SDS, "", &["default"]));
        // An acknowledgement names it again.
        first.hear(request(SDS, "0", &["default"]));
        second.hear(request(SDS, "", &["default"]));
        let asks = || shared.proxies()["a"].subscribed[SDS].contains(&"default".to_owned());
        first.asks_for_nothing(SDS);
        assert!(asks());
        second.hear(request(SDS, "0", &[]));
        assert!(!asks());
        second.asks_for_nothing(SDS);
        assert!(!asks());
    }
}
