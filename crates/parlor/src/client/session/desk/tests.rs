//! What a session makes of losses, told by the texts that go and come.

use parlor_hub::{MemberId, MessageId, ShardId};
use tokio::sync::{Semaphore, mpsc};

use super::{super::handle::Shared, *};
use crate::client::{
    SocketError,
    session::{Handle, Reason, Receipt, Room},
};

/// A session in room `tea` without a connection.
struct Client {
    desk: Desk,
    room: Room,
    orders: mpsc::Receiver<Command>,
}

impl Client {
    fn new() -> Self {
        let (commands, orders) = mpsc::channel(64);
        let handle = Handle::new(Shared {
            commands,
            slots: Arc::new(Semaphore::new(64)),
            bytes: Arc::new(Semaphore::new(4096)),
            publish_bytes_max: 4096,
            time_to_live: Duration::ZERO,
            detached: Arc::default(),
        });
        let mut client = Self {
            desk: Desk::new(Duration::from_secs(60)),
            room: handle.join("tea").unwrap(),
            orders,
        };
        client.said();
        client.desk.lost();
        client
    }

    /// What goes to the server now.
    fn said(&mut self) -> Vec<String> {
        while let Ok(command) = self.orders.try_recv() {
            self.desk.take(command);
        }
        std::iter::from_fn(|| self.desk.next_text()).collect()
    }

    fn publish(&self, text: &str) -> Receipt {
        self.room.try_publish(text).unwrap()
    }

    /// A new connection, on which this client is member `id`; `others` are there.
    fn returns(&mut self, id: u32, last: u64, others: &[u32]) {
        let said = self.said();
        assert!(said.last().is_some_and(|text| text.contains("tea")));
        let peer = |id: &u32| format!(r#"{{"id":"{}"}}"#, member(*id));
        let peers: Vec<String> = others.iter().map(peer).collect();
        self.desk.hear(&format!(
            r#"{{"type":"joined","room":"tea","id":"{}","last":"{}","peers":[{}]}}"#,
            member(id),
            place(1, last),
            peers.join(",")
        ));
    }

    fn hears(&mut self, id: MessageId, from: u32, text: &str) {
        self.desk.hear(&format!(
            r#"{{"type":"message","room":"tea","id":"{id}","from":"{}","event":"message","data":"{text}"}}"#,
            member(from)
        ));
    }

    fn resumed(&mut self, gap: bool) {
        self.desk
            .hear(&format!(r#"{{"type":"resumed","room":"tea","gap":{gap}}}"#));
    }

    /// The messages and gaps since this was last asked.
    fn told(&mut self) -> Vec<String> {
        let events = self.desk.events.drain(..);
        let told = events.filter_map(|event| match event {
            Event::Message(message) => message.payload.as_text().map(str::to_owned),
            Event::Gap { .. } => Some("gap".to_owned()),
            Event::Dropped { count, .. } => Some(format!("{count} dropped")),
            _ => None,
        });
        told.collect()
    }
}

fn member(n: u32) -> MemberId {
    MemberId::new(ShardId(0), n, [7; 10])
}

fn place(epoch: u32, offset: u64) -> MessageId {
    MessageId::new(epoch, offset)
}

/// What became of a message, where that is known.
fn outcome(receipt: &mut Receipt) -> Option<Result<Option<MessageId>, SessionError>> {
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(receipt).poll(cx) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn what_was_not_published_is_sent_again_and_nothing_else() {
    let mut client = Client::new();
    client.returns(1, 5, &[]);
    let mut receipts = ["a", "b", "a"].map(|text| client.publish(text));
    assert_eq!(client.said().len(), 3);
    client.desk.lost();
    // The old connection is still in the room: it may yet say something.
    client.returns(2, 6, &[1]);
    client.hears(place(1, 6), 1, "a");
    client.resumed(false);
    assert_eq!(outcome(&mut receipts[0]), Some(Ok(Some(place(1, 6)))));
    assert!(client.said().is_empty());
    client.hears(place(1, 7), 1, "b");
    assert_eq!(outcome(&mut receipts[1]), Some(Ok(Some(place(1, 7)))));
    client.desk.hear(&format!(
        r#"{{"type":"peer-left","room":"tea","data":"{}"}}"#,
        member(1)
    ));
    let again = client.said();
    assert!(matches!(&again[..], [text] if text.contains(r#""data":"a""#)));
    assert_eq!(outcome(&mut receipts[2]), None);
    assert!(client.told().is_empty(), "own messages are not told");
}

#[test]
fn what_may_have_been_published_in_a_gap_is_not_sent_again() {
    type Fate = fn(&mut Client);
    let fates: [(&str, Fate, &[&str]); 4] = [
        ("a gap", |client| client.resumed(true), &["gap"]),
        (
            "a hole in what is replayed",
            |client| {
                client.hears(place(1, 7), 3, "x");
                client.resumed(false);
            },
            &["gap", "x"],
        ),
        (
            "a gap, of which the connection tells before it is lost",
            |client| {
                client.hears(place(9, 1), 3, "x");
                client.desk.lost();
                client.returns(4, 1, &[]);
                client.resumed(false);
            },
            &["gap", "x"],
        ),
        (
            "something dropped",
            |client| {
                client
                    .desk
                    .hear(r#"{"type":"dropped","room":"tea","count":2}"#);
                client.resumed(false);
            },
            &["2 dropped"],
        ),
    ];
    for (what, fate, told) in fates {
        let mut client = Client::new();
        client.returns(1, 5, &[]);
        let mut receipt = client.publish("a");
        client.said();
        client.desk.lost();
        client.returns(2, 7, &[]);
        fate(&mut client);
        assert_eq!(
            outcome(&mut receipt),
            Some(Err(SessionError::Unconfirmed)),
            "{what}"
        );
        assert!(client.said().is_empty(), "{what}");
        assert_eq!(client.told(), told, "{what}");
    }
}

#[test]
fn what_was_dropped_is_told_even_where_the_server_cannot() {
    for told in [true, false] {
        let mut client = Client::new();
        client.returns(1, 5, &[]);
        client.hears(place(1, 8), 3, "x");
        if told {
            client
                .desk
                .hear(r#"{"type":"dropped","room":"tea","count":2}"#);
        }
        client.desk.lost();
        client.returns(2, 8, &[]);
        client.resumed(false);
        let expected: &[&str] = if told {
            &["x", "2 dropped"]
        } else {
            &["x", "gap"]
        };
        assert_eq!(client.told(), expected);
    }
}

#[test]
fn own_messages_leave_no_hole() {
    let mut client = Client::new();
    client.returns(1, 5, &[]);
    let mut receipt = client.publish("a");
    let said = client.said();
    let reference = said[0]
        .rsplit_once("\"ref\":")
        .unwrap()
        .1
        .trim_end_matches('}');
    // The acknowledgement overtakes what came before.
    client.desk.hear(&format!(
        r#"{{"type":"ack","ref":{reference},"id":"{}"}}"#,
        place(1, 7)
    ));
    assert_eq!(outcome(&mut receipt), Some(Ok(Some(place(1, 7)))));
    client.hears(place(1, 6), 3, "x");
    client.hears(place(1, 8), 3, "y");
    client.desk.lost();
    client.returns(2, 9, &[]);
    client.hears(place(1, 8), 3, "y");
    client.hears(place(1, 9), 3, "z");
    client.resumed(false);
    assert_eq!(client.told(), ["x", "y", "z"]);
}

#[test]
fn of_many_attempts_the_last_one_waits_to_be_taken() {
    let mut client = Client::new();
    for seconds in 1..1000 {
        client.desk.disconnected(Event::Disconnected {
            reason: Reason::Broken(SocketError::Cut),
            retry_in: Duration::from_secs(seconds),
        });
    }
    let events: Vec<Event> = client.desk.events.drain(..).collect();
    assert!(matches!(
        &events[..],
        [Event::Disconnected { retry_in, .. }] if retry_in.as_secs() == 999
    ));
}

#[test]
fn joins_without_end_are_refused_in_a_bounded_way() {
    let mut client = Client::new();
    for n in 0..2000 {
        client
            .desk
            .take(Command::Join(n.to_string().into(), Past::Nothing));
    }
    assert_eq!(client.desk.rooms.len(), ROOMS_MAX);
    assert_eq!(client.desk.events.len(), COMPLAINTS_MAX);
}

#[test]
fn nonsense_is_told() {
    let mut client = Client::new();
    client.desk.hear("{");
    let events: Vec<Event> = client.desk.events.drain(..).collect();
    assert!(matches!(&events[..], [Event::Error { code, .. }] if code == "malformed"));
}
