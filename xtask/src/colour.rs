//! Whether text for people may have colour.

use std::io::IsTerminal;

/// On a terminal, unless `NO_COLOR` says otherwise.
pub(crate) fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
