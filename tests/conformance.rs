//! What docs/conformance.md claims, held against the code that cites it.

#![allow(clippy::unwrap_used)] // what is missing fails the test, as it should

use std::collections::{BTreeMap, BTreeSet};

use mail_tests::sources::{assert_none, root, sources};

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

/// What the sources cite, with the crates that do: `RFC 5321`, `R36`.
fn citations() -> BTreeMap<String, BTreeSet<String>> {
    let mut cited: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let Some(owner) = path.strip_prefix("host").ok().and_then(|p| p.iter().next()) else { continue };
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
        for name in &claim.crates {
            if !cited.get(what).is_some_and(|crates| crates.contains(name)) {
                faults.push(format!("{what}: {name} does not cite it"));
            }
        }
    }
    assert_none(&faults, "docs/conformance.md");
}
