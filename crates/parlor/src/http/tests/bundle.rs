//! The files of a Socket.IO client.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use super::super::{Bundle, bundle_routes};
use super::*;
use crate::config::ClientFiles;

/// A directory as npm lays it out, gone with the test.
struct Package(PathBuf);

impl Package {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("parlor-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("dist")).expect("a directory");
        for (file, text) in files {
            fs::write(path.join(file), text).expect("a file");
        }
        Self(path)
    }

    fn setting(&self) -> ClientFiles {
        ClientFiles::Dir(self.0.join("dist"))
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn setup(setting: &ClientFiles, path: &str) -> Setup {
    let bundle = Bundle::of(setting).expect("it can be read");
    Setup {
        doors: bundle_routes(path, &bundle),
        ..Setup::default()
    }
}

fn ask(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
}

#[test]
fn files_of_the_package_are_served_as_they_are() {
    let text = "const io = 0;".repeat(100);
    let package = Package::new(
        "bundle",
        &[
            (
                "package.json",
                r#"{"name":"socket.io-client","version":"4.8.4"}"#,
            ),
            ("dist/socket.io.js", &text),
            ("dist/socket.io.js.map", "{}"),
            ("dist/other.js", "0"),
        ],
    );
    run(setup(&package.setting(), "/socket.io/"), async |server| {
        let answer = server
            .ask(ask("/socket.io/socket.io.js?t=1&EIO=4", ""))
            .await;
        assert_eq!(statuses(&answer), [200], "{answer}");
        for (name, value) in [
            ("content-type", "application/javascript; charset=utf-8"),
            ("cache-control", "public, max-age=0"),
            ("etag", "\"4.8.4\""),
        ] {
            assert_eq!(field(&answer, name), Some(value));
        }
        assert_eq!(field(&answer, "content-encoding"), None);
        assert!(answer.ends_with(&text));
        let map = server.ask(ask("/socket.io/socket.io.js.map", "")).await;
        let kind = field(&map, "content-type");
        assert_eq!(kind, Some("application/json; charset=utf-8"));
        for tag in ["\"4.8.4\"", "W/\"4.8.4\"", "\"x\", \"4.8.4\"", "*"] {
            let fields = format!("If-None-Match: {tag}\r\n");
            let answer = server.ask(ask("/socket.io/socket.io.js", &fields)).await;
            assert_eq!(statuses(&answer), [304], "{tag}");
        }
        let old = "If-None-Match: \"4.8.3\"\r\n";
        let answer = server.ask(ask("/socket.io/socket.io.js", old)).await;
        assert_eq!(statuses(&answer), [200]);
        for path in [
            "/socket.io/other.js",
            "/socket.io/socket.io.min.js",
            "/socket.io/../package.json",
            "/socket.io/",
        ] {
            let answer = server.ask(ask(path, "")).await;
            assert!(
                matches!(*statuses(&answer), [400 | 404]),
                "{path}: {answer}"
            );
        }
    });
}

#[test]
fn files_are_compressed_as_the_client_takes_them() {
    run(setup(&ClientFiles::Own, "/socket.io"), async |server| {
        let plain = server.ask(ask("/socket.io/socket.io.js", "")).await;
        let (_, plain) = plain.split_once("\r\n\r\n").expect("a body");
        for (accepted, coding) in [
            ("br, gzip", "br"),
            ("gzip, deflate, br", "gzip"),
            ("br;q=0.9, deflate", "deflate"),
        ] {
            let fields = format!("Accept-Encoding: {accepted}\r\n");
            let mut client = server.connect().await;
            client.send(ask("/socket.io/socket.io.js", &fields)).await;
            while client.read_some().await > 0 {}
            let end = client.read.windows(4).position(|at| at == b"\r\n\r\n");
            let (head, body) = client.read.split_at(end.expect("a head") + 4);
            let head = String::from_utf8_lossy(head);
            assert_eq!(field(&head, "content-encoding"), Some(coding));
            assert!(head.contains("vary: accept-encoding"), "{head}");
            let mut text = String::new();
            let read = match coding {
                "br" => brotli::Decompressor::new(body, 4096).read_to_string(&mut text),
                "gzip" => flate2::read::GzDecoder::new(body).read_to_string(&mut text),
                _ => flate2::read::ZlibDecoder::new(body).read_to_string(&mut text),
            };
            assert!(read.is_ok() && text == plain, "{coding}");
            assert!(body.len() < plain.len() / 2);
        }
    });
}

#[test]
fn our_own_client_stands_for_what_it_can() {
    run(setup(&ClientFiles::Own, "/socket.io"), async |server| {
        for (name, status) in [
            ("socket.io.js", 200),
            ("socket.io.min.js", 200),
            ("socket.io.esm.min.js", 200),
            ("socket.io.msgpack.min.js", 404),
            ("socket.io.js.map", 404),
        ] {
            let answer = server.ask(ask(&format!("/socket.io/{name}"), "")).await;
            assert_eq!(statuses(&answer), [status], "{name}");
            if status == 200 {
                let etag = field(&answer, "etag").expect("an etag");
                assert!(etag.starts_with("\"parlor-"), "{etag}");
            }
        }
    });
}

#[test]
fn a_directory_without_a_client_is_an_error() {
    let empty = Package::new("bundle-empty", &[]);
    assert!(Bundle::of(&empty.setting()).is_err());
    let nameless = Package::new("bundle-nameless", &[("dist/socket.io.js", "0")]);
    assert!(Bundle::of(&nameless.setting()).is_ok());
    let large = Package::new("bundle-large", &[("dist/socket.io.js", "0")]);
    let big = fs::File::create(large.0.join("dist/socket.io.min.js")).expect("a file");
    big.set_len(4 * 1024 * 1024 + 1).expect("a length");
    assert!(Bundle::of(&large.setting()).is_err());
}
