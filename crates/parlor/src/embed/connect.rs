//! A client that asks to be connected, and what the answer says.

use std::{ops::Deref, sync::Arc};

use parlor_proto::websocket::handshake::{ResponseMisuse, check_header};

use super::{Head, Member, Refusal, ServerHandle};

/// A client that asks to be connected: its request, and what to put into the answer.
///
/// The [`Head`] of the request can be read as if its methods were here. Return from the connect
/// handler to accept, with a [`Refusal`] to refuse.
#[derive(Debug)]
pub struct Connect {
    pub(crate) head: Head,
    pub(crate) member: Member,
    pub(crate) protocol: Choice,
    pub(crate) headers: Vec<(Box<str>, Box<str>)>,
    keep_head: bool,
}

/// Which subprotocol is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The first that the client offers.
    First,
    /// None of them.
    None,
    /// This one.
    This(Box<str>),
}

impl Connect {
    pub(crate) const fn new(head: Head, member: Member) -> Self {
        Self {
            head,
            member,
            protocol: Choice::First,
            headers: Vec::new(),
            keep_head: false,
        }
    }

    /// The member that this client becomes. It can be sent to and can join rooms at once; what it
    /// is sent goes out behind the answer to its request. Where it is refused, all of that is
    /// undone.
    #[must_use]
    pub const fn member(&self) -> &Member {
        &self.member
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> ServerHandle {
        self.member.server()
    }

    /// Chooses one of the subprotocols that the client offers. Without a choice it is the first
    /// one, since a browser fails a connection whose offer is not answered.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with 400 where the client does not offer it.
    pub fn choose_protocol(&mut self, protocol: &str) -> Result<(), Refusal> {
        if !self.head.protocols().any(|offered| offered == protocol) {
            return Err(Refusal::bad_request("the subprotocol is not offered"));
        }
        self.protocol = Choice::This(protocol.into());
        Ok(())
    }

    /// Chooses none of the subprotocols.
    pub fn choose_no_protocol(&mut self) {
        self.protocol = Choice::None;
    }

    /// Adds a header to the answer, such as `Set-Cookie`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with 500 where the handshake writes that header itself, or the name or value
    /// cannot stand in a header.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        check_header(name, value).map_err(|error: ResponseMisuse| {
            tracing::error!(%error, name, "a header cannot be added");
            Refusal::new(500, "internal error")
        })?;
        self.headers.push((name.into(), value.into()));
        Ok(())
    }

    /// Names the member: others see it where they see who is there, and who said something.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with 400 for a name of more than
    /// [`member_name_bytes_max`](crate::Config::member_name_bytes_max) bytes or with a control
    /// character, and with 503 where the server stops.
    pub fn set_name(&mut self, name: &str) -> Result<(), Refusal> {
        let fits = name.len() <= self.member.limits().name_bytes_max;
        if !fits || name.chars().any(char::is_control) {
            return Err(Refusal::bad_request("the name is too long, or no name"));
        }
        Ok(self.member.set_name(name)?)
    }

    /// Keeps the request, for [`Member::head`]. It costs about as much memory as the request had
    /// bytes, for as long as there is a handle to the member.
    pub fn keep_head(&mut self) {
        self.keep_head = true;
    }

    /// Moves the request out; what stays is empty.
    pub(crate) fn take(&mut self) -> Self {
        let head = Head {
            method: http::Method::GET,
            target: "".into(),
            headers: http::HeaderMap::new(),
            peer: self.head.peer,
            params: Vec::new(),
            protocols: Vec::new(),
            received: self.head.received,
        };
        std::mem::replace(self, Self::new(head, self.member.clone()))
    }

    /// Done with the handler: what is kept goes to the member.
    pub(crate) fn finish(self) -> Accepted {
        let protocol = match self.protocol {
            Choice::First => self.head.protocols.first().cloned(),
            Choice::None => None,
            Choice::This(protocol) => Some(protocol),
        };
        let head = Arc::new(self.head);
        self.member
            .settle(protocol.clone(), self.keep_head.then(|| Arc::clone(&head)));
        Accepted {
            head,
            protocol,
            headers: self.headers,
        }
    }
}

impl Deref for Connect {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// What the answer to an accepted client is made of.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) head: Arc<Head>,
    pub(crate) protocol: Option<Box<str>>,
    pub(crate) headers: Vec<(Box<str>, Box<str>)>,
}
