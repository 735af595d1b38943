//! What an application saw, for the evidence of a call.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::probe::agent::Seen;
use crate::probe::evidence::{Application, Bytes};

/// All that an application saw since it was last asked, unless somebody is told of it at once.
#[derive(Debug, Default)]
pub(super) struct Record {
    seen: Mutex<Vec<Seen>>,
    told: Option<mpsc::UnboundedSender<Seen>>,
}

impl Record {
    /// One that is not asked but tells.
    pub(super) fn told_to(told: mpsc::UnboundedSender<Seen>) -> Self {
        Self {
            seen: Mutex::default(),
            told: Some(told),
        }
    }

    /// An HTTP request or a line that the port speaks.
    pub(super) fn understood(&self, saw: Bytes, nonce: Option<&str>, forwarded_client_cert: Option<String>) {
        self.add(
            Application {
                port: None,
                saw,
                requests: 1,
                forwarded_client_cert,
            },
            nonce,
        );
    }

    /// Bytes that the port does not speak.
    pub(super) fn not_understood(&self, saw: Bytes, nonce: Option<&str>) {
        self.add(
            Application {
                saw,
                ..Application::default()
            },
            nonce,
        );
    }

    /// Everything seen, in order of first arrival; forgets it.
    pub(super) fn drain(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, application: Application, nonce: Option<&str>) {
        if let Some(told) = &self.told {
            // Nobody listens any more when the process is about to end.
            let _ = told.send(Seen {
                application,
                nonce: nonce.map(str::to_owned),
            });
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.iter_mut().find(|it| {
            nonce.is_some() && it.nonce.as_deref() == nonce && it.application.saw == application.saw
        });
        match known {
            Some(known) => known.application.requests += application.requests,
            None => seen.push(Seen {
                application,
                nonce: nonce.map(str::to_owned),
            }),
        }
    }
}

/// The nonce in a request path `/meshproof/<nonce>`.
pub(super) fn nonce_of_path(path: &str) -> Option<&str> {
    path.strip_prefix("/meshproof/").filter(|nonce| !nonce.is_empty())
}

/// The nonce in a line `meshproof <nonce>`.
pub(super) fn nonce_of_line(line: &str) -> Option<&str> {
    line.strip_prefix("meshproof ")
        .filter(|nonce| !nonce.is_empty() && !nonce.contains(' '))
}
