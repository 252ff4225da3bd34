//! Arguments of events: JSON, with binary data in its places.

use std::{borrow::Cow, cell::RefCell, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use parlor_proto::socketio::{Packet, json};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::{Error as _, SerializeStruct as _, SerializeTuple as _},
};
use serde_json::value::RawValue;

use super::{
    super::JsonError,
    shape::{Shape, shape_of},
};

/// The arguments of an event, or of an acknowledgement, as they came in. A clone costs no copy.
///
/// They can be sent on as they are: `socket.emit("event", args)`.
#[derive(Clone, Default)]
pub struct Args(Arc<Packed>);

/// Binary data among the arguments, at any depth: `Buffer` or `ArrayBuffer` in JavaScript.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "bytes, and nothing else")]
pub struct Binary(pub Bytes);

/// Arguments that are not what a handler wants.
#[derive(Debug, Clone, thiserror::Error)]
#[error("arguments of another type: {0}")]
pub struct ArgsError(Arc<serde_json::Error>);

/// A JSON array with placeholders, and what they stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packed {
    pub(crate) json: Box<str>,
    pub(crate) attachments: Vec<Bytes>,
}

thread_local! {
    /// The attachments of what is being written or read on this thread.
    static ATTACHMENTS: RefCell<Option<Vec<Bytes>>> = const { RefCell::new(None) };
}

impl Args {
    pub(crate) fn of(packet: &Packet<'_>) -> Self {
        let len = packet.payload.as_ref().map_or(0, |payload| payload.len());
        let mut json = String::with_capacity(len.max(2));
        json.push('[');
        for (index, argument) in packet.arguments().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push_str(argument);
        }
        json.push(']');
        Self(Arc::new(Packed {
            json: json.into(),
            attachments: packet.attachments.clone(),
        }))
    }

    /// Those of an event that is sent: the array without its name.
    pub(crate) fn of_event(event: Packed) -> Self {
        let packet = event.into_packet(parlor_proto::socketio::PacketType::Event, "/");
        Self::of(&packet)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them as JSON text; a piece of binary data in it is
    /// `{"_placeholder":true,"num":N}`.
    #[must_use]
    pub fn json(&self, index: usize) -> Option<&str> {
        self.elements().nth(index)
    }

    /// The pieces of binary data among them, in the order of their numbers.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.0.attachments
    }

    /// The arguments as a value. Of one argument the value is that argument; of none or several it
    /// is their array, so that a tuple takes them one by one. A type that the array does not fit
    /// takes the first argument: those after it are ignored, as JavaScript does it.
    ///
    /// # Errors
    ///
    /// [`ArgsError`] where they do not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        let first = self.json(0).unwrap_or("null");
        let array = &*self.0.json;
        let order = match self.len() {
            1 => [first, array],
            _ => [array, first],
        };
        let [preferred, other] = order.map(|json| self.read(json));
        preferred.or_else(|error| other.map_err(|_| error))
    }

    fn read<T: DeserializeOwned>(&self, json: &str) -> Result<T, ArgsError> {
        let (read, _) = with_attachments(self.0.attachments.clone(), || serde_json::from_str(json));
        read.map_err(|error| ArgsError(Arc::new(error)))
    }

    fn elements(&self) -> json::Elements<'_> {
        json::Elements::new(&self.0.json)
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Args").field(&self.0.json).finish()
    }
}

impl Packed {
    /// An event with its arguments.
    pub(crate) fn event<T: Serialize + ?Sized>(name: &str, args: &T) -> Result<Self, JsonError> {
        Self::write(Some(name), args)
    }

    /// The arguments of an acknowledgement.
    pub(crate) fn ack<T: Serialize + ?Sized>(args: &T) -> Result<Self, JsonError> {
        Self::write(None, args)
    }

    fn write<T: Serialize + ?Sized>(name: Option<&str>, args: &T) -> Result<Self, JsonError> {
        let (written, attachments) = with_attachments(Vec::new(), || serde_json::to_string(args));
        let written = written?;
        let inside = match shape_of(args) {
            Shape::Nothing => "",
            Shape::One => &written,
            Shape::Several => {
                let inside = written
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'));
                inside.unwrap_or_default()
            }
        };
        let quoted = name.map_or(0, |name| name.len() + r#""","#.len());
        let mut json = String::with_capacity("[]".len() + quoted + inside.len());
        json.push('[');
        if let Some(name) = name {
            json::escape_into(name, &mut json);
            if !inside.is_empty() {
                json.push(',');
            }
        }
        json.push_str(inside);
        json.push(']');
        Ok(Self {
            json: json.into(),
            attachments,
        })
    }

    /// As a packet of a namespace.
    pub(crate) fn into_packet(
        self,
        kind: parlor_proto::socketio::PacketType,
        namespace: &str,
    ) -> Packet<'_> {
        Packet {
            kind,
            namespace: Cow::Borrowed(namespace),
            id: None,
            payload: Some(Cow::Owned(self.json.into())),
            attachments: self.attachments,
            msgpack: None,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.json.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Writes or reads with attachments at hand; returns what they are then.
fn with_attachments<R>(attachments: Vec<Bytes>, body: impl FnOnce() -> R) -> (R, Vec<Bytes>) {
    let before = ATTACHMENTS.replace(Some(attachments));
    let result = body();
    let after = ATTACHMENTS.replace(before);
    (result, after.unwrap_or_default())
}

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let taken = ATTACHMENTS.with_borrow_mut(|held| match held {
            Some(held) if held.is_empty() => {
                held.clone_from(&self.0.attachments);
                true
            }
            Some(_) => self.0.attachments.is_empty(),
            None => true,
        });
        if !taken {
            return Err(S::Error::custom("arguments that were received go first"));
        }
        let mut tuple = serializer.serialize_tuple(self.len())?;
        for element in self.elements() {
            let raw: &RawValue = serde_json::from_str(element).map_err(S::Error::custom)?;
            tuple.serialize_element(raw)?;
        }
        tuple.end()
    }
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = ATTACHMENTS.with_borrow_mut(|held| {
            let held = held.as_mut()?;
            held.push(self.0.clone());
            Some(held.len() - 1)
        });
        if let Some(number) = number {
            let mut placeholder = serializer.serialize_struct("Binary", 2)?;
            placeholder.serialize_field("_placeholder", &true)?;
            placeholder.serialize_field("num", &number)?;
            return placeholder.end();
        }
        let mut inside = serializer.serialize_struct("Binary", 1)?;
        inside.serialize_field("base64", &STANDARD.encode(&self.0))?;
        inside.end()
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            num: Option<usize>,
            base64: Option<String>,
        }
        let written = Written::deserialize(deserializer)?;
        if let Some(base64) = written.base64 {
            let bytes = STANDARD.decode(base64).map_err(D::Error::custom)?;
            return Ok(Self(bytes.into()));
        }
        let bytes = ATTACHMENTS.with_borrow(|held| {
            let held = held.as_ref()?;
            held.get(written.num?).cloned()
        });
        bytes
            .map(Self)
            .ok_or_else(|| D::Error::custom("no binary data"))
    }
}

impl From<Bytes> for Binary {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Binary {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written<T: Serialize>(args: T) -> String {
        Packed::event("e", &args).unwrap().json.into()
    }

    fn args(json: &str) -> Args {
        Args(Arc::new(Packed {
            json: json.into(),
            attachments: vec![Bytes::from_static(b"b")],
        }))
    }

    #[test]
    fn tuples_are_arguments_and_everything_else_is_one() {
        assert_eq!(written(()), r#"["e"]"#);
        assert_eq!(written("a"), r#"["e","a"]"#);
        assert_eq!(written(("a", 1, [2])), r#"["e","a",1,[2]]"#);
        assert_eq!(written((vec![1],)), r#"["e",[1]]"#);
        assert_eq!(written(vec![1, 2]), r#"["e",[1,2]]"#);
        assert_eq!(written(None::<u8>), r#"["e",null]"#);
        assert_eq!(written(json!({"a": 1})), r#"["e",{"a":1}]"#);
        assert_eq!(&*Packed::ack(&(1, 2)).unwrap().json, "[1,2]");
        assert_eq!(&*Packed::ack(&()).unwrap().json, "[]");
    }

    #[test]
    fn binary_data_go_beside_the_text() {
        let packed = Packed::event("e", &("a", [Binary::from(vec![1])])).unwrap();
        let json = r#"["e","a",[{"_placeholder":true,"num":0}]]"#;
        assert_eq!((&*packed.json, packed.attachments.len()), (json, 1));
        let back: (String, Vec<Binary>) = args(r#"["a",[{"_placeholder":true,"num":0}]]"#)
            .parse()
            .unwrap();
        assert_eq!(back, ("a".to_owned(), vec![Binary::from(b"b".to_vec())]));
        assert!(
            args(r#"[{"_placeholder":true,"num":1}]"#)
                .parse::<Binary>()
                .is_err()
        );
        assert_eq!(
            args(r#"[{"base64":"AA=="}]"#).parse::<Binary>().unwrap(),
            Binary::from(vec![0])
        );
    }

    #[test]
    fn arguments_are_read_as_the_handler_wants_them() {
        assert_eq!(args("[1]").parse::<u8>().unwrap(), 1);
        assert_eq!(args("[[1,2]]").parse::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(args("[1]").parse::<(u8,)>().unwrap(), (1,));
        assert_eq!(
            args(r#"[1,"a"]"#).parse::<(u8, String)>().unwrap(),
            (1, "a".to_owned())
        );
        assert_eq!(
            args("[1,2]").parse::<u8>().unwrap(),
            1,
            "the rest is ignored"
        );
        assert_eq!(args("[]").parse::<Option<u8>>().unwrap(), None);
        args("[]").parse::<()>().unwrap();
        assert!(args("[]").parse::<u8>().is_err());
        assert_eq!(args("[1,2]").parse::<Value>().unwrap(), json!([1, 2]));
    }

    #[test]
    fn arguments_can_be_sent_on() {
        let args = args(r#"[1,{"a":{"_placeholder":true,"num":0}}]"#);
        let packed = Packed::event("back", &args).unwrap();
        let json = r#"["back",1,{"a":{"_placeholder":true,"num":0}}]"#;
        assert_eq!((&*packed.json, packed.attachments.len()), (json, 1));
        assert!(Packed::event("e", &(Binary::default(), args)).is_err());
    }
}
