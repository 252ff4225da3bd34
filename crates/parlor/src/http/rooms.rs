//! `POST /rooms/{room}/messages`: publishing without a connection.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, RawPathParams, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, StatusCode, header};
use parlor_hub::{Audience, Draft, Payload, Priority, RoomName};
use parlor_proto::{
    signal::{self, DEPTH_MAX},
    sse,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::handle::{Answer, Handle, Uplink, set_retry};

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
#[derive(Deserialize)]
struct Options {
    event: Option<String>,
    priority: Option<String>,
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

async fn publish(
    State(handle): State<Handle>,
    params: RawPathParams,
    Query(options): Query<Options>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    // Those before are of routes that this one is nested in.
    let room = params.iter().filter(|(name, _)| *name == "room").last();
    let room = RoomName::new(room.map_or("", |(_, room)| room))
        .map_err(|_| bad_request("a room name is 1 to 128 bytes without control characters"))?;
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
