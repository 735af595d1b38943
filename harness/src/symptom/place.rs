//! Where people look: the answer, two logs, and two proxies' statistics.

use std::fmt;

use crate::probe::Evidence;
use crate::probe::evidence::{AccessLogEntry, ProxyEvidence};

/// Where a text is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// The body of the client proxy's 503.
    Answer,
    /// The client proxy's access log.
    ClientLog,
    /// The server proxy's listener log.
    ServerLog,
    /// The client proxy's statistics.
    ClientStats,
    /// The server proxy's statistics.
    ServerStats,
}

impl Place {
    /// Whether a text found here has the sign.
    #[must_use]
    pub fn holds(self, text: &str, sign: &str) -> bool {
        match self {
            Self::Answer | Self::ClientLog | Self::ServerLog => text.contains(sign),
            Self::ClientStats | Self::ServerStats => text.ends_with(sign),
        }
    }

    /// The proxy that shows it, if the call has one.
    pub(super) const fn proxy(self, evidence: &Evidence) -> Option<&ProxyEvidence> {
        match self {
            Self::Answer | Self::ClientLog | Self::ClientStats => evidence.client_proxy.as_ref(),
            Self::ServerLog | Self::ServerStats => evidence.server_proxy.as_ref(),
        }
    }

    /// What it showed there.
    pub(super) fn texts<'a>(self, evidence: &'a Evidence, proxy: &'a ProxyEvidence) -> Vec<&'a str> {
        match self {
            Self::Answer => evidence.caller.http.iter().map(|it| it.body.as_str()).collect(),
            Self::ClientLog => proxy.access_log.iter().flat_map(said).collect(),
            Self::ServerLog => proxy.listener_log.iter().flat_map(said).collect(),
            Self::ClientStats | Self::ServerStats => proxy.stats.keys().map(String::as_str).collect(),
        }
    }
}

fn said(entry: &AccessLogEntry) -> impl Iterator<Item = &str> {
    let fields = [&entry.flags, &entry.details, &entry.up_fail, &entry.down_fail];
    fields.into_iter().flatten().map(String::as_str)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Answer => "the answer",
            Self::ClientLog => "the client's access log",
            Self::ServerLog => "the server's listener log",
            Self::ClientStats => "the client's statistics",
            Self::ServerStats => "the server's statistics",
        })
    }
}
