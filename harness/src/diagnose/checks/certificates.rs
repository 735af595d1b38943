//! Certificates in use at both ends.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::View;
use crate::diagnose::check::{Category, Check, Status, Step};
use crate::diagnose::observed::ProxyConfig;
use crate::pki::{Certificate, LeafKey};

pub(super) static IN_USE: Step = Step {
    id: "certificates.in-use",
    category: Category::Certificates,
    title: "certificates in use are valid, complete, and say who their workload is",
    looks_at: "the chain that each proxy serves, from its configuration dump: names, validity, usage, links",
    means: "What a proxy serves now, not what a Secret or an earlier connection shows. openssl s_client shows the other end's, \
            and under PERMISSIVE nothing unless it offers the protocol istio. Restarting istiod issues no new leaf.",
    corrected_by: &["R11", "R18", "R19"],
};

pub(super) static ROOTS: Step = Step {
    id: "certificates.roots",
    category: Category::Certificates,
    title: "both ends trust the root of the other's certificate",
    looks_at: "the roots and revocation lists that each proxy checks its peers by",
    means: "In a rotation every proxy must trust the new root before any leaf is of it. Once there are revocation lists, one of \
            every authority must be current.",
    corrected_by: &["R17"],
};

pub(super) fn in_use(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    for (pod, proxy) in view.proxies() {
        let Some(config) = proxy.config.seen() else {
            let why = proxy.config.missing().unwrap_or_default();
            check.tell(Status::CannotTell, format!("{}: {why}", proxy.pod));
            continue;
        };
        check.look_at(proxy.pod.clone());
        let name = &proxy.pod;
        let Some(leaf) = config.secrets.chain.first() else {
            check.tell(Status::Bad, format!("{name} has no certificate"));
            continue;
        };
        let expected = view.topology.identity(&pod.workload);
        for problem in problems(leaf, expected.as_deref(), config, view.now) {
            check.tell(Status::Bad, format!("{name}: {problem}"));
        }
        check.tell(
            Status::Ok,
            format!(
                "{name}: {} until {}",
                leaf.uris.first().map_or("nobody", String::as_str),
                leaf.not_after
            ),
        );
    }
    view.nothing_seen(check, "every certificate that was seen is in order")
}

/// What is wrong with a chain, a sentence each.
fn problems(leaf: &Certificate, expected: Option<&str>, config: &ProxyConfig, now: Timestamp) -> Vec<String> {
    let mut found = Vec::new();
    let says = leaf.uris.first().map(String::as_str);
    if let Some(expected) = expected
        && says != Some(expected)
    {
        let says = says.unwrap_or("nobody");
        found.push(format!(
            "its certificate says {says}, and its workload is {expected}"
        ));
    }
    found.extend(over("its certificate", leaf, now));
    if leaf.key == Some(LeafKey::Rsa2048) && !leaf.usage.digital_signature {
        found.push("its RSA key may not sign (digitalSignature)".to_owned());
    }
    for (may, what) in [
        (leaf.usage.server_auth, "be called (serverAuth)"),
        (leaf.usage.client_auth, "call (clientAuth)"),
    ] {
        if !may {
            found.push(format!("its certificate is not good to {what}"));
        }
    }
    let mut top = leaf;
    let authorities = config.secrets.chain.iter().skip(1);
    for authority in authorities {
        found.extend(over(
            &format!("the authority {}", authority.subject),
            authority,
            now,
        ));
        if top.is_signed_by(authority) {
            top = authority;
        }
    }
    let trusted = config.secrets.roots.iter().chain(&config.secrets.chain);
    let is_rooted = top.is_signed_by(top) || trusted.into_iter().any(|it| top.is_signed_by(it));
    if !is_rooted {
        found.push(format!("its chain ends at {}, which is not in it", top.issuer));
    }
    found
}

pub(super) fn roots(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    let mut bundles: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
    for (_, proxy) in view.proxies() {
        let Some(config) = proxy.config.seen() else {
            let why = proxy.config.missing().unwrap_or_default();
            check.tell(Status::CannotTell, format!("{}: {why}", proxy.pod));
            continue;
        };
        check.look_at(proxy.pod.clone());
        let names = config
            .secrets
            .roots
            .iter()
            .map(|it| format!("{} {}", it.subject, it.key_id()));
        bundles.entry(names.collect()).or_default().push(&proxy.pod);
        for root in &config.secrets.roots {
            if let Some(problem) = over(&format!("the root {}", root.subject), root, view.now) {
                check.tell(Status::Bad, format!("{}: {problem}", proxy.pod));
            }
        }
        for list in &config.secrets.lists {
            if let Some(end) = list.next_update.filter(|it| *it < view.now) {
                let issuer = &list.issuer;
                check.tell(
                    Status::Bad,
                    format!("{}: the revocation list of {issuer} was due on {end}", proxy.pod),
                );
            }
        }
        let has_list = |root: &&Certificate| config.secrets.lists.iter().any(|it| it.issuer == root.subject);
        let lacking: Vec<&Certificate> = config.secrets.roots.iter().filter(|it| !has_list(it)).collect();
        if let Some(root) = lacking.first().filter(|_| !config.secrets.lists.is_empty()) {
            check.tell(
                Status::Bad,
                format!(
                    "{}: there is no revocation list of {}, and there are of others",
                    proxy.pod, root.subject
                ),
            );
        }
    }
    for (_, one) in view.proxies() {
        for (_, other) in view.proxies() {
            let (Some(config), Some(peer)) = (one.config.seen(), other.config.seen()) else {
                continue;
            };
            if !trusts(config, peer) {
                check.tell(
                    Status::Bad,
                    format!(
                        "{} does not trust the root of {}'s certificate",
                        one.pod, other.pod
                    ),
                );
            }
        }
    }
    if bundles.len() > 1 {
        let sizes: Vec<String> = bundles
            .iter()
            .map(|(names, pods)| format!("{} ({} roots)", pods[0], names.len()))
            .collect();
        check.tell(
            Status::Warning,
            format!("proxies trust different roots: {}", sizes.join(", ")),
        );
        check.hint(
            "istioctl proxy-config rootca-compare shows both; a rotation gives everybody the new root first",
        );
    }
    view.nothing_seen(check, "all trust the same, and each other")
}

/// Whether one of the roots a proxy trusts signed what is at the top of another's chain.
fn trusts(verifier: &ProxyConfig, presenter: &ProxyConfig) -> bool {
    let roots = &verifier.secrets.roots;
    let chain = &presenter.secrets.chain;
    if roots.is_empty() || chain.is_empty() {
        return true;
    }
    chain
        .iter()
        .any(|it| roots.iter().any(|root| it.is_signed_by(root)))
}

fn over(what: &str, certificate: &Certificate, now: Timestamp) -> Option<String> {
    if certificate.not_after < now {
        Some(format!("{what} expired on {}", certificate.not_after))
    } else if certificate.not_before > now {
        Some(format!("{what} is not valid before {}", certificate.not_before))
    } else {
        None
    }
}
