//! What the hub wants done.

use std::sync::Arc;

use parlor_hub::{Effect, MemberKey, Message, Priority, RoomKey};

use super::{Mail, Shard, batch::Entry, outside::Answer};
use crate::door::{Item, News, Then};

impl Shard {
    /// Performs the hub's effects until there are none, in the order in which they were given: what
    /// a session causes while it hears of one comes after all that were there before.
    pub(super) fn perform(&mut self) {
        self.undone.extend(self.effects.drain());
        if std::mem::replace(&mut self.performing, true) {
            return;
        }
        while let Some(effect) = self.undone.pop_front() {
            self.perform_one(effect);
            self.undone.extend(self.effects.drain());
        }
        self.performing = false;
        self.flush_large();
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Deliver {
                room,
                message,
                except,
            } => {
                let publisher = self.local_publisher(&message);
                let hearers = self.tools.hearers(&self.hub, room, &message, except);
                let item = Item::Message(message);
                self.append(room, Entry { item, hearers }, publisher);
            }
            Effect::DeliverTo { member, message } => self.deliver_to(member, &message),
            Effect::Joined(joined) => {
                let batch = self.batch(joined.room);
                batch.pass_over(joined.member);
                self.tell(joined.member, &News::Joined(&joined));
            }
            Effect::Left {
                member,
                room,
                token,
            } => {
                if self.connections.is_current(member) {
                    self.deliver_rest(room, member);
                    self.batch(room).forget(member);
                    let count = self.connections.forget_room(member, room);
                    if count > 0 {
                        self.tell(member, &News::Dropped { room, count });
                    }
                    self.tell(member, &News::Left { token });
                }
            }
            Effect::Notice {
                room,
                notice,
                except,
            } => {
                if let Some(name) = self.hub.room_name(room) {
                    let item = Item::Notice(name.clone(), notice);
                    let hearers = except.into();
                    self.append(room, Entry { item, hearers }, None);
                }
            }
            Effect::Freed { room } => self.forget_room(room),
            Effect::Send { to, word } => {
                let outgoing = &mut self.outgoing[usize::from(to.0)];
                outgoing.bytes += word.cost();
                outgoing.mail.push(Mail::Word(self.id, word));
            }
            answer
            @ (Effect::Listed { .. } | Effect::Refused { .. } | Effect::Published { .. }) => {
                self.pass_on(&answer);
            }
        }
    }

    /// Hands an answer to the one who asked: a session, or somebody outside the shards.
    fn pass_on(&mut self, answer: &Effect) {
        let (member, news, to_outside) = match answer {
            Effect::Listed {
                member,
                token,
                roster,
                ..
            } => {
                let token = *token;
                return self.tell(*member, &News::Listed { token, roster });
            }
            Effect::Refused {
                member,
                request,
                token,
                reason,
            } => {
                let (request, token, reason) = (*request, *token, *reason);
                let answered = self.answer(token, Answer::Refused(reason));
                (
                    *member,
                    News::Refused {
                        request,
                        token,
                        reason,
                    },
                    answered,
                )
            }
            Effect::Published {
                member,
                token,
                id,
                receivers,
            } => {
                let (token, id, receivers) = (*token, *id, *receivers);
                let answered = self.answer(Some(token), Answer::Published { id, receivers });
                (*member, News::Published { token, id }, answered)
            }
            _ => return,
        };
        if let Some(member) = member.filter(|_| !to_outside) {
            self.tell(member, &news);
        }
    }

    /// The connection here that published a message, if it is one of ours.
    fn local_publisher(&self, message: &Message) -> Option<MemberKey> {
        let id = message.from.as_ref()?.id;
        (id.shard() == self.id && (id.slot() as usize) < self.connections.hot.len())
            .then(|| self.connections.key(id.slot()))
    }

    /// Delivers a message to one member. Unless it is urgent, what was said in the room before
    /// comes first.
    fn deliver_to(&mut self, member: MemberKey, message: &Arc<Message>) {
        if self.connections.is_open(member) {
            if message.priority != Priority::High
                && let Some(room) = self.hub.room_key(&message.room)
            {
                self.deliver_rest(room, member);
                self.batch(room).pass_over(member);
            }
            let item = Item::Message(Arc::clone(message));
            self.call(member, |session, turn| {
                session.deliver(&mut std::iter::once(&item), turn.tools, turn.reply);
                Then::Continue
            });
        }
    }

    /// Tells a member's session what the hub has answered.
    pub(super) fn tell(&mut self, member: MemberKey, news: &News<'_>) {
        if self.connections.is_open(member) {
            self.call(member, |session, turn| session.hear(news, turn));
        }
    }

    fn forget_room(&mut self, room: RoomKey) {
        if let Some(batch) = self.batches.get_mut(room.index()) {
            batch.entries.clear();
            batch.late.clear();
            let flushing = batch.flush.take().map_or(0, |flush| flush.bytes);
            self.unflushed_bytes -= std::mem::take(&mut batch.bytes) + flushing;
        }
    }
}
