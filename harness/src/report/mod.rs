//! Results for people and machines.

pub mod audit;
mod claims;
mod directory;
mod prediction;
mod text;

pub use claims::{claim, claim_report, claims_summary};
pub use directory::{ReportError, read, write};
pub use prediction::{MatrixText, PredictedCall, reasons};
pub use text::{Text, summary};
