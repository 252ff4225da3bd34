//! A server on port 0 and a WebSocket client of thirty lines that shares no code with it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use axum::Router;
use parlor::{Builder, Config, Server, ServerHandle};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::sync::oneshot;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that stops when it is dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ServerHandle,
    /// Where metrics are served apart.
    pub(crate) metrics: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<Result<(), parlor::ServeError>>>,
}

impl TestServer {
    /// Starts a server with the default configuration, changed by `change`.
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(change, Router::new())
    }

    /// The same, with pages of the embedder's own.
    pub(crate) fn start_with(change: impl FnOnce(&mut Config), pages: Router) -> Self {
        Self::start_at("127.0.0.1:0", change, pages)
    }

    /// The same, at an address of this machine's.
    pub(crate) fn start_at(address: &str, change: impl FnOnce(&mut Config), pages: Router) -> Self {
        Self::build_at(address, change, |builder| builder.routes(pages))
    }

    /// Starts a server that is built as its embedder likes.
    pub(crate) fn build(
        change: impl FnOnce(&mut Config),
        build: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        Self::build_at("127.0.0.1:0", change, build)
    }

    /// The same; its routes are for an application to be mounted in.
    pub(crate) fn build_mounted(
        change: impl FnOnce(&mut Config),
        build: impl FnOnce(Builder) -> Builder,
    ) -> (Self, Router) {
        let mut router = Router::new();
        let look = |server: &Server| router = server.router();
        let server = Self::build_and_look("127.0.0.1:0", change, build, look);
        (server, router)
    }

    fn build_at(
        address: &str,
        change: impl FnOnce(&mut Config),
        build: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        Self::build_and_look(address, change, build, |_| ())
    }

    fn build_and_look(
        address: &str,
        change: impl FnOnce(&mut Config),
        build: impl FnOnce(Builder) -> Builder,
        look: impl FnOnce(&Server),
    ) -> Self {
        let mut config = Config::default();
        config.drain = Duration::ZERO;
        change(&mut config);
        let listener = TcpListener::bind(address).unwrap();
        // Accepted sockets inherit it: a reader that stalls is noticed after kilobytes, not
        // megabytes.
        SockRef::from(&listener)
            .set_send_buffer_size(16 * 1024)
            .unwrap();
        let mut address = listener.local_addr().unwrap();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let server = build(Server::builder().config(config)).build().unwrap();
        look(&server);
        let handle = server.handle();
        let metrics = server.metrics_address();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(server.run(vec![listener], async { _ = stopped.await }))
        });
        Self {
            address,
            handle,
            metrics,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }

    /// Tells the server to stop.
    pub(crate) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// A plain connection.
    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes and returns everything that comes until the server closes.
    pub(crate) fn exchange(&self, request: &[u8]) -> String {
        Self::exchange_on(self.tcp(), request)
    }

    /// The same on a connection that is open.
    pub(crate) fn exchange_on(mut stream: TcpStream, request: &[u8]) -> String {
        stream.write_all(request).unwrap();
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response);
        String::from_utf8_lossy(&response).into_owned()
    }

    /// An open WebSocket.
    pub(crate) fn websocket(&self, path: &str) -> Client {
        self.websocket_with(path, "")
    }

    /// An open WebSocket whose request had further header lines, each ended by CRLF.
    pub(crate) fn websocket_with(&self, path: &str, headers: &str) -> Client {
        Client::open(self.tcp(), path, headers)
    }

    /// An open WebSocket on a socket that takes in next to nothing unless it is read.
    pub(crate) fn websocket_with_small_buffer(&self, path: &str) -> Client {
        Client::open(self.tcp_with_buffer(4096), path, "")
    }

    /// A plain connection that takes in no more than this unless it is read.
    pub(crate) fn tcp_with_buffer(&self, bytes: usize) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A faultless upgrade request.
pub(crate) fn upgrade(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// A WebSocket client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
    /// The head of the server's answer to the upgrade.
    pub(crate) response: String,
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.first, 0x81, "{self:?}");
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// The code of a Close frame, and its reason.
    pub(crate) fn close(&self) -> (u16, String) {
        assert_eq!(self.first, 0x88, "{self:?}");
        let code = u16::from_be_bytes([self.payload[0], self.payload[1]]);
        (code, String::from_utf8(self.payload[2..].to_vec()).unwrap())
    }
}

impl Client {
    /// Asks for an upgrade, and has it.
    pub(crate) fn open(mut stream: TcpStream, path: &str, headers: &str) -> Self {
        stream.write_all(upgrade(path, headers).as_bytes()).unwrap();
        Self::opened(stream)
    }

    /// Goes on where the answer to an upgrade has been read.
    pub(crate) fn adopt(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
            response: String::new(),
        }
    }

    /// Takes the answer to an upgrade request that has been sent.
    pub(crate) fn opened(stream: TcpStream) -> Self {
        let mut client = Self {
            stream,
            read: Vec::new(),
            response: String::new(),
        };
        client.response = client.head().unwrap();
        assert!(
            client.response.starts_with("HTTP/1.1 101 "),
            "{}",
            client.response
        );
        client
    }

    fn head(&mut self) -> io::Result<String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
                self.read.drain(..end + 4);
                return Ok(head);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.read.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Sends a masked frame with this first byte.
    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        self.stream.write_all(&frame(first, payload)).unwrap();
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(0x81, text.as_bytes());
    }

    /// The next frame; an error where the server closed.
    pub(crate) fn receive(&mut self) -> io::Result<Frame> {
        let mut buffer = [0; 65_536];
        loop {
            if let Some((frame, used)) = parse(&self.read) {
                self.read.drain(..used);
                return Ok(frame);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.read.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// The next text message.
    pub(crate) fn receive_text(&mut self) -> String {
        self.receive().unwrap().text().to_owned()
    }

    /// Waits until the server has served what was sent before: a ping comes back as a pong.
    pub(crate) fn settle(&mut self) {
        self.send(0x89, b"settle");
        let frame = self.receive().unwrap();
        assert_eq!((frame.first, &frame.payload[..]), (0x8a, &b"settle"[..]));
    }

    /// The Close frame that ends the connection, after which the server closes it.
    pub(crate) fn receive_close(&mut self) -> (u16, String) {
        let close = self.receive().unwrap().close();
        assert!(self.receive().is_err(), "nothing follows a Close frame");
        close
    }
}

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        len @ 0..126 => out.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    out
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server masks nothing");
    let (len, start) = match second {
        126 => (
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => {
            let len = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (usize::try_from(len).unwrap(), 10)
        }
        len => (usize::from(len), 2),
    };
    let payload = bytes.get(start..start + len)?.to_vec();
    Some((Frame { first, payload }, start + len))
}

/// Runs a future on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        thread::yield_now();
    }
}
