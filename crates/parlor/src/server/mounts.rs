//! Where Engine.IO is spoken, and how.

use std::sync::Arc;

use http::HeaderValue;
use parlor_proto::engineio;

use crate::{
    config::{self, Config, CorsOrigins, EngineIo, Preflight, Transports},
    door::{
        self,
        engineio::{Applications, Ids, Mount, SetCookie},
    },
    embed::{Door, Doors, engineio::Hooks, socketio::Io},
    metrics,
    policy::{Cors, Listed, Origins},
};

/// Socket.IO at its path, with these handlers or without code.
pub(super) fn socketio(config: &Config, handlers: Option<Arc<Io>>, hooks: Hooks) -> Mount {
    let names = &config.socketio.namespaces;
    let settings = door::socketio::Settings {
        options: parlor_proto::socketio::Options {
            connect_timeout: config.socketio.connect_timeout,
            ..parlor_proto::socketio::Options::default()
        },
        namespaces: match names.is_empty() {
            true => door::socketio::Names::All,
            false => door::socketio::Names::These(names.iter().cloned().collect()),
        },
        echo: config.socketio.echo,
        recovery_ms: crate::shard::millis(config.socketio.recovery),
        recovery_asks: !config.socketio.recovery_skips_middleware,
        parser: handlers.as_ref().and_then(|io| io.parser()),
    };
    let settings = Arc::new(settings);
    let clients = handlers.as_ref().map(|io| io.clients());
    let applications: Box<dyn Applications> = match handlers {
        Some(io) => Box::new(door::socketio::WithHandlers(settings, io)),
        None => Box::new(door::socketio::BuiltIn(settings)),
    };
    let mount = mount(
        &config.socketio.path,
        metrics::Door::SocketIo,
        &config.socketio.engine,
        config,
        (applications, hooks),
    );
    match clients {
        Some(clients) => Mount { clients, ..mount },
        None => mount,
    }
}

/// The first path at which something else stands already: another of these, or one of the open
/// doors.
pub(super) fn taken(mounts: &[Arc<Mount>], doors: Doors) -> Option<String> {
    let bare = |mount: &Arc<Mount>| mount.path.trim_end_matches('/').to_owned();
    let is_taken = |(place, mount): &(usize, &Arc<Mount>)| {
        let door = match mount.path.split('/').nth(1) {
            Some("ws") => Some(Door::WebSocket),
            Some("signal") => Some(Door::Signal),
            Some("sse") => Some(Door::Sse),
            Some("echo") => Some(Door::Echo),
            Some("rooms") => Some(Door::Publish),
            _ => None,
        };
        let earlier = &mounts[..*place];
        door.is_some_and(|door| doors.has(door))
            || earlier.iter().any(|other| bare(other) == bare(mount))
    };
    let (_, mount) = mounts.iter().enumerate().find(is_taken)?;
    Some(mount.path.to_string())
}

/// A path that Engine.IO is spoken at.
pub(super) fn mount(
    path: &str,
    door: metrics::Door,
    engine: &EngineIo,
    config: &Config,
    (applications, hooks): (Box<dyn Applications>, Hooks),
) -> Mount {
    let versions = match (engine.legacy, engine.jsonp) {
        (false, _) => engineio::Versions::V4,
        (true, false) => engineio::Versions::V4V3,
        (true, true) => engineio::Versions::V4V3Jsonp,
    };
    let transports = match engine.transports {
        Transports::Polling => engineio::Transports::Polling,
        Transports::WebSocket => engineio::Transports::WebSocket,
        _ => engineio::Transports::Both,
    };
    let upgrades = match engine.upgrades {
        true => engineio::Upgrades::Offered,
        false => engineio::Upgrades::Refused,
    };
    Mount {
        path: path.into(),
        door,
        options: engineio::Options {
            ping_interval: engine.ping_interval,
            ping_timeout: engine.ping_timeout,
            upgrade_timeout: engine.upgrade_timeout,
            transports,
            upgrades,
            versions,
            limits: engineio::Limits {
                payload_bytes_max: engine.payload_bytes_max,
                buffered_bytes_max: config.outbox_bytes_max,
                ..engineio::Limits::default()
            },
            ..engineio::Options::default()
        },
        cookie: engine.cookie.as_ref().map(|cookie| SetCookie {
            name: cookie.name.as_str().into(),
            attributes: cookie.attributes().into(),
        }),
        compress_from: (engine.compress_bytes_min > 0).then_some(engine.compress_bytes_min),
        cors: match (&engine.cors, hooks.judges_origins()) {
            (Some(cors), _) => Some(Arc::new(cors_of(cors))),
            (None, true) => Some(Arc::new(cors_of(&config::Cors::default()))),
            (None, false) => None,
        },
        deflate: super::settings::deflate_policy(engine.deflate),
        ids: hooks.generates().then(Ids::default),
        hooks,
        clients: Arc::default(),
        applications,
    }
}

/// Cross-origin headers, of settings that were validated.
fn cors_of(cors: &config::Cors) -> Cors {
    let value = |text: String| HeaderValue::from_str(&text).ok();
    let list = |names: &Vec<String>| value(names.join(",")).filter(|names| !names.is_empty());
    Cors {
        origins: match &cors.origins {
            CorsOrigins::Policy => Origins::Policy,
            CorsOrigins::Any => Origins::Any,
            CorsOrigins::These(these) => {
                let listed = these.iter().filter_map(|text| Listed::parse(text).ok());
                Origins::These(listed.collect())
            }
        },
        methods: list(&cors.methods).unwrap_or(HeaderValue::from_static("")),
        allowed_headers: { cors.allowed_headers.as_ref() }
            .map(|names| list(names).unwrap_or(HeaderValue::from_static(""))),
        exposed_headers: list(&cors.exposed_headers),
        credentials: cors.credentials,
        max_age: { cors.max_age }.and_then(|age| value(age.as_secs().to_string())),
        preflight: match cors.preflight {
            Preflight::Answered(status) => Some(status),
            Preflight::PassedOn => None,
        },
    }
}
