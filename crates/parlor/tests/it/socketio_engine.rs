//! What embedders set below Socket.IO: files, ids, headers, who is told of refusals.

use std::io::{Read as _, Write as _};

use parlor::{
    config::{ClientFiles, Cors, CorsOrigins},
    socketio::SocketIo,
};

use crate::{
    http_support::{field, last_get_of, statuses},
    support::{TestServer, upgrade},
};

#[test]
fn a_server_with_handlers_serves_the_files_of_a_client() {
    let serve = |files: ClientFiles| {
        let io = SocketIo::new();
        let _ = io.of("/");
        TestServer::build(
            |config| {
                config.socketio_client = files;
                config.socketio.path = "/live/".to_owned();
            },
            |builder| builder.socketio(&io),
        )
    };
    let file = last_get_of("/live/socket.io.min.js");
    let answer = serve(ClientFiles::Own).exchange(file.as_bytes());
    assert_eq!(statuses(&answer), [200], "{answer}");
    assert_eq!(
        field(&answer, "content-type"),
        Some("application/javascript; charset=utf-8")
    );
    let answer = serve(ClientFiles::Off).exchange(file.as_bytes());
    assert_eq!(statuses(&answer), [400], "{answer}");
}

#[test]
fn pages_of_listed_origins_come_in_by_every_transport() {
    let serve = |origins: CorsOrigins| {
        TestServer::start(|config| {
            let mut cors = Cors::default();
            cors.origins = origins;
            config.socketio.engine.cors = Some(cors);
        })
    };
    let status = |server: &TestServer, transport: &str, origin: &str| {
        let target = format!("/socket.io/?EIO=4&transport={transport}");
        let origin = format!("Origin: {origin}\r\n");
        let request = match transport {
            "polling" => {
                format!(
                    "GET {target} HTTP/1.1\r\nHost: localhost\r\n{origin}Connection: close\r\n\r\n"
                )
            }
            _ => upgrade(&target, &origin),
        };
        let mut stream = server.tcp();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    let listed = vec![
        "https://a.example".to_owned(),
        "https://*.b.example".to_owned(),
    ];
    let these = serve(CorsOrigins::These(listed));
    let any = serve(CorsOrigins::Any);
    let policy = serve(CorsOrigins::Policy);
    for (server, origin, [polled, upgraded]) in [
        (&these, "https://a.example", ["200", "101"]),
        (&these, "https://x.b.example", ["200", "101"]),
        (&these, "https://b.example", ["403", "403"]),
        // The policy of all doors lets pages of this machine in.
        (&these, "http://localhost:5173", ["200", "101"]),
        (&any, "https://b.example", ["200", "101"]),
        (&any, "null", ["200", "101"]),
        (&policy, "https://a.example", ["403", "403"]),
        (&policy, "http://localhost:5173", ["200", "101"]),
    ] {
        assert_eq!(status(server, "polling", origin), polled, "{origin}");
        assert_eq!(status(server, "websocket", origin), upgraded, "{origin}");
    }
}
