//! `--static DIR`, by a real server.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use crate::{
    http_support::{ask_whole, field, last_get_of, start, statuses},
    support::TestServer,
};

/// A directory of its own, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("parlor-it-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root/sub/.git")).unwrap();
        fs::create_dir_all(path.join("outside")).unwrap();
        for (file, text) in [
            ("root/page.html", "<p>page</p>"),
            ("root/ws", "not the door"),
            ("root/.env", "secret"),
            ("root/sub/.git/config", "secret"),
            ("outside/secret.txt", "secret"),
        ] {
            fs::write(path.join(file), text).unwrap();
        }
        symlink("../outside", path.join("root/out")).unwrap();
        Self(path)
    }

    fn serve(&self) -> TestServer {
        start(|config| config.static_dir = Some(self.0.join("root")))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn doors_win_over_files_and_files_over_pages() {
    let directory = Directory::new("order");
    let server = directory.serve();
    let answer = ask_whole(&server, &last_get_of("/page.html"));
    assert!(answer.ends_with("<p>page</p>"), "{answer}");
    assert_eq!(
        field(&answer, "content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(statuses(&ask_whole(&server, &last_get_of("/ws"))), [426]);
    assert!(ask_whole(&server, &last_get_of("/")).ends_with("home\n"));
    fs::write(directory.0.join("root/index.html"), "mine").unwrap();
    assert!(ask_whole(&server, &last_get_of("/")).ends_with("mine"));
    server.websocket("/");
}

#[test]
fn path_tricks_and_dot_files_get_404_or_400() {
    let directory = Directory::new("tricks");
    let server = directory.serve();
    for path in [
        "/.env",
        "/%2eenv",
        "/sub/.git/config",
        "/out/secret.txt",
        "/out/",
        "/../outside/secret.txt",
        "/%2e%2e/outside/secret.txt",
        "/..%2foutside/secret.txt",
        "/..%5coutside%5csecret.txt",
        "/sub/../../outside/secret.txt",
        "/....//outside/secret.txt",
        "/%252e%252e/outside/secret.txt",
        "/%c0%ae%c0%ae/outside/secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/page.html%00",
        "/page.html/",
        "/%",
    ] {
        let answer = ask_whole(&server, &last_get_of(path));
        assert!(
            matches!(*statuses(&answer), [404 | 400]),
            "{path}: {answer}"
        );
        assert!(
            !answer.contains("secret") && !answer.contains("root:"),
            "{path}: {answer}"
        );
    }
}
