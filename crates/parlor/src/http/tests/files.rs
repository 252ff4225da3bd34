//! The operator's files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

/// A directory of its own below the target directory, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("parlor-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root/sub/.git")).expect("a directory");
        fs::create_dir_all(path.join("root/bare")).expect("a directory");
        fs::create_dir_all(path.join("outside")).expect("a directory");
        let this = Self(path);
        for (file, text) in [
            ("root/page.html", "<p>page</p>"),
            ("root/code.js", "0"),
            ("root/data.json", "{}"),
            ("root/a b.txt", "spaced"),
            ("root/.env", "secret"),
            ("root/sub/index.html", "sub index"),
            ("root/sub/.git/config", "secret"),
            ("outside/secret.txt", "secret"),
            ("outside/index.html", "secret"),
        ] {
            fs::write(this.0.join(file), text).expect("a file");
        }
        symlink("page.html", this.0.join("root/link.html")).expect("a link");
        symlink("../outside/secret.txt", this.0.join("root/out.txt")).expect("a link");
        symlink("../outside", this.0.join("root/outdir")).expect("a link");
        symlink("sub/.git/config", this.0.join("root/git.txt")).expect("a link");
        symlink("loop", this.0.join("root/loop")).expect("a link");
        this
    }

    fn setup(&self) -> Setup {
        let assets = Assets::open(&self.0.join("root")).expect("it is there");
        Setup {
            assets: Some(assets),
            ..Setup::default()
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_served() {
    let directory = Directory::new("served");
    run(directory.setup(), async |server| {
        for (path, kind, body) in [
            ("/page.html", "text/html; charset=utf-8", "<p>page</p>"),
            ("/page.html?x=1", "text/html; charset=utf-8", "<p>page</p>"),
            ("/code.js", "text/javascript; charset=utf-8", "0"),
            ("/data.json", "application/json", "{}"),
            ("/a%20b.txt", "text/plain; charset=utf-8", "spaced"),
            ("/sub/", "text/html; charset=utf-8", "sub index"),
            ("/link.html", "text/html; charset=utf-8", "<p>page</p>"),
        ] {
            let answer = server.ask(last_get_of(path)).await;
            assert_eq!(statuses(&answer), [200], "{path}: {answer}");
            assert_eq!(field(&answer, "content-type"), Some(kind), "{path}");
            assert!(
                answer.ends_with(&format!("\r\n\r\n{body}")),
                "{path}: {answer}"
            );
            assert_eq!(field(&answer, "x-content-type-options"), Some("nosniff"));
            assert!(field(&answer, "last-modified").is_some());
        }
        let answer = server.ask(last_get_of("/sub")).await;
        assert_eq!(statuses(&answer), [307]);
        assert_eq!(field(&answer, "location"), Some("./sub/"));
        // Without an index there, the page stays.
        assert!(server.ask(last_get_of("/")).await.ends_with("home\n"));
        assert!(server.ask(last_get_of("/healthz")).await.ends_with("ok\n"));
    });
}

#[test]
fn an_index_replaces_the_page() {
    let directory = Directory::new("index");
    fs::write(directory.0.join("root/index.html"), "mine").expect("a file");
    fs::write(directory.0.join("root/healthz"), "mine").expect("a file");
    run(directory.setup(), async |server| {
        assert!(server.ask(last_get_of("/")).await.ends_with("mine"));
        assert!(
            server.ask(last_get_of("/healthz")).await.ends_with("ok\n"),
            "doors win"
        );
        let post = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert!(server.ask(post).await.ends_with("home\n"));
    });
}

#[test]
fn parts_and_heads_are_served() {
    let directory = Directory::new("parts");
    run(directory.setup(), async |server| {
        let ask = |method: &str, fields: &str| {
            format!(
                "{method} /page.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"
            )
        };
        let answer = server.ask(ask("HEAD", "")).await;
        assert_eq!(statuses(&answer), [200]);
        assert_eq!(field(&answer, "content-length"), Some("11"));
        assert!(answer.ends_with("\r\n\r\n"));
        let answer = server.ask(ask("GET", "Range: bytes=3-6\r\n")).await;
        assert_eq!(statuses(&answer), [206]);
        assert!(answer.ends_with("\r\n\r\npage"), "{answer}");
        for range in ["bytes=99-", "bytes=5-1", "bytes=0-1,3-4"] {
            let answer = server.ask(ask("GET", &format!("Range: {range}\r\n"))).await;
            assert_eq!(statuses(&answer), [416], "{range}");
        }
        let modified = field(&server.ask(ask("GET", "")).await, "last-modified")
            .expect("it has a date")
            .to_owned();
        let answer = server
            .ask(ask("GET", &format!("If-Modified-Since: {modified}\r\n")))
            .await;
        assert_eq!(statuses(&answer), [304]);
    });
}

#[test]
fn nothing_else_is_served() {
    let directory = Directory::new("hidden");
    run(directory.setup(), async |server| {
        let mut wrong = Vec::new();
        for path in [
            "/.env",
            "/%2eenv",
            "/sub/.git/config",
            "/sub/%2Egit/config",
            "/.git/",
            "/./.env",
            "/out.txt",
            "/outdir",
            "/outdir/",
            "/outdir/secret.txt",
            "/git.txt",
            "/loop",
            "/../outside/secret.txt",
            "/sub/../../outside/secret.txt",
            "/%2e%2e/outside/secret.txt",
            "/..%2foutside/secret.txt",
            "/..%2Foutside%2Fsecret.txt",
            "/%2e%2e%2foutside%2fsecret.txt",
            "/..%5coutside%5csecret.txt",
            "/..\\outside\\secret.txt",
            "/....//outside/secret.txt",
            "/sub//../../outside/secret.txt",
            "//etc/passwd",
            "///etc/passwd",
            "/%2fetc/passwd",
            "/etc/passwd",
            "/page.html%00",
            "/page.html%00.txt",
            "/%00",
            "/page.html/",
            "/page.html/x",
            "/%c0%ae%c0%ae/outside/secret.txt",
            "/%252e%252e/outside/secret.txt",
            "/%",
            "/%zz",
            "/%ff",
            "/page.html%0d%0aX:%20y",
            "/bare/",
            "/bare",
            "/~root",
            "/page.html::$DATA",
            "/PAGE.html",
        ] {
            let answer = server.ask(last_get_of(path)).await;
            if !matches!(*statuses(&answer), [404 | 400]) || answer.contains("secret") {
                wrong.push((path, answer));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn pipes_are_not_opened() {
    let directory = Directory::new("pipes");
    let pipe = directory.0.join("root/pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("a pipe");
    run(directory.setup(), async |server| {
        assert_eq!(statuses(&server.ask(last_get_of("/pipe")).await), [404]);
    });
}

#[test]
fn an_absent_directory_is_an_error() {
    let directory = Directory::new("absent");
    assert!(Assets::open(&directory.0.join("none")).is_err());
    assert!(Assets::open(&directory.0.join("root/page.html")).is_err());
}
