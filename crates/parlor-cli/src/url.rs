//! Where a server is: `ws://` and `http://` URLs.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use parlor::client;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A URL of a TCP server without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    url: client::Url,
    /// The name or address, an IPv6 address without brackets.
    name: String,
    pub(crate) port: u16,
    /// Path and query, at least `/`.
    pub(crate) path: String,
}

impl Url {
    /// Reads a URL; the error shows `example`.
    ///
    /// # Errors
    ///
    /// Text that is not an `ws://` or `http://` URL, or has a user in it.
    pub(crate) fn parse(text: &str, example: &str) -> anyhow::Result<Self> {
        let wrong = || anyhow!("`{text}` is not a URL such as {example}");
        let url = client::Url::parse(text).map_err(|_| wrong())?;
        if url.is_secure() {
            bail!("`{text}` needs TLS, which this program does not speak yet");
        }
        let (Some(name), Some(port), false) = (url.host(), url.port(), url.has_user()) else {
            return Err(wrong());
        };
        Ok(Self {
            name: name.to_owned(),
            port,
            path: url.path().to_owned(),
            url,
        })
    }

    /// Host and port as the `Host` header has them.
    pub(crate) fn authority(&self) -> String {
        self.url.host_header()
    }

    /// The name or address of the host, without brackets.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The base URL of a server: without a query.
    ///
    /// # Errors
    ///
    /// Those of [`Url::parse`], and a query.
    pub(crate) fn server(text: &str) -> anyhow::Result<Self> {
        let example = "ws://127.0.0.1:8080";
        let url = Self::parse(text, example)?;
        if url.path.contains('?') {
            bail!("`{text}` is not the URL of a server such as {example}");
        }
        Ok(url)
    }

    /// A door of the server whose base this URL is: its path, then the segments.
    pub(crate) fn door(&self, segments: &[&str]) -> String {
        let mut path = self.path.trim_end_matches('/').to_owned();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, ESCAPED));
        }
        path
    }

    /// The addresses of the host.
    ///
    /// # Errors
    ///
    /// Where the name is not known.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let addresses = (self.name(), self.port).to_socket_addrs();
        let addresses = addresses.with_context(|| format!("cannot find the host {}", self.name))?;
        Ok(addresses.collect())
    }

    /// Connects to the first of the addresses that answers.
    ///
    /// # Errors
    ///
    /// What the last of them said.
    pub(crate) fn connect(&self, addresses: &[SocketAddr]) -> anyhow::Result<TcpStream> {
        let mut last = anyhow!("the name has no address");
        for address in addresses {
            match TcpStream::connect_timeout(address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error.into(),
            }
        }
        Err(last.context(format!("cannot connect to {}", self.authority())))
    }
}

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "ws://127.0.0.1:8080";

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, u16, &str)>) {
        let url = Url::parse(text, EXAMPLE).ok();
        let found = url.as_ref().map(|url| (url.name(), url.port, &*url.path));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn urls() {
        check("ws://127.0.0.1:8080", Some(("127.0.0.1", 8080, "/")));
        check(
            "ws://[::1]:8080/ws/tea?echo=1",
            Some(("::1", 8080, "/ws/tea?echo=1")),
        );
        check("ws://[::1]/", Some(("::1", 80, "/")));
        check("ws://host:/a b?c", Some(("host", 80, "/a%20b?c")));
        check("http://localhost/echo", Some(("localhost", 80, "/echo")));
        let wrong = [
            "127.0.0.1:8080",
            "ws://",
            "ws:///echo",
            "ws://host:70000",
            "ws+unix:/tmp/s",
            "ws://user@host/",
            "ws://host/#x",
            "wss://host/",
            "ftp://host/",
        ];
        wrong.into_iter().for_each(|url| check(url, None));
    }

    #[test]
    fn doors_are_below_the_path() {
        let door = |base| Url::parse(base, EXAMPLE).unwrap().door(&["ws", "a/b ü.."]);
        assert_eq!(door("ws://host"), "/ws/a%2Fb%20%C3%BC%2E%2E");
        assert_eq!(door("http://host/chat/"), "/chat/ws/a%2Fb%20%C3%BC%2E%2E");
    }
}
