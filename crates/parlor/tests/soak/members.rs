//! Members that come, go, stall and come back.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    Place,
    book::{Checker, LAST, Tally, Word},
    member::{Door, Heard, Member},
    support::{TestServer, frame},
};

/// What a member's socket takes in while it is not read, in bytes.
const SOCKET_BYTES: usize = 16 * 1024;
/// How long a member waits for the next message. Somebody speaks all the time.
const PATIENCE: Duration = Duration::from_secs(20);

/// One member's visits to a room, on all doors.
pub(crate) struct Tour<'a> {
    server: &'a TestServer,
    place: &'a Place,
    random: Random,
    seed: u32,
    checker: Checker,
}

/// How a visit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// With a Close frame, where there is one.
    Politely,
    /// The connection is just dropped.
    Abruptly,
    /// The server has ended it.
    Cut,
    /// It has heard the last word.
    Done,
}

impl<'a> Tour<'a> {
    pub(crate) fn new(server: &'a TestServer, place: &'a Place, seed: u32) -> Self {
        Self {
            server,
            place,
            random: Random(u64::from(seed) * 0x9e37_79b9 + 1),
            seed,
            checker: Checker::default(),
        }
    }

    /// Visits the room until the last word is heard.
    pub(crate) fn run(mut self) -> Tally {
        loop {
            let stopping = self.place.stopping.load(Ordering::Relaxed);
            // Now and then somebody new comes in its place; not when it might be too late.
            if self.random.below(20) == 0 && !stopping {
                self.checker.begin_anew();
            }
            let leaving = self.visit();
            self.checker.tally.visits += 1;
            match leaving {
                Leaving::Done => break,
                Leaving::Cut => self.checker.tally.cuts += 1,
                Leaving::Politely | Leaving::Abruptly => {}
            }
        }
        self.checker.end(self.place.log.offset_of(LAST));
        self.checker.tally
    }

    /// Comes, hears some messages, perhaps stalls, and goes.
    fn visit(&mut self) -> Leaving {
        let doors = Door::ALL;
        let door = doors[self.random.below(doors.len())];
        let since = self.checker.last().map(|last| self.place.log.id(last));
        let stream = self.server.tcp_with_buffer(SOCKET_BYTES);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut member, gap) = Member::enter(stream, door, self.place.name, since.as_deref());
        if let Some(oldest) = gap {
            self.gap(oldest.as_deref());
        }
        if since.is_some() && matches!(door, Door::All | Door::Signal) {
            match self.hear_replay(&mut member) {
                Leaving::Abruptly => {}
                ended => return ended,
            }
        }
        let (stay, stall) = (self.random.below(150), self.random.below(6) == 0);
        let leaving = self.hear_some(&mut member, stay);
        if leaving != Leaving::Abruptly {
            return leaving;
        }
        if stall {
            // Long enough for some outboxes to be full, and for some to stand still.
            let pause = 100 + self.random.below(2500) as u64;
            self.place.log.wait(Duration::from_millis(pause));
            let leaving = self.hear_some(&mut member, 300);
            if leaving != Leaving::Abruptly {
                return leaving;
            }
        }
        if self.random.below(2) == 0 {
            return Leaving::Abruptly;
        }
        self.say_goodbye(&mut member)
    }

    /// Hears so many messages, or more where the end is near: [`Leaving::Abruptly`] then, when
    /// nothing else has ended the visit.
    fn hear_some(&mut self, member: &mut Member, count: usize) -> Leaving {
        let mut left = count;
        while left > 0 || self.place.stopping.load(Ordering::Relaxed) {
            left = left.saturating_sub(1);
            let heard = member.hear();
            if let Some(ended) = self.note(heard) {
                return ended;
            }
        }
        Leaving::Abruptly
    }

    /// What was missed, whose gap is told behind it. A visit that ends before that counts for
    /// nothing: the next one asks for the same again.
    fn hear_replay(&mut self, member: &mut Member) -> Leaving {
        let mut missed = Vec::new();
        let gap = loop {
            match member.hear() {
                message @ Heard::Message(..) => missed.push(message),
                Heard::Resumed => break None,
                Heard::Gap(oldest) => break Some(oldest),
                other => return self.note(other).unwrap_or(Leaving::Cut),
            }
        };
        if let Some(oldest) = gap {
            self.gap(oldest.as_deref());
        }
        for message in missed {
            if let Some(ended) = self.note(message) {
                return ended;
            }
        }
        Leaving::Abruptly
    }

    /// Notes what was heard; tells if that is the end of the visit.
    fn note(&mut self, heard: Heard) -> Option<Leaving> {
        match heard {
            Heard::Message(text, id) => {
                let Some(word) = Word::parse(&text) else {
                    self.checker.tally.wrong += 1;
                    return None;
                };
                let offset = match id {
                    Some(id) => self.offset(&id),
                    // Raw members are not told ids.
                    None => self.place.log.offset_of(word),
                };
                if self.place.log.word_at(offset) != Some(word) {
                    self.checker.tally.wrong += 1;
                }
                self.checker.hear(offset);
                (word == LAST).then_some(Leaving::Done)
            }
            Heard::Gap(oldest) => {
                self.gap(oldest.as_deref());
                None
            }
            // The only reason that the server has to end a visit.
            Heard::Closed(0 | 1013) => Some(Leaving::Cut),
            Heard::Silence if self.checker.last().is_none() => {
                // It came new, and after the last word.
                assert!(self.place.stopping.load(Ordering::Relaxed));
                Some(Leaving::Done)
            }
            other => unreachable!("member {} of {}: {other:?}", self.seed, self.place.name),
        }
    }

    fn gap(&mut self, oldest: Option<&str>) {
        let oldest = oldest.map(|oldest| self.offset(oldest));
        self.checker.gap(oldest);
    }

    /// The place that an id tells, which is of this room's only life.
    fn offset(&self, id: &str) -> u64 {
        let (_, offset) = id.split_once('-').unwrap();
        let offset = offset.parse().unwrap();
        assert_eq!(id, self.place.log.id(offset));
        offset
    }

    /// Says goodbye, and hears what was on its way, up to the end.
    fn say_goodbye(&mut self, member: &mut Member) -> Leaving {
        if matches!(member, Member::Sse(_)) {
            return Leaving::Abruptly;
        }
        let close = frame(0x88, &1000_u16.to_be_bytes());
        // The other side may have closed first.
        let _ = stream(member).write_all(&close);
        let began = Instant::now();
        loop {
            match member.hear() {
                Heard::Closed(0 | 1000 | 1013) => return Leaving::Politely,
                Heard::Closed(code) => unreachable!("closed with {code}"),
                heard => {
                    if let Some(ended) = self.note(heard) {
                        return ended;
                    }
                }
            }
            assert!(began.elapsed() < PATIENCE, "no end after a goodbye");
        }
    }
}

const fn stream(member: &Member) -> &TcpStream {
    match member {
        Member::Raw(client) => &client.stream,
        Member::Json(peer) => &peer.client.stream,
        Member::Sse(events) => &events.stream,
    }
}

/// Numbers that look random, the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or_default()
    }
}
