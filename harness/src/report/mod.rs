//! Results for people and machines.

pub mod audit;
mod directory;
mod prediction;
mod text;

pub use directory::{ReportError, write};
pub use prediction::{MatrixText, PredictedCall, reasons};
pub use text::{Text, summary};
