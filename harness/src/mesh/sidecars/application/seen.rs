//! What an application saw, for the evidence of a call.

use std::sync::{Mutex, PoisonError};

use crate::probe::evidence::{Application, Bytes};

/// What the application saw of one call, or of bytes that name no call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// What arrived. Repeated arrivals with one nonce are counted in `requests`; it stays 0 where the port does not
    /// speak what the bytes were.
    pub application: Application,
    /// The call's nonce; absent where the bytes carry none (a ClientHello, other bytes, a foreign path).
    pub nonce: Option<String>,
}

/// All that an application saw since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<Vec<Seen>>);

impl Record {
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
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, application: Application, nonce: Option<&str>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
