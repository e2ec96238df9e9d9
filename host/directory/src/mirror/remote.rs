//! Edits go to the source, and from there into the tree: what an operator adds here is there for everybody.

use super::apply::Step;
use super::records::Way;
use super::source::{Mirror, SyncError, apart};
use crate::edit::{RemoteEdit, WriteThrough};
use crate::entry::Entry;
use crate::error::EditError;
use crate::ldap::connection::Depth;
use crate::ldap::filter::Filter;

/// The source, as the place where edits are written.
pub(crate) struct RemoteTree(pub(crate) Mirror);

impl WriteThrough for RemoteTree {
    fn write(&self, edits: Vec<RemoteEdit>) -> crate::edit::BoxFuture<'_, Result<u64, EditError>> {
        let mirror = self.0.clone();
        Box::pin(async move {
            if !mirror.0.options.writable {
                return Err(EditError::ReadOnly);
            }
            let written = apart(async move { mirror.write(&edits).await }).await;
            written.map_err(|why| match why {
                SyncError::Edit(why) => why,
                other => EditError::Source(other.to_string()),
            })
        })
    }
}

impl Mirror {
    /// Makes edits at the source in their order, then takes over what it made of them; also of those that were made before
    /// one failed.
    async fn write(&self, edits: &[RemoteEdit]) -> Result<u64, SyncError> {
        let outside = |edit: &&RemoteEdit| !self.0.options.bases.iter().any(|base| edit.dn().is_within(base));
        if let Some(edit) = edits.iter().find(outside) {
            return Err(SyncError::Unfit(format!("{} lies outside of directory.ldap.bases", edit.dn())));
        }
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
