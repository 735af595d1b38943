//! What the logs of both ends tell.

use super::View;
use crate::diagnose::check::{Category, Check, Status, Step};
use crate::outcome::OutcomeId;

pub(super) static TOLD: Step = Step {
    id: "logs.proxies",
    category: Category::Logs,
    title: "the proxies of both ends log no failure of mTLS",
    looks_at: "the logs of istio-proxy at both ends, joined by connection",
    means: "By default neither end logs a failed handshake. A client that a server refuses in TLS 1.3 logs a closed connection and \
            no word of TLS; the server's line of the same connection decides.",
    corrected_by: &["R06"],
};

pub(super) fn told(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    for pod in &view.told.read {
        check.look_at(pod.clone());
    }
    for (pod, why) in &view.told.unread {
        check.tell(Status::CannotTell, format!("{pod}: {why}"));
    }
    let mut told: Vec<(OutcomeId, usize, &str)> = Vec::new();
    for finding in view.told.findings() {
        match told.iter_mut().find(|(outcome, ..)| *outcome == finding.outcome) {
            Some((_, count, _)) => *count += 1,
            None => told.push((finding.outcome, 1, &finding.sample)),
        }
    }
    for (outcome, count, sample) in told {
        check.tell(Status::Bad, format!("{outcome}, {count} times: {sample}"));
        check.hint(outcome.next_step().unwrap_or("read the lines"));
    }
    let lines = view.told.lines;
    view.nothing_seen(check, &format!("{lines} lines, and no failure of mTLS in them"))
}
