//! What a payload must be.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::json::{self, Scanner, Token};
use super::packet::EventName;
use super::{DecodeError, PacketType};

/// Checks the payload of a packet, which may be none: whether it fits the type, whether it is
/// JSON, how deep it is, and what its placeholders stand for.
pub(super) fn check(
    kind: PacketType,
    payload: Option<&str>,
    attachments: usize,
) -> Result<(), DecodeError> {
    let Some(payload) = payload else {
        return match kind {
            PacketType::Connect | PacketType::Disconnect => Ok(()),
            // A CONNECT_ERROR of a client is refused for what it is.
            PacketType::ConnectError => Ok(()),
            PacketType::Event | PacketType::Ack => Err(DecodeError::ViolationPayload),
        };
    };
    let mut scanner = Scanner::new(payload);
    let first = scanner.next()?.ok_or(DecodeError::MalformedJson)?;
    let fits = match kind {
        PacketType::Connect => first == Token::ObjectStart,
        PacketType::Disconnect => false,
        PacketType::ConnectError => matches!(first, Token::ObjectStart | Token::String(_)),
        PacketType::Event | PacketType::Ack => first == Token::ArrayStart,
    };
    if !fits {
        return Err(DecodeError::ViolationPayload);
    }
    if kind == PacketType::Event {
        check_name(&mut scanner)?;
    }
    if attachments == 0 {
        while scanner.next()?.is_some() {}
        Ok(())
    } else {
        check_placeholders(&mut scanner, attachments)
    }
}

fn check_name(scanner: &mut Scanner<'_>) -> Result<(), DecodeError> {
    let reserved = match scanner.next()? {
        Some(Token::String(range)) => json::unescape(scanner.get(&range))
            .is_none_or(|name| EventName::Text(name).is_reserved()),
        Some(Token::Number(_)) => false,
        _ => true,
    };
    if reserved {
        return Err(DecodeError::ViolationEventName);
    }
    Ok(())
}

/// Each object with `"_placeholder": true` must have the number of an attachment that no other
/// one has: clients put the attachment in its place, and break where there is none. Twice would
/// let a small packet grow large for those who are sent it in another form.
fn check_placeholders(scanner: &mut Scanner<'_>, attachments: usize) -> Result<(), DecodeError> {
    let mut objects = Objects::within(scanner.depth());
    let mut used = vec![false; attachments];
    while let Some(token) = scanner.next()? {
        if let Some(number) = objects.see(scanner, &token) {
            let place = number.and_then(|number| used.get_mut(number));
            match place {
                Some(used) if !*used => *used = true,
                _ => return Err(DecodeError::ViolationPlaceholder),
            }
        }
    }
    Ok(())
}

/// Watches tokens for objects that are placeholders. It remembers one small thing for each open
/// array and object, of which there are at most [`json::DEPTH_MAX`].
#[derive(Debug)]
pub(super) struct Objects {
    open: Vec<Object>,
    member: Member,
}

/// What the members of an open object say; the last one of a name counts.
#[derive(Clone, Copy, Debug, Default)]
struct Object {
    is_placeholder: bool,
    number: Option<usize>,
}

/// Which member's value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Placeholder,
    Number,
    Other,
}

impl Objects {
    /// Begins to watch where that many arrays and objects are open.
    pub(super) fn within(depth: usize) -> Self {
        Self {
            open: vec![Object::default(); depth],
            member: Member::Other,
        }
    }

    /// Looks at a token. At the end of an object that is a placeholder: its number, or none where
    /// that is no whole number.
    pub(super) fn see(&mut self, scanner: &Scanner<'_>, token: &Token) -> Option<Option<usize>> {
        let member = std::mem::replace(&mut self.member, Member::Other);
        let mut say = |is_true, number| {
            let object = self.open.last_mut().filter(|_| member != Member::Other);
            match (member, object) {
                (Member::Placeholder, Some(object)) => object.is_placeholder = is_true,
                (_, Some(object)) => object.number = number,
                (_, None) => {}
            }
        };
        match token {
            Token::Key(range) => self.member = name(scanner.get(range)),
            Token::True => say(true, None),
            Token::Number(range) => say(false, scanner.get(range).parse().ok()),
            Token::String(_) | Token::False | Token::Null => say(false, None),
            Token::ArrayStart | Token::ObjectStart => {
                say(false, None);
                self.open.push(Object::default());
            }
            Token::ArrayEnd => drop(self.open.pop()),
            Token::ObjectEnd => {
                let object = self.open.pop().unwrap_or_default();
                return object.is_placeholder.then_some(object.number);
            }
        }
        None
    }
}

/// JSON text with each placeholder of an attachment replaced by `{"base64":"…"}`, for those who
/// hear no attachments.
pub(super) fn inline(json: &str, attachments: &[Bytes]) -> String {
    let mut out = String::with_capacity(json.len());
    let mut copied = 0;
    // Where the open arrays and objects begin in what is written.
    let mut starts = Vec::new();
    let mut scanner = Scanner::new(json);
    let mut objects = Objects::within(0);
    while let Ok(Some(token)) = scanner.next() {
        let placeholder = objects.see(&scanner, &token).flatten();
        match token {
            Token::ArrayStart | Token::ObjectStart => {
                out.push_str(json.get(copied..scanner.position() - 1).unwrap_or_default());
                copied = scanner.position() - 1;
                starts.push(out.len());
            }
            Token::ArrayEnd | Token::ObjectEnd => {
                let start = starts.pop().unwrap_or_default();
                let attachment = placeholder.and_then(|number| attachments.get(number));
                if let Some(attachment) = attachment {
                    out.truncate(start);
                    out.push_str("{\"base64\":\"");
                    STANDARD.encode_string(attachment, &mut out);
                    out.push_str("\"}");
                    copied = scanner.position();
                }
            }
            _ => {}
        }
    }
    out.push_str(json.get(copied..).unwrap_or_default());
    out
}

fn name(raw: &str) -> Member {
    match json::unescape(raw).as_deref() {
        Some("_placeholder") => Member::Placeholder,
        Some("num") => Member::Number,
        _ => Member::Other,
    }
}
