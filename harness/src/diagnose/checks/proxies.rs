//! The proxies of both ends.

use std::collections::BTreeSet;

use super::View;
use crate::diagnose::check::{Category, Check, Status, Step};
use crate::diagnose::observed::Shown;

pub(super) static IN_SYNC: Step = Step {
    id: "proxies.in-sync",
    category: Category::Proxies,
    title: "proxies have put in force what they were sent",
    looks_at: "the configuration dump of each proxy: what is warming, awaited, or was refused",
    means: "A proxy that waits for a secret opens no port. In-sync says nothing of certificates or modes, and a proxy that lost \
            its connection to istiod is not in istioctl proxy-status at all.",
    corrected_by: &["R05"],
};

pub(super) static VERSIONS: Step = Step {
    id: "proxies.versions",
    category: Category::Proxies,
    title: "proxies are of releases that get along",
    looks_at: "the releases that the proxies of both ends say they are of",
    means: "mTLS works between releases some minors apart; how failures are logged, and which groups and key usages are taken, \
            differs.",
    corrected_by: &["P02"],
};

pub(super) fn in_sync(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    for (_, proxy) in view.proxies() {
        let pod = &proxy.pod;
        let config = match &proxy.config {
            Shown::Missing(why) => {
                check.tell(Status::CannotTell, format!("{pod}: {why}"));
                continue;
            }
            Shown::Seen(config) => config,
        };
        check.look_at(pod.clone());
        for secret in &config.secrets.awaited {
            let named = match secret.as_str() {
                "default" => "its certificate".to_owned(),
                "ROOTCA" => "the roots to trust".to_owned(),
                other => format!("the secret {other}"),
            };
            check.tell(Status::Bad, format!("{pod} waits for {named}"));
            check.hint(
                "read the agent's log and istiod's (serverca): a proxy waits while its requests are refused",
            );
        }
        for refused in &config.refused {
            check.tell(Status::Bad, format!("{pod} refused what it was sent: {refused}"));
        }
        for warming in &config.warming {
            check.tell(Status::Warning, format!("{pod} has not put {warming} in force"));
        }
    }
    view.nothing_seen(check, "every proxy that was asked has all in force")
}

pub(super) fn versions(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    let mut releases: BTreeSet<String> = BTreeSet::new();
    for workload in view
        .workloads
        .iter()
        .filter_map(|it| view.topology.workloads.get(it))
    {
        if let Some(release) = workload.proxy_release() {
            check.look_at(workload.object.to_string());
            releases.insert(release.to_string());
        }
    }
    for (_, proxy) in view.proxies() {
        if let Some(config) = proxy.config.seen() {
            let said = config.istio.as_ref().or(config.envoy.as_ref());
            if let Some(said) = said {
                check.tell(Status::Ok, format!("{} says it is {said}", proxy.pod));
            }
            for (end, limited) in [("client", &config.client), ("server", &config.server)] {
                if !limited.unknown.is_empty() {
                    check.tell(
                        Status::Warning,
                        format!(
                            "{} takes as a {end} what meshproof does not know: {}",
                            proxy.pod,
                            limited.unknown.join(", ")
                        ),
                    );
                }
            }
        }
    }
    let told = view.audit.findings.iter();
    for finding in told.filter(|it| matches!(it.code.as_str(), "versions.ahead" | "versions.skew")) {
        check.tell(Status::Warning, format!("{} ({})", finding.message, finding.code));
        check.hint(finding.remedy.clone());
    }
    let releases: Vec<String> = releases.into_iter().collect();
    match releases.as_slice() {
        [] => check.not_applicable("no end has a proxy"),
        [one] => {
            check.tell(Status::Ok, format!("all are of {one}"));
            check
        }
        several => {
            check.tell(Status::Ok, format!("there are {}", several.join(" and ")));
            check
        }
    }
}
