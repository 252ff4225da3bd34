//! What the shards of a server are told of its configuration.

use std::{io, net::TcpListener, sync::Arc};

use parlor_hub::{RoomOptions, RoomPattern, RoomTable};
use parlor_proto::websocket::{self, deflate};

use super::{SHARDS_MAX, Server};
use crate::{
    config::{Config, Deflate, RoomRule, SlowPolicy, SseGzip},
    door, front, http,
    metrics::Exposition,
    policy::Policy,
    shard::{Addresses, Bounds, SendLimits, Settings, Slow, millis},
};

impl Server {
    /// What its shards are told.
    pub(crate) fn settings(&self, loopback_only: bool) -> io::Result<Settings> {
        let config = &self.config;
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let [placement, epochs] =
            [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|i| seed[at + i])));
        let policy = Policy::new(&config.origins, loopback_only).map_err(io::Error::other)?;
        let http_limits = http_limits(config);
        let exposition = Arc::new(Exposition::new(Arc::clone(&self.metrics)));
        let told =
            (loopback_only && config.metrics_listen.is_none()).then(|| Arc::clone(&exposition));
        Ok(Settings {
            send: SendLimits {
                outbox: Bounds {
                    bytes_max: config.outbox_bytes_max,
                    messages_max: config.outbox_messages_max,
                },
                shard_bytes_max: config.outbox_shard_bytes_max,
                stall_ms: millis(config.outbox_stall),
                close_ms: millis(config.close_timeout),
                fin_ms: FIN_MS.min(millis(config.close_timeout)),
            },
            head_timeout: config.head_timeout,
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            connections_max: config.connection_limit(),
            addresses: Addresses::new(config.connections_per_address_max),
            http_limits,
            router: self.http_router(&policy, &http_limits, told),
            metrics: Arc::clone(&self.metrics),
            metrics_router: http::metrics::router(exposition, Arc::clone(&self.draining)),
            policy,
            visit_policy: self.visit_policy.clone(),
            hub_limits: hub_limits(config),
            rooms: Arc::new(room_table(config)?),
            drain: config.drain,
            seeds: parlor_hub::Seeds { placement, epochs },
            door: self.door_settings(),
        })
    }

    pub(super) fn door_settings(&self) -> door::Settings {
        let config = &self.config;
        let limits = websocket::Limits {
            message_bytes_max: config.message_bytes_max,
            message_fragments_max: u32::try_from(config.message_fragments_max).unwrap_or(u32::MAX),
        };
        door::Settings {
            shards: u16::try_from(config.shard_count()).unwrap_or(SHARDS_MAX),
            doors: self.doors,
            failed: self.failed.clone(),
            endpoints: Arc::clone(&self.endpoints),
            mounts: Arc::clone(&self.mounts),
            parser: self.parser.clone(),
            link: Arc::clone(&self.link),
            sse_gzip: config.sse_gzip == SseGzip::Shared,
            rates: door::Rates {
                messages_per_second: config.messages_per_second,
                bytes_per_second: config.bytes_per_second,
            },
            sse_heartbeat_ms: millis(config.sse_heartbeat),
            sse_retry_ms: millis(config.sse_retry),
            keep_bytes_max: config.outbox_shard_bytes_max,
            options: websocket::Options {
                limits,
                ..websocket::Options::default()
            },
            deflate: deflate_policy(config.deflate),
        }
    }
}

pub(super) fn is_loopback_only(listeners: &[TcpListener]) -> io::Result<bool> {
    for listener in listeners {
        let ip = listener.local_addr()?.ip().to_canonical();
        if !ip.is_loopback() {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn http_limits(config: &Config) -> http::Limits {
    http::Limits {
        head: front::HeadLimits {
            head_bytes_max: config.head_bytes_max,
            fields_max: config.head_fields_max,
            target_bytes_max: config.target_bytes_max,
        },
        head_timeout: config.head_timeout,
        body_timeout: config.http_body_timeout,
        idle_timeout: config.http_idle_timeout,
        body_bytes_max: u64::try_from(config.http_body_bytes_max).unwrap_or(u64::MAX),
        ..http::Limits::default()
    }
}

/// The options of all rooms. A room's class is its policy for slow members.
fn room_table(config: &Config) -> io::Result<RoomTable> {
    let options = |rule: &RoomRule| RoomOptions {
        history_messages: rule.history_messages,
        history_age: rule.history_age,
        history_bytes: rule.history_bytes,
        class: slow_class(rule.slow),
    };
    let mut table = RoomTable::new(options(&config.room_rule("*")));
    for rule in &config.rooms {
        let pattern = RoomPattern::new(&rule.pattern).map_err(io::Error::other)?;
        table.push(pattern, options(rule));
    }
    Ok(table)
}

const fn slow_class(policy: SlowPolicy) -> u16 {
    let policy = match policy {
        SlowPolicy::DropLow => Slow::DropLow,
        SlowPolicy::Conflate => Slow::Conflate,
        SlowPolicy::Close => Slow::Close,
    };
    policy.class()
}

fn hub_limits(config: &Config) -> parlor_hub::Limits {
    parlor_hub::Limits {
        rooms_per_member_max: config.rooms_per_member_max,
        name_bytes_max: config.member_name_bytes_max,
        rooms_max: config.rooms_max,
        members_per_room_max: config.members_per_room_max,
        presence_members_max: config.presence_members_max,
        history_bytes_total: config.history_bytes_total,
        ..parlor_hub::Limits::default()
    }
}

pub(super) fn deflate_policy(mode: Deflate) -> deflate::Policy {
    let mode = match mode {
        Deflate::Off => deflate::Mode::Off,
        Deflate::Shared => deflate::Mode::Shared,
        Deflate::Takeover => deflate::Mode::Takeover,
    };
    deflate::Policy {
        threshold: DEFLATE_BYTES_MIN,
        ..deflate::Policy::new(mode)
    }
}

/// Payloads of fewer bytes go out as they are. Less than what servers that compress for each member
/// can afford: here a message to a room is deflated once.
const DEFLATE_BYTES_MIN: usize = 128;

/// How long a peer has to close after our side is shut.
const FIN_MS: u64 = 2000;
