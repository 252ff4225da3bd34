//! One WebSocket connection to a server, as its client.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use parlor::proto::websocket::deflate::{Mode, Policy};
use parlor::proto::websocket::handshake::{Accepted, ClientRequest, ResponseError};
use parlor::proto::websocket::{
    CloseCode, Connection, Error, Event, Input, Kind, Limits, Options, Role, Scratch,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::url::Url;

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    machine: Connection,
    options: Options,
    scratch: Scratch,
    /// What came behind the head of the response.
    early: Vec<u8>,
    out: Vec<u8>,
}

/// Why a connection did not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unopened {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("no answer within 10 s")]
    TooLate,
    #[error("{0}")]
    Response(#[from] ResponseError),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ending {
    #[error("the server closed it: {code} {reason}")]
    Closed { code: String, reason: String },
    #[error("the server ended it")]
    Cut,
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("no sign of life for {} s", (SILENCE + PONG_TIMEOUT).as_secs())]
    Silent,
    #[error("the server broke the protocol: {0}")]
    Violation(Error),
    /// The one who listens has had enough.
    #[error("stopped")]
    Stopped,
}

impl Unopened {
    /// Whether it may be different the next time.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Socket(_) | Self::TooLate => true,
            Self::Response(ResponseError::Status { status, .. }) => {
                matches!(status, 408 | 425 | 429 | 500..)
            }
            Self::Response(_) => false,
        }
    }
}

impl Link {
    /// Connects and asks for `target`, at most 10 s long.
    pub(super) async fn open(url: &Url, target: &str) -> Result<Self, Unopened> {
        match timeout(OPEN_TIMEOUT, Self::shake_hands(url, target)).await {
            Ok(opened) => opened,
            Err(_) => Err(Unopened::TooLate),
        }
    }

    async fn shake_hands(url: &Url, target: &str) -> Result<Self, Unopened> {
        let mut stream = TcpStream::connect((url.name(), url.port)).await?;
        let mut out = Vec::new();
        let authority = url.authority();
        let request = ClientRequest {
            host: &authority,
            target,
            protocols: &[],
            deflate: Policy::new(Mode::Off),
            headers: &[],
        };
        let mut handshake = request.encode(random()?, &mut out)?;
        stream.write_all(&out).await?;
        out.clear();
        let mut head = Vec::new();
        let Accepted {
            head_len, deflate, ..
        } = loop {
            if stream.read_buf(&mut head).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(accepted) = handshake.receive(&head)? {
                break accepted;
            }
        };
        Ok(Self {
            stream,
            machine: Connection::new(Role::Client, deflate),
            options: Options {
                limits: Limits {
                    message_bytes_max: MESSAGE_BYTES_MAX,
                    ..Limits::default()
                },
                ..Options::default()
            },
            scratch: Scratch::new(),
            early: head.split_off(head_len),
            out,
        })
    }

    /// Hands each text message to `each` until the connection ends or `each` breaks off.
    pub(super) async fn listen(&mut self, mut each: impl FnMut(&str) -> ControlFlow<()>) -> Ending {
        let mut buffer = std::mem::take(&mut self.early);
        let mut pinged = false;
        loop {
            if let Err(ending) = self.receive(&mut buffer, &mut each) {
                return ending;
            }
            buffer.clear();
            let patience = if pinged { PONG_TIMEOUT } else { SILENCE };
            let read = async {
                self.stream.write_all(&self.out).await?;
                self.out.clear();
                self.stream.read_buf(&mut buffer).await
            };
            match timeout(patience, read).await {
                Ok(Ok(0)) => return Ending::Cut,
                Ok(Ok(_)) => pinged = false,
                Ok(Err(error)) => return error.into(),
                // Bytes that were not taken cannot be told from those that were: no second attempt.
                Err(_) if pinged || !self.out.is_empty() => return Ending::Silent,
                Err(_) => {
                    pinged = true;
                    if let Err(error) = self.ping() {
                        return error.into();
                    }
                }
            }
        }
    }

    /// Reads messages out of bytes; what must be answered is then in `out`.
    fn receive(
        &mut self,
        bytes: &mut [u8],
        each: &mut impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), Ending> {
        let mut input = Input::new(bytes);
        loop {
            let event = self
                .machine
                .receive(&mut input, &self.options, &mut self.scratch);
            match event.map_err(Ending::Violation)? {
                None => break,
                Some(Event::Message {
                    kind: Kind::Text,
                    payload,
                    ..
                }) => {
                    // The machine has checked it.
                    let text = str::from_utf8(payload).unwrap_or_default();
                    if each(text).is_break() {
                        return Err(Ending::Stopped);
                    }
                }
                Some(Event::Close { code, reason }) => {
                    let code = code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
                    let reason = reason.to_owned();
                    return Err(Ending::Closed { code, reason });
                }
                Some(_) => {}
            }
        }
        if self.machine.owes() {
            self.machine.transmit(Some(random()?), &mut self.out);
        }
        Ok(())
    }

    fn ping(&mut self) -> io::Result<()> {
        self.machine
            .ping(&[], Some(random()?), &mut self.out)
            .map_err(io::Error::other)
    }

    /// Says goodbye; whether it arrives does not matter any more.
    pub(super) async fn close(mut self) {
        let Ok(mask) = random() else { return };
        self.machine
            .close(Some(CloseCode::NORMAL), "", Some(mask), &mut self.out);
        let _gone = timeout(CLOSE_TIMEOUT, self.stream.write_all(&self.out)).await;
    }
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that is silent for this long is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(40);
const PONG_TIMEOUT: Duration = Duration::from_secs(20);
/// An envelope may be somewhat longer than the longest message of a server, 1 MiB by default.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
