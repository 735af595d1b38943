//! Bringing a cluster into a state: objects applied and removed, credentials made, and every sidecar awaited.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::call::{CallKind, WorkloadName};
use crate::envoy::binary::Provenance;
use crate::istio::injection::release_of_image;
use crate::kubernetes::Selection;
use crate::mesh::{Component, Desired, MeshError};
use crate::pki::{Authority, Issued, Validity, WorkloadCredentials};

use super::names::Names;
use super::objects::{Key, Maker, Objects, namespaces};
use super::workload::RUN;
use super::{KubernetesMesh, LOOK_AGAIN, SEEN_WITHIN};

impl KubernetesMesh {
    /// The credentials that are mounted: none until some are not as istiod issues them, or a raw caller needs one.
    pub(super) fn credentials(
        &mut self,
        names: &Names,
        desired: &Desired,
    ) -> Result<BTreeMap<WorkloadName, Issued>, MeshError> {
        let credentials = &desired.conditions.credentials;
        let is_healthy = |(workload, held): (&WorkloadName, &WorkloadCredentials)| {
            let Some(identity) = desired.topology.identity(workload) else {
                return true;
            };
            // New pods ask istiod for leaves of their own.
            let by_restarts = desired.conditions.restarts_of(workload).sum();
            let healthy = WorkloadCredentials {
                generation: held.generation.min(by_restarts),
                ..WorkloadCredentials::healthy(identity)
            };
            *held == healthy
        };
        let is_plain = credentials.workloads.iter().all(is_healthy)
            && credentials.roots.values().all(|it| *it == Validity::Current)
            && !desired.calls.iter().any(|it| it.kind == CallKind::RawMtls);
        if is_plain && self.authority.is_none() {
            return Ok(BTreeMap::new());
        }
        let own = namespaces(desired);
        let mut credentials = credentials.clone();
        for held in credentials.workloads.values_mut() {
            held.identity = names.identity(&own, &held.identity);
        }
        let authority = self
            .authority
            .get_or_insert_with(|| Authority::new(&desired.topology.mesh.trust_domain));
        let mut issued = BTreeMap::new();
        for workload in desired.topology.workloads.keys() {
            if credentials.workloads.contains_key(workload) {
                issued.insert(workload.clone(), authority.issue(&credentials, workload)?);
            }
        }
        Ok(issued)
    }

    /// Nothing of another run may be called like what this one creates.
    async fn is_free(&self, names: &Names, objects: &Objects) -> Result<(), MeshError> {
        for (key, object) in objects.iter().filter(|(key, _)| is_shared(names, key)) {
            let selection = Selection {
                resource: &key.resource,
                namespace: key.namespace.as_deref(),
                name: Some(&key.name),
            };
            let mut is_foreign = false;
            let run = &object["metadata"]["labels"][RUN];
            self.place
                .context
                .list(&selection, |found| {
                    is_foreign |= found["metadata"]["labels"][RUN] != *run
                })
                .await?;
            if is_foreign {
                return Err(MeshError::Taken {
                    object: key.to_string(),
                });
            }
        }
        Ok(())
    }

    pub(super) async fn bring(&mut self, names: &Names, objects: Objects) -> Result<(), MeshError> {
        let context = self.place.context.clone();
        let gone: Vec<Key> = self
            .applied
            .keys()
            .filter(|key| !objects.contains_key(*key))
            .cloned()
            .collect();
        for key in gone.into_iter().rev() {
            context
                .delete(&key.resource, key.namespace.as_deref(), &key.name)
                .await?;
            self.applied.remove(&key);
        }
        let new: Objects = objects
            .into_iter()
            .filter(|(key, object)| self.applied.get(key) != Some(object))
            .collect();
        let unknown = new.iter().filter(|(key, _)| !self.applied.contains_key(*key));
        self.is_free(
            names,
            &unknown
                .map(|(key, object)| (key.clone(), object.clone()))
                .collect(),
        )
        .await?;
        for (key, object) in new {
            if self.applied.contains_key(&key) && matches!(key.resource.kind, "Pod" | "Job") {
                // What runs cannot be changed.
                context
                    .delete(&key.resource, key.namespace.as_deref(), &key.name)
                    .await?;
                self.gone(&key).await?;
            }
            context.apply(&key.resource, &object).await?;
            self.applied.insert(key, object);
        }
        Ok(())
    }

    async fn gone(&self, key: &Key) -> Result<(), MeshError> {
        let selection = Selection {
            resource: &key.resource,
            namespace: key.namespace.as_deref(),
            name: Some(&key.name),
        };
        let deadline = Instant::now() + SEEN_WITHIN * 6;
        loop {
            let mut is_there = false;
            self.place.context.list(&selection, |_| is_there = true).await?;
            if !is_there {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(MeshError::NotReady {
                    what: format!("{key} to go"),
                    within: SEEN_WITHIN * 6,
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Puts every sidecar into the next state, and waits until it is in force.
    ///
    /// Twice: istiod watches each kind apart, so that of two objects the later may reach it first. What was applied before
    /// the first number reaches it before the second does.
    pub(super) async fn settle(&mut self, names: &Names, desired: &Desired) -> Result<(), MeshError> {
        for _ in 0..2 {
            self.number += 1;
            let maker = Maker {
                names,
                agent: &self.place.agent,
                revision: &self.place.revision,
            };
            self.filters = maker.instruments(desired, self.number);
            for (key, filter) in &self.filters {
                self.place.context.apply(&key.resource, filter).await?;
            }
            for proxy in self.proxies.values() {
                proxy.in_force(self.number).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn look_up_components(&mut self) -> Result<(), MeshError> {
        let mut found = BTreeSet::new();
        for (name, pod) in &self.pods {
            let (Some((image, id)), Some(proxy)) = (&pod.proxy, self.proxies.get(name)) else {
                continue;
            };
            let (Some(istio), Some(envoy)) = (release_of_image(image), proxy.release().await?) else {
                continue;
            };
            found.insert(Component {
                workload: name.workload.to_string(),
                istio,
                envoy,
                provenance: Provenance::Istio,
                sha256: id.rsplit_once("sha256:").map_or("", |(_, it)| it).to_owned(),
                image: Some(id.clone()),
            });
        }
        self.components = found.into_iter().collect();
        Ok(())
    }
}

/// Whether others than this run may have an object of this name.
fn is_shared(names: &Names, key: &Key) -> bool {
    key.namespace.as_deref().is_none_or(|it| !names.is_own(it))
}
