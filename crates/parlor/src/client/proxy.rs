//! Proxies: which one to connect through, and HTTP CONNECT (RFC 9110, section 9.3.6).

use std::{fmt, net::IpAddr};

use tokio::io::AsyncWriteExt as _;

use super::{
    ConnectError,
    connect::{self, BoxedIo},
    http,
    url::{MalformedUrl, Place, Target, bracketed},
};

/// Which proxy leads where. All are HTTP proxies that are asked for a tunnel by `CONNECT`, for
/// `ws:` as for `wss:`.
#[derive(Clone, Default)]
pub struct Proxies {
    plain: Option<Proxy>,
    secure: Option<Proxy>,
    /// Hosts to which no proxy leads.
    direct: Vec<Direct>,
}

/// One proxy.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    host: String,
    port: u16,
    authorization: Option<String>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    Everything,
    /// A domain and all below it, without a dot in front; and one port of it, if one is named.
    Domain(String, Option<u16>),
    /// The first bits of an address.
    Network(IpAddr, u8),
}

impl fmt::Debug for Proxies {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |proxy: &Option<Proxy>| {
            let proxy = proxy.as_ref()?;
            Some(format!("{}:{}", proxy.host, proxy.port))
        };
        f.debug_struct("Proxies")
            .field("plain", &place(&self.plain))
            .field("secure", &place(&self.secure))
            .field("direct", &self.direct)
            .finish()
    }
}

impl Proxies {
    /// None: every connection is direct.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            plain: None,
            secure: None,
            direct: Vec::new(),
        }
    }

    /// One proxy for everything, as `http://host:port`, or `http://user:password@host:port`.
    /// Default port: 80.
    ///
    /// # Errors
    ///
    /// [`MalformedUrl`]; proxies that are spoken to by TLS or SOCKS are
    /// [`MalformedUrl::Scheme`].
    pub fn all(url: &str) -> Result<Self, MalformedUrl> {
        let proxy = Proxy::parse(url)?;
        Ok(Self {
            plain: Some(proxy.clone()),
            secure: Some(proxy),
            direct: Vec::new(),
        })
    }

    /// Names hosts to which connections are direct, as `NO_PROXY` does: `*` for all, or names,
    /// addresses and networks (`10.0.0.0/8`) between commas. A name stands for all names below it
    /// too, with or without a dot in front, and may have a port. What is none of these is left out.
    #[must_use]
    pub fn except(mut self, list: &str) -> Self {
        let entries = list.split(',').map(str::trim);
        self.direct.extend(entries.filter_map(Direct::parse));
        self
    }

    /// What the environment says: `http_proxy` for `ws:`, `https_proxy` or `HTTPS_PROXY` for
    /// `wss:`, `all_proxy` or `ALL_PROXY` where these are missing, and `no_proxy` or `NO_PROXY`.
    /// `HTTP_PROXY` counts unless there is a `REQUEST_METHOD`: a CGI program must not take a
    /// header of a stranger's (`Proxy:`) for its proxy.
    ///
    /// # Errors
    ///
    /// [`MalformedUrl`] where one of them is no `http://` URL.
    pub fn from_environment() -> Result<Self, MalformedUrl> {
        Self::from_variables(|name| {
            #[expect(clippy::disallowed_methods, reason = "the one place for these")]
            std::env::var(name).ok()
        })
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, MalformedUrl> {
        let find = |names: &[&str]| {
            names
                .iter()
                .filter_map(|name| variable(name))
                .find(|value| !value.is_empty())
        };
        let all = find(&["all_proxy", "ALL_PROXY"]);
        let plain = match variable("REQUEST_METHOD") {
            Some(_) => find(&["http_proxy"]),
            None => find(&["http_proxy", "HTTP_PROXY"]),
        };
        let proxy = |url: Option<String>| {
            let url = url.or_else(|| all.clone());
            url.map(|url| Proxy::parse(&url)).transpose()
        };
        let proxies = Self {
            plain: proxy(plain)?,
            secure: proxy(find(&["https_proxy", "HTTPS_PROXY"]))?,
            direct: Vec::new(),
        };
        Ok(proxies.except(&find(&["no_proxy", "NO_PROXY"]).unwrap_or_default()))
    }

    /// The proxy that leads to a host.
    pub(super) fn find(&self, secure: bool, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if secure { &self.secure } else { &self.plain };
        proxy
            .as_ref()
            .filter(|_| !self.direct.iter().any(|direct| direct.covers(host, port)))
    }
}

impl Proxy {
    fn parse(url: &str) -> Result<Self, MalformedUrl> {
        let target = if url.contains("://") {
            Target::parse(url)?
        } else {
            Target::parse(&format!("http://{url}"))?
        };
        match target.place {
            Place::Host(host, port) if !target.secure => Ok(Self {
                host,
                port,
                authorization: target.authorization,
            }),
            Place::Host(..) | Place::Unix(_) => Err(MalformedUrl::Scheme),
        }
    }

    /// Opens a tunnel to a host.
    pub(super) async fn tunnel(&self, host: &str, port: u16) -> Result<BoxedIo, ConnectError> {
        let mut io = connect::tcp(&self.host, self.port).await?;
        let place = format!("{}:{port}", bracketed(host));
        let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        if let Some(value) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
        }
        request.push_str("\r\n");
        io.write_all(request.as_bytes()).await?;
        let mut read = Vec::new();
        let head = http::read_head(&mut io, &mut read).await?;
        // The other side speaks only when it is spoken to, so nothing may have come after it.
        if !matches!(head.status, 200..=299) || read.len() > head.len {
            return Err(ConnectError::ViolationProxy {
                status: head.status,
            });
        }
        Ok(Box::new(io))
    }
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits: u8 = bits.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Self::Network(address, bits));
        }
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Some(Self::Network(address, bits));
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        (!name.is_empty()).then(|| Self::Domain(name.to_ascii_lowercase(), port))
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        match self {
            Self::Everything => true,
            Self::Domain(name, own) => {
                let below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|front| front.is_empty() || front.ends_with('.'));
                below && own.is_none_or(|own| own == port)
            }
            Self::Network(network, bits) => host
                .parse()
                .is_ok_and(|address| shares_bits(*network, address, *bits)),
        }
    }
}

/// Whether two addresses of one family begin with the same bits.
fn shares_bits(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let differ = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => u128::from(one.to_bits() ^ other.to_bits()) << 96,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() ^ other.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_variables(|name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .unwrap()
    }

    fn found(proxies: &Proxies, secure: bool) -> Option<String> {
        let proxy = proxies.find(secure, "example.org", 80)?;
        Some(format!("{}:{}", proxy.host, proxy.port))
    }

    #[test]
    fn the_environment_names_proxies() {
        for (variables, plain, secure) in [
            (&[][..], None, None),
            (&[("http_proxy", "http://p:1")], Some("p:1"), None),
            (&[("HTTPS_PROXY", "p:2")], None, Some("p:2")),
            (&[("ALL_PROXY", "http://p")], Some("p:80"), Some("p:80")),
            (
                &[("all_proxy", "http://a"), ("https_proxy", "http://b")],
                Some("a:80"),
                Some("b:80"),
            ),
            (&[("HTTP_PROXY", "p:3")], Some("p:3"), None),
            (
                &[("HTTP_PROXY", "p:3"), ("REQUEST_METHOD", "GET")],
                None,
                None,
            ),
            (&[("http_proxy", "")], None, None),
        ] {
            let proxies = proxies(variables);
            assert_eq!(found(&proxies, false).as_deref(), plain, "{variables:?}");
            assert_eq!(found(&proxies, true).as_deref(), secure, "{variables:?}");
        }
        for url in ["https://p", "socks5://p", "http://", "http://p:x"] {
            assert!(Proxies::all(url).is_err(), "{url}");
        }
    }

    #[test]
    fn exceptions_are_direct() {
        for (list, host, port, direct) in [
            ("*", "a", 80, true),
            ("a.org", "a.org", 80, true),
            ("a.org", "b.a.org", 80, true),
            (".a.org", "b.a.org", 80, true),
            ("*.a.org", "b.a.org", 80, true),
            ("A.org", "a.org", 80, true),
            ("a.org", "ba.org", 80, false),
            ("x, a.org:81 ,", "a.org", 81, true),
            ("a.org:81", "a.org", 80, false),
            ("127.0.0.1", "127.0.0.1", 80, true),
            ("10.0.0.0/8", "10.255.0.1", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("0.0.0.0/0", "9.9.9.9", 80, true),
            ("10.0.0.0/8", "::1", 80, false),
            ("::1", "::1", 80, true),
            ("[fe80::]/10", "fe80::1", 80, false),
            ("fe80::/10", "fe80::1", 80, true),
            ("10.0.0.0/33", "10.0.0.0", 80, false),
            ("", "a", 80, false),
        ] {
            let proxies = Proxies::all("http://p").unwrap().except(list);
            let found = proxies.find(false, host, port);
            assert_eq!(found.is_none(), direct, "{list} {host}:{port}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let proxies = Proxies::all("http://u:geheim@p").unwrap();
        assert!(!format!("{proxies:?}").contains("geheim"));
        let proxy = proxies.plain.unwrap();
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dTpnZWhlaW0="));
    }
}
