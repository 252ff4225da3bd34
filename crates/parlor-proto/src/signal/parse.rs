//! From JSON text to a request.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Cause, DEPTH_MAX, Envelope, Malformed, Priority, Request};

/// The longest `ref`, in bytes of its JSON text.
const REFERENCE_BYTES_MAX: usize = 256;

/// Reads one client message.
///
/// Keys are compared after unescaping. Members that the type does not know are ignored (`sdp` and
/// `ice-candidate` pass them on).
///
/// # Errors
///
/// [`Malformed`] with what to tell the client.
pub fn parse(text: &str) -> Result<Envelope<'_>, Malformed<'_>> {
    let bare = |cause| Malformed {
        reference: None,
        cause,
    };
    if depth(text) > DEPTH_MAX {
        return Err(bare(Cause::Depth));
    }
    let object: Object<'_> = serde_json::from_str(text).map_err(|_| bare(Cause::Json))?;
    let reference = object.find("ref").map(RawValue::get);
    let reference = reference.filter(|text| is_scalar(text) && text.len() <= REFERENCE_BYTES_MAX);
    match object.request() {
        Ok(request) => Ok(Envelope { reference, request }),
        Err(cause) => Err(Malformed { reference, cause }),
    }
}

/// The deepest nesting of arrays and objects in a JSON text, 0 for a scalar. For other text the
/// number means nothing.
#[must_use]
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

fn is_scalar(text: &str) -> bool {
    !text.starts_with(['[', '{'])
}

/// The members of an object in their order, values unread.
struct Object<'a> {
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    raw_key: &'a str,
    key: Cow<'a, str>,
    value: &'a RawValue,
}

impl<'a> Object<'a> {
    /// The last value of a key, which is what JSON parsers commonly take.
    fn find(&self, key: &str) -> Option<&'a RawValue> {
        self.members
            .iter()
            .rev()
            .find(|member| member.key == key)
            .map(|member| member.value)
    }

    fn is_twice(&self, key: &str) -> bool {
        self.members
            .iter()
            .filter(|member| member.key == key)
            .count()
            > 1
    }

    /// The text of a key; none where it is absent or null.
    fn text(&self, key: &'static str) -> Result<Option<Cow<'a, str>>, Cause> {
        match self.find(key).map(RawValue::get) {
            None | Some("null") => Ok(None),
            Some(raw) => unescape(raw).map(Some).ok_or(Cause::WrongKind(key)),
        }
    }

    fn request(&self) -> Result<Request<'a>, Cause> {
        for key in ["type", "target"] {
            if self.is_twice(key) {
                return Err(Cause::Twice(key));
            }
        }
        let kind = self.text("type")?.ok_or(Cause::NoType)?;
        let room = || self.text("room");
        let data = self.find("data").map(RawValue::get);
        Ok(match &*kind {
            "join" => Request::Join {
                room: room()?,
                name: self.text("name")?,
                data,
                last: self.is_true("last"),
                history: self.count("history")?,
            },
            "leave" => Request::Leave { room: room()? },
            "message" => Request::Message {
                room: room()?,
                target: self.text("target")?,
                event: self.text("event")?,
                data: data.ok_or(Cause::Missing("data"))?,
                priority: self.priority()?,
            },
            "sdp" | "ice-candidate" => Request::Relay {
                target: self.text("target")?.ok_or(Cause::Missing("target"))?,
                members: self.passed_on(),
            },
            "list" => Request::List {
                room: room()?,
                after: self.text("after")?,
            },
            "presence" => Request::Presence {
                data: data.ok_or(Cause::Missing("data"))?,
            },
            "resume" => Request::Resume {
                room: room()?,
                since: self.text("since")?.ok_or(Cause::Missing("since"))?,
                last: self.is_true("last"),
            },
            "ping" => Request::Ping,
            _ => return Err(Cause::UnknownType),
        })
    }

    fn is_true(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| value.get() == "true")
    }

    /// The whole number of a key; none where it is absent or null.
    fn count(&self, key: &'static str) -> Result<Option<u32>, Cause> {
        match self.find(key).map(RawValue::get) {
            None | Some("null") => Ok(None),
            Some(raw) => raw.parse().map(Some).map_err(|_| Cause::WrongKind(key)),
        }
    }

    fn priority(&self) -> Result<Priority, Cause> {
        match self.text("priority")?.as_deref() {
            None | Some("normal") => Ok(Priority::Normal),
            Some("high") => Ok(Priority::High),
            Some("low") => Ok(Priority::Low),
            Some(_) => Err(Cause::WrongKind("priority")),
        }
    }

    fn passed_on(&self) -> Vec<(&'a str, &'a str)> {
        let kept = self
            .members
            .iter()
            .filter(|member| !matches!(&*member.key, "from" | "ref"));
        kept.map(|member| (member.raw_key, member.value.get()))
            .collect()
    }
}

/// The text of a JSON string; none where it is another kind of value.
fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((raw_key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let raw_key = raw_key.get();
                    let key = unescape(raw_key).ok_or_else(|| A::Error::custom("a key"))?;
                    members.push(Member {
                        raw_key,
                        key,
                        value,
                    });
                }
                Ok(Object { members })
            }
        }

        deserializer.deserialize_map(Members)
    }
}
