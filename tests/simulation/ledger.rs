//! What the clients of the simulation remember, and what has to be true of it.

use std::collections::HashMap;

use mail_types::{Address, Notify, QueueId, ReversePath};

/// A message that a client tried to hand in.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) tag: String,
    pub(crate) id: QueueId,
    pub(crate) reverse_path: ReversePath,
    pub(crate) recipients: Vec<(Address, Notify)>,
    /// Whether the client was told 250.
    pub(crate) acknowledged: bool,
    /// Whether an operator dropped it.
    pub(crate) deleted: bool,
}

/// Where a recipient's copy is, as the whole house shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) queued: usize,
    pub(crate) stored: usize,
    pub(crate) taken: usize,
    /// Of those taken: by an attempt that a crash cut off before its outcome was written.
    pub(crate) spanned: usize,
    pub(crate) given_up: usize,
    pub(crate) reported: usize,
}

/// All places of all recipients, by tag and address.
pub(crate) type Whereabouts = HashMap<(String, Address), Places>;

/// Looks for a broken promise. `settled` says that nothing is queued any more.
pub(crate) fn broken_promise(entry: &Entry, places: &Whereabouts, settled: bool) -> Option<String> {
    let mut present = 0;
    for (address, notify) in &entry.recipients {
        let at = places.get(&(entry.tag.clone(), address.clone())).cloned().unwrap_or_default();
        let complain = |what: &str| Some(format!("{what}: {} for {address}: {at:?}, {entry:?}", entry.tag));
        let ways = usize::from(at.queued > 0)
            + usize::from(at.stored > 0)
            + usize::from(at.taken > 0)
            + usize::from(at.given_up > 0);
        present += usize::from(ways > 0);
        if at.stored > 1 {
            return complain("local delivery happened twice (promise 3)");
        }
        if at.taken > at.spanned + 1 {
            return complain("remote delivery happened again without a crash between (promise 3)");
        }
        // The remote host has taken what a crash left queued: the named window.
        let doubled = at.spanned > 0;
        if ways > 1 && !doubled {
            return complain("a recipient is in two places (promise 2)");
        }
        if entry.acknowledged && ways == 0 && !entry.deleted {
            return complain("an acknowledged recipient is lost (promises 1 and 2)");
        }
        if entry.reverse_path.is_null() && at.reported > 0 {
            return complain("a report was sent for a null reverse path (promise 4)");
        }
        let owed = at.given_up > 0 && notify.on_failure() && !entry.reverse_path.is_null() && !entry.deleted;
        if settled && owed && at.reported != 1 {
            return complain("a failure was not reported exactly once (promise 2)");
        }
        if at.reported > 0 && at.given_up == 0 && !doubled {
            return complain("a report without a failure (promise 4)");
        }
    }
    let torn = present > 0 && present < entry.recipients.len() && !entry.acknowledged && !entry.deleted;
    let at = |address: &Address| places.get(&(entry.tag.clone(), address.clone())).cloned();
    let all: Vec<_> = entry.recipients.iter().map(|(address, _)| at(address)).collect();
    torn.then(|| format!("half of an unacknowledged message was kept: {all:?} of {entry:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_copy_needs_a_crash_in_its_window() {
        let address = Address::parse("a@b.example").expect("an address");
        let entry = Entry {
            tag: "tag-1".into(),
            id: QueueId::from_u64(1),
            reverse_path: ReversePath::Null,
            recipients: vec![(address.clone(), Notify::Unspecified)],
            acknowledged: true,
            deleted: false,
        };
        let judge = |at: Places| {
            let places = [(("tag-1".to_owned(), address.clone()), at)].into();
            broken_promise(&entry, &places, true).is_none()
        };
        for (taken, spanned, queued, fine) in [
            (1, 0, 0, true),
            (2, 0, 0, false),
            (2, 1, 0, true),
            (3, 1, 0, false),
            (1, 0, 1, false),
            (1, 1, 1, true),
            (0, 0, 0, false),
        ] {
            assert_eq!(
                judge(Places { taken, spanned, queued, ..Places::default() }),
                fine,
                "{taken} {spanned} {queued}"
            );
        }
    }
}
