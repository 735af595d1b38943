//! Whether a call goes through again.

use std::time::Duration;

use jiff::Timestamp;
use semver::Version;
use tokio::time::Instant;

use super::RemediationError;
use crate::call::Call;
use crate::diagnose::{Case, Shown, Subject, diagnose};
use crate::inspection::{self, Inspection};
use crate::kubernetes::Context;
use crate::snapshot::Scope;

/// How a recovery is looked for.
#[derive(Clone, Debug)]
pub struct Recovery<'a> {
    /// The cluster.
    pub context: &'a Context,
    /// What of it is read.
    pub scope: &'a Scope,
    /// The control plane's release.
    pub release: &'a Version,
    /// The call.
    pub call: &'a Call,
    /// How long no failure may be logged for it to count: istiod has told proxies of a change after ten seconds at most
    /// (its `PILOT_DEBOUNCE_MAX`), mostly within one.
    pub window: Duration,
    /// How long is looked for it.
    pub within: Duration,
    /// The image of an agent that makes the call, before it counts; absent: what is logged of others' calls must do.
    pub agent: Option<&'a str>,
}

/// What was seen last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watched {
    /// Whether the call goes through again.
    pub recovered: bool,
    /// What that rests on, in words.
    pub seen: String,
}

impl Recovery<'_> {
    /// Diagnoses the call anew, each time by what was logged in the last window alone, until it goes through.
    ///
    /// # Errors
    /// When the cluster cannot be read any more.
    pub async fn watch(&self) -> Result<Watched, RemediationError> {
        let started = Instant::now();
        loop {
            let since = Timestamp::now();
            tokio::time::sleep(self.window).await;
            let mut watched = self.look(since, None).await?;
            if let (true, Some(agent)) = (watched.recovered, self.agent) {
                watched = self.look(since, Some(agent)).await?;
            }
            if watched.recovered || started.elapsed() + self.window > self.within {
                return Ok(watched);
            }
        }
    }

    async fn look(&self, since: Timestamp, agent: Option<&str>) -> Result<Watched, RemediationError> {
        let (snapshot, mixed) = inspection::objects(self.context, self.scope, self.release).await?;
        let subject = Subject::Call(Box::new(self.call.clone()));
        let inspection = Inspection {
            context: self.context,
            snapshot: &snapshot,
            control_plane: &self.scope.control_plane,
            since: Some(since),
        };
        let observed = match agent {
            Some(agent) => inspection.observe_and_probe(&subject, agent).await,
            None => inspection.observe(&subject).await,
        };
        let made = agent.map(|_| match &observed.probe {
            Shown::Seen(it) => (
                it.is_delivered(),
                format!("{} made it, and it became {}", it.agent, it.outcome),
            ),
            // That it could not be made is no sign that the call goes through.
            Shown::Missing(why) => (false, format!("it could not be made again: {why}")),
        });
        let diagnosis = diagnose(Case {
            snapshot,
            mixed,
            observed,
            now: Timestamp::now(),
            subject,
        })?;
        let Some(verdict) = diagnosis.verdicts.first() else {
            return Ok(Watched {
                recovered: false,
                seen: "there is no verdict on the call".to_owned(),
            });
        };
        let id = verdict.outcome.id;
        let recovered = id.is_delivered() && made.as_ref().is_none_or(|(is_delivered, _)| *is_delivered);
        let window = self.window.as_secs_f32();
        let seen = match recovered {
            true => format!(
                "diagnosed again, the call is {id} ({} confidence): by what the cluster has now, and no failure of it logged in \
                 the last {window} s",
                verdict.confidence
            ),
            false if id.is_delivered() => format!("diagnosed again, the call is {id}"),
            false => format!(
                "diagnosed again, the call is still {id} ({} confidence)",
                verdict.confidence
            ),
        };
        Ok(Watched {
            recovered,
            seen: match made {
                Some((_, made)) => format!("{seen}; {made}"),
                None => seen,
            },
        })
    }
}
