//! `[delivery-options]` and `[delivery-options-of.DOMAIN]`: what values of `mailDeliveryOption` do.

use mail_types::Domain;

use super::section::Section;

/// What a value of `mailDeliveryOption` does; its template is read once the channels are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryOptionText {
    /// In this domain alone.
    pub domain: Option<Domain>,
    /// The value.
    pub option: String,
    /// What it does.
    pub template: String,
    /// Its key in the file.
    pub key: String,
}

/// For all domains, then for single ones.
pub(super) fn read(general: &Section<'_>, of_domains: &Section<'_>) -> Vec<DeliveryOptionText> {
    let mut texts = of_table(general, None, "delivery-options");
    for (name, section) in of_domains.named_sections() {
        match Domain::parse(&name) {
            Ok(domain) => {
                let path = format!("delivery-options-of.{name}");
                texts.extend(of_table(&section, Some(&domain), &path));
            }
            Err(why) => {
                of_domains.fault(&name, why.to_string(), "write [delivery-options-of.\"example.org\"]")
            }
        }
    }
    texts
}

fn of_table(section: &Section<'_>, domain: Option<&Domain>, path: &str) -> Vec<DeliveryOptionText> {
    let read = |(option, texts): (String, Vec<String>)| {
        let key = format!("{path}.{option}");
        let mut texts = texts.into_iter();
        let (first, second) = (texts.next(), texts.next());
        if second.is_some() {
            let mend = "write one text; an option of a name of its own for each further template";
            section.fault(&option, "holds several templates", mend);
        }
        Some(DeliveryOptionText { domain: domain.cloned(), option, template: first?, key })
    };
    section.named_texts().into_iter().filter_map(read).collect()
}
