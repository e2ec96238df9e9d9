//! What a plugin reads of a user's entry: it is given that, and nothing else.

use std::borrow::Cow;

use hooks::Attributes;

use crate::call::Values;
use crate::interest::{SELECTOR_MAX, configured};
use crate::question::Question;

/// The key of a card under which a plugin names the attributes that it reads.
pub(crate) const KEY: &str = "entry-attributes";
/// Most attributes that a plugin names.
pub(crate) const NAMES_MAX: usize = 64;

/// The attributes of a user's entry that a plugin is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It names none: all of them.
    #[default]
    All,
    /// These, whatever the case of their letters.
    Named(Vec<String>),
}

impl Reads {
    /// Reads what a card says: names between spaces; `{key}` stands for a text of the configuration.
    pub(crate) fn parse(said: Option<&str>, values: &Values) -> Result<Self, String> {
        let Some(said) = said else { return Ok(Self::All) };
        let in_words = |why: String| format!("{KEY}: {why}");
        if said.len() > SELECTOR_MAX {
            return Err(in_words(format!("it has at most {SELECTOR_MAX} octets")));
        }
        let names: Result<Vec<_>, _> = said.split_whitespace().map(|name| configured(name, values)).collect();
        let names = names.map_err(in_words)?;
        if names.len() > NAMES_MAX {
            return Err(in_words(format!("it names at most {NAMES_MAX} attributes")));
        }
        Ok(Self::Named(names))
    }

    /// Whether an attribute is among them, with or without options.
    pub(crate) fn has(&self, attribute: &str) -> bool {
        let Self::Named(names) = self else { return true };
        let attribute = attribute.as_bytes();
        let is = |name: &str| match attribute.get(..name.len()) {
            Some(head) if head.eq_ignore_ascii_case(name.as_bytes()) => {
                attribute.get(name.len()).is_none_or(|next| *next == b';')
            }
            _ => false,
        };
        names.iter().any(|name| is(name))
    }

    /// Those of an entry.
    pub(crate) fn of(&self, entry: &Attributes) -> Attributes {
        entry.iter().filter(|(name, _)| self.has(name)).cloned().collect()
    }

    /// A question as the plugin is asked it.
    pub(crate) fn narrowed<'q>(&self, question: &'q Question) -> Cow<'q, Question> {
        let is_narrow = |entry: &Attributes| entry.iter().all(|(name, _)| self.has(name));
        let mut narrower = match question {
            Question::AuthorizeSender(_, request) if !is_narrow(&request.attrs) => question.clone(),
            Question::Disposition(_, all) if !all.iter().all(|one| is_narrow(&one.profile)) => {
                question.clone()
            }
            _ => return Cow::Borrowed(question),
        };
        match &mut narrower {
            Question::AuthorizeSender(_, request) => request.attrs.retain(|(name, _)| self.has(name)),
            Question::Disposition(_, all) => {
                all.iter_mut().for_each(|one| one.profile.retain(|(name, _)| self.has(name)));
            }
            _ => {}
        }
        Cow::Owned(narrower)
    }
}

#[cfg(test)]
mod tests {
    use hooks::{CallContext, DispositionRequest};
    use mail_types::{AccountName, Address};

    use super::*;
    use crate::bindings::wasmta::policy::config::Value;

    fn entry() -> Attributes {
        ["uid", "mailVip", "description;lang-de", "mailvip"]
            .map(|name| (name.to_owned(), format!("of {name}")))
            .to_vec()
    }

    fn reads(said: &str) -> Reads {
        let values = Values::from([("vip".to_owned(), Value::Text("mailVIP".to_owned()))]);
        Reads::parse(Some(said), &values).unwrap()
    }

    fn names(of: &Attributes) -> Vec<&str> {
        of.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn those_that_are_named_are_given_and_without_a_word_all() {
        assert_eq!(Reads::parse(None, &Values::new()).unwrap().of(&entry()), entry());
        assert_eq!(names(&reads("{vip}").of(&entry())), ["mailVip", "mailvip"]);
        assert_eq!(names(&reads("UID  Description").of(&entry())), ["uid", "description;lang-de"]);
        assert!(reads("").of(&entry()).is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        let said = |text: &str| Reads::parse(Some(text), &Values::new()).unwrap_err();
        let missing =
            "entry-attributes: \"{vip}\": the configuration has no vip: give it a default in config-schema";
        assert_eq!(said("{vip}"), missing);
        assert_eq!(said(&"a ".repeat(65)), "entry-attributes: it names at most 64 attributes");
        assert_eq!(said(&"a".repeat(513)), "entry-attributes: it has at most 512 octets");
    }

    #[test]
    fn a_recorded_question_is_narrowed_before_it_is_asked() {
        let address = Address::parse("anna@example.org").unwrap();
        let request = DispositionRequest {
            original: address.clone(),
            sender: None,
            detail: String::new(),
            account: AccountName::new("anna@example.org").unwrap(),
            profile: entry().into(),
            address,
        };
        let whole = Question::dispose(&CallContext::default(), request.clone(), &Reads::All);
        let narrow = Question::dispose(&CallContext::default(), request, &reads("uid"));
        assert_ne!(whole, narrow);
        assert_eq!(*reads("uid").narrowed(&whole), narrow);
        assert!(matches!(reads("uid").narrowed(&narrow), Cow::Borrowed(_)));
        assert!(matches!(Reads::All.narrowed(&whole), Cow::Borrowed(_)));
    }
}
