//! Cross-origin resource sharing, header by header as npm `cors` 2.8 does it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{Field, MalformedOrigin, Origin, Provenance};

/// What a path says to pages of other origins.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    pub(crate) origins: Origins,
    pub(crate) methods: HeaderValue,
    /// None for those that are asked for.
    pub(crate) allowed_headers: Option<HeaderValue>,
    pub(crate) exposed_headers: Option<HeaderValue>,
    pub(crate) credentials: bool,
    pub(crate) max_age: Option<HeaderValue>,
    /// The status that OPTIONS is answered with; none where it goes on.
    pub(crate) preflight: Option<u16>,
}

/// Whose pages may come in.
#[derive(Debug, Clone)]
pub(crate) enum Origins {
    /// Whom the policy of all doors lets in.
    Policy,
    /// All.
    Any,
    /// These.
    These(Vec<Listed>),
}

/// One that was listed.
#[derive(Debug, Clone)]
pub(crate) enum Listed {
    Exactly(Origin),
    /// What stands before and behind the star.
    Like(String, String),
}

/// Who says to pages of other origins what they may, and who checks where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// All paths have that in common.
    Ours,
    /// Those who serve the path check it.
    Theirs,
    /// The same, and they set the headers.
    TheirsWithHeaders,
}

impl Listed {
    /// Reads what a setting says.
    ///
    /// # Errors
    ///
    /// [`MalformedOrigin`] for what is neither an origin nor one with a star.
    pub(crate) fn parse(text: &str) -> Result<Self, MalformedOrigin> {
        if let Some((before, after)) = text.split_once('*') {
            return Ok(Self::Like(before.to_owned(), after.to_owned()));
        }
        let origin = Origin::parse(text.as_bytes());
        origin.map(Self::Exactly).ok_or_else(|| MalformedOrigin {
            text: text.to_owned(),
        })
    }

    fn fits(&self, origin: &[u8]) -> bool {
        let (before, after) = match self {
            Self::Exactly(listed) => return Origin::parse(origin).as_ref() == Some(listed),
            Self::Like(before, after) => (before, after),
        };
        let Ok(text) = str::from_utf8(origin).map(str::to_ascii_lowercase) else {
            return false;
        };
        let rest = text.strip_prefix(before.as_str());
        let middle = rest.and_then(|rest| rest.strip_suffix(after.as_str()));
        let host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        middle.is_some_and(|middle| !middle.is_empty() && middle.bytes().all(host))
    }
}

impl Cors {
    /// Whether the page behind a request may come in, whatever the policy of all doors says.
    pub(crate) fn admits(&self, request: &Provenance<'_>) -> bool {
        match (&self.origins, request.origin) {
            (Origins::Any, _) => true,
            (Origins::These(these), Field::Once(origin)) => {
                these.iter().any(|listed| listed.fits(origin))
            }
            _ => false,
        }
    }

    /// The headers of the answer to a WebSocket handshake that is let in.
    pub(crate) fn of_handshake(&self, request: &Provenance<'_>) -> HeaderMap {
        let mut asked = HeaderMap::new();
        if let Field::Once(origin) = request.origin
            && let Ok(origin) = HeaderValue::from_bytes(origin)
        {
            asked.insert(header::ORIGIN, origin);
        }
        self.headers(&Method::GET, &asked, true)
            .into_iter()
            .collect()
    }

    /// The headers of an answer. `allowed` is what [`super::Policy::check_origin`] says, or
    /// [`Cors::admits`].
    pub(crate) fn headers(
        &self,
        method: &Method,
        asked: &HeaderMap,
        allowed: bool,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::with_capacity(8);
        self.add_origin(asked.get(header::ORIGIN), allowed, &mut headers);
        if method == Method::OPTIONS {
            headers.push((header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()));
            let names = match &self.allowed_headers {
                Some(names) => Some(names),
                None => {
                    let asking = HeaderValue::from_static("Access-Control-Request-Headers");
                    headers.push((header::VARY, asking));
                    asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS)
                }
            };
            let names = names.filter(|names| !names.is_empty()).cloned();
            headers.extend(names.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
            let age = self.max_age.clone();
            headers.extend(age.map(|age| (header::ACCESS_CONTROL_MAX_AGE, age)));
        }
        let exposed = self.exposed_headers.clone();
        headers.extend(exposed.map(|names| (header::ACCESS_CONTROL_EXPOSE_HEADERS, names)));
        headers
    }

    fn add_origin(
        &self,
        origin: Option<&HeaderValue>,
        allowed: bool,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
    ) {
        let told = match self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Policy | Origins::These(_) => {
                headers.push((header::VARY, HeaderValue::from_static("Origin")));
                origin.filter(|_| allowed).cloned()
            }
        };
        // `null` is every sandboxed frame there is: it never gets credentials.
        let credentials = self.credentials && told.as_ref().is_none_or(|told| told != "null");
        headers.extend(told.map(|told| (header::ACCESS_CONTROL_ALLOW_ORIGIN, told)));
        if credentials {
            let yes = HeaderValue::from_static("true");
            headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: Origins) -> Cors {
        Cors {
            origins,
            methods: HeaderValue::from_static("GET,POST"),
            allowed_headers: None,
            exposed_headers: Some(HeaderValue::from_static("x-a,x-b")),
            credentials: true,
            max_age: Some(HeaderValue::from_static("60")),
            preflight: Some(204),
        }
    }

    fn these(texts: &[&str]) -> Origins {
        let listed = texts.iter().map(|text| Listed::parse(text).unwrap());
        Origins::These(listed.collect())
    }

    #[test]
    fn origins_are_listed_exactly_or_with_a_star() {
        let cors = cors(these(&["https://a.example", "https://*.b.example:444"]));
        for (origin, expected) in [
            ("https://a.example", true),
            ("https://A.example:443", true),
            ("http://a.example", false),
            ("https://a.example.evil", false),
            ("https://x.b.example:444", true),
            ("https://x.y-1.b.example:444", true),
            ("https://.b.example:444", false),
            ("https://b.example:444", false),
            ("https://x.b.example", false),
            ("https://evil/.b.example:444", false),
            ("https://evil:1.b.example:444", false),
            ("null", false),
            ("", false),
        ] {
            let fields = [(&b"origin"[..], origin.as_bytes())];
            let provenance = Provenance::of(fields);
            assert_eq!(cors.admits(&provenance), expected, "{origin}");
        }
        assert!(!cors.admits(&Provenance::default()));
        let twice = [(&b"origin"[..], &b"https://a.example"[..]); 2];
        assert!(!cors.admits(&Provenance::of(twice)));
        assert!(Listed::parse("a.example").is_err());
    }

    /// Rows as npm `cors` 2.8 answers them.
    #[test]
    fn headers_are_those_of_the_reference() {
        let shown = |cors: &Cors, method, origin: Option<&'static str>, allowed| {
            let mut asked = HeaderMap::new();
            if let Some(origin) = origin {
                asked.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let names = HeaderValue::from_static("x-c");
            asked.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, names);
            let headers = cors.headers(&method, &asked, allowed);
            let line = |(name, value): &(HeaderName, HeaderValue)| {
                let name = name.as_str().trim_start_matches("access-control-");
                format!("{name}: {}", value.to_str().unwrap())
            };
            headers.iter().map(line).collect::<Vec<_>>()
        };
        let a = Some("https://a.example");
        assert_eq!(
            shown(&cors(these(&["https://a.example"])), Method::GET, a, true),
            [
                "vary: Origin",
                "allow-origin: https://a.example",
                "allow-credentials: true",
                "expose-headers: x-a,x-b"
            ]
        );
        assert_eq!(
            shown(&cors(Origins::Policy), Method::POST, a, false),
            [
                "vary: Origin",
                "allow-credentials: true",
                "expose-headers: x-a,x-b"
            ]
        );
        assert_eq!(
            shown(&cors(Origins::Any), Method::OPTIONS, None, true),
            [
                "allow-origin: *",
                "allow-credentials: true",
                "allow-methods: GET,POST",
                "vary: Access-Control-Request-Headers",
                "allow-headers: x-c",
                "max-age: 60",
                "expose-headers: x-a,x-b"
            ]
        );
        let mut named = cors(Origins::Policy);
        named.allowed_headers = Some(HeaderValue::from_static("x-d"));
        (named.max_age, named.exposed_headers) = (None, None);
        assert_eq!(
            shown(&named, Method::OPTIONS, Some("null"), true),
            [
                "vary: Origin",
                "allow-origin: null",
                "allow-methods: GET,POST",
                "allow-headers: x-d"
            ]
        );
    }
}
