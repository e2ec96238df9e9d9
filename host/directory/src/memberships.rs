//! Which groups an entry is in.

use std::collections::{BTreeSet, VecDeque};

use mail_types::{Address, Lookup};

use crate::directory::Directory;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::group_entry::GroupEntry;
use crate::layout::ADDRESSES;
use crate::view::View;

/// Most groups that one entry is in, directly and through others.
pub const GROUPS_OF_MAX: usize = 1_000;

impl Directory {
    /// The groups that the user or group of an address is in: by name (`uniqueMember`, `member`), directly or through groups
    /// that are members themselves. A group is in itself. Groups that are gone (`deleted`, `removed`) are left out, and so
    /// is who is in more than [`GROUPS_OF_MAX`]: that is no answer.
    pub fn memberships(&self, address: &Address) -> Lookup<Vec<GroupEntry>> {
        match self.view().and_then(|view| memberships(&view, address)) {
            Ok(Some(groups)) if groups.len() > GROUPS_OF_MAX => {
                Lookup::Unavailable(format!("{address} is in more than {GROUPS_OF_MAX} groups"))
            }
            Ok(found) => found.into(),
            Err(error) => Lookup::Unavailable(error.to_string()),
        }
    }
}

fn memberships(view: &View<'_>, address: &Address) -> Result<Option<Vec<GroupEntry>>, DirectoryError> {
    let Some((_, id)) = view.indexed(ADDRESSES, &address.to_key())?.first().copied() else { return Ok(None) };
    let Some(entry) = view.entry_by_id(id)? else { return Ok(None) };
    let (mut groups, mut known, mut waiting) = (Vec::new(), BTreeSet::new(), VecDeque::new());
    let group_of =
        |entry: &Entry| GroupEntry::read(entry, view.schema).filter(|group| !group.status.is_gone());
    groups.extend(group_of(&entry));
    known.insert(entry.dn.key().to_vec());
    waiting.push_back(entry.dn);
    while let Some(member) = waiting.pop_front() {
        for entry in view.groups_of(&member)? {
            let Some(group) = group_of(&entry) else { continue };
            if known.insert(entry.dn.key().to_vec()) {
                groups.push(group);
                waiting.push_back(entry.dn);
            }
        }
        if groups.len() > GROUPS_OF_MAX {
            break;
        }
    }
    Ok(Some(groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::tests::{load, open};
    use crate::dn::Dn;
    use crate::edit::Edit;

    const GROUPS: &str = "\
        dn: o=isp\nobjectClass: organization\no: isp\n\n\
        dn: uid=u0,o=isp\nobjectClass: inetMailUser\nuid: u0\nmail: u0@d0.test\n\n\
        dn: cn=staff,o=isp\nobjectClass: inetMailGroup\nmail: staff@d0.test\nuniqueMember: uid=u0,o=isp\n\n\
        dn: cn=all,o=isp\nobjectClass: inetMailGroup\nmail: all@d0.test\nmember: cn=staff,o=isp\nmember: cn=all,o=isp\n\n\
        dn: cn=old,o=isp\nobjectClass: inetMailGroup\nmail: old@d0.test\nuniqueMember: uid=u0,o=isp\ninetMailGroupStatus: deleted\n\n\
        dn: cn=other,o=isp\nobjectClass: inetMailGroup\nmail: other@d0.test\n";

    fn names(directory: &Directory, address: &str) -> Option<Vec<String>> {
        match directory.memberships(&Address::parse(address).unwrap()) {
            Lookup::Found(groups) => {
                let mut names: Vec<String> =
                    groups.into_iter().map(|group| group.address.unwrap().to_string()).collect();
                names.sort();
                Some(names)
            }
            Lookup::NotFound => None,
            Lookup::Unavailable(why) => panic!("{why}"),
        }
    }

    #[tokio::test]
    async fn members_of_members_are_members_and_a_change_shows_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let directory = open(dir.path());
        load(&directory, GROUPS).await.unwrap();
        let some = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names(&directory, "U0@d0.test"), some(&["all@d0.test", "staff@d0.test"]));
        assert_eq!(names(&directory, "staff@d0.test"), some(&["all@d0.test", "staff@d0.test"]));
        assert_eq!(names(&directory, "other@d0.test"), some(&["other@d0.test"]));
        assert_eq!(names(&directory, "nobody@d0.test"), None);
        let dn = Dn::parse("cn=all,o=isp").unwrap();
        let Lookup::Found(mut all) = directory.entry(&dn) else { panic!("there is the group") };
        all.replace("member", Vec::new());
        directory.edit(&[Edit::Modify(all)]).await.unwrap();
        assert_eq!(names(&directory, "u0@d0.test"), some(&["staff@d0.test"]));
    }
}
