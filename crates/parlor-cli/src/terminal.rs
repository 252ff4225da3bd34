//! What the program writes to its standard streams. A stream that is closed is no fault of ours:
//! errors of writing are dropped.

use std::fmt::Display;
use std::io::{self, Write as _};

/// The exit code for a bad argument, file or address: nothing was started.
pub(crate) const USAGE: u8 = 2;
/// The exit code for something that went wrong after the start.
pub(crate) const FAILED: u8 = 1;

/// A result, to standard output.
pub(crate) fn print(text: impl Display) {
    let _closed = writeln!(io::stdout().lock(), "{text}");
}

/// A remark, to standard error.
pub(crate) fn note(text: impl Display) {
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// An error and its causes, as one sentence on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    note(format_args!("parlor: {error:#}"));
}
