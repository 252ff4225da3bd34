//! A client of event streams that shares no code with the server.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use flate2::write::GzDecoder;

use crate::support::TestServer;

/// How long nothing is to come.
const MOMENT: Duration = Duration::from_millis(50);

/// One block of a stream: what stands between two blank lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    /// The data lines, joined by LF; none where there is no data line, which is no event then.
    pub(crate) data: Option<String>,
    pub(crate) retry: Option<String>,
    pub(crate) comments: Vec<String>,
}

impl Event {
    /// The id, event name and data, as a test writes them down.
    pub(crate) fn parts(&self) -> (Option<&str>, Option<&str>, &str) {
        (
            self.id.as_deref(),
            self.name.as_deref(),
            self.data.as_deref().unwrap_or("no data"),
        )
    }

    /// The data as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.data.as_deref().unwrap()).unwrap()
    }

    fn parse(block: &str) -> Self {
        let mut event = Self::default();
        for line in block.split('\n') {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => event.comments.push(value.to_owned()),
                "id" => event.id = Some(value.to_owned()),
                "event" => event.name = Some(value.to_owned()),
                "retry" => event.retry = Some(value.to_owned()),
                "data" => match &mut event.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => event.data = Some(value.to_owned()),
                },
                other => unreachable!("no such field: {other:?}"),
            }
        }
        event
    }
}

/// An open stream.
pub(crate) struct EventStream {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
    text: Vec<u8>,
    inflater: Option<GzDecoder<Vec<u8>>>,
    /// The head of the response.
    pub(crate) response: String,
    /// The last chunk has come.
    pub(crate) ended: bool,
}

impl TestServer {
    /// An open stream; `headers` are further header lines, each ended by CRLF.
    pub(crate) fn events_with(&self, path: &str, headers: &str) -> EventStream {
        EventStream::open(self.tcp(), path, headers)
    }

    /// An open stream.
    pub(crate) fn events(&self, path: &str) -> EventStream {
        self.events_with(path, "")
    }
}

impl EventStream {
    /// Asks for a stream on a connection that is open already.
    pub(crate) fn open(mut stream: TcpStream, path: &str, headers: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        Self::open_sent(stream)
    }

    /// Takes the answer to a request for a stream that has been sent.
    pub(crate) fn open_sent(stream: TcpStream) -> Self {
        let mut events = Self {
            stream,
            read: Vec::new(),
            text: Vec::new(),
            inflater: None,
            response: String::new(),
            ended: false,
        };
        loop {
            if let Some(end) = find(&events.read, b"\r\n\r\n") {
                let head: Vec<u8> = events.read.drain(..end + 4).collect();
                events.response = String::from_utf8(head).unwrap();
                break;
            }
            events.fill().unwrap();
        }
        assert!(
            events.response.starts_with("HTTP/1.1 200 "),
            "{}",
            events.response
        );
        if events.response.contains("content-encoding: gzip\r\n") {
            events.inflater = Some(GzDecoder::new(Vec::new()));
        }
        events
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.read.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }

    /// Takes one chunk off what was read, if it is there in whole.
    fn chunk(&mut self) -> bool {
        let Some(line) = find(&self.read, b"\r\n") else {
            return false;
        };
        let digits = std::str::from_utf8(&self.read[..line]).unwrap();
        let len = usize::from_str_radix(digits, 16).unwrap();
        let (start, end) = (line + 2, line + 2 + len);
        if self.read.len() < end + 2 {
            return false;
        }
        assert_eq!(&self.read[end..end + 2], b"\r\n");
        let chunk = &self.read[start..end];
        match &mut self.inflater {
            None => self.text.extend_from_slice(chunk),
            Some(inflater) => {
                inflater.write_all(chunk).unwrap();
                inflater.flush().unwrap();
                self.text.append(inflater.get_mut());
            }
        }
        self.ended |= len == 0;
        self.read.drain(..end + 2);
        true
    }

    /// The next block; an error where the stream ended, closed, or said nothing for long.
    pub(crate) fn block(&mut self) -> io::Result<Event> {
        loop {
            if let Some(end) = find(&self.text, b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).take(end).collect();
                return Ok(Event::parse(&String::from_utf8_lossy(&block)));
            }
            if self.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !self.chunk() {
                self.fill()?;
            }
        }
    }

    /// The next event, past comments and bare fields.
    pub(crate) fn next(&mut self) -> io::Result<Event> {
        loop {
            let event = self.block()?;
            if event.data.is_some() {
                return Ok(event);
            }
        }
    }

    /// The next event, which is there.
    pub(crate) fn event(&mut self) -> Event {
        self.next().unwrap()
    }

    /// Whether nothing comes for a moment.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let patience = self.stream.read_timeout().unwrap();
        self.stream.set_read_timeout(Some(MOMENT)).unwrap();
        let next = self.next();
        self.stream.set_read_timeout(patience).unwrap();
        next.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The first event: who the member is.
    pub(crate) fn joined(&mut self) -> serde_json::Value {
        let event = self.event();
        assert_eq!(
            (event.id.as_deref(), event.name.as_deref()),
            (None, Some("joined"))
        );
        event.json()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
