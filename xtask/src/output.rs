//! Printing results.

use std::io::Write;

/// Prints a line to standard output. A reader that has gone (`| head`) ends nothing: what runs is torn down in order.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// `println!`, but a closed pipe is no panic.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use outln;
