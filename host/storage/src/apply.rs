//! Applies batches to a transaction. Counter records are read once and written once per group:
//! twenty deliveries to one mailbox cost one write of its counters.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::batch::{Assertion, Batch, Into, Key, Operation, Patch};
use crate::content::{Content, ContentId};
use crate::engine::{Reading, Writing};
use crate::error::StorageError;
use crate::space::{CONTENT, CONTENT_FILES, CONTENT_PACKED, CONTENT_REFERENCES, COUNTERS, Space};
use crate::writer::Committed;

/// The key in `counters` that counts content ids.
pub(crate) const CONTENT_COUNTER: &[u8] = b"content";

type Counters = SmallVec<[u64; 8]>;

/// One group of batches on its way into one transaction.
#[derive(Default)]
pub(crate) struct Group {
    counters: HashMap<(Space, Key), Counters>,
    /// Content files whose last reference went: to be removed after the commit.
    pub(crate) dead_files: Vec<String>,
}

impl Group {
    /// Applies one batch. `Conflict` means that it changed nothing and the others may go on;
    /// any other error spoils the transaction.
    pub(crate) fn apply(
        &mut self,
        writing: &mut dyn Writing,
        batch: &Batch,
    ) -> Result<Committed, StorageError> {
        for assertion in &batch.assertions {
            self.check(writing, assertion)?;
        }
        let mut drawn: SmallVec<[u64; 4]> = SmallVec::from_elem(0, batch.draws);
        for operation in &batch.operations {
            self.operate(writing, operation, &mut drawn)?;
        }
        Ok(Committed { drawn })
    }

    /// Writes the counters back, once for the whole group.
    pub(crate) fn finish(&mut self, writing: &mut dyn Writing) -> Result<(), StorageError> {
        for ((space, key), fields) in self.counters.drain() {
            writing.put(space, &key, &octets_of(&fields))?;
        }
        Ok(())
    }

    /// Holds an assertion against what is stored, and what batches before this one did to counters.
    fn check(&self, writing: &dyn Writing, assertion: &Assertion) -> Result<(), StorageError> {
        let (Assertion::Absent(space, key)
        | Assertion::Present(space, key)
        | Assertion::Equals(space, key, _)) = assertion;
        let counted = self.counters.get(&(*space, key.clone())).map(octets_of);
        let stored = if counted.is_none() { writing.get(*space, key)? } else { None };
        let is = counted.as_deref().or(stored.as_deref());
        let (holds, want) = match assertion {
            Assertion::Absent(..) => (is.is_none(), "absent"),
            Assertion::Present(..) => (is.is_some(), "present"),
            Assertion::Equals(_, _, value) => (is.is_some_and(|is| is == &**value), "unchanged"),
        };
        if holds {
            return Ok(());
        }
        let key = String::from_utf8_lossy(key).into_owned();
        Err(StorageError::Conflict(format!("key {key:?} of {} is not {want}", space.name())))
    }

    fn operate(
        &mut self,
        writing: &mut dyn Writing,
        operation: &Operation,
        drawn: &mut [u64],
    ) -> Result<(), StorageError> {
        match operation {
            Operation::Put { space, key, value } => writing.put(*space, key, value),
            Operation::PutDrawn { space, key, value, patches } => {
                put_drawn(writing, *space, key, value, patches, drawn)
            }
            Operation::Delete { space, key } => {
                self.counters.remove(&(*space, key.clone()));
                writing.delete(*space, key).map(|_| ())
            }
            Operation::Clear { space } => {
                self.counters.retain(|(of, _), _| of != space);
                writing.clear(*space)
            }
            Operation::Add { space, key, changes } => {
                let fields = self.fields(writing, *space, key)?;
                for (field, change) in changes {
                    let value = field_of(fields, *field);
                    *value = value.saturating_add_signed(*change);
                }
                Ok(())
            }
            Operation::Draw { space, key, field, drawn: index } => {
                let value = field_of(self.fields(writing, *space, key)?, *field);
                *value += 1;
                drawn[index.0] = *value;
                Ok(())
            }
            Operation::StoreContent { content, references, drawn: index } => {
                drawn[index.0] = self.store(writing, content, *references)?;
                Ok(())
            }
            Operation::RetainContent { id, references } => {
                let now = references_of(writing, *id)? + u64::from(*references);
                writing.put(CONTENT_REFERENCES, &id.to_key(), &now.to_le_bytes())
            }
            Operation::ReleaseContent { id, references } => self.release(writing, *id, *references),
            Operation::PackContent { id, packed } => {
                // Its last reference may have gone since it was read.
                if writing.delete(CONTENT, &id.to_key())? {
                    writing.put(CONTENT_PACKED, &id.to_key(), packed)?;
                }
                Ok(())
            }
            Operation::PackFile { id, file } => {
                let name = writing.get(CONTENT_FILES, &id.to_key())?.map(|name| name.into_owned());
                self.dead_files.extend(name.map(|name| String::from_utf8_lossy(&name).into_owned()));
                writing.put(CONTENT_FILES, &id.to_key(), file.name().as_bytes())
            }
        }
    }

    fn fields(
        &mut self,
        writing: &dyn Writing,
        space: Space,
        key: &Key,
    ) -> Result<&mut Counters, StorageError> {
        use std::collections::hash_map::Entry;
        match self.counters.entry((space, key.clone())) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let stored = writing.get(space, key)?.unwrap_or_default();
                let fields = stored.chunks_exact(8).map(read_u64).collect();
                Ok(unknown.insert(fields))
            }
        }
    }

    fn store(
        &mut self,
        writing: &mut dyn Writing,
        content: &Content,
        references: u32,
    ) -> Result<u64, StorageError> {
        let counter = Key::from_slice(CONTENT_COUNTER);
        let id = field_of(self.fields(writing, COUNTERS, &counter)?, 0);
        *id += 1;
        let id = *id;
        let key = id.to_be_bytes();
        if references == 0 {
            return Ok(id);
        }
        match content {
            Content::Inline(octets) => writing.append(CONTENT, &key, octets)?,
            Content::File(file) => writing.append(CONTENT_FILES, &key, file.name().as_bytes())?,
        }
        if references > 1 {
            writing.append(CONTENT_REFERENCES, &key, &u64::from(references).to_le_bytes())?;
        }
        Ok(id)
    }

    fn release(
        &mut self,
        writing: &mut dyn Writing,
        id: ContentId,
        references: u32,
    ) -> Result<(), StorageError> {
        let (key, known) = (id.to_key(), references_of(writing, id)?);
        let left = known.saturating_sub(u64::from(references));
        match left {
            0 => {
                if known > 1 {
                    writing.delete(CONTENT_REFERENCES, &key)?;
                }
                if !writing.delete(CONTENT, &key)? && !writing.delete(CONTENT_PACKED, &key)? {
                    let name = writing.get(CONTENT_FILES, &key)?.map(|name| name.into_owned());
                    if let Some(name) = name {
                        writing.delete(CONTENT_FILES, &key)?;
                        self.dead_files.push(String::from_utf8_lossy(&name).into_owned());
                    }
                }
                Ok(())
            }
            1 => writing.delete(CONTENT_REFERENCES, &key).map(|_| ()),
            _ => writing.put(CONTENT_REFERENCES, &key, &left.to_le_bytes()),
        }
    }
}

/// Counters as they are stored.
fn octets_of(fields: &Counters) -> SmallVec<[u8; 64]> {
    fields.iter().flat_map(|field| field.to_le_bytes()).collect()
}

fn put_drawn(
    writing: &mut dyn Writing,
    space: Space,
    key: &Key,
    value: &[u8],
    patches: &[Patch],
    drawn: &[u64],
) -> Result<(), StorageError> {
    let (mut key, mut value) = (key.clone(), SmallVec::<[u8; 512]>::from_slice(value));
    for patch in patches {
        let octets: &mut [u8] = match patch.into {
            Into::Key => &mut key,
            Into::Value => &mut value,
        };
        write_number(octets, patch, drawn[patch.drawn.0])?;
    }
    writing.put(space, &key, &value)
}

fn write_number(octets: &mut [u8], patch: &Patch, number: u64) -> Result<(), StorageError> {
    let refused = |why: &str| StorageError::Corrupt(format!("a drawn number {number} {why}"));
    let place = octets.get_mut(patch.at..patch.at + patch.width).ok_or_else(|| refused("has no place"))?;
    match patch.width {
        8 => place.copy_from_slice(&number.to_be_bytes()),
        4 => {
            let number = u32::try_from(number).map_err(|_| refused("passes 32 bits"))?;
            place.copy_from_slice(&number.to_be_bytes());
        }
        _ => return Err(refused("has an odd width")),
    }
    Ok(())
}

fn field_of(fields: &mut Counters, field: u8) -> &mut u64 {
    let index = usize::from(field);
    if fields.len() <= index {
        fields.resize(index + 1, 0);
    }
    &mut fields[index]
}

pub(crate) fn read_u64(octets: &[u8]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(octets);
    u64::from_le_bytes(number)
}

/// How many references a content has: one where none is recorded.
pub(crate) fn references_of<R: Reading + ?Sized>(reading: &R, id: ContentId) -> Result<u64, StorageError> {
    let recorded = reading.get(CONTENT_REFERENCES, &id.to_key())?;
    Ok(recorded.filter(|octets| octets.len() == 8).map_or(1, |octets| read_u64(&octets)))
}
