//! What a cluster shows of its proxies: the only thing about them that a diagnosis knows.
//!
//! Any piece may be missing, and then says why; a step that needs it says so, and the verdict is less sure.

mod config_dump;

use std::collections::BTreeMap;

use crate::call::{PodName, WorkloadName};

pub use config_dump::{Limited, ProxyConfig, Secrets, UnreadableDump};

/// What proxies, and istiod, showed.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// By pod, in the order of their names. Pods without a proxy, and pods nobody looked at, are not here.
    pub proxies: BTreeMap<PodName, ProxySeen>,
    /// The control plane's own logs, by pod.
    pub istiod: Shown<BTreeMap<String, String>>,
    /// What a call of our own, made from inside of the mesh, became; see [`super::Probed`].
    pub probe: Shown<super::Probed>,
}

/// What one proxy showed.
#[derive(Clone, Debug, Default)]
pub struct ProxySeen {
    /// The pod's own name.
    pub pod: String,
    /// Its configuration in force, certificates included.
    pub config: Shown<Box<ProxyConfig>>,
    /// The last lines it logged.
    pub log: Shown<String>,
}

/// Something that may not have been there to see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Shown<T> {
    /// It was.
    Seen(T),
    /// It was not, and why.
    Missing(String),
}

impl<T> Shown<T> {
    /// What was seen, if anything was.
    #[must_use]
    pub const fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(it) => Some(it),
            Self::Missing(_) => None,
        }
    }

    /// Why it was not seen.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Seen(_) => None,
            Self::Missing(why) => Some(why),
        }
    }
}

impl<T> Default for Shown<T> {
    /// Nobody looked.
    fn default() -> Self {
        Self::Missing("nobody looked".to_owned())
    }
}

impl Observed {
    /// The proxies of a workload's pods.
    pub(crate) fn of<'a>(
        &'a self,
        workload: &'a WorkloadName,
    ) -> impl Iterator<Item = (&'a PodName, &'a ProxySeen)> {
        self.proxies
            .iter()
            .filter(move |(pod, _)| pod.workload == *workload)
    }
}
