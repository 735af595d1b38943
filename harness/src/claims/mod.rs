//! What documents claim about Istio mTLS, and what scenarios show of it.
//!
//! The ledger is data (`manifests/claims.yaml`). A claim is linked to scenarios by what a held phase of theirs means
//! for it, so a finding follows from results and data alone; or it says why no scenario can decide it. A scenario names
//! its claims in `metadata.claims`, and both are held against each other.

mod claim;
mod finding;
mod ledger;

pub use claim::{Claim, Document, Grounds, Obstacle, Piece, Shows, Untested, Verdict};
pub use finding::{ClaimReport, Finding, Weighed, Weight, weigh};
pub use ledger::{Ledger, LedgerError};
