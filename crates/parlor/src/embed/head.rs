//! The request with which a client asks to be connected.

use std::{borrow::Cow, net::SocketAddr, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;

/// A request head: what a client said when it asked to be connected.
///
/// It is dropped when the connect handler is done, unless that keeps it by
/// [`Connect::keep_head`](super::Connect::keep_head).
#[derive(Debug, Clone)]
pub struct Head {
    pub(crate) method: Method,
    pub(crate) target: Box<str>,
    pub(crate) headers: HeaderMap,
    pub(crate) peer: SocketAddr,
    pub(crate) params: Params,
    pub(crate) protocols: Vec<Box<str>>,
    pub(crate) received: SystemTime,
}

/// The parts of a path that a pattern names, decoded.
pub(crate) type Params = Vec<(Box<str>, Box<str>)>;

impl Head {
    pub(crate) fn new<'a>(
        method: &str,
        target: &str,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        peer: SocketAddr,
    ) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            // What was read as a header is one.
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::from_bytes(value))
            {
                headers.append(name, value);
            }
        }
        Self {
            method: method.parse().unwrap_or_default(),
            target: target.into(),
            headers,
            peer,
            params: Params::new(),
            protocols: Vec::new(),
            received: SystemTime::now(),
        }
    }

    pub(crate) fn with_params(mut self, params: Params) -> Self {
        self.params = params;
        self
    }

    pub(crate) fn with_protocols(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols
            .iter()
            .map(|protocol| (*protocol).into())
            .collect();
        self
    }

    /// The method: `GET`, or `CONNECT` where the request came by HTTP/2.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The path as it was sent, still percent-encoded. Below a router of the embedder's it is what
    /// that router left of it.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = &*self.target;
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The part of the path that stands for `{name}` in the endpoint's pattern, percent-decoded:
    /// at least one character, none of them a control character. Empty where the pattern has no
    /// such name.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        let mut params = self.params.iter();
        let found = params.find(|(known, _)| **known == *name);
        found.map_or("", |(_, value)| value)
    }

    /// The query of the target without its `?`, as it was sent; empty where there is none.
    #[must_use]
    pub fn query_string(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a key of the query, both decoded (`+` is a space). `None` where there is
    /// none, and where it is not UTF-8.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<Cow<'_, str>> {
        let mut pairs = self
            .query_string()
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, value) =
            pairs.find(|(known, _)| decoded(known).is_some_and(|known| known == key))?;
        decoded(value)
    }

    /// The first value of a header, its name in any case. `None` where there is none, and where it
    /// is not visible ASCII; [`Head::headers`] has those too.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The value of a cookie (RFC 6265, section 4.2), as it was sent but for quotes around it.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all(http::header::COOKIE).iter();
        let pairs = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'));
        let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(known, _)| *known == name)?;
        let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        Some(bare.unwrap_or(value))
    }

    /// The other end of the socket. Behind a proxy that is the proxy.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When it came.
    #[must_use]
    pub const fn received(&self) -> SystemTime {
        self.received
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(|protocol| &**protocol)
    }
}

/// A key or a value of a query; none where it is not UTF-8.
fn decoded(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains('+') {
        return percent_decode_str(part).decode_utf8().ok();
    }
    let spaced = part.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, cookie: &str) -> Head {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", cookie.parse().unwrap());
        Head {
            method: Method::GET,
            target: target.into(),
            headers,
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            params: vec![("room".into(), "tea".into())],
            protocols: vec!["a".into()],
            received: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn keys_of_a_query_are_decoded() {
        let head = head("/?%26a=%26%3D%3Fa&b+c=1&%ff=2&%61=3&a=4&d%2B=5", "");
        assert_eq!(head.query("&a").as_deref(), Some("&=?a"));
        assert_eq!(head.query("b c").as_deref(), Some("1"));
        assert_eq!(head.query("a").as_deref(), Some("3"));
        assert_eq!(head.query("d+").as_deref(), Some("5"));
        assert_eq!((head.query("%ff"), head.query("b+c")), (None, None));
    }

    #[test]
    fn what_a_request_says_is_found() {
        let head = head("/chat/tea?name=Ann+B%C3%A9&x&bad=%ff", "a=1; b=\"2\"; c");
        assert_eq!((head.path(), head.param("room")), ("/chat/tea", "tea"));
        assert_eq!((head.param("other"), head.query_string().len()), ("", 26));
        assert_eq!(head.query("name").as_deref(), Some("Ann B\u{e9}"));
        assert_eq!(head.query("x").as_deref(), Some(""));
        assert_eq!((head.query("bad"), head.query("y")), (None, None));
        assert_eq!((head.cookie("a"), head.cookie("b")), (Some("1"), Some("2")));
        assert_eq!(head.cookie("c"), None);
        assert_eq!(head.header("COOKIE").map(str::len), Some(13));
        assert_eq!(head.protocols().collect::<Vec<_>>(), ["a"]);
    }
}
