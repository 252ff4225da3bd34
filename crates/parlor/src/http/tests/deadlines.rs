//! Every wait ends. The settings are shortened; nothing here waits for the defaults.

use super::*;

const SHORT: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(60);

fn limits(change: impl FnOnce(&mut Limits)) -> Setup {
    let mut setup = Setup::default();
    setup.limits.head_timeout = LONG;
    setup.limits.body_timeout = LONG;
    setup.limits.idle_timeout = LONG;
    setup.limits.write_timeout = LONG;
    change(&mut setup.limits);
    setup
}

/// Sends a byte every few milliseconds until the server answers or closes; tells what it said.
async fn trickle(client: &mut Client, bytes: &[u8]) -> String {
    for byte in bytes.iter().cycle() {
        client.send([*byte]).await;
        let mut pause = std::pin::pin!(tokio::time::sleep(Duration::from_millis(5)));
        tokio::select! {
            () = &mut pause => {}
            _ = client.stream.readable() => break,
        }
    }
    client.rest().await
}

#[test]
fn a_silent_connection_is_closed() {
    run(
        limits(|limits| limits.head_timeout = SHORT),
        async |server| {
            let mut client = server.connect().await;
            assert_eq!(client.rest().await, "");
        },
    );
}

#[test]
fn a_slow_head_gets_408() {
    run(
        limits(|limits| limits.head_timeout = SHORT),
        async |server| {
            let mut client = server.connect().await;
            client.send("GET / HTTP/1.1\r\nX: ").await;
            let answer = client.rest().await;
            assert_eq!(statuses(&answer), [408]);
            assert_eq!(field(&answer, "connection"), Some("close"));
            let mut client = server.connect().await;
            client.send("GET / HTTP/1.1\r\nX: ").await;
            assert_eq!(statuses(&trickle(&mut client, b"a").await), [408]);
            let mut client = server.connect().await;
            assert_eq!(statuses(&trickle(&mut client, b"\x16\x03").await), [400]);
            assert_eq!(server.handled(), 0);
        },
    );
}

#[test]
fn a_slow_second_head_gets_408() {
    run(
        limits(|limits| limits.head_timeout = SHORT),
        async |server| {
            let mut client = server.connect().await;
            client.send(get_of("/") + "GET / HT").await;
            client.response().await;
            assert_eq!(statuses(&client.rest().await), [408]);
            let mut client = server.connect().await;
            client.send(get_of("/")).await;
            client.response().await;
            assert_eq!(statuses(&trickle(&mut client, b"A").await), [408]);
        },
    );
}

#[test]
fn a_slow_body_gets_408() {
    run(
        limits(|limits| limits.body_timeout = SHORT),
        async |server| {
            let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\n";
            let mut client = server.connect().await;
            client
                .send(format!("{head}Content-Length: 900\r\n\r\n"))
                .await;
            let answer = client.rest().await;
            assert_eq!(statuses(&answer), [408]);
            assert_eq!(field(&answer, "connection"), Some("close"));
            let mut client = server.connect().await;
            client
                .send(format!("{head}Content-Length: 900\r\n\r\n"))
                .await;
            assert_eq!(statuses(&trickle(&mut client, b"a").await), [408]);
            let mut client = server.connect().await;
            client
                .send(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhe"))
                .await;
            assert_eq!(statuses(&client.rest().await), [408]);
        },
    );
}

#[test]
fn an_idle_connection_is_closed() {
    run(
        limits(|limits| limits.idle_timeout = SHORT),
        async |server| {
            let mut client = server.connect().await;
            client.send(get_of("/")).await;
            client.response().await;
            assert_eq!(client.rest().await, "");
            // Blank lines are no sign of life.
            let mut client = server.connect().await;
            client.send(get_of("/")).await;
            client.response().await;
            client.send("\r\n").await;
            assert_eq!(client.rest().await, "");
        },
    );
}

#[test]
fn a_waiting_handler_is_not_idle() {
    let short = limits(|limits| {
        limits.body_timeout = SHORT;
        limits.idle_timeout = SHORT;
        limits.write_timeout = SHORT;
    });
    run(short, async |server| {
        let mut client = server.connect().await;
        client.send(get_of("/slow")).await;
        tokio::time::sleep(SHORT * 4).await;
        server.release.notify_one();
        assert!(client.response().await.ends_with("slow\n"));
    });
}

#[test]
fn a_reader_that_stalls_is_cut() {
    run(
        limits(|limits| limits.write_timeout = SHORT),
        async |server| {
            let mut client = server.connect().await;
            client.send(get_of("/big")).await;
            server.wait_ended(1).await;
            assert!(client.rest().await.len() < 32 * 1024 * 1024);
        },
    );
}
