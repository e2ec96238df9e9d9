//! Edits go to the source, and from there into the tree: what an operator adds here is there for everybody.

use super::apply::Step;
use super::records::Way;
use super::source::{Mirror, SyncError, apart};
use crate::entry::Entry;
use crate::error::EditError;
use crate::ldap::connection::Depth;
use crate::ldap::failure::LdapFailure;
use crate::ldap::filter::Filter;
use crate::ldap::settings::ServerUrl;
use crate::remote_edit::{RemoteEdit, Unmade};

/// Edits that were made, and the server of each, where that is none of the list; then why the next one was not.
type Made<'e> = (Vec<(&'e RemoteEdit, Option<ServerUrl>)>, Option<EditError>);

impl Mirror {
    /// Makes edits at the source and takes over what came of them; the number of the newest change.
    pub(super) async fn write_all(&self, edits: Vec<RemoteEdit>) -> Result<u64, Unmade> {
        let mirror = self.clone();
        match apart(async move { Ok(mirror.write(&edits).await) }).await {
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
            (Some(error), _) => Err(Unmade { made, error }),
            (None, Ok(csn)) => Ok(csn),
            (None, Err(why)) => Err(Unmade { made, error: EditError::NotTakenOver(why.to_string()) }),
        }
    }

    async fn make<'e>(&self, edits: &'e [RemoteEdit]) -> Made<'e> {
        let mut done = Vec::new();
        for edit in edits {
            match self.0.servers.edit(edit, self.server_of(edit.dn())).await {
                Ok(at) => done.push((edit, at)),
                Err(why) => return (done, Some(refusal(edit, &why))),
            }
        }
        (done, None)
    }

    async fn take_over(&self, done: Vec<(&RemoteEdit, Option<ServerUrl>)>) -> Result<u64, SyncError> {
        let mut steps = Vec::new();
        for (edit, at) in done {
            match edit {
                RemoteEdit::Remove(dn) => steps.push(Step::Gone(dn.clone())),
                // Where it was written: a copy elsewhere may follow later.
                RemoteEdit::Add(Entry { dn, .. }) | RemoteEdit::Modify(dn, _) => {
                    let found = self.find_at(dn, Depth::Base, Filter::everything(), at).await?;
                    steps.extend(found.into_iter().next().map(|found| Step::Put(Box::new(found))));
                }
            }
        }
        Ok(self.apply(Way::Edit, &steps, &Vec::new()).await?.csn)
    }
}

/// Of which entry the server refused what.
fn refusal(edit: &RemoteEdit, why: &LdapFailure) -> EditError {
    let told = format!("{}: {why}", edit.dn());
    if why.may_be_made() { EditError::SourceSilent(told) } else { EditError::Source(told) }
}

impl Mirror {
    /// Whether an entry's password is this one, by binding as it (R8). `NotFound`: it is not.
    pub async fn password_fits(&self, dn: &crate::dn::Dn, password: &str) -> mail_types::Lookup<()> {
        let (mirror, dn, password) = (self.clone(), dn.clone(), zeroize::Zeroizing::new(password.to_owned()));
        let bound = apart(async move {
            Ok(mirror.0.servers.password_fits(&dn, &password, mirror.server_of(&dn)).await?)
        })
        .await;
        match bound {
            Ok(true) => mail_types::Lookup::Found(()),
            Ok(false) => mail_types::Lookup::NotFound,
            Err(why) => mail_types::Lookup::Unavailable(why.to_string()),
        }
    }
}
