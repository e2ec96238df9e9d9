//! Indices of another schema made anew: under which addresses, logins, domains and members an entry is found follows
//! from the names of attributes and classes in use, and these may have changed since it was written.

use std::ops::ControlFlow;

use storage::{Batch, Space};

use crate::directory::Directory;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::kind::Kind;
use crate::layout::{
    ADDRESSES, DOMAINS, ENTRIES, HEAD, Head, LOGINS, MEMBERS, STATE, decode_entry, index_rows, read_u64,
};

/// Under which key it stands what the indices are of.
const SCHEMA: &[u8] = b"schema";
/// What follows from the schema.
const INDICES: [Space; 4] = [ADDRESSES, LOGINS, DOMAINS, MEMBERS];
/// Entries of one batch.
const BATCH_ENTRIES_MAX: usize = 5_000;

impl Directory {
    /// Makes the indices anew where they are of another schema than the one in use; whether they were. Whoever follows the
    /// directory then reads all of it. While it runs, look-ups say *unavailable*; where it breaks off, the next start
    /// begins it again.
    ///
    /// # Errors
    /// Storage, or an entry that cannot be read.
    pub async fn follow_schema(&self) -> Result<bool, DirectoryError> {
        let mark = self.schema().mark();
        let (stored, head) = {
            let view = self.raw_view()?;
            let stored = view.snapshot.get(STATE, SCHEMA)?.map(std::borrow::Cow::into_owned);
            (stored, view.head()?)
        };
        if stored.as_deref() == Some(mark.as_bytes()) {
            return Ok(false);
        }
        let mut batch = Batch::new();
        if head.entries == 0 || head.loading != 0 {
            // What is loaded from now on is indexed by this one.
            batch.put(STATE, SCHEMA, mark);
            self.commit(batch).await?;
            return Ok(false);
        }
        self.pause(true);
        let made = self.index_all(batch, head, mark).await;
        self.pause(false);
        made?;
        let head = self.raw_view()?.head()?;
        self.publish(head.csn);
        Ok(true)
    }

    async fn index_all(&self, mut batch: Batch, head: Head, mark: String) -> Result<(), DirectoryError> {
        INDICES.iter().for_each(|space| batch.clear(*space));
        batch.delete(STATE, SCHEMA);
        let mut counted = Head { entries: 0, domains: 0, users: 0, groups: 0, ..head };
        let mut from = 0;
        loop {
            let entries = self.entries_from(from)?;
            let Some((last, _)) = entries.last() else { break };
            from = last.saturating_add(1);
            for (id, entry) in &entries {
                let kind = Kind::of(entry, self.schema());
                counted.count(kind, 1);
                for (space, mut key, value) in index_rows(entry, kind, self.schema()) {
                    key.extend_from_slice(&id.to_be_bytes());
                    batch.put(space, &key, value);
                }
            }
            self.commit(std::mem::take(&mut batch)).await?;
        }
        counted.csn += 1;
        // Whoever follows the log has to scan all.
        counted.floor = counted.csn;
        batch.put(STATE, HEAD, counted.encode());
        batch.put(STATE, SCHEMA, mark);
        Ok(self.commit(batch).await?)
    }

    /// Some entries, from an id on.
    fn entries_from(&self, from: u64) -> Result<Vec<(u64, Entry)>, DirectoryError> {
        let (mut entries, mut failed) = (Vec::new(), None);
        self.raw_view()?.snapshot.scan(ENTRIES, &from.to_be_bytes(), &[0xff; 9], &mut |key, value| {
            match decode_entry(value) {
                Ok(entry) => entries.push((read_u64(key), entry)),
                Err(error) => failed = Some(error),
            }
            let goes_on = failed.is_none() && entries.len() < BATCH_ENTRIES_MAX;
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failed.map_or(Ok(entries), Err)
    }
}

#[cfg(test)]
mod tests {
    use mail_types::{Address, Lookup, Timestamp};
    use runtime::Clock;
    use storage::{Options, Storage};

    use super::*;
    use crate::directory::tests::{assert_whole, load};
    use crate::{Changes, DirectoryOptions, Schema};

    const LDIF: &str = "dn: o=example.org,o=isp\nobjectClass: mailDomain\nassociatedDomain: example.org\n\n\
        dn: uid=una,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: una\nmail: una@example.org\n\
        mailAlternateAddress: u.berg@example.org\nmailAlias: berg@example.org\n";

    fn open(storage: &Storage, schema: Schema) -> Directory {
        let options = DirectoryOptions { schema, ..DirectoryOptions::default() };
        Directory::open(storage.clone(), Clock::simulated(Timestamp(1_000)), options).unwrap()
    }

    fn finds(directory: &Directory, address: &str) -> bool {
        match directory.by_address(&Address::parse(address).unwrap()) {
            Lookup::Found(_) => true,
            Lookup::NotFound => false,
            Lookup::Unavailable(why) => panic!("{why}"),
        }
    }

    #[tokio::test]
    async fn entries_are_found_by_the_names_in_use_and_by_those_of_before_again() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { size_max: 1 << 28, synced: false, ..Options::default() };
        let storage = Storage::open(dir.path(), crate::SPACES, &options).unwrap();
        let directory = open(&storage, Schema::product());
        assert!(!directory.follow_schema().await.unwrap());
        load(&directory, LDIF).await.unwrap();
        assert!(!directory.follow_schema().await.unwrap(), "it is of this schema");
        let counts = directory.counts().unwrap();
        let mut other = Schema::product();
        other.remap("mailAlternateAddress", vec!["mailAlias".to_owned()]).unwrap();
        for (schema, old, new) in [(other, false, true), (Schema::product(), true, false)] {
            let directory = open(&storage, schema);
            let csn = directory.csn();
            assert!(directory.follow_schema().await.unwrap());
            let found = ["u.berg@example.org", "berg@example.org"].map(|address| finds(&directory, address));
            assert_eq!(found, [old, new]);
            assert_eq!(directory.counts().unwrap(), counts);
            // Whoever follows has to look at everything.
            assert!(matches!(directory.changes_since(csn), Ok(Changes::Rebuild { .. })));
            assert!(!directory.follow_schema().await.unwrap());
            assert_whole(&directory);
        }
        storage.close().await;
    }
}
