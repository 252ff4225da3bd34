//! `parlor bench reconnect`: sessions of the library's client that lose their server at one moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use parlor::client::session::{Event, Handle};
use parlor::client::{Backoff, Builder, Session};
use tokio::time::{Instant, sleep, timeout_at};

use super::arguments::Reconnect;
use super::opened::check_descriptors;
use super::process::Cpu;
use super::progress::Progress;
use super::report::{Report, duration, grouped};
use super::restart::Restarted;
use super::target::Target;
use super::time::nanos;
use crate::terminal;

/// Runs the test.
pub(super) fn run(arguments: &Reconnect) -> anyhow::Result<Report> {
    check_descriptors(usize::try_from(arguments.connections)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the runtime")?;
    runtime.block_on(measure(arguments))
}

/// What the sessions tell.
#[derive(Debug, Default)]
struct Books {
    joined: usize,
    messages: usize,
    /// When the first session had lost its connection.
    lost: Option<Instant>,
    losses: usize,
    /// When a session had a connection again.
    accepts: Vec<Instant>,
    /// Attempts that failed after the loss.
    failed: u64,
    gaps: u64,
    back: Option<Instant>,
    /// Why a session gave up.
    ended: Option<String>,
}

type Shared = Arc<Mutex<Books>>;

fn lock(books: &Shared) -> MutexGuard<'_, Books> {
    // What panicked has ended the process, or is a count that is off by one.
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sessions.
struct Crowd {
    books: Shared,
    handles: Vec<Handle>,
    patience: Duration,
    progress: Progress,
}

async fn measure(arguments: &Reconnect) -> anyhow::Result<Report> {
    let mut server = match arguments.restart {
        true => Some(Restarted::start(&arguments.url).await?),
        false => None,
    };
    Target::check(&arguments.url, arguments.i_own_this_server)?;
    let count = usize::try_from(arguments.connections)?;
    let mut crowd = Crowd {
        books: Shared::default(),
        handles: Vec::with_capacity(count),
        patience: arguments.patience,
        progress: Progress::new(),
    };
    crowd.open(arguments, count).await?;
    crowd.talk("before the loss").await?;
    let cpu = Cpu::own();
    {
        let mut books = lock(&crowd.books);
        (books.joined, books.messages) = (0, 0);
        books.accepts.reserve_exact(count);
    }
    match &mut server {
        Some(server) => server.restart()?,
        None => {
            crowd.progress.clear();
            let count = grouped(u64::from(arguments.connections));
            terminal::note(format_args!(
                "{count} sessions are in their rooms: stop the server now, and start it again"
            ));
        }
    }
    let losing = |books: &Books| books.lost.is_some();
    crowd.until("nothing was lost", 1, losing).await?;
    let lost = lock(&crowd.books).lost.unwrap_or_else(Instant::now);
    let back = |books: &Books| books.joined >= count;
    let all_back = crowd.until("not all are back", count, back).await;
    let used = Cpu::own().micros.saturating_sub(cpu.micros);
    if all_back.is_ok() {
        crowd.talk("after the loss").await?;
    }
    crowd.progress.clear();
    Ok(report(arguments, &lock(&crowd.books), lost, used))
}

impl Crowd {
    /// Opens the sessions, some at a time.
    async fn open(&mut self, arguments: &Reconnect, count: usize) -> anyhow::Result<()> {
        let mut backoff = Backoff::default();
        backoff.first = arguments.spread;
        backoff.longest = arguments.spread;
        for number in 0..count {
            let session = Builder::new(arguments.url.as_str())
                .session()
                .backoff(backoff)
                .start()?;
            session.join(&room(number))?;
            self.handles.push(session.handle());
            tokio::spawn(watch(session, Arc::clone(&self.books)));
            if number % AT_ONCE == AT_ONCE - 1 || number + 1 == count {
                let opened = |books: &Books| books.joined > number;
                self.until("not all sessions open", count, opened).await?;
            }
        }
        Ok(())
    }

    /// One of each room says something, and the others hear it.
    async fn talk(&mut self, when: &str) -> anyhow::Result<()> {
        lock(&self.books).messages = 0;
        let speakers = self.handles.iter().enumerate().step_by(ROOM);
        let speakers: Vec<(usize, Handle)> = speakers
            .map(|(number, handle)| (number, handle.clone()))
            .collect();
        for (number, speaker) in &speakers {
            let receipt = speaker.room(&room(*number))?.publish("hello").await?;
            receipt
                .await
                .with_context(|| format!("nothing can be said {when}"))?;
        }
        let hearers = self.handles.len() - speakers.len();
        let heard = |books: &Books| books.messages >= hearers;
        let complaint = format!("not all hear what is said {when}");
        self.until(&complaint, hearers, heard).await
    }

    /// Waits until the books say so.
    async fn until(
        &mut self,
        complaint: &str,
        whole: usize,
        done: impl Fn(&Books) -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + self.patience;
        let waiting = async {
            loop {
                {
                    let books = lock(&self.books);
                    if let Some(why) = &books.ended {
                        bail!("a session gave up: {why}");
                    }
                    if done(&books) {
                        return Ok(());
                    }
                    let (joined, whole) = (books.joined, whole);
                    let shown = (u64::try_from(joined)?, u64::try_from(whole)?);
                    self.progress
                        .show(shown.0, shown.1, || format!("{joined} are in their rooms"));
                }
                sleep(LOOK).await;
            }
        };
        match timeout_at(end, waiting).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("{complaint} within {:?}", self.patience),
        }
    }
}

fn room(number: usize) -> String {
    format!("reconnect {}", number / ROOM)
}

/// Enters what a session tells.
async fn watch(mut session: Session, books: Shared) {
    while let Some(event) = session.next().await {
        let now = Instant::now();
        let mut books = lock(&books);
        match event {
            Event::Connected if books.lost.is_some() => books.accepts.push(now),
            Event::Joined { .. } => {
                books.joined += 1;
                books.back = Some(now);
            }
            Event::Gap { .. } => books.gaps += 1,
            Event::Message(_) => books.messages += 1,
            Event::Disconnected { reason, .. } => {
                books.lost.get_or_insert(now);
                match reason {
                    parlor::client::session::Reason::Connect(_) => books.failed += 1,
                    _ => books.losses += 1,
                }
            }
            Event::Ended { reason } => {
                let why = reason.map_or_else(|| "it was closed".to_owned(), |why| why.to_string());
                books.ended.get_or_insert(why);
            }
            _ => {}
        }
    }
}

fn report(arguments: &Reconnect, books: &Books, lost: Instant, used: u64) -> Report {
    let Reconnect {
        url,
        connections,
        spread,
        ..
    } = arguments;
    let mut report = Report::new("reconnect", url);
    let seconds = spread.as_secs_f64();
    let even = f64::from(*connections) / seconds.max(1.0);
    report.fact("connections", *connections);
    report.fact("spread_s", seconds);
    report.row(
        "load",
        format!(
            "{} sessions in rooms of {ROOM}, attempts spread over {}",
            grouped(u64::from(*connections)),
            duration(nanos(*spread))
        ),
    );
    let took = books.back.unwrap_or(lost).saturating_duration_since(lost);
    report.fact("losses", books.losses);
    report.fact("failed_attempts", books.failed);
    report.fact("back", books.joined);
    report.fact("back_s", took.as_secs_f64());
    report.row(
        "back",
        format!(
            "{} in {} after the first loss, {} losses, {} failed attempts",
            grouped(books.joined as u64),
            duration(nanos(took)),
            grouped(books.losses as u64),
            grouped(books.failed)
        ),
    );
    let accepts = Accepts::new(&books.accepts, lost);
    report.fact("accepts_per_s", accepts.seconds.clone());
    report.fact("busiest_s", accepts.busiest);
    report.fact("even_per_s", even);
    let each: Vec<String> = accepts.seconds.iter().map(|n| grouped(*n)).collect();
    report.row("accepts", format!("{} (by the second)", each.join(" ")));
    report.row(
        "busiest",
        format!(
            "{} in one second; evenly spread {even:.0}",
            grouped(accepts.busiest)
        ),
    );
    report.fact("gaps", books.gaps);
    report.row(
        "gaps",
        format!("{} sessions were told of one", grouped(books.gaps)),
    );
    let share = used as f64 / 1e4 / took.as_secs_f64().max(1e-3);
    report.fact("generator_cpu_percent", share);
    report.row("own CPU", format!("{share:.0} % of a core"));
    let missing = u64::from(*connections).saturating_sub(books.joined as u64);
    report.missing(missing);
    report
}

/// How connections came.
#[derive(Debug, PartialEq, Eq)]
struct Accepts {
    /// In each second since the loss.
    seconds: Vec<u64>,
    /// The most within a second, whenever it begins.
    busiest: u64,
}

impl Accepts {
    fn new(moments: &[Instant], lost: Instant) -> Self {
        let mut moments: Vec<Duration> = moments
            .iter()
            .map(|at| at.saturating_duration_since(lost))
            .collect();
        moments.sort_unstable();
        let mut seconds = Vec::new();
        for moment in &moments {
            let at = usize::try_from(moment.as_secs()).unwrap_or(usize::MAX);
            // The patience is an hour at most.
            if at >= seconds.len() && at <= 3600 {
                seconds.resize(at + 1, 0);
            }
            if let Some(count) = seconds.get_mut(at) {
                *count += 1;
            }
        }
        let within = |(at, from): (usize, &Duration)| {
            moments.partition_point(|own| *own < *from + Duration::from_secs(1)) - at
        };
        let busiest = moments.iter().enumerate().map(within).max();
        Self {
            seconds,
            busiest: busiest.unwrap_or_default() as u64,
        }
    }
}

/// Members of a room.
const ROOM: usize = 10;
/// Sessions that open at a time.
const AT_ONCE: usize = 100;
/// How often the books are looked at.
const LOOK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_are_counted_by_the_second_and_within_any() {
        let lost = Instant::now();
        let at = |millis: &u64| lost + Duration::from_millis(*millis);
        let moments: Vec<Instant> = [2500, 100, 900, 1000, 1099, 1100].iter().map(at).collect();
        let accepts = Accepts::new(&moments, lost);
        assert_eq!(accepts.seconds, [2, 3, 1]);
        assert_eq!(accepts.busiest, 4);
        let nobody = Accepts::new(&[], lost);
        assert_eq!((nobody.seconds, nobody.busiest), (vec![], 0));
    }
}
