//! Who else is asked what became of a call.

use clap::ValueEnum;

/// Something that sees connections and is no part of the mesh. What it sees is evidence, and decides no outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Witness {
    /// The kernel of this host (root, bpftrace, Linux 6.10)
    Kernel,
    /// What is on the wire between the pods, decrypted (root, or --on netns)
    Wire,
}
