//! The example of a client, run as a reader of the documentation would run it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    thread,
};

use tokio::{sync::mpsc, time::timeout};

use crate::{client_support::PATIENCE, proxy::Proxy, support::TestServer};

/// A person with the example; it is killed when it is dropped.
struct Person {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Person {
    fn start(url: &str, name: &str) -> Self {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let mut child = Command::new(profile.join("examples/client"))
            .args([url, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel(100);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if tell.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn says(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits until it shows a line with this in it.
    async fn sees(&mut self, text: &str) {
        let found = async {
            loop {
                let line = self.lines.recv().await.expect("it goes on");
                if line.contains(text) {
                    return;
                }
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| unreachable!("no `{text}`"));
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn two_people_talk_and_survive_a_restart() {
    let mut first = TestServer::start(|_| {});
    let proxy = Proxy::start(first.address).await;
    let url = format!("ws://{}/signal", proxy.address);
    let mut ann = Person::start(&url, "Ann");
    ann.sees("-- 0 others are here").await;
    let mut bo = Person::start(&url, "Bo");
    bo.sees("-- 1 others are here").await;
    bo.says("Hello, Ann!");
    ann.sees("Bo: Hello, Ann!").await;
    first.stop();
    bo.sees("; again in ").await;
    // Said while there is no connection, and heard behind the gap.
    bo.says("Are you still there?");
    let second = TestServer::start(|_| {});
    proxy.lead_to(second.address);
    ann.sees("-- something is missing here").await;
    ann.sees("Bo: Are you still there?").await;
    ann.says("Yes.");
    bo.sees("Ann: Yes.").await;
    // The end of its input is the end of it, and a good one.
    drop(bo.child.stdin.take());
    let mut child = bo;
    let ended = tokio::task::spawn_blocking(move || child.child.wait());
    let ended = timeout(PATIENCE, ended).await.unwrap().unwrap();
    assert!(ended.unwrap().success());
}
