//! Users and groups of this machine, by name.
//!
//! Read from `/etc/passwd` and `/etc/group` themselves: what other sources the system may have (LDAP, SSSD) is not
//! asked, since that takes code of theirs into this process. Who lives there is named by number.

use std::path::Path;

use crate::files;

/// Largest table of users or groups that is read, in octets.
const TABLE_MAX: u64 = 16 << 20;

/// A user's uid and primary gid, by name or number; a number need not stand in the table, and then has its own number
/// as gid. `None` where there is no such user.
#[must_use]
pub fn find_user(name: &str) -> Option<(u32, u32)> {
    let table = table("/etc/passwd");
    let number = name.parse::<u32>().ok();
    let found = entries(&table).find(|fields| match number {
        Some(_) => fields.get(2) == Some(&name),
        None => fields[0] == name,
    });
    match (found, number) {
        (Some(fields), _) => Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)),
        (None, Some(uid)) => Some((uid, uid)),
        (None, None) => None,
    }
}

/// A group's gid, by name or number. `None` where there is no such group.
#[must_use]
pub fn find_group(name: &str) -> Option<u32> {
    if let Ok(gid) = name.parse() {
        return Some(gid);
    }
    let table = table("/etc/group");
    entries(&table).find(|fields| fields[0] == name)?.get(2)?.parse().ok()
}

/// What cannot be read names nobody.
fn table(path: &str) -> String {
    let octets = files::read(Path::new(path), TABLE_MAX).unwrap_or_default();
    String::from_utf8_lossy(&octets).into_owned()
}

fn entries(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(find_user("root"), Some((0, 0)));
        assert_eq!(find_user("0"), Some((0, 0)));
        assert_eq!(find_user("4000000000"), Some((4_000_000_000, 4_000_000_000)));
        assert_eq!(find_user("nobody at all"), None);
        assert_eq!(
            (find_group("root"), find_group("7"), find_group("none at all")),
            (Some(0), Some(7), None)
        );
    }
}
