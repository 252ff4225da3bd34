//! What the program writes to its standard streams. A stream that is closed is no fault of ours:
//! errors of writing are dropped.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};

/// The exit code for a bad argument, file or address: nothing was started.
pub(crate) const USAGE: u8 = 2;
/// The exit code for something that went wrong after the start.
pub(crate) const FAILED: u8 = 1;

/// A result, to standard output.
pub(crate) fn print(text: impl Display) {
    let _closed = writeln!(io::stdout().lock(), "{text}");
}

/// A result that is worth nothing unless it is whole.
pub(crate) fn write(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// A line of a result that may be long; false where nobody reads any more.
pub(crate) fn print_line(text: impl Display) -> bool {
    write(text).is_ok()
}

/// A remark, to standard error.
pub(crate) fn note(text: impl Display) {
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// An error and its causes, as one sentence on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    note(format_args!("parlor: {error:#}"));
}

/// Text of somebody else's with everything escaped that would do something to a terminal: control
/// characters, line ends, and what turns the direction of writing.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_harmful(c) => {
                let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// JSON text on one line, and harmless: it means the same as before.
pub(crate) fn harmless_json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            // As they are they stand between values only.
            '\n' | '\r' | '\t' => shown.push(' '),
            // These are in a string, and in the first plane.
            c if is_harmful(c) => {
                let _infallible = write!(shown, "\\u{:04x}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        for (text, shown) in [
            ("", ""),
            ("Grüße, 世界 \\n", "Grüße, 世界 \\n"),
            ("a\r\n\tb", "a\\r\\n\\tb"),
            ("\u{1b}[2J\u{7f}\u{9b}\0", "\\u{1b}[2J\\u{7f}\\u{9b}\\u{0}"),
            ("abc\u{202e}fed", "abc\\u{202e}fed"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn json_stays_what_it_was() {
        let text = "{\"a\":\r\n\t[1e400, \"\u{9b}\u{2028}x\"]}";
        let shown = harmless_json(text);
        assert_eq!(shown, "{\"a\":   [1e400, \"\\u009b\\u2028x\"]}");
    }
}
