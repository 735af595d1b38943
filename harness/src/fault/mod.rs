//! The closed set of faults a scenario may inject, the rotations that a mesh survives or not, and what both do to
//! the mesh's [`Credentials`](crate::pki::Credentials).
//!
//! A fault is deliberately wrong, named and removable. It is translated here, once, into the state that both the
//! prediction and the mesh work from.
//!
//! How faults and rotations compose: a [`History`] keeps them in the order in which they happened, and
//! [`Conditions::of`] replays it over healthy credentials. Hence a fault holds until something that happened *later*
//! replaces what it broke, exactly as in a real mesh:
//!
//! - `expired-leaf`, then `rotate: [leaf]`: the re-issued certificate is current. The other way round it is expired.
//! - `expired-intermediate`, then `rotate: [leaf]`: still broken, the new leaf comes with the same intermediate.
//! - `expired-root`, then `rotate: [leaf]`: still broken, until leaves come from a root that is trusted and current.
//! - healing a fault takes it out of the history, as if it had never happened; rotations stay.

mod conditions;
mod kinds;
mod rotation;

pub use conditions::{Conditions, History};
pub use kinds::{Fault, FaultKind, IntermediateFault, LeafFault, RootFault, SanReplace, SanSuffix};
pub use rotation::{ReissueIntermediate, ReissueLeaf, RootStep, Rotation};
