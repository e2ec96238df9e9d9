//! Edits go to the source, and from there into the tree: what an operator adds here is there for everybody.

use super::apply::Step;
use super::records::Way;
use super::source::{Mirror, SyncError, apart};
use crate::edit::{RemoteEdit, WriteThrough};
use crate::error::EditError;
use crate::ldap::connection::Replaced;

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
        let mut lease = self.0.servers.lease().await?;
        let (mut done, mut failure) = (Vec::new(), None);
        for edit in edits {
            let made = match edit {
                RemoteEdit::Add(entry) => {
                    let attributes = entry.attributes().iter().map(|attribute| Replaced {
                        attribute: attribute.name.clone(),
                        values: attribute.values.clone(),
                    });
                    lease.add(&entry.dn, attributes.collect()).await
                }
                RemoteEdit::Modify(dn, changes) => {
                    let changes = changes.iter().map(|(attribute, values)| Replaced {
                        attribute: attribute.clone(),
                        values: values.clone(),
                    });
                    lease.modify(dn, changes.collect()).await
                }
                RemoteEdit::Remove(dn) => lease.delete(dn).await,
            };
            if let Err(why) = made {
                failure = Some(why);
                break;
            }
            done.push(edit);
        }
        lease.give_back().await;
        let mut steps = Vec::new();
        for edit in done {
            match edit {
                RemoteEdit::Remove(dn) => steps.push(Step::Gone(dn.clone())),
                RemoteEdit::Add(entry) => steps.extend(self.step_of(&entry.dn).await?),
                RemoteEdit::Modify(dn, _) => steps.extend(self.step_of(dn).await?),
            }
        }
        let applied = self.apply(Way::Edit, &steps, &Vec::new()).await?;
        failure.map_or(Ok(applied.csn), |why| Err(why.into()))
    }

    async fn step_of(&self, dn: &crate::dn::Dn) -> Result<Option<Step>, SyncError> {
        let found = self.find_entry(dn).await?.into_iter().next();
        Ok(found.map(|found| Step::Put(Box::new(found))))
    }
}

impl Mirror {
    /// Whether an entry's password is this one, by binding as it (R8). `NotFound`: it is not.
    pub async fn password_fits(&self, dn: &crate::dn::Dn, password: &str) -> mail_types::Lookup<()> {
        let (mirror, dn, password) = (self.clone(), dn.clone(), zeroize::Zeroizing::new(password.to_owned()));
        let bound = apart(async move { Ok(mirror.0.servers.password_fits(&dn, &password).await?) }).await;
        match bound {
            Ok(true) => mail_types::Lookup::Found(()),
            Ok(false) => mail_types::Lookup::NotFound,
            Err(why) => mail_types::Lookup::Unavailable(why.to_string()),
        }
    }
}
