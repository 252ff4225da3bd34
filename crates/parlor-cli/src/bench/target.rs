//! The server to load: where it is, and that it is ours.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};

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
        let (url, addresses) = resolve(&common.url, common.i_own_this_server)?;
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

    /// Checks that a server may be loaded and is there, as [`Target::find`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub(super) fn check(url: &str, is_own: bool) -> anyhow::Result<()> {
        let (url, addresses) = resolve(url, is_own)?;
        url.connect(&addresses).map(drop)
    }

    /// The address of this machine that a URL leads to.
    ///
    /// # Errors
    ///
    /// Where it leads elsewhere or nowhere.
    pub(super) fn here(url: &str) -> anyhow::Result<SocketAddr> {
        let (_, addresses) = resolve(url, false)?;
        let first = addresses.first().copied();
        first.context("the name has no address")
    }
}

/// The addresses of a server that may be loaded.
fn resolve(url: &str, is_own: bool) -> anyhow::Result<(Url, Vec<SocketAddr>)> {
    let url = Url::parse(url, EXAMPLE)?;
    let addresses = url.addresses()?;
    let elsewhere = addresses.iter().find(|address| !is_loopback(address));
    if let Some(address) = elsewhere.filter(|_| !is_own) {
        bail!(
            "{} is {}, which is not this machine: a load test needs --i-own-this-server",
            url.name(),
            address.ip()
        );
    }
    Ok((url, addresses))
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
