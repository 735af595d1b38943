//! Objects in: manifests of a folder, a live cluster, or a bundle of either.
//!
//! A [`Snapshot`] is a set of Kubernetes and Istio objects with the place each came from, and the mesh
//! configuration among them. It knows what an object says, never what it means: that is [`crate::istio`].

pub mod api;
mod bundle;
mod cluster;
mod error;
mod kind;
mod mesh_config;
mod mixed;
mod object;
mod object_ref;
mod redact;
mod schema;
mod secret;
mod store;
pub(crate) mod tree;
mod yaml;

pub use bundle::{BundleError, Names};
pub use cluster::Scope;
pub use error::{LoadError, NoSuchObject};
pub use mesh_config::{MeshConfig, OutboundTrafficPolicy};
pub use mixed::{Mistake, Mixed, Plain};
pub use object::{Object, Other};
pub use object_ref::{NotAnObjectRef, ObjectRef};
pub use schema::SchemaMistake;
pub use store::{Age, Snapshot, Source, Stored};
pub use yaml::YamlError;
pub(crate) use yaml::{to_yaml, value as from_yaml};
