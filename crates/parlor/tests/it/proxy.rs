//! A proxy that does to connections what networks do: it cuts, freezes, delays and half-closes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// What is done to the bytes of all connections.
#[derive(Clone, Copy, Debug)]
struct Weather {
    upstream: SocketAddr,
    /// Nothing passes.
    frozen: bool,
    /// How late everything passes.
    delay: Duration,
    /// Counts cuts: connections of an earlier number are cut.
    cuts: u64,
    /// Counts half-closes towards the client, and towards the server.
    halves: [u64; 2],
}

/// The proxy; gone when it is dropped, with its connections.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before a server, in fair weather.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, forecast) = watch::channel(Weather {
            upstream,
            frozen: false,
            delay: Duration::ZERO,
            cuts: 0,
            halves: [0; 2],
        });
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connect(client, forecast.clone()));
            }
        });
        Self {
            address,
            weather,
            accepted,
            task,
        }
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Ends all connections, whatever is on the way.
    pub(crate) fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Lets nothing pass, or everything again.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.weather.send_modify(|weather| weather.frozen = frozen);
    }

    /// Lets everything pass late.
    pub(crate) fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Closes one direction of all connections: what the clients hear, or what the server does.
    pub(crate) fn half_close(&self, towards_client: bool) {
        let side = usize::from(!towards_client);
        self.weather
            .send_modify(|weather| weather.halves[side] += 1);
    }

    /// Leads new connections elsewhere.
    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        self.weather
            .send_modify(|weather| weather.upstream = upstream);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn connect(client: TcpStream, forecast: watch::Receiver<Weather>) {
    let upstream = forecast.borrow().upstream;
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::spawn(pump(from_server, to_client, forecast.clone(), 0));
    tokio::spawn(pump(from_client, to_server, forecast, 1));
}

/// Passes on what comes in one direction.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut forecast: watch::Receiver<Weather>,
    side: usize,
) {
    let start = *forecast.borrow_and_update();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let now = *forecast.borrow_and_update();
        if now.cuts != start.cuts {
            return;
        }
        if now.halves[side] != start.halves[side] {
            let _ = to.shutdown().await;
            // What still comes goes nowhere, until the other side has had enough.
            let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
            return;
        }
        if now.frozen {
            if forecast.changed().await.is_err() {
                return;
            }
            continue;
        }
        let count = tokio::select! {
            changed = forecast.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut buffer) => match read {
                Ok(count) if count > 0 => count,
                _ => break,
            },
        };
        if !now.delay.is_zero() {
            sleep(now.delay).await;
        }
        let cut = forecast.wait_for(|weather| weather.cuts != start.cuts);
        tokio::select! {
            _ = cut => return,
            written = to.write_all(&buffer[..count]) => if written.is_err() { return },
        }
    }
    let _ = to.shutdown().await;
}
