//! The order of texts for people.

use icu_normalizer::DecomposingNormalizerBorrowed;

/// A text as i;unicode-casemap compares it (RFC 5051 §2): letters in one case, what is composed
/// taken apart. Keys compare by their octets. Upper case stands for title case, which differs for a
/// few digraphs only.
#[must_use]
pub fn collation_key(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    DecomposingNormalizerBorrowed::new_nfkd().normalize(&text.to_uppercase()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_do_not_count() {
        assert_eq!(collation_key("Hello"), collation_key("hELLO"));
        assert_eq!(collation_key("Grün"), collation_key("gru\u{308}N"));
        assert!(
            collation_key("apfel") < collation_key("Äpfel") && collation_key("Äpfel") < collation_key("b")
        );
    }
}
