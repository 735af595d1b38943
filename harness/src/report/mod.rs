//! Results for people and machines.

mod directory;
mod prediction;
mod text;

pub use directory::{ReportError, read, write};
pub use prediction::{MatrixText, PredictedCall, reasons};
pub use text::{Text, summary};
