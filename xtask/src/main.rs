//! The command line of meshproof.
fn main() {}
