//! Printing results.

use std::io::{IsTerminal, Write};

use meshproof::report::board::{Board, BoardText};

use crate::colour::is_coloured;

/// Prints a line to standard output. A reader that has gone (`| head`) ends nothing: what runs is torn down in order.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// `println!`, but a closed pipe is no panic.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use outln;

/// What runs came to, as wide as the terminal; in a file lines are as long as they get.
pub(crate) fn board_text<'a>(board: &'a Board<'a>) -> BoardText<'a> {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(terminal_size::terminal_size).flatten();
    BoardText {
        board,
        width: size.map(|(width, _)| width.0),
        colour: is_coloured(&stdout),
    }
}
