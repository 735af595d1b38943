//! VirtualService, as far as it sends a client's calls to subsets or other services.
//!
//! Source: pilot/pkg/model/virtualservice.go and push_context.go@1.30.3: the most specific host wins, of equal ones the
//! oldest; sidecars do not merge VirtualServices.

use super::host;
use super::peer_authentication::age_key;
use super::policy::ListenerClass;
use crate::call::Payload;
use crate::snapshot::api::{
    HttpRoute, Percent, RouteDestination, TcpRoute, VirtualServiceSpec, WeightedDestination,
};
use crate::snapshot::{Object, ObjectRef, Snapshot};

/// The VirtualServices that sidecars see, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct VirtualServices(Vec<Routes>);

#[derive(Clone, Debug)]
struct Routes {
    object: ObjectRef,
    hosts: Vec<String>,
    spec: VirtualServiceSpec,
    cluster_domain: String,
}

/// Where a VirtualService sends a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Routing {
    /// To one of these.
    To {
        /// The VirtualService.
        object: ObjectRef,
        /// Where to.
        destinations: Vec<Target>,
        /// Where copies go.
        mirrors: Vec<Mirror>,
    },
    /// That depends on what is not modelled.
    Unmodelled {
        /// The VirtualService.
        object: ObjectRef,
        /// On what.
        reason: &'static str,
    },
}

/// A destination of a route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) subset: Option<String>,
    pub(super) port: Option<u16>,
    /// Its share, where there are others.
    pub(super) weight: u32,
}

/// Where copies of requests go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mirror {
    pub(super) target: Target,
    /// Of how many requests in a million.
    pub(super) per_million: u32,
}

impl Mirror {
    /// Whether every request is copied.
    pub(super) const fn is_of_all(&self) -> bool {
        self.per_million == ALL
    }
}

impl VirtualServices {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut found: Vec<_> = snapshot
            .objects()
            .filter_map(|(name, stored)| match &stored.object {
                Object::VirtualService(it) => Some((name, stored.age, &it.spec)),
                _ => None,
            })
            .filter(|(_, _, spec)| spec.gateways.is_empty() || spec.gateways.iter().any(|it| it == "mesh"))
            .collect();
        found.sort_by_key(|(name, age, _)| age_key(name, *age));
        let domain = &snapshot.mesh.cluster_domain;
        Self(
            found
                .into_iter()
                .map(|(name, _, spec)| Routes::new(name, spec, domain))
                .collect(),
        )
    }

    /// Where calls of a client's namespace to a host are routed; `None` where no VirtualService says.
    pub(super) fn route(
        &self,
        client_namespace: &str,
        wanted: &str,
        class: ListenerClass,
        payload: Payload,
    ) -> Option<Routing> {
        let visible = self
            .0
            .iter()
            .filter(|routes| routes.is_visible_in(client_namespace));
        let specificity = |routes: &Routes| {
            let matching = routes
                .hosts
                .iter()
                .filter(|pattern| host::matches(pattern, wanted));
            matching
                .map(|pattern| (!pattern.starts_with('*'), pattern.len()))
                .max()
        };
        // The last of equal maxima wins, hence reversed.
        let (routes, _) = visible
            .rev()
            .filter_map(|routes| Some((routes, specificity(routes)?)))
            .max_by_key(|(_, specificity)| *specificity)?;
        let is_http =
            class == ListenerClass::Http || (class == ListenerClass::Auto && payload == Payload::Http);
        if is_http { routes.http() } else { routes.tcp() }
    }

    /// Every host or wildcard that is routed.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|routes| &routes.hosts).map(String::as_str)
    }

    /// Every destination named, for reports of those that lead nowhere.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&ObjectRef, Target)> {
        self.0.iter().flat_map(|routes| {
            let http = routes.spec.http.iter().flat_map(|route| &route.route);
            let tcp = routes.spec.tcp.iter().flat_map(|route| &route.route);
            let copies = routes.spec.http.iter().flat_map(|route| routes.mirrors(route));
            http.chain(tcp)
                .map(|destination| routes.target(&destination.destination, destination.weight))
                .chain(copies.map(|mirror| mirror.target))
                .map(|target| (&routes.object, target))
        })
    }
}

impl Routes {
    fn new(object: &ObjectRef, spec: &VirtualServiceSpec, cluster_domain: &str) -> Self {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        Self {
            object: object.clone(),
            hosts: spec
                .hosts
                .iter()
                .map(|it| host::resolve(it, namespace, cluster_domain))
                .collect(),
            spec: spec.clone(),
            cluster_domain: cluster_domain.to_owned(),
        }
    }

    fn is_visible_in(&self, namespace: &str) -> bool {
        let own = self.object.namespace.as_deref() == Some(namespace);
        let exports = &self.spec.export_to;
        exports.is_empty()
            || exports
                .iter()
                .any(|to| to == "*" || to == namespace || (to == "." && own))
    }

    fn http(&self) -> Option<Routing> {
        let first = self.spec.http.first()?;
        if let Some(reason) = unmodelled_http(first) {
            return Some(Routing::Unmodelled {
                object: self.object.clone(),
                reason,
            });
        }
        Some(self.to(&first.route, self.mirrors(first)))
    }

    fn tcp(&self) -> Option<Routing> {
        let first: &TcpRoute = self.spec.tcp.first()?;
        if !first.conditions.is_empty() {
            let reason = "its route has conditions";
            return Some(Routing::Unmodelled {
                object: self.object.clone(),
                reason,
            });
        }
        Some(self.to(&first.route, Vec::new()))
    }

    fn to(&self, route: &[WeightedDestination], mirrors: Vec<Mirror>) -> Routing {
        let gets_calls =
            |it: &&WeightedDestination| route.len() == 1 || it.weight.is_some_and(|weight| weight > 0);
        let destinations = route
            .iter()
            .filter(gets_calls)
            .map(|it| self.target(&it.destination, it.weight))
            .collect();
        Routing::To {
            object: self.object.clone(),
            destinations,
            mirrors,
        }
    }

    /// Those that get any copy: 0 percent is none, and no percentage is all (networking/core/route/route.go@1.30.3,
    /// `MirrorPercent`).
    fn mirrors(&self, route: &HttpRoute) -> Vec<Mirror> {
        let percent = route.mirror_percentage.or_else(|| {
            let value = f64::from(route.mirror_percent?);
            Some(Percent { value })
        });
        let first = route.mirror.iter().map(|to| (to, percent));
        let further = route.mirrors.iter().map(|it| (&it.destination, it.percentage));
        first
            .chain(further)
            .map(|(to, percent)| Mirror {
                target: self.target(to, None),
                per_million: percent.map_or(ALL, per_million),
            })
            .filter(|mirror| mirror.per_million > 0)
            .collect()
    }

    fn target(&self, to: &RouteDestination, weight: Option<i32>) -> Target {
        let namespace = self.object.namespace.as_deref().unwrap_or_default();
        Target {
            host: host::resolve(&to.host, namespace, &self.cluster_domain),
            subset: to.subset.clone().filter(|subset| !subset.is_empty()),
            port: to.port.and_then(|port| u16::try_from(port.number).ok()),
            weight: weight
                .and_then(|weight| u32::try_from(weight).ok())
                .unwrap_or_default(),
        }
    }
}

/// Every request, in a million.
const ALL: u32 = 1_000_000;

/// A percentage in a million, cut off as istiod does.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn per_million(percent: Percent) -> u32 {
    (percent.value.clamp(0.0, 100.0) * 10_000.0) as u32
}

fn unmodelled_http(route: &HttpRoute) -> Option<&'static str> {
    if !route.conditions.is_empty() {
        Some("its route has conditions")
    } else if route.redirect.is_some() || route.direct_response.is_some() {
        Some("it answers by itself")
    } else if route.delegate.is_some() {
        Some("it delegates")
    } else if route.fault.is_some() {
        Some("it injects faults")
    } else {
        None
    }
}
