//! What pages of other origins may do with Engine.IO.

use std::time::Duration;

use super::text::{self, TimeText, ValueError};

/// The headers of cross-origin resource sharing at one path of Engine.IO, as npm `cors` sets them
/// for the reference implementation ([`EngineIo::cors`](super::EngineIo::cors)).
///
/// ```
/// use parlor::config::{Config, Cors, CorsOrigins};
///
/// let mut cors = Cors::default();
/// cors.origins = CorsOrigins::These(vec!["https://*.example.com".to_owned()]);
/// cors.credentials = true;
/// let mut config = Config::default();
/// config.socketio.engine.cors = Some(cors);
/// assert_eq!(config.validate(), Ok(()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cors {
    /// Whose pages may come in, by polling and by WebSocket, besides those that the policy of all
    /// doors lets in. Default: [`CorsOrigins::Policy`].
    pub origins: CorsOrigins,
    /// `Access-Control-Allow-Methods` of preflights. Default: `GET`, `HEAD`, `PUT`, `PATCH`,
    /// `POST`, `DELETE`.
    pub methods: Vec<String>,
    /// `Access-Control-Allow-Headers` of preflights. Default: `None`, those that are asked for.
    pub allowed_headers: Option<Vec<String>>,
    /// `Access-Control-Expose-Headers`. Default: none.
    pub exposed_headers: Vec<String>,
    /// Whether `Access-Control-Allow-Credentials` is sent. Browsers ignore it beside the origin
    /// `*`. Default: no.
    pub credentials: bool,
    /// `Access-Control-Max-Age` of preflights, in whole seconds; at most a day. Default: none,
    /// which browsers take for five seconds.
    pub max_age: Option<Duration>,
    /// What becomes of OPTIONS. Default: answered with 204.
    pub preflight: Preflight,
}

/// Whose pages may come in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CorsOrigins {
    /// Those that the policy of all doors lets in: [`Config::origins`](super::Config::origins),
    /// and on loopback local ones. Their own origin is told.
    #[default]
    Policy,
    /// All, with `Access-Control-Allow-Origin: *`; also those of other sites that send no origin.
    Any,
    /// These: `scheme://host` or `scheme://host:port`, where one `*` in the host stands for at
    /// least one letter, digit, `-` or `.`. Their own origin is told.
    These(Vec<String>),
}

/// What becomes of OPTIONS, with which browsers ask before they send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preflight {
    /// It is answered with this status, 200 to 299, and no body.
    Answered(u16),
    /// It goes on to the protocol, which refuses it: 400, with the headers.
    PassedOn,
}

impl Default for Cors {
    fn default() -> Self {
        let methods = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"];
        Self {
            origins: CorsOrigins::default(),
            methods: methods.map(str::to_owned).to_vec(),
            allowed_headers: None,
            exposed_headers: Vec::new(),
            credentials: false,
            max_age: None,
            preflight: Preflight::default(),
        }
    }
}

impl Default for Preflight {
    fn default() -> Self {
        Self::Answered(204)
    }
}

/// `*`, `policy`, or origins.
pub(super) fn parse_origins(text: &str) -> Result<CorsOrigins, ValueError> {
    Ok(match text.trim() {
        "*" => CorsOrigins::Any,
        "policy" => CorsOrigins::Policy,
        text => CorsOrigins::These(text::list(text, origin)?),
    })
}

pub(super) fn show_origins(origins: &CorsOrigins) -> String {
    match origins {
        CorsOrigins::Policy => "policy".to_owned(),
        CorsOrigins::Any => "*".to_owned(),
        CorsOrigins::These(these) => these.join(", "),
    }
}

/// An origin, with at most one `*` in its host.
fn origin(text: &str) -> Result<String, ValueError> {
    let (before, after) = text.split_once('*').unwrap_or((text, ""));
    let in_host = before.contains("://")
        && !before
            .trim_start_matches(['h', 't', 'p', 's', ':', '/'])
            .contains(':');
    if after.contains('*') || text.contains('*') && !in_host {
        return Err(ValueError::NotAnOrigin);
    }
    // Any letter stands for what the star stands for.
    let plain = text::origin(&text.replace('*', "x"))?;
    Ok(match text.contains('*') {
        true => text.to_ascii_lowercase().trim_end_matches('/').to_owned(),
        false => plain,
    })
}

pub(super) fn parse_preflight(text: &str) -> Result<Preflight, ValueError> {
    match text {
        "pass" => Ok(Preflight::PassedOn),
        status => text::count(status, &(200..=299))
            .map(|status| Preflight::Answered(u16::try_from(status).unwrap_or(204))),
    }
}

pub(super) fn show_preflight(preflight: Preflight) -> String {
    match preflight {
        Preflight::Answered(status) => status.to_string(),
        Preflight::PassedOn => "pass".to_owned(),
    }
}

pub(super) fn show_age(age: Option<Duration>) -> Option<String> {
    Some(TimeText(age?).to_string())
}
