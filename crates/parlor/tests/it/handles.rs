//! Handles of members, rooms and servers: from any thread, and what misuse of them gets.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use parlor::{BoxError, Endpoint, Member, RoomError, SendError, Server};

use crate::support::{Client, TestServer, block_on, frame, wait_until};

fn echo() -> Endpoint {
    Endpoint::new().on_message(|member, message| async move { member.send(message) })
}

#[test]
fn handles_work_from_any_thread() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let members = Endpoint::new().on_connect(move |connect| {
        let _ = tell.lock().unwrap().send(connect.member().clone());
        async move {
            connect.member().join("tea")?;
            Ok(connect)
        }
    });
    let server = TestServer::build(
        |config| config.shards = std::num::NonZero::new(2),
        |builder| builder.endpoint("/", members),
    );
    let handle = &server.handle;
    let mut clients: Vec<_> = (0..3).map(|_| server.websocket("/")).collect();
    let members: Vec<Member> = told.iter().take(3).collect();
    let room = handle.room("tea").unwrap();
    block_on(async {
        while room.population().await.unwrap() < 3 {
            tokio::task::yield_now().await;
        }
        let mut ids: Vec<_> = members.iter().map(Member::id).collect();
        ids.sort_unstable();
        let peers = room.members().await.unwrap();
        assert_eq!(peers.iter().map(|peer| peer.id).collect::<Vec<_>>(), ids);
        let mut all = handle.members().await.unwrap();
        all.sort_unstable_by_key(Member::id);
        assert_eq!(all.iter().map(Member::id).collect::<Vec<_>>(), ids);
        assert_eq!(
            handle.member(ids[0]).await.unwrap().map(|m| m.id()),
            Some(ids[0])
        );
        let published = room.priority(parlor::Priority::High);
        let published = published.publish_and_wait("counted").await.unwrap();
        assert_eq!(published.receivers, 3);
        assert_eq!(handle.connections(), 3);
    });
    for client in &mut clients {
        assert_eq!(client.receive_text(), "counted");
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            members[0].send("to one").unwrap();
            handle.send_to(members[0].id(), "by id").unwrap();
        });
    });
    assert_eq!(clients[0].receive_text(), "to one");
    assert_eq!(clients[0].receive_text(), "by id");
    room.except(&members[1]).publish("not to one").unwrap();
    assert_eq!(clients[0].receive_text(), "not to one");
    assert_eq!(clients[2].receive_text(), "not to one");
    handle.broadcast("to all").unwrap();
    for client in &mut clients {
        assert_eq!(client.receive_text(), "to all");
    }
    // A name of an event that cannot be told is refused; endpoints hear none with a name.
    let odd = room.event("a\nb").publish("x");
    assert!(matches!(odd, Err(RoomError::Event)), "{odd:?}");
    room.event("tick").publish("x").unwrap();
    room.publish("after").unwrap();
    assert_eq!(clients[2].receive_text(), "after");
    handle.shutdown();
    for client in &mut clients {
        while client.receive().is_ok_and(|frame| frame.first != 0x88) {}
    }
    // The shards end one after the other, and each handle goes to its own.
    let closed = |result| matches!(result, Err(SendError::Closed));
    wait_until("the handles hear that the server has gone", || {
        closed(handle.broadcast("x")) && closed(members[0].send("x")) && closed(room.publish("x"))
    });
    assert!(closed(block_on(room.population()).map(|_| ())));
}

#[test]
fn before_it_runs_a_server_answers_that_it_is_closed() {
    let server = Server::builder().endpoint("/", echo()).build().unwrap();
    let handle = server.handle();
    assert!(matches!(handle.broadcast("x"), Err(SendError::Closed)));
    assert_eq!(handle.connections(), 0);
    assert!(handle.room("\n").is_err());
    for (path, what) in [
        ("x", "is not a path"),
        ("/{a}/{a}", "names two parts alike"),
    ] {
        let error = Server::builder()
            .endpoint(path, echo())
            .build()
            .unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    let twice = Server::builder()
        .endpoint("/a", echo())
        .endpoint("/a", echo());
    assert!(twice.build().is_err());
}

#[test]
fn a_slow_handler_holds_its_client_and_no_other() {
    let (handled, gate) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(tokio::sync::Semaphore::new(0)),
    );
    let (count, wait) = (Arc::clone(&handled), Arc::clone(&gate));
    let slow = Endpoint::new().on_message(move |member, message| {
        let (count, wait) = (Arc::clone(&count), Arc::clone(&wait));
        async move {
            let _turn = wait.acquire().await?;
            let number = count.fetch_add(1, Ordering::Relaxed);
            let expected: Result<usize, _> = message.json();
            assert_eq!(expected.ok(), Some(number), "in order");
            if number % 1000 == 999 {
                member.send(format!("{number}"))?;
            }
            Ok::<(), BoxError>(())
        }
    });
    let server = TestServer::build(
        |config| {
            config.shards = std::num::NonZero::new(1);
            // Less than the client is held, more than a busy machine lets it wait to send more.
            config.ping_interval = Duration::from_millis(500);
            config.ping_timeout = Duration::from_millis(1500);
        },
        |builder| builder.endpoint("/slow", slow).endpoint("/echo", echo()),
    );
    let mut client = server.websocket("/slow");
    let mut writer = client.stream.try_clone().unwrap();
    writer.set_nonblocking(false).unwrap();
    let sender = thread::spawn(move || {
        for number in 0..100_000 {
            let text = format!("{number:>100}");
            let frame = frame(0x81, text.as_bytes());
            std::io::Write::write_all(&mut writer, &frame).unwrap();
        }
    });
    // Ten megabytes are on their way, and the server takes in only so much of them.
    let mut other = server.websocket("/echo");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        other.send_text("alive");
        assert_eq!(receive_past_pings(&mut other), "alive");
    }
    assert!(!sender.is_finished(), "the client is held");
    assert_eq!(handled.load(Ordering::Relaxed), 0);
    gate.add_permits(1);
    for thousand in 1..=100 {
        // No pongs: they would come between the bytes that the other thread writes.
        let frame = loop {
            let frame = client.receive().unwrap();
            if frame.first != 0x89 {
                break frame;
            }
        };
        assert_eq!(frame.text(), format!("{}", thousand * 1000 - 1));
    }
    sender.join().unwrap();
}

fn receive_past_pings(client: &mut Client) -> String {
    loop {
        let frame = client.receive().unwrap();
        match frame.first {
            0x89 => client.send(0x8a, &frame.payload),
            _ => return frame.text().to_owned(),
        }
    }
}

#[test]
fn a_member_can_be_held_still() {
    let hold = Endpoint::new().on_message(|member, message| async move {
        match message.as_text() {
            Some("hold") => {
                member.pause()?;
                let member = member.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _ = member.send("held").and_then(|()| member.resume());
                });
            }
            _ => member.send(message)?,
        }
        Ok::<(), SendError>(())
    });
    let server = TestServer::build(|_| {}, |builder| builder.endpoint("/", hold));
    let mut client = server.websocket("/");
    client.send_text("hold");
    let member = block_on(server.handle.members()).unwrap().remove(0);
    wait_until("it is held", || member.is_paused());
    client.send_text("after");
    assert_eq!(client.receive_text(), "held");
    assert_eq!(client.receive_text(), "after");
}

#[test]
fn full_queues_say_so() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let flood = Endpoint::new().on_message(move |member, message| {
        let tell = tell.lock().unwrap().clone();
        async move {
            let mut sent = 0;
            while member.send(message.clone()).is_ok() {
                sent += 1;
            }
            let _ = tell.send((member, sent));
        }
    });
    let server = TestServer::build(
        |config| config.outbox_bytes_max = 300_000,
        |builder| builder.endpoint("/", flood),
    );
    // On the shard's own thread: 65,536 commands, none of which was done while the handler ran.
    let mut client = server.websocket("/");
    client.send_text("x");
    let (_, sent) = told.recv().unwrap();
    assert_eq!(sent, 65_536);
    for _ in 0..sent {
        assert_eq!(client.receive_text(), "x");
    }
    // A client that does not read: `try_send` spares it.
    let mut slow = server.websocket_with_small_buffer("/");
    slow.send_text("not read");
    let (member, _) = told.recv().unwrap();
    wait_until("its outbox is over its bound", || !member.is_open());
    let mut slow = server.websocket_with_small_buffer("/");
    let member = block_on(server.handle.members()).unwrap();
    let member = member
        .into_iter()
        .find(|m| m.peer() == slow.stream.local_addr().unwrap());
    let member = member.unwrap();
    let kilobyte = "z".repeat(1000);
    let sent = (0..)
        .find(|_| member.try_send(&*kilobyte).is_err())
        .unwrap();
    assert!((300..1000).contains(&sent), "{sent}");
    assert!(
        member.buffered_bytes() <= 300_000,
        "{}",
        member.buffered_bytes()
    );
    for _ in 0..sent {
        assert_eq!(slow.receive_text(), kilobyte);
    }
    wait_until("nothing is buffered", || member.buffered_bytes() == 0);
    member.send("still here").unwrap();
    assert_eq!(slow.receive_text(), "still here");
}

#[test]
fn a_handler_that_blocks_is_counted_and_nobody_is_cut_for_it() {
    let blocking = Endpoint::new().on_message(|member, message| async move {
        if message.as_text() == Some("block") {
            let until = Instant::now() + Duration::from_millis(1500);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
        member.send(message)
    });
    let server = TestServer::build(
        |config| {
            config.shards = std::num::NonZero::new(1);
            config.ping_interval = Duration::from_millis(100);
            config.ping_timeout = Duration::from_secs(1);
        },
        |builder| builder.endpoint("/", blocking),
    );
    let mut clients = [server.websocket("/"), server.websocket("/")];
    clients[0].send_text("block");
    assert_eq!(receive_past_pings(&mut clients[0]), "block");
    wait_until("the turn is over", || server.handle.slow_turns() > 0);
    for client in &mut clients {
        client.send_text("well");
        assert_eq!(receive_past_pings(client), "well");
    }
}

/// Reads what a listener hears of `total` messages, each `publisher number`.
fn heard(listener: &mut Client, total: usize) -> Vec<(usize, usize)> {
    let mut heard = Vec::with_capacity(total);
    while heard.len() < total {
        let text = listener.receive_text();
        let (publisher, number) = text.split_once(' ').unwrap();
        heard.push((publisher.parse().unwrap(), number.parse().unwrap()));
    }
    heard
}

#[test]
fn everybody_hears_one_order_from_handlers_that_wait() {
    const PUBLISHERS: usize = 16;
    const LISTENERS: usize = 100;
    const MESSAGES: usize = 100;
    let room = Endpoint::new()
        .on_connect(|connect| async move {
            connect.member().join("tea")?;
            Ok(connect)
        })
        .on_message(|member, message| async move {
            // Some handlers are done at once, some come back as tasks, and some after a while.
            let number = message.len() + message.as_bytes().last().copied().map_or(0, usize::from);
            match number % 3 {
                0 => tokio::task::yield_now().await,
                1 => tokio::time::sleep(Duration::from_micros(500)).await,
                _ => {}
            }
            member.publish("tea", message)
        });
    let server = TestServer::build(
        |config| config.shards = std::num::NonZero::new(2),
        |builder| builder.endpoint("/", room),
    );
    let mut listeners: Vec<_> = (0..LISTENERS).map(|_| server.websocket("/")).collect();
    let mut publishers: Vec<_> = (0..PUBLISHERS).map(|_| server.websocket("/")).collect();
    let tea = server.handle.room("tea").unwrap();
    block_on(async {
        while tea.population().await.unwrap() < LISTENERS + PUBLISHERS {
            tokio::task::yield_now().await;
        }
    });
    thread::scope(|scope| {
        for (publisher, client) in publishers.iter_mut().enumerate() {
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    client.send_text(&format!("{publisher} {number}"));
                }
            });
        }
    });
    let first = heard(&mut listeners[0], PUBLISHERS * MESSAGES);
    let mut next = [0; PUBLISHERS];
    let mut reordered = 0;
    for (publisher, number) in &first {
        reordered += usize::from(next[*publisher] != *number);
        next[*publisher] = number + 1;
    }
    assert_eq!(reordered, 0);
    for listener in &mut listeners[1..] {
        assert!(
            heard(listener, first.len()) == first,
            "all hear the same order"
        );
    }
}

#[test]
fn members_in_the_same_place_of_two_shards_are_told_apart() {
    const CLIENTS: usize = 6;
    let members = Arc::new(Mutex::new(Vec::<Member>::new()));
    let all = Arc::clone(&members);
    let numbers = Endpoint::new()
        .on_connect(move |connect| {
            all.lock().unwrap().push(connect.member().clone());
            async move { Ok(connect) }
        })
        .on_message(move |_, _| {
            // What is for one member right behind what is for another one, in all pairs.
            let members = members.lock().unwrap();
            for (number, member) in members.iter().enumerate() {
                for (other_number, other) in members.iter().enumerate() {
                    let _ = member.send(number.to_string());
                    let _ = other.send(other_number.to_string());
                }
            }
            async {}
        });
    let server = TestServer::build(
        |config| config.shards = std::num::NonZero::new(2),
        |builder| builder.endpoint("/", numbers),
    );
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.websocket("/")).collect();
    for speaker in 0..CLIENTS {
        clients[speaker].send_text("go");
        for (number, client) in clients.iter_mut().enumerate() {
            for _ in 0..2 * CLIENTS {
                assert_eq!(client.receive_text(), number.to_string());
            }
        }
    }
}
