//! Conditions on the authority's certificates.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::Holds;
use crate::audit::certificates::Role;
use crate::audit::view::View;

const NEEDS_ROOT: &str = "the ConfigMap istio-ca-root-cert, or the Secret cacerts";
const NEEDS_BUNDLE: &str = "the Secret cacerts (its public certificates)";

pub(super) fn several_roots(view: &View<'_>) -> Holds {
    let of_bundle: Vec<_> = view.certificates.of_role(Role::Root).collect();
    let roots: Vec<_> = match of_bundle.is_empty() {
        true => view.certificates.of_role(Role::Distributed).collect(),
        false => of_bundle,
    };
    let Some(first) = roots.first() else {
        return Holds::CannotTell(NEEDS_ROOT.to_owned());
    };
    let several = roots
        .iter()
        .filter(|it| it.object == first.object && !it.is(first));
    Holds::some(several.map(|it| it.object))
}

pub(super) fn authority_ends_within(hours: i64, view: &View<'_>) -> Holds {
    let Some(signer) = view.certificates.signer() else {
        return Holds::CannotTell(NEEDS_BUNDLE.to_owned());
    };
    let left = signer.not_after.duration_since(view.now);
    match left < SignedDuration::from_hours(hours) {
        true => Holds::Yes(vec![signer.object.clone()]),
        false => Holds::No,
    }
}

/// `ca-cert.pem`, `ca-key.pem`, `root-cert.pem` and `cert-chain.pem`, or the form of cert-manager.
pub(super) fn bundle_incomplete(view: &View<'_>) -> Holds {
    let Some((object, _, keys)) = &view.certificates.signing_bundle else {
        return Holds::CannotTell(NEEDS_BUNDLE.to_owned());
    };
    let has = |wanted: &[&str]| wanted.iter().all(|it| keys.contains(*it));
    let is_complete = has(&["ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"])
        || has(&["tls.crt", "tls.key", "ca.crt"])
        // istiod's own authority keeps no root beside its certificate.
        || object.name == "istio-ca-secret";
    match is_complete {
        true => Holds::No,
        false => Holds::Yes(vec![(*object).clone()]),
    }
}

pub(super) fn bundle_invalid(view: &View<'_>) -> Holds {
    let Some(signer) = view.certificates.signer() else {
        return Holds::CannotTell(NEEDS_BUNDLE.to_owned());
    };
    let chain: Vec<_> = view
        .certificates
        .of_role(Role::Signer)
        .filter(|it| it.object == signer.object)
        .collect();
    let roots: Vec<_> = view
        .certificates
        .of_role(Role::Root)
        .filter(|it| it.object == signer.object)
        .collect();
    let is_over = |it: &&&crate::audit::certificates::Certificate<'_>| {
        it.not_after < view.now || it.not_before > view.now
    };
    // Up from the signer until a root is reached.
    let mut top = signer;
    for _ in &chain {
        let above = chain.iter().find(|it| !it.is(top) && top.is_signed_by(it));
        top = above.copied().unwrap_or(top);
    }
    let is_rooted = roots.is_empty() || roots.iter().any(|root| root.is(top) || top.is_signed_by(root));
    match is_rooted && !chain.iter().chain(&roots).any(|it| is_over(&it)) {
        true => Holds::No,
        false => Holds::Yes(vec![signer.object.clone()]),
    }
}

pub(super) fn bundle_has_crl(view: &View<'_>) -> Holds {
    match &view.certificates.signing_bundle {
        None => Holds::CannotTell(NEEDS_BUNDLE.to_owned()),
        Some((object, _, keys)) if keys.contains("ca-crl.pem") => Holds::Yes(vec![(*object).clone()]),
        Some(_) => Holds::No,
    }
}

pub(super) fn root_differs(view: &View<'_>) -> Holds {
    let roots: Vec<_> = view.certificates.of_role(Role::Root).collect();
    let distributed: Vec<_> = view.certificates.of_role(Role::Distributed).collect();
    if roots.is_empty() {
        return Holds::CannotTell(NEEDS_BUNDLE.to_owned());
    }
    if distributed.is_empty() {
        return Holds::CannotTell("the ConfigMap istio-ca-root-cert".to_owned());
    }
    let objects: BTreeSet<_> = distributed.iter().map(|it| it.object).collect();
    let lacks = |object: &crate::snapshot::ObjectRef| {
        let mut of_object = distributed.iter().filter(|it| it.object == object);
        of_object.any(|it| !roots.iter().any(|root| root.is(it)))
            || roots
                .iter()
                .any(|root| !distributed.iter().any(|it| it.object == object && it.is(root)))
    };
    Holds::some(objects.into_iter().filter(|it| lacks(it)))
}
