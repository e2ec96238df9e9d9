//! Mailboxes follow their owners: where a user's primary address changes, the account goes by the new one, before mail does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use directory::{AccountMoves, Directory};
use events::{Event, Events};
use hooks::BoxFuture;
use routing::{Forerunner, Routing};
use store::{Doorkeeper, NewName, Store};
use tokio::sync::Mutex;

/// Why an account keeps its name.
const OCCUPIED: &str =
    "another account has that name, and mail or mailboxes of its own; what was there stays";

/// Carries out what was noted, and from now on before the tables follow.
pub(super) async fn follow(
    routing: &Routing,
    directory: &Directory,
    store: &Store,
    events: &Events,
) -> Result<(), String> {
    let (directory, store, events) = (directory.clone(), store.clone(), events.clone());
    let (moving, moved_to) = (Mutex::new(()), AtomicU64::new(0));
    let mover = Arc::new(Mover { directory, store: store.clone(), events, moving, moved_to });
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
    /// The number of the last change whose moves were made.
    moved_to: AtomicU64,
}

impl Mover {
    async fn move_all(&self) -> Result<(), String> {
        loop {
            if self.directory.account_moves().map_err(|error| error.to_string())?.is_empty() {
                return Ok(());
            }
            let _one = self.moving.lock().await;
            for moves in self.directory.account_moves().map_err(|error| error.to_string())? {
                self.moved_to.fetch_max(moves.csn, Ordering::AcqRel);
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
        let blocked = match self.store.rename_accounts(&names).await {
            Ok(blocked) => blocked.into_iter().map(|name| (name, OCCUPIED.to_owned())).collect(),
            // What is damaged does not come right by waiting, and must not hold up everybody's tables.
            Err(error) if error.is_damage() => {
                names.iter().map(|name| (name.clone(), error.to_string())).collect::<Vec<_>>()
            }
            Err(error) => return Err(error.to_string()),
        };
        // Before they are told of: told twice is better than never.
        for (name, there) in names.iter().zip(there) {
            let (from, to) = (&name.from, &name.to);
            if let Some((_, cause)) = blocked.iter().find(|(blocked, _)| blocked == name) {
                self.events.emit(&Event::AccountNotMoved { from, to, cause });
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

    fn followed(&self, csn: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // It goes ahead of changes that the rows do not have yet, too.
            if csn < self.moved_to.load(Ordering::Acquire) {
                return;
            }
            // What is not written down now is at the next change, or start.
            let _ = self.store.renames_are_followed().await;
        })
    }
}
