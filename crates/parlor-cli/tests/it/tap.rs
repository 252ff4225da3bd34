//! `parlor tap` and `parlor publish` against our server.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use crate::process::{Server, complaint, parlor, quiet_port, run};
use crate::proxy::Proxy;

/// A running `parlor tap`, killed when dropped.
struct Tap {
    child: Child,
    lines: Receiver<String>,
    notes: Receiver<String>,
}

impl Tap {
    /// Starts it and waits until it is in the room.
    fn start(address: &str, arguments: &[&str]) -> Self {
        let url = format!("ws://{address}");
        let mut child = parlor(&[&["tap", "--url", &url], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = lines_of(child.stdout.take().expect("piped"));
        let notes = lines_of(child.stderr.take().expect("piped"));
        let tap = Self {
            child,
            lines,
            notes,
        };
        let first = tap.note();
        assert!(first.starts_with("-- in "), "{first}");
        tap
    }

    /// The next line of standard output.
    #[track_caller]
    fn line(&self) -> String {
        next(&self.lines)
    }

    /// The next line of standard output without the time.
    #[track_caller]
    fn untimed(&self) -> String {
        let line = self.line();
        let (time, rest) = line.split_once("  ").expect("a time");
        assert!(time.len() == 13 && time.ends_with('Z'), "{line}");
        rest.to_owned()
    }

    /// The next line of standard error.
    #[track_caller]
    fn note(&self) -> String {
        next(&self.notes)
    }

    /// The first of the next lines of standard error that begins so.
    #[track_caller]
    fn note_with(&self, beginning: &str) -> String {
        loop {
            let note = self.note();
            if note.starts_with(beginning) {
                return note;
            }
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1000);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[track_caller]
fn next(lines: &Receiver<String>) -> String {
    lines
        .recv_timeout(Duration::from_secs(100))
        .expect("a line comes")
}

fn publish(address: &str, arguments: &[&str]) -> Output {
    let url = format!("http://{address}");
    run(&[&["publish", "--url", &url], arguments].concat())
}

/// Publishes; gives the message's id.
#[track_caller]
fn published(address: &str, arguments: &[&str]) -> String {
    let output = publish(address, arguments);
    assert!(output.status.success(), "{}", complaint(&output));
    let id = String::from_utf8(output.stdout).expect("UTF-8");
    id.trim_end().to_owned()
}

#[test]
fn what_is_published_is_seen() {
    let server = Server::start(&["--shards", "1"]);
    let tap = Tap::start(&server.address, &["tea / ☕"]);
    let watched = |arguments: &[&str], expected: &str| {
        let id = published(&server.address, &[&["tea / ☕"], arguments].concat());
        assert_eq!(tap.untimed(), format!("{id}  -  {expected}"));
    };
    watched(&["hello"], "message  hello");
    watched(
        &["two\nlines \u{1b}[31m"],
        "message  two\\nlines \\u{1b}[31m",
    );
    watched(&["--event", "tick & tock", "5"], r#"tick & tock  5"#);
    watched(
        &["--json", "{\"n\": [1]}", "--event", "score"],
        r#"score  {"n": [1]}"#,
    );
    watched(&["--json", r#""text""#], "message  text");
    watched(&["--binary", "\u{1}"], "message  [1 bytes] AQ==");
    watched(&[""], "message  ");
}

#[test]
fn standard_input_is_published_as_one_message() {
    let server = Server::start(&["--shards", "1"]);
    let tap = Tap::start(&server.address, &["tea", "--json"]);
    for arguments in [&["tea", "-"][..], &["tea"]] {
        let url = format!("http://{}", server.address);
        let mut child = parlor(&[&["publish", "--url", &url], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(b"one\ntwo\n").expect("written");
        drop(input);
        assert!(child.wait().expect("it ends").success());
        let line = tap.line();
        assert!(
            line.contains(r#""event":"message","data":"one\ntwo\n"}"#),
            "{line}"
        );
    }
}

#[test]
fn nothing_is_lost_or_repeated_over_a_cut() {
    let server = Server::start(&["--shards", "2"]);
    let proxy = Proxy::start(&server.address);
    let before = published(&server.address, &["tea", "before"]);
    let tap = Tap::start(&proxy.address, &["tea"]);
    let mut expected = Vec::new();
    for round in 0..3 {
        let text = format!("live {round}");
        let id = published(&server.address, &["tea", &text]);
        assert_eq!(tap.untimed(), format!("{id}  -  message  {text}"));
        proxy.cut();
        tap.note_with("-- connection lost (");
        for missed in 0..3 {
            let text = format!("missed {round}.{missed}");
            let id = published(&server.address, &["tea", &text]);
            expected.push(format!("{id}  -  message  {text}"));
        }
        proxy.open(&server.address);
        tap.note_with("-- again in tea as ");
        for line in expected.drain(..) {
            assert_eq!(tap.untimed(), line);
        }
    }
    // Somebody else comes back by the id of what was said before all that.
    let late = Tap::start(&server.address, &["tea", "--since", &before]);
    assert!(tap.untimed().ends_with(" came in"));
    let replayed: Vec<String> = (0..12).map(|_| late.untimed()).collect();
    assert!(replayed[0].ends_with("  live 0") && replayed[11].ends_with("  missed 2.2"));
    let newest = Tap::start(&server.address, &["tea", "--last", "2", "--name", "Zoe"]);
    assert!(newest.untimed().ends_with("  missed 2.1"));
    assert_eq!(tap.untimed(), "-- Zoe came in");
}

#[test]
fn a_restart_of_the_server_is_a_gap() {
    let first = Server::start(&["--shards", "1"]);
    let proxy = Proxy::start(&first.address);
    let tap = Tap::start(&proxy.address, &["tea"]);
    let id = published(&first.address, &["tea", "one"]);
    tap.line();
    proxy.cut();
    drop(first);
    let second = Server::start(&["--shards", "1"]);
    let newer = published(&second.address, &["tea", "two"]);
    proxy.open(&second.address);
    assert_eq!(
        tap.untimed(),
        format!(
            "-- gap: some messages since {id} are missing; the oldest that the room still had is \
             {newer}"
        )
    );
    assert_eq!(tap.untimed(), format!("{newer}  -  message  two"));
}

#[test]
fn ctrl_c_and_a_closed_output_end_it() {
    let server = Server::start(&["--shards", "1"]);
    let mut tap = Tap::start(&server.address, &["tea"]);
    let pid = tap.child.id().to_string();
    let kill = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(kill.expect("kill runs").success());
    assert_eq!(tap.child.wait().expect("it ends").code(), Some(0));

    let mut child = parlor(&["tap", "tea", "--url", &format!("ws://{}", server.address)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let notes = lines_of(child.stderr.take().expect("piped"));
    assert!(next(&notes).starts_with("-- in tea as "));
    drop(child.stdout.take());
    published(&server.address, &["tea", "to nobody"]);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_member_says_it() {
    let server = Server::start(&["--shards", "1"]);
    let tap = Tap::start(&server.address, &["tea"]);
    let url = format!("ws://{}", server.address);
    for (arguments, shown) in [
        (&["hello"][..], "message  hello"),
        (&["--binary", "\u{1}"], "message  [1 bytes] AQ=="),
        (
            &["--json", "{\"n\": [1]}", "--event", "score"],
            r#"score  {"n": [1]}"#,
        ),
        (&["--json", r#""text""#], "message  text"),
    ] {
        let output = run(&[
            &["publish", "--url", &url, "--name", "Bo", "tea"],
            arguments,
        ]
        .concat());
        assert!(output.status.success(), "{}", complaint(&output));
        assert_eq!(complaint(&output), "");
        let id = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(tap.untimed(), "-- Bo came in");
        assert_eq!(tap.untimed(), format!("{}  Bo  {shown}", id.trim_end()));
        assert_eq!(tap.untimed(), "-- Bo left");
    }
}

#[test]
fn it_waits_for_a_server_where_it_is_told_to() {
    let address = quiet_port();
    let url = format!("ws://{address}");
    let mut child = parlor(&["publish", "--url", &url, "--wait", "10m", "tea", "hello"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let notes = lines_of(child.stderr.take().expect("piped"));
    let lines = lines_of(child.stdout.take().expect("piped"));
    assert!(next(&notes).starts_with("-- no connection (Connection refused"));
    let server = Server::start_at(&address, &["--shards", "1"]);
    let id = lines.recv_timeout(Duration::from_secs(100)).expect("an id");
    assert!(child.wait().expect("it ends").success());
    let tap = Tap::start(&server.address, &["tea", "--last", "9"]);
    assert!(tap.untimed().starts_with(&id));
}

#[track_caller]
fn refuses(arguments: &[&str], code: i32, sentence: &str) {
    let output = run(arguments);
    assert_eq!(complaint(&output), format!("parlor: {sentence}\n"));
    assert_eq!(output.status.code(), Some(code));
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_be_done_is_said_in_one_sentence() {
    let server = Server::start(&[
        "--shards",
        "1",
        "--http-body-bytes-max",
        "10",
        "--message-bytes-max",
        "64KiB",
    ]);
    let url = format!("http://{}", server.address);
    refuses(
        &["publish", "tea", "--url", &url, "longer than that"],
        1,
        "the server answered 413: the body is over the limit",
    );
    refuses(
        &["publish", "tea", "--url", &url, "--event", "a\nb", "x"],
        1,
        "the server answered 400: an event name has no CR, LF or NUL",
    );
    refuses(
        &["publish", "tea", "--url", &url, "--json", "{"],
        2,
        "the text is not JSON: EOF while parsing an object at line 1 column 1",
    );
    let by_member = format!("ws://{}", server.address);
    let long = "x".repeat(70_000);
    refuses(
        &["publish", "tea", "--url", &by_member, &long],
        1,
        "closed by the server: 1009",
    );
    refuses(
        &["publish", "tea", "--url", "ws://127.0.0.1:1", "x"],
        2,
        "cannot publish at ws://127.0.0.1:1: Connection refused (os error 111)",
    );
    refuses(
        &["publish", "tea", "--url", &url, "--name", "Bo", "x"],
        2,
        "--name and --wait are for ws:// URLs",
    );
    refuses(
        &["tap", "tea", "--since", "x"],
        2,
        "invalid value 'x' for '--since <ID>': not a message id of the form epoch-offset (see --help)",
    );
    refuses(
        &["tap", "tea", "--url", "ws://127.0.0.1:1"],
        2,
        "cannot watch at ws://127.0.0.1:1: Connection refused (os error 111)",
    );
    refuses(
        &["tap", "tea", "--url", "wss://127.0.0.1"],
        2,
        "`wss://127.0.0.1` needs TLS, which this program does not speak yet",
    );
    refuses(
        &["tap", "tea", "--url", &format!("{url}/elsewhere")],
        2,
        &format!("cannot watch at {url}/elsewhere: the server answered 404: not found"),
    );
    refuses(
        &["tap", "a\tb"],
        2,
        "invalid value 'a\tb' for '<ROOM>': a room name is 1 to 128 bytes without control \
         characters (see --help)",
    );
}
