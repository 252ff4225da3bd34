//! One HTTP connection, from its first byte to its end.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::exchange::{End, Exchange};
use super::gate::Gate;
use super::service::answer;
use super::{Accepted, Context, Outcome, Taken};
use crate::metrics::Refused;
use crate::policy::leave_out_body;

/// Serves one connection until it closes or a door claims a request on it.
///
/// Must run inside a tokio runtime with I/O and time; it needs no [`Send`]. A panic of a handler or
/// of this code ends this connection only. Cancel-safe in the sense that dropping the future closes
/// the socket.
pub(crate) async fn serve(accepted: Accepted, context: Rc<Context>) -> Outcome {
    let peer = accepted.peer;
    let metrics = Arc::clone(&context.site.metrics);
    let mut running = Box::pin(run(accepted, context));
    let outcome = poll_fn(|cx| {
        // The future is not polled again after a panic: it is dropped with the connection.
        catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)))
            .map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await;
    outcome.unwrap_or_else(|| {
        tracing::error!(%peer, "http connection panicked");
        metrics.panicked();
        Outcome::Done
    })
}

async fn run(accepted: Accepted, context: Rc<Context>) -> Outcome {
    let peer = accepted.peer;
    let exchange = Rc::new(Exchange::default());
    let gate = Gate::new(accepted, Rc::clone(&context), Rc::clone(&exchange));
    let service =
        service_fn(|request| answer(request, peer, Rc::clone(&context), Rc::clone(&exchange)));
    let limits = &context.limits;
    let mut connection = http1::Builder::new()
        .half_close(false)
        // The gate has its own deadline, which also tells the client.
        .header_read_timeout(None)
        .max_buf_size(HYPER_BUFFER_BYTES + limits.head.head_bytes_max)
        .max_headers(limits.head.fields_max)
        .serve_connection(gate, service);
    let mut stopping = context.stopping.clone();
    let mut stop = pin!(async move {
        // A dropped sender means that the server is gone, which is a stop as well.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    });
    let mut stopped = false;
    let finished = poll_fn(|cx| {
        if !stopped && stop.as_mut().poll(cx).is_ready() {
            stopped = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        // Not `poll_without_shutdown`: that leaves unwritten what a slow socket has not taken yet.
        // The gate keeps its socket open.
        Pin::new(&mut connection).poll(cx)
    })
    .await;
    if let Err(error) = finished {
        tracing::debug!(%peer, %error, "http connection failed");
    }
    let parts = connection.into_parts();
    let (stream, read, ended) = parts.io.into_parts();
    match exchange.end() {
        End::Claimed(head_len) if parts.read_buf.is_empty() => Outcome::Taken(Taken {
            stream,
            read,
            head_len,
        }),
        End::Refused(refusal) if parts.read_buf.is_empty() => {
            let metrics = &context.site.metrics;
            metrics.refused(Refused::of_request(refusal.status));
            tracing::debug!(%peer, status = refusal.status, reason = refusal.text, "request refused");
            let mut response = refusal.to_response();
            if read.starts_with(b"HEAD ") {
                leave_out_body(&mut response);
            }
            close(stream, &response, ended, &context).await;
            Outcome::Done
        }
        End::Claimed(_) | End::Refused(_) | End::Closed => {
            close(stream, &[], ended, &context).await;
            Outcome::Done
        }
    }
}

/// Writes the last words, closes our side, and reads on for a moment: a socket that is closed with
/// bytes unread resets the connection, and the client may lose the answer.
async fn close(mut stream: TcpStream, words: &[u8], ended: bool, context: &Context) {
    let limits = &context.limits;
    let farewell = async {
        stream.write_all(words).await?;
        stream.shutdown().await
    };
    let told = matches!(timeout(limits.write_timeout, farewell).await, Ok(Ok(())));
    if told && !ended {
        linger(&mut stream, limits.linger_timeout).await;
    }
}

async fn linger(stream: &mut TcpStream, limit: Duration) {
    let drain = async {
        let mut scratch = [0; LINGER_READ_BYTES];
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match stream.read(&mut scratch).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    // Whether they closed or the time is up, the socket goes.
    let _ = timeout(limit, drain).await;
}

/// The most that hyper buffers of one connection in each direction, in bytes, besides a head: it
/// takes those whole.
const HYPER_BUFFER_BYTES: usize = 48 * 1024;

/// Bytes thrown away by one read of a closing connection.
const LINGER_READ_BYTES: usize = 2 * 1024;

/// The most that is thrown away before a closing connection is cut, in bytes.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;
