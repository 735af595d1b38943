//! What a person types to call meshproof. Messages that say what to type ask here.

use std::sync::OnceLock;

static COMMAND: OnceLock<&'static str> = OnceLock::new();

/// What to type before a command: `cargo xtask` in a checkout, unless [`set_command`] said otherwise.
#[must_use]
pub fn command() -> &'static str {
    COMMAND.get().copied().unwrap_or("cargo xtask")
}

/// Says how the program was called, for example as `meshproof`. Only the first time counts.
pub fn set_command(command: &'static str) {
    let _ = COMMAND.set(command);
}
