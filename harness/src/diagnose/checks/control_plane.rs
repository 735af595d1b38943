//! istiod: whether it runs, and what it logs.

use std::io::Read as _;

use k8s_openapi::api::core::v1::Pod;

use super::View;
use crate::diagnose::check::{Category, Check, Status, Step};
use crate::logs::{Finding, Patterns, Scanner};
use crate::snapshot::{Object, ObjectRef};

pub(super) static RUNNING: Step = Step {
    id: "control-plane.running",
    category: Category::ControlPlane,
    title: "istiod runs",
    looks_at: "Deployments and pods with the label app=istiod, whatever their revision and namespace",
    means: "Without istiod proxies go on with what they have; leaves run out after a day, new pods are not created where a \
            webhook fails, and no change takes effect.",
    corrected_by: &["R02"],
};

pub(super) static LOGS: Step = Step {
    id: "control-plane.logs",
    category: Category::ControlPlane,
    title: "istiod logs no failure to sign or to push",
    looks_at: "the logs of istiod's pods",
    means: "What istiod refuses to sign, or proxies refuse to take, is told here and nowhere at the ends of the call.",
    corrected_by: &["R18"],
};

pub(super) fn running(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    let mut deployed = false;
    let (mut pods, mut running) = (0, 0);
    for (name, stored) in view.snapshot.objects() {
        let labels = stored.object.metadata().labels.as_ref();
        let is_istiod = labels
            .and_then(|it| it.get("app"))
            .is_some_and(|it| it == "istiod");
        match &stored.object {
            Object::Deployment(it) if is_istiod => {
                deployed = true;
                check.look_at(name.to_string());
                if it.spec.replicas == Some(0) {
                    check.tell(Status::Bad, format!("{name} is scaled to 0"));
                }
            }
            Object::Pod(pod) if is_istiod => {
                pods += 1;
                running += usize::from(is_running(pod));
                look(&mut check, name, pod);
            }
            _ => {}
        }
    }
    match (deployed, pods) {
        (false, 0) => {
            let why = "the input holds no istiod: it may be outside of the cluster, or was not read";
            return check.missing(why);
        }
        (true, 0) => check.tell(Status::CannotTell, "the input holds no pod of istiod"),
        _ if running == 0 => {
            check.tell(Status::Bad, "no pod of istiod runs");
            check.hint(
                "kubectl logs -l app=istiod -A --previous says why; an expired CA keeps it from starting",
            );
        }
        _ => check.tell(Status::Ok, format!("{running} of {pods} pods run")),
    }
    check
}

fn look(check: &mut Check, name: &ObjectRef, pod: &Pod) {
    check.look_at(name.to_string());
    if !is_running(pod) {
        let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
        let phase = phase.unwrap_or("in no phase");
        check.tell(Status::Warning, format!("{name} is {phase}"));
    }
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    phase == Some("Running")
}

pub(super) fn logs(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    let logs = match (view.observed.istiod.seen(), view.observed.istiod.missing()) {
        (Some(logs), _) => logs,
        (None, why) => return check.missing(why.unwrap_or_default()),
    };
    let Ok(patterns) = Patterns::embedded() else {
        return check.missing("the patterns of logs cannot be read");
    };
    let mut lines = 0;
    for (pod, text) in logs {
        check.look_at(pod.clone());
        let mut found: Vec<Finding> = Vec::new();
        let scanned = Scanner::new(patterns).scan(pod, text.as_bytes().by_ref(), &mut |it| found.push(it));
        lines += scanned.counts.lines;
        if let Some(last) = found.last() {
            check.tell(
                Status::Warning,
                format!("{pod} tells of {} {}: {}", found.len(), last.outcome, last.sample),
            );
            check.hint(last.outcome.next_step().unwrap_or("read the lines"));
        }
    }
    check.tell(Status::Ok, format!("{lines} lines read"));
    check
}
