//! A server of this program's that a test stops and starts again.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use super::target::Target;

/// A running `parlor serve`, killed when dropped.
#[derive(Debug)]
pub(super) struct Restarted {
    address: SocketAddr,
    child: Child,
}

impl Restarted {
    /// Starts it at the address of a URL, with the settings of the environment and all others at
    /// their defaults, and waits until it listens.
    ///
    /// # Errors
    ///
    /// Where the address is not of this machine, or taken, or the program cannot be started.
    pub(super) async fn start(url: &str) -> anyhow::Result<Self> {
        let address = Target::here(url)?;
        if TcpStream::connect_timeout(&address, LOOK).is_ok() {
            bail!("{address} has a server already: --restart starts one of its own");
        }
        let child = serve(address)?;
        let mut server = Self { address, child };
        server.listens().await?;
        Ok(server)
    }

    /// Kills it and starts it again; it need not listen yet when this returns.
    ///
    /// # Errors
    ///
    /// Where the program cannot be started.
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.child = serve(self.address)?;
        Ok(())
    }

    async fn listens(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server at {} ended: {status}", self.address);
            }
            if TcpStream::connect_timeout(&self.address, LOOK).is_ok() {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        bail!("the server at {} does not listen", self.address)
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(address: SocketAddr) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    Command::new(program)
        .args(["serve", "--listen", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the server")
}

const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);
