//! The application behind a pod port, as a task of this process.

mod answer;
mod first_bytes;
mod seen;
mod server;

pub use server::{ApplicationError, ApplicationServer, Speaks};

#[cfg(test)]
mod tests;
