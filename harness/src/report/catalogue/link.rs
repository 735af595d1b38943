//! Headings of the page, and links to them.

use super::Refusal;
use crate::outcome::Outcome;

/// As headings name it: `san-mismatch by client`.
pub(super) fn words((outcome, side): Refusal) -> String {
    let mut words = Outcome::of(outcome);
    words.side = side;
    words.to_string()
}

/// A link to what a refusal looks like.
pub(super) fn link(refusal: Refusal) -> String {
    to_heading(&words(refusal))
}

/// A link to the heading with that text, as GitHub names it.
pub(super) fn to_heading(text: &str) -> String {
    let kept = text
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, ' ' | '-'));
    let anchor: String = kept
        .map(|letter| {
            if letter == ' ' {
                '-'
            } else {
                letter.to_ascii_lowercase()
            }
        })
        .collect();
    format!("[{text}](#{anchor})")
}
