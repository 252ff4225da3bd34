//! A publisher that sends POST requests over one connection, without waiting for answers.

use std::collections::VecDeque;

use crate::http::{Body, read_head};

/// The answering side of such a connection.
#[derive(Debug, Default)]
pub(super) struct Poster {
    /// Bytes of an answer that is not whole.
    partial: VecDeque<u8>,
}

/// Appends a request with a message as its body.
pub(super) fn request(path: &str, host: &str, message: &[u8], out: &mut Vec<u8>) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         \r\n",
        message.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(message);
}

impl Poster {
    /// Takes in bytes of the server.
    ///
    /// # Errors
    ///
    /// In words, where a message was not published.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.partial.extend(bytes);
        let answers = self.partial.make_contiguous();
        let mut used = 0;
        while let Some((status, len)) = answer(answers.get(used..).unwrap_or_default())? {
            if status != 201 {
                let answer = answers.get(used..used + len).unwrap_or_default();
                let text = String::from_utf8_lossy(answer);
                let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                return Err(format!("a message was answered {status} {body}"));
            }
            used += len;
        }
        self.partial.drain(..used);
        Ok(())
    }
}

/// The status and the length of the first answer, if it is whole.
fn answer(bytes: &[u8]) -> Result<Option<(u16, usize)>, String> {
    let head = read_head(bytes).map_err(|error| error.to_string())?;
    let Some(head) = head else {
        return Ok(None);
    };
    let Body::Sized(len) = head.body else {
        return Err("an answer has no length".to_owned());
    };
    let whole = usize::try_from(len).map_or(usize::MAX, |len| head.len.saturating_add(len));
    Ok((bytes.len() >= whole).then_some((head.status, whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";

    #[test]
    fn answers_split_anywhere() {
        let two = [CREATED, CREATED].concat();
        for at in 0..two.len() {
            let mut poster = Poster::default();
            poster.receive(&two[..at]).unwrap();
            poster.receive(&two[at..]).unwrap();
            assert!(poster.partial.is_empty());
        }
    }

    #[test]
    fn a_refusal_is_told() {
        let mut poster = Poster::default();
        let refused = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";
        let told = poster.receive(&[CREATED, refused].concat());
        assert_eq!(told, Err("a message was answered 503 busy".to_owned()));
    }
}
