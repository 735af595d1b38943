//! A call of our own.

use super::View;
use crate::diagnose::Carried;
use crate::diagnose::check::{Category, Check, Status, Step};
use crate::outcome::OutcomeId;

pub(super) static CALL: Step = Step {
    id: "probe.call",
    category: Category::Probe,
    title: "a call made now, over a fresh connection, is delivered",
    looks_at: "the call itself, made by an agent beside the caller, and what both ends showed of it",
    means: "Open connections and resumed sessions hide what new ones meet, and logs tell of what was. A call made now tells what is.",
    corrected_by: &["R11"],
};

pub(super) fn call(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    if view.call.is_none() {
        return check.not_applicable("no call was named");
    }
    match view.observed.probe.seen() {
        None => {
            let why = view.observed.probe.missing().unwrap_or_default();
            check.missing(format!("not available: {why}"))
        }
        Some(probed) => {
            check.look_at(probed.agent.clone());
            let is_delivered = probed.is_delivered();
            let status = match probed.outcome.id {
                _ if is_delivered && probed.carried == Carried::OpenBefore => Status::CannotTell,
                _ if is_delivered => Status::Ok,
                OutcomeId::Unknown => Status::CannotTell,
                _ => Status::Bad,
            };
            let became = match is_delivered && probed.outcome.id == OutcomeId::Unknown {
                true => format!("was answered by the application: {}", probed.outcome),
                false => format!("became {}", probed.outcome),
            };
            let over = match probed.carried {
                Carried::OpenedMeanwhile | Carried::Unknown => "",
                Carried::OpenBefore => {
                    "; over a connection that was open before, which tells nothing of new handshakes"
                }
            };
            check.tell(status, format!("{} {became}{over}", probed.call));
            check
        }
    }
}
