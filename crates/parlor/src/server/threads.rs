//! The threads of the shards.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use parlor_hub::ShardId;
use tokio::{sync::oneshot, task::LocalSet};

use crate::shard::{Cradle, Listeners, Mailbox, Mailboxes, Settings, Shard};

/// A server whose shards run.
pub(super) struct Running {
    pub(super) mailboxes: Mailboxes,
    pub(super) ends: Vec<oneshot::Receiver<io::Result<()>>>,
}

impl Running {
    /// Waits until some shard ends, which none does unless it is told to or fails.
    pub(super) async fn first_end(&mut self) -> io::Result<()> {
        let ends = self.ends.iter_mut();
        let (result, index, _) = futures_util::future::select_all(ends).await;
        self.ends.swap_remove(index);
        result.unwrap_or_else(|_| Err(io::Error::other("a shard's thread died")))
    }
}

/// A shard's thread that waits to be told of the others.
pub(super) struct Thread {
    pub(super) others: mpsc::SyncSender<Mailboxes>,
    pub(super) end: oneshot::Receiver<io::Result<()>>,
}

impl Thread {
    pub(super) fn spawn(
        id: ShardId,
        listeners: Listeners,
        settings: Arc<Settings>,
    ) -> io::Result<(Self, Arc<Mailbox>)> {
        let (mailbox, made) = mpsc::sync_channel(1);
        let (others, all) = mpsc::sync_channel::<Mailboxes>(1);
        let (ended, end) = oneshot::channel();
        let body = move || -> io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let local = LocalSet::new();
            local.block_on(&runtime, async move {
                let (cradle, own) = Cradle::new()?;
                mailbox.send(own).map_err(io::Error::other)?;
                let Ok(mailboxes) = all.recv() else {
                    return Ok(());
                };
                Shard::new(id, cradle, mailboxes, settings, listeners)?
                    .run()
                    .await
            })
        };
        thread::Builder::new()
            .name(format!("shard {}", id.0))
            .spawn(move || {
                // Nobody listens once the server's future was dropped.
                let _ = ended.send(body());
            })?;
        let mailbox = made
            .recv()
            .map_err(|_| io::Error::other("a shard cannot start"))?;
        Ok((Self { others, end }, mailbox))
    }
}
