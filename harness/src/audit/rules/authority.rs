//! Certificates: of the authority, as distributed, and of workloads that bring their own.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::audit::certificates::{Certificate, Role};
use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Findings, Rule};
use crate::audit::view::View;

const NEEDS: &str = "public certificates (ConfigMap istio-ca-root-cert, Secret cacerts)";

/// The rules of this file, in the order of the report.
pub(super) const RULES: &[Rule] = &[EXPIRY, ROTATION, SIGNER_NOT_TRUSTED, KEY_USAGE, CRL];

/// Certificates that end.
const EXPIRY: Rule = Rule {
    code: "certificates.expiry",
    category: Category::Certificates,
    severity: Severity::High,
    title: "no certificate has expired or is about to",
    explanation: "When the root or what istiod signs with expires, every handshake of the mesh fails at once; no leaf can be \
                  renewed after that.",
    remedy: "Rotate the certificate: first trust the new root everywhere, then sign with it, then drop the old one.",
    source: "RFC 5280, 4.1.2.5; security/pkg/pki/util/generate_cert.go@1.30.3",
    check: Check::Mesh(expiry),
};

/// A new root that nobody trusts yet.
const ROTATION: Rule = Rule {
    code: "certificates.rotation-without-overlap",
    category: Category::Certificates,
    severity: Severity::High,
    title: "a root is rotated with an overlap",
    explanation: "istiod's signing bundle has a root that namespaces do not trust yet. When istiod restarts, as in an \
                  upgrade, new certificates chain to a root that running proxies refuse.",
    remedy: "Put both roots into root-cert.pem and wait until they are distributed; only then change the signing certificate.",
    source: "pilot/pkg/bootstrap/istio_ca.go@1.30.3; tests/integration/security/ca_custom_root@1.30.3",
    check: Check::Mesh(rotation),
};

/// A signer whose root is not in the bundle.
const SIGNER_NOT_TRUSTED: Rule = Rule {
    code: "certificates.signer-not-trusted",
    category: Category::Certificates,
    severity: Severity::High,
    title: "the root of the signing certificate is among the roots that are distributed",
    explanation: "Where one root is distributed and the signing certificate is of another, both are needed: every peer \
                  refuses what is signed.",
    remedy: "Add the root of ca-cert.pem to root-cert.pem.",
    source: "RFC 5280, 6.1; security/pkg/pki/util/keycertbundle.go@1.30.3",
    check: Check::Mesh(signer_not_trusted),
};

/// Key usage that forbids the use.
const KEY_USAGE: Rule = Rule {
    code: "certificates.key-usage",
    category: Category::Certificates,
    severity: Severity::High,
    title: "every certificate may be used for what it is used for",
    explanation: "What signs certificates must be an authority with keyCertSign, and what signs handshakes needs \
                  digitalSignature. Envoy refuses peers whose chain says otherwise.",
    remedy: "Issue the certificate anew with the right key usage.",
    source: "RFC 5280, 4.2.1.3 and 4.2.1.9; BoringSSL",
    check: Check::Mesh(key_usage),
};

/// Revocation lists that refuse everybody.
const CRL: Rule = Rule {
    code: "certificates.crl",
    category: Category::Certificates,
    severity: Severity::High,
    title: "every authority has a current revocation list, or none has one",
    explanation: "Once there is a revocation list, Envoy demands a current one of every authority in the chain, and refuses \
                  every peer where one is missing or has expired.",
    remedy: "Publish a current list of each authority in ca-crl.pem, in good time before nextUpdate.",
    source: "releasenotes/notes/56529.yaml; Envoy's CertificateValidationContext.crl",
    check: Check::Mesh(crl),
};

fn expiry(view: &View<'_>, found: &mut Findings<'_>) {
    if view.certificates.all.is_empty() {
        found.needs(NEEDS);
    }
    let mut told: Vec<&Certificate<'_>> = Vec::new();
    for it in &view.certificates.all {
        // Every namespace has the root: once is enough.
        if told.iter().any(|other| other.is(it)) {
            continue;
        }
        told.push(it);
        let left = it.not_after.duration_since(view.now);
        let horizon = SignedDuration::try_from(view.horizon).unwrap_or(SignedDuration::MAX);
        let (what, severity) = if it.not_before > view.now {
            (
                format!("is not valid before {}", day(it.not_before)),
                Severity::High,
            )
        } else if left < SignedDuration::ZERO {
            (format!("expired on {}", day(it.not_after)), Severity::High)
        } else if left < horizon {
            (
                format!(
                    "expires on {}, in {} days",
                    day(it.not_after),
                    left.as_hours() / 24
                ),
                Severity::High,
            )
        } else if it.is_authority && left < horizon.saturating_mul(3) {
            (
                format!(
                    "expires on {}, in {} days",
                    day(it.not_after),
                    left.as_hours() / 24
                ),
                Severity::Low,
            )
        } else {
            continue;
        };
        found
            .at(it.object, it.stored, format!("{} {what}", it.name()))
            .detail(&it.key)
            .severity(severity);
    }
}

fn rotation(view: &View<'_>, found: &mut Findings<'_>) {
    let roots: Vec<_> = view.certificates.of_role(Role::Root).collect();
    let distributed: Vec<_> = view.certificates.of_role(Role::Distributed).collect();
    if roots.is_empty() || distributed.is_empty() {
        found.needs("the ConfigMap istio-ca-root-cert and the Secret cacerts");
        return;
    }
    let namespaces: BTreeSet<_> = distributed.iter().map(|it| it.object).collect();
    let without = |object: &&&crate::snapshot::ObjectRef| {
        !distributed
            .iter()
            .any(|it| it.object == **object && roots.iter().any(|root| root.is(it)))
    };
    let lacking: Vec<_> = namespaces.iter().filter(without).collect();
    if let Some(first) = lacking.first() {
        let message = format!(
            "its root is not trusted in {} namespaces, as {first} shows",
            lacking.len()
        );
        found.at(roots[0].object, roots[0].stored, message);
    }
}

fn signer_not_trusted(view: &View<'_>, found: &mut Findings<'_>) {
    let Some(signer) = view.certificates.signer() else {
        found.needs("the Secret cacerts (its public certificates)");
        return;
    };
    let of_bundle = |role| {
        view.certificates
            .of_role(role)
            .filter(|it| it.object == signer.object)
            .collect::<Vec<_>>()
    };
    let (roots, chain) = (of_bundle(Role::Root), of_bundle(Role::Signer));
    let mut top = signer;
    for _ in &chain {
        let above = chain.iter().find(|it| !it.is(top) && top.is_signed_by(it));
        top = above.copied().unwrap_or(top);
    }
    if !roots.is_empty() && !roots.iter().any(|root| root.is(top) || top.is_signed_by(root)) {
        let message = format!(
            "{} is issued by {}, which is not in root-cert.pem",
            top.name(),
            top.issuer
        );
        found.at(signer.object, signer.stored, message);
    }
}

fn key_usage(view: &View<'_>, found: &mut Findings<'_>) {
    for it in &view.certificates.all {
        let problem = match it.role {
            Role::Leaf if !it.is_authority => {
                (!it.usage.digital_signature).then_some("lacks digitalSignature")
            }
            Role::Leaf => None,
            _ if !it.is_authority => Some("is no authority (basicConstraints)"),
            _ => (!it.signs_certificates).then_some("lacks keyCertSign"),
        };
        if let Some(problem) = problem {
            found
                .at(it.object, it.stored, format!("{} {problem}", it.name()))
                .detail(&it.key);
        }
    }
    if view.certificates.all.is_empty() {
        found.needs(NEEDS);
    }
}

fn crl(view: &View<'_>, found: &mut Findings<'_>) {
    let lists = &view.certificates.lists;
    for list in lists {
        if let Some(end) = list.next_update.filter(|it| *it < view.now) {
            let message = format!("the revocation list of {} expired on {}", list.issuer, day(end));
            found.at(list.object, list.stored, message).detail(&list.issuer);
        }
    }
    if lists.is_empty() {
        return;
    }
    let authorities = view.certificates.all.iter().filter(|it| it.is_authority);
    let without: BTreeSet<&str> = authorities
        .map(|it| it.subject.as_str())
        .filter(|subject| !lists.iter().any(|list| list.issuer == *subject))
        .collect();
    for subject in without {
        let message = format!("there is no revocation list of {subject}, and there are lists of others");
        found
            .at(lists[0].object, lists[0].stored, message)
            .detail(subject);
    }
}

fn day(time: Timestamp) -> jiff::civil::Date {
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}
