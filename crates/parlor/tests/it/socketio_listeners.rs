//! Handlers that are counted, listed and taken out again.

use std::{
    num::NonZero,
    sync::{Arc, Mutex},
};

use parlor::socketio::{Args, Received, Socket, SocketIo};

use crate::support::{TestServer, block_on, wait_until};

/// What handlers have seen.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn wait_for(&self, expected: &[&str]) {
        wait_until("handlers were called", || {
            self.0.lock().unwrap().len() >= expected.len()
        });
        assert_eq!(std::mem::take(&mut *self.0.lock().unwrap()), expected);
    }

    /// A handler of any event.
    fn hear(&self, prefix: &'static str) -> impl Fn(Received) -> std::future::Ready<()> + use<> {
        let log = self.clone();
        move |received| {
            log.note(format!("{prefix} {}", received.name()));
            std::future::ready(())
        }
    }

    /// A handler of what is sent.
    fn see(&self, prefix: &'static str) -> impl Fn(&str, &Args) + use<> {
        let log = self.clone();
        move |event, args| {
            let args: Vec<&str> = (0..args.len()).filter_map(|at| args.json(at)).collect();
            log.note(format!("{prefix} {event} {}", args.join(" ")));
        }
    }
}

fn serve(io: &SocketIo, shards: usize) -> TestServer {
    TestServer::build(
        |config| config.shards = NonZero::new(shards),
        |builder| builder.socketio(io),
    )
}

/// The only socket of a namespace, once it is there.
fn only(io: &SocketIo, name: &str) -> Socket {
    let mut found = Vec::new();
    wait_until("a socket is there", || {
        found = block_on(io.of(name).fetch_sockets()).unwrap();
        found.len() == 1
    });
    found.remove(0)
}

#[test]
fn one_handler_is_taken_out_and_the_others_stay() {
    let io = SocketIo::new();
    let log = Log::default();
    let shared = log.clone();
    io.of("/").on_event("x", shared.hear("shared"));
    let server = serve(&io, 1);
    let (mut ann, _) = server.io("");
    let socket = only(&io, "/");
    let [first, second, third] = ["1", "2", "3"].map(|name| socket.on_event("x", log.hear(name)));
    let once = log.clone();
    let once = socket.once("x", move |_, (): ()| {
        once.note("once");
        async {}
    });
    let any = socket.on_any(log.hear("any"));
    let early = socket.prepend_any(log.hear("early"));
    socket.on_event("y", log.hear("y"));
    assert_eq!(socket.event_names(), ["x", "y"]);
    let all = [&first, &second, &third, &once].map(Clone::clone);
    assert_eq!(socket.listeners("x"), all);
    assert_eq!(socket.listeners_any(), [early.clone(), any.clone()]);
    assert_eq!((socket.listeners("z").len(), first == second), (0, false));

    ann.say(r#"2["x"]"#);
    log.wait_for(&["early x", "any x", "shared x", "1 x", "2 x", "3 x", "once"]);
    assert!(!socket.off_listener(&once), "it has been called");
    assert!(socket.off_listener(&second) && !socket.off_listener(&second));
    assert!(socket.off_listener(&early));
    // A handle is not what keeps a handler.
    drop((first, third, any));
    ann.say(r#"2["x"]"#);
    log.wait_for(&["any x", "shared x", "1 x", "3 x"]);

    // Those of the namespace are not the socket's.
    let main = io.of("/");
    let of_all = main.listeners("x");
    assert_eq!(of_all.len(), 1);
    assert!(!socket.off_listener(&of_all[0]) && main.off_listener(&of_all[0]));
    main.prepend_any(log.hear("all"));
    assert_eq!(main.listeners_any().len(), 1);
    socket.off_any();
    ann.say(r#"2["x"]"#);
    log.wait_for(&["all x", "1 x", "3 x"]);
    main.off_any();
    main.on_event("x", log.hear("gone"));
    main.off("x");
    socket.off("x");
    ann.say(r#"2["x"]"#);
    ann.say(r#"2["y"]"#);
    log.wait_for(&["y y"]);
}

#[test]
fn middleware_and_handlers_of_ends_and_errors_are_taken_out() {
    let io = SocketIo::new();
    let log = Log::default();
    let server = serve(&io, 1);
    let _ = io.of("/");
    let (mut ann, _) = server.io("");
    let socket = only(&io, "/");
    let refusing = socket.middleware(|_| async { Err("no".into()) });
    let ended = |name: &'static str| {
        let log = log.clone();
        move |_: Socket, _| {
            log.note(name);
            async {}
        }
    };
    let failed = log.clone();
    let errors = socket.on_error(move |_, error| {
        failed.note(error.to_string());
        async {}
    });
    let before = socket.on_disconnecting(ended("before"));
    let after = socket.on_disconnect(ended("after"));
    socket.on_disconnect(ended("end"));
    socket.on_event("x", log.hear("x"));
    ann.say(r#"2["x"]"#);
    log.wait_for(&["no"]);
    for listener in [refusing, errors, before, after] {
        assert!(socket.off_listener(&listener));
    }
    ann.say(r#"2["x"]"#);
    log.wait_for(&["x x"]);
    drop(ann);
    log.wait_for(&["end"]);
}

#[test]
fn whatever_is_sent_to_a_socket_is_told_with_its_arguments() {
    for shards in [1, 2] {
        let io = SocketIo::new();
        let log = Log::default();
        let server = serve(&io, shards);
        let main = io.of("/");
        let (mut ann, id) = server.io("");
        let socket = only(&io, "/");
        block_on(async { socket.join("tea").unwrap().await }).unwrap();
        let (mut bo, _) = server.io("");
        let late = socket.on_any_outgoing(log.see("2"));
        let first = socket.prepend_any_outgoing(log.see("1"));
        assert_eq!(socket.listeners_any_outgoing(), [first.clone(), late]);
        socket.emit("own", &(1, "a")).unwrap();
        log.wait_for(&[r#"1 own 1 "a""#, r#"2 own 1 "a""#]);
        assert_eq!(ann.hear(), r#"2["own",1,"a"]"#);
        assert!(socket.off_listener(&first));
        // Broadcasts, by each way to a socket.
        main.emit("all", &1).unwrap();
        log.wait_for(&["2 all 1"]);
        main.to("tea").emit("room", &()).unwrap();
        log.wait_for(&["2 room "]);
        main.to(&id).emit("mine", &true).unwrap();
        log.wait_for(&["2 mine true"]);
        let asked = main.emit_with_ack("ask", &2);
        for event in [r#"2["all",1]"#, r#"2["room"]"#, r#"2["mine",true]"#] {
            assert_eq!(ann.hear(), event);
        }
        assert_eq!(bo.hear(), r#"2["all",1]"#);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| block_on(asked).unwrap().len());
            assert_eq!(ann.hear(), r#"20["ask",2]"#);
            ann.say("30[]");
            assert_eq!(bo.hear(), r#"20["ask",2]"#);
            bo.say("30[]");
            assert_eq!(asked.join().unwrap(), 2);
        });
        log.wait_for(&["2 ask 2"]);
        // And nothing any more.
        socket.off_any_outgoing();
        main.emit("all", &2).unwrap();
        assert_eq!(ann.hear(), r#"2["all",2]"#);
        socket.on_any_outgoing(log.see("3"));
        main.emit("all", &3).unwrap();
        assert_eq!(ann.hear(), r#"2["all",3]"#);
        log.wait_for(&["3 all 3"]);
    }
}
