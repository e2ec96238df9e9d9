//! Group commit: one writer, many batches to a transaction, one sync, an answer to each.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot, watch};

use crate::apply::Group;
use crate::batch::{Batch, Drawn, Operation};
use crate::content::{Content, Files};
use crate::engine::Engine;
use crate::error::StorageError;
use crate::open::tell_if_broken;
use crate::rebuildable;
use crate::reserve::Reserve;

/// Batches that wait for the writer; more make their senders wait.
pub const WRITER_QUEUE_MAX: usize = 4096;
/// Batches in one transaction.
pub const GROUP_MAX: usize = 512;

/// What a batch drew, once it is on stable storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub(crate) drawn: SmallVec<[u64; 4]>,
}

impl Committed {
    /// The number that was drawn.
    #[must_use]
    pub fn value(&self, drawn: Drawn) -> u64 {
        self.drawn[drawn.0]
    }
}

/// What is done with a batch's outcome, on the thread that committed it: all that follow wait for it.
pub(crate) type Answer = Box<dyn FnOnce(Result<Committed, StorageError>) + Send>;

pub(crate) enum Job {
    Commit(Batch, Answer),
    Close(oneshot::Sender<()>),
}

/// A batch, and what is done with its outcome.
type Waiting = (Batch, Answer);

/// The writer: whoever runs it commits what is handed over.
pub struct Writer {
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) desk: Arc<Desk>,
}

impl Writer {
    /// Commits until storage is closed or its last handle is gone. Blocks while it syncs, so it
    /// belongs on a thread of its own.
    pub async fn run(mut self) {
        let mut jobs = Vec::with_capacity(GROUP_MAX);
        while self.jobs.recv_many(&mut jobs, GROUP_MAX).await > 0 {
            let mut batches = Vec::with_capacity(jobs.len());
            let mut closing = None;
            for job in jobs.drain(..) {
                match job {
                    Job::Commit(batch, answer) => batches.push((batch, answer)),
                    Job::Close(answer) => closing = Some(answer),
                }
            }
            let mut committing = self.desk.committing.lock();
            let count = batches.len();
            self.desk.commit(&mut committing, batches);
            self.desk.waiting.fetch_sub(count, Ordering::Release);
            if let Some(answer) = closing {
                committing.close();
                drop(committing);
                // The engine goes first, so that who waits can open the folder again.
                drop(self);
                // Whoever asked may have gone; closing is done all the same.
                let _ = answer.send(());
                return;
            }
        }
    }
}

/// How long a commit may have taken for the next one to be made where it is asked for: others wait for that thread meanwhile.
const QUICK_MAX: Duration = Duration::from_micros(500);
/// Most operations of a batch that is committed where it is asked for.
const ALONE_OPERATIONS_MAX: usize = 64;

/// Where batches are committed, one group after the other: on the writer's thread or, of who is alone, on the own one. To
/// wake the writer and be woken by it was a tenth of the time of an APPEND on a quick disk.
pub(crate) struct Desk {
    committing: Mutex<Committing>,
    /// Batches that the writer has got, and not committed yet.
    waiting: AtomicUsize,
    /// Whether the last commit was of one batch, and quick: of many that come at once, groups are made.
    is_quiet: AtomicBool,
}

impl Desk {
    pub(crate) fn new(committing: Committing) -> Self {
        let (waiting, is_quiet) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { committing: Mutex::new(committing), waiting, is_quiet }
    }

    /// What an environment has besides: a reserve, and the folder to be marked as whole when it is closed.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Committing)) {
        change(&mut self.committing.lock());
    }

    /// Counts a batch that the writer will get: none that comes later is committed before it.
    pub(crate) fn expect(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    /// Commits a small batch on this thread, where that is quick and nobody else is about to commit; else gives it back.
    pub(crate) fn commit_alone(&self, batch: Batch, answer: Answer) -> Option<(Batch, Answer)> {
        let is_alone = self.is_quiet.load(Ordering::Acquire) && self.waiting.load(Ordering::Acquire) == 0;
        if !is_alone || batch.operations.len() > ALONE_OPERATIONS_MAX {
            return Some((batch, answer));
        }
        match self.committing.try_lock().filter(|committing| !committing.is_closed) {
            Some(mut committing) => self.commit(&mut committing, vec![(batch, answer)]),
            None => return Some((batch, answer)),
        }
        None
    }

    fn commit(&self, committing: &mut Committing, batches: Vec<Waiting>) {
        let (count, began) = (batches.len(), Instant::now());
        committing.commit_group(batches);
        self.is_quiet.store(count == 1 && began.elapsed() <= QUICK_MAX, Ordering::Release);
        committing.engine.make_room_ahead();
    }
}

/// What commits.
pub(crate) struct Committing {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) files: Option<Arc<Files>>,
    pub(crate) broken: Arc<watch::Sender<bool>>,
    pub(crate) version: Arc<AtomicU64>,
    /// What is given up when the disk is full, and without which no content is taken.
    pub(crate) reserve: Option<Reserve>,
    /// The folder of an environment whose commits are not synced.
    pub(crate) rebuildable: Option<PathBuf>,
    /// Whether anything was committed since the engine was last asked to reclaim what a commit had freed.
    pub(crate) may_reclaim: bool,
    /// Whether nothing is committed any more.
    pub(crate) is_closed: bool,
}

impl Committing {
    fn close(&mut self) {
        self.is_closed = true;
        if let (Some(dir), Ok(())) = (&self.rebuildable, self.engine.sync()) {
            // Without the mark it is built anew, after a power cut only.
            let _ = rebuildable::leave(dir);
        }
    }

    /// Commits a group. Where the disk has no room even for those that bring nothing, they get that of the reserve.
    fn commit_group(&mut self, batches: Vec<Waiting>) {
        let mut batches = batches;
        if batches.iter().any(|(batch, _)| batch.brings_content())
            && let Some(Err(full)) = self.reserve.as_ref().map(Reserve::admits)
        {
            batches = refuse_what_comes(batches, &full);
        }
        let Some((batches, full)) = self.try_commit(batches) else { return };
        let freed = std::mem::take(&mut self.may_reclaim) && self.engine.reclaim();
        let tried = if freed { self.try_commit(batches) } else { Some((batches, full)) };
        let Some((batches, full)) = tried else { return };
        let (bringing, others): (Vec<_>, Vec<_>) =
            batches.into_iter().partition(|(batch, _)| batch.brings_content());
        let was_alone = bringing.is_empty();
        refuse(bringing, &full);
        // Without them there may be room enough.
        let tried = if was_alone { Some((others, full)) } else { self.try_commit(others) };
        let Some((others, full)) = tried else { return };
        let is_disk = matches!(full, StorageError::Full { .. });
        let gave = is_disk && self.reserve.as_ref().is_some_and(Reserve::give_up);
        if !gave {
            return refuse(others, &full);
        }
        if let Some((others, full)) = self.try_commit(others) {
            refuse(others, &full);
        }
    }

    /// Gives the batches back where there is no room for them.
    fn try_commit(&mut self, batches: Vec<Waiting>) -> Option<(Vec<Waiting>, StorageError)> {
        if batches.is_empty() {
            return None;
        }
        let mut outcomes = Vec::with_capacity(batches.len());
        let mut group = Group::default();
        let written = self.engine.write(&mut |writing| {
            for (batch, _) in &batches {
                match group.apply(writing, batch) {
                    Err(error) if !matches!(error, StorageError::Conflict(_)) => return Err(error),
                    outcome => outcomes.push(outcome),
                }
            }
            group.finish(writing)
        });
        // Of a commit that failed it is not certain whether it can be seen.
        self.version.fetch_add(1, Ordering::Release);
        match written {
            Ok(()) => {
                self.may_reclaim = true;
                let mut done = Vec::with_capacity(batches.len());
                for ((batch, answer), outcome) in batches.into_iter().zip(outcomes) {
                    if outcome.is_ok() {
                        keep_files(&batch);
                    }
                    answer(outcome);
                    done.push(batch);
                }
                // Nobody waits for this: a large batch takes a while to take apart.
                drop(done);
                if let Some(files) = &self.files {
                    files.remove(&group.dead_files);
                }
            }
            Err(error) => {
                tell_if_broken(&*self.engine, &self.broken);
                if error.is_want_of_room() {
                    return Some((batches, error));
                }
                refuse(batches, &error);
            }
        }
        None
    }
}

/// Answers batches that were not committed.
fn refuse(batches: Vec<Waiting>, error: &StorageError) {
    for (batch, answer) in batches {
        // Whether a failing disk took the commit is not certain: the files stay, and
        // the sweep at the next start removes those that nothing names.
        keep_files(&batch);
        answer(Err(error.clone()));
    }
}

/// Answers batches that bring content, which no commit has seen; gives the others.
fn refuse_what_comes(batches: Vec<Waiting>, error: &StorageError) -> Vec<Waiting> {
    let (bringing, others): (Vec<_>, Vec<_>) =
        batches.into_iter().partition(|(batch, _)| batch.brings_content());
    for (_, answer) in bringing {
        answer(Err(error.clone()));
    }
    others
}

/// Content files named by a committed batch belong to the store now.
fn keep_files(batch: &Batch) {
    for operation in &batch.operations {
        match operation {
            Operation::StoreContent { content: Content::File(file), references: 1.., .. }
            | Operation::PackFile { file, .. } => file.keep(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LmdbEngine, Space, Storage};

    #[tokio::test]
    async fn so_many_batches_wait_for_the_writer_and_so_many_are_one_transaction() {
        let (dir, space) = (tempfile::tempdir().unwrap(), Space::new("things"));
        let engine = LmdbEngine::open(dir.path(), &[space], 1 << 28, false).unwrap();
        let (storage, writer) = Storage::over(Arc::new(engine));
        let batch = |number: usize| {
            let mut batch = Batch::new();
            batch.put(space, &number.to_be_bytes(), *b"1");
            batch
        };
        let mut waiting = Vec::new();
        for number in 0..WRITER_QUEUE_MAX {
            waiting.push(storage.hand_over(batch(number)).await.unwrap());
        }
        let mut one_more = Box::pin(storage.hand_over(batch(WRITER_QUEUE_MAX)));
        tokio::select! {
            biased;
            _ = &mut one_more => panic!("nobody has taken any yet"),
            () = tokio::task::yield_now() => {}
        }
        let running = tokio::spawn(writer.run());
        waiting.push(one_more.await.unwrap());
        for one in waiting {
            one.committed().await.unwrap();
        }
        let groups = (WRITER_QUEUE_MAX / GROUP_MAX) as u64;
        assert!((groups..=groups + 1).contains(&storage.version()), "{}", storage.version());
        storage.close().await;
        running.await.unwrap();
    }
}
