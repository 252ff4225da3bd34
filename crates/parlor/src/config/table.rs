//! The table of settings.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::cors;
use super::rows::{DAY, cors, count, deep_size, deep_time, millis, size, switch, time};
use super::settings::{Group, Setting};
use super::text::{self, ByteSize, TimeText, ValueError};
use super::{ClientFiles, Config, Deflate, SlowPolicy, SseGzip, Transports};

/// Every setting of [`Config`], group by group.
pub static SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "listen",
        group: Group::Listening,
        value: "ADDR:PORT",
        default: None,
        help: "Listens here. Port 0 takes a free one.",
        list: true,
        apply: |config, text| {
            let addresses = text::list(text, text::address)?;
            if addresses.is_empty() {
                return Err(ValueError::Empty);
            }
            config.listen = addresses;
            Ok(())
        },
        show: |config| Some(join(&config.listen)),
    },
    Setting {
        key: "origin",
        group: Group::Listening,
        value: "URL",
        default: Some("same origin"),
        help: "Lets the pages of this origin connect too. Without it only pages of the server's \
               own origin may, and on loopback also local ones.",
        list: true,
        apply: |config, text| {
            config.origins = text::list(text, text::origin)?;
            Ok(())
        },
        show: |config| Some(join(&config.origins)),
    },
    Setting {
        key: "metrics_listen",
        group: Group::Listening,
        value: "ADDR:PORT",
        default: None,
        help: "Serves /metrics, /healthz and /readyz here and nothing else. Without it /metrics \
               stands beside the doors while they listen on loopback only.",
        list: false,
        apply: |config, text| {
            config.metrics_listen = Some(text::address(text)?);
            Ok(())
        },
        show: |config| config.metrics_listen.map(|address| address.to_string()),
    },
    Setting {
        key: "static",
        group: Group::Listening,
        value: "DIR",
        default: None,
        help: "Serves the files of this directory beside the doors.",
        list: false,
        apply: |config, text| {
            if text.is_empty() {
                return Err(ValueError::Empty);
            }
            config.static_dir = Some(PathBuf::from(text));
            Ok(())
        },
        show: |config| {
            config
                .static_dir
                .as_ref()
                .map(|dir| dir.to_string_lossy().into_owned())
        },
    },
    count!(shards or "available cores", Listening, 1..=1024,
        "Runs this many shards: threads that own connections."),
    count!(
        connections_per_address_max,
        Listening,
        0..=1 << 32,
        "Holds at most this many connections of one address; a newcomer past it gets 429. 0 is no \
         limit."
    ),
    time!(
        drain,
        Listening,
        from 0,
        "Spreads the goodbyes over this long when the server stops."
    ),
    count!(connections_max or "90 % of the descriptor limit", Listening, 1..=usize::MAX,
        "Holds at most this many connections; a newcomer past it gets 503."),
    size!(
        message_bytes_max,
        WebSocket,
        1..=GIB,
        "Takes messages of at most this many bytes, inflated; past it the close code is 1009."
    ),
    count!(
        message_fragments_max,
        WebSocket,
        1..=1 << 24,
        "Takes messages of at most this many fragments; past it the close code is 1008."
    ),
    Setting {
        key: "deflate",
        group: Group::WebSocket,
        value: "MODE",
        default: None,
        help: "Compresses messages for clients that offer it. `off`: never. `shared`: once for all \
               members. `takeover`: with a compressor for each connection, some 300 KiB.",
        list: false,
        apply: |config, text| {
            config.deflate = deflate_mode(text)?;
            Ok(())
        },
        show: |config| Some(config.deflate.to_string()),
    },
    time!(
        ping_interval,
        WebSocket,
        "Pings a connection that was silent for this long."
    ),
    time!(
        ping_timeout,
        WebSocket,
        "Cuts a connection that has not answered a ping by then."
    ),
    time!(
        close_timeout,
        WebSocket,
        "Cuts a connection whose closing handshake takes longer."
    ),
    size!(
        outbox_bytes_max,
        Rooms,
        KIB..=GIB,
        "Keeps at most this many unsent bytes for one member; past it the close code is 1013."
    ),
    count!(
        outbox_messages_max,
        Rooms,
        1..=1 << 32,
        "Keeps at most this many unsent messages for one member; past it the close code is 1013."
    ),
    time!(
        outbox_stall,
        Rooms,
        "Closes a member that took none of its unsent bytes for this long."
    ),
    size!(
        outbox_shard_bytes_max,
        Rooms,
        MIB..=usize::MAX,
        "Keeps at most this many unsent bytes in one shard; past it the largest outbox is cut. For `socketio_recovery` there is as much again."
    ),
    count!(
        rooms_per_member_max,
        Rooms,
        1..=65_536,
        "Lets one member be in this many rooms."
    ),
    count!(
        rooms_max,
        Rooms,
        1..=1 << 32,
        "Holds at most this many rooms; past it the room that has been empty longest goes."
    ),
    count!(
        members_per_room_max,
        Rooms,
        1..=1 << 32,
        "Lets this many members into one room."
    ),
    count!(
        presence_members_max,
        Rooms,
        0..=1 << 20,
        "Tells a room of at most this many members who comes and goes."
    ),
    Setting {
        key: "slow",
        group: Group::Rooms,
        value: "POLICY",
        default: None,
        help: "What a member loses first that is too slow for a room. `drop-low`: messages of low \
               priority. `conflate`: all but the newest message of each event. `close`: nothing. \
               If that is not enough it is closed with 1013.",
        list: false,
        apply: |config, text| {
            config.slow = match text {
                "drop-low" => SlowPolicy::DropLow,
                "conflate" => SlowPolicy::Conflate,
                "close" => SlowPolicy::Close,
                _ => return Err(ValueError::NotAChoice("drop-low, conflate or close")),
            };
            Ok(())
        },
        show: |config| Some(config.slow.to_string()),
    },
    count!(
        history_messages,
        History,
        0..=1 << 20,
        "Keeps this many messages of a room for those who come back. 0 keeps none."
    ),
    time!(
        history_age,
        History,
        from 0,
        "Keeps a message for this long. 0s keeps none."
    ),
    size!(
        history_bytes,
        History,
        0..=GIB,
        "Keeps this many bytes of a room's messages. 0 keeps none."
    ),
    size!(
        history_bytes_total,
        History,
        0..=usize::MAX,
        "Keeps this many bytes of all rooms' messages; past it empty rooms go first."
    ),
    count!(
        messages_per_second,
        Rooms,
        0..=1 << 32,
        "Takes this many messages a second of one member, in bursts of twice that; past it the \
         close code is 1008. 0 is no limit."
    ),
    size!(
        bytes_per_second,
        Rooms,
        0..=usize::MAX,
        "Takes this many message bytes a second of one member, in bursts of twice that or one \
         message; past it the close code is 1008. 0 is no limit."
    ),
    time!(
        sse_heartbeat,
        Sse,
        "Sends a comment on an event stream this often."
    ),
    time!(
        sse_retry,
        Sse,
        "Tells event streams to wait this long before they reconnect."
    ),
    Setting {
        key: "sse_gzip",
        group: Group::Sse,
        value: "MODE",
        default: None,
        help: "Compresses event streams for clients that accept it. `off`: never. `shared`: each \
               event by itself, once for all streams.",
        list: false,
        apply: |config, text| {
            config.sse_gzip = match text {
                "off" => SseGzip::Off,
                "shared" => SseGzip::Shared,
                _ => return Err(ValueError::NotAChoice("off or shared")),
            };
            Ok(())
        },
        show: |config| Some(config.sse_gzip.to_string()),
    },
    Setting {
        key: "socketio_client",
        group: Group::SocketIo,
        value: "DIR",
        default: None,
        help: "Serves the browser's client from here: the `dist` of npm socket.io-client. `auto` \
               looks for that in node_modules of the working directory, and otherwise serves \
               Parlor's `own`. `off` serves none.",
        list: false,
        apply: |config, text| {
            config.socketio_client = match text {
                "" => return Err(ValueError::Empty),
                "auto" => ClientFiles::Auto,
                "own" => ClientFiles::Own,
                "off" => ClientFiles::Off,
                dir => ClientFiles::Dir(PathBuf::from(dir)),
            };
            Ok(())
        },
        show: |config| {
            Some(match &config.socketio_client {
                ClientFiles::Auto => "auto".to_owned(),
                ClientFiles::Own => "own".to_owned(),
                ClientFiles::Off => "off".to_owned(),
                ClientFiles::Dir(dir) => dir.to_string_lossy().into_owned(),
            })
        },
    },
    switch!(
        "socketio",
        SocketIo,
        socketio.served,
        None,
        "Serves Socket.IO without code: rooms, messages and acknowledgements, in the same rooms \
               as the other doors."
    ),
    Setting {
        key: "socketio_path",
        group: Group::SocketIo,
        value: "PATH",
        default: None,
        help: "Serves Socket.IO at this path; without a slash at its end also for clients that \
               leave that out.",
        list: false,
        apply: |config, text| {
            config.socketio.path = text::prefix(text)?;
            Ok(())
        },
        show: |config| Some(config.socketio.path.clone()),
    },
    switch!(
        "socketio_legacy",
        SocketIo,
        socketio.engine.legacy,
        Some("on in `parlor serve`, else off"),
        "Serves clients 1 and 2 of Socket.IO too (Engine.IO 3)."
    ),
    deep_time!(
        "socketio_ping_interval",
        SocketIo,
        socketio.engine.ping_interval,
        from 1,
        "Pings a client of Socket.IO this long after it has answered."
    ),
    deep_time!(
        "socketio_ping_timeout",
        SocketIo,
        socketio.engine.ping_timeout,
        from 1,
        "Ends a session that has not answered a ping by then."
    ),
    deep_time!(
        "socketio_upgrade_timeout",
        SocketIo,
        socketio.engine.upgrade_timeout,
        from 1,
        "Waits this long for a client to go on from polling to a WebSocket that it has opened."
    ),
    deep_size!(
        "socketio_payload_bytes_max",
        SocketIo,
        socketio.engine.payload_bytes_max,
        1..=GIB,
        "Takes POSTs and WebSocket messages of at most this many bytes; past it 413 or close code 1009."
    ),
    Setting {
        key: "socketio_transports",
        group: Group::SocketIo,
        value: "MODE",
        default: None,
        help: "Lets clients come by long-`polling`, by `websocket`, or by `both`.",
        list: false,
        apply: |config, text| {
            config.socketio.engine.transports = Transports::parse(text)
                .ok_or(ValueError::NotAChoice("both, polling or websocket"))?;
            Ok(())
        },
        show: |config| Some(config.socketio.engine.transports.to_string()),
    },
    switch!(
        "socketio_upgrades",
        SocketIo,
        socketio.engine.upgrades,
        None,
        "Lets clients go on from polling to WebSocket."
    ),
    switch!(
        "socketio_jsonp",
        SocketIo,
        socketio.engine.jsonp,
        None,
        "Answers clients 1 and 2 in scripts where they ask for it. Any page can make such requests."
    ),
    Setting {
        key: "socketio_cookie",
        group: Group::SocketIo,
        value: "COOKIE",
        default: Some("none"),
        help: "Tells a new client the id of its session in a cookie of this name, with `Path=/; HttpOnly; SameSite=Lax`, or with those that follow the name instead: `io; Path=/chat; Secure`.",
        list: false,
        apply: |config, text| {
            config.socketio.engine.cookie = Some(text.parse()?);
            Ok(())
        },
        show: |config| { config.socketio.engine.cookie.as_ref() }.map(ToString::to_string),
    },
    deep_size!(
        "socketio_compress_bytes_min",
        SocketIo,
        socketio.engine.compress_bytes_min,
        0..=GIB,
        "Compresses answers of polling of this many bytes for clients that accept it. 0 compresses none."
    ),
    Setting {
        key: "socketio_deflate",
        group: Group::SocketIo,
        value: "MODE",
        default: None,
        help: "Compresses WebSocket messages for clients that offer it: `off`, `shared` or \
               `takeover`, as `deflate` has it.",
        list: false,
        apply: |config, text| {
            config.socketio.engine.deflate = deflate_mode(text)?;
            Ok(())
        },
        show: |config| Some(config.socketio.engine.deflate.to_string()),
    },
    switch!(
        "socketio_echo",
        SocketIo,
        socketio.echo,
        None,
        "Lets a sender hear its own `message`, as pages of tutorials expect it."
    ),
    deep_time!(
        "socketio_connect_timeout",
        SocketIo,
        socketio.connect_timeout,
        from 1,
        "Waits this long for a client to join a namespace; past it the connection is closed."
    ),
    deep_time!(
        "socketio_recovery",
        SocketIo,
        socketio.recovery,
        from 0,
        "Keeps the session of a client that has lost its connection for so long: its rooms, \
               and what it misses. 0s keeps none."
    ),
    Setting {
        key: "socketio_namespace",
        group: Group::SocketIo,
        value: "NAME",
        default: Some("any"),
        help: "Lets clients into this namespace; without it into any.",
        list: true,
        apply: |config, text| {
            config.socketio.namespaces = text::list(text, text::namespace)?;
            Ok(())
        },
        show: |config| Some(join(&config.socketio.namespaces)).filter(|names| !names.is_empty()),
    },
    cors!(
        "socketio_cors_origin",
        "ORIGIN",
        true,
        "as with all doors",
        origins,
        cors::parse_origins,
        |it| Some(cors::show_origins(&it.origins)),
        "Lets the pages of this origin come to Socket.IO, with one `*` for a part of its host, or \
         `*` for all; `policy` for those of `origin`. This and the settings below set the headers \
         of cross-origin requests there as the reference does."
    ),
    cors!(
        "socketio_cors_methods",
        "METHOD",
        true,
        "GET, HEAD, PUT, PATCH, POST, DELETE",
        methods,
        |text| text::list(text, text::token),
        |it| Some(join(&it.methods)),
        "Names the methods that cross-origin requests may have."
    ),
    cors!(
        "socketio_cors_allowed_headers",
        "NAME",
        true,
        "those asked for",
        allowed_headers,
        |text| text::list(text, text::token).map(Some),
        |it| it.allowed_headers.as_deref().map(join),
        "Names the header fields that cross-origin requests may have."
    ),
    cors!(
        "socketio_cors_exposed_headers",
        "NAME",
        true,
        "none",
        exposed_headers,
        |text| text::list(text, text::token),
        |it| Some(join(&it.exposed_headers)),
        "Names the header fields that pages of other origins may read."
    ),
    cors!(
        "socketio_cors_credentials",
        "on|off",
        false,
        "off",
        credentials,
        text::switch,
        |it| Some(on_off(it.credentials)),
        "Lets browsers send cookies across origins; not beside the origin `*`."
    ),
    cors!(
        "socketio_cors_max_age",
        "TIME",
        false,
        "none",
        max_age,
        |text| text::time(text, &(millis(0)..=DAY)).map(Some),
        |it| cors::show_age(it.max_age),
        "Lets browsers remember the answer to a preflight for this long."
    ),
    cors!(
        "socketio_cors_preflight",
        "STATUS",
        false,
        "204",
        preflight,
        cors::parse_preflight,
        |it| Some(cors::show_preflight(it.preflight)),
        "Answers preflights with this status; `pass` refuses them like any other method."
    ),
    size!(
        member_name_bytes_max,
        Rooms,
        1..=1024,
        "Takes member names of at most this many bytes."
    ),
    time!(
        head_timeout,
        Http,
        "Waits this long for a whole request head; past it 408 or close."
    ),
    size!(
        head_bytes_max,
        Http,
        KIB..=MIB,
        "Takes request heads of this many bytes; past it 431."
    ),
    count!(
        head_fields_max,
        Http,
        8..=1024,
        "Takes request heads of this many fields; past it 431."
    ),
    size!(
        target_bytes_max,
        Http,
        64..=32 * KIB,
        "Takes request targets of this many bytes; past it 414."
    ),
    size!(
        http_body_bytes_max,
        Http,
        1..=GIB,
        "Takes request bodies of this many bytes; past it 413."
    ),
    time!(
        http_body_timeout,
        Http,
        "Waits this long for a whole request body; past it 408."
    ),
    time!(
        http_idle_timeout,
        Http,
        "Keeps an idle HTTP connection open for this long."
    ),
];

fn deflate_mode(text: &str) -> Result<Deflate, ValueError> {
    Ok(match text {
        "off" => Deflate::Off,
        "shared" => Deflate::Shared,
        "takeover" => Deflate::Takeover,
        _ => return Err(ValueError::NotAChoice("off, shared or takeover")),
    })
}

fn bytes(count: usize) -> String {
    ByteSize(u64::try_from(count).unwrap_or(u64::MAX)).to_string()
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

fn join(parts: &[impl ToString]) -> String {
    parts
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;
