//! What docs/conformance.md claims, held against the code that cites it.

#![allow(clippy::unwrap_used)] // what is missing fails the test, as it should

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mail_tests::dialog::Place as _;
use mail_tests::server::TestServer;
use mail_tests::sources::{assert_none, root, sources};
use mail_tests::txtar::Archive;
use mail_tests::wire::Wire;

/// A row of docs/conformance.md: what it claims, and for which crates.
struct Claim {
    status: String,
    crates: Vec<String>,
}

/// The rows of the tables in docs/conformance.md, by their first column (`RFC 5321`, `R36`).
fn claims() -> BTreeMap<String, Claim> {
    let text = std::fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let mut claims = BTreeMap::new();
    let is_row = |line: &&str| {
        let number = line.strip_prefix("| RFC ").or_else(|| line.strip_prefix("| R"));
        number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    for line in text.lines().filter(is_row) {
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, _, status, crates, ..] = columns.as_slice() else { panic!("too few columns: {line}") };
        let crates = crates.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let claim = Claim { status: (*status).to_owned(), crates };
        assert!(
            claims.insert((*what).to_owned(), claim).is_none(),
            "{what} stands twice in docs/conformance.md"
        );
    }
    claims
}

/// The part of a source that is no test: a citation there proves nothing about what the server does.
fn without_tests(path: &Path, text: &str) -> Option<String> {
    let is_test = path.ends_with("tests.rs") || path.iter().any(|part| part == "tests" || part == "benches");
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    (!is_test).then(|| text[..end].to_owned())
}

/// What the sources cite, with the crates that do: `RFC 5321`, `R36`.
fn citations() -> BTreeMap<String, BTreeSet<String>> {
    let mut cited: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let Some(owner) = path.strip_prefix("host").ok().and_then(|p| p.iter().next()) else { continue };
        let Some(text) = without_tests(&path, &text) else { continue };
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let mut previous = "";
        for word in words {
            let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let found = if previous == "RFC" && number(word) && word.len() >= 3 {
                Some(format!("RFC {word}"))
            } else {
                let digits = word.strip_prefix('R').filter(|digits| number(digits));
                let value = digits.and_then(|digits| digits.parse::<u32>().ok());
                value.filter(|value| (1..=104).contains(value)).map(|value| format!("R{value}"))
            };
            if let Some(found) = found {
                cited.entry(found).or_default().insert(owner.to_string_lossy().into_owned());
            }
            previous = word;
        }
    }
    cited
}

#[test]
fn the_conformance_table_agrees_with_the_code() {
    let (claims, cited) = (claims(), citations());
    let mut faults = Vec::new();
    for (what, crates) in &cited {
        if !claims.contains_key(what) {
            faults.push(format!("{what} is cited by {crates:?} and stands in no row"));
        }
    }
    for number in 1..=104 {
        if !claims.contains_key(&format!("R{number}")) {
            faults.push(format!("R{number} stands in no row"));
        }
    }
    for (what, claim) in &claims {
        match claim.status.as_str() {
            "absent" => continue,
            "full" | "partial" => {}
            other => faults.push(format!("{what}: {other:?} is not full, partial or absent")),
        }
        if claim.crates.is_empty() {
            faults.push(format!("{what} is {} and names no crate", claim.status));
        }
        let named = |name: &&String| !claim.crates.contains(*name);
        for name in cited.get(what).into_iter().flatten().filter(named) {
            faults.push(format!("{what}: {name} cites it and is not named"));
        }
        for name in &claim.crates {
            if !cited.get(what).is_some_and(|crates| crates.contains(name)) {
                faults.push(format!("{what}: {name} does not cite it"));
            }
        }
    }
    assert_none(&faults, "docs/conformance.md");
}

/// The rows behind the words that a server announces. A word that is not here is announced without a
/// row; a word here whose row is not absent has to be announced.
const CAPABILITIES: &[(&str, &[(&str, &str)])] = &[
    (
        "smtp",
        &[
            ("PIPELINING", "RFC 2920"),
            ("SIZE", "RFC 1870"),
            ("8BITMIME", "RFC 6152"),
            ("SMTPUTF8", "RFC 6531"),
            ("CHUNKING", "RFC 3030"),
            ("BINARYMIME", "RFC 3030"),
            ("DSN", "RFC 3461"),
            ("ENHANCEDSTATUSCODES", "RFC 2034"),
            ("STARTTLS", "RFC 3207"),
            ("AUTH", "RFC 4954"),
            ("HELP", "RFC 5321"),
            ("REQUIRETLS", "RFC 8689"),
            ("LIMITS", "RFC 9422"),
        ],
    ),
    (
        "imap",
        &[
            ("IMAP4rev1", "RFC 3501"),
            ("IMAP4rev2", "RFC 9051"),
            ("LITERAL+", "RFC 7888"),
            ("SASL-IR", "RFC 4959"),
            ("ID", "RFC 2971"),
            ("ENABLE", "RFC 5161"),
            ("STARTTLS", "RFC 3501"),
            ("AUTH=SCRAM-SHA-256", "RFC 7677"),
            ("AUTH=PLAIN", "RFC 4616"),
            ("AUTH=LOGIN", "RFC 4422"),
            ("IDLE", "RFC 2177"),
            ("NAMESPACE", "RFC 2342"),
            ("ACL", "RFC 4314"),
            ("RIGHTS=kxte", "RFC 4314"),
            ("LIST-MYRIGHTS", "RFC 8440"),
            ("UIDPLUS", "RFC 4315"),
            ("UNSELECT", "RFC 3691"),
            ("MOVE", "RFC 6851"),
            ("CHILDREN", "RFC 5258"),
            ("LIST-EXTENDED", "RFC 5258"),
            ("LIST-STATUS", "RFC 5819"),
            ("SPECIAL-USE", "RFC 6154"),
            ("CREATE-SPECIAL-USE", "RFC 6154"),
            ("STATUS=SIZE", "RFC 8438"),
            ("ACL", "RFC 4314"),
            ("CATENATE", "RFC 4469"),
            ("METADATA", "RFC 5464"),
            ("NOTIFY", "RFC 5465"),
            ("SORT", "RFC 5256"),
            ("UTF8=ACCEPT", "RFC 6855"),
            ("CONDSTORE", "RFC 7162"),
            ("QUOTA", "RFC 9208"),
            ("LIST-MYRIGHTS", "RFC 8440"),
            ("RIGHTS=kxte", "RFC 4314"),
            ("APPENDLIMIT=52428800", "RFC 7889"),
            ("BINARY", "RFC 3516"),
            ("ESEARCH", "RFC 4731"),
            ("ESORT", "RFC 5267"),
            ("CONTEXT=SEARCH", "RFC 5267"),
            ("CONTEXT=SORT", "RFC 5267"),
            ("UIDONLY", "RFC 9586"),
            ("MULTIAPPEND", "RFC 3502"),
            ("OBJECTID", "RFC 8474"),
            ("PARTIAL", "RFC 9394"),
            ("PREVIEW", "RFC 8970"),
            ("QRESYNC", "RFC 7162"),
            ("QUOTA=RES-MESSAGE", "RFC 9208"),
            ("QUOTA=RES-STORAGE", "RFC 9208"),
            ("REPLACE", "RFC 8508"),
            ("SAVEDATE", "RFC 8514"),
            ("SEARCHRES", "RFC 5182"),
            ("SORT=DISPLAY", "RFC 5957"),
            ("THREAD=ORDEREDSUBJECT", "RFC 5256"),
            ("THREAD=REFERENCES", "RFC 5256"),
            ("WITHIN", "RFC 5032"),
            ("COMPRESS=DEFLATE", "RFC 4978"),
        ],
    ),
    (
        "pop3",
        &[
            ("TOP", "RFC 1939"),
            ("UIDL", "RFC 1939"),
            ("USER", "RFC 1939"),
            ("SASL", "RFC 5034"),
            ("STLS", "RFC 2595"),
            ("RESP-CODES", "RFC 2449"),
            ("AUTH-RESP-CODE", "RFC 3206"),
            ("PIPELINING", "RFC 2449"),
            ("EXPIRE", "RFC 2449"),
            ("UTF8", "RFC 6856"),
            ("LANG", "RFC 6856"),
            ("IMPLEMENTATION", "RFC 2449"),
        ],
    ),
];

/// How each server is asked what it can, and the beginning of the last line of each answer.
const QUESTIONS: [(&str, &[(&str, &str)]); 3] = [
    ("smtp", &[("EHLO client.test", "250 ")]),
    ("imap", &[("a CAPABILITY", "a "), ("b LOGIN user1@example.org password", "b "), ("c CAPABILITY", "c ")]),
    ("pop3", &[("CAPA", ".")]),
];

/// The words that a server announces.
async fn announced(server: &TestServer, protocol: &str, questions: &[(&str, &str)]) -> BTreeSet<String> {
    let mut wire = Wire::connect(server.listener(protocol).unwrap()).await.unwrap();
    wire.line().await.unwrap();
    let mut words = BTreeSet::new();
    for (question, end) in questions {
        wire.send(format!("{question}\r\n").as_bytes()).await.unwrap();
        loop {
            let line = String::from_utf8(wire.line().await.unwrap().unwrap()).unwrap();
            match protocol {
                "imap" => words.extend(
                    line.strip_prefix("* CAPABILITY ")
                        .into_iter()
                        .flat_map(str::split_whitespace)
                        .map(str::to_owned),
                ),
                "smtp" => words.extend(line[4..].split_whitespace().next().map(str::to_owned)),
                _ => words.extend(line.split_whitespace().next().map(str::to_owned)),
            }
            if line.starts_with(end) {
                break;
            }
        }
    }
    let is_no_word = |word: &str| ["+OK", ".", "mail.example.org"].contains(&word);
    words.retain(|word| !is_no_word(word));
    words
}

#[tokio::test]
async fn what_is_announced_has_a_row_and_what_has_a_row_is_announced() {
    let claims = claims();
    let server = TestServer::start(&Archive::parse(""), &[]).await.unwrap();
    let mut faults = Vec::new();
    for (protocol, questions) in QUESTIONS {
        let words = announced(&server, protocol, questions).await;
        let (_, known) = CAPABILITIES.iter().find(|(name, _)| *name == protocol).unwrap();
        for word in &words {
            if !known.iter().any(|(known, _)| known == word) {
                faults.push(format!("{protocol}: {word} is announced, and no row is known for it"));
            }
        }
        for (word, row) in *known {
            let is_kept = claims.get(*row).is_some_and(|claim| claim.status != "absent");
            match (is_kept, words.contains(*word)) {
                (true, false) => {
                    faults.push(format!("{protocol}: {row} is kept, but {word} is not announced"))
                }
                (false, true) => {
                    faults.push(format!("{protocol}: {word} is announced, but {row} is not kept"))
                }
                _ => {}
            }
        }
    }
    server.stop().await;
    assert_none(&faults, "capabilities");
}
