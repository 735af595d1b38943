//! What a caller does: one fresh connection, one full handshake where there is TLS, one round trip.
//!
//! No pool, no retry, no session resumption: each of them hides faults. The round trip is needed because in TLS 1.3
//! a refused client sees its handshake succeed; the alert comes afterwards.
//!
//! How a connection ended is read off the socket and not off the error of the library on top of it, so
//! that `closed` and `reset` mean the same under plain HTTP, plain TCP and TLS.

mod alert;
mod connect;
mod exchange;
mod plaintext;
mod tls;
mod verifier;
mod wire;

pub use connect::{Dial, DialError, Origin};
pub use exchange::request_id;
pub use plaintext::plaintext;
pub use tls::{TlsOffer, handshakes, tls};

#[cfg(test)]
mod tests;
