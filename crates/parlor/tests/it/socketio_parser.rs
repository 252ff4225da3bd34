//! Socket.IO with a parser of the embedder's: JSON objects, and attachments behind them.

use std::{
    num::NonZero,
    sync::{Arc, Mutex},
    time::Duration,
};

use parlor::{
    BoxError, Config,
    engineio::Message,
    socketio::{Decoder, Packet, PacketType, Parser, Received, Socket, SocketIo},
};
use serde_json::{Value, json};

use crate::{
    socketio_support::Io,
    support::{Frame, TestServer, wait_until},
};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// `{"type":2,"nsp":"/","id":7,"data":[…],"attachments":1}`, and each attachment by itself.
struct Objects;

#[derive(Default)]
struct Reader {
    /// A packet, and how many attachments it still waits for.
    partial: Option<(Packet<'static>, u64)>,
}

impl Parser for Objects {
    fn encode(&self, packet: &Packet<'_>) -> Vec<Message> {
        let kind = match packet.kind {
            PacketType::Connect => 0,
            PacketType::Disconnect => 1,
            PacketType::Event => 2,
            PacketType::Ack => 3,
            PacketType::ConnectError => 4,
        };
        let data = packet.payload.as_deref().unwrap_or("null");
        assert!(!data.contains("unspeakable"), "it cannot be written");
        let object = json!({
            "type": kind,
            "nsp": packet.namespace,
            "id": packet.id,
            "data": serde_json::from_str::<Value>(data).unwrap(),
            "attachments": packet.attachments.len(),
        });
        let attachments = packet.attachments.iter().cloned().map(Message::Binary);
        let head = std::iter::once(Message::from(object.to_string()));
        head.chain(attachments).collect()
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(Reader::default())
    }
}

impl Decoder for Reader {
    fn text(&mut self, text: &str) -> Result<Option<Packet<'static>>, BoxError> {
        let object: Value = serde_json::from_str(text)?;
        assert_ne!(object["type"], 99, "it cannot be read");
        let packet = Packet {
            kind: match object["type"].as_u64() {
                Some(0) => PacketType::Connect,
                Some(1) => PacketType::Disconnect,
                Some(2) => PacketType::Event,
                Some(3) => PacketType::Ack,
                _ => return Err("no such type".into()),
            },
            namespace: object["nsp"].as_str().unwrap_or("/").to_owned().into(),
            id: object["id"].as_u64(),
            payload: object.get("data").map(|data| data.to_string().into()),
            attachments: Vec::new(),
            msgpack: None,
        };
        match object["attachments"].as_u64() {
            None | Some(0) => Ok(Some(packet)),
            Some(missing) => {
                self.partial = Some((packet, missing));
                Ok(None)
            }
        }
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<Option<Packet<'static>>, BoxError> {
        let (mut packet, missing) = self.partial.take().ok_or("nobody waits for it")?;
        packet.attachments.push(bytes.to_vec().into());
        if missing == 1 {
            return Ok(Some(packet));
        }
        self.partial = Some((packet, missing - 1));
        Ok(None)
    }
}

/// A server that says everything again to all, and keeps why sockets ended.
fn serve(change: impl FnOnce(&mut Config)) -> (TestServer, Arc<Mutex<Vec<String>>>) {
    let io = SocketIo::with_parser(Objects);
    let ends = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&ends);
    let main = io.of("/");
    main.on_connect(|socket| async move {
        let _ = socket.join("lobby");
    });
    main.on_event("message", |message: Received| async move {
        let all = message.socket().to("lobby");
        let _ = all.emit("message", message.args());
        if let Some(ack) = message.ack() {
            let _ = ack.send(message.args());
        }
    });
    main.on_disconnect(move |_: Socket, reason| {
        let log = Arc::clone(&log);
        async move { log.lock().unwrap().push(reason.as_str().to_owned()) }
    });
    let server = TestServer::build(
        |config| {
            config.shards = NonZero::new(1);
            change(config);
        },
        |builder| builder.socketio(&io).doors([parlor::Door::WebSocket]),
    );
    (server, ends)
}

fn say(io: &mut Io, object: &Value) {
    io.client.send_text(&format!("4{object}"));
}

/// The next packet; pings are passed over.
fn hear(io: &mut Io) -> Value {
    loop {
        let frame = io.client.receive().unwrap();
        assert_eq!(frame.first, TEXT);
        if let Some(object) = frame.text().strip_prefix('4') {
            return serde_json::from_str(object).unwrap();
        }
    }
}

fn connected(server: &TestServer) -> Io {
    let mut io = server.engine("");
    say(&mut io, &json!({"type": 0, "nsp": "/", "data": {}}));
    let answer = hear(&mut io);
    assert_eq!((&answer["type"], &answer["nsp"]), (&json!(0), &json!("/")));
    assert_eq!(answer["data"]["sid"].as_str().unwrap().len(), 20);
    io
}

/// Says something that is acknowledged: the socket is in the room, and all before it is served.
fn settle(io: &mut Io) {
    say(
        io,
        &json!({"type": 2, "id": 1, "data": ["message", "here"]}),
    );
    let ack = json!({"type": 3, "nsp": "/", "id": 1, "data": ["here"], "attachments": 0});
    while hear(io) != ack {}
}

/// Whether the connection ends, whatever it still says.
fn ends(io: &mut Io) {
    while !matches!(io.client.receive(), Err(_) | Ok(Frame { first: 0x88, .. })) {}
}

#[test]
fn packets_are_read_and_written_in_the_embedder_s_way() {
    let (server, _) = serve(|_| {});
    let mut raw = server.websocket("/ws/lobby");
    let mut all = [(); 3].map(|()| connected(&server));
    for io in &mut all {
        settle(io);
    }
    let [ann, bo, cy] = &mut all;
    let placeholder = |num: u64| json!({"_placeholder": true, "num": num});
    let data = json!(["message", {"a": placeholder(1)}, placeholder(0)]);
    say(
        ann,
        &json!({"type": 2, "id": 9, "data": data, "attachments": 2}),
    );
    ann.client.send(BINARY, b"one");
    ann.client.send(BINARY, b"two");
    for io in [bo, cy] {
        // Before it, those who came later have said that they are here.
        let heard = loop {
            let heard = hear(io);
            if heard["data"] != json!(["message", "here"]) {
                break heard;
            }
        };
        assert_eq!(heard["attachments"], 2, "{heard}");
        let [first, second] = [io.hear_binary(), io.hear_binary()];
        // Whichever numbers they have, each is in its place.
        let of = |value: &Value| [&first, &second][usize::from(value["num"] == 1)].as_slice();
        assert_eq!(of(&heard["data"][1]["a"]), b"two");
        assert_eq!(of(&heard["data"][2]), b"one");
    }
    for _ in 0..3 {
        assert_eq!(raw.receive_text(), "here");
    }
    let said = raw.receive_text();
    assert_eq!(said, r#"[{"a":{"base64":"dHdv"}},{"base64":"b25l"}]"#);
    raw.send_text("from outside");
    for io in &mut all[1..] {
        let object = json!({"type": 2, "nsp": "/", "id": null, "attachments": 0,
            "data": ["message", "from outside"]});
        assert_eq!(hear(io), object);
    }
}

#[test]
fn namespaces_are_refused_and_left_in_it_too() {
    let (server, _) = serve(|_| {});
    let mut io = connected(&server);
    say(&mut io, &json!({"type": 0, "nsp": "/none", "data": {}}));
    let refusal = hear(&mut io);
    assert_eq!(refusal["type"], 4);
    assert_eq!(refusal["data"], json!({"message": "Invalid namespace"}));
    settle(&mut io);
}

#[test]
fn what_cannot_be_read_ends_its_connection_and_no_other() {
    let (server, log) = serve(|_| {});
    let mut stays = connected(&server);
    settle(&mut stays);
    let waits = json!({"type": 2, "data": ["message"], "attachments": 100}).to_string();
    let rows: [(&str, &[&[u8]]); 7] = [
        ("no JSON", &[]),
        // The decoder panics.
        (r#"{"type":99}"#, &[]),
        (r#"{"type":2,"data":["connect"]}"#, &[]),
        (r#"{"type":2,"nsp":"main","data":["message"]}"#, &[]),
        (r#"{"type":2,"data":{"a":1}}"#, &[]),
        (
            r#"{"type":2,"data":["message",{"_placeholder":true,"num":1}],"attachments":1}"#,
            &[b"x"],
        ),
        (&waits, &[b"x".as_slice(); 11]),
    ];
    for (count, (text, attachments)) in rows.into_iter().enumerate() {
        let mut io = connected(&server);
        settle(&mut io);
        io.client.send_text(&format!("4{text}"));
        for attachment in attachments {
            io.client.send(BINARY, attachment);
        }
        ends(&mut io);
        wait_until("the socket has ended", || log.lock().unwrap().len() > count);
        assert_eq!(log.lock().unwrap()[count], "parse error", "{text}");
    }
    settle(&mut stays);
}

#[test]
fn what_cannot_be_written_is_not_sent_and_the_rest_is() {
    let (server, _) = serve(|_| {});
    let [mut ann, mut bo] = [connected(&server), connected(&server)];
    for io in [&mut ann, &mut bo] {
        settle(io);
    }
    say(
        &mut ann,
        &json!({"type": 2, "id": 5, "data": ["message", "unspeakable"]}),
    );
    settle(&mut ann);
    assert_eq!(hear(&mut bo)["data"], json!(["message", "here"]));
    settle(&mut bo);
}

#[test]
fn clients_of_engine_io_3_speak_it_too() {
    let (server, _) = serve(|config| config.socketio.engine.legacy = true);
    let mut ann = connected(&server);
    settle(&mut ann);
    let mut old = server.engine_at("/socket.io/?EIO=3&transport=websocket");
    // Its main namespace is there without its asking.
    assert_eq!(hear(&mut old)["type"], 0);
    settle(&mut old);
    let data = json!(["message", {"_placeholder": true, "num": 0}]);
    say(
        &mut ann,
        &json!({"type": 2, "data": data, "attachments": 1}),
    );
    ann.client.send(BINARY, b"one");
    assert_eq!(hear(&mut old)["data"], data);
    assert_eq!(old.hear_binary(), b"\x04one");
}

#[test]
fn who_does_not_read_for_a_while_hears_whole_packets_in_order() {
    let (server, _) = serve(|_| {});
    let mut ann = connected(&server);
    settle(&mut ann);
    let mut slow = server.websocket_with_small_buffer("/socket.io/?EIO=4&transport=websocket");
    assert!(slow.receive_text().starts_with('0'));
    slow.send_text(r#"4{"type":0,"data":{}}"#);
    assert!(slow.receive_text().contains("sid"));
    slow.send_text(r#"4{"type":2,"id":1,"data":["message","here"]}"#);
    assert!(slow.receive_text().contains("here"));
    let placeholder = json!({"_placeholder": true, "num": 0});
    for number in 0..100_u8 {
        let data = json!(["message", number, placeholder]);
        say(
            &mut ann,
            &json!({"type": 2, "data": data, "attachments": 1}),
        );
        ann.client.send(BINARY, &[number; 4096]);
    }
    settle(&mut ann);
    for number in 0..100_u8 {
        let head = slow.receive_text();
        let head: Value = serde_json::from_str(head.strip_prefix('4').unwrap()).unwrap();
        assert_eq!(head["data"], json!(["message", number, placeholder]));
        let frame = slow.receive().unwrap();
        assert_eq!(
            (frame.first, &*frame.payload),
            (BINARY, [number; 4096].as_slice())
        );
    }
}

#[test]
fn sessions_are_recovered_in_it_too() {
    let (server, _) = serve(|config| config.socketio.recovery = Duration::from_secs(60));
    let mut bo = connected(&server);
    let mut ann = server.engine("");
    say(&mut ann, &json!({"type": 0, "data": {}}));
    let session = hear(&mut ann)["data"].clone();
    settle(&mut ann);
    let event = |text: &str| json!({"type": 2, "data": ["message", text]});
    say(&mut bo, &event("first"));
    let heard = hear(&mut ann);
    assert_eq!(heard["data"][1], "first");
    drop(ann);
    say(&mut bo, &event("missed"));
    settle(&mut bo);
    let auth = json!({"pid": session["pid"], "offset": heard["data"][2]});
    let mut ann = server.engine("");
    say(&mut ann, &json!({"type": 0, "data": auth}));
    let answers = [hear(&mut ann), hear(&mut ann)];
    assert_eq!(answers[0]["data"], session);
    assert_eq!(answers[1]["data"][1], "missed");
}
