//! One line that is drawn again and again, on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Progress {
    visible: bool,
    drawn: Option<Instant>,
}

impl Progress {
    /// Draws to standard error where that is a terminal.
    pub(super) fn new() -> Self {
        Self {
            visible: io::stderr().is_terminal(),
            drawn: None,
        }
    }

    /// Shows how much of a whole is done, at most ten times a second.
    pub(super) fn show(&mut self, done: u64, whole: u64, text: impl FnOnce() -> String) {
        let now = Instant::now();
        let recent = self
            .drawn
            .is_some_and(|drawn| now.duration_since(drawn) < REDRAW);
        if !self.visible || recent {
            return;
        }
        self.drawn = Some(now);
        let line = format!("\r{} {}\x1b[K", bar(done, whole), text());
        let _closed = io::stderr().write_all(line.as_bytes());
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _closed = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(done: u64, whole: u64) -> String {
    let full = (done.min(whole) * WIDTH)
        .checked_div(whole)
        .unwrap_or(WIDTH);
    (0..WIDTH)
        .map(|at| if at < full { '█' } else { '░' })
        .collect()
}

const REDRAW: Duration = Duration::from_millis(100);
const WIDTH: u64 = 24;

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_fills_from_the_left() {
        assert_eq!(bar(0, 10), "░".repeat(24));
        assert_eq!(bar(5, 10), format!("{}{}", "█".repeat(12), "░".repeat(12)));
        assert_eq!(bar(12, 10), "█".repeat(24));
        assert_eq!(bar(0, 0), "█".repeat(24));
    }
}
