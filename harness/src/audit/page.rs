//! The page that explains every code, in Markdown.

use std::fmt::Write as _;

use super::hazard::hazards;
use super::rules::rules;
use crate::snapshot::YamlError;

/// `docs/audit.md`.
///
/// # Errors
/// When the built-in hazards cannot be read, which a test rules out.
pub fn page() -> Result<String, Box<YamlError>> {
    let mut page = "# Findings\n\n\
        What the codes of `cargo xtask preflight` mean. A severity is the greatest a finding of the code has. Written \
        from the code by a test; see CONTRIBUTING.md.\n\n\
        ## Rules\n"
        .to_owned();
    for rule in rules() {
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            page,
            "\n### `{}`\n\n{}, at worst: holds where {}.\n\n{}\n\n**Remedy:** {}\n\n**Source:** {}\n",
            rule.code, rule.severity, rule.title, rule.explanation, rule.remedy, rule.source
        );
    }
    page.push_str(
        "\n## Hazards\n\nWhat releases change about mTLS without being asked, and what is wrong in some of them. An upgrade \
         is concerned if it crosses a change, or ends in a release with a defect.\n",
    );
    for hazard in hazards()? {
        let _ = write!(
            page,
            "\n### `{}`\n\n{}, {}: {}.\n\n{}\n\n**Remedy:** {}\n\n**Source:** {}\n",
            hazard.code(),
            hazard.severity,
            hazard.releases.text(),
            hazard.title,
            hazard.changes,
            hazard.remedy,
            hazard.source
        );
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_explains_every_code() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
        let page = page().unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == page,
            "docs/audit.md is out of date; refresh it with: UPDATE_DOCS=1 cargo test -p meshproof page"
        );
    }
}
