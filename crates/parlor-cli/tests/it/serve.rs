//! `parlor serve`: start, refusal to start, stop.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use crate::process::{Server, complaint, run};

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
fn an_unknown_key_in_the_file() {
    let name = format!("parlor-it-{}.toml", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    std::fs::write(&path, "message_bytes_max = \"1MiB\"\ncolour = \"red\"\n").unwrap();
    let shown = path.display().to_string();
    let sentence = format!("{shown}, line 2: there is no setting `colour`");
    refuses(&["serve", "--config", &shown], &sentence);
    std::fs::remove_file(path).unwrap();
}
