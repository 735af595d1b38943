//! Making a call ([`dial`]), gathering what both ends showed ([`Evidence`]), and naming its outcome.

pub mod dial;
pub mod evidence;

pub use dial::{Dial, DialError, TlsOffer};
pub use evidence::Evidence;
