//! What becomes of user+tag: kept where the user allows the tag, taken off or refused where not.
//!
//! This file speaks with the host; `policy` decides.

mod policy;

wit_bindgen::generate!({ path: ["../../wit", "wit"], world: "user:subaddress-policy/plugin", generate_all });

use std::sync::OnceLock;

// Faster starts: the allocator.
use heap as _;

use exports::wasmta::policy::plugin::{Description, Guest as Card, Interest};
use exports::wasmta::policy::rewrite::{Guest as Rewrite, Request, Verdict};
use policy::{Outcome, Policy, Unknown};
use wasmta::policy::config::{self, Value};
use wasmta::policy::lookup;
use wasmta::policy::types::{Address, Attributes, Context, Failure, Reply};

const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "separator": { "type": "string", "enum": ["+", "-", "_", "=", "."], "default": "+",
      "description": "what stands between user and tag" },
    "lower-case": { "type": "boolean", "default": true,
      "description": "local parts of known users go on in lower case, where they have a tag" },
    "unknown-tag": { "type": "string", "enum": ["remove", "refuse", "keep"], "default": "remove",
      "description": "what becomes of a tag that the user does not allow" },
    "default-tags": { "type": "array", "items": { "type": "string" }, "default": ["*"],
      "description": "tags of users who name none: words, beginnings as news*, or * for all" },
    "tag-length-max": { "type": "integer", "minimum": 1, "maximum": 60, "default": 32,
      "description": "octets; a longer tag is allowed to nobody" },
    "table": { "type": "string", "default": "users", "description": "the table that knows the users" },
    "attribute": { "type": "string", "default": "mailAllowedTag",
      "description": "the user's attribute that names a tag; it may occur many times" },
    "reply": { "type": "string", "default": "This subaddress is not in use",
      "description": "what the client hears when a tag is refused" }
  }
}"#;

struct Plugin;

export!(Plugin);

impl Card for Plugin {
    fn describe() -> Description {
        Description {
            name: "subaddress-policy".into(),
            version: "1.1.0".into(),
            summary: "Which tags user+tag may have: kept, taken off or refused, by user".into(),
            config_schema: SCHEMA.into(),
            // Most mail is for plain addresses, and costs no call.
            interests: vec![Interest {
                role: "rewrite".into(),
                selector: "position=envelope direction=to local-contains={separator}".into(),
            }],
            attrs: vec![],
        }
    }
}

impl Rewrite for Plugin {
    fn rewrite(_: Context, batch: Vec<Request>) -> Result<Vec<Verdict>, Failure> {
        let Configured { policy, table, attributes, refusal } = configured()?;
        let names: Vec<Vec<String>> = batch
            .iter()
            .map(|request| match is_receiver(request) {
                true => policy.names(&request.address.local),
                false => vec![],
            })
            .collect();
        let of_domain = |(request, names): (&Request, &Vec<String>)| {
            names.iter().map(|name| [name, "@", &request.address.domain].concat()).collect::<Vec<_>>()
        };
        let keys: Vec<String> = batch.iter().zip(&names).flat_map(of_domain).collect();
        // All users of the batch at once, and nothing of them but their tags: a message to many costs one call.
        let mut rows = lookup::select(table, &keys, attributes)?.into_iter();

        let verdicts = batch.into_iter().zip(names).map(|(request, names)| {
            let tags = rows.by_ref().take(names.len()).map(|row| row.map(tags_of));
            let known: Vec<Option<Vec<String>>> = tags.collect();
            match policy.decide(&request.address.local, &known) {
                Outcome::Unchanged => Verdict::NoMatch,
                Outcome::Becomes(local) => Verdict::Again(Address { local, domain: request.address.domain }),
                Outcome::Refused => Verdict::Refuse(refusal.clone()),
            }
        });
        Ok(verdicts.collect())
    }
}

/// Subaddresses are receivers' business in the envelope; headers and senders keep what they say.
fn is_receiver(request: &Request) -> bool {
    request.position == "envelope" && request.direction == "to"
}

fn tags_of(row: Attributes) -> Vec<String> {
    row.into_iter().map(|(_, tag)| tag).collect()
}

/// What the configuration says, read once an instance: nothing else may be kept in variables.
struct Configured {
    policy: Policy,
    table: String,
    /// The one that names a user's tags.
    attributes: [String; 1],
    refusal: Reply,
}

fn configured() -> Result<&'static Configured, Failure> {
    static READ: OnceLock<Result<Configured, Failure>> = OnceLock::new();
    READ.get_or_init(|| Values(config::all()).read()).as_ref().map_err(Failure::clone)
}

/// The keys and values of the configuration, with the defaults that the host has filled in.
struct Values(Vec<(String, Value)>);

impl Values {
    fn read(mut self) -> Result<Configured, Failure> {
        let unknown = match self.text("unknown-tag")?.as_str() {
            "remove" => Unknown::Remove,
            "refuse" => Unknown::Refuse,
            "keep" => Unknown::Keep,
            _ => return Err(wrong("unknown-tag")),
        };
        let policy = Policy {
            separator: self.text("separator")?.chars().next().ok_or_else(|| wrong("separator"))?,
            lower_case: matches!(self.take("lower-case"), Some(Value::Flag(true))),
            unknown,
            default_tags: match self.take("default-tags") {
                Some(Value::Items(tags)) => tags,
                _ => return Err(wrong("default-tags")),
            },
            tag_length_max: match self.take("tag-length-max") {
                Some(Value::Number(length)) => usize::try_from(length).map_err(|_| wrong("tag-length-max"))?,
                _ => return Err(wrong("tag-length-max")),
            },
        };
        let text = policy::printable(&self.text("reply")?);
        let refusal = Reply { code: 550, enhanced: "5.1.1".into(), text };
        Ok(Configured { policy, table: self.text("table")?, attributes: [self.text("attribute")?], refusal })
    }

    fn text(&mut self, key: &str) -> Result<String, Failure> {
        match self.take(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(wrong(key)),
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(own, _)| own == key)?;
        Some(self.0.swap_remove(at).1)
    }
}

fn wrong(key: &str) -> Failure {
    Failure { permanent: false, message: format!("configuration: {key} is missing or wrong") }
}
