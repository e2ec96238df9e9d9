//! Keys of a search of which any may match.

use super::*;

#[test]
fn alternatives_are_as_many_as_keys_may_be() {
    let keys = |line: &str| match read(line).unwrap() {
        Command::Search(search) => search.keys,
        other => panic!("{other:?}"),
    };
    let all = |from: u64, to: u64| (from..=to).map(SearchKey::Larger).collect::<Vec<_>>();
    let right: String = (1..400).map(|number| format!("OR LARGER {number} ")).collect();
    assert_eq!(keys(&format!("a SEARCH {right}LARGER 400")), [SearchKey::Or(all(1, 400))]);
    let left: String = (2..=400).map(|number| format!(" larger {number}")).collect();
    assert_eq!(keys(&format!("a SEARCH {}LARGER 1{left}", "or ".repeat(399))), [SearchKey::Or(all(1, 400))]);
    assert_eq!(
        keys("a SEARCH OR OR LARGER 1 LARGER 2 OR LARGER 3 LARGER 4 LARGER 5"),
        [SearchKey::Or(all(1, 4)), SearchKey::Larger(5)]
    );
    assert_eq!(
        keys("a SEARCH OR NOT OR LARGER 1 LARGER 2 (LARGER 3)"),
        [SearchKey::Or(vec![SearchKey::Not(Box::new(SearchKey::Or(all(1, 2)))), SearchKey::And(all(3, 3))])]
    );
    // Filters of some clients.
    let parentheses: String = (1..40).map(|number| format!("OR (LARGER {number}) (")).collect();
    assert_eq!(keys(&format!("a SEARCH {parentheses}ALL{}", ")".repeat(39))).len(), 1);
    let many = format!("a SEARCH {}ALL", "OR ALL ".repeat(500));
    assert_eq!(read(&many), Err(ParseError::TooMany("search keys")));
    assert!(
        read("a SEARCH OR ALL").is_err()
            && read("a SEARCH OR OR ALL ALL").is_err()
            && read("a SEARCH OR ").is_err()
    );
}
