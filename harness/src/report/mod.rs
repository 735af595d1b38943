//! Results for people and machines.

pub mod audit;
mod catalogue;
mod claims;
mod comparison;
mod directory;
mod load;
mod prediction;
mod releases;
mod text;

pub use catalogue::{CATALOGUE_PAGE, catalogue_page};
pub use claims::{claim, claim_report, claims_summary};
pub use comparison::{Agreement, Cell, ComparedCall, Comparison, compare};
pub use directory::{ReportError, read, write};
pub use prediction::{MatrixText, PredictedCall, reasons};
pub use releases::Releases;
pub use text::{Text, summary};
