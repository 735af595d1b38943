//! The authority behind all certificates.

use crate::diagnose::check::{Category, Step};

pub(super) static VALID: Step = Step {
    id: "authority.valid",
    category: Category::Authority,
    title: "the authority and its roots are valid, trusted, and fit to sign",
    looks_at: "the Secrets cacerts and istio-ca-secret (public certificates), and every ConfigMap istio-ca-root-cert",
    means: "An expired root or intermediate fails everybody, and new leaves do not help; restarting istiod then keeps it from \
            starting again. A root that not everybody has fails whoever gets a leaf of it.",
    corrected_by: &["R17", "R18"],
};
