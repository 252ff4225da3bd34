//! `parlor bench churn`: connections that open, say goodbye and open again.

use anyhow::bail;
use parlor::proto::websocket::Kind;

use super::arguments::{Churn, Dialect};
use super::client::Speaker;
use super::crowd::Crowd;
use super::fleet::{Ending, Fleet, Listener, Manner, Reads};
use super::histogram::Histogram;
use super::opened::check_descriptors;
use super::progress::Progress;
use super::report::{Mark, Report, Unit, grouped};
use super::target::Target;
use super::time::{Nanos, SECOND, nanos};

/// Runs the test.
pub(super) fn run(arguments: &Churn) -> anyhow::Result<Report> {
    let Churn {
        common,
        connections,
        max,
        dialect,
    } = arguments;
    if *dialect == Dialect::Sse {
        bail!("an event stream has no end to agree on: churn is for WebSocket");
    }
    let places = usize::try_from(*connections)?;
    check_descriptors(places)?;
    let target = Target::find(common)?;
    let manner = Manner::new(common, Kind::Text, Reads::Apart, Crowd::of(*dialect));
    let mut fleet = Fleet::new(target, manner)?;
    let mut door = Door {
        free: (0..places).collect(),
        ..Door::default()
    };
    let (first, last) = measure(&mut fleet, &mut door, arguments)?;

    let mut report = Report::new("churn", &common.url);
    report.fact("connections", *connections);
    report.fact("max", *max);
    report.fact("dialect", dialect.name());
    report.fact("deflate", common.deflate);
    let count = grouped(u64::from(*connections));
    let load = format!("{count} connections of {} at a time", dialect.name());
    report.row("load", load);
    report.between(CONNECTIONS, first, last);
    report.times("opening took", "open", &door.opening);
    report.times("life", "life", &door.lives);
    report.closed(door.failed, door.first_failed.as_deref());
    Ok(report)
}

fn measure(fleet: &mut Fleet, door: &mut Door, arguments: &Churn) -> anyhow::Result<(Mark, Mark)> {
    let Churn { common, max, .. } = arguments;
    let clock = fleet.clock;
    let mut progress = Progress::new();
    let begin = clock.now();
    let start = begin + WARMUP;
    let end = start + nanos(common.time);
    let (mut first, mut moved, mut begun) = (None, (0, begin), 0);
    loop {
        let now = clock.now();
        if first.is_none() && now >= start {
            first = Some(Mark::new(now, door.done, common.pid));
            (door.opening, door.lives) = Default::default();
        }
        if now >= end || door.done >= *max || door.failed > 0 {
            break;
        }
        while begun < *max
            && let Some(place) = door.free.pop()
        {
            fleet.begin(place)?;
            begun += 1;
        }
        fleet.turn(now + SECOND / 20, door)?;
        if door.done > moved.0 {
            moved = (door.done, now);
        } else if now - moved.1 > PATIENCE {
            bail!(
                "the server does not end connections: {} have ended",
                door.done
            );
        }
        progress.show(now - begin, end - begin, || {
            format!("{} connections", grouped(door.done))
        });
    }
    let last = Mark::new(clock.now(), door.done, common.pid);
    match first {
        Some(first) => Ok((first, last)),
        None if door.failed > 0 => Ok((last, last)),
        None => bail!("--max was reached in the warm-up"),
    }
}

/// Who comes and goes.
#[derive(Default)]
struct Door {
    free: Vec<usize>,
    done: u64,
    opening: Histogram,
    lives: Histogram,
    failed: u64,
    first_failed: Option<String>,
}

impl Listener for Door {
    fn opened(&mut self, _: usize, took: Nanos, speaker: &mut Speaker<'_>) {
        self.opening.record(took);
        speaker.close();
    }

    fn closed(&mut self, place: usize, ending: Ending) {
        self.free.push(place);
        if ending.clean {
            self.done += 1;
            self.lives.record(ending.took);
        } else {
            self.failed += 1;
            self.first_failed.get_or_insert(ending.why);
        }
    }
}

const CONNECTIONS: Unit = Unit {
    label: "connections",
    singular: "connection",
    plural: "opened_and_closed",
    spoken: "connection",
};
const WARMUP: Nanos = SECOND * 3 / 10;
const PATIENCE: Nanos = 5 * SECOND;
