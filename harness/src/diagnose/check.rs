//! A step of the runbook.

use serde::Serialize;

/// The parts of the runbook, in the order in which they are walked.
#[derive(
    Clone, Copy, Debug, strum::Display, Eq, Ord, PartialEq, PartialOrd, Serialize, strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Category {
    /// istiod.
    ControlPlane,
    /// PeerAuthentication, DestinationRule, and what else decides how calls are made.
    Policy,
    /// Who has a sidecar, and why not.
    Injection,
    /// The webhook that injects.
    Webhook,
    /// The proxies of both ends.
    Proxies,
    /// Certificates in use.
    Certificates,
    /// The authority behind them.
    Authority,
    /// How Istio is delivered.
    Delivery,
    /// What logs tell.
    Logs,
    /// A call of our own.
    Probe,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// There is nothing of the kind.
    NotApplicable,
    /// What it needs could not be seen.
    CannotTell,
    /// Not as it should be, and not what breaks calls by itself.
    Warning,
    /// Something that breaks calls.
    Bad,
}

/// A step, as it is documented.
#[derive(Debug)]
pub struct Step {
    /// Its name, stable: `policy.effective-mode`.
    pub id: &'static str,
    /// The part it belongs to.
    pub category: Category,
    /// What holds where all is well.
    pub title: &'static str,
    /// What is looked at.
    pub looks_at: &'static str,
    /// What its result means.
    pub means: &'static str,
    /// The claims of the ledger that correct what the runbook says here.
    pub corrected_by: &'static [&'static str],
}

/// A step, walked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// The step.
    #[serde(serialize_with = "id")]
    pub step: &'static Step,
    /// Its part.
    pub category: Category,
    /// How it ended.
    pub status: Status,
    /// What it looked at: objects, pods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub looked_at: Vec<String>,
    /// What it found, a sentence each; the worst first.
    pub found: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether this is a case in which the runbook leads astray.
    #[serde(skip)]
    pub misled: bool,
}

impl Check {
    pub(super) const fn of(step: &'static Step) -> Self {
        Self {
            step,
            category: step.category,
            status: Status::Ok,
            looked_at: Vec::new(),
            found: Vec::new(),
            hint: None,
            misled: false,
        }
    }

    /// A step that could not be walked.
    pub(super) fn missing(mut self, why: impl Into<String>) -> Self {
        self.tell(Status::CannotTell, why);
        self
    }

    /// A step about what is not there.
    pub(super) fn not_applicable(mut self, why: impl Into<String>) -> Self {
        self.tell(Status::NotApplicable, why);
        self
    }

    /// Takes in something found.
    pub(super) fn tell(&mut self, status: Status, found: impl Into<String>) {
        let found = found.into();
        if self.found.contains(&found) {
            return;
        }
        if status > self.status {
            self.status = status;
            self.found.insert(0, found);
        } else {
            self.found.push(found);
        }
        self.misled |= self.status >= Status::Warning;
    }

    pub(super) fn look_at(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.looked_at.contains(&what) {
            self.looked_at.push(what);
        }
    }

    /// The runbook says something else about just this.
    pub(super) fn correct_runbook(&mut self) {
        self.misled = true;
    }

    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hint.get_or_insert_with(|| hint.into());
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn id<S: serde::Serializer>(step: &&'static Step, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(step.id)
}
