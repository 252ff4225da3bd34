//! What handles ask of many sockets.

use std::sync::Arc;

use parlor_hub::{Audience, Effects, Hub, MemberKey, RoomName};
use parlor_proto::socketio::PacketType;

use super::{
    hub_room,
    recovery::{Pid, release, seek, unclaim},
    said::{Filter, MAIN, Said},
    sockets::{Sockets, is_socket_id},
    whole,
};
use crate::{
    door::Tools,
    embed::socketio::{
        About, AckSink, Act, Addressees, Packed, Socket as Handle, ToSocket, Wide, WideAct,
    },
};

/// Does what concerns this shard as a whole; returns what is to be done with sockets of it.
pub(crate) fn do_widely(
    wide: Wide,
    hub: &mut Hub,
    effects: &mut Effects,
    tools: &mut Tools,
) -> Vec<(MemberKey, ToSocket)> {
    let Wide { namespace, to, act } = wide;
    match act {
        WideAct::Publish {
            packed,
            from,
            volatile,
            compress,
        } => {
            let packet = packed.into_packet(PacketType::Event, &namespace);
            let mut said = Said::new(packet);
            said.volatile = volatile;
            said.plain = !compress;
            publish(said, &namespace, &to, from, (hub, effects, tools));
        }
        WideAct::Fetch(answer) => {
            let found = matching(&namespace, &to, &tools.sockets);
            let found = found.into_iter().map(|(_, handle)| handle);
            // Whoever asked may have gone.
            let _ = answer.send(found.collect());
        }
        WideAct::Count(answer) => {
            // As above.
            let _ = answer.send(matched(&namespace, &to, &tools.sockets).count());
        }
        WideAct::Session(pid, about) => {
            if let Some(pid) = Pid::parse(&pid, hub.shards()) {
                about_session(pid, about, tools);
            }
        }
        act => return acts(&namespace, &to, act, &tools.sockets),
    }
    Vec::new()
}

/// What is to be done with each of the sockets that are meant.
fn acts(
    namespace: &Arc<str>,
    to: &Addressees,
    act: WideAct,
    sockets: &Sockets,
) -> Vec<(MemberKey, ToSocket)> {
    let each = |found: Vec<(MemberKey, Handle)>, act: &dyn Fn(&Handle) -> Act| {
        let acts = found.into_iter().map(|(key, handle)| {
            let act = act(&handle);
            let namespace = Arc::clone(namespace);
            (key, ToSocket { namespace, act })
        });
        acts.collect()
    };
    let found = || matching(namespace, to, sockets);
    match act {
        WideAct::Ask {
            json,
            collector,
            compress,
            timeout,
        } => {
            let found = found();
            collector.sent(found.len());
            tell_asked(&found, &json, namespace);
            each(found, &|_| Act::Emit {
                packed: Packed::clone(&json),
                volatile: false,
                compress,
                ack: Some(AckSink::Many(collector.clone(), timeout)),
            })
        }
        WideAct::Join(rooms) => each(found(), &|handle| {
            rooms.iter().for_each(|room| handle.note_joined(room));
            Act::Join(rooms.clone(), None)
        }),
        WideAct::Leave(rooms) => {
            let found = found();
            let mut acts = Vec::new();
            for room in &rooms {
                let mut leave: Vec<_> = each(found.clone(), &|handle| {
                    handle.note_left(room);
                    Act::Leave(room.clone())
                });
                acts.append(&mut leave);
            }
            acts
        }
        WideAct::Shutdown => {
            let all = sockets.all().map(|(key, handle)| (key, handle.clone()));
            each(all.collect(), &|_| Act::Shutdown)
        }
        WideAct::Disconnect { close } => each(found(), &|_| Act::Disconnect { close }),
        // Those are nothing for a socket.
        WideAct::Publish { .. } | WideAct::Fetch(_) | WideAct::Count(_) | WideAct::Session(..) => {
            Vec::new()
        }
    }
}

/// Tells those who want to know that their sockets are sent an event.
fn tell_asked(found: &[(MemberKey, Handle)], event: &Packed, namespace: &str) {
    let mut watched = found
        .iter()
        .filter(|(_, it)| it.handlers().hears_outgoing())
        .peekable();
    if watched.peek().is_some() {
        let packet = event.clone().into_packet(PacketType::Event, namespace);
        watched.for_each(|(_, handle)| handle.tell_packet(&packet));
    }
}

/// Something with a session of which this shard knows where it is.
fn about_session(pid: Pid, about: About, tools: &mut Tools) {
    match about {
        About::Seek(namespace, offset, seeker) => seek(pid, (namespace, offset, seeker), tools),
        About::Release(namespace, seeker) => release(pid, namespace, seeker, tools),
        About::Unclaim(namespace, seeker) => unclaim(pid, namespace, seeker, tools),
        About::IsAt(to) => tools.sockets.note(pid, to, true),
        About::IsNoLongerAt(to) => tools.sockets.note(pid, to, false),
    }
}

/// Publishes an event in the rooms that are meant: one message in each, of which a member hears
/// one.
fn publish(
    mut said: Said,
    namespace: &str,
    to: &Addressees,
    from: Option<MemberKey>,
    (hub, effects, tools): (&mut Hub, &mut Effects, &mut Tools),
) {
    let shards = hub.shards();
    let only = match (to.rooms.as_slice(), to.except.as_slice()) {
        ([], []) => Some(whole(namespace)),
        ([room], []) if !is_socket_id(room, shards) => Some(shared_room(namespace, room)),
        _ => None,
    };
    match only {
        Some(Some(room)) => return say(said, &room, from, hub, effects),
        // Nobody can be in a room of that name.
        Some(None) => return,
        None => {}
    }
    let (ids, names): (Vec<_>, Vec<_>) = to
        .rooms
        .as_slice()
        .iter()
        .cloned()
        .partition(|room| is_socket_id(room, shards));
    let (except_sockets, except): (Vec<_>, Vec<_>) = to
        .except
        .as_slice()
        .iter()
        .cloned()
        .partition(|room| is_socket_id(room, shards));
    let mut rooms: Vec<RoomName> = names
        .iter()
        .filter_map(|room| shared_room(namespace, room))
        .collect();
    rooms.sort_unstable();
    rooms.dedup();
    let except_rooms = except
        .iter()
        .filter_map(|room| shared_room(namespace, room));
    let several = rooms.len() + usize::from(!ids.is_empty()) > 1;
    let filter = Filter {
        copies: several.then(|| tools.sockets.copies(tools.shard)),
        only: None,
        except_rooms: except_rooms.collect(),
        except_sockets,
    };
    if to.rooms.as_slice().is_empty() {
        rooms.extend(whole(namespace));
    }
    let plain = !several && to.except.as_slice().is_empty();
    said.filter = (!plain).then(|| Box::new(filter.clone()));
    let targets = rooms.into_iter().map(|room| (room, None));
    let own = (!ids.is_empty()).then(|| whole(namespace)).flatten();
    for (room, only) in targets.chain(own.map(|all| (all, Some(ids)))) {
        let mut said = said.clone();
        if only.is_some() {
            said.filter = Some(Box::new(Filter {
                only,
                ..filter.clone()
            }));
        }
        say(said, &room, from, hub, effects);
    }
}

/// The room that a name stands for, which is not copied in the main namespace.
fn shared_room(namespace: &str, room: &Arc<str>) -> Option<RoomName> {
    match namespace {
        MAIN => RoomName::from_shared(Arc::clone(room)).ok(),
        _ => hub_room(namespace, room),
    }
}

/// Publishes an event in a room, for everybody there but its sender.
fn say(said: Said, room: &RoomName, from: Option<MemberKey>, hub: &mut Hub, effects: &mut Effects) {
    let mut draft = said.into_draft();
    draft.audience = Audience::Others;
    match from {
        // A sender that has gone has said it all the same.
        Some(from) if hub.id_of(from).is_some() => {
            let _ = hub.publish_into(from, room, draft, effects);
        }
        _ => hub.publish_anonymous(room, draft, effects),
    }
}

/// The sockets of this shard that are meant.
fn matching(namespace: &str, to: &Addressees, sockets: &Sockets) -> Vec<(MemberKey, Handle)> {
    matched(namespace, to, sockets)
        .map(|(key, handle)| (key, handle.clone()))
        .collect()
}

fn matched<'a>(
    namespace: &'a str,
    to: &'a Addressees,
    sockets: &'a Sockets,
) -> impl Iterator<Item = (MemberKey, &'a Handle)> {
    sockets.of_namespace(namespace).filter(|(_, handle)| {
        let is_in = |rooms: &[Arc<str>]| rooms.iter().any(|room| handle.is_in(room));
        let rooms = to.rooms.as_slice();
        (rooms.is_empty() || is_in(rooms)) && !is_in(to.except.as_slice())
    })
}
