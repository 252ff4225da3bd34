//! How many connections one address may have.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    num::NonZero,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{
    http_support::{field, get_of, last_get_of, response},
    support::{Client, TestServer, upgrade},
};

const MAX: usize = 3;
/// How long a place may take to be free again.
const PATIENCE: Duration = Duration::from_secs(10);

fn start(shards: usize) -> TestServer {
    TestServer::start(|config| {
        config.connections_per_address_max = MAX;
        config.shards = NonZero::new(shards);
        config.head_timeout = Duration::from_millis(200);
        config.http_idle_timeout = Duration::from_millis(500);
    })
}

/// A connection from another address of this machine.
fn from(address: [u8; 4], server: &TestServer) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The first line of the answer to a request, and the rest of its head.
fn ask(mut stream: TcpStream, request: &str) -> (TcpStream, String) {
    // Who is refused before the request was read may meet a closed socket.
    let _ = stream.write_all(request.as_bytes());
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

fn is_refused(response: &str) -> bool {
    // A reset may have taken the answer away, which the server tries to avoid.
    response.starts_with("HTTP/1.1 429 ")
}

/// Comes in as soon as there is a place.
fn enter(server: &TestServer, request: &str) -> TcpStream {
    let began = Instant::now();
    loop {
        let (stream, response) = ask(server.tcp(), request);
        if !is_refused(&response) {
            assert!(response.starts_with("HTTP/1.1 "), "{response:?}");
            return stream;
        }
        assert!(began.elapsed() < PATIENCE, "no place is free");
    }
}

/// There are exactly as many places as there should be.
fn expect_all_places(server: &TestServer) {
    let held: Vec<_> = (0..MAX)
        .map(|_| enter(server, &upgrade("/ws", "")))
        .collect();
    for request in [upgrade("/ws", ""), last_get_of("/healthz")] {
        let (_, refused) = ask(server.tcp(), &request);
        assert!(is_refused(&refused), "{refused:?}");
        assert_eq!(field(&refused, "retry-after"), Some("5"));
    }
    drop(held);
}

#[test]
fn one_more_connection_of_an_address_is_told_to_come_later() {
    for shards in [1, 3] {
        let server = start(shards);
        expect_all_places(&server);
        // Another address is not concerned.
        let own: Vec<_> = (0..MAX)
            .map(|_| enter(&server, &upgrade("/ws", "")))
            .collect();
        let (other, response) = ask(from([127, 0, 0, 2], &server), &upgrade("/ws", ""));
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        drop((own, other));
        expect_all_places(&server);
    }
}

#[test]
fn a_place_is_given_back_once_whichever_way_a_connection_ends() {
    for shards in [1, 3] {
        let server = start(shards);
        for _ in 0..5 {
            // A member, a stream, the echo: closed by the client, by both, by a reset.
            drop(enter(&server, &upgrade("/ws/tea", "")));
            drop(enter(&server, &get_of("/sse/tea")));
            let mut echo = Client::adopt(enter(&server, &upgrade("/echo", "")));
            echo.send(0x88, &[3, 0xe8]);
            assert_eq!(echo.receive_close().0, 1000);
            // The peer of a broken protocol is given time to read why.
            let mut broken = Client::adopt(enter(&server, &upgrade("/echo", "")));
            broken.send(0x83, b"");
            assert_eq!(broken.receive_close().0, 1002);
            // Refused by a door, and by HTTP.
            let mut refused = enter(&server, &upgrade("/ws/%ff", ""));
            let _ = refused.read_to_end(&mut Vec::new());
            drop(enter(&server, &last_get_of("/nothing")));
            // Kept alive on the HTTP path, then a member on the same connection, then gone.
            let mut moved = enter_with(&server, &get_of("/healthz"));
            moved.write_all(upgrade("/ws/tea", "").as_bytes()).unwrap();
            let mut member = Client::opened(moved);
            member.settle();
            member.stream.shutdown(Shutdown::Both).unwrap();
        }
        // No request at all: closed by the server in the end.
        let mut silent = server.tcp();
        let _ = silent.read_to_end(&mut Vec::new());
        let mut half = server.tcp();
        half.write_all(b"GET / HT").unwrap();
        let _ = half.read_to_end(&mut Vec::new());
        expect_all_places(&server);
    }
}

/// Comes in with a request whose answer is read to its end, and stays.
fn enter_with(server: &TestServer, request: &str) -> TcpStream {
    let began = Instant::now();
    loop {
        let mut stream = server.tcp();
        if stream.write_all(request.as_bytes()).is_ok() {
            let answer = response(&mut stream);
            if !is_refused(&answer) {
                return stream;
            }
        }
        assert!(began.elapsed() < PATIENCE, "no place is free");
    }
}

#[test]
fn a_place_is_held_while_a_connection_is_on_the_http_path() {
    let server = start(2);
    let held: Vec<_> = (0..MAX)
        .map(|_| enter_with(&server, &get_of("/healthz")))
        .collect();
    let (_, refused) = ask(server.tcp(), &last_get_of("/healthz"));
    assert!(is_refused(&refused), "{refused:?}");
    drop(held);
    expect_all_places(&server);
}
