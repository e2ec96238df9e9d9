//! One seed: lives of a server, each with random deeds, each ended by a crash; then peace, in
//! which everything has to come to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mail_types::{Address, Notify, Recipient, ReversePath, Timestamp, Transport};
use queue::{Accepted, Change, Source, Submission};
use runtime::{Clock, Random};
use storage::Content;

use crate::agents::{DOMAINS, Directory, HERE, Remote, USERS};
use crate::disk::{Disk, Health};
use crate::house::House;
use crate::ledger::{Entry, broken_promise};
use crate::sessions::{self, Client};

/// Deeds in one life.
const DEEDS: u64 = 40;
/// One in so many seeds has no crash.
const CALM: u64 = 4;
/// Long enough for every message to come to its end: the queue gives up after five days.
const PEACE: Duration = Duration::from_secs(12 * 24 * 3600);

/// How much happened.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) crashes: u64,
    pub(crate) commands: u64,
    pub(crate) commits: u64,
    pub(crate) failed_commits: u64,
    pub(crate) failed_readings: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.crashes += other.crashes;
        self.commands += other.commands;
        self.commits += other.commits;
        self.failed_commits += other.failed_commits;
        self.failed_readings += other.failed_readings;
    }
}

/// Everything that outlives a server.
pub(crate) struct World {
    pub(crate) disk: Arc<Disk>,
    pub(crate) remote: Arc<Remote>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) random: Random,
    pub(crate) clock: Clock,
    ledger: Vec<Entry>,
    totals: Totals,
    marks: HashMap<String, (u32, u32, u64)>,
    clients: [Client; 3],
}

/// Runs a seed; says which promise broke.
pub(crate) fn run(seed: u64) -> Result<Totals, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|e| e.to_string())?.block_on(async {
        let mut world = World::new(seed);
        if seed.is_multiple_of(CALM) {
            // No crash at all: one server from the first message to the last.
            let house = House::start(&world).await?;
            world.act(&house).await;
            world.mend();
            world.peace(house).await?;
        } else {
            for _ in 0..=world.random.below(3) {
                world.live().await?;
            }
            let house = House::start(&world).await?;
            world.peace(house).await?;
        }
        world.totals.commands = world.clients.iter().map(|client| client.done).sum();
        (world.totals.commits, world.totals.failed_commits, world.totals.failed_readings) =
            world.disk.commits();
        Ok(world.totals)
    })
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let random = Random::seeded(seed);
        Self {
            disk: Disk::new(random.clone()),
            remote: Remote::new(random.clone()),
            directory: Arc::new(Directory::default()),
            clock: Clock::simulated(Timestamp(1_795_500_000_000)),
            random,
            ledger: Vec::new(),
            totals: Totals::default(),
            marks: HashMap::new(),
            clients: sessions::clients(),
        }
    }

    async fn act(&mut self, house: &House) {
        for _ in 0..self.random.below(DEEDS) {
            self.deed(house).await;
            let pause =
                [1, 100, 5_000, 600_000, 7_200_000][usize::try_from(self.random.below(5)).unwrap_or(0)];
            tokio::time::sleep(Duration::from_millis(self.random.below(pause))).await;
        }
    }

    /// Disk and directory work again.
    fn mend(&self) {
        self.disk.set_health(Health::Sound);
        self.directory.set_away(false);
    }

    /// One life: deeds, then a crash, then a look at what is left.
    async fn live(&mut self) -> Result<(), String> {
        let house = House::start(self).await?;
        self.act(&house).await;
        self.remember_marks(&house)?;
        house.crash().await;
        self.totals.crashes += 1;
        self.mend();
        let house = House::start(self).await?;
        let places = house.whereabouts(&self.ledger, &self.remote)?;
        self.remote.note_crash(|copy| {
            let key = (copy.tag.clone(), copy.recipient.clone());
            places.get(&key).is_some_and(|places| places.queued > 0)
        });
        self.examine(&house, false)?;
        house.crash().await;
        Ok(())
    }

    /// No more faults: what is queued has to come to its end.
    async fn peace(&mut self, house: House) -> Result<(), String> {
        self.remote.cheer_up();
        for entry in &self.ledger {
            // Held ones go on; those that are gone, or under way, need nothing.
            let _ = house.queue.change(entry.id, &Change::Release, "peace").await;
        }
        let end = self.clock.now().plus(PEACE);
        while !house.queue.is_empty() && self.clock.now() < end {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        if !house.queue.is_empty() {
            let left = house.queue.listing().list(&queue::Filter::default(), 3).map_err(|e| e.to_string())?;
            return Err(format!("{} messages never came to their end: {left:?}", house.queue.len()));
        }
        self.examine(&house, true)?;
        house.crash().await;
        Ok(())
    }

    /// Whatever a reader saw before a crash has to hold after it (promise 7).
    fn remember_marks(&mut self, house: &House) -> Result<(), String> {
        for (name, validity, next, modseq) in house.marks() {
            let now = (validity, next, modseq);
            let before = *self.marks.get(&name).unwrap_or(&now);
            if now.0 != before.0 || now.1 < before.1 || now.2 < before.2 {
                return Err(format!(
                    "{name}: UIDVALIDITY, UIDNEXT, ModSeq went from {before:?} to {now:?} (promise 7)"
                ));
            }
            self.marks.insert(name, now);
        }
        Ok(())
    }

    fn examine(&mut self, house: &House, settled: bool) -> Result<(), String> {
        house.check_store()?;
        self.remember_marks(house)?;
        for client in &mut self.clients {
            client.examine(house.store())?;
        }
        let places = house.whereabouts(&self.ledger, &self.remote)?;
        let broken = self.ledger.iter().find_map(|entry| broken_promise(entry, &places, settled));
        broken.map_or(Ok(()), Err)
    }

    async fn deed(&mut self, house: &House) {
        match self.random.below(20) {
            0..=10 => self.submit(house).await,
            11 => self.remote.change_a_mood(),
            12 => {
                let healths = [Health::Sound, Health::Failing(300), Health::Full, Health::Sound];
                self.disk.set_health(healths[usize::try_from(self.random.below(4)).unwrap_or(0)]);
            }
            13 => self.directory.set_away(self.random.below(2) == 0),
            14 => self.directory.move_in(),
            15 | 16 => self.operate(house).await,
            17 | 18 => {
                let [a, b, c] = &mut self.clients;
                let (store, random) = (house.store(), &self.random);
                tokio::join!(a.act(store, random), b.act(store, random), c.act(store, random));
            }
            _ => house.read(&self.random).await,
        }
    }

    async fn operate(&mut self, house: &House) {
        if self.ledger.is_empty() {
            return;
        }
        let which = usize::try_from(self.random.below(self.ledger.len() as u64)).unwrap_or(0);
        let changes = [Change::Hold, Change::Release, Change::Retry, Change::Bounce, Change::Delete];
        let change = &changes[usize::try_from(self.random.below(5)).unwrap_or(0)];
        let deletes = *change == Change::Delete;
        // A change that fails because of the disk may be made later, or not: both are right. A
        // deletion counts from the moment in which it was asked for.
        self.ledger[which].deleted |= deletes;
        let _ = house.queue.change(self.ledger[which].id, change, "simulation").await;
    }

    /// Several clients at once hand in messages; some hang up before the answer.
    async fn submit(&mut self, house: &House) {
        let mut waiting = Vec::new();
        for _ in 0..=self.random.below(4) {
            let (entry, submission) = self.compose(house);
            let queue = house.queue.clone();
            let answer = tokio::spawn(async move { queue.submit(submission).await.is_ok() });
            waiting.push((entry, answer));
        }
        let patience = Duration::from_millis(self.random.below(50));
        let hangs_up = self.random.below(10) == 0;
        for (mut entry, answer) in waiting {
            if hangs_up {
                // Whoever does not hear the answer cannot know; the message may be there or not.
                let heard = tokio::time::timeout(patience, answer).await;
                entry.acknowledged = matches!(heard, Ok(Ok(true)));
            } else {
                entry.acknowledged = matches!(answer.await, Ok(true));
            }
            if entry.acknowledged {
                self.totals.acknowledged += 1;
            } else {
                self.totals.refused += 1;
            }
            self.ledger.push(entry);
        }
    }

    fn compose(&self, house: &House) -> (Entry, Submission) {
        let id = house.queue.next_id();
        let tag = format!("tag-{id}");
        let sender = match self.random.below(5) {
            0 => ReversePath::Null,
            n => ReversePath::Address(user(n % USERS)),
        };
        let recipients = self.recipients();
        let content = format!("Subject: {tag} \r\n\r\nThe body of {tag} .\r\n").into_bytes();
        let submission = Submission {
            id,
            reverse_path: sender.clone(),
            transport: Transport::default(),
            recipients: recipients.iter().map(|recipient| self.accepted(recipient)).collect(),
            prefix: format!("Received: from simulation by here; {id}\r\n").into_bytes(),
            content: Content::from(content),
            source: Source { channel: "smtp".into(), ..Source::default() },
            message_id: Some(tag.clone()),
            decided: Timestamp::default(),
            session: None,
        };
        let recipients = recipients.iter().map(|one| (one.address.clone(), one.notify)).collect();
        let entry = Entry { tag, id, reverse_path: sender, recipients, acknowledged: false, deleted: false };
        (entry, submission)
    }

    fn recipients(&self) -> Vec<Recipient> {
        let mut recipients: Vec<Recipient> = Vec::new();
        for _ in 0..=self.random.below(4) {
            let address = if self.random.below(2) == 0 {
                user(self.random.below(USERS))
            } else {
                let text = format!("r{}@d{}.example", self.random.below(3), self.random.below(DOMAINS));
                Address::parse(&text).expect("an address")
            };
            if recipients.iter().any(|known| known.address == address) {
                continue;
            }
            let never = self.random.below(6) == 0;
            let notify = if never { Notify::Never } else { Notify::Unspecified };
            recipients.push(Recipient { notify, ..Recipient::new(address) });
        }
        recipients
    }

    fn accepted(&self, recipient: &Recipient) -> Accepted {
        // A session resolves before it accepts; a directory that is away would have been a 451.
        self.directory.set_away(false);
        let mail_types::Lookup::Found(route) = self.directory.look_up(&recipient.address) else {
            unreachable!("the directory of the simulation knows every address");
        };
        Accepted::new(recipient.clone(), route)
    }
}

/// A local user.
pub(crate) fn user(number: u64) -> Address {
    Address::parse(&format!("u{number}@{HERE}")).expect("an address")
}
