//! The page that explains the guardrails, in Markdown.

use std::fmt::Write as _;

use super::{Guardrail, GuardrailError};

/// `docs/guardrails.md`.
///
/// # Errors
/// When a manifest that is built in cannot be read, which a test rules out.
pub fn page() -> Result<String, GuardrailError> {
    let mut page = include_str!("page.md").to_owned();
    for guardrail in Guardrail::all()? {
        let summary = guardrail.summary();
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            page,
            "\n### `{name}`\n\nPrevents {prevents}. \
             [ValidatingAdmissionPolicy](../manifests/guardrails/{name}.yaml), \
             [Kyverno](../manifests/guardrails/kyverno/{name}.yaml), \
             [cases](../manifests/guardrails/cases/{name}.yaml).\n\n\
             Would have stopped {scenarios}.\n\nIt says:\n\n",
            name = summary.name,
            prevents = summary.prevents,
            scenarios = links(summary.scenarios),
        );
        for message in summary.messages {
            let _ = writeln!(page, "- {message}.");
        }
    }
    Ok(page)
}

fn links(scenarios: &[String]) -> String {
    let links: Vec<String> = scenarios
        .iter()
        .map(|it| format!("[`{it}`](../scenarios/{it}.yaml)"))
        .collect();
    links.join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_explains_every_guardrail() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guardrails.md");
        let page = page().unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == page,
            "docs/guardrails.md is out of date; refresh it with: UPDATE_DOCS=1 cargo test -p meshproof page"
        );
    }
}
