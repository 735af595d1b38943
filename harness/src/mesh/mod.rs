//! Where a scenario runs.

pub mod local;
