//! What we wrote at another server than the one that is followed: a consumer refers writers to its provider, and has it from
//! there a little later. Until then it must take nothing of that back. How far the writers' server had come then (`contextCSN`)
//! is kept beside the tree until the followed one has come as far.

use storage::{Batch, StorageError};

use super::apply::Beside;
use super::cookie;
use super::full::SyncOrder;
use super::guard::Trust;
use super::records::{SYNC, base_key};
use super::source::{Mirror, SyncError};
use crate::dn::Dn;
use crate::error::DirectoryError;
use crate::ldap::connection::{Depth, FoundRaw, Search};
use crate::ldap::failure::NO_SUCH_OBJECT;
use crate::ldap::filter::Filter;
use crate::ldap::settings::ServerUrl;

/// Where slapd says how far it has come of each writer, at the top of a database.
pub(super) const CONTEXT: &str = "contextCSN";
/// Whoever asks may not see that (RFC 4511 §4.1.9).
pub(super) const INSUFFICIENT_ACCESS_RIGHTS: u32 = 50;

impl Mirror {
    /// The rows to write with what was made of these entries at other servers than those that are followed.
    pub(super) async fn written_at(&self, made: Vec<(&Dn, &ServerUrl)>) -> Beside {
        let mut rows = Beside::new();
        for base in &self.0.options.bases {
            // How far the server has come by now is beyond all of them.
            let Some((_, server)) = made.iter().find(|(dn, _)| dn.is_within(base)) else { continue };
            // One that does not say is no OpenLDAP: nothing is known of its consumers either.
            let Ok(context) = self.context(base, server).await else { continue };
            if context.is_empty() {
                continue;
            }
            let key = base_key("written", base);
            let known = self.0.directory.row(SYNC, &key).ok().flatten();
            rows.push((SYNC, key, cookie::joined(known.as_deref(), &cookie::of_context(&context))));
        }
        rows
    }

    /// Why a server has yet to take in what was written elsewhere on our behalf below a base; what it has taken in is forgotten.
    pub(super) async fn lacks_written(&self, base: &Dn, server: &str) -> Result<Option<String>, SyncError> {
        let key = base_key("written", base);
        let Some(written) = self.0.directory.row(SYNC, &key)? else { return Ok(None) };
        let Ok(url) = server.parse::<ServerUrl>() else { return Ok(None) };
        let context = self.context(base, &url).await?;
        if !context.is_empty() && cookie::lacks(&written, &context) {
            return Ok(Some(format!(
                "{server} has yet to take in what was written through it elsewhere below {base}"
            )));
        }
        let mut batch = Batch::new();
        batch.assert_equals(SYNC, &key, &written);
        batch.delete(SYNC, &key);
        match self.0.directory.commit(batch).await {
            // More was written meanwhile: the next who asks sees.
            Ok(_) | Err(StorageError::Conflict(_)) => Ok(None),
            Err(error) => Err(DirectoryError::from(error).into()),
        }
    }

    /// Refuses to compare with a server that has yet to take in what was written on our behalf, unless the operator vouches for it.
    pub(super) async fn guard_written(
        &self,
        order: &SyncOrder,
        base: &Dn,
        server: &str,
    ) -> Result<(), SyncError> {
        if Trust::of(order) == Trust::Forced {
            return Ok(());
        }
        self.lacks_written(base, server).await?.map_or(Ok(()), |why| Err(SyncError::Guarded(why)))
    }

    /// How far a server has come of each writer; nothing where it does not say.
    async fn context(&self, base: &Dn, server: &ServerUrl) -> Result<Vec<Vec<u8>>, SyncError> {
        let mut level = Some(base.clone());
        while let Some(name) = level {
            let filter = Filter::everything();
            let search =
                Search { base: name.clone(), depth: Depth::Base, filter, attributes: &[CONTEXT], most: 1 };
            let mut changes = Vec::new();
            let mut take = |raw: FoundRaw| {
                let attributes = raw.map(|entry| entry.attributes).unwrap_or_default();
                changes.extend(attributes.into_iter().flat_map(|(_, values)| values));
            };
            let searched = self.0.servers.search(&search, Some(server), &mut take).await;
            match searched {
                Ok(_) if !changes.is_empty() => return Ok(changes),
                Ok(_) => {}
                // Above a database's top there is nothing, or nothing for us.
                Err(why) if matches!(why.code(), Some(NO_SUCH_OBJECT | INSUFFICIENT_ACCESS_RIGHTS)) => {}
                Err(why) => return Err(why.into()),
            }
            level = name.parent().filter(|above| above.depth() > 0);
        }
        Ok(Vec::new())
    }
}
