//! Making a call, gathering what both ends showed ([`Evidence`]), and naming its outcome.

pub mod evidence;

pub use evidence::Evidence;
