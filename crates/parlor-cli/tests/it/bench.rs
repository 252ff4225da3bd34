//! `parlor bench` against our server, and against hubs that lose, repeat and reorder.

use serde_json::Value;

use crate::hub::{Fault, Hub};
use crate::process::{Server, complaint, quiet_port, run};

/// Runs a short test; gives its exit code and its figures.
#[track_caller]
fn bench(arguments: &[&str]) -> (Option<i32>, Value) {
    let short = ["--json", "--time", "300ms"];
    let output = run(&[&["bench"], arguments, &short].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Result<Value, _> = serde_json::from_str(&text);
    assert!(figures.is_ok(), "{text}{}", complaint(&output));
    (output.status.code(), figures.unwrap_or_default())
}

#[track_caller]
fn fanout(fault: Fault) -> (Option<i32>, Value, Hub) {
    let hub = Hub::start(fault);
    let load = ["--members", "5", "--publishers", "2", "--window", "8"];
    let times = ["--warmup", "50ms", "--patience", "200ms"];
    let (code, figures) = bench(&[&["fanout", &hub.url], &load[..], &times].concat());
    assert!(figures["sent"].as_u64() > Some(100), "{figures}");
    (code, figures, hub)
}

#[track_caller]
fn counts(figures: &Value) -> [u64; 4] {
    ["lost", "repeated", "reordered", "closed"].map(|name| figures[name].as_u64().expect(name))
}

#[test]
fn a_faithful_hub_is_found_faithful() {
    let (code, figures, _) = fanout(Fault::None);
    assert_eq!(counts(&figures), [0; 4]);
    assert_eq!(code, Some(0));
    let sent = figures["sent"].as_u64().expect("a count");
    assert!(sent * 4 >= figures["deliveries"].as_u64().expect("a count"));
}

#[test]
fn every_lost_delivery_is_counted() {
    let (code, figures, hub) = fanout(Fault::Lose(97));
    assert!(hub.faults() > 0);
    assert_eq!(counts(&figures), [hub.faults(), 0, 0, 0]);
    assert_eq!(code, Some(1));
}

#[test]
fn every_repeated_delivery_is_counted() {
    let (code, figures, hub) = fanout(Fault::Repeat(97));
    assert!(hub.faults() > 0);
    assert_eq!(counts(&figures), [0, hub.faults(), 0, 0]);
    assert_eq!(code, Some(1));
}

#[test]
fn order_is_checked_for_each_publisher() {
    let (code, figures, hub) = fanout(Fault::Swap(97));
    let [lost, repeated, reordered, closed] = counts(&figures);
    // Two publishers: of the messages that changed places some were not of the same one. The last
    // one held may never have been followed by another.
    assert!(reordered > 0 && reordered <= hub.faults(), "{figures}");
    assert!(lost <= 5 && repeated == 0 && closed == 0, "{figures}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_closed_member_ends_the_test_and_is_told() {
    let (code, figures, _) = fanout(Fault::Close(1009));
    assert!(figures["closed"].as_u64() >= Some(1), "{figures}");
    assert_eq!(figures["first_closed"], "1013 too slow");
    assert_eq!(code, Some(1));
}

/// Runs a test against our own server; nothing may be amiss.
fn own(path: &str, scenario: &str, arguments: &[&str], unit: &str) {
    let server = Server::start(&["--shards", "1"]);
    let (url, pid) = (
        format!("ws://{}{path}", server.address),
        server.pid().to_string(),
    );
    let (code, figures) = bench(&[&[scenario, &url, "--pid", &pid], arguments].concat());
    assert_eq!(code, Some(0), "{arguments:?} {figures}");
    assert_eq!(figures["closed"], 0, "{figures}");
    assert!(figures[unit].as_u64() > Some(0), "{figures}");
}

#[test]
fn fan_out_of_our_own_server() {
    for load in [
        &["--window", "4"][..],
        &["--rate", "500"],
        &["--deflate"],
        &["--binary"],
    ] {
        let room = ["--members", "20", "--publishers", "3", "--warmup", "50ms"];
        own("/ws/bench", "fanout", &[&room, load].concat(), "deliveries");
    }
}

#[test]
fn fan_out_to_members_that_speak_json() {
    for door in ["/ws/bench", "/signal/bench", "/signal"] {
        let room = ["--members", "20", "--publishers", "3", "--warmup", "50ms"];
        let load = ["--window", "4", "--dialect", "parlor.v1"];
        own(door, "fanout", &[&room[..], &load].concat(), "deliveries");
    }
}

#[test]
fn fan_out_to_members_that_speak_socket_io() {
    for door in ["/socket.io/?room=bench", "/socket.io/"] {
        let room = ["--members", "20", "--publishers", "3", "--warmup", "50ms"];
        let load = ["--window", "4", "--dialect", "socket.io"];
        own(door, "fanout", &[&room[..], &load].concat(), "deliveries");
    }
}

#[test]
fn fan_out_to_event_streams() {
    for (door, load) in [
        ("/sse/bench", &["--window", "16"][..]),
        ("/sse", &["--rate", "500"]),
        ("/sse/a%20b", &["--publish", "websocket", "--window", "16"]),
    ] {
        let room = [
            "--subscribers",
            "20",
            "--publishers",
            "3",
            "--warmup",
            "50ms",
        ];
        own(door, "sse", &[&room, load].concat(), "deliveries");
    }
}

#[test]
fn echo_of_our_own_server() {
    for load in [&["--window", "3"][..], &["--rate", "500"], &["--deflate"]] {
        let more = ["--connections", "10", "--warmup", "50ms"];
        own("/echo", "echo", &[&more, load].concat(), "messages");
    }
}

#[test]
fn connections_of_our_own_server() {
    for (door, dialect) in [
        ("/ws/bench", "raw"),
        ("/ws/bench", "parlor.v1"),
        ("/sse/bench", "sse"),
        ("/socket.io/?room=bench", "socket.io"),
    ] {
        own(
            door,
            "idle",
            &["--connections", "20", "--dialect", dialect],
            "server_resident_bytes_after",
        );
    }
    for (door, dialect) in [("/ws/bench", "raw"), ("/socket.io/", "socket.io")] {
        own(
            door,
            "churn",
            &["--connections", "4", "--dialect", dialect],
            "opened_and_closed",
        );
    }
}

#[test]
fn the_table_has_a_line_for_each_figure() {
    let hub = Hub::start(Fault::None);
    let output = run(&[
        "bench",
        "fanout",
        &hub.url,
        "--members",
        "3",
        "--time",
        "100ms",
        "--warmup",
        "1ms",
    ]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with(&format!("fanout {}\n", hub.url)), "{text}");
    for name in ["room", "load", "deliveries", "latency", "checked", "opened"] {
        assert!(
            text.lines().any(|line| line.trim_start().starts_with(name)),
            "{name}: {text}"
        );
    }
    assert!(
        output.stderr.is_empty(),
        "no progress bar where there is no terminal"
    );
}

#[track_caller]
fn refuses(arguments: &[&str], sentence: &str) {
    let output = run(&[&["bench"], arguments].concat());
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(complaint(&output), format!("parlor: {sentence}\n"));
}

#[test]
fn what_cannot_be_tested_is_refused() {
    refuses(
        &["echo", "ws://192.0.2.1/echo"],
        "192.0.2.1 is 192.0.2.1, which is not this machine: a load test needs --i-own-this-server",
    );
    refuses(
        &["echo", "127.0.0.1:8080"],
        "`127.0.0.1:8080` is not a URL such as ws://127.0.0.1:8080/ws/bench",
    );
    refuses(
        &["echo", "wss://127.0.0.1:8080/echo"],
        "`wss://127.0.0.1:8080/echo` needs TLS, which this program does not speak yet",
    );
    refuses(
        &["fanout", "ws://127.0.0.1:1/", "--dialect", "sse"],
        "event streams are loaded by `parlor bench sse`",
    );
    refuses(
        &["sse", "ws://127.0.0.1:1/sse", "--deflate"],
        "--deflate is for WebSocket, not for event streams",
    );
    refuses(
        &[
            "fanout",
            "ws://127.0.0.1:1/",
            "--dialect",
            "parlor.v1",
            "--binary",
        ],
        "--binary does not go with parlor.v1, which is text",
    );
    let hub = Hub::start(Fault::None);
    refuses(
        &["sse", &hub.url],
        "`/room` is not the path of an event stream such as /sse/bench",
    );
    refuses(
        &["fanout", &hub.url, "--dialect", "parlor.v1"],
        "a connection did not open: the server does not speak parlor.v1 (0 of 100 are open)",
    );
    refuses(
        &["fanout", &hub.url, "--members", "2", "--publishers", "3"],
        "3 publishers do not fit into 2 members",
    );
    refuses(
        &["fanout", &hub.url, "--pid", "0"],
        "cannot read /proc/0/status: No such file or directory (os error 2)",
    );
}

#[test]
fn sessions_come_back_to_a_server_that_restarts() {
    // Of no connection's: an attempt while nobody listens would else meet itself now and then.
    let url = format!("ws://{}/signal", quiet_port());
    let load = ["--connections", "40", "--spread", "500ms"];
    let how = ["--restart", "--json", "--patience", "60s"];
    let output = run(&[&["bench", "reconnect", &url], &load[..], &how].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Value = serde_json::from_str(&text).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    for (name, count) in [("back", 40), ("losses", 40), ("gaps", 40), ("missing", 0)] {
        assert_eq!(figures[name], count, "{name}: {figures}");
    }
    let seconds = figures["accepts_per_s"].as_array().expect("a list");
    let sum: u64 = seconds.iter().filter_map(Value::as_u64).sum();
    assert_eq!(sum, 40, "{figures}");
}

#[test]
fn a_test_starts_no_server_where_there_is_one() {
    let server = Server::start(&["--shards", "1"]);
    let url = format!("ws://{}/signal", server.address);
    let output = run(&["bench", "reconnect", &url, "--restart"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("has a server already"));
    let output = run(&["bench", "reconnect", "ws://192.0.2.1/", "--restart"]);
    assert!(complaint(&output).contains("not this machine"));
}
