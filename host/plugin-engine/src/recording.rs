//! Calls, recorded: question, what the host answered, and what the plugin said; so that a decision can be played again,
//! and a day's mail held against a new version.
//!
//! One file a plugin, `NAME.jsonl`, a line a call; when it is full, it becomes `NAME.old.jsonl` in place of the one
//! before. Written by a thread of its own: a slow disk costs recordings, not mail.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use hooks::{CallContext, FailureKind, PluginName, Role};
use mail_types::Timestamp;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::component::Digest;
use crate::forgetting::{self, Recorded};
use crate::made_with::{self, MadeWith};
use crate::plugin::Plugin;
use crate::question::{Answer, Question};
use crate::recordings::Recordings;
use crate::tape::{Kept, TAPE_MAX};

/// Recordings that wait to be written; more are dropped.
const WAITING_MAX: usize = 1024;
/// Longest recording, in octets.
pub(crate) const LINE_MAX: usize = 1 << 20;

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// When, in milliseconds since 1970: what `clock` said.
    pub at: u64,
    /// From which `random` was drawn.
    pub seed: u64,
    /// Which plugin.
    pub plugin: PluginName,
    /// Which version.
    pub digest: Digest,
    /// The id of message or session.
    pub id: String,
    /// What it was asked.
    pub question: Question,
    /// What the host was asked, in order: the function, and a digest of what it was given. Empty in recordings of before
    /// it was kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// What the host answered to each.
    pub host: Vec<serde_json::Value>,
    /// What it said, or how it failed.
    pub answer: Result<Answer, (FailureKind, String)>,
    /// What it was configured with: kept apart, for many calls. `None` where that was not kept.
    #[serde(skip)]
    pub made_with: Option<Arc<MadeWith>>,
}

impl Recording {
    /// Whose call it is, for people.
    #[must_use]
    pub fn whose(&self) -> &str {
        if self.id.is_empty() { "before the message had an id" } else { &self.id }
    }

    pub(crate) fn new(
        plugin: &Plugin,
        context: &CallContext,
        now: Timestamp,
        seed: u64,
        question: Question,
        Kept { asked, answers, .. }: Kept,
        answer: &Result<Answer, (FailureKind, String)>,
    ) -> Self {
        Self {
            at: now.0,
            seed,
            plugin: plugin.settings.name.clone(),
            digest: plugin.manifest.digest.clone(),
            id: context.id.clone(),
            question,
            asked,
            host: answers,
            answer: answer.clone(),
            made_with: Some(plugin.made_with()),
        }
    }

    /// The role that was asked.
    #[must_use]
    pub fn role(&self) -> Role {
        self.question.role()
    }
}

/// Calls that were to be recorded since the server began, and are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// They got or were asked more than a recording holds.
    pub too_large: u64,
    /// They got no place, or no answer in time: there is nothing to play.
    pub unanswered: u64,
    /// The disk did not take them, or not in time.
    pub unwritten: u64,
}

impl LeftOut {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.too_large + self.unanswered + self.unwritten
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls were not recorded since the server began", self.total())?;
        let large = format!(
            "with more than a recording holds ({} KiB of host answers, {} KiB in all)",
            TAPE_MAX >> 10,
            LINE_MAX >> 10
        );
        let each = [
            (self.too_large, large.as_str()),
            (self.unanswered, "without place or answer in time"),
            (self.unwritten, "that the disk did not take, or not in time"),
        ];
        let each = each.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}"));
        write!(f, ": {}", each.collect::<Vec<_>>().join(", "))
    }
}

/// Why a call is not recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Why {
    TooLarge,
    Unanswered,
    Unwritten,
}

/// What was left out, of each plugin that is to be recorded.
type AllLeftOut = Arc<Mutex<HashMap<PluginName, LeftOut>>>;

fn leave_out(all: &AllLeftOut, plugin: &PluginName, why: Why) {
    let mut all = all.lock();
    let left_out = all.entry(plugin.clone()).or_default();
    match why {
        Why::TooLarge => left_out.too_large += 1,
        Why::Unanswered => left_out.unanswered += 1,
        Why::Unwritten => left_out.unwritten += 1,
    }
}

/// Keeps recordings of those plugins whose settings say so.
pub(crate) struct Recorder {
    pub(crate) folder: PathBuf,
    /// Plugins that are recorded, with the most octets of their file.
    wanted: RwLock<HashMap<PluginName, u64>>,
    left_out: AllLeftOut,
    pub(crate) recorded: Recorded,
    to_disk: SyncSender<Work>,
}

/// What the thread that writes has to do, in its order.
enum Work {
    /// A line, for the files of a plugin and the most octets that they may have, and with what the call was made.
    Keep(PluginName, u64, Vec<u8>, Option<Arc<MadeWith>>),
    /// Something else with the files, once all before it is written.
    With(Box<dyn FnOnce(&mut Files) + Send + Sync>),
}

impl Recorder {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        forgetting::clear(&folder)?;
        let (to_disk, inbox) = sync_channel(WAITING_MAX);
        let mut files = Files { folder: folder.clone(), last: HashMap::new() };
        let left_out = AllLeftOut::default();
        let unwritten = Arc::clone(&left_out);
        std::thread::spawn(move || {
            while let Ok(work) = inbox.recv() {
                match work {
                    // A disk that takes nothing costs recordings alone.
                    Work::Keep(plugin, max, line, made_with) => {
                        if files.append(&plugin, max, line, made_with).is_err() {
                            leave_out(&unwritten, &plugin, Why::Unwritten);
                        }
                    }
                    Work::With(work) => work(&mut files),
                }
            }
        });
        let (wanted, recorded) = (RwLock::default(), Recorded::default());
        Ok(Self { folder, wanted, left_out, recorded, to_disk })
    }

    /// Chooses which plugins are recorded: name, and the most octets kept of each.
    pub(crate) fn choose(&self, wanted: HashMap<PluginName, u64>) {
        *self.wanted.write() = wanted;
    }

    pub(crate) fn wants(&self, plugin: &PluginName) -> bool {
        self.wanted.read().contains_key(plugin)
    }

    pub(crate) fn keep(&self, recording: Recording) {
        let Some(max) = self.wanted.read().get(&recording.plugin).copied() else { return };
        let Ok(mut line) = serde_json::to_vec(&recording) else { return };
        line.push(b'\n');
        let plugin = recording.plugin.clone();
        self.recorded.note(recording.question.tenant());
        if line.len() > LINE_MAX {
            return self.leave_out(&plugin, Why::TooLarge);
        }
        if self.to_disk.try_send(Work::Keep(recording.plugin, max, line, recording.made_with)).is_err() {
            self.leave_out(&plugin, Why::Unwritten);
        }
    }

    /// Counts a call that is not recorded.
    pub(crate) fn leave_out(&self, plugin: &PluginName, why: Why) {
        leave_out(&self.left_out, plugin, why);
    }

    /// What was not recorded of a plugin.
    pub(crate) fn left_out(&self, plugin: &PluginName) -> LeftOut {
        self.left_out.lock().get(plugin).copied().unwrap_or_default()
    }

    /// Removes what is kept of a plugin, what still waits to be written included.
    pub(crate) async fn forget(&self, plugin: &PluginName) -> io::Result<()> {
        self.left_out.lock().remove(plugin);
        let plugin = plugin.clone();
        self.when_written(move |files| files.forget(&plugin)).await
    }

    /// Has the thread that writes do something with the files, once all that waits is written.
    pub(crate) async fn when_written<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> io::Result<T> + Send + Sync + 'static,
    ) -> io::Result<T> {
        let (tell, told) = tokio::sync::oneshot::channel();
        // Nobody may wait for it any more.
        let work = Work::With(Box::new(move |files| drop(tell.send(work(files)))));
        let to_disk = self.to_disk.clone();
        // There may be no room for it before something was written.
        tokio::task::spawn_blocking(move || to_disk.send(work).map_err(io::Error::other))
            .await
            .map_err(io::Error::other)??;
        told.await.map_err(io::Error::other)?
    }

    /// The latest recordings of a plugin that are `chosen`, of those in the last octets of its files.
    pub(crate) async fn chosen(
        &self,
        plugin: &PluginName,
        last: u64,
        chosen: impl Fn(&Recording) -> bool + Send + 'static,
    ) -> io::Result<Recordings> {
        let paths = [old_path(&self.folder, plugin), path_of(&self.folder, plugin)];
        let (tell, told) = tokio::sync::oneshot::channel();
        // Files of gigabytes: not while sessions wait for this worker.
        tokio::task::spawn_blocking(move || {
            let found = Recordings::read(&paths, last, chosen, || tell.is_closed());
            // Nobody may wait for it any more.
            let _ = tell.send(found);
        });
        told.await.map_err(io::Error::other)?
    }
}

/// Removes what is kept of plugins that are not installed: a crash came between a plugin's removal and that of its recordings.
pub(crate) fn forget_others(folder: &Path, is_installed: impl Fn(&PluginName) -> bool) -> io::Result<()> {
    for plugin in all_plugins(folder)?.iter().filter(|plugin| !is_installed(plugin)) {
        forget(folder, plugin)?;
    }
    Ok(())
}

/// The plugins of which something is kept.
pub(crate) fn all_plugins(folder: &Path) -> io::Result<BTreeSet<PluginName>> {
    let mut plugins = BTreeSet::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(plugins),
        entries => entries?,
    };
    for entry in entries {
        let file = entry?.file_name();
        // No name has a dot.
        let name = file.to_str().and_then(|file| file.strip_suffix(".jsonl"));
        let name = name.map(|name| name.strip_suffix(".old").unwrap_or(name));
        plugins.extend(name.and_then(|name| name.parse::<PluginName>().ok()));
    }
    Ok(plugins)
}

fn forget(folder: &Path, plugin: &PluginName) -> io::Result<()> {
    for path in [old_path(folder, plugin), path_of(folder, plugin)] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn path_of(folder: &Path, plugin: &PluginName) -> PathBuf {
    folder.join(format!("{plugin}.jsonl"))
}

pub(crate) fn old_path(folder: &Path, plugin: &PluginName) -> PathBuf {
    folder.join(format!("{plugin}.old.jsonl"))
}

/// The files, as the thread that writes sees them.
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    /// With what the calls at the end of each plugin's file were made, as far as that was written by this process.
    pub(crate) last: HashMap<PluginName, Option<Arc<MadeWith>>>,
}

impl Files {
    fn forget(&mut self, plugin: &PluginName) -> io::Result<()> {
        self.last.remove(plugin);
        forget(&self.folder, plugin)
    }

    /// Appends a recording, and before it with what it was made, where the one before was made with something else. Each file
    /// says so at its beginning.
    fn append(
        &mut self,
        plugin: &PluginName,
        max: u64,
        line: Vec<u8>,
        made_with: Option<Arc<MadeWith>>,
    ) -> io::Result<()> {
        // Known again once it is written.
        let stands = self.last.remove(plugin).is_some_and(|last| last == made_with);
        let told = |stands: bool| {
            // So much that a file has room for calls beside it.
            let room = usize::try_from(max / 4).unwrap_or(LINE_MAX).min(LINE_MAX);
            let mut lines = if stands { Vec::new() } else { made_with::line(made_with.as_ref(), room) };
            lines.extend_from_slice(&line);
            lines
        };
        let path = path_of(&self.folder, plugin);
        let open = || OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path);
        let mut file = open()?;
        let mut len = file.metadata()?.len();
        let mut lines = told(stands && len > 0);
        if len + lines.len() as u64 > max / 2 {
            std::fs::rename(&path, old_path(&self.folder, plugin))?;
            (file, len, lines) = (open()?, 0, told(false));
        }
        if let Some(last) = len.checked_sub(1) {
            let mut end = [0];
            file.read_exact_at(&mut end, last)?;
            if end != *b"\n" {
                // A crash or a full disk cut it: what comes now must not be lost with it.
                file.write_all(b"\n")?;
            }
        }
        file.write_all(&lines)?;
        self.last.insert(plugin.clone(), made_with);
        Ok(())
    }
}
