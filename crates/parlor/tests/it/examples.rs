//! The examples, run as a reader of the documentation would run them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Client, upgrade};

/// A running example; it is killed when it is dropped.
struct Example {
    child: Child,
    address: SocketAddr,
}

impl Example {
    /// Starts an example on a free port and waits for the line that says where it listens.
    fn start(name: &str) -> Self {
        let mut child = Command::new(binary(name))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (_, rest) = line.trim().split_once("://").unwrap();
        let address = rest.split('/').next().unwrap().parse().unwrap();
        Self { child, address }
    }

    fn tcp(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn websocket(&self, path: &str) -> Client {
        Client::opened(self.tcp(&upgrade(path, "")))
    }

    /// The answer to a request, to the end of the connection.
    fn exchange(&self, request: &str) -> String {
        let mut response = String::new();
        let _ = self.tcp(request).read_to_string(&mut response);
        response
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo has put an example, beside the directory of this test.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples").join(name)
}

/// The next message that is wanted; what comes before it is passed over.
fn receive_until(client: &mut Client, mut wanted: impl FnMut(&str) -> bool) {
    while !wanted(&client.receive_text()) {}
}

#[test]
fn the_echo_example_echoes_and_keeps_its_limit() {
    let example = Example::start("echo");
    let mut client = example.websocket("/echo");
    client.send_text("hello");
    assert_eq!(client.receive_text(), "hello");
    client.send(0x82, &[0; 65_537]);
    assert_eq!(client.receive_close().0, 1009);
}

#[test]
fn the_hub_example_is_the_hub_of_the_tutorials() {
    let example = Example::start("hub");
    let mut ann = example.websocket("/");
    let mut bo = example.websocket("/");
    ann.settle();
    bo.settle();
    ann.send_text("Hello, server!");
    assert_eq!(bo.receive_text(), "Hello, server!");
}

#[test]
fn the_broadcast_example_reaches_everybody_but_the_sender() {
    let example = Example::start("broadcast");
    let mut clients: Vec<_> = (0..3).map(|_| example.websocket("/everybody")).collect();
    clients[0].send_text("one");
    clients[1].send_text("two");
    assert_eq!(clients[0].receive_text(), "two");
    assert_eq!(clients[1].receive_text(), "one");
    let mut both = [clients[2].receive_text(), clients[2].receive_text()];
    both.sort();
    assert_eq!(both, ["one", "two"]);
}

#[test]
fn the_rooms_example_joins_says_and_leaves() {
    let example = Example::start("rooms");
    let [mut ann, mut bo] = [(); 2].map(|()| example.websocket("/rooms"));
    ann.send_text(r#"{"join": "tea"}"#);
    assert_eq!(ann.receive_text(), "tea has 1 members");
    bo.send_text(r#"{"join": "tea"}"#);
    assert_eq!(bo.receive_text(), "tea has 2 members");
    ann.send_text(r#"{"to": "tea", "say": "hello"}"#);
    assert_eq!(bo.receive_text(), "hello");
    bo.send_text(r#"{"leave": "tea"}"#);
    bo.send_text(r#"{"to": "tea", "say": "still here?"}"#);
    assert!(bo.receive_text().starts_with("error: "));
    bo.send_text("nonsense");
    assert!(bo.receive_text().starts_with("not understood: "));
}

#[test]
fn the_chat_example_has_names_and_history() {
    let example = Example::start("chat");
    let nameless = example.exchange(&upgrade("/chat/tea", ""));
    assert!(nameless.starts_with("HTTP/1.1 400 "), "{nameless}");
    let mut ann = example.websocket("/chat/tea?name=Ann");
    ann.send_text("is anybody there?");
    assert_eq!(ann.receive_text(), "Ann: is anybody there?");
    let mut bo = example.websocket("/chat/tea?name=Bo");
    assert_eq!(bo.receive_text(), "* Ann comes in");
    assert_eq!(bo.receive_text(), "Ann: is anybody there?");
    assert_eq!(ann.receive_text(), "* Bo comes in");
    bo.send_text("yes");
    assert_eq!(ann.receive_text(), "Bo: yes");
    drop(bo);
    assert_eq!(ann.receive_text(), "* Bo goes");
}

#[test]
fn the_axum_example_has_pages_an_api_and_an_endpoint() {
    let example = Example::start("axum_app");
    let close = "Host: localhost\r\nConnection: close\r\n";
    // The server begins beside axum's; until then its endpoint answers 503.
    let mut client = loop {
        let mut stream = example.tcp(&upgrade("/rt/news", ""));
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        if status.ends_with(b"503") {
            continue;
        }
        let mut head = vec![0; 1];
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        break Client::adopt(stream);
    };
    client.settle();
    let page = example.exchange(&format!("GET / HTTP/1.1\r\n{close}\r\n"));
    assert!(page.contains("<h1>News</h1>"), "{page}");
    let post = format!("POST /news HTTP/1.1\r\n{close}Content-Length: 5\r\n\r\nhello");
    let posted = example.exchange(&post);
    assert!(posted.starts_with("HTTP/1.1 202 "), "{posted}");
    assert_eq!(client.receive_text(), "hello");
}

#[test]
fn the_presence_example_tells_who_is_there() {
    let example = Example::start("presence");
    let mut ann = example.websocket("/presence?name=Ann");
    let mut bo = example.websocket("/presence?name=Bo");
    bo.send_text(r#"{"mood": "fine"}"#);
    let sorted = |text: &str| {
        let mut list: Vec<(String, Option<String>)> = serde_json::from_str(text).unwrap();
        list.sort();
        json!(list)
    };
    let both = json!([["Ann", null], ["Bo", "fine"]]);
    receive_until(&mut ann, |text| sorted(text) == both);
    drop(bo);
    receive_until(&mut ann, |text| sorted(text) == json!([["Ann", null]]));
}

#[test]
fn the_game_example_ticks_and_moves() {
    let example = Example::start("game_loop");
    let mut player = example.websocket("/game");
    let mut watcher = example.websocket("/game");
    for _ in 0..5 {
        player.send_text(r#"{"dx": 3, "dy": -1}"#);
    }
    receive_until(&mut watcher, |text| {
        let world: Value = serde_json::from_str(text).unwrap();
        let places = world.as_object().unwrap();
        places.values().any(|place| *place == json!([5, -5]))
    });
}

#[test]
fn the_dashboard_example_streams_samples() {
    let example = Example::start("dashboard");
    let page = example.exchange("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(page.contains("new EventSource"), "{page}");
    let stream = example.tcp("GET /sse/load HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    for _ in 0..2 {
        assert!(lines.any(|line| line == "event: sample"));
        let data = lines.next().unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert!(data["number"].is_u64(), "{data}");
    }
    // Nothing else is open.
    let close = "Connection: close\r\n";
    let refused = example.exchange(&upgrade("/ws/load", close));
    assert!(refused.starts_with("HTTP/1.1 404 "), "{refused}");
}

#[test]
fn the_auth_example_lets_in_whom_it_knows() {
    let example = Example::start("auth");
    for (path, status) in [("/private", 401), ("/private?token=guess", 403)] {
        let refused = example.exchange(&upgrade(path, ""));
        assert!(
            refused.starts_with(&format!("HTTP/1.1 {status} ")),
            "{refused}"
        );
    }
    let mut ann = Client::opened(example.tcp(&upgrade("/private", "Cookie: token=ann-reads\r\n")));
    let bearer = upgrade("/private", "Authorization: Bearer bo-writes\r\n");
    let mut bo = Client::opened(example.tcp(&bearer));
    bo.send_text("read this");
    assert_eq!(ann.receive_text(), "read this");
    ann.send_text("me too");
    assert_eq!(ann.receive_close(), (4403, "you may only read".to_owned()));
}

#[test]
fn the_engineio_suite_example_says_everything_again() {
    let example = Example::start("engineio_suite");
    let mut client = example.websocket("/engine.io/?EIO=4&transport=websocket");
    receive_until(&mut client, |text| text.starts_with('0'));
    client.send_text("4hello");
    receive_until(&mut client, |text| text == "4hello");
    let get = "GET /engine.io/?EIO=3&transport=polling&b64=1 HTTP/1.1\r\nHost: localhost\r\n\
               Connection: close\r\n\r\n";
    assert!(example.exchange(get).contains(r#":0{"sid":""#));
}

#[test]
fn the_socketio_parser_example_reads_backwards() {
    let example = Example::start("socketio_parser");
    let mut client = example.websocket("/socket.io/?EIO=4&transport=websocket");
    client.send_text("40");
    receive_until(&mut client, |text| {
        text.starts_with(r#"4}""#) && text.ends_with("0")
    });
    client.send_text(r#"4]"aet","egassem"[72"#);
    receive_until(&mut client, |text| text == r#"4]"aet"[73"#);
}

#[test]
fn the_socketio_gate_example_looks_tokens_up() {
    let example = Example::start("socketio_gate");
    let path = |token: &str| format!("/socket.io/?EIO=4&transport=websocket&token={token}");
    let refused = example.exchange(&upgrade(&path("guess"), ""));
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.ends_with("\r\n\r\nwho are you?"), "{refused}");
    let mut client = example.websocket(&path("secret-of-ann"));
    receive_until(&mut client, |text| {
        text.starts_with(r#"0{"sid":"secret-of-ann","#)
    });
    client.send_text("40");
    receive_until(&mut client, |text| text == r#"42["welcome","ann"]"#);
}

#[test]
fn the_fragments_example_sends_pieces_and_bounds_them() {
    let example = Example::start("fragments");
    let mut client = example.websocket("/");
    client.send_text(r#"{"text": [2, 1]}"#);
    for (first, payload) in [
        (0x01, "gr\u{fc}n 1;"),
        (0x89, "between"),
        (0x00, "gr\u{fc}n 2;"),
        (0x80, ""),
        (0x81, "sent meanwhile"),
    ] {
        let heard = client.receive().unwrap();
        assert_eq!(
            (heard.first, heard.payload.as_slice()),
            (first, payload.as_bytes())
        );
    }
    for too_much in [r#"{"text": [1001, 1]}"#, r#"{"binary": [1, 8193]}"#] {
        client.send_text(too_much);
        receive_until(&mut client, |text| text.starts_with("1 to 1000 pieces"));
    }
}

#[test]
fn the_socketio_chat_example_asks_who_comes() {
    let example = Example::start("socketio_chat");
    let mut client = example.websocket("/socket.io/?EIO=4&transport=websocket");
    client.send_text(r#"40/chat,{"token":"guess"}"#);
    receive_until(&mut client, |text| {
        text == r#"44/chat,{"message":"not authorized","data":{"code":401}}"#
    });
    client.send_text(r#"40/chat,{"token":"ann"}"#);
    receive_until(&mut client, |text| text.starts_with("40/chat,{"));
    client.send_text(r#"42/chat,7["say","hello"]"#);
    receive_until(&mut client, |text| text == r#"43/chat,7["sent"]"#);
}

#[test]
fn the_examples_are_short() {
    let folder = format!("{}/examples", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 120, "{}: {lines} lines", path.display());
    }
}
