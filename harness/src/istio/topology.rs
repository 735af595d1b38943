//! The mesh a snapshot describes: workloads, Services, and the policies in force between them.

use std::collections::BTreeMap;

use semver::Version;

use super::finding::Finding;
use super::identity;
use super::service::{self, Service, ServicePort};
use super::workload::{self, Workload};
use crate::call::{PodName, WorkloadName};
use crate::snapshot::{MeshConfig, Snapshot};

/// The mesh a snapshot describes.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The control plane's release; decides the rules that changed between releases.
    pub release: Version,
    /// The mesh configuration.
    pub mesh: MeshConfig,
    /// All workloads.
    pub workloads: BTreeMap<WorkloadName, Workload>,
    /// All Services by namespace and name.
    pub services: BTreeMap<(String, String), Service>,
    findings: Vec<Finding>,
}

impl Topology {
    /// Reads a snapshot. `previous` is the topology before a change: pods keep the injection they were created with
    /// until their template changes, as in a real cluster (labelling a namespace injects no running pod;
    /// `kubectl rollout restart` changes a template annotation).
    #[must_use]
    pub fn new(snapshot: &Snapshot, previous: Option<&Self>) -> Self {
        let workloads = workload::workloads(snapshot, previous.map(|it| &it.workloads));
        let services = service::services(snapshot, &workloads);
        Self {
            release: snapshot.release.clone(),
            mesh: snapshot.mesh.clone(),
            workloads,
            services,
            findings: Vec::new(),
        }
    }

    /// Objects that Istio ignores or refuses, and references that lead nowhere.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The pods behind a Service port, and their ports.
    #[must_use]
    pub fn endpoints(&self, service: &Service, port: &ServicePort) -> Vec<(PodName, u16)> {
        let mut endpoints = Vec::new();
        for workload in service
            .workloads
            .iter()
            .filter_map(|name| self.workloads.get(name))
        {
            if let Some(pod_port) = port.pod_port(workload) {
                endpoints
                    .extend((0..workload.replicas).map(|ordinal| (workload.name.pod(ordinal), pod_port)));
            }
        }
        endpoints
    }

    /// The SPIFFE id that istiod issues to a workload's pods.
    #[must_use]
    pub fn identity(&self, workload: &WorkloadName) -> Option<String> {
        let workload = self.workloads.get(workload)?;
        Some(identity::spiffe_id(&self.mesh.trust_domain, workload))
    }

    /// The trust domains that servers accept clients of.
    #[must_use]
    pub fn trust_domains(&self) -> Vec<String> {
        identity::accepted_trust_domains(&self.mesh)
    }
}
