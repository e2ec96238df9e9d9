//! Names in a Maildir++ tree: what a message file's name says of flags and keywords, and a folder's of its mailbox.

use imap_wire::{decode_utf7, encode_utf7};
use store::Flags;

/// What a name says behind its unique part.
const INFO: &str = ":2,";
/// The keyword for which Maildir has a letter of its own, `P` (passed on).
pub(crate) const FORWARDED: &str = "$Forwarded";
/// Keywords that have letters, `a` to `z`, by the folder's file `dovecot-keywords`.
pub(crate) const LETTERS_MAX: usize = 26;
/// The file with the keywords that have letters: lines of a number, a space and the keyword.
pub(crate) const KEYWORDS_FILE: &str = "dovecot-keywords";
/// The file of ours with the keywords beyond: lines of a message's unique name and its keywords, with single spaces.
pub(crate) const MORE_KEYWORDS_FILE: &str = "wasmta-keywords";
/// Names that are subscribed to, one a line.
pub(crate) const SUBSCRIPTIONS_FILE: &str = "subscriptions";

const SYSTEM: [(char, Flags); 5] = [
    ('D', Flags::DRAFT),
    ('F', Flags::FLAGGED),
    ('R', Flags::ANSWERED),
    ('S', Flags::SEEN),
    ('T', Flags::DELETED),
];

/// The unique part of a file's name: the same wherever and under whatever flags the message is kept.
pub(crate) fn unique(file: &str) -> &str {
    file.split_once(INFO).map_or(file, |(unique, _)| unique)
}

/// The time in a name, which by custom begins with the second of delivery: what sorts messages as they came.
pub(crate) fn second(file: &str) -> u64 {
    let digits = file.bytes().take_while(u8::is_ascii_digit).count();
    file[..digits].parse().unwrap_or(0)
}

/// What a file's name says: system flags, and keywords by the names of their letters.
pub(crate) fn flags(file: &str, letters: &[String]) -> (Flags, Vec<String>) {
    let info = file.split_once(INFO).map_or("", |(_, info)| info);
    let (mut flags, mut keywords) = (Flags::NONE, Vec::new());
    for letter in info.chars() {
        if let Some((_, flag)) = SYSTEM.iter().find(|(known, _)| *known == letter) {
            flags = flags.with(*flag);
        } else if letter == 'P' {
            keywords.push(FORWARDED.to_owned());
        } else if letter.is_ascii_lowercase() {
            let name = letters.get(usize::from(letter as u8 - b'a')).filter(|name| !name.is_empty());
            let is_new = |name: &&String| !keywords.iter().any(|known| known.eq_ignore_ascii_case(name));
            let name = name.filter(is_new).cloned();
            keywords.extend(name);
        }
    }
    (flags, keywords)
}

/// The end of a file's name for flags and keywords, letters in order; keywords that have no letter are left out.
pub(crate) fn info<'k>(flags: Flags, keywords: impl Iterator<Item = &'k str>, letters: &[String]) -> String {
    let mut found: Vec<char> =
        SYSTEM.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(letter, _)| *letter).collect();
    for keyword in keywords {
        if keyword.eq_ignore_ascii_case(FORWARDED) {
            // Not all readers know this letter.
            found.push('P');
        }
        if let Some(at) = letters.iter().position(|known| known.eq_ignore_ascii_case(keyword))
            && let Ok(at) = u8::try_from(at)
        {
            found.push(char::from(b'a' + at));
        }
    }
    found.sort_unstable();
    found.dedup();
    format!("{INFO}{}", found.into_iter().collect::<String>())
}

/// The folder of a mailbox: `.Archive.2026` for `Archive/2026`, the root itself for the INBOX. Levels are in modified
/// UTF-7; a dot or backslash in one is written as `\2e` or `\5c`, as Dovecot's plugin listescape has them.
pub(crate) fn folder(mailbox: &str) -> String {
    if mailbox == store::INBOX {
        return String::new();
    }
    let levels = mailbox.split('/').map(|level| {
        let mut escaped = String::with_capacity(level.len());
        for character in encode_utf7(level).chars() {
            match character {
                '.' => escaped.push_str("\\2e"),
                '\\' => escaped.push_str("\\5c"),
                other => escaped.push(other),
            }
        }
        escaped
    });
    format!(".{}", levels.collect::<Vec<_>>().join("."))
}

/// The mailbox of a folder below the root: the inverse, which takes UTF-8 as well.
pub(crate) fn mailbox(folder: &str) -> String {
    let levels = folder.strip_prefix('.').unwrap_or(folder).split('.').map(level);
    levels.collect::<Vec<_>>().join("/")
}

/// One level. A slash, which divides levels here, becomes one that does not. What is no modified UTF-7 is taken as it stands: newer servers write UTF-8.
pub(crate) fn level(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escape, character) in [("\\2e", "."), ("\\2f", "\u{2215}"), ("\\5c", "\\")] {
        plain = plain.replace(escape, character);
    }
    if plain.is_ascii() { decode_utf7(&plain).unwrap_or(plain) } else { plain }
}

/// The keywords of letters, from the lines of `dovecot-keywords`.
pub(crate) fn letters(text: &str) -> Vec<String> {
    let mut letters = vec![String::new(); LETTERS_MAX];
    for line in text.lines() {
        if let Some((number, keyword)) = line.split_once(' ')
            && let Ok(number) = number.parse::<usize>()
            && let Some(place) = letters.get_mut(number)
        {
            keyword.trim().clone_into(place);
        }
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn flags_are_read_and_written() {
        let letters = strings(&["$Junk", "", "later"]);
        let (found, keywords) = flags("1.x.host,S=3:2,FPRSacz", &letters);
        assert_eq!(found, Flags::FLAGGED.with(Flags::ANSWERED).with(Flags::SEEN));
        assert_eq!(keywords, ["$Forwarded", "$Junk", "later"]);
        let names = ["later", "$forwarded", "$junk", "unlettered"];
        assert_eq!(info(found, names.into_iter(), &letters), ":2,FPRSac");
        assert_eq!(flags("1.x.host", &letters), (Flags::NONE, Vec::new()));
        assert_eq!(unique("1.x.host,S=3:2,FS"), "1.x.host,S=3");
        assert_eq!((second("1795776763.M1.x"), second("x")), (1_795_776_763, 0));
    }

    #[test]
    fn folders_are_named_both_ways() {
        for (name, folder_name) in [
            ("INBOX", ""),
            ("Sent", ".Sent"),
            ("Archive/2026", ".Archive.2026"),
            ("INBOX/a", ".INBOX.a"),
            ("Größe/v1.2", ".Gr&APYA3w-e.v1\\2e2"),
            ("back\\slash", ".back\\5cslash"),
        ] {
            assert_eq!(folder(name), folder_name);
            if !folder_name.is_empty() {
                assert_eq!(mailbox(folder_name), name);
            }
        }
        assert_eq!(mailbox(".Größe"), "Größe");
        assert_eq!(mailbox(".a&b"), "a&b");
    }

    #[test]
    fn letters_have_their_lines() {
        let found = letters("0 $Junk\n2 later\n99 beyond\nno number\n");
        assert_eq!((&*found[0], &*found[1], &*found[2]), ("$Junk", "", "later"));
    }
}
