//! What a tag is.

/// At how many separators a local part is tried: `a-b-c-d-e-f@` must not cost a look-up for each sign.
const SPLITS_MAX: usize = 4;

/// Octets; a longer one makes no mailbox.
const TAG_MAX: usize = 40;

/// User and tag, the longest user first; neither is empty.
pub fn splits(local: &str, separator: char) -> Vec<(&str, &str)> {
    let cut = local.rmatch_indices(separator).map(|(at, sign)| (&local[..at], &local[at + sign.len()..]));
    cut.filter(|(user, tag)| !user.is_empty() && !tag.is_empty()).take(SPLITS_MAX).collect()
}

/// Whether a tag may become the name of a mailbox: small letters, digits, `-`, `_` and inner points. Nothing that
/// nests, leads out of the root, or looks like another name.
pub fn is_plain(tag: &str) -> bool {
    let sign = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    !tag.is_empty()
        && tag.len() <= TAG_MAX
        && tag.chars().all(sign)
        && !tag.starts_with('.')
        && !tag.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_have_the_longest_user_first_and_no_empty_end() {
        assert_eq!(splits("anna-maria-shop", '-'), [("anna-maria", "shop"), ("anna", "maria-shop")]);
        for none in ["", "-", "-shop", "shop-", "---", "anna"] {
            let found = splits(none, '-');
            assert!(found.iter().all(|(user, tag)| !user.is_empty() && !tag.is_empty()), "{none}: {found:?}");
        }
        assert_eq!(splits(&"a-".repeat(1000), '-').len(), SPLITS_MAX);
    }

    #[test]
    fn only_plain_tags_are_mailboxes() {
        for (tag, plain) in [
            ("shop", true),
            ("a.b-c_1", true),
            ("", false),
            ("..", false),
            (".x", false),
            ("a..b", false),
            ("a/b", false),
            ("é", false),
            ("a b", false),
        ] {
            assert_eq!(is_plain(tag), plain, "{tag}");
        }
        assert!(!is_plain(&"a".repeat(TAG_MAX + 1)));
    }
}
