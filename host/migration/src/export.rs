//! Writing an account's mailboxes where other programs read them.

use std::path::Path;

use store::{AccountId, Flags, MailboxInfo, MessageInfo, Octets, Store, StoreError, Uid};

use crate::error::MigrationError;
use crate::given_names::{BESIDE_MBOX, GivenNames, IN_MAILDIR};
use crate::maildir_sink::MaildirSink;
use crate::mbox_sink::MboxSink;
use crate::tell::{Tell, Told};

/// Most damaged messages of a mailbox that are told.
const FAULTS_MAX: usize = 100;
/// Octets of a message that are handled at a time.
pub(crate) const CHUNK: usize = 256 * 1024;

/// What an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A Maildir++ tree.
    Maildir,
    /// A file of type mboxrd for each mailbox.
    Mbox,
}

/// What came of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Its name.
    pub mailbox: String,
    /// Its file or folder.
    pub place: String,
    /// Its messages.
    pub messages: u64,
    /// Their octets, as the store counts them.
    pub octets: u64,
    /// Messages that are not among them, because their content is damaged, and why; the first of them.
    pub faults: Vec<String>,
}

impl Exported {
    fn fault(&mut self, uid: Uid, why: &StoreError) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(format!("message {uid} of {}: {why}", self.mailbox));
        }
    }
}

/// A message on its way out.
pub(crate) struct Outgoing<'m> {
    pub(crate) info: &'m MessageInfo,
    pub(crate) uid_validity: u32,
    pub(crate) keywords: Vec<&'m str>,
    pub(crate) octets: &'m Octets,
}

impl Outgoing<'_> {
    /// Its octets, piece by piece.
    pub(crate) fn pieces(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), MigrationError>,
    ) -> Result<(), MigrationError> {
        let mut at = 0;
        loop {
            let piece = self.octets.range(at, CHUNK);
            let piece = piece.map_err(|e| MigrationError::store(format!("message {}", self.info.uid), e))?;
            if piece.is_empty() {
                return Ok(());
            }
            at += piece.len() as u64;
            take(&piece)?;
        }
    }

    pub(crate) fn has(&self, flag: Flags) -> bool {
        self.info.flags.contains(flag)
    }
}

/// Writes mailboxes below a folder, which must be absent or empty: nothing is ever overwritten. All files are on stable
/// storage when this returns. Each message is as it is when its turn comes; what comes after its mailbox was listed is left
/// out. Blocks.
///
/// # Errors
/// A message cannot be read, or a file not be written; what was written so far stays.
pub fn export(
    store: &Store,
    account: AccountId,
    mailboxes: &[MailboxInfo],
    folder: &Path,
    format: Format,
    tell: Tell<'_>,
) -> Result<Vec<Exported>, MigrationError> {
    prepare(folder)?;
    let (mut done, mut given) = (Vec::new(), GivenNames::default());
    match format {
        Format::Maildir => {
            for mailbox in mailboxes.iter().filter(|mailbox| mailbox.selectable) {
                let mut sink = MaildirSink::create(folder, store, mailbox, &mut given)?;
                let sum = fill(store, mailbox, tell, &mut |message| sink.write(message))?;
                done.push(Exported { place: sink.finish()?, ..sum });
            }
            MaildirSink::subscribe(folder, store, account)?;
            given.write(folder, IN_MAILDIR)?;
        }
        Format::Mbox => {
            for mailbox in mailboxes.iter().filter(|mailbox| mailbox.selectable) {
                let mut sink = MboxSink::create(folder, mailbox, &mut given)?;
                let sum = fill(store, mailbox, tell, &mut |message| sink.write(message))?;
                done.push(Exported { place: sink.finish()?, ..sum });
            }
            given.write(folder, BESIDE_MBOX)?;
        }
    }
    runtime::files::sync_dir(folder).map_err(|e| MigrationError::file(folder, e))?;
    Ok(done)
}

fn prepare(folder: &Path) -> Result<(), MigrationError> {
    let failed = |e| MigrationError::file(folder, e);
    runtime::files::create_dir_durably(folder).map_err(failed)?;
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(MigrationError::Refused(format!(
            "{} is not empty, and an export overwrites nothing: name a folder that is not there yet",
            folder.display()
        )));
    }
    Ok(())
}

fn fill(
    store: &Store,
    mailbox: &MailboxInfo,
    tell: Tell<'_>,
    write: &mut dyn FnMut(&Outgoing<'_>) -> Result<(), MigrationError>,
) -> Result<Exported, MigrationError> {
    let failed = |e| MigrationError::store(&mailbox.name, e);
    let uids: Vec<Uid> =
        store.view(mailbox.id).map_err(failed)?.messages.iter().map(|listed| listed.uid).collect();
    let mut sum = Exported {
        mailbox: mailbox.name.to_string(),
        place: String::new(),
        messages: 0,
        octets: 0,
        faults: Vec::new(),
    };
    for (done, uid) in uids.iter().enumerate() {
        if tell(done as u64, uids.len() as u64, mailbox.name.as_str()) == Told::Stop {
            return Err(MigrationError::Stopped);
        }
        // A view of its own for each message: a long export holds no old pages.
        let (info, octets, keywords) = {
            let reader = store.reader(mailbox.id).map_err(failed)?;
            let Some(info) = reader.info(*uid).map_err(failed)? else { continue };
            let octets = match reader.octets(*uid) {
                Err(error) if error.is_damage() => {
                    sum.fault(*uid, &error);
                    continue;
                }
                octets => octets.map_err(failed)?,
            };
            let Some(octets) = octets else { continue };
            (info, octets, reader.keywords().map_err(failed)?)
        };
        let keywords = keywords.names(info.keywords).collect();
        let message =
            Outgoing { info: &info, uid_validity: mailbox.uid_validity.0, keywords, octets: &octets };
        // Before anything of it is written: the others shall be whole.
        match message.pieces(|_| Ok(())) {
            Err(MigrationError::Store { cause, .. }) if cause.is_damage() => {
                sum.fault(*uid, &cause);
                continue;
            }
            read => read?,
        }
        write(&message)?;
        sum.messages += 1;
        sum.octets += info.size;
    }
    Ok(sum)
}
