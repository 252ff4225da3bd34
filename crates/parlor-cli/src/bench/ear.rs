//! What members hear: from bytes to stamps.

use parlor::proto::websocket::{
    Connection, Error, Event as Frame, Input, Limits, Options, Scratch, State,
};

use super::arguments::Dialect;
use super::replay::{Hearing, Replay, UNKNOWN};
use super::stamp::Stamp;
use super::stream::Stream;

/// What listening needs, for one connection at a time.
#[derive(Debug)]
pub(super) struct Ear {
    options: Options,
    scratch: Scratch,
    content: Vec<u8>,
    replay: Option<Replay>,
    hearing: Hearing,
}

/// What a read was, beside its messages.
pub(super) enum Read {
    Messages,
    /// Control frames too: something may be owed.
    Control {
        told: Option<String>,
    },
}

/// Why a read ends the connection.
pub(super) enum Failed {
    /// The server broke the protocol.
    Violation(Error),
    /// What the server said against us.
    Refused(String),
}

impl Ear {
    /// Where all connections read the same, what was read lately is remembered.
    pub(super) fn new(alike: bool) -> Self {
        let limits = Limits {
            message_bytes_max: MESSAGE_BYTES_MAX,
            ..Limits::default()
        };
        Self {
            options: Options {
                limits,
                validate_utf8: false,
                ..Options::default()
            },
            scratch: Scratch::new(),
            content: Vec::new(),
            replay: alike.then(Replay::default),
            hearing: Hearing::default(),
        }
    }

    /// Reads messages out of bytes, or remembers what they meant, and passes them on.
    pub(super) fn listen(
        &mut self,
        machine: &mut Connection,
        dialect: Dialect,
        bytes: &mut [u8],
        mut pass: impl FnMut(&mut Connection, &Hearing),
    ) -> Result<Read, Failed> {
        let agreement = agreement(machine);
        let between = self.replay.is_some() && agreement != UNKNOWN && !machine.is_mid_message();
        if let Some(replay) = self.replay.as_mut().filter(|_| between) {
            if let Some(hearing) = replay.find(bytes, agreement) {
                pass(machine, hearing);
                return Ok(Read::Messages);
            }
            replay.prepare(bytes);
        }
        self.hearing.clear();
        let mut read = Read::Messages;
        let mut input = Input::new(bytes);
        loop {
            let event = machine.receive(&mut input, &self.options, &mut self.scratch);
            match event.map_err(Failed::Violation)? {
                None => break,
                Some(Frame::Message { payload, .. }) => match dialect {
                    Dialect::ParlorV1 => self.hearing.enter_json(payload)?,
                    Dialect::SocketIo => self.hearing.enter_packet(payload)?,
                    Dialect::Raw | Dialect::Sse => self.hearing.enter(payload),
                },
                Some(Frame::Close { code, reason }) => {
                    let code = code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
                    let told = Some(format!("{code} {reason}").trim_end().to_owned());
                    read = Read::Control { told };
                }
                Some(_) => read = Read::Control { told: None },
            }
        }
        let plain = matches!(read, Read::Messages) && between && !machine.is_mid_message();
        if let Some(replay) = self.replay.as_mut().filter(|_| plain) {
            replay.keep(&self.hearing, agreement);
        }
        if !self.hearing.is_empty() {
            pass(machine, &self.hearing);
        }
        Ok(read)
    }

    /// The same for an event stream.
    pub(super) fn listen_to_stream(
        &mut self,
        stream: &mut Stream,
        bytes: &[u8],
        mut pass: impl FnMut(&Hearing),
    ) -> Result<(), String> {
        let between = self.replay.is_some() && stream.is_between();
        if let Some(replay) = self.replay.as_mut().filter(|_| between) {
            if let Some(hearing) = replay.find(bytes, STREAM) {
                pass(hearing);
                return Ok(());
            }
            replay.prepare(bytes);
        }
        self.hearing.clear();
        stream.listen(bytes, &mut self.content, &mut self.hearing)?;
        let plain = between && stream.is_between();
        if let Some(replay) = self.replay.as_mut().filter(|_| plain) {
            replay.keep(&self.hearing, STREAM);
        }
        if !self.hearing.is_empty() {
            pass(&self.hearing);
        }
        Ok(())
    }
}

impl Hearing {
    /// Enters a message that is its payload.
    fn enter(&mut self, payload: &[u8]) {
        match Stamp::decode(payload) {
            Some(stamp) => self.stamps.push(stamp),
            None => self.unstamped += 1,
        }
    }

    /// Enters a message of `parlor.v1`. Who comes and goes is passed over.
    fn enter_json(&mut self, text: &[u8]) -> Result<(), Failed> {
        if text.starts_with(ERROR) {
            return Err(refused(text));
        }
        if text.starts_with(MESSAGE) {
            // In a name the quotes are escaped: it cannot look like this key.
            let at = text.windows(DATA.len()).position(|window| window == DATA);
            let payload = at.and_then(|at| text.get(at + DATA.len()..));
            self.enter(payload.unwrap_or_default());
        }
        Ok(())
    }

    /// Enters a packet of Engine.IO: an event of the main namespace has its payload as its first
    /// argument.
    fn enter_packet(&mut self, text: &[u8]) -> Result<(), Failed> {
        match text {
            [b'0', ..] => self.opens = true,
            b"2" => self.pings += 1,
            [b'4', b'0', ..] => self.joins = true,
            [b'4', b'2', ..] => {
                let at = text
                    .windows(ARGUMENT.len())
                    .position(|window| window == ARGUMENT);
                let payload = at.and_then(|at| text.get(at + ARGUMENT.len()..));
                self.enter(payload.unwrap_or_default());
            }
            // The end of the session or of the namespace, or an error.
            [b'1'] | [b'4', b'1' | b'4', ..] => return Err(refused(text)),
            _ => self.unstamped += 1,
        }
        Ok(())
    }
}

fn refused(text: &[u8]) -> Failed {
    let text = String::from_utf8_lossy(text);
    Failed::Refused(text.chars().take(TOLD_CHARS_MAX).collect())
}

/// A number for what was agreed about the server's messages. [`UNKNOWN`] where a message depends on
/// earlier ones: the same bytes may then mean different things.
fn agreement(machine: &Connection) -> u64 {
    match machine.agreement() {
        _ if machine.state() != State::Open => UNKNOWN,
        None => 0,
        Some(agreed) if agreed.server_no_context_takeover() => {
            u64::from(agreed.server_window_bits().get())
        }
        Some(_) => UNKNOWN,
    }
}

/// In place of an agreement, for event streams.
const STREAM: u64 = 1 << 32;
const MESSAGE_BYTES_MAX: usize = 32 << 20;
const TOLD_CHARS_MAX: usize = 200;
const MESSAGE: &[u8] = br#"{"type":"message","#;
const ERROR: &[u8] = br#"{"type":"error","#;
const DATA: &[u8] = br#","data":""#;
const ARGUMENT: &[u8] = br#"",""#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_their_envelopes() {
        let stamp = "aaabaaacaaaaaaadaaaaaaaaaaaaaaaf";
        let mut hearing = Hearing::default();
        for text in [
            format!(
                r#"{{"type":"message","room":"r","name":"\",\"data\":\"x","data":"{stamp} y"}}"#
            ),
            r#"{"type":"message","room":"r","data":{"a":1}}"#.to_owned(),
            r#"{"type":"peer-joined","room":"r","data":"x"}"#.to_owned(),
        ] {
            assert!(hearing.enter_json(text.as_bytes()).is_ok());
        }
        assert_eq!(hearing.stamps.len(), 1);
        assert_eq!((hearing.stamps[0].number, hearing.unstamped), (3, 1));
        let refused = hearing.enter_json(br#"{"type":"error","code":"x"}"#);
        assert!(matches!(refused, Err(Failed::Refused(_))));
    }

    #[test]
    fn packets_of_socket_io_are_told_apart() {
        let stamp = "aaabaaacaaaaaaadaaaaaaaaaaaaaaaf";
        let mut hearing = Hearing::default();
        for text in [
            r#"0{"sid":"x"}"#.to_owned(),
            r#"40{"sid":"y"}"#.to_owned(),
            "2".to_owned(),
            format!(r#"42["message","{stamp} y","1-0-7"]"#),
            r#"42["message",{"a":1}]"#.to_owned(),
        ] {
            assert!(hearing.enter_packet(text.as_bytes()).is_ok(), "{text}");
        }
        assert!(hearing.opens && hearing.joins);
        assert_eq!((hearing.pings, hearing.unstamped), (1, 1));
        assert_eq!(hearing.stamps.len(), 1);
        assert_eq!(hearing.stamps[0].number, 3);
        for text in ["1", "41", r#"44{"message":"no"}"#] {
            let refused = hearing.enter_packet(text.as_bytes());
            assert!(matches!(refused, Err(Failed::Refused(_))), "{text}");
        }
        hearing.clear();
        assert!(hearing.is_empty());
    }
}
