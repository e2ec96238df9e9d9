//! Where a path ends in the line of MAIL or RCPT (RFC 5321 §4.1.2).

/// Splits `<path> parameters` after the closing bracket, which quoted local parts may hold as well.
/// Nothing, or a space, must follow the path.
pub(crate) fn split_path(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'<') {
        return None;
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let (path, rest) = text.split_at(at + 1);
                return if rest.is_empty() || rest.starts_with(' ') { Some((path, rest)) } else { None };
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::split_path;

    #[test]
    fn paths_end_at_the_bracket_outside_quotes() {
        for (text, split) in [
            ("<a@b> SIZE=1", Some(("<a@b>", " SIZE=1"))),
            ("<>", Some(("<>", ""))),
            (r#"<"a>b\"c>"@d> X"#, Some((r#"<"a>b\"c>"@d>"#, " X"))),
            ("<a@b>SIZE=1", None),
            ("<a@b", None),
            ("a@b", None),
            ("", None),
        ] {
            assert_eq!(split_path(text), split, "{text}");
        }
    }
}
