//! Raw bytes in, raw bytes out, over a real socket.

mod agreement;
mod bundle;
mod deadlines;
mod files;
mod hostile;
mod requests;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use super::{Accepted, Assets, Context, Limits, Outcome, Routes, Site, Taken, router, serve};
use crate::policy::Checks;
use crate::policy::Policy;

/// A server of one thread, and what a test may do to it.
struct Server {
    addr: SocketAddr,
    /// Requests that reached a handler.
    handled: Arc<AtomicUsize>,
    /// Lets `/slow` answer.
    release: Arc<Notify>,
    /// Told when a handler of `/slow` is dropped or done.
    slow_ended: Arc<Notify>,
    draining: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    taken: mpsc::Receiver<Taken>,
    /// Connections whose future has ended.
    ended: watch::Receiver<usize>,
}

/// What a test may set before the start.
struct Setup {
    limits: Limits,
    loopback_only: bool,
    origins: Vec<String>,
    assets: Option<Assets>,
    doors: Router,
}

impl Default for Setup {
    fn default() -> Self {
        let limits = Limits {
            linger_timeout: Duration::from_millis(200),
            ..Limits::default()
        };
        Self {
            limits: Limits {
                body_bytes_max: 1000,
                ..limits
            },
            loopback_only: true,
            origins: Vec::new(),
            assets: None,
            doors: Router::new(),
        }
    }
}

/// Runs a test with a server beside it, in one thread.
fn run<F: AsyncFnOnce(&mut Server)>(setup: Setup, test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let mut server = start(setup).await;
        timeout(Duration::from_secs(15), test(&mut server))
            .await
            .expect("the test hangs");
    });
}

async fn start(setup: Setup) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let policy = Policy::new(&setup.origins, setup.loopback_only).expect("origins");
    let (handled, release, slow_ended) = Default::default();
    let pages = pages(&handled, &release, &slow_ended);
    let draining = Arc::new(AtomicBool::new(false));
    let routes = Routes {
        polled: Router::new(),
        doors: setup.doors,
        assets: setup.assets,
        pages,
        metrics: None,
        endpoints: Arc::new(|path| path == "/upgrade"),
        draining: Arc::clone(&draining),
    };
    let router = router(routes, &policy, &setup.limits);
    let (stop, stopping) = watch::channel(false);
    let (take, taken) = mpsc::channel(8);
    let (end, ended) = watch::channel(0);
    let context = Rc::new(Context {
        limits: setup.limits,
        claims: Box::new(|head| head.path() == "/door"),
        site: Site {
            policy,
            checks: Box::new(|_| Checks::Ours),
            router,
            metrics: Arc::default(),
        },
        stopping,
    });
    let end = Rc::new(end);
    tokio::task::spawn_local(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (context, take, end) = (Rc::clone(&context), take.clone(), Rc::clone(&end));
            // As a shard hands it over: a socket whose readiness is not known yet.
            let stream = stream
                .into_std()
                .and_then(TcpStream::from_std)
                .expect("a socket");
            tokio::task::spawn_local(async move {
                let accepted = Accepted {
                    stream,
                    read: Bytes::new(),
                    since: Instant::now(),
                    peer,
                };
                if let Outcome::Taken(taken) = serve(accepted, context).await {
                    take.send(taken).await.expect("the test looks at it");
                }
                end.send_modify(|ended| *ended += 1);
            });
        }
    });
    Server {
        addr,
        handled,
        release,
        slow_ended,
        draining,
        stop,
        taken,
        ended,
    }
}

fn pages(handled: &Arc<AtomicUsize>, release: &Arc<Notify>, slow_ended: &Arc<Notify>) -> Router {
    struct TellOnDrop(Arc<Notify>);
    impl Drop for TellOnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let handled = Arc::clone(handled);
    let (release, slow_ended) = (Arc::clone(release), Arc::clone(slow_ended));
    let count = move || {
        handled.fetch_add(1, Ordering::Relaxed);
    };
    let home = move || {
        count();
        std::future::ready("home\n")
    };
    let slow = move || {
        let (release, ended) = (Arc::clone(&release), TellOnDrop(Arc::clone(&slow_ended)));
        async move {
            let _ended = ended;
            release.notified().await;
            "slow\n"
        }
    };
    Router::new()
        .route("/", get(home.clone()).post(home))
        .route("/echo", post(|body: Bytes| std::future::ready(body)))
        .route("/slow", get(slow))
        .route(
            "/fields",
            get(|fields: HeaderMap| std::future::ready(format!("{fields:?}"))),
        )
        .route(
            "/big",
            get(|| std::future::ready(vec![b'x'; 32 * 1024 * 1024])),
        )
        .route("/panic", get(|| async { panic_now() }))
        .route("/panic-later", get(|| async { Body::new(PanickingBody) }))
}

fn panic_now() -> String {
    panic!("a handler with a fault")
}

/// A body that panics once hyper asks for it.
struct PanickingBody;

impl hyper::body::Body for PanickingBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        panic!("a body with a fault")
    }
}

impl Server {
    async fn connect(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.addr).await.expect("it listens"),
            read: Vec::new(),
        }
    }

    /// Sends all of it in one piece and reads until the server closes.
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.rest().await
    }

    fn handled(&self) -> usize {
        self.handled.load(Ordering::Relaxed)
    }

    /// Lets the server read what was sent before: it shares this thread, and loopback delivers at
    /// once. A request of another connection makes sure that it has been through its poll set.
    async fn wait_idle(&self) {
        for _ in 0..3 {
            self.ask(last_get_of("/healthz")).await;
        }
    }

    /// Waits until so many connections have ended on the server's side.
    async fn wait_ended(&mut self, count: usize) {
        self.ended
            .wait_for(|ended| *ended >= count)
            .await
            .expect("the server runs");
    }
}

/// One raw connection.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have refused and closed before the last byte.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    async fn read_some(&mut self) -> usize {
        let mut scratch = [0; 4096];
        let read = timeout(Duration::from_secs(5), self.stream.read(&mut scratch))
            .await
            .expect("the server neither answers nor closes")
            .unwrap_or(0);
        self.read
            .extend_from_slice(scratch.get(..read).expect("within"));
        read
    }

    /// Everything until the server closes.
    async fn rest(&mut self) -> String {
        while self.read_some().await > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// One response with a Content-Length, of which nothing more was read.
    async fn response(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(end) = text.find("\r\n\r\n") {
                let len =
                    field(&text, "content-length").map_or(0, |len| len.parse().expect("digits"));
                if self.read.len() >= end + 4 + len {
                    let whole = self.read.drain(..end + 4 + len).collect();
                    return String::from_utf8(whole).expect("text");
                }
            }
            assert!(self.read_some().await > 0, "closed after {text:?}");
        }
    }

    /// Whether the server has closed; waits for it to do something.
    async fn is_closed(&mut self) -> bool {
        self.read_some().await == 0
    }
}

/// The value of a response header field, by its name in lower case.
fn field<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let head = response
        .split_once("\r\n\r\n")
        .map_or(response, |(head, _)| head);
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The statuses of all the responses in a text.
fn statuses(text: &str) -> Vec<u16> {
    text.match_indices("HTTP/1.1 ")
        .map(|(at, found)| {
            let digits = text.get(at + found.len()..).and_then(|rest| rest.get(..3));
            digits
                .and_then(|digits| digits.parse().ok())
                .expect("a status")
        })
        .collect()
}

/// A GET without a body.
fn get_of(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A GET after which the server closes.
fn last_get_of(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}
