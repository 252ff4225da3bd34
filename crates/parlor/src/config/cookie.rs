//! The cookie that tells a client of Engine.IO the id of its session.

use std::{fmt, str::FromStr, time::Duration};

use super::text::{self, ValueError};

/// The cookie in the answer that opens a session, with the attributes that the reference
/// implementation knows but `Expires`, instead of which there is `Max-Age`
/// ([`EngineIo::cookie`](super::EngineIo::cookie); RFC 6265, section 4.1).
///
/// As text it is a name, with the attributes of the default; or a name and attributes, then it
/// has these alone. `io;` has none.
///
/// ```
/// use parlor::config::{Config, Cookie, SameSite};
///
/// let mut cookie = Cookie::default();
/// cookie.path = Some("/chat".to_owned());
/// cookie.secure = true;
/// cookie.same_site = Some(SameSite::None);
/// assert_eq!("io; Path=/chat; HttpOnly; Secure; SameSite=None".parse(), Ok(cookie.clone()));
/// let mut config = Config::default();
/// config.socketio.engine.cookie = Some(cookie);
/// assert_eq!(config.validate(), Ok(()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cookie {
    /// Its name, 1 to 64 letters, digits and marks. Default: `io`.
    pub name: String,
    /// `Max-Age`, in whole seconds; past it a browser forgets the cookie. Default: none, so that
    /// it is forgotten with the browser's session.
    pub max_age: Option<Duration>,
    /// `Domain`, at most 255 bytes. Default: none, so that only the host itself is told it.
    pub domain: Option<String>,
    /// `Path`, at most 1,024 bytes without `;` and `<`. Default: `/`.
    pub path: Option<String>,
    /// `HttpOnly`: scripts do not see it. Default: yes.
    pub http_only: bool,
    /// `Secure`: told by https alone. Browsers want it beside [`SameSite::None`]. Default: no.
    pub secure: bool,
    /// `Partitioned`: kept apart for each site that embeds this one. Default: no.
    pub partitioned: bool,
    /// `Priority`, which some browsers know. Default: none.
    pub priority: Option<CookiePriority>,
    /// `SameSite`. Default: [`SameSite::Lax`].
    pub same_site: Option<SameSite>,
}

/// With which requests from other sites a cookie is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// With none.
    Strict,
    /// With those that open a page.
    Lax,
    /// With all.
    None,
}

/// Which cookies a browser forgets first where it has too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CookiePriority {
    /// First.
    Low,
    /// As those that do not say.
    Medium,
    /// Last.
    High,
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            path: Some("/".to_owned()),
            http_only: true,
            same_site: Some(SameSite::Lax),
            ..Self::bare("io".to_owned())
        }
    }
}

impl Cookie {
    const fn bare(name: String) -> Self {
        Self {
            name,
            max_age: None,
            domain: None,
            path: None,
            http_only: false,
            secure: false,
            partitioned: false,
            priority: None,
            same_site: None,
        }
    }

    /// The attributes as they stand in the header behind the value, each behind `; `.
    pub(crate) fn attributes(&self) -> String {
        Attributes(self).to_string()
    }

    /// Takes over one attribute, as it stands in the header.
    fn set(&mut self, attribute: &str) -> Result<(), ValueError> {
        let (name, value) = match attribute.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (attribute, None),
        };
        match (name.to_ascii_lowercase().as_str(), value) {
            ("max-age", Some(age)) => {
                let age = age.parse().map_err(|_| ValueError::NotACount)?;
                self.max_age = Some(Duration::from_secs(age));
            }
            ("domain", Some(domain)) if is_domain(domain) => self.domain = Some(domain.to_owned()),
            ("path", Some(path)) if is_path(path) => self.path = Some(path.to_owned()),
            ("httponly", None) => self.http_only = true,
            ("secure", None) => self.secure = true,
            ("partitioned", None) => self.partitioned = true,
            ("priority", Some(word)) => {
                let all = [
                    CookiePriority::Low,
                    CookiePriority::Medium,
                    CookiePriority::High,
                ];
                self.priority = Some(named(word, all, CookiePriority::word)?);
            }
            ("samesite", Some(word)) => {
                let all = [SameSite::Strict, SameSite::Lax, SameSite::None];
                self.same_site = Some(named(word, all, SameSite::word)?);
            }
            _ => return Err(WANTED),
        }
        Ok(())
    }
}

const WANTED: ValueError = ValueError::NotAChoice(
    "a name and attributes such as io; Path=/; HttpOnly; Secure; SameSite=Lax",
);

/// What of `all` has this word, whatever its case.
fn named<T: Copy>(
    text: &str,
    all: [T; 3],
    word: impl Fn(T) -> &'static str,
) -> Result<T, ValueError> {
    let mut all = all.into_iter();
    all.find(|&each| word(each).eq_ignore_ascii_case(text))
        .ok_or(WANTED)
}

/// Labels of at most 63 letters, digits and inner hyphens (RFC 1123, section 2.1), perhaps behind
/// a dot.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 255 && { text.strip_prefix('.').unwrap_or(text).split('.') }.all(is_label)
}

fn is_path(text: &str) -> bool {
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b';' | b'<');
    (1..=1024).contains(&text.len()) && text.bytes().all(plain)
}

impl SameSite {
    const fn word(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

impl CookiePriority {
    const fn word(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

impl FromStr for Cookie {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let Some((name, attributes)) = text.split_once(';') else {
            let name = text::token(text)?;
            return Ok(Self {
                name,
                ..Self::default()
            });
        };
        let mut cookie = Self::bare(text::token(name.trim())?);
        let attributes = attributes.split(';').map(str::trim);
        for attribute in attributes.filter(|attribute| !attribute.is_empty()) {
            cookie.set(attribute)?;
        }
        Ok(cookie)
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attributes = self.attributes();
        f.write_str(&self.name)?;
        match attributes.as_str() {
            "" => f.write_str(";"),
            all if all == Self::default().attributes() => Ok(()),
            some => f.write_str(some),
        }
    }
}

struct Attributes<'a>(&'a Cookie);

impl fmt::Display for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookie = self.0;
        if let Some(age) = cookie.max_age {
            write!(f, "; Max-Age={}", age.as_secs())?;
        }
        if let Some(domain) = &cookie.domain {
            write!(f, "; Domain={domain}")?;
        }
        if let Some(path) = &cookie.path {
            write!(f, "; Path={path}")?;
        }
        for (said, word) in [
            (cookie.http_only, "; HttpOnly"),
            (cookie.secure, "; Secure"),
            (cookie.partitioned, "; Partitioned"),
        ] {
            f.write_str(if said { word } else { "" })?;
        }
        if let Some(priority) = cookie.priority {
            write!(f, "; Priority={}", priority.word())?;
        }
        match cookie.same_site {
            Some(same_site) => write!(f, "; SameSite={}", same_site.word()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cookie, CookiePriority, SameSite};

    #[test]
    fn what_is_written_is_read_again() {
        let full = "io; Max-Age=60; Domain=.example.org; Path=/a b; HttpOnly; Secure; Partitioned; \
                    Priority=High; SameSite=Strict";
        for text in ["io", "io;", "sid; Path=/", full] {
            let cookie: Cookie = text.parse().unwrap();
            assert_eq!(cookie.to_string(), text);
            assert_eq!(cookie.to_string().parse(), Ok(cookie));
        }
        let cookie: Cookie = full.parse().unwrap();
        assert_eq!(cookie.priority, Some(CookiePriority::High));
        assert_eq!(format!("io{}", cookie.attributes()), full);
        let cookie: Cookie = "io;httponly ; SAMESITE=none;".parse().unwrap();
        assert!(cookie.http_only && cookie.path.is_none());
        assert_eq!(cookie.same_site, Some(SameSite::None));
    }

    #[test]
    fn the_default_is_that_of_the_reference() {
        let cookie = Cookie::default();
        assert_eq!(cookie.attributes(), "; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!("io".parse(), Ok(cookie));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for text in [
            "",
            "a b",
            "io=1",
            "io; Path",
            "io; Path=",
            "io; Path=/\r\nx: y",
            "io; Path=/<",
            "io; Domain=a..b",
            "io; Domain=-a",
            "io; Domain=",
            "io; Max-Age=-1",
            "io; Max-Age=soon",
            "io; SameSite=Maybe",
            "io; Secure=1",
            "io; Expires=Thu, 01 Jan 2026 00:00:00 GMT",
        ] {
            let read: Result<Cookie, _> = text.parse();
            assert!(read.is_err(), "{text}");
        }
        let cookie = Cookie {
            path: Some("/; Secure\r\nx: y".to_owned()),
            ..Cookie::default()
        };
        let mut config = crate::Config::default();
        config.socketio.engine.cookie = Some(cookie);
        assert!(config.validate().is_err());
    }
}
