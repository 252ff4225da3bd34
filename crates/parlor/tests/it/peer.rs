//! A client of `parlor.v1`, and one of `POST /rooms/{room}/messages`.

use serde_json::{Value, json};

use crate::{
    http_support::field,
    support::{Client, TestServer},
};

/// A client that speaks JSON.
pub(crate) struct Peer {
    pub(crate) client: Client,
    /// Its id, once it has joined a room.
    pub(crate) id: String,
}

impl TestServer {
    /// A peer that is in no room yet.
    pub(crate) fn peer(&self, path: &str) -> Peer {
        Peer::of(self.websocket(path))
    }

    /// A peer that is in a room.
    pub(crate) fn peer_in(&self, room: &str) -> Peer {
        let mut peer = self.peer("/signal");
        peer.join(room);
        peer
    }

    /// Publishes by HTTP; returns the status and the body.
    pub(crate) fn post(&self, target: &str, headers: &str, body: &[u8]) -> (u16, Value) {
        let mut request = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let response = self.exchange(&request);
        let status = response.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            field(&response, "content-length"),
            Some(&*body.len().to_string())
        );
        (
            status,
            serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())),
        )
    }

    /// Publishes JSON; returns the id.
    pub(crate) fn publish(&self, room: &str, message: &Value) -> String {
        let (status, answer) = self.post(
            &format!("/rooms/{room}/messages"),
            "Content-Type: application/json\r\n",
            message.to_string().as_bytes(),
        );
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_str().unwrap_or_default().to_owned()
    }
}

impl Peer {
    /// A peer on a WebSocket that is open.
    pub(crate) const fn of(client: Client) -> Self {
        Self {
            client,
            id: String::new(),
        }
    }

    /// Sends a message as it is.
    pub(crate) fn say(&mut self, message: &Value) {
        self.client.send_text(&message.to_string());
    }

    /// The next message. Pings on the way are answered.
    pub(crate) fn hear(&mut self) -> Value {
        loop {
            let frame = self.client.receive().unwrap();
            if frame.first == 0x89 {
                self.client.send(0x8a, &frame.payload);
                continue;
            }
            return serde_json::from_str(frame.text()).unwrap();
        }
    }

    /// Sends a message and returns the next one that comes.
    pub(crate) fn ask(&mut self, message: &Value) -> Value {
        self.say(message);
        self.hear()
    }

    /// Joins a room and returns the answer.
    pub(crate) fn join(&mut self, room: &str) -> Value {
        let joined = self.ask(&json!({"type": "join", "room": room}));
        assert_eq!(joined["type"], "joined", "{joined}");
        self.id = joined["id"].as_str().unwrap().to_owned();
        joined
    }
}
