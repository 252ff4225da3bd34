//! hyper reads behind the gate. Whatever the gate lets through as one message has to be one
//! message for hyper as well, or the two would disagree about where the next request begins.

use std::cell::Cell;

use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::super::body::BodyScan;
use super::*;
use crate::front::{self, HeadLimits, HeadScan};

/// The first message of some bytes by the rules of the gate: its length and that of its body
/// without framing, where it has one of its own.
fn first_message(bytes: &[u8]) -> Option<usize> {
    let end = HeadScan::new().end(bytes)?;
    let mut fields = front::fields();
    let head = front::read_head(bytes.get(..end)?, &HeadLimits::default(), &mut fields).ok()?;
    match BodyScan::new(head.framing, 1000).ok()? {
        None => Some(end),
        Some(mut scan) => {
            let used = scan.follow(bytes.get(end..)?).ok()?;
            scan.is_done().then_some(end + used)
        }
    }
}

/// What hyper makes of bytes: how many requests it saw whole, and whether it met an error.
async fn read_by_hyper(bytes: &[u8]) -> (usize, bool) {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    client.write_all(bytes).await.expect("it fits");
    client.shutdown().await.expect("it is open");
    let (whole, failed) = (Cell::new(0), Cell::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        let (whole, failed) = (&whole, &failed);
        async move {
            match request.into_body().collect().await {
                Ok(_) => whole.set(whole.get() + 1),
                Err(_) => failed.set(true),
            }
            Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(server), service)
        .await;
    (whole.get(), failed.get() || served.is_err())
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }
}

const SEEDS: [&str; 6] = [
    "GET /a?b HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET / HTTP/",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0a\r\n0\r\n\r\n 1\r\n0\r\n\r\n0\r\nt: u\r\n\r\n",
    "PUT * HTTP/1.0\r\nhost:a\r\nCONTENT-LENGTH:\t1 \r\n\r\nx",
    "OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\nExpect: 100-continue\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
];

const PIECES: [&str; 24] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    ":",
    ";",
    ",",
    "0",
    "1",
    "f",
    "\r\n\r\n",
    "+",
    "0x",
    "\u{e4}",
    "Content-Length: 1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "chunked",
    "Host: a\r\n",
    "Host: b\r\n",
    "Expect: 100-continue\r\n",
    "5\r\nhello\r\n",
    "\x0b",
];

/// A request with up to three faults.
fn mutated(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = SEEDS[numbers.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..numbers.below(4) {
        let at = numbers.below(bytes.len());
        let piece = PIECES[numbers.below(PIECES.len())].bytes();
        let end = (at + numbers.below(4)).min(bytes.len());
        drop(bytes.splice(at..end, piece));
    }
    bytes
}

#[test]
fn hyper_reads_the_messages_that_the_gate_lets_through() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let mut seen = 0;
    for _ in 0..30_000 {
        let bytes = mutated(&mut numbers);
        let Some(end) = first_message(&bytes) else {
            continue;
        };
        seen += 1;
        let message = bytes.get(..end).expect("within");
        let text = String::from_utf8_lossy(message);
        assert_eq!(
            runtime.block_on(read_by_hyper(message)),
            (1, false),
            "{text:?}"
        );
    }
    assert!(seen > 3000, "{seen} are too few to tell");
}

#[test]
fn any_split_is_judged_alike() {
    let mut numbers = Numbers(42);
    for _ in 0..3000 {
        let bytes = mutated(&mut numbers);
        let mut scan = HeadScan::new();
        let end = (0..=bytes.len()).find_map(|len| scan.end(bytes.get(..len)?));
        assert_eq!(
            end,
            HeadScan::new().end(&bytes),
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
        let Some(end) = end else { continue };
        // An incomplete head that is refused early would not have been read when complete.
        let mut fields = front::fields();
        let head = bytes.get(..end).expect("within");
        if front::read_head(head, &HeadLimits::default(), &mut fields).is_ok() {
            for len in 0..end {
                let fault =
                    front::early_fault(head.get(..len).expect("within"), &HeadLimits::default());
                assert_eq!(fault, None, "{:?} at {len}", String::from_utf8_lossy(head));
            }
        }
    }
}
