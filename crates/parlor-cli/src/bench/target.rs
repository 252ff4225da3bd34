//! The server to load: where it is, and that it is ours.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use super::arguments::Common;

/// A server that may be loaded.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// Host and port for the `Host` header.
    pub(super) host: String,
    /// Path and query.
    pub(super) path: String,
}

impl Target {
    /// Finds the server and makes one connection to it, to know which of its addresses answers.
    ///
    /// # Errors
    ///
    /// A URL that is not one of a WebSocket server, a name that is not this machine's (unless the
    /// user answers for it), a server that is not there.
    pub(super) fn find(common: &Common) -> anyhow::Result<Self> {
        let Parts { host, port, path } = split(&common.url)?;
        let name = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let addresses = (name, port).to_socket_addrs();
        let addresses = addresses.with_context(|| format!("cannot find the host {host}"))?;
        let addresses: Vec<_> = addresses.collect();
        let elsewhere = addresses.iter().find(|address| !is_loopback(address));
        if let Some(address) = elsewhere.filter(|_| !common.i_own_this_server) {
            bail!(
                "{host} is {}, which is not this machine: a load test needs --i-own-this-server",
                address.ip()
            );
        }
        let address = first_that_answers(&addresses)
            .with_context(|| format!("cannot connect to {host}:{port}"))?;
        if common.sources > 1 && !(address.is_ipv4() && is_loopback(&address)) {
            bail!(
                "--sources are addresses of 127.0.0.0/8, and {address} cannot be reached from there"
            );
        }
        let host = if port == 80 {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        Ok(Self {
            address,
            host,
            path: path.to_owned(),
        })
    }
}

struct Parts<'a> {
    host: &'a str,
    port: u16,
    path: &'a str,
}

fn split(url: &str) -> anyhow::Result<Parts<'_>> {
    let wrong = || anyhow!("`{url}` is not a URL such as ws://127.0.0.1:8080/ws/bench");
    if url.starts_with("wss://") || url.starts_with("https://") {
        bail!("`{url}` needs TLS, which parlor bench does not speak");
    }
    let rest = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or_else(wrong)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or_else(wrong)?;
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if authority.contains(['@', '#']) || path.contains('#') || !plain(authority) || !plain(path) {
        return Err(wrong());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (authority, 80),
    };
    if host.is_empty() || path.starts_with('?') {
        return Err(wrong());
    }
    Ok(Parts {
        host,
        port,
        path: if path.is_empty() { "/" } else { path },
    })
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn first_that_answers(addresses: &[SocketAddr]) -> anyhow::Result<SocketAddr> {
    let mut last = anyhow!("the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(*address),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<(&str, u16, &str)>) {
        let found = split(url)
            .ok()
            .map(|parts| (parts.host, parts.port, parts.path));
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn urls() {
        check("ws://127.0.0.1:8080", Some(("127.0.0.1", 8080, "/")));
        check(
            "ws://[::1]:8080/ws/tea?echo=1",
            Some(("[::1]", 8080, "/ws/tea?echo=1")),
        );
        check("ws://[::1]/", Some(("[::1]", 80, "/")));
        check("http://localhost/echo", Some(("localhost", 80, "/echo")));
        let wrong = [
            "127.0.0.1:8080",
            "ws://",
            "ws:///echo",
            "ws://host:",
            "ws://host:70000",
            "ws://host?x",
            "ws://user@host/",
            "ws://host/#x",
            "ws://host/a b",
            "wss://host/",
            "ftp://host/",
        ];
        wrong.into_iter().for_each(|url| check(url, None));
    }

    #[test]
    fn loopback_in_all_its_forms() {
        for (text, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("[::ffff:10.0.0.1]:1", false),
            ("0.0.0.0:1", false),
            ("10.0.0.1:1", false),
            ("[::]:1", false),
        ] {
            assert_eq!(is_loopback(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
