//! The report of an audit, in every form. What a form says never decides how a command ends.

mod json;
mod junit;
mod markdown;
mod prometheus;
mod sarif;
mod text;

#[cfg(test)]
mod tests;

pub use json::json;
pub use junit::{JunitError, junit};
pub use markdown::markdown;
pub use prometheus::prometheus;
pub use sarif::sarif;
pub use text::text;

/// The explanation of a code.
fn help(code: &str) -> String {
    // GitHub's anchors drop what is no letter, digit, hyphen, or underscore.
    let anchor: String = code
        .chars()
        .filter(|it| it.is_alphanumeric() || *it == '-')
        .collect();
    format!("docs/audit.md#{anchor}")
}
