//! Mailboxes follow their owners: where a user's primary address changes, the account goes by the new one, before mail does.

use std::collections::HashMap;
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
        let blocked: HashMap<NewName, String> = match self.store.rename_accounts(&names, &moves.mark()).await
        {
            Ok(Some(blocked)) => blocked.into_iter().map(|name| (name, OCCUPIED.to_owned())).collect(),
            // It was done, and could not be noted.
            Ok(None) => return self.done(moves).await,
            // What is damaged does not come right by waiting, and must not hold up everybody's tables.
            Err(error) if error.is_damage() => {
                names.iter().map(|name| (name.clone(), error.to_string())).collect()
            }
            Err(error) => return Err(error.to_string()),
        };
        for (name, there) in names.iter().zip(there) {
            let (from, to) = (&name.from, &name.to);
            if let Some(cause) = blocked.get(name) {
                self.events.emit(&Event::AccountNotMoved { from, to, cause });
            } else if there {
                self.events.emit(&Event::AccountMoved { from, to });
            }
        }
        self.done(moves).await
    }

    async fn done(&self, moves: &AccountMoves) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use directory::{DirectoryOptions, Dn, Edit, Entry};
    use mail_types::{AccountName, Timestamp};
    use runtime::Clock;
    use storage::{Batch, Space, Storage};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);
    /// Longer after it than any test takes.
    const LATER: Timestamp = Timestamp(1_000_000_000);

    fn storage(folder: &Path, name: &str, spaces: &[Space]) -> Storage {
        let options = storage::Options { size_max: 1 << 28, synced: false, ..storage::Options::default() };
        Storage::open(&folder.join(name), spaces, &options).unwrap()
    }

    async fn mover(folder: &Path) -> Mover {
        let (clock, moving) = (Clock::simulated(NOW), Mutex::new(()));
        let directory = storage(folder, "directory", directory::SPACES);
        let directory = Directory::open(directory, clock.clone(), DirectoryOptions::default()).unwrap();
        let events = Events::counting(clock.clone());
        let store = Store::open(storage(folder, "store", store::SPACES), clock, events.clone());
        Mover { directory, store: store.await.unwrap(), events, moving, moved_to: AtomicU64::new(0) }
    }

    fn name(text: &str) -> AccountName {
        AccountName::new(text).unwrap()
    }

    fn user(mail: &str) -> Entry {
        let mut entry = Entry::new(Dn::parse("uid=anna,o=isp").unwrap());
        for (name, value) in [("objectClass", "inetMailUser"), ("uid", "anna"), ("mail", mail)] {
            entry.add(name, value);
        }
        entry
    }

    /// Anna, with a mailbox; returns the number of the change.
    async fn with_anna(mover: &Mover) -> u64 {
        let mut top = Entry::new(Dn::parse("o=isp").unwrap());
        top.add("objectClass", "organization");
        let csn = mover.directory.edit(&[Edit::Add(top), Edit::Add(user("anna@example.org"))]).await.unwrap();
        mover.store.ensure_account(&name("anna@example.org")).await.unwrap();
        csn
    }

    #[tokio::test]
    async fn a_former_name_is_open_until_the_tables_have_reached_its_change() {
        let folder = tempfile::tempdir().unwrap();
        let mover = mover(folder.path()).await;
        let before = with_anna(&mover).await;
        let renamed = mover.directory.edit(&[Edit::Modify(user("anne@example.org"))]).await.unwrap();
        mover.go_ahead().await.unwrap();
        let former = name("anna@example.org");
        assert!(mover.store.find_account(&name("anne@example.org")).unwrap().is_some());
        assert!(mover.store.renamed_since(&former, LATER), "tables lead mail by it still");
        mover.followed(before).await;
        assert!(mover.store.renamed_since(&former, LATER), "they were told of an earlier change");
        mover.followed(renamed).await;
        assert!(!mover.store.renamed_since(&former, LATER), "nobody decides by it from now on");
        assert!(mover.store.renamed_since(&former, NOW), "somebody may have done so until now");
    }

    #[tokio::test]
    async fn an_account_that_is_damaged_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mover = mover(folder.path()).await;
        with_anna(&mover).await;
        let id = mover.store.find_account(&name("anna@example.org")).unwrap().unwrap();
        let mut damaging = Batch::new();
        damaging.put(Space::new("store_accounts"), &id.0.to_be_bytes(), b"damaged".to_vec());
        mover.store.storage().commit(damaging).await.unwrap();
        mover.directory.edit(&[Edit::Modify(user("anne@example.org"))]).await.unwrap();
        mover.go_ahead().await.unwrap();
        let told = mover.events.counters().all();
        assert!(told.contains(&("account_not_moved", 1)), "{told:?}");
        assert!(mover.directory.account_moves().unwrap().is_empty(), "it is noted no more");
    }
}
