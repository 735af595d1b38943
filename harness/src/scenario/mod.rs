//! The scenario format, its loading with diagnostics, running its phases, and the verdict.

pub mod diagnostic;
pub mod format;
mod schema;
mod tree;

pub use schema::{SCHEMA_FILE, json_schema, json_schema_text};
