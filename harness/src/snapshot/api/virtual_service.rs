//! `networking.istio.io` VirtualService, as far as it routes to subsets. Fields not named here are not read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How calls to hosts are routed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct VirtualService {
    /// Name, namespace, age.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What it says.
    #[serde(default)]
    pub spec: VirtualServiceSpec,
}

/// `VirtualService.spec`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualServiceSpec {
    /// Hosts whose calls are routed.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Gateways, or `mesh` (the default) for sidecars.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// Routes for HTTP, in order.
    #[serde(default)]
    pub http: Vec<HttpRoute>,
    /// Routes for TCP, in order.
    #[serde(default)]
    pub tcp: Vec<TcpRoute>,
    /// Routes for passed-through TLS.
    #[serde(default)]
    pub tls: Vec<Value>,
    /// Namespaces whose clients see it.
    #[serde(default)]
    pub export_to: Vec<String>,
}

/// `HTTPRoute`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// Conditions; none: every request.
    #[serde(rename = "match", default)]
    pub conditions: Vec<Value>,
    /// Where requests go.
    #[serde(default)]
    pub route: Vec<WeightedDestination>,
    /// An answer instead of a route.
    pub redirect: Option<Value>,
    /// An answer instead of a route.
    pub direct_response: Option<Value>,
    /// Routes of another VirtualService.
    pub delegate: Option<Value>,
    /// Faults to inject.
    pub fault: Option<Value>,
    /// What is tried again.
    pub retries: Option<Value>,
    /// Host and path in place of those called.
    pub rewrite: Option<Value>,
    /// Where a copy of each request goes, whose answer is thrown away.
    pub mirror: Option<RouteDestination>,
    /// Of how many requests `mirror` gets a copy. Default: all.
    pub mirror_percentage: Option<Percent>,
    /// The deprecated form of `mirror_percentage`.
    pub mirror_percent: Option<u32>,
    /// Further copies.
    #[serde(default)]
    pub mirrors: Vec<HttpMirrorPolicy>,
}

/// `HTTPMirrorPolicy`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpMirrorPolicy {
    /// Where a copy goes.
    #[serde(default)]
    pub destination: RouteDestination,
    /// Of how many requests. Default: all.
    pub percentage: Option<Percent>,
}

/// `Percent`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Percent {
    /// From 0 to 100.
    #[serde(default)]
    pub value: f64,
}

/// `TCPRoute`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpRoute {
    /// Conditions; none: every connection.
    #[serde(rename = "match", default)]
    pub conditions: Vec<Value>,
    /// Where connections go.
    #[serde(default)]
    pub route: Vec<WeightedDestination>,
}

/// `HTTPRouteDestination` and `RouteDestination`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedDestination {
    /// Where to.
    #[serde(default)]
    pub destination: RouteDestination,
    /// Its share.
    pub weight: Option<i32>,
}

/// `Destination`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteDestination {
    /// A host, or a short name.
    #[serde(default)]
    pub host: String,
    /// A subset of its DestinationRule.
    pub subset: Option<String>,
    /// A service port other than the one called.
    pub port: Option<super::PortSelector>,
}
