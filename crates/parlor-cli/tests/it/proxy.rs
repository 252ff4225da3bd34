//! A way to a server that can be cut, closed and turned to another one.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A running proxy. Its threads end with their connections.
pub(crate) struct Proxy {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Where new connections go; nowhere while it is empty.
    target: String,
    streams: Vec<TcpStream>,
}

impl Proxy {
    pub(crate) fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(State {
            target: target.to_owned(),
            streams: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One that is not connected is dropped, and so closed.
                let _dropped = lock(&shared).connect(&stream);
            }
        });
        Self { address, state }
    }

    /// Cuts every connection, and lets nobody through until [`Proxy::open`].
    pub(crate) fn cut(&self) {
        let mut state = lock(&self.state);
        state.target.clear();
        for stream in state.streams.drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on connections go to this address.
    pub(crate) fn open(&self, target: &str) {
        target.clone_into(&mut lock(&self.state).target);
    }
}

impl State {
    fn connect(&mut self, near: &TcpStream) -> io::Result<()> {
        if self.target.is_empty() {
            return Ok(());
        }
        let far = TcpStream::connect(&self.target)?;
        for (from, to) in [(near, &far), (&far, near)] {
            let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
            thread::spawn(move || {
                let _ended = io::copy(&mut from, &mut to);
                let _gone = to.shutdown(Shutdown::Both);
            });
        }
        self.streams.extend([near.try_clone()?, far]);
        Ok(())
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no thread panics with it")
}
