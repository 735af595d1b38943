//! Results for people and machines.

mod claims;
mod directory;
mod load;
mod prediction;
mod text;

pub use claims::{claim, claim_report, claims_summary};
pub use directory::{ReportError, read, write};
pub use prediction::{MatrixText, PredictedCall, reasons};
pub use text::{Text, summary};
