//! `POST /rooms/{room}/messages`: publishing without a connection.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, StatusCode, Uri, header};
use parlor_hub::{Audience, Draft, Payload, Priority, RoomName};
use parlor_proto::{
    signal::{self, DEPTH_MAX},
    sse,
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    front::decoded_segment,
    handle::{Answer, Handle, Uplink, set_retry},
};

/// The longest event name, in bytes.
const EVENT_BYTES_MAX: usize = 256;
/// The header by which the client of an event stream speaks as a member.
const UPLINK: &str = "parlor-uplink";

/// The routes of rooms.
pub(crate) fn routes(handle: Handle) -> Router {
    Router::new()
        .route("/rooms/{room}/messages", post(publish))
        .with_state(handle)
}

/// A message as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    event: Option<String>,
    retry: Option<u32>,
    priority: Option<String>,
}

/// What a raw body cannot say by itself.
struct Options {
    event: Option<String>,
    priority: Option<String>,
}

impl Options {
    /// From a query; the first value of a key counts, as at the doors.
    fn read(query: &str) -> Result<Self, ApiError> {
        Ok(Self {
            event: value_of(query, "event")?,
            priority: value_of(query, "priority")?,
        })
    }
}

fn value_of(query: &str, key: &str) -> Result<Option<String>, ApiError> {
    let mut pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let Some((_, value)) = pairs.find(|(known, _)| *known == key) else {
        return Ok(None);
    };
    let spaced = value.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(text) => Ok(Some(text.into_owned())),
        Err(_) => Err(bad_request("a query value is UTF-8")),
    }
}

/// The answer to a message that was published.
#[derive(Serialize)]
struct Published {
    id: Option<String>,
    receivers: usize,
}

/// Why a message is not published.
struct ApiError(StatusCode, &'static str);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.1 });
        (self.0, Json(body)).into_response()
    }
}

const fn bad_request(text: &'static str) -> ApiError {
    ApiError(StatusCode::BAD_REQUEST, text)
}

/// What is said of a room's name that is none.
const BAD_ROOM: ApiError =
    bad_request("a room name is 1 to 128 bytes of UTF-8 without control characters");

async fn publish(
    State(handle): State<Handle>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let segment = uri.path().rsplit('/').nth(1).unwrap_or_default();
    let room = decoded_segment(segment)
        .and_then(|room| RoomName::new(&room).ok())
        .ok_or(BAD_ROOM)?;
    if let Some(coding) = headers.get(header::CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Ok(uncoded());
    }
    let options = Options::read(uri.query().unwrap_or_default())?;
    let mut draft = draft(&headers, &body, options)?;
    let uplink = match headers.get(UPLINK) {
        None => {
            draft.audience = Audience::Room;
            None
        }
        Some(uplink) => Some(
            uplink
                .to_str()
                .ok()
                .and_then(Uplink::parse)
                .ok_or(ApiError(StatusCode::FORBIDDEN, "no such uplink"))?,
        ),
    };
    match handle.publish(room, draft, uplink).await {
        Some(Answer::Published { id, receivers }) => {
            let published = Published {
                id: id.map(|id| id.to_string()),
                receivers,
            };
            Ok((StatusCode::CREATED, Json(published)).into_response())
        }
        Some(Answer::UnknownUplink) => Err(ApiError(StatusCode::FORBIDDEN, "no such uplink")),
        Some(Answer::OverRate) => Ok(later(ApiError(
            StatusCode::TOO_MANY_REQUESTS,
            "over the rate limit",
        ))),
        Some(Answer::Refused(parlor_hub::Refused::NotJoined)) => Err(ApiError(
            StatusCode::FORBIDDEN,
            "the uplink's member is not in this room",
        )),
        Some(Answer::Refused(_)) | None => {
            let busy = ApiError(StatusCode::SERVICE_UNAVAILABLE, "the server is busy");
            Ok(later(busy))
        }
    }
}

/// The answer to a body that is compressed (RFC 9110, section 15.5.16).
fn uncoded() -> Response {
    let text = "the body has no content-encoding";
    let mut response = ApiError(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    response.headers_mut().insert(
        header::ACCEPT_ENCODING,
        http::HeaderValue::from_static("identity"),
    );
    response
}

/// An answer to one who may try again soon.
fn later(error: ApiError) -> Response {
    let mut response = error.into_response();
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
    response
}

fn draft(headers: &HeaderMap, body: &Bytes, options: Options) -> Result<Draft, ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    let (payload, event, priority, retry) = match kind.to_ascii_lowercase().as_str() {
        "application/json" => {
            let message: Message<'_> = serde_json::from_slice(body)
                .map_err(|_| bad_request("the body is {\"data\": ..., \"event\"?, \"retry\"?}"))?;
            let data = message.data.get();
            if signal::depth(data) > DEPTH_MAX {
                return Err(bad_request("the data is nested deeper than 128"));
            }
            let event = message.event.or(options.event);
            (
                json(data)?,
                event,
                message.priority.or(options.priority),
                message.retry,
            )
        }
        "application/octet-stream" => (
            Payload::Binary(body.clone()),
            options.event,
            options.priority,
            None,
        ),
        "text/plain" => {
            str::from_utf8(body).map_err(|_| bad_request("the text is not UTF-8"))?;
            (
                Payload::Text(body.clone()),
                options.event,
                options.priority,
                None,
            )
        }
        _ => {
            return Err(ApiError(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is application/json, text/plain or application/octet-stream",
            ));
        }
    };
    let mut draft = Draft::new(payload);
    draft.event = checked_event(event)?;
    draft.priority = match priority.as_deref() {
        None | Some("normal") => Priority::Normal,
        Some("high") => Priority::High,
        Some("low") => Priority::Low,
        Some(_) => return Err(bad_request("the priority is high, normal or low")),
    };
    if let Some(retry_ms) = retry {
        set_retry(&mut draft, retry_ms);
    }
    Ok(draft)
}

fn checked_event(event: Option<String>) -> Result<Option<Arc<str>>, ApiError> {
    match event {
        Some(event) if !sse::is_field_safe(&event) => {
            Err(bad_request("an event name has no CR, LF or NUL"))
        }
        Some(event) if event.len() > EVENT_BYTES_MAX => {
            Err(bad_request("an event name is at most 256 bytes"))
        }
        Some(event) if !event.is_empty() && event != "message" => Ok(Some(event.into())),
        Some(_) | None => Ok(None),
    }
}

/// What JSON data stands for, as at the `parlor.v1` door.
fn json(data: &str) -> Result<Payload, ApiError> {
    match signal::parse_data(data) {
        Ok(signal::Content::Text(text)) => Ok(Payload::Text(text.into())),
        Ok(signal::Content::Binary(bytes)) => Ok(Payload::Binary(bytes.into())),
        Ok(signal::Content::Json) => Ok(Payload::Json(Bytes::copy_from_slice(data.as_bytes()))),
        Err(_) => Err(bad_request("`base64` is not base64")),
    }
}
