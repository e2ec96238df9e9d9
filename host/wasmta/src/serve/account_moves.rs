//! Mailboxes follow their owners: where a user's primary address changes, the account goes by the new one, before mail does.

use std::sync::Arc;

use directory::{AccountMoves, Directory};
use events::{Event, Events};
use hooks::BoxFuture;
use routing::{Forerunner, Routing};
use store::{Doorkeeper, NewName, Store};
use tokio::sync::Mutex;

/// Carries out what was noted, and from now on before the tables follow.
pub(super) async fn follow(
    routing: &Routing,
    directory: &Directory,
    store: &Store,
    events: &Events,
) -> Result<(), String> {
    let (directory, store, events) = (directory.clone(), store.clone(), events.clone());
    let mover = Arc::new(Mover { directory, store: store.clone(), events, moving: Mutex::new(()) });
    mover.move_all().await?;
    // The tables were brought up to the directory before.
    store.renames_are_followed().await.map_err(|error| error.to_string())?;
    let doorkeeper: Arc<dyn Doorkeeper> = mover.clone();
    store.with_doorkeeper(Arc::downgrade(&doorkeeper));
    routing.tables().go_behind(mover);
    Ok(())
}

/// Carries out what the directory notes of accounts with other names.
struct Mover {
    directory: Directory,
    store: Store,
    events: Events,
    /// One at a time: the moves of one change after those of the other.
    moving: Mutex<()>,
}

impl Mover {
    async fn move_all(&self) -> Result<(), String> {
        loop {
            if self.directory.account_moves().map_err(|error| error.to_string())?.is_empty() {
                return Ok(());
            }
            let _one = self.moving.lock().await;
            for moves in self.directory.account_moves().map_err(|error| error.to_string())? {
                self.carry_out(&moves).await?;
            }
        }
    }

    async fn carry_out(&self, moves: &AccountMoves) -> Result<(), String> {
        let name = |(from, to): &(_, _)| NewName { from: Clone::clone(from), to: Clone::clone(to) };
        let names: Vec<NewName> = moves.names.iter().map(name).collect();
        let mut there = Vec::new();
        for name in &names {
            there.push(self.store.find_account(&name.from).map_err(|error| error.to_string())?.is_some());
        }
        let blocked = self.store.rename_accounts(&names).await.map_err(|error| error.to_string())?;
        // Before they are told of: told twice is better than never.
        for (name, there) in names.iter().zip(there) {
            let (from, to) = (&name.from, &name.to);
            if blocked.contains(name) {
                self.events.emit(&Event::AccountNotMoved { from, to });
            } else if there {
                self.events.emit(&Event::AccountMoved { from, to });
            }
        }
        self.directory.account_moves_done(moves).await.map_err(|error| error.to_string())
    }
}

/// Tables follow when they come to it, and log-ins see the directory at once: who has taken over an address must not find there
/// whose it was.
impl Doorkeeper for Mover {
    fn make_ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.move_all())
    }
}

impl Forerunner for Mover {
    fn go_ahead(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.move_all())
    }

    fn followed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // What is not written down now is at the next change, or start.
            let _ = self.store.renames_are_followed().await;
        })
    }
}
