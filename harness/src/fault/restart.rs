//! Starting pods anew.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::Targets;
use crate::call::{PodName, WorkloadName};
use crate::one_or_many::OneOrMany;
use crate::reference::ReferenceError;

/// Pods that are started anew, and what becomes of the requests meanwhile.
///
/// New pods come of the template of the old ones, and injection happens anew: it makes of them what it would now, after a
/// label was set, or the webhook removed. Where pods are replaced one after the other, that is so once the last is. Their
/// agents ask for certificates of their own.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Whose pods.
    pub workload: OneOrMany<String>,
    /// Gracefully, pod after pod and never one more (`maxSurge: 0`): Services lead to it no more, it ends what it was
    /// doing, its successor comes up, and only then do they lead there. Otherwise all pods end at once (`kubectl delete pod --grace-period=0 --force`, an
    /// out-of-memory kill), and Services lead to them until their successors have come up.
    pub graceful: bool,
}

/// One step of a restart, which comes into force before the next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RestartStep {
    /// Services lead to the pod no more.
    Drain(PodName),
    /// It ends, and its successor comes up.
    Replace(PodName),
    /// Services lead to the successor.
    Admit(PodName),
    /// All pods of a workload end, and Services still lead to them.
    Kill(WorkloadName),
    /// Their successors come up.
    Revive {
        /// Whose.
        workload: WorkloadName,
        /// How many they are.
        replicas: u32,
    },
}

impl Restart {
    /// The steps it is made of, in a mesh of these workloads with so many pods.
    ///
    /// # Errors
    /// When it names a workload that is not there.
    pub fn steps<'a>(
        &self,
        workloads: impl IntoIterator<Item = (&'a WorkloadName, u32)>,
    ) -> Result<Vec<RestartStep>, ReferenceError> {
        let workloads: Vec<(&WorkloadName, u32)> = workloads.into_iter().collect();
        let targets = Targets::resolve(Some(&self.workload), workloads.iter().map(|(name, _)| *name))?;
        let meant = workloads.into_iter().filter(|(name, _)| targets.contains(name));
        Ok(meant
            .flat_map(|(name, replicas)| match self.graceful {
                true => (0..replicas)
                    .map(|ordinal| name.pod(ordinal))
                    .flat_map(|pod| {
                        [
                            RestartStep::Drain(pod.clone()),
                            RestartStep::Replace(pod.clone()),
                            RestartStep::Admit(pod),
                        ]
                    })
                    .collect::<Vec<_>>(),
                false => vec![
                    RestartStep::Kill(name.clone()),
                    RestartStep::Revive {
                        workload: name.clone(),
                        replicas,
                    },
                ],
            })
            .collect())
    }
}

impl fmt::Display for Restart {
    /// What is done, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.graceful {
            true => "pod after pod",
            false => "all at once",
        };
        match self.workload.iter().any(|name| name == "*") {
            true => write!(f, "everybody, {how}"),
            false => write!(f, "{}, {how}", self.workload),
        }
    }
}

impl fmt::Display for RestartStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain(pod) => write!(f, "{pod} leaves its Services"),
            Self::Replace(pod) => write!(f, "{pod} is replaced"),
            Self::Admit(pod) => write!(f, "{pod} is ready"),
            Self::Kill(workload) => write!(f, "{workload} is killed"),
            Self::Revive { workload, .. } => write!(f, "{workload} is back"),
        }
    }
}
