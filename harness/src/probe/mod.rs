//! Making a call, gathering what both ends showed ([`Evidence`]), and naming its outcome.

pub mod classify;
pub mod evidence;

pub use classify::classify;
pub use evidence::Evidence;
