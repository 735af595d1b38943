//! Results for people and machines.

pub mod audit;
pub mod board;
mod catalogue;
mod claims;
mod comparison;
mod diagnosis;
mod diagnosis_page;
mod directory;
mod kernel_capability;
mod layers;
mod load;
mod prediction;
mod provenance;
mod releases;
mod text;

pub use catalogue::{CATALOGUE_PAGE, catalogue_page};
pub use claims::{claim, claim_report, claims_summary};
pub use comparison::{Agreement, Cell, ComparedCall, Comparison, compare};
pub use diagnosis::{diagnosis_json, diagnosis_text};
pub use diagnosis_page::{DiagnosisPageError, diagnosis_page};
pub use directory::{ReportError, Run, read, write};
pub use kernel_capability::KernelCapability;
pub use layers::{LAYERS_PAGE, LayerRow, Layers, Testimony, attribution, attribution_by_wire};
pub use prediction::{MatrixText, PredictedCall, reasons};
pub use provenance::Provenance;
pub use releases::Releases;
pub use text::Text;
