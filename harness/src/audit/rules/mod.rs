//! The rules, in the order of the report.
//!
//! A new rule is a constant in the file of its subject, and its line here.

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

/// Every rule. Of those that explain failing calls, the first that explains a group takes it.
pub const RULES: &[&Rule] = &[
    &calls::CHANGE,
    &calls::UNPREDICTED,
    &transport::DISABLE_TO_STRICT,
    &transport::NAMESPACE_DISABLE,
    &transport::ONE_WAY_TLS,
    &transport::MUTUAL_WITHOUT_SIDECAR,
    &transport::HEADLESS,
    &calls::NO_SERVER,
    &transport::PLAIN_CLIENT,
    // Takes what no other rule explains.
    &calls::FAIL_NOW,
    &objects::UNKNOWN_FIELD,
    &objects::INVALID,
    &objects::DUPLICATE,
    &objects::PORT_LEVEL_WITHOUT_SELECTOR,
    &objects::PORT_LEVEL_ON_SERVICE_PORT,
    &objects::SELECTOR_IN_ROOT_NAMESPACE,
    &objects::SHADOWED,
    &objects::MESH_CONFIG,
    &objects::DANGLING,
    &injection::CONFLICTING_LABELS,
    &injection::MISSING_SIDECAR,
    &injection::HOST_NETWORK,
    &webhook::MISSING,
    &webhook::REVISION,
    &webhook::CA_BUNDLE,
    &webhook::FAILURE_POLICY,
    &webhook::NO_ENDPOINT,
    &releases::PATH,
    &releases::END_OF_LIFE,
    &releases::KUBERNETES,
    &proxies::AHEAD,
    &proxies::SKEW,
    &proxies::MIXED_PATCHES,
    &images::UNPINNED,
    &images::NO_DIGEST,
    &authority::EXPIRY,
    &authority::ROTATION,
    &authority::SIGNER_NOT_TRUSTED,
    &authority::KEY_USAGE,
    &authority::CRL,
];
