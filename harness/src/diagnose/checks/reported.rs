//! Steps that an audit walks already: its rules decide, and this only gathers what they say.

use super::View;
use super::{authority, injection, policy};
use crate::audit::{self, Severity};
use crate::diagnose::check::{Check, Status, Step};

/// The rules of an audit that a step is made of.
const RULES: &[(&Step, &[&str])] = &[
    (
        &policy::OBJECTS,
        &[
            "policy.unknown-field",
            "policy.invalid",
            "policy.duplicate",
            "policy.port-level-without-selector",
            "policy.port-level-on-service-port",
            "policy.selector-in-root-namespace",
            "policy.shadowed-rule",
            "policy.mesh-config",
            "policy.dangling",
        ],
    ),
    (
        &injection::WEBHOOK,
        &[
            "injection.webhook-missing",
            "injection.unknown-revision",
            "injection.webhook-ca-bundle",
            "injection.webhook-failure-policy",
            "injection.webhook-without-endpoint",
        ],
    ),
    (
        &authority::VALID,
        &[
            "certificates.expiry",
            "certificates.rotation-without-overlap",
            "certificates.signer-not-trusted",
            "certificates.key-usage",
            "certificates.crl",
        ],
    ),
];

/// Walks a step by what the audit says of its rules.
pub(super) fn walk(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    let rules = RULES
        .iter()
        .find(|(it, _)| it.id == step.id)
        .map(|(_, rules)| *rules);
    let codes = rules.unwrap_or_default();
    let of_step = |code: &str| codes.contains(&code);
    let rules = view.audit.checks.iter().filter(|it| of_step(&it.code));
    let undecided = rules.filter(|it| it.status == audit::Status::CannotTell);
    for need in undecided.flat_map(|it| &it.needs) {
        check.tell(Status::CannotTell, format!("needs {need}"));
    }
    for finding in view.audit.findings.iter().filter(|it| of_step(&it.code)) {
        let status = match finding.severity {
            Severity::High => Status::Bad,
            Severity::Medium | Severity::Low => Status::Warning,
            Severity::Info => Status::Ok,
        };
        let object = finding
            .object
            .as_ref()
            .map_or_else(String::new, |it| format!("{it}: "));
        check.tell(status, format!("{object}{} ({})", finding.message, finding.code));
        check.look_at(finding.object.clone().unwrap_or_else(|| "the mesh".to_owned()));
        check.hint(finding.remedy.clone());
    }
    if check.found.is_empty() {
        check.tell(
            Status::Ok,
            format!("none of {} rules found anything", codes.len()),
        );
    }
    check
}
