//! `parlor serve`.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::ArgMatches;
use parlor::Config;
use parlor::config::{self, ByteSize};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::log::Format;
use crate::options::Options;
use crate::{page, terminal};

/// Runs `parlor serve` until SIGTERM or Ctrl-C.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Options { config, log } = Options::gather(matches, std::env::vars_os())?;
    log.start();
    let descriptors = config::raise_descriptor_limit();
    if let Some(dir) = &config.static_dir {
        check_directory(dir)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the runtime")?;
    // Signals first: from the first line on, whoever reads it may stop us.
    let entered = runtime.enter();
    let stop = Stop::new().context("cannot wait for signals")?;
    let listeners = config.bind().map_err(|error| anyhow!("{error}"))?;
    announce(log.format, &start_lines(&config, &listeners, descriptors)?);
    drop(entered);
    Ok(runtime.block_on(serve(listeners, stop)))
}

async fn serve(listeners: Vec<TcpListener>, stop: Stop) -> ExitCode {
    let mut tasks = Vec::new();
    for listener in listeners {
        let ready = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener));
        let Ok(listener) = ready else {
            return ExitCode::from(terminal::FAILED);
        };
        tasks.push(tokio::spawn(async move {
            axum::serve(listener, page::routes()).await
        }));
    }
    stop.wait().await;
    ExitCode::SUCCESS
}

/// The signals that ask the process to end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("stopping on SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("stopping on Ctrl-C"),
        }
    }
}

fn check_directory(dir: &Path) -> anyhow::Result<()> {
    let listing = std::fs::read_dir(dir);
    listing
        .map(drop)
        .with_context(|| format!("cannot serve the files of {}", dir.display()))
}

/// What a person who started the server wants to know, one fact a line.
fn start_lines(
    config: &Config,
    listeners: &[TcpListener],
    descriptors: usize,
) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for listener in listeners {
        lines.push(format!("listening on http://{}", listener.local_addr()?));
    }
    let shards = config.shard_count();
    lines.push(format!(
        "{shards} {}, at most {} connections ({descriptors} descriptors)",
        if shards == 1 { "shard" } else { "shards" },
        config.connection_limit(),
    ));
    let message = u64::try_from(config.message_bytes_max)?;
    lines.push(format!(
        "messages up to {}, deflate {}",
        ByteSize(message),
        config.deflate
    ));
    if let Some(dir) = &config.static_dir {
        lines.push(format!("files of {}", dir.display()));
    }
    Ok(lines)
}

/// Text for people; where the log is for machines, events of it.
fn announce(format: Format, lines: &[String]) {
    match format {
        Format::Text => {
            terminal::note(format_args!("parlor {}", env!("CARGO_PKG_VERSION")));
            lines.iter().for_each(terminal::note);
        }
        Format::Json => lines.iter().for_each(|line| tracing::info!("{line}")),
    }
}
