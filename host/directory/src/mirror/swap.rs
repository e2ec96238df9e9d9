//! Two entries that exchange their addresses: each wants what the other has, and neither can go first.

use super::apply::{Age, Applying};
use super::found::Found;
use super::refusing::{fault, passing};
use crate::dn::Dn;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::schema::Field;

/// An entry that could not be put in its place, and why.
pub(super) type Waiting<'f> = (&'f Found, Age, EditError);

impl Applying<'_, '_> {
    /// Lets pairs that stand in each other's way pass each other; they wait no longer.
    pub(super) fn swap(&mut self, waiting: &mut Vec<Waiting<'_>>) -> Result<(), EditError> {
        let mut at = 0;
        while at < waiting.len() {
            let partner = (at + 1..waiting.len()).find(|other| are_opposed(&waiting[at], &waiting[*other]));
            let Some(other) = partner else {
                at += 1;
                continue;
            };
            if self.pass(waiting[at].0, waiting[other].0)? {
                waiting.remove(other);
                waiting.remove(at);
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// Takes the first one's addresses away, puts the second one in its place, then the first one; or leaves both as they
    /// were.
    fn pass(&mut self, first: &Found, second: &Found) -> Result<bool, EditError> {
        let old = |applying: &Self, dn: &Dn| {
            Ok::<_, EditError>(applying.composing.current(dn)?.map(|(_, old)| old))
        };
        let (Some(old_first), Some(old_second)) = (old(self, first.dn())?, old(self, second.dn())?) else {
            return Ok(false);
        };
        let modified = self.applied.modified;
        self.edit(Edit::Modify(self.without_addresses(&old_first)))?;
        let passed = self.put(second, Age::IsNow).and_then(|()| self.put(first, Age::IsNow));
        if let Err(why) = passed {
            passing(why)?;
            // The second one first: it may have what the first one has to get back.
            self.edit(Edit::Modify(old_second))?;
            self.edit(Edit::Modify(old_first))?;
            self.applied.modified = modified;
            return Ok(false);
        }
        Ok(true)
    }

    fn without_addresses(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        let fields = [Field::Mail, Field::MailAlternateAddress, Field::MailEquivalentAddress];
        for name in fields.iter().flat_map(|field| self.composing.view.schema.names(*field)) {
            entry.replace(name, Vec::new());
        }
        entry
    }
}

fn are_opposed(a: &Waiting<'_>, b: &Waiting<'_>) -> bool {
    let wants = |one: &Waiting<'_>, other: &Waiting<'_>| fault(&one.2).1.as_ref() == Some(other.0.dn());
    wants(a, b) && wants(b, a)
}
