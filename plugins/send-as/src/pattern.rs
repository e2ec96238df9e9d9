//! Patterns of addresses: `user@domain`, `*@domain` for a whole domain, `*@.domain` for all domains below it.

/// Whether a pattern covers an address; letters compare without case. A star stands for a whole local part and for
/// nothing else, so that no pattern covers more than it shows.
pub fn covers(pattern: &str, address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let Some((wanted, of)) = pattern.trim().rsplit_once('@') else { return false };
    if local.is_empty() || domain.is_empty() || of.is_empty() {
        return false;
    }
    (wanted == "*" || wanted.eq_ignore_ascii_case(local)) && covers_domain(of, domain)
}

fn covers_domain(pattern: &str, domain: &str) -> bool {
    if !pattern.starts_with('.') {
        return pattern.eq_ignore_ascii_case(domain);
    }
    let below = domain.len().checked_sub(pattern.len()).filter(|at| *at > 0);
    below.and_then(|at| domain.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(pattern))
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_what_it_shows_and_no_more() {
        for (pattern, address, covered) in [
            ("info@example.org", "INFO@Example.org", true),
            ("info@example.org", "info@sub.example.org", false),
            ("*@example.org", "any+one@example.org", true),
            ("*@example.org", "anna@notexample.org", false),
            ("*@example.org", "anna@example.org.evil.example", false),
            ("*@.example.org", "anna@lists.example.org", true),
            ("*@.example.org", "anna@example.org", false),
            ("*@.example.org", "anna@.example.org", false),
            ("*@.example.org", "anna@badexample.org", false),
            ("in*@example.org", "info@example.org", false),
            ("*", "anna@example.org", false),
            ("*@", "anna@", false),
            ("@example.org", "@example.org", false),
            ("*@*", "anna@example.org", false),
            ("*@.é", "anna@aé", false),
            ("", "", false),
        ] {
            assert_eq!(covers(pattern, address), covered, "{pattern} and {address}");
        }
    }
}
