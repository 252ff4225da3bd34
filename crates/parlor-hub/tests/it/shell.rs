//! What a shell does with the effects of a verb, and what the members then compare.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::hash::Hasher;

use parlor_hub::{
    Effect, Effects, Joined, MemberKey, Message, MessageId, Notice, Refused, Request, RoomKey,
    RoomName, ShardId, Word,
};

use crate::memory::gap_of;
use crate::model::{Answer, Heard, Model, Of, Tag};
use crate::world::{Checked, Fault, Known, Letter, World, check_message};

impl World {
    /// Lets the oracle take what the home has just taken, then looks at the effects.
    pub(crate) fn perform(
        &mut self,
        shard: ShardId,
        tags: VecDeque<(ShardId, Tag)>,
        mut effects: Effects,
    ) -> Checked {
        let mut asks = VecDeque::new();
        for (home, tag) in tags {
            if home != shard {
                asks.push_back((home, tag));
                continue;
            }

            if let Some(onward) = self.model.apply(tag)?
                && let Tag::Publish { rooms, .. } = &onward
            {
                asks.push_back((self.home_of(&rooms[0]), onward));
            }
        }
        for effect in effects.drain() {
            if let Some(digest) = &mut self.digest {
                digest.write(format!("{effect:?}").as_bytes());
            }
            self.look(shard, effect, &mut asks)?;
        }
        if self.fault != Fault::Nothing {
            // A lost word was to send these.
            for (home, tag) in asks {
                self.post(
                    shard,
                    home,
                    Letter {
                        word: None,
                        tag: Some(tag),
                    },
                );
            }
        } else if !asks.is_empty() {
            return Err(format!("not sent: {asks:?}"));
        }
        let hub = &self.hubs[usize::from(shard.0)];
        self.model.check_counts(shard, hub.counts())?;
        for (key, known) in &mut self.known[usize::from(shard.0)] {
            let mut members = hub.members_of(*key).to_vec();
            members.sort_unstable();
            known.seated.sort_unstable();
            if members != known.seated || hub.room_name(*key) != Some(&known.name) {
                return Err(format!(
                    "{}: {members:?}, not {:?}",
                    known.name, known.seated
                ));
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        shard: ShardId,
        effect: Effect,
        asks: &mut VecDeque<(ShardId, Tag)>,
    ) -> Checked {
        let at = usize::from(shard.0);
        match effect {
            Effect::Deliver {
                room,
                message,
                except,
            } => self.deliver(at, room, &message, except),
            Effect::DeliverTo { member, message } => self.deliver_to(at, member, &message),
            Effect::Notice {
                room,
                notice,
                except,
            } => self.notice(at, room, &notice, except),
            Effect::Joined(joined) => self.joined(at, &joined),
            Effect::Left {
                member,
                room,
                token,
            } => self.left(at, member, room, token),
            Effect::Freed { room } => match self.known[at].remove(&room) {
                Some(known) if !known.seated.is_empty() => {
                    Err(format!("{} freed under its members", known.name))
                }
                _ => Ok(()),
            },
            Effect::Published {
                member,
                token,
                id,
                receivers,
            } => {
                self.here(at, member)?;
                if let Some(id) = id {
                    self.model.check_epoch(Of::Token(token), id)?;
                }
                let offset = id.map(|id| id.offset);
                self.answer(token, &Answer::Published { offset, receivers })
                    .map(drop)
            }
            Effect::Listed {
                member,
                token,
                roster,
                ..
            } => {
                self.here(at, Some(member))?;
                self.count("lists");
                let answer = Answer::Listed {
                    peers: roster.peers,
                    more: roster.more,
                };
                self.answer(token.ok_or("no token")?, &answer).map(drop)
            }
            Effect::Refused {
                member,
                request,
                token,
                reason,
            } => {
                self.here(at, member)?;
                token.map_or(Ok(()), |token| self.refused(token, request, reason))
            }
            Effect::Send { to, word } => self.sent(shard, to, word, asks),
        }
    }

    fn sent(
        &mut self,
        shard: ShardId,
        to: ShardId,
        word: Word,
        asks: &mut VecDeque<(ShardId, Tag)>,
    ) -> Checked {
        // An ask belongs to the verb that was just called; the oracle's tag goes with it.
        let is_ask = debug_prefix(&word, "Word(Ask".len()) == "Word(Ask";
        let tag = if is_ask { asks.pop_front() } else { None };
        if is_ask && tag.as_ref().is_none_or(|(home, _)| *home != to) {
            return Err(format!("sent to {to:?}, expected {tag:?}"));
        }
        let tag = tag.map(|(_, tag)| tag);
        self.post(
            shard,
            to,
            Letter {
                word: Some(word),
                tag,
            },
        );
        Ok(())
    }

    pub(crate) fn post(&mut self, from: ShardId, to: ShardId, mut letter: Letter) {
        self.words += 1;
        let mailbox = &mut self.mail[usize::from(from.0)][usize::from(to.0)];
        if matches!(self.fault, Fault::Nothing | Fault::Done) {
            mailbox.push_back(letter);
            return;
        }
        let room = letter.word.as_ref().and_then(room_of_message);
        let before = mailbox.back_mut().and_then(|before| before.word.as_mut());
        match self.fault {
            Fault::Drop(at) if at <= self.words && room.is_some() => {
                letter.word = None;
                self.fault = Fault::Done;
            }
            Fault::Twice(at) if at <= self.words && room.is_some() => {
                let word = letter.word.clone();
                mailbox.push_back(letter);
                letter = Letter { word, tag: None };
                self.fault = Fault::Done;
            }
            Fault::Swap(at) if at <= self.words && room.is_some() => {
                if let (Some(word), Some(before)) = (&mut letter.word, before)
                    && room_of_message(before) == room
                {
                    std::mem::swap(before, word);
                    self.fault = Fault::Done;
                }
            }
            _ => {}
        }
        mailbox.push_back(letter);
    }

    fn deliver(
        &mut self,
        at: usize,
        room: RoomKey,
        message: &Message,
        except: Option<MemberKey>,
    ) -> Checked {
        let number = check_message(message)?;
        let known = self.known[at].get(&room).ok_or("a message to no room")?;
        if known.name != message.room {
            return Err(format!("a message of {} in {}", message.room, known.name));
        }
        let id = message.id.ok_or("a message without an id")?;
        let heard = Heard::Message {
            number,
            offset: id.offset,
            from: message.from.clone(),
        };
        let members: Vec<MemberKey> = known
            .seated
            .iter()
            .copied()
            .filter(|member| Some(*member) != except)
            .collect();
        self.saw(&message.room, id);
        if members.is_empty() {
            return Err("delivered to nobody".to_owned());
        }
        for member in members {
            self.hear(at, member, &message.room, &heard)?;
            let client = self.by_key[at][&member];
            let session = self.clients[client].held[&message.room].session;
            let session = session.ok_or("not seated")?;
            self.model.check_epoch(Of::Session(session), id)?;
            self.offer(client, Some((room, session)), message)?;
        }
        Ok(())
    }

    fn deliver_to(&mut self, at: usize, member: MemberKey, message: &Message) -> Checked {
        if message.id.is_some() {
            return Err("a message to one member has an id".to_owned());
        }
        let number = check_message(message)?;
        let heard = Heard::Direct {
            number,
            from: message.from.clone(),
        };
        self.hear(at, member, &message.room, &heard)?;
        self.offer(self.by_key[at][&member], None, message)
    }

    fn notice(
        &mut self,
        at: usize,
        room: RoomKey,
        notice: &Notice,
        except: Option<MemberKey>,
    ) -> Checked {
        let heard = Model::heard_of(notice);
        let known = self.known[at].get(&room).ok_or("a notice to no room")?;
        let name = known.name.clone();
        for member in known.seated.clone() {
            if Some(member) != except {
                self.hear(at, member, &name, &heard)?;
            }
        }
        Ok(())
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn hear(&mut self, at: usize, member: MemberKey, room: &RoomName, heard: &Heard) -> Checked {
        self.count(match heard {
            Heard::Message { .. } => "messages",
            Heard::Direct { .. } => "messages to one member",
            Heard::Came(_) | Heard::Went(_) | Heard::Changed(_) => "notices",
        });
        let client = *self.by_key[at]
            .get(&member)
            .ok_or("delivered to a stale member")?;
        let held = self.clients[client].held.get(room);
        let session = held
            .and_then(|held| held.session)
            .ok_or("delivered to no member")?;
        self.model.hear(session, heard)
    }

    fn joined(&mut self, at: usize, joined: &Joined) -> Checked {
        let client = *self.by_key[at]
            .get(&joined.member)
            .ok_or("a stale member joined")?;
        let name = self.hubs[at]
            .room_name(joined.room)
            .ok_or("joined no room")?
            .clone();
        let token = joined.token.ok_or("no token")?;
        let roster = joined
            .roster
            .clone()
            .map(|roster| (roster.peers, roster.more));
        let Some(Answer::Joined { session, .. }) = self.model.answers.get(&token) else {
            return Err("joined unasked".to_owned());
        };
        let session = *session;
        self.model.check_epoch(Of::Session(session), joined.head)?;
        let answer = Answer::Joined {
            session,
            head: joined.head.offset,
            members: joined.members,
            roster,
            replay: replay_of(joined)?,
            gap: gap_of(joined.gap, joined.head)?,
        };
        self.answer(token, &answer)?;
        self.saw(&name, joined.head);
        self.count("joins");
        if !joined.replay.is_empty() {
            self.count(if joined.gap.is_some() {
                "replays after a gap"
            } else {
                "replays"
            });
        } else if joined.gap.is_some() {
            self.count("gaps without a replay");
        }
        let known = self.known[at].entry(joined.room);
        let known = known.or_insert_with(|| Known {
            name: name.clone(),
            seated: Vec::new(),
        });
        known.seated.push(joined.member);
        let held = self.clients[client]
            .held
            .get_mut(&name)
            .ok_or("joined the wrong room")?;
        held.in_flight -= 1;
        match held.session.replace(session) {
            None => Ok(()),
            Some(_) => Err("joined twice".to_owned()),
        }
    }

    fn left(&mut self, at: usize, member: MemberKey, room: RoomKey, token: Option<u64>) -> Checked {
        let client = *self.by_key[at].get(&member).ok_or("a stale member left")?;
        let known = self.known[at].get_mut(&room).ok_or("left no room")?;
        known.seated.retain(|seated| *seated != member);
        let name = known.name.clone();
        self.forget_stay(client, room);
        let held = self.clients[client]
            .held
            .get_mut(&name)
            .ok_or("left the wrong room")?;
        held.in_flight -= 1;
        let session = held.session.take().ok_or("left without being there")?;
        if held.in_flight == 0 {
            self.clients[client].held.remove(&name);
        }
        self.answer(token.ok_or("no token")?, &Answer::Left { session })?;
        self.check_complete(session)
    }

    fn refused(&mut self, token: u64, request: Request, reason: Refused) -> Checked {
        self.count(match reason {
            Refused::LimitRooms { .. } => "refused rooms",
            Refused::LimitMembersPerRoom { .. } => "full rooms",
            Refused::UnknownPeer => "unknown peers",
            _ => "other refusals",
        });
        let (client, room) = self.answer(token, &Answer::Refused(reason))?;
        let moves = matches!(request, Request::Join(_) | Request::Leave(_));
        if let Some(client) = client.filter(|_| moves) {
            let held = self.clients[client]
                .held
                .get_mut(&room)
                .ok_or("refused unasked")?;
            held.in_flight -= 1;
            if held.in_flight == 0 && held.session.is_none() {
                self.clients[client].held.remove(&room);
            }
        }
        Ok(())
    }

    /// Remembers some of the ids that members were told.
    fn saw(&mut self, room: &RoomName, id: MessageId) {
        if self.seen.len() < 200 {
            self.seen.push((room.clone(), id));
        } else {
            let at = self.random.below(200);
            self.seen[at] = (room.clone(), id);
        }
    }

    fn here(&self, at: usize, member: Option<MemberKey>) -> Checked {
        match member {
            Some(member) if !self.by_key[at].contains_key(&member) => {
                Err("an answer to a stale member".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Compares an answer with the oracle's; returns who asked, and in which room.
    fn answer(&mut self, token: u64, answer: &Answer) -> Result<(Option<usize>, RoomName), String> {
        let expected = self.model.answers.remove(&token);
        if expected.as_ref() != Some(answer) {
            return Err(format!("answered {answer:?}, expected {expected:?}"));
        }
        self.tokens
            .remove(&token)
            .ok_or_else(|| "answered twice".to_owned())
    }

    pub(crate) fn check_complete(&self, session: usize) -> Checked {
        let session = &self.model.sessions[session];
        if session.heard != session.expected.len() {
            let missed = session.expected.get(session.heard);
            return Err(format!("never heard {missed:?} in {}", session.room));
        }
        Ok(())
    }
}

/// What a returning member was told, if all of it is of this life of the room.
fn replay_of(joined: &Joined) -> Result<Vec<Heard>, String> {
    let mut replay = Vec::new();
    for message in &joined.replay {
        let id = message.id.ok_or("a replayed message without an id")?;
        if id.epoch != joined.head.epoch {
            return Err(format!("replayed {id} at {}", joined.head));
        }
        replay.push(Heard::Message {
            number: check_message(message)?,
            offset: id.offset,
            from: message.from.clone(),
        });
    }
    Ok(replay)
}

/// The room, if the word carries a message to a room.
fn room_of_message(word: &Word) -> Option<String> {
    let text = debug_prefix(word, 400);
    let message = text.strip_prefix("Word(Tell(Deliver {")?;
    let (_, room) = message.split_once("room: ")?;
    Some(room.split_once(", event")?.0.to_owned())
}

/// The beginning of the debug form; the whole would be most of a run's time.
fn debug_prefix(word: &Word, bytes: usize) -> String {
    struct Prefix(String, usize);
    impl Write for Prefix {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0
                .extend(text.chars().take(self.1.saturating_sub(self.0.len())));
            if self.0.len() < self.1 {
                Ok(())
            } else {
                Err(fmt::Error)
            }
        }
    }
    let mut prefix = Prefix(String::new(), bytes);
    let _cut_off = write!(prefix, "{word:?}");
    prefix.0
}
