//! One message by a `POST` request, without a membership.

use std::{io, time::Duration};

use parlor_hub::MessageId;
use parlor_proto::websocket::handshake::ResponseError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncWriteExt as _, ReadHalf, WriteHalf},
    time::timeout,
};

use super::{
    Builder, ConnectError,
    connect::{self, BoxedIo, Way},
    http::{self, Head},
    session::Payload,
};

/// What became of a message that was published by [`Builder::publish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its place in the room's order. None where nobody was there and the room keeps no history.
    pub id: Option<MessageId>,
    /// How many members it was sent to.
    pub receivers: u64,
}

impl Builder {
    /// Publishes one message as nobody, by `POST`: this URL is that of a room's messages,
    /// `http://host/rooms/{room}/messages` (the same as `ws:`). Nobody sees a member come and go,
    /// and how many heard it is told. A server of this project's takes up to its
    /// `message_bytes_max`.
    ///
    /// It is sent once. Where the answer is lost, nobody knows whether it was published; a
    /// [session](super::session) knows more. To connect takes at most
    /// [`Builder::handshake_timeout`], the answer 30 s. Redirects are not followed; subprotocols
    /// and compression play no part.
    ///
    /// ```no_run
    /// use parlor::client::Builder;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let tea = Builder::new("http://localhost:8080/rooms/tea/messages");
    /// let receipt = tea.publish("The kettle is on.").await?;
    /// println!("heard by {}", receipt.receivers);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Any [`ConnectError`]; [`ConnectError::Refused`] has the server's reason.
    pub async fn publish(&self, payload: impl Into<Payload>) -> Result<Receipt, ConnectError> {
        self.post(None, payload.into()).await
    }

    /// The same, as an event of this name: 1 to 256 bytes without CR, LF and NUL.
    ///
    /// # Errors
    ///
    /// Any [`ConnectError`].
    pub async fn publish_event(
        &self,
        event: impl AsRef<str>,
        payload: impl Into<Payload>,
    ) -> Result<Receipt, ConnectError> {
        self.post(Some(event.as_ref()), payload.into()).await
    }

    async fn post(&self, event: Option<&str>, payload: Payload) -> Result<Receipt, ConnectError> {
        let mut way = Way::new(self)?;
        if let (Some(event), Payload::Text(_) | Payload::Binary(_)) = (event, &payload) {
            way.target.push_query("event", event);
        }
        let (media_type, body) = body(event, payload)?;
        let head = request(&way, self, media_type, body.len())?;
        let io = connect::limited(self.handshake_timeout, connect::dial(&way.target, self)).await?;
        let answered = timeout(ANSWER_TIMEOUT, exchange(io, &head, &body)).await;
        let after = ANSWER_TIMEOUT;
        let (head, text) = answered.unwrap_or(Err(ConnectError::LimitTime { after }))?;
        if head.status != 201 {
            let answer = [vec![0; head.len], reason(text)].concat();
            return Err(connect::refused(&head, &answer));
        }
        receipt(&text)
    }
}

/// The body of the request and what it is.
fn body(event: Option<&str>, payload: Payload) -> Result<(&'static str, Vec<u8>), ConnectError> {
    #[derive(Serialize)]
    struct Message<'a> {
        data: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<&'a str>,
    }
    match payload {
        Payload::Text(text) => Ok(("text/plain; charset=utf-8", text.into_bytes())),
        Payload::Binary(bytes) => Ok(("application/octet-stream", bytes.into())),
        Payload::Json(text) => serde_json::from_str(&text)
            .and_then(|data| serde_json::to_vec(&Message { data, event }))
            .map(|body| ("application/json", body))
            .map_err(|_| ConnectError::MisuseRequest),
    }
}

fn request(
    way: &Way,
    builder: &Builder,
    media_type: &str,
    len: usize,
) -> Result<String, ConnectError> {
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: {media_type}\r\n\
         Content-Length: {len}\r\nConnection: close\r\n",
        way.target.path,
        way.target.host_header(),
    );
    http::push_headers(&mut head, &way.headers(builder), &OURS)?;
    head.push_str("\r\n");
    Ok(head)
}

/// Sends a request and reads the answer, which may come before all of the request is sent.
async fn exchange(io: BoxedIo, head: &str, body: &[u8]) -> Result<(Head, Vec<u8>), ConnectError> {
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut answer = std::pin::pin!(read(&mut reader));
    let written = tokio::select! {
        answer = &mut answer => return answer,
        written = write(&mut writer, head, body) => written,
    };
    match (answer.await, written) {
        // Nothing was read since nothing was sent.
        (Err(ConnectError::Io(_)), Err(error)) => Err(error.into()),
        (answer, _) => answer,
    }
}

async fn write(writer: &mut WriteHalf<BoxedIo>, head: &str, body: &[u8]) -> io::Result<()> {
    writer.write_all(head.as_bytes()).await?;
    writer.write_all(body).await?;
    writer.flush().await
}

async fn read(reader: &mut ReadHalf<BoxedIo>) -> Result<(Head, Vec<u8>), ConnectError> {
    let mut read = Vec::new();
    let head = http::read_head(reader, &mut read).await?;
    let body = http::read_body(reader, &head, read, ANSWER_BYTES_MAX).await?;
    Ok((head, body))
}

/// The answer to a message that was published.
fn receipt(text: &[u8]) -> Result<Receipt, ConnectError> {
    #[derive(Deserialize)]
    struct Answer {
        id: Option<String>,
        receivers: u64,
    }
    let malformed = || ConnectError::MalformedResponse(ResponseError::Malformed);
    let answer: Answer = serde_json::from_slice(text).map_err(|_| malformed())?;
    let id = answer.id.map(|id| id.parse().map_err(|_| malformed()));
    Ok(Receipt {
        id: id.transpose()?,
        receivers: answer.receivers,
    })
}

/// What the answer to a message that was refused says in its JSON, or as it is.
fn reason(text: Vec<u8>) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }
    match serde_json::from_slice::<Answer>(&text) {
        Ok(answer) => answer.error.into_bytes(),
        Err(_) => text,
    }
}

/// Headers that are written here.
const OURS: [&str; 7] = [
    "host",
    "connection",
    "content-type",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
];
/// How long the request and its answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// As much of an answer as is of interest.
const ANSWER_BYTES_MAX: usize = 16 << 10;
