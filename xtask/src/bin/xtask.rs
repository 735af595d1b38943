//! `cargo xtask`: the command line in a checkout.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main(None)
}
