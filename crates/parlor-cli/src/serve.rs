//! `parlor serve`.

use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::ArgMatches;
use parlor::config::{self, ByteSize};
use parlor::{Config, Server};

use crate::log::Format;
use crate::options::Options;
use crate::signals::Signals;
use crate::{page, terminal};

/// Runs `parlor serve` until SIGTERM or Ctrl-C.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Options { config, log } = Options::gather(matches, std::env::vars_os())?;
    log.start();
    match serve(&config, log.format) {
        // Whoever reads the log reads objects.
        Err(error) if log.format == Format::Json => {
            let error = format!("{error:#}");
            tracing::error!(error, "cannot start");
            Ok(ExitCode::from(terminal::USAGE))
        }
        outcome => outcome,
    }
}

fn serve(config: &Config, format: Format) -> anyhow::Result<ExitCode> {
    let descriptors = config::raise_descriptor_limit();
    let builder = Server::builder()
        .config(config.clone())
        .routes(page::routes(config));
    let server = builder.build().map_err(|error| anyhow!("{error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the runtime")?;
    // Signals first: from the first line on, whoever reads it may stop us.
    let entered = runtime.enter();
    let signals = Signals::new().context("cannot wait for signals")?;
    let again = Signals::new().context("cannot wait for signals")?;
    let listeners = config.bind().map_err(|error| anyhow!("{error}"))?;
    let mut lines = start_lines(config, &listeners, descriptors)?;
    let metrics = server.metrics_address();
    lines.extend(metrics.map(|address| format!("metrics on http://{address}/metrics")));
    announce(format, &lines);
    let connections_max = config.connection_limit();
    if connections_max >= descriptors {
        tracing::warn!(
            connections_max,
            descriptors,
            "the descriptor limit is too low"
        );
    }
    drop(entered);
    Ok(runtime.block_on(async {
        tokio::select! {
            ended = server.run(listeners, stop(signals)) => match ended {
                Ok(()) => {
                    tracing::info!("stopped");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    tracing::error!(%error, "the server failed");
                    ExitCode::from(terminal::FAILED)
                }
            },
            () = stop_now(again) => ExitCode::from(terminal::FAILED),
        }
    }))
}

async fn stop(mut signals: Signals) {
    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
}

/// The second signal: whoever sends it has waited long enough.
async fn stop_now(mut signals: Signals) {
    signals.next().await;
    let signal = signals.next().await;
    tracing::warn!(signal, "stopping at once");
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
