//! One server of the simulation: storage, store and queue over the shared disk.

use std::collections::HashMap;
use std::sync::Arc;

use channels::StoreDelivery;
use events::Events;
use mail_types::{AccountName, Address, ChannelName};
use queue::{Agents, Channel, Options, Queue};
use runtime::{Random, Shutdown};
use storage::Storage;
use store::{FlagChange, FlagMode, Flags, MailboxId, MailboxName, Store, StoreError, Uid};
use tokio::task::JoinHandle;

use crate::agents::{Attempted, DOMAINS, Remote, Reprocess, Routes, USERS, tag_in};
use crate::disk::{DiskEngine, Handle};
use crate::ledger::{Entry, Whereabouts};
use crate::power_cuts::Listed;
use crate::sessions::MAILBOXES;
use crate::world::{World, user};

/// Messages that a listing may show: more than a seed ever makes.
const LISTED_MAX: usize = 100_000;

/// A running server.
pub(crate) struct House {
    pub(crate) queue: Queue,
    store: Store,
    handle: Arc<Handle>,
    tasks: Vec<JoinHandle<()>>,
}

impl House {
    pub(crate) async fn start(world: &World) -> Result<Self, String> {
        let handle = Handle::new(&world.disk);
        let (storage, writer) = Storage::over(Arc::new(DiskEngine(Arc::clone(&handle))));
        let mut tasks = vec![tokio::spawn(writer.run())];
        let events = Events::counting(world.clock.clone());
        let opened = Store::open(storage.clone(), world.clock.clone(), events.clone()).await;
        let store = opened.map_err(|e| format!("the store does not open: {e}"))?;
        let mut channels: HashMap<ChannelName, Arc<dyn Channel>> = HashMap::new();
        channels.insert(ChannelName::new(ChannelName::SMTP), Arc::clone(&world.remote) as Arc<dyn Channel>);
        let reprocess = Arc::new(Reprocess(Arc::clone(&world.directory)));
        channels.insert(ChannelName::new(ChannelName::REPROCESS), reprocess);
        channels.insert(ChannelName::new(ChannelName::LIST), Arc::new(Listed));
        let agents = Agents {
            router: Arc::new(Routes(Arc::clone(&world.directory))),
            local: Arc::new(StoreDelivery::new(store.clone())),
            channels,
        };
        let options = Options { host_name: "sim.example".into(), ..Options::default() };
        let queue = Queue::open(storage, agents, options, world.clock.clone(), world.random.clone(), events)
            .map_err(|e| format!("the queue does not open: {e}"))?;
        let running = queue.clone();
        tasks.push(tokio::spawn(async move { running.run(Shutdown::new()).await }));
        Ok(Self { queue, store, handle, tasks })
    }

    /// The power goes: nothing that is not on the disk now will ever be.
    pub(crate) async fn crash(self) {
        self.handle.cut_power();
        for task in self.tasks {
            task.abort();
            // Ended by us: there is nothing to hear from it.
            let _ = task.await;
        }
        // No server starts again within the millisecond: ids of refused messages stay unique.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    pub(crate) fn check_store(&self) -> Result<(), String> {
        let queued = |view: &storage::Snapshot, visit: &mut dyn FnMut(store::Foreign)| {
            let mut told = |reference| match reference {
                queue::Reference::Content(message, content, len) => {
                    visit(store::Foreign::Content(store::QueuedContent { message, content, len }));
                }
                queue::Reference::Unreadable(which) => visit(store::Foreign::Unreadable {
                    what: which.to_string(),
                    remedy: String::new(),
                    may_have_content: which.recipients.is_none(),
                }),
            };
            Ok(queue::content_references(view, &mut told)?)
        };
        let violations = self.store.check(queued, &mut |_| ()).map_err(|e| e.to_string())?;
        match violations.first() {
            None => Ok(()),
            Some(first) => Err(format!("the store breaks {} invariants: {first:?}", violations.len())),
        }
    }

    /// A reader at work on a mailbox: flags, copies, and expunges what it copied.
    pub(crate) async fn read(&self, random: &Random) {
        let address = user(random.below(USERS));
        let Some(account) = self.account(&address) else { return };
        let inbox = MailboxId::inbox(account);
        let Ok(view) = self.store.view(inbox) else { return };
        let uids: Vec<_> = view.messages.iter().map(|listed| listed.uid).collect();
        let Some(uid) =
            usize::try_from(random.below(uids.len().max(1) as u64)).ok().and_then(|at| uids.get(at))
        else {
            return;
        };
        let _ = self.change_as_a_reader(inbox, *uid, random).await;
    }

    /// Never takes a message out of the inbox: the ledger looks for it there.
    async fn change_as_a_reader(
        &self,
        inbox: MailboxId,
        uid: Uid,
        random: &Random,
    ) -> Result<(), StoreError> {
        let archive = MailboxName::new("Read")?;
        let _ = self.store.create_mailbox(inbox.account, &archive, None).await;
        let archive = self.store.mailbox(inbox.account, &archive)?.id;
        let flags =
            [Flags::SEEN, Flags::FLAGGED, Flags::ANSWERED][usize::try_from(random.below(3)).unwrap_or(0)];
        let keywords = ["$Forwarded"];
        let change = FlagChange { mode: FlagMode::Add, flags, keywords: &keywords, unchanged_since: None };
        self.store.store_flags(inbox, &[uid], &change).await?;
        let copied = self.store.copy(inbox, &[uid], archive).await?;
        if random.below(2) == 0 {
            let uids: Vec<Uid> = copied.uids.iter().map(|(_, to)| *to).collect();
            self.store.remove(archive, &uids).await?;
        }
        Ok(())
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// UIDVALIDITY, UIDNEXT and the highest mod-sequence of each mailbox: none may ever fall.
    pub(crate) fn marks(&self) -> Vec<(String, u32, u32, u64)> {
        let mark = |(number, name): (u64, &str)| {
            let address = user(number);
            let name = MailboxName::new(name).ok()?;
            let id = self.store.mailbox(self.account(&address)?, &name).ok()?.id;
            let view = self.store.view(id).ok()?;
            let whose = format!("{address} {}", name.as_str());
            Some((whose, view.uid_validity.0, view.uid_next.0, view.highest_modseq.0))
        };
        let names = ["INBOX"].into_iter().chain(MAILBOXES);
        (0..USERS).flat_map(|number| names.clone().map(move |name| (number, name))).filter_map(mark).collect()
    }

    fn account(&self, address: &Address) -> Option<store::AccountId> {
        let name = AccountName::new(&address.to_key())?;
        self.store.find_account(&name).ok().flatten()
    }

    /// Where every recipient's copy is.
    pub(crate) fn whereabouts(&self, ledger: &[Entry], remote: &Remote) -> Result<Whereabouts, String> {
        let mut places = Whereabouts::new();
        for copy in remote.taken() {
            let places = places.entry((copy.tag, copy.recipient)).or_default();
            places.taken += 1;
            places.spanned += usize::from(copy.attempt == Attempted::SpannedACrash);
        }
        let tag_of: HashMap<_, _> = ledger.iter().map(|entry| (entry.id, entry.tag.clone())).collect();
        let listed =
            self.queue.listing().list(&queue::Filter::default(), LISTED_MAX).map_err(|e| e.to_string())?;
        for message in &listed.messages {
            let Some(tag) = tag_of.get(&message.id) else { continue };
            for recipient in &message.recipients {
                places.entry((tag.clone(), recipient.address.clone())).or_default().queued += 1;
            }
        }
        for entry in ledger {
            let trail = self.queue.listing().trail(entry.id).map_err(|e| e.to_string())?;
            for line in trail.lines.iter().filter(|line| ["failed", "expired"].contains(&line.what.as_str()))
            {
                if let Some(address) = &line.recipient {
                    places.entry((entry.tag.clone(), address.clone())).or_default().given_up += 1;
                }
            }
        }
        let moved_in = (0..3).filter_map(|n| Address::parse(&format!("r{n}@d{}.example", DOMAINS - 1)).ok());
        for address in (0..USERS).map(user).chain(moved_in) {
            self.look_into(&address, &mut places)?;
        }
        Ok(places)
    }

    fn look_into(&self, address: &Address, places: &mut Whereabouts) -> Result<(), String> {
        let Some(account) = self.account(address) else { return Ok(()) };
        let inbox = MailboxId::inbox(account);
        let view = self.store.view(inbox).map_err(|e| e.to_string())?;
        for listed in view.messages.iter() {
            let octets = self
                .store
                .read(inbox, listed.uid)
                .map_err(|e| e.to_string())?
                .ok_or("a listed message is gone")?;
            let octets = octets.to_bytes().map_err(|e| e.to_string())?;
            let text = String::from_utf8_lossy(&octets);
            let Some(tag) = tag_in(&text).map(str::to_owned) else { return Err(format!("no tag in {text}")) };
            if !text.contains("multipart/report") {
                whole(&text, &tag)?;
                places.entry((tag, address.clone())).or_default().stored += 1;
            } else if text.contains("Action: failed") {
                for line in text.lines() {
                    let failed = line.strip_prefix("Final-Recipient: rfc822;").map(str::trim);
                    if let Some(Ok(failed)) = failed.map(Address::parse) {
                        places.entry((tag.clone(), failed)).or_default().reported += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Promise 6 of the simulation: content comes out as it went in, below our own fields.
fn whole(text: &str, tag: &str) -> Result<(), String> {
    let content = format!("Subject: {tag} \r\n\r\nThe body of {tag} .\r\n");
    if text.starts_with("Return-Path: <") && text.ends_with(&content) {
        Ok(())
    } else {
        Err(format!("a message was altered: {text:?}"))
    }
}
