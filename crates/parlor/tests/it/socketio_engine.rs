//! What embedders set below Socket.IO: files, ids, headers, who is told of refusals.

use parlor::{config::ClientFiles, socketio::SocketIo};

use crate::{
    http_support::{field, last_get_of, statuses},
    support::TestServer,
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
