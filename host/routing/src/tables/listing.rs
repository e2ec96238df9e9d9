//! The list of an entry: under which keys its rows and its mark are, so that a changed entry replaces exactly its own; and
//! by which plugin its rows were built.

/// Where marks are in [`super::rebuild::SPACES`].
pub(super) const MARKS: u8 = 3;
/// What is no key of a row, but says by which plugin the rows were built.
pub(super) const MAKER: u8 = 4;

/// Lists a key of an entry: space, length, name.
pub(super) fn write_key(list: &mut Vec<u8>, space: u8, name: &str) {
    list.push(space);
    list.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
    list.extend_from_slice(name.as_bytes());
}

/// By which plugin the rows of a list were built; none for the native builder.
pub(super) fn read_maker(list: &[u8]) -> Option<String> {
    let listed = read_list(list)?;
    listed.into_iter().find(|(space, _)| *space == MAKER).map(|(_, maker)| maker)
}

/// The keys of a list.
pub(super) fn read_keys(list: &[u8]) -> Option<Vec<(u8, String)>> {
    let mut keys = read_list(list)?;
    keys.retain(|(space, _)| *space != MAKER);
    Some(keys)
}

/// The inverse of [`write_key`], for a whole list.
fn read_list(mut list: &[u8]) -> Option<Vec<(u8, String)>> {
    let mut keys = Vec::new();
    while let Some((&space, rest)) = list.split_first() {
        let (length, rest) = rest.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        // Lists are of rows and marks, not of lists.
        if space > MAKER || space == 2 {
            return None;
        }
        keys.push((space, String::from_utf8(name.to_vec()).ok()?));
        list = rest;
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_makers_share_a_list_and_are_told_apart() {
        let mut list = Vec::new();
        write_key(&mut list, 1, "a@b.test");
        write_key(&mut list, MAKER, "p 0a1b");
        write_key(&mut list, MARKS, "b.test/01");
        assert_eq!(read_keys(&list).unwrap(), [(1, "a@b.test".to_owned()), (MARKS, "b.test/01".to_owned())]);
        assert_eq!(read_maker(&list).as_deref(), Some("p 0a1b"));
        for wrong in [&[2, 0, 0][..], &[MAKER + 1, 0, 0], &[0, 9, 0, b'x'], &[0, 1]] {
            assert_eq!((read_keys(wrong), read_maker(wrong)), (None, None), "{wrong:?}");
        }
    }
}
