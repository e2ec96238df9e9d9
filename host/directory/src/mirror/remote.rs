//! Edits go to the source, and from there into the tree: what an operator adds here is there for everybody.

use super::apply::Step;
use super::records::Way;
use super::source::{Mirror, SyncError, apart};
use crate::edit::RemoteEdit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::ldap::connection::Depth;
use crate::ldap::filter::Filter;

impl Mirror {
    /// Makes edits at the source and takes over what came of them; the number of the newest change.
    pub(super) async fn write_all(&self, edits: Vec<RemoteEdit>) -> Result<u64, EditError> {
        let mirror = self.clone();
        let written = apart(async move { mirror.write(&edits).await }).await;
        written.map_err(|why| match why {
            SyncError::Edit(why) => why,
            other => EditError::Source(other.to_string()),
        })
    }
}

impl Mirror {
    /// Makes edits at the source in their order, then takes over what it made of them; also of those that were made before
    /// one failed.
    async fn write(&self, edits: &[RemoteEdit]) -> Result<u64, SyncError> {
        let (mut done, mut failure) = (Vec::new(), None);
        for edit in edits {
            match self.0.servers.edit(edit, self.server_of(edit.dn())).await {
                Ok(at) => done.push((edit, at)),
                Err(why) => {
                    failure = Some(why);
                    break;
                }
            }
        }
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
        let applied = self.apply(Way::Edit, &steps, &Vec::new()).await?;
        failure.map_or(Ok(applied.csn), |why| Err(why.into()))
    }
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
