//! `parlor serve`: start, refusal to start, stop.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;

use crate::process::{Server, complaint, parlor, run};

#[track_caller]
fn refuses(arguments: &[&str], sentence: &str) {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{}", complaint(&output));
    assert_eq!(complaint(&output), format!("parlor: {sentence}\n"));
    assert!(output.stdout.is_empty());
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("UTF-8");
    answer
}

#[test]
fn it_says_what_listens_where_and_stops_on_sigterm() {
    let server = Server::start(&["--shards", "2", "--message-bytes-max", "64KiB"]);
    assert_eq!(
        server.lines[0],
        format!("parlor {}", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        server.lines[1],
        format!("listening on http://{}", server.address)
    );
    let (code, rest) = server.stop("TERM");
    assert_eq!(code, Some(0));
    assert!(rest.starts_with("2 shards, at most "), "{rest}");
    assert!(
        rest.contains("messages up to 64KiB, deflate shared\n"),
        "{rest}"
    );
}

#[test]
fn it_stops_on_ctrl_c() {
    let (code, _) = Server::start(&[]).stop("INT");
    assert_eq!(code, Some(0));
}

#[test]
fn a_log_for_machines_has_nothing_else_in_it() {
    let server = Server::start(&["--log", "json"]);
    let first = server.lines.clone();
    let (code, rest) = server.stop("TERM");
    assert_eq!(code, Some(0));
    for line in first.iter().map(String::as_str).chain(rest.lines()) {
        let event: serde_json::Value = serde_json::from_str(line).expect("one object a line");
        assert!(
            event["message"].is_string() && event["level"] == "INFO",
            "{line}"
        );
    }
}

#[test]
fn the_page_is_served_with_a_strict_policy() {
    let server = Server::start(&[]);
    let answer = get(&server.address, "/");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains("content-type: text/html; charset=utf-8"),
        "{head}"
    );
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"));
    assert!(body.starts_with("<!doctype html>"), "{body}");
}

#[test]
fn a_port_in_use() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let sentence = format!("cannot listen on {address}: the port is in use");
    refuses(&["serve", "--listen", &address], &sentence);
}

#[test]
fn a_bad_argument() {
    refuses(
        &["serve", "--shrads", "1"],
        "unexpected argument '--shrads' found, did you mean `--shards`? (see --help)",
    );
    refuses(
        &["serve", "--shards", "none"],
        "--shards cannot be `none`: expected a whole number",
    );
    refuses(
        &["serve", "--message-bytes-max", "1MB"],
        "--message-bytes-max cannot be `1MB`: expected a size such as 64KiB, 1MiB or 4096",
    );
    refuses(
        &["server"],
        "unrecognized subcommand 'server', did you mean `serve`? (see --help)",
    );
}

#[test]
fn an_unreadable_file_or_directory() {
    refuses(
        &["serve", "--config", "/nowhere.toml"],
        "cannot read the configuration file /nowhere.toml: No such file or directory (os error 2)",
    );
    refuses(
        &["serve", "--static", "/nowhere"],
        "cannot serve /nowhere: No such file or directory (os error 2)",
    );
}

#[test]
fn a_path_that_is_taken() {
    for (path, is_taken) in [
        ("/rooms/", true),
        ("/ws/", true),
        ("/sse/live/", true),
        ("/signals/", false),
    ] {
        let arguments = ["--socketio-path", path];
        if is_taken {
            let sentence = format!("`{path}` is the path of another endpoint or door already");
            refuses(&[&["serve"], &arguments[..]].concat(), &sentence);
        } else {
            let (code, _) = Server::start(&arguments).stop("TERM");
            assert_eq!(code, Some(0));
        }
    }
    refuses(
        &["serve", "--socketio-path", "/{io}/"],
        "--socketio-path cannot be `/{io}/`: expected a path such as /socket.io/",
    );
}

#[test]
fn the_life_of_a_connection_is_in_the_log() {
    let server = Server::start(&["--log-level", "parlor=debug", "--drain", "0s"]);
    let upgrade = |path: &str, origin: &str| {
        let mut stream = TcpStream::connect(&server.address).expect("it listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("an answer");
        (stream, status)
    };
    let (stream, status) = upgrade("/ws/tea?token=secret", "http://localhost");
    assert_eq!(&status, b"HTTP/1.1 101");
    let (refused, status) = upgrade("/ws/tea?token=secret", "http://elsewhere.example");
    assert_eq!(&status, b"HTTP/1.1 403");
    let peer = stream.local_addr().expect("an address");
    drop((stream, refused));
    let (code, log) = server.stop("TERM");
    assert_eq!(code, Some(0));
    let opened = format!("door=\"websocket\" peer={peer}");
    for fact in [
        &opened,
        "door=\"websocket\" reason=\"peer\"",
        "connection opened",
        "connection closed",
        "request refused",
        "reason=\"origin\"",
        "stopped",
    ] {
        assert!(log.contains(fact), "{fact} is not in {log}");
    }
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn clients_that_are_sent_away_are_one_line() {
    for (option, status) in [
        ("connections_max", "503"),
        ("connections_per_address_max", "429"),
    ] {
        let argument = format!("--{}", option.replace('_', "-"));
        let server = Server::start(&[&argument, "1", "--drain", "0s"]);
        let held = TcpStream::connect(&server.address).expect("it listens");
        for _ in 0..5 {
            let mut stream = TcpStream::connect(&server.address).expect("it listens");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("UTF-8");
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }
        drop(held);
        let (code, log) = server.stop("TERM");
        assert_eq!(code, Some(0));
        assert_eq!(log.matches("connections are refused").count(), 1, "{log}");
        assert!(
            log.contains(&format!("reason=\"{option} is reached\"")),
            "{log}"
        );
    }
}

#[cfg(unix)]
#[test]
fn without_descriptors_clients_are_told_and_later_let_in() {
    let limits = ["--connections-max", "1000", "--drain", "0s"];
    let server = Server::start_with_descriptors(64, &limits);
    let answer = || {
        let mut stream = TcpStream::connect(&server.address).expect("it listens");
        let patience = Some(std::time::Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("a time-out");
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("written");
        let mut status = [0; 12];
        // A refusal may come as a reset, since nobody has read the request.
        let read = stream.read_exact(&mut status);
        (stream, read.is_ok_and(|()| &status == b"HTTP/1.1 200"))
    };
    let mut held = Vec::new();
    loop {
        let (stream, is_in) = answer();
        if !is_in {
            break;
        }
        held.push(stream);
        assert!(held.len() < 64, "it has more descriptors than it may");
    }
    drop(held);
    let began = std::time::Instant::now();
    while !answer().1 {
        assert!(began.elapsed().as_secs() < 60, "nobody is let in again");
        std::thread::yield_now();
    }
    let (code, log) = server.stop("TERM");
    assert_eq!(code, Some(0));
    assert!(log.contains("reason=\"out of descriptors\""), "{log}");
}

#[test]
fn a_start_that_fails_is_told_to_machines_too() {
    let output = run(&["serve", "--log", "json", "--static", "/nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    let event: serde_json::Value =
        serde_json::from_str(complaint(&output).trim_end()).expect("one object");
    assert_eq!(event["message"], "cannot start");
    assert_eq!(
        event["error"],
        "cannot serve /nowhere: No such file or directory (os error 2)"
    );
}

#[test]
fn more_connections_than_descriptors_is_worth_a_line() {
    let server = Server::start(&["--connections-max", "100000000"]);
    let (code, rest) = server.stop("TERM");
    assert_eq!(code, Some(0));
    assert!(
        rest.contains("WARN parlor::serve: the descriptor limit is too low"),
        "{rest}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn settings_that_cannot_be_written_are_an_error() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut config = parlor(&["config"]);
    let status = config.stdout(full).stderr(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(2));
}

#[test]
fn an_unknown_key_in_the_file() {
    let name = format!("parlor-it-{}.toml", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    std::fs::write(&path, "message_bytes_max = \"1MiB\"\ncolour = \"red\"\n").unwrap();
    let shown = path.display().to_string();
    let sentence = format!("{shown}, line 2: there is no setting `colour`");
    refuses(&["serve", "--config", &shown], &sentence);
    std::fs::remove_file(path).unwrap();
}
