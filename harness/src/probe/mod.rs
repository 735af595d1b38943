//! Making a call ([`dial`], [`agent`] from inside a pod), gathering what both ends showed ([`Evidence`]), and naming its outcome ([`classify()`]).

pub mod agent;
mod alert;
pub mod classify;
pub mod dial;
pub mod evidence;
pub mod kernel;
pub mod wire;

pub use classify::classify;
pub use dial::{Dial, DialError, TlsOffer};
pub use evidence::Evidence;
