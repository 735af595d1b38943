//! Docker: images with their digests, and containers that are gone when nobody holds them any more.
//!
//! Containers are made by testcontainers. What it leaves undone is done here: it removes a container where a runtime is
//! dropping it, but none whose start was given up halfway (by Ctrl-C) or failed, and nothing once its runtime is shutting
//! down. So Docker is spoken to on a thread that outlives all meshes, every container carries the label of its run, and a
//! run ends by removing all that carries it. No container of its own (Ryuk) watches over that: what a killed harness
//! leaves is found by the label, when the next run starts.

mod container;
mod daemon;
mod error;
mod image;

pub(crate) use container::{Container, ContainersOfRun, Start};
pub(crate) use daemon::{left, ping, remove_abandoned};
pub use error::DockerError;
pub(crate) use image::Image;
