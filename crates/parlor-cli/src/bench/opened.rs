//! The beginning of every test but one: all connections open.

use anyhow::{anyhow, bail};

use super::arguments::Common;
use super::client::Speaker;
use super::fleet::{Ending, Fleet, Listener, Manner};
use super::histogram::Histogram;
use super::process::Memory;
use super::progress::Progress;
use super::report::{Growth, Report};
use super::target::Target;
use super::time::{Nanos, SECOND};

/// Open connections, at places 0 to `count - 1`.
pub(super) struct Opened {
    pub(super) fleet: Fleet,
    pub(super) progress: Progress,
    count: u64,
    took: Nanos,
    times: Histogram,
    before: Option<Memory>,
}

impl Opened {
    /// Opens so many connections, a few at a time.
    ///
    /// # Errors
    ///
    /// Where the server is not found or not ours, or a connection does not open.
    pub(super) fn new(common: &Common, manner: Manner, count: usize) -> anyhow::Result<Self> {
        let target = Target::find(common)?;
        check_descriptors(count)?;
        let before = common.pid.map(Memory::of).transpose()?;
        let mut opened = Self {
            fleet: Fleet::new(target, manner)?,
            progress: Progress::new(),
            count: u64::try_from(count)?,
            took: 0,
            times: Histogram::default(),
            before,
        };
        opened.open(count)?;
        Ok(opened)
    }

    fn open(&mut self, count: usize) -> anyhow::Result<()> {
        let fleet = &mut self.fleet;
        let mut watch = Watch {
            opened: 0,
            times: Histogram::default(),
            failed: None,
        };
        let begin = fleet.clock.now();
        let (mut begun, mut moved) = (0, begin);
        while watch.opened < count {
            while begun < count && begun - watch.opened < AT_ONCE {
                let failed = |error: anyhow::Error| {
                    anyhow!("{error:#} (connection {} of {count})", begun + 1)
                };
                fleet.begin(begun).map_err(failed)?;
                begun += 1;
            }
            let known = watch.opened;
            let now = fleet.clock.now();
            fleet.turn(now + SECOND / 20, &mut watch)?;
            if let Some(why) = watch.failed {
                bail!(
                    "a connection did not open: {why} ({} of {count} are open)",
                    watch.opened
                );
            }
            if watch.opened > known {
                moved = now;
            } else if now - moved > PATIENCE {
                bail!(
                    "the server does not answer: {} of {count} are open",
                    watch.opened
                );
            }
            self.progress
                .show(u64::try_from(watch.opened)?, self.count, || {
                    format!("{} of {count} connections", watch.opened)
                });
        }
        self.took = fleet.clock.now() - begin;
        self.times = watch.times;
        Ok(())
    }

    /// Reports how long the opening took.
    pub(super) fn report(&self, report: &mut Report) {
        report.opened(self.count, self.took, &self.times);
    }

    /// How far the server has grown since before the first connection.
    ///
    /// # Errors
    ///
    /// Where the server's process is gone.
    pub(super) fn growth(&self, pid: Option<u32>) -> anyhow::Result<Option<Growth>> {
        let Some((before, pid)) = self.before.zip(pid) else {
            return Ok(None);
        };
        Ok(Some(Growth {
            before,
            after: Memory::of(pid)?,
            connections: self.count,
        }))
    }
}

/// Checks that this process may have so many connections.
///
/// # Errors
///
/// Where it may not.
pub(super) fn check_descriptors(count: usize) -> anyhow::Result<()> {
    let descriptors = parlor::config::raise_descriptor_limit();
    if count.saturating_add(SPARE_DESCRIPTORS) > descriptors {
        bail!("{count} connections need more descriptors than the {descriptors} of the limit");
    }
    Ok(())
}

struct Watch {
    opened: usize,
    times: Histogram,
    failed: Option<String>,
}

impl Listener for Watch {
    fn opened(&mut self, _: usize, took: Nanos, _: &mut Speaker<'_>) {
        self.opened += 1;
        self.times.record(took);
    }

    fn closed(&mut self, _: usize, ending: Ending) {
        self.failed.get_or_insert(ending.why);
    }
}

const AT_ONCE: usize = 128;
const PATIENCE: Nanos = 10 * SECOND;
const SPARE_DESCRIPTORS: usize = 32;
