//! What an expected line may hold besides its text: `*`, and `<<name>>`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What the lines of one case have captured so far.
pub type Names = BTreeMap<String, String>;

/// Whether a line matches a pattern. `*` stands for any run of characters; `<<name>>` captures
/// such a run the first time, and must be the same text each further time; `<<!name>>` is a run that is not empty
/// and not what was captured. On success the new captures are added to `names`.
#[must_use]
pub fn matches(pattern: &str, line: &str, names: &mut Names) -> bool {
    let mut trial = names.clone();
    let hit = match_from(pattern, line, &mut trial);
    if hit {
        *names = trial;
    }
    hit
}

fn match_from(pattern: &str, line: &str, names: &mut Names) -> bool {
    let star = pattern.find('*');
    let name = pattern.find("<<").and_then(|at| pattern[at..].find(">>").map(|end| (at, at + end)));
    let (at, after, capture) = match (star, name) {
        (Some(star), Some((from, _))) if star < from => (star, star + 1, None),
        (_, Some((from, until))) => (from, until + 2, Some(&pattern[from + 2..until])),
        (Some(star), None) => (star, star + 1, None),
        (None, None) => return pattern == line,
    };
    let Some(rest) = line.strip_prefix(&pattern[..at]) else { return false };
    let tail = &pattern[after..];
    let other_than = capture.and_then(|name| name.strip_prefix('!'));
    if let Some(known) = capture.and_then(|name| names.get(name)).cloned() {
        return rest.strip_prefix(&known).is_some_and(|rest| match_from(tail, rest, names));
    }
    for (cut, _) in rest.char_indices().chain([(rest.len(), ' ')]) {
        if let Some(name) = other_than
            && (cut == 0 || names.get(name).is_none_or(|known| *known == rest[..cut]))
        {
            continue;
        }
        let mut trial = names.clone();
        if let Some(name) = capture.filter(|_| other_than.is_none()) {
            trial.insert(name.to_owned(), rest[..cut].to_owned());
        }
        if match_from(tail, &rest[cut..], &mut trial) {
            *names = trial;
            return true;
        }
    }
    false
}

/// Puts captured texts in place of `<<name>>`, and encodes `<<base64:text>>` (with the escapes of
/// [`unescape`]). An unknown name is an error.
pub fn fill(text: &str, names: &Names) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<<") {
        let Some((name, tail)) = after.split_once(">>") else { break };
        filled.push_str(before);
        match name.strip_prefix("base64:") {
            Some(plain) => filled.push_str(&STANDARD.encode(unescape(plain)?)),
            None => filled.push_str(names.get(name).ok_or_else(|| format!("nothing is called <<{name}>>"))?),
        }
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Octets from a text with `\r \n \t \0 \\ \xHH`, and `\{N*text}`: N times the text.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        octets.extend_from_slice(before.as_bytes());
        let kind = after.chars().next().ok_or("a lone \\ ends the line")?;
        let mut taken = 1;
        match kind {
            'r' => octets.push(b'\r'),
            'n' => octets.push(b'\n'),
            't' => octets.push(b'\t'),
            '0' => octets.push(0),
            '\\' => octets.push(b'\\'),
            'x' => {
                let digits = after.get(1..3).ok_or("\\x wants two digits")?;
                octets.push(u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits} is no octet"))?);
                taken = 3;
            }
            '{' => {
                let end = after.find('}').ok_or("\\{ wants a }")?;
                let (count, what) = after[1..end].split_once('*').ok_or("\\{N*text}")?;
                let count: usize = count.parse().map_err(|_| format!("{count:?} is no number"))?;
                octets.extend(unescape(what)?.repeat(count));
                taken = end + 1;
            }
            other => return Err(format!("\\{other} is no escape")),
        }
        rest = &after[taken..];
    }
    octets.extend_from_slice(rest.as_bytes());
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_names_match() {
        for (pattern, line, hit) in [
            ("250 ok", "250 ok", true),
            ("250 ok", "250 ok ", false),
            ("250 *", "250 2.1.0 fine", true),
            ("*", "", true),
            ("a*b*c", "a--b--b-c", true),
            ("a*b*c", "a--b--b-", false),
            ("<<x>>-<<x>>", "12-12", true),
            ("<<x>>-<<x>>", "12-13", false),
            ("<<x>>-<<!x>>", "12-13", true),
            ("<<x>>-<<!x>>", "12-12", false),
            ("<<x>>-<<!x>>", "12-", false),
            ("<<!unknown>>", "12", false),
        ] {
            assert_eq!(matches(pattern, line, &mut Names::new()), hit, "{pattern} / {line}");
        }
    }

    #[test]
    fn what_is_captured_is_filled_in_later() {
        let mut names = Names::new();
        assert!(matches("* OK [UIDVALIDITY <<v>>] *", "* OK [UIDVALIDITY 17] ok", &mut names));
        assert_eq!(fill("a <<v>> b", &names).unwrap(), "a 17 b");
        assert_eq!(fill("<<base64:\\0a\\0b>>", &names).unwrap(), "AGEAYg==");
        assert!(fill("<<w>>", &names).is_err());
        assert!(!matches("x <<v>>", "x 18", &mut names));
    }

    #[test]
    fn escapes_give_octets() {
        assert_eq!(unescape(r"a\r\n\x00\\\{3*xy}").unwrap(), b"a\r\n\x00\\xyxyxy");
        for bad in [r"\", r"\q", r"\x1", r"\xzz", r"\{3}", r"\{3*a"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }
}
