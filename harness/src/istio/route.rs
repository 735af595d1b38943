//! Where a client's sidecar sends requests that a VirtualService routes, as the renderer and the prediction read it.

use super::policy::{Mirror, Outbound, Route, RouteTarget};
use super::topology::Topology;
use super::virtual_service::{Routing, Target};
use super::workload::Workload;
use crate::call::{Payload, WorkloadName};

impl Topology {
    /// Where a VirtualService sends the HTTP requests of a client for a Service port. `None` where none does, or where
    /// that depends on what is not modelled.
    #[must_use]
    pub fn route(&self, client: &WorkloadName, namespace: &str, service: &str, port: u16) -> Option<Route> {
        let service = self.service(namespace, service)?;
        let class = service.port(port)?.class;
        let routing = self
            .virtual_services
            .route(&client.namespace, &service.host, class, Payload::Http)?;
        match routing {
            Routing::Unmodelled { .. } => None,
            Routing::To {
                destinations,
                mirrors,
                ..
            } => Some(Route {
                destinations: destinations
                    .iter()
                    .map(|target| (target.on(port), target.weight))
                    .collect(),
                mirrors: mirrors
                    .iter()
                    .map(|mirror| Mirror {
                        to: mirror.target.on(port),
                        per_million: mirror.per_million,
                    })
                    .collect(),
            }),
        }
    }

    /// Whether requests of the client for a Service port may be copied: a VirtualService says so, or what it says is not
    /// modelled.
    #[must_use]
    pub fn may_mirror(&self, client: &WorkloadName, namespace: &str, service: &str, port: u16) -> bool {
        let has_sidecar = self.workloads.get(client).is_some_and(Workload::has_sidecar);
        let Some(service) = self.service(namespace, service).filter(|_| has_sidecar) else {
            return false;
        };
        let routing = service.port(port).and_then(|port| {
            self.virtual_services
                .route(&client.namespace, &service.host, port.class, Payload::Http)
        });
        match routing {
            Some(Routing::To { mirrors, .. }) => !mirrors.is_empty(),
            Some(Routing::Unmodelled { .. }) => true,
            None => false,
        }
    }

    /// What the client's sidecar does for the target of a route. `None` where it has no such cluster.
    #[must_use]
    pub fn routed(&self, client: &WorkloadName, to: &RouteTarget) -> Option<Outbound> {
        let service = self.service_of_host(&to.host)?;
        self.outbound(
            client,
            &service.namespace,
            &service.name,
            to.port,
            to.subset.as_deref(),
        )
    }
}

impl Target {
    /// The cluster, where the port called is this one.
    pub(super) fn on(&self, called: u16) -> RouteTarget {
        RouteTarget {
            host: self.host.clone(),
            port: self.port.unwrap_or(called),
            subset: self.subset.clone(),
        }
    }
}
