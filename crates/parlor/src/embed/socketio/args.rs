//! Arguments of events: JSON, with binary data in its places.

use std::{borrow::Cow, cell::RefCell, fmt, ops::Range, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use parlor_proto::socketio::{Packet, PacketType, json};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::{Error as _, SerializeStruct as _, SerializeTuple as _, SerializeTupleStruct as _},
};
use serde_json::value::RawValue;

use super::{
    super::JsonError,
    shape::{RECEIVED, Shape, shape_of},
};

/// The arguments of an event, or of an acknowledgement, as they came in. A clone costs no copy.
///
/// They can be sent on as they are: `socket.emit("event", args)`.
#[derive(Clone, Default)]
pub struct Args(Arc<Whole>);

/// What came in, as it came.
#[derive(Debug, Default)]
struct Whole {
    /// The JSON array, with the name of an event in front.
    json: Box<str>,
    name: Name,
    /// Where the arguments begin; the array ends behind them.
    from: usize,
    attachments: Vec<Bytes>,
}

/// The name of an event.
#[derive(Debug, Default)]
enum Name {
    /// There is none.
    #[default]
    None,
    /// As it stands in the array.
    At(Range<usize>),
    /// As its escapes mean it.
    Meant(Box<str>),
}

/// Binary data among the arguments, at any depth: `Buffer` or `ArrayBuffer` in JavaScript.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "bytes, and nothing else")]
pub struct Binary(pub Bytes);

/// Arguments that are not what a handler wants.
#[derive(Debug, Clone, thiserror::Error)]
#[error("arguments of another type: {0}")]
pub struct ArgsError(Arc<serde_json::Error>);

impl ArgsError {
    /// Where in its arguments, in bytes from 1; 0 where that is not known.
    pub(super) fn column(&self) -> usize {
        self.0.column()
    }
}

/// A JSON array with placeholders, and what they stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packed {
    pub(crate) json: String,
    pub(crate) attachments: Vec<Bytes>,
}

thread_local! {
    /// The attachments of what is being written or read on this thread.
    static ATTACHMENTS: RefCell<Option<Vec<Bytes>>> = const { RefCell::new(None) };
    /// While the shape of a value is looked for: the arguments that it turns out to be.
    static PROBED: RefCell<Option<Option<Args>>> = const { RefCell::new(None) };
}

impl Args {
    /// The arguments of an event, with its name, or of an acknowledgement.
    pub(crate) fn of(packet: Packet<'_>) -> Self {
        let json: Box<str> = packet.payload.unwrap_or(Cow::Borrowed("[]")).into();
        let (name, from) = match (packet.kind, json::first_element(&json)) {
            (PacketType::Event, Some((place, from))) => (Name::of(&json, place), from),
            _ => (Name::None, json.find('[').map_or(0, |at| at + 1)),
        };
        Self(Arc::new(Whole {
            json,
            name,
            from,
            attachments: packet.attachments,
        }))
    }

    /// Those of an event that is sent: the array without its name.
    pub(crate) fn of_event(event: Packed) -> Self {
        Self::of(event.into_packet(PacketType::Event, "/"))
    }

    /// The name of the event; empty where there is none.
    pub(crate) fn name(&self) -> &str {
        match &self.0.name {
            Name::None => "",
            Name::At(place) => self.0.json.get(place.clone()).unwrap_or_default(),
            Name::Meant(name) => name,
        }
    }

    /// What they cost while they wait, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.json.len() + self.0.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// The arguments with commas between.
    fn inside(&self) -> &str {
        let inside = self.0.json.get(self.0.from..).unwrap_or_default();
        let inside = inside.trim_end().strip_suffix(']');
        inside.unwrap_or_default().trim()
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
        let mut elements = self.elements();
        let first = elements.next();
        let is_one = first.is_some() && elements.next().is_none();
        let first = || self.read(first.unwrap_or("null"));
        let array = || self.read(&format!("[{}]", self.inside()));
        match is_one {
            true => first().or_else(|error| array().map_err(|_| error)),
            false => array().or_else(|error| first().map_err(|_| error)),
        }
    }

    fn read<T: DeserializeOwned>(&self, json: &str) -> Result<T, ArgsError> {
        let (read, _) = with_attachments(self.0.attachments.clone(), || serde_json::from_str(json));
        read.map_err(|error| ArgsError(Arc::new(error)))
    }

    fn elements(&self) -> json::Elements<'_> {
        let mut elements = json::Elements::new(&self.0.json);
        if !matches!(self.0.name, Name::None) {
            elements.next();
        }
        elements
    }
}

impl Name {
    /// What stands there in a JSON array.
    fn of(json: &str, place: Range<usize>) -> Self {
        let raw = json.get(place.clone()).unwrap_or_default();
        match json::unescape(raw) {
            Some(Cow::Borrowed(_)) => Self::At(place.start + 1..place.end - 1),
            Some(Cow::Owned(name)) => Self::Meant(name.into()),
            // A number is as it is written.
            None => Self::At(place),
        }
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Args").field(&self.inside()).finish()
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
        let (shape, received) = probe(args);
        if let Some(received) = received {
            return Ok(Self::pass_on(name, &received));
        }
        let mut json = String::with_capacity(WRITTEN_BYTES);
        json.push('[');
        if let Some(name) = name {
            json::escape_into(name, &mut json);
            json.push(',');
        }
        let before = json.len();
        let mut json = json.into_bytes();
        let (written, attachments) =
            with_attachments(Vec::new(), || serde_json::to_writer(&mut json, args));
        written?;
        match shape {
            Shape::Nothing => json.truncate(before),
            Shape::One => {}
            Shape::Several | Shape::Received => {
                // Its brackets are those of the whole.
                json.pop();
                json.remove(before);
            }
        }
        if json.len() == before && name.is_some() {
            json.pop();
        }
        json.push(b']');
        // It is made of text, and of what the serializer has written, which is text too.
        let json = String::from_utf8(json).unwrap_or_default();
        Ok(Self { json, attachments })
    }

    /// Arguments that came in, as they are.
    fn pass_on(name: Option<&str>, received: &Args) -> Self {
        let inside = received.inside();
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
        Self {
            json,
            attachments: received.0.attachments.clone(),
        }
    }

    /// As a packet of a namespace.
    pub(crate) fn into_packet(self, kind: PacketType, namespace: &str) -> Packet<'_> {
        Packet {
            kind,
            namespace: Cow::Borrowed(namespace),
            id: None,
            payload: Some(Cow::Owned(self.json)),
            attachments: self.attachments,
            msgpack: None,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.json.capacity() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

/// What most events have room in.
const WRITTEN_BYTES: usize = 128;

/// The shape of a value, and what it is where it has come in as arguments.
fn probe<T: Serialize + ?Sized>(args: &T) -> (Shape, Option<Args>) {
    let _probing = Probing::begin();
    let shape = shape_of(args);
    let probed = PROBED.take().flatten();
    (shape, probed.filter(|_| shape == Shape::Received))
}

/// Ends what it has begun even where a value panics.
struct Probing;

impl Probing {
    fn begin() -> Self {
        PROBED.set(Some(None));
        Self
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        PROBED.set(None);
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
        if PROBED.with_borrow(Option::is_some) {
            PROBED.set(Some(Some(self.clone())));
            return serializer.serialize_tuple_struct(RECEIVED, 0)?.end();
        }
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
        Packed::event("e", &args).unwrap().json
    }

    fn args(json: &str) -> Args {
        let packet = Packet::ack("/", 0, []).with_attachments(vec![Bytes::from_static(b"b")]);
        Args::of(Packet {
            payload: Some(Cow::Borrowed(json)),
            ..packet
        })
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

    fn event(payload: &str) -> Args {
        Args::of(Packet {
            payload: Some(Cow::Borrowed(payload)),
            ..Packet::event("/", "e", [])
        })
    }

    #[test]
    fn an_event_has_a_name_and_arguments() {
        for (payload, name, arguments) in [
            (r#"["a",1,"b"]"#, "a", &["1", r#""b""#][..]),
            (r#" [ "a" , [1, 2] ] "#, "a", &["[1, 2]"]),
            (r#"["a"]"#, "a", &[]),
            (r#"["a" ]"#, "a", &[]),
            (r#"["a\n\"",{}]"#, "a\n\"", &["{}"]),
            ("[-7.0,null]", "-7.0", &["null"]),
        ] {
            let args = event(payload);
            assert_eq!(args.name(), name, "{payload}");
            assert_eq!(args.elements().collect::<Vec<_>>(), arguments, "{payload}");
            assert_eq!(args.len(), arguments.len(), "{payload}");
            assert_eq!(args.is_empty(), arguments.is_empty(), "{payload}");
            let on = Packed::event("on", &args).unwrap().json;
            let on: Vec<Value> = serde_json::from_str(&on).unwrap();
            assert_eq!(on.first(), Some(&json!("on")));
            assert_eq!(on.len(), 1 + arguments.len(), "{payload}");
        }
        assert_eq!(
            event(r#"["a",1,[2]]"#).parse::<(u8, [u8; 1])>().unwrap(),
            (1, [2])
        );
    }

    #[test]
    fn only_arguments_as_they_are_pass_as_such() {
        struct Hides(Args);
        impl Serialize for Hides {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let inside = serde_json::to_string(&self.0).map_err(S::Error::custom)?;
                serializer.serialize_str(&inside)
            }
        }
        struct Breaks;
        impl Serialize for Breaks {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(S::Error::custom("broken"))
            }
        }
        let args = event(r#"["a",1,2]"#);
        assert_eq!(written(Hides(args.clone())), r#"["e","[1,2]"]"#);
        assert_eq!(written((&args,)), r#"["e",[1,2]]"#);
        assert_eq!(written(vec![&args]), r#"["e",[[1,2]]]"#);
        assert_eq!(written(Some(&args)), r#"["e",[1,2]]"#);
        assert_eq!(written(Box::new(&args)), r#"["e",1,2]"#);
        assert_eq!(written(event(r#"["a"]"#)), r#"["e"]"#);
        assert_eq!(Packed::ack(&args).unwrap().json, "[1,2]");
        assert_eq!(Packed::ack(&event(r#"["a"]"#)).unwrap().json, "[]");
        assert!(Packed::event("e", &Breaks).is_err());
        assert_eq!(serde_json::to_string(&args).unwrap(), "[1,2]");
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
