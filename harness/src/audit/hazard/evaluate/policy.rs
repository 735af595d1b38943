//! Conditions on DestinationRules, routes, and other policies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Holds;
use crate::audit::hazard::condition::{RuleField, TlsRule};
use crate::audit::hazard::originates;
use crate::audit::view::View;
use crate::istio::host;
use crate::istio::policy::MtlsMode;
use crate::snapshot::api::{ClientTlsSettings, DestinationRuleSpec, TlsMode, TrafficPolicy};
use crate::snapshot::{Object, ObjectRef};

/// Every DestinationRule.
fn rules<'a>(view: &View<'a>) -> impl Iterator<Item = (&'a ObjectRef, &'a DestinationRuleSpec)> {
    view.snapshot
        .objects()
        .filter_map(|(name, stored)| match &stored.object {
            Object::DestinationRule(it) => Some((name, &it.spec)),
            _ => None,
        })
}

/// All TLS settings of a rule: its own, those of its ports and of its subsets.
fn settings(spec: &DestinationRuleSpec) -> impl Iterator<Item = &ClientTlsSettings> {
    let subsets = spec.subsets.iter().filter_map(|it| it.traffic_policy.as_ref());
    let policies = spec.traffic_policy.iter().chain(subsets);
    policies.flat_map(|policy: &TrafficPolicy| {
        let ports = policy.port_level_settings.iter().filter_map(|it| it.tls.as_ref());
        policy.tls.iter().chain(ports)
    })
}

fn full_host(view: &View<'_>, name: &ObjectRef, host: &str) -> String {
    let namespace = name.namespace.as_deref().unwrap_or_default();
    host::resolve(host, namespace, &view.snapshot.mesh.cluster_domain)
}

pub(super) fn tls_rule(wanted: &TlsRule, view: &View<'_>) -> Holds {
    let lacks = |tls: &ClientTlsSettings, field: &RuleField| match field {
        RuleField::CaCertificates => tls.ca_certificates.is_none(),
        RuleField::CredentialName => tls.credential_name.is_none(),
        RuleField::InsecureSkipVerify => tls.insecure_skip_verify != Some(true),
        RuleField::Sni => tls.sni.as_ref().is_none_or(String::is_empty),
    };
    let is_wanted = |tls: &ClientTlsSettings| {
        wanted.modes.contains(&tls.mode) && wanted.lacking.iter().all(|it| lacks(tls, it))
    };
    Holds::some(
        rules(view)
            .filter(|(_, spec)| settings(spec).any(is_wanted))
            .map(|(name, _)| name),
    )
}

pub(super) fn rules_differ_in_export_to(view: &View<'_>) -> Holds {
    type Exported<'o> = Vec<(&'o ObjectRef, BTreeSet<&'o str>)>;
    let mut by_host: BTreeMap<(Option<&str>, String), Exported<'_>> = BTreeMap::new();
    for (name, spec) in rules(view).filter(|(_, it)| it.workload_selector.is_none()) {
        let exports = spec.export_to.iter().map(String::as_str).collect();
        let key = (name.namespace.as_deref(), full_host(view, name, &spec.host));
        by_host.entry(key).or_default().push((name, exports));
    }
    let differ = by_host
        .values()
        .filter(|rules| rules.iter().any(|(_, exports)| *exports != rules[0].1));
    Holds::some(differ.flatten().map(|(name, _)| *name))
}

pub(super) fn subset_without_tls(view: &View<'_>) -> Holds {
    let without = |policy: Option<&TrafficPolicy>| {
        policy.is_none_or(|it| it.tls.is_none() && it.port_level_settings.is_empty())
    };
    let meets = |spec: &DestinationRuleSpec| {
        let of_rule = spec.traffic_policy.as_ref();
        of_rule.is_some_and(|it| it.tls.is_some())
            && spec.subsets.iter().any(|it| without(it.traffic_policy.as_ref()))
    };
    Holds::some(rules(view).filter(|(_, spec)| meets(spec)).map(|(name, _)| name))
}

pub(super) fn authority_rewritten(view: &View<'_>) -> Holds {
    let without_sni: BTreeSet<String> = rules(view)
        .filter(|(_, spec)| settings(spec).any(|it| originates(it.mode) && it.sni.is_none()))
        .map(|(name, spec)| full_host(view, name, &spec.host))
        .collect();
    let rewrites = view
        .snapshot
        .objects()
        .filter_map(|(name, stored)| match &stored.object {
            Object::VirtualService(it) => {
                let routes = it.spec.http.iter().filter(|route| {
                    route
                        .rewrite
                        .as_ref()
                        .and_then(|it| it.get("authority"))
                        .is_some()
                        && route
                            .route
                            .iter()
                            .any(|to| without_sni.contains(&full_host(view, name, &to.destination.host)))
                });
                (routes.count() > 0).then_some(name)
            }
            _ => None,
        });
    Holds::some(rewrites)
}

pub(super) fn external_name_has_rule(view: &View<'_>) -> Holds {
    let hosts: Vec<&str> = view
        .topology
        .services
        .values()
        .filter(|it| it.external)
        .map(|it| it.host.as_str())
        .collect();
    let about = |name: &ObjectRef, spec: &DestinationRuleSpec| {
        hosts.contains(&full_host(view, name, &spec.host).as_str()) && settings(spec).next().is_some()
    };
    Holds::some(
        rules(view)
            .filter(|(name, spec)| about(name, spec))
            .map(|(name, _)| name),
    )
}

pub(super) fn external_host_has_mutual_rule(view: &View<'_>) -> Holds {
    let hosts: Vec<&str> = view
        .of_kind("ServiceEntry")
        .filter(|(.., it)| it.pointer("/spec/location").and_then(Value::as_str) != Some("MESH_INTERNAL"))
        .flat_map(|(.., it)| strings(it.pointer("/spec/hosts")))
        .collect();
    let about = |spec: &DestinationRuleSpec| {
        hosts
            .iter()
            .any(|it| host::matches(&spec.host, it) || host::matches(it, &spec.host))
            && settings(spec).any(|it| it.mode == TlsMode::Mutual)
    };
    Holds::some(rules(view).filter(|(_, spec)| about(spec)).map(|(name, _)| name))
}

pub(super) fn host_declared_twice(view: &View<'_>) -> Holds {
    let mut hosts: BTreeMap<&str, Vec<ObjectRef>> = BTreeMap::new();
    for service in view.topology.services.values() {
        hosts.entry(&service.host).or_default().push(service.object());
    }
    for (name, _, entry) in view.of_kind("ServiceEntry") {
        for host in strings(entry.pointer("/spec/hosts")) {
            hosts.entry(host).or_default().push(name.clone());
        }
    }
    let twice: Vec<ObjectRef> = hosts.into_values().filter(|it| it.len() > 1).flatten().collect();
    Holds::some(twice.iter())
}

pub(super) fn files_named(view: &View<'_>) -> Holds {
    let names_files =
        |tls: &ClientTlsSettings| tls.client_certificate.is_some() || tls.ca_certificates.is_some();
    let of_rules = rules(view)
        .filter(|(_, spec)| settings(spec).any(names_files))
        .map(|(name, _)| name);
    let of_gateways = view.of_kind("Gateway").filter(|(.., it)| {
        let servers = it.pointer("/spec/servers").and_then(Value::as_array);
        servers
            .into_iter()
            .flatten()
            .any(|server| server.pointer("/tls/serverCertificate").is_some())
    });
    Holds::some(of_rules.chain(of_gateways.map(|(name, ..)| name)))
}

pub(super) fn without_retries(view: &View<'_>) -> Holds {
    let services = view
        .snapshot
        .objects()
        .filter_map(|(name, stored)| match &stored.object {
            Object::VirtualService(it) => {
                let lacks = it
                    .spec
                    .http
                    .iter()
                    .any(|route| route.retries.is_none() && !route.route.is_empty());
                lacks.then_some(name)
            }
            _ => None,
        });
    Holds::some(services)
}

pub(super) fn service_entry_selects_port_modes(view: &View<'_>) -> Holds {
    let by_port = view
        .snapshot
        .objects()
        .filter_map(|(name, stored)| match &stored.object {
            Object::PeerAuthentication(it) if it.spec.port_level_mtls.is_some() => {
                Some((name, it.spec.selector.as_ref()?))
            }
            _ => None,
        });
    let by_port: Vec<_> = by_port.collect();
    let entries = view.of_kind("ServiceEntry").filter(|(name, _, entry)| {
        let labels = entry
            .pointer("/spec/workloadSelector/labels")
            .and_then(Value::as_object);
        let Some(labels) = labels.filter(|it| !it.is_empty()) else {
            return false;
        };
        let selected = view.topology.workloads.values().filter(|workload| {
            Some(&workload.name.namespace) == name.namespace.as_ref()
                && labels
                    .iter()
                    .all(|(key, value)| workload.labels.get(key).map(String::as_str) == value.as_str())
        });
        selected.into_iter().any(|workload| {
            by_port.iter().any(|(policy, selector)| {
                policy.namespace == name.namespace && selector.matches(&workload.labels)
            })
        })
    });
    Holds::some(entries.map(|(name, ..)| name))
}

pub(super) fn authorization_pattern(view: &View<'_>) -> Holds {
    let policies = view.of_kind("AuthorizationPolicy").filter(|(.., policy)| {
        let rules = policy.pointer("/spec/rules").and_then(Value::as_array);
        let sources = rules
            .into_iter()
            .flatten()
            .filter_map(|it| it.get("from")?.as_array())
            .flatten()
            .filter_map(|it| it.get("source"));
        sources.into_iter().any(|source| {
            let suffix =
                |it: &str| it.len() > 1 && it.starts_with('*') && it.contains(['.', '[', '+', '(', '|']);
            strings(source.get("principals")).any(suffix)
                || strings(source.get("namespaces")).any(|it| it.contains(['.', '[', '+', '(', '|']))
        })
    });
    Holds::some(policies.map(|(name, ..)| name))
}

pub(super) fn gateway_certificate_elsewhere(view: &View<'_>) -> Holds {
    let gateways = view.of_kind("Gateway").filter(|(name, _, gateway)| {
        let listeners = gateway.pointer("/spec/listeners").and_then(Value::as_array);
        let references = listeners
            .into_iter()
            .flatten()
            .filter_map(|it| it.pointer("/tls/certificateRefs")?.as_array())
            .flatten();
        references
            .filter_map(|it| it.get("namespace")?.as_str())
            .any(|namespace| name.namespace.as_deref() != Some(namespace))
    });
    Holds::some(gateways.map(|(name, ..)| name))
}

pub(super) fn permissive_with_plaintext_clients(view: &View<'_>) -> Holds {
    let workloads = || view.topology.workloads.values();
    if workloads().all(crate::istio::Workload::has_sidecar) {
        return Holds::No;
    }
    let permissive = workloads().filter(|workload| {
        let ports = &workload.container_ports;
        ports.iter().any(|port| {
            let inbound = view.topology.inbound(&workload.name, *port);
            inbound.is_some_and(|it| it.mode == MtlsMode::Permissive)
        })
    });
    let found: Vec<&ObjectRef> = permissive.map(|it| &it.object).take(10).collect();
    Holds::some(found.into_iter())
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}
