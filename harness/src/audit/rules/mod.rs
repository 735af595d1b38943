//! The rules, in the order of the report.
//!
//! A new rule is a constant in the file of its subject, and in the list at the top of that file.

mod authority;
mod calls;
mod images;
mod injection;
mod objects;
mod proxies;
mod releases;
mod transport;
mod webhook;

use super::rule::Rule;

/// The rule about calls that the upgrade changes.
pub(super) const CHANGED_CALLS: &str = calls::CHANGE.code;

/// Every rule, in the order of the report. Of those that explain failing calls, the first that explains a group takes it.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let subjects = [
        calls::BEFORE,
        transport::RULES,
        calls::AFTER,
        objects::RULES,
        injection::RULES,
        webhook::RULES,
        releases::RULES,
        proxies::RULES,
        images::RULES,
        authority::RULES,
    ];
    subjects.into_iter().flatten()
}
