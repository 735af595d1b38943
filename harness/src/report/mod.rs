//! Results for people and machines.

mod directory;
mod text;

pub use directory::{ReportError, write};
pub use text::{Text, summary};
