//! Reading the embedded tree within one consistent snapshot.

use std::ops::ControlFlow;

use mail_types::Domain;
use storage::{KeyFilter, Snapshot, Space};

use crate::dn::Dn;
use crate::domain_entry::{DomainEntry, DomainNode};
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::kind::Kind;
use crate::layout::{
    ADDRESSES, DOMAINS, ENTRIES, HEAD, Head, LOGINS, MEMBERS, NAMES, Role, STATE, decode_entry, index_prefix,
    read_u64,
};
use crate::schema::Schema;

type Answer<T> = Result<T, DirectoryError>;

/// Most aliases that lead from one to the next.
const ALIASES_MAX: usize = 8;

/// One snapshot with the schema to read it by. Not kept across an `.await`.
pub(crate) struct View<'s> {
    pub(crate) snapshot: Snapshot,
    pub(crate) schema: &'s Schema,
    /// The index texts of addresses, where all of them are known.
    pub(crate) addresses: Option<&'s KeyFilter>,
}

impl View<'_> {
    pub(crate) fn head(&self) -> Answer<Head> {
        match self.snapshot.get(STATE, HEAD)? {
            Some(octets) => Head::decode(&octets),
            None => Ok(Head::default()),
        }
    }

    pub(crate) fn id_of(&self, dn: &Dn) -> Answer<Option<u64>> {
        Ok(self.snapshot.get(NAMES, dn.key())?.map(|id| read_u64(&id)))
    }

    pub(crate) fn entry_by_id(&self, id: u64) -> Answer<Option<Entry>> {
        self.snapshot.get(ENTRIES, &id.to_be_bytes())?.map(|octets| decode_entry(&octets)).transpose()
    }

    pub(crate) fn entry(&self, dn: &Dn) -> Answer<Option<Entry>> {
        match self.id_of(dn)? {
            Some(id) => self.entry_by_id(id),
            None => Ok(None),
        }
    }

    /// The entry of the key of a name.
    pub(crate) fn entry_of_key(&self, key: &[u8]) -> Answer<Option<Entry>> {
        match self.snapshot.get(NAMES, key)? {
            Some(id) => self.entry_by_id(read_u64(&id)),
            None => Ok(None),
        }
    }

    /// The entries that an index text leads to, by id, the strongest role first.
    pub(crate) fn indexed(&self, space: Space, text: &str) -> Answer<Vec<(Role, u64)>> {
        let mut rows = Vec::new();
        self.scan_index(space, text, &mut |id, value| {
            rows.push((Role::read(value), id));
            ControlFlow::Continue(())
        })?;
        rows.sort_unstable();
        Ok(rows)
    }

    /// The groups that name an entry among their members.
    pub(crate) fn groups_of(&self, member: &Dn) -> Answer<Vec<Entry>> {
        let mut ids = Vec::new();
        self.scan_rows(MEMBERS, member.key(), &mut |id, _| {
            ids.push(id);
            ControlFlow::Continue(())
        })?;
        ids.into_iter().filter_map(|id| self.entry_by_id(id).transpose()).collect()
    }

    fn scan_index(
        &self,
        space: Space,
        text: &str,
        visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Answer<()> {
        match index_prefix(text) {
            Some(from)
                if space == ADDRESSES && self.addresses.is_some_and(|known| !known.may_have(0, &from)) =>
            {
                Ok(())
            }
            Some(from) => self.scan_rows(space, &from, visit),
            None => Ok(()),
        }
    }

    /// Visits the rows of an index whose keys are these octets and an entry id.
    fn scan_rows(
        &self,
        space: Space,
        from: &[u8],
        visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Answer<()> {
        let mut until = from.to_vec();
        until.extend_from_slice(&[0xff; 9]);
        self.snapshot.scan(space, from, &until, &mut |key, value| match key.len().checked_sub(8) {
            Some(at) if at == from.len() => visit(read_u64(&key[at..]), value),
            _ => ControlFlow::Continue(()),
        })?;
        Ok(())
    }

    /// The user with a login name below a base; without a base the only one of that name.
    pub(crate) fn login(&self, uid: &str, base: Option<&Dn>) -> Answer<Option<u64>> {
        let mut ids = Vec::new();
        self.scan_index(LOGINS, uid, &mut |id, key| {
            if base.is_none_or(|base| key.starts_with(base.key())) {
                ids.push(id);
            }
            if ids.len() > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        // Two users of one login name: neither is meant more than the other.
        Ok(if ids.len() == 1 { ids.pop() } else { None })
    }

    /// A domain under any of its names, every entry that describes it joined.
    pub(crate) fn domain(&self, name: &Domain) -> Answer<Option<DomainEntry>> {
        let nodes = self.domain_nodes(name)?;
        match nodes.first() {
            Some(first) if first.domain != *name => {
                let canonical = first.domain.clone();
                Ok(join(self.domain_nodes(&canonical)?))
            }
            _ => Ok(join(nodes)),
        }
    }

    /// The entries that a domain name leads to; a pure alias leads on to its target, which may be one, too (RFC 4512 §2.6).
    pub(crate) fn domain_nodes(&self, name: &Domain) -> Answer<Vec<DomainEntry>> {
        let mut nodes = Vec::new();
        for (_, id) in self.indexed(DOMAINS, name.as_str())? {
            let Some(mut entry) = self.entry_by_id(id)? else { continue };
            for _ in 0..ALIASES_MAX {
                let Some(DomainNode::Alias { target, .. }) = DomainNode::of(&entry, self.schema) else {
                    break;
                };
                let Some(found) = self.entry(&target)? else { break };
                entry = found;
            }
            // What ends at an alias, in a circle or at nothing, is no domain.
            nodes.extend(DomainEntry::read(&entry, self.schema));
        }
        Ok(nodes)
    }

    /// Visits the entries of a subtree, each before what lies below it, the top included.
    pub(crate) fn scan_under(
        &self,
        top: &Dn,
        visit: &mut dyn FnMut(u64, Entry) -> ControlFlow<()>,
    ) -> Answer<()> {
        let mut until = top.key().to_vec();
        until.push(0xff);
        let mut failure = None;
        self.snapshot.scan(NAMES, top.key(), &until, &mut |_, id| match self.entry_by_id(read_u64(id)) {
            Ok(Some(entry)) => visit(read_u64(id), entry),
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// Visits the entries of a subtree, each after what lies below it, the top included; whether
    /// it came to the end.
    pub(crate) fn scan_back_under(
        &self,
        top: &Dn,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Answer<bool> {
        let mut until = top.key().to_vec();
        until.push(0xff);
        let (mut complete, mut failure) = (true, None);
        self.snapshot.scan_back(NAMES, top.key(), &until, &mut |_, id| {
            let flow = match self.entry_by_id(read_u64(id)) {
                Ok(Some(entry)) => visit(entry),
                Ok(None) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            };
            complete &= flow.is_continue();
            flow
        })?;
        failure.map_or(Ok(complete), Err)
    }

    /// Visits every entry, in the order in which they were added.
    pub(crate) fn scan(&self, visit: &mut dyn FnMut(u64, Entry) -> ControlFlow<()>) -> Answer<()> {
        let mut failure = None;
        self.snapshot.scan(ENTRIES, &[], &[0xff; 9], &mut |id, octets| match decode_entry(octets) {
            Ok(entry) => visit(read_u64(id), entry),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    pub(crate) fn kind(&self, entry: &Entry) -> Kind {
        Kind::of(entry, self.schema)
    }
}

/// One domain of all its descriptions. The organisation's own comes first: it is the one that
/// holds the users.
fn join(mut nodes: Vec<DomainEntry>) -> Option<DomainEntry> {
    nodes.sort_by_key(|node| node.base != node.dn);
    nodes.dedup_by(|a, b| a.dn == b.dn);
    nodes.into_iter().reduce(DomainEntry::joined)
}
