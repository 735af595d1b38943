//! The closed set of faults a scenario may inject, the rotations and restarts that a mesh survives or not, and what
//! they do to the mesh's [`Credentials`](crate::pki::Credentials) and pods.
//!
//! A fault is deliberately wrong, named and removable. It is translated here, once, into the state that both the
//! prediction and the mesh work from.
//!
//! What is wrong with objects is no fault but a phase's `apply`, `manifests` or `delete`, as in a cluster: a namespace
//! that lost its `istio-injection` label (and pods that were restarted since), a pod whose `sidecar.istio.io/proxyImage`
//! has drifted to another release, a policy at the wrong end.
//!
//! How faults and rotations compose: a [`History`] keeps them in the order in which they happened, and
//! [`Conditions::of`] replays it over healthy credentials. Hence a fault holds until something that happened *later*
//! replaces what it broke, exactly as in a real mesh:
//!
//! - `expired-leaf`, then `rotate: [leaf]`: the re-issued certificate is current. The other way round it is expired.
//! - `expiring-leaf` is current when it comes into force and expired when its phase has done what it does.
//! - `expired-intermediate`, then `rotate: [leaf]`: still broken, the new leaf comes with the same intermediate.
//! - `expired-root`, then `rotate: [leaf]`: still broken, until leaves come from a root that is trusted and current.
//! - `missing-intermediate`, then `rotate: [leaf]`: still broken, until `rotate: [intermediate]`. So with
//!   `not-yet-valid-intermediate` and `revoked-intermediate`: the new one has another serial number.
//! - `stuck-agent`, then any rotation: it passes the workload by. Then a restart: the new pods get no secrets.
//! - `expired-leaf`, then a restart: new pods ask for new leaves, as by `rotate: [leaf]`.
//! - `old-root-only` and `last-root-only` say what arrives of a bundle, whenever it changes; so do limits of TLS and
//!   obstacles in the network. No rotation ends them.
//! - healing a fault takes it out of the history, as if it had never happened; rotations and restarts stay.

mod conditions;
mod described;
mod history;
mod kinds;
mod parameters;
mod replay;
mod restart;
mod rotation;
mod tls_limits;

pub use conditions::{Conditions, Obstacle};
pub use described::FaultKind;
pub use history::History;
pub use kinds::Fault;
pub use parameters::{
    ExtendedKeyUsage, LeafFault, LeafKeyFault, MissingSecret, PortFault, Purpose, RootFault, SanReplace,
    SanSuffix, Secret, TlsLimitsFault, TrustDomain, WebhookRemoved, WideFault,
};
pub use restart::{Restart, RestartStep};
pub use rotation::{NewRoot, ReissueIntermediate, ReissueLeaf, RootStep, Rotation};
pub use tls_limits::{CipherSuite, KeyExchangeGroup, TlsLimits, TlsVersion};

#[cfg(test)]
mod tests;
