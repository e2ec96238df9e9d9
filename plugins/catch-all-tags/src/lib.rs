//! One plugin in three roles, for people who give each correspondent an address of its own: user-tag@.
//!
//! - rewrite: user-tag@ of an existing user becomes user+tag@, which the server delivers to the user; blocked tags are
//!   refused before the mail is taken.
//! - disposition: mail for a tag is filed in a mailbox of its name.
//! - authorize-sender: the user may answer as user-tag@ and as user+tag@.
//!
//! This file speaks with the host; `tag` knows tags.

mod tag;

wit_bindgen::generate!({ path: ["../../wit", "wit"], world: "user:catch-all-tags/plugin", generate_all });

use std::sync::OnceLock;

// Faster starts: the allocator.
use heap as _;

use exports::wasmta::policy::plugin::{Description, Guest as Card, Interest};
use exports::wasmta::policy::{authorize_sender, disposition, rewrite};
use wasmta::policy::config::{self, Value};
use wasmta::policy::lookup;
use wasmta::policy::types::{Address, Context, Failure, Reply};

const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "root": { "type": "string", "default": "Tags",
      "description": "the mailbox under which tags have theirs; empty: at the top" },
    "mailboxes": { "type": "object", "default": {}, "additionalProperties": { "type": "string" },
      "description": "tag to mailbox, for tags that are filed elsewhere" },
    "label": { "type": "boolean", "default": false,
      "description": "mark the mail with the tag as a keyword, too" },
    "blocked": { "type": "array", "items": { "type": "string" }, "default": [],
      "description": "tags that get no mail any more, for everybody" },
    "blocked-attribute": { "type": "string", "default": "mailBlockedTag",
      "description": "the user's attribute that names a tag which gets no mail any more" }
  }
}"#;

struct Plugin;

export!(Plugin);

impl Card for Plugin {
    fn describe() -> Description {
        let interest = |role: &str, selector: &str| Interest { role: role.into(), selector: selector.into() };
        Description {
            name: "catch-all-tags".into(),
            version: "1.1.0".into(),
            summary: "An address for each correspondent: user-tag@, filed by tag, and usable as a sender"
                .into(),
            config_schema: SCHEMA.into(),
            interests: vec![
                interest("rewrite", "position=envelope direction=to local-contains=-"),
                interest("authorize-sender", "local-contains=-"),
                interest("authorize-sender", "local-contains=+"),
            ],
            attrs: vec![("entry-attributes".into(), "{blocked-attribute}".into())],
        }
    }
}

impl rewrite::Guest for Plugin {
    fn rewrite(_: Context, batch: Vec<rewrite::Request>) -> Result<Vec<rewrite::Verdict>, Failure> {
        batch.into_iter().map(verdict).collect()
    }
}

fn verdict(request: rewrite::Request) -> Result<rewrite::Verdict, Failure> {
    if request.position != "envelope" || request.direction != "to" {
        return Ok(rewrite::Verdict::NoMatch);
    }
    // user+tag with a hyphen in the tag has its form already.
    let local = request.address.local.to_lowercase();
    let splits = if local.contains('+') { vec![] } else { tag::splits(&local, '-') };
    if splits.is_empty() {
        return Ok(rewrite::Verdict::NoMatch);
    }
    // The whole name first: where it is somebody, the hyphen belongs to the name.
    let names = [local.as_str()].into_iter().chain(splits.iter().map(|(user, _)| *user));
    let keys: Vec<String> = names.map(|name| format!("{name}@{}", request.address.domain)).collect();
    let mut rows = lookup::select("users", &keys, &[text("blocked-attribute").to_owned()])?.into_iter();
    if rows.next().flatten().is_some() {
        return Ok(rewrite::Verdict::NoMatch);
    }
    let Some(((user, tag), row)) = splits.into_iter().zip(rows).find_map(|(split, row)| Some((split, row?)))
    else {
        return Ok(rewrite::Verdict::NoMatch);
    };
    if is_blocked(tag, &row) {
        return Ok(rewrite::Verdict::Refuse(refusal()));
    }
    Ok(rewrite::Verdict::Again(Address { local: format!("{user}+{tag}"), domain: request.address.domain }))
}

impl disposition::Guest for Plugin {
    fn decide(_: Context, to: disposition::Recipient) -> Result<Vec<disposition::Action>, Failure> {
        let detail = to.detail.to_lowercase();
        if detail.is_empty() {
            return Ok(vec![]);
        }
        // Whoever wrote user+tag@ did not pass the rewriting, so what is blocked is blocked here again.
        if is_blocked(&detail, &to.profile) {
            return Ok(vec![disposition::Action::Reject(refusal())]);
        }
        // A sender chooses tags: only plain ones become mailboxes, any other mail stays in INBOX.
        if !tag::is_plain(&detail) {
            return Ok(vec![]);
        }
        let label = matches!(value("label"), Some(Value::Flag(true)));
        let labels = if label { vec![detail.clone()] } else { vec![] };
        Ok(vec![disposition::Action::Keep(disposition::Filing { mailbox: mailbox_of(&detail), labels })])
    }
}

fn mailbox_of(tag: &str) -> String {
    match (text(&format!("mailboxes.{tag}")), text("root")) {
        ("", "") => tag.to_owned(),
        ("", root) => format!("{root}/{tag}"),
        (mailbox, _) => mailbox.to_owned(),
    }
}

impl authorize_sender::Guest for Plugin {
    /// Allows what is clear: one's own name, and a tag after it. A longer name may be somebody else's: anna may not
    /// send as anna-maria@, where that is an account.
    fn authorize(
        _: Context,
        question: authorize_sender::Request,
    ) -> Result<authorize_sender::Verdict, Failure> {
        let (local, account) = (question.address.local.to_lowercase(), question.account.to_lowercase());
        let domain = question.address.domain;
        let own = |sign: char| {
            let mut splits = tag::splits(&local, sign).into_iter();
            splits.any(|(user, tag)| tag::is_plain(tag) && format!("{user}@{domain}") == account)
        };
        if own('+') {
            return Ok(authorize_sender::Verdict::Allow);
        }
        if own('-') && !is_anybody_else(&local, &domain, &account)? {
            return Ok(authorize_sender::Verdict::Allow);
        }
        Ok(authorize_sender::Verdict::NoOpinion)
    }
}

/// Whether an address, or what stands before one of its hyphens, is a user with a longer name than the account: then
/// that user's tags are not the account's.
fn is_anybody_else(local: &str, domain: &str, account: &str) -> Result<bool, Failure> {
    let splits = tag::splits(local, '-');
    let names = [local].into_iter().chain(splits.iter().map(|(user, _)| *user));
    let addresses = names.map(|name| format!("{name}@{domain}"));
    let longer: Vec<String> = addresses.take_while(|address| address != account).collect();
    Ok(lookup::select("users", &longer, &[])?.iter().any(Option::is_some))
}

fn is_blocked(tag: &str, attributes: &[(String, String)]) -> bool {
    let attribute = text("blocked-attribute");
    let own =
        attributes.iter().filter(|(name, _)| name.eq_ignore_ascii_case(attribute)).map(|(_, value)| value);
    let everybodys = match value("blocked") {
        Some(Value::Items(tags)) => &tags[..],
        _ => &[],
    };
    own.chain(everybodys).any(|blocked| blocked.to_lowercase() == tag)
}

fn refusal() -> Reply {
    Reply { code: 550, enhanced: "5.1.1".into(), text: "This address is no longer used".into() }
}

/// A text of the configuration; empty where it has none.
fn text(key: &str) -> &'static str {
    match value(key) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// A value of the configuration, with the defaults that the host has filled in. It is fetched once an instance: nothing
/// else may be kept in variables.
fn value(key: &str) -> Option<&'static Value> {
    static ALL: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    ALL.get_or_init(config::all).iter().find(|(own, _)| own == key).map(|(_, value)| value)
}
