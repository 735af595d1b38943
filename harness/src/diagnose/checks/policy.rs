//! What policy says of the call.

use super::View;
use crate::call::WorkloadName;
use crate::diagnose::check::{Category, Check, Status, Step};
use crate::diagnose::ends;
use crate::istio::Service;
use crate::istio::policy::{ClientTls, MtlsMode};

pub(super) static MODE: Step = Step {
    id: "policy.effective-mode",
    category: Category::Policy,
    title: "the mode in force at the called port is known",
    looks_at: "PeerAuthentications of the mesh, of the called workload's namespace, and those that select it",
    means: "Only the called end's mode decides. The caller's own PeerAuthentication shapes what it accepts, not how it calls.",
    corrected_by: &["R03", "R04"],
};

pub(super) static RULES: Step = Step {
    id: "policy.destination-rules",
    category: Category::Policy,
    title: "the caller's proxy speaks what the called port accepts",
    looks_at: "the DestinationRule that this caller sees, by namespace, exportTo, and host",
    means: "A DestinationRule is read by the caller's proxy: it does nothing for a caller without one, and DISABLE or SIMPLE \
            breaks every caller that has one where the server is STRICT.",
    corrected_by: &["R09", "R15"],
};

pub(super) static OBJECTS: Step = Step {
    id: "policy.objects",
    category: Category::Policy,
    title: "policies say what their authors meant",
    looks_at: "every PeerAuthentication, DestinationRule, and mesh configuration",
    means: "What Istio ignores, refuses, or reads otherwise than it looks.",
    corrected_by: &["R14"],
};

pub(super) fn mode(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    for (workload, port) in called(view) {
        if view
            .call
            .is_some_and(|it| it.from.namespace != workload.namespace)
        {
            check.correct_runbook();
        }
        let Some(inbound) = view.topology.inbound(&workload, port) else {
            check.tell(
                Status::Ok,
                format!("{workload} has no sidecar: no policy is in force, and its port takes plaintext"),
            );
            continue;
        };
        let by: Vec<String> = inbound
            .because
            .iter()
            .map(|it| it.object.clone().unwrap_or_else(|| it.rule.to_string()))
            .collect();
        by.iter().for_each(|it| check.look_at(it.clone()));
        check.tell(
            Status::Ok,
            format!(
                "{workload} port {port} is {} by {}",
                word(inbound.mode),
                by.join(", ")
            ),
        );
    }
    if check.found.is_empty() {
        return check.not_applicable("nothing is called that has pods");
    }
    check
}

pub(super) fn rules(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    let Some(call) = view.call else {
        return of_namespace(check, view);
    };
    let Some((namespace, name, port)) = call.to.service() else {
        return check.not_applicable("the call names no Service, so no DestinationRule is about it");
    };
    if !view.topology.has_sidecar(&call.from) {
        let why = format!("{} has no sidecar: it reads no DestinationRule", call.from);
        check.correct_runbook();
        return check.not_applicable(why);
    }
    let subset = call.subset.as_deref();
    let Some(outbound) = view.topology.outbound(&call.from, namespace, name, port, subset) else {
        return check.missing(format!("{} has no cluster for {}", call.from, call.to));
    };
    let says = match &outbound.tls {
        ClientTls::Plaintext => "plaintext",
        ClientTls::Auto(_) => "mTLS to every pod that is marked as speaking it",
        ClientTls::Fixed(_) => "TLS to every pod",
    };
    match &outbound.destination_rule {
        None => check.tell(
            Status::Ok,
            format!("no rule is in force: {} speaks {says}", call.from),
        ),
        Some(rule) => {
            check.look_at(format!("DestinationRule/{rule}"));
            let strict = called(view).into_iter().any(|(workload, port)| {
                let inbound = view.topology.inbound(&workload, port);
                inbound.is_some_and(|it| it.mode == MtlsMode::Strict)
            });
            let status = match &outbound.tls {
                ClientTls::Plaintext if strict => Status::Bad,
                _ => Status::Ok,
            };
            check.tell(
                status,
                format!("DestinationRule/{rule} is in force: {} speaks {says}", call.from),
            );
            if status == Status::Bad {
                check.hint(
                    "take DISABLE out of the rule, or delete it: clients then choose by what the pods speak",
                );
            }
        }
    }
    check
}

/// Of a namespace: the rules that its calls fail by.
fn of_namespace(mut check: Check, view: &View<'_>) -> Check {
    let is_of_rule = |code: &str| {
        matches!(
            code,
            "policy.disable-to-strict"
                | "policy.namespace-disable"
                | "policy.simple-to-mesh"
                | "policy.mutual-without-sidecar"
                | "policy.headless"
        )
    };
    for finding in view.audit.findings.iter().filter(|it| is_of_rule(&it.code)) {
        check.tell(Status::Bad, format!("{} ({})", finding.message, finding.code));
        check.hint(finding.remedy.clone());
        if let Some(object) = &finding.object {
            check.look_at(object.clone());
        }
    }
    if check.found.is_empty() {
        check.tell(Status::Ok, "no rule makes a call of the mesh fail");
    }
    check
}

/// The workloads that are called, and their ports.
fn called(view: &View<'_>) -> Vec<(WorkloadName, u16)> {
    if let Some(call) = view.call {
        return ends::answering(view.topology, call)
            .into_iter()
            .map(|(pod, port)| (pod.workload, port))
            .fold(Vec::new(), |mut found, it| {
                if !found.contains(&it) {
                    found.push(it);
                }
                found
            });
    }
    let services = view.topology.services.values();
    let of = |service: &Service| {
        let ports = service.ports.iter();
        let workloads = service.workloads.iter().filter(|it| view.workloads.contains(it));
        let each: Vec<(WorkloadName, u16)> = workloads
            .filter_map(|name| view.topology.workloads.get(name))
            .flat_map(|workload| {
                let ports = ports.clone().filter_map(|it| it.pod_port(workload));
                ports.map(|it| (workload.name.clone(), it)).collect::<Vec<_>>()
            })
            .collect();
        each
    };
    services.flat_map(of).collect()
}

const fn word(mode: MtlsMode) -> &'static str {
    match mode {
        MtlsMode::Disable => "DISABLE",
        MtlsMode::Permissive => "PERMISSIVE",
        MtlsMode::Strict => "STRICT",
    }
}
