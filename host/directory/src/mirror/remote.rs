//! Edits go to the source, and from there into the tree: what an operator adds here is there for everybody.

use super::apply::Step;
use super::records::Way;
use super::source::{Mirror, SyncError, apart};
use super::written::INSUFFICIENT_ACCESS_RIGHTS;
use crate::dn::Dn;
use crate::entry::Entry;
use crate::error::EditError;
use crate::ldap::connection::Depth;
use crate::ldap::failure::{ENTRY_EXISTS, LdapFailure};
use crate::ldap::filter::Filter;
use crate::ldap::settings::ServerUrl;
use crate::remote_edit::{RemoteEdit, Turn, Unmade};

/// Edits that were made, and the server of each, where that is none of the list; then why the next one was not.
type Made<'e> = (Vec<(&'e RemoteEdit, Option<ServerUrl>)>, Option<Failure>);

/// Why an edit was not made.
enum Failure {
    /// There is an entry of that name at the source.
    Exists(Dn, EditError),
    /// Anything else.
    Other(EditError),
}

impl Mirror {
    /// Makes edits at the source and takes over what came of them; the number of the newest change.
    pub(super) async fn write_all(&self, edits: Vec<RemoteEdit>, turn: Turn) -> Result<u64, Unmade> {
        let mirror = self.clone();
        let writing = async move {
            let _turn = turn;
            Ok(mirror.write(&edits).await)
        };
        match apart(writing).await {
            Ok(written) => written,
            // What it had made by then nobody knows.
            Err(why) => Err(Unmade { made: 0, error: EditError::SourceSilent(why.to_string()) }),
        }
    }

    /// Makes edits at the source in their order, then takes over what it made of them; also of those that were made before
    /// one failed.
    async fn write(&self, edits: &[RemoteEdit]) -> Result<u64, Unmade> {
        let (done, failure) = self.make(edits).await;
        let made = done.len();
        let taken = self.take_over(done).await;
        match (failure, taken) {
            (Some(Failure::Exists(dn, error)), Ok(_)) => {
                let error = if self.came_between(&dn).await { EditError::CameBetween(dn) } else { error };
                Err(Unmade { made, error })
            }
            (Some(Failure::Exists(_, error) | Failure::Other(error)), _) => Err(Unmade { made, error }),
            (None, Ok(csn)) => Ok(csn),
            (None, Err(why)) => Err(Unmade { made, error: EditError::NotTakenOver(why.to_string()) }),
        }
    }

    async fn make<'e>(&self, edits: &'e [RemoteEdit]) -> Made<'e> {
        let mut done = Vec::new();
        for edit in edits {
            match self.0.servers.edit(edit, self.server_of(edit.dn())).await {
                Ok(at) => done.push((edit, at)),
                Err(why) => {
                    let error = refusal(edit, &why);
                    let exists = matches!(edit, RemoteEdit::Add(_)) && why.code() == Some(ENTRY_EXISTS);
                    let failure = match exists {
                        true => Failure::Exists(edit.dn().clone(), error),
                        false => Failure::Other(error),
                    };
                    return (done, Some(failure));
                }
            }
        }
        (done, None)
    }

    /// Takes over an entry that the source has, to our surprise; whether the tree has it then. An edit that was broken off
    /// by a crash has left such, and others may have written since the last sync.
    async fn came_between(&self, dn: &Dn) -> bool {
        let found = self.find_at(dn, Depth::Base, Filter::everything(), self.server_of(dn)).await;
        let Some(found) = found.ok().and_then(|(found, _)| found.into_iter().next()) else { return false };
        let applied = self.apply(Way::Edit, &[Step::Put(Box::new(found))], &Vec::new()).await;
        applied.is_ok_and(|applied| applied.added + applied.modified + applied.same > 0)
    }

    async fn take_over(&self, done: Vec<(&RemoteEdit, Option<ServerUrl>)>) -> Result<u64, SyncError> {
        let elsewhere = done.iter().filter_map(|(edit, at)| Some((edit.dn(), at.as_ref()?)));
        let beside = self.written_at(elsewhere.collect()).await;
        let mut steps = Vec::new();
        for (edit, at) in done {
            match edit {
                RemoteEdit::Remove(dn) => steps.push(Step::Gone(dn.clone())),
                // Where it was written: a copy elsewhere may follow later.
                RemoteEdit::Add(Entry { dn, .. }) | RemoteEdit::Modify(dn, _) => {
                    let (found, _) = self.find_at(dn, Depth::Base, Filter::everything(), at).await?;
                    steps.extend(found.into_iter().next().map(|found| Step::Put(Box::new(found))));
                }
            }
        }
        let applied = self.apply(Way::Edit, &steps, &beside).await?;
        let view = self.0.directory.raw_view()?;
        for step in &steps {
            let Step::Put(found) = step else { continue };
            // Somebody else wrote there in between.
            if let Some(refused) = view.refused(&found.dn().to_string())? {
                return Err(SyncError::Unfit(format!("{}: {}", refused.name, refused.why)));
            }
        }
        Ok(applied.csn)
    }
}

/// Of which entry the server refused what.
fn refusal(edit: &RemoteEdit, why: &LdapFailure) -> EditError {
    let mut told = format!("{}: {why}", edit.dn());
    if matches!(why, LdapFailure::Refused { code: INSUFFICIENT_ACCESS_RIGHTS, .. }) {
        told.push_str("; give directory.ldap.bind-dn the right to write there");
    }
    if why.may_be_made() { EditError::SourceSilent(told) } else { EditError::Source(told) }
}

impl Mirror {
    /// Whether the source has nothing under a name that is here.
    async fn is_renamed(&self, dn: &Dn) -> bool {
        let (mirror, dn) = (self.clone(), dn.clone());
        let found = apart(async move { mirror.find_entry(&dn, &mut None).await }).await;
        found.is_ok_and(|found| found.is_empty())
    }

    /// Whether an entry's password is this one, by binding as it (R8). `NotFound`: it is not.
    pub async fn password_fits(&self, dn: &Dn, password: &str) -> mail_types::Lookup<()> {
        let (mirror, name, password) =
            (self.clone(), dn.clone(), zeroize::Zeroizing::new(password.to_owned()));
        // Before the server is asked: what is on its way may have come in by the answer.
        let was_wanted = self.is_wanted();
        let bound = apart(async move {
            Ok(mirror.0.servers.password_fits(&name, &password, mirror.server_of(&name)).await?)
        })
        .await;
        match bound {
            Ok(true) => mail_types::Lookup::Found(()),
            Ok(false) if (was_wanted || self.is_wanted()) && self.is_renamed(dn).await => {
                let why = format!("{dn} has another name at the server by now, which is still coming in");
                mail_types::Lookup::Unavailable(why)
            }
            Ok(false) => mail_types::Lookup::NotFound,
            Err(why) => mail_types::Lookup::Unavailable(why.to_string()),
        }
    }
}
