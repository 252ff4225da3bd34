//! One clock: nanoseconds since the start of the test. Also the alarm that wakes the poll loop to
//! the microsecond, which the poll call's own milliseconds cannot.

use std::io;
use std::time::{Duration, Instant};

/// Nanoseconds since the start of a test.
pub(super) type Nanos = u64;

#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Nanos {
        nanos(self.origin.elapsed())
    }
}

pub(super) fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) const SECOND: Nanos = 1_000_000_000;

/// Makes the poll set ready at a given moment.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Alarm {
    timer: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Alarm {
    pub(super) fn new(registry: &mio::Registry, token: mio::Token) -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use std::os::fd::AsRawFd as _;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let mut source = mio::unix::SourceFd(&timer.as_raw_fd());
        registry.register(&mut source, token, mio::Interest::READABLE)?;
        Ok(Self { timer })
    }

    /// Rings once, `after` nanoseconds from now (at least one); an earlier order is forgotten.
    /// Gives how long the poll call may wait by itself.
    pub(super) fn set(&self, after: Nanos) -> io::Result<Duration> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let none = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let wait = Duration::from_nanos(after.max(1));
        let it_value = Timespec::try_from(wait).map_err(io::Error::other)?;
        let order = Itimerspec {
            it_interval: none,
            it_value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &order)?;
        Ok(wait.saturating_add(Duration::from_millis(2)))
    }
}

/// Where there is no timer descriptor the last millisecond is spent polling.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(super) fn new(_: &mio::Registry, _: mio::Token) -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) fn set(&self, after: Nanos) -> io::Result<Duration> {
        Ok(Duration::from_millis(after / 1_000_000))
    }
}
