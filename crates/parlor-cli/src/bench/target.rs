//! The server to load: where it is, and that it is ours.

use std::net::SocketAddr;

use anyhow::bail;

use super::arguments::Common;
use crate::url::Url;

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
        let url = Url::parse(&common.url, EXAMPLE)?;
        let addresses = url.addresses()?;
        let elsewhere = addresses.iter().find(|address| !is_loopback(address));
        if let Some(address) = elsewhere.filter(|_| !common.i_own_this_server) {
            bail!(
                "{} is {}, which is not this machine: a load test needs --i-own-this-server",
                url.host(),
                address.ip()
            );
        }
        let address = url.connect(&addresses)?.peer_addr()?;
        if common.sources > 1 && !(address.is_ipv4() && is_loopback(&address)) {
            bail!(
                "--sources are addresses of 127.0.0.0/8, and {address} cannot be reached from there"
            );
        }
        Ok(Self {
            address,
            host: url.authority(),
            path: url.path,
        })
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

const EXAMPLE: &str = "ws://127.0.0.1:8080/ws/bench";

#[cfg(test)]
mod tests {
    use super::*;

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
