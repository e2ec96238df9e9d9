//! Who may send as whom: by a delegation that the account or the address has in the directory, or by the configuration.
//!
//! This file speaks with the host; `pattern` compares addresses.

mod pattern;

wit_bindgen::generate!({ path: ["../../wit", "wit"], world: "user:send-as/plugin", generate_all });

use std::slice;
use std::sync::OnceLock;

// Faster starts: the allocator.
use heap as _;

use exports::wasmta::policy::authorize_sender::{Guest as Authorize, Request, Verdict};
use exports::wasmta::policy::plugin::{Description, Guest as Card};
use wasmta::policy::config::{self, Value};
use wasmta::policy::lookup;
use wasmta::policy::types::{Context, Failure, Reply};

const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "account-attribute": { "type": "string", "default": "mailSendAs",
      "description": "the account's attribute that names addresses it may send as" },
    "address-attribute": { "type": "string", "default": "mailDelegate",
      "description": "the attribute of an address that names accounts which may send as it" },
    "grants": { "type": "object", "default": {},
      "additionalProperties": { "type": "array", "items": { "type": "string" } },
      "description": "account to addresses: user@domain, *@domain for a domain, *@.domain for all below it" },
    "others": { "type": "string", "enum": ["no-opinion", "deny"], "default": "no-opinion",
      "description": "for what is granted nowhere: the server's own rule, or refused" },
    "reply": { "type": "string", "default": "You may not send as this address",
      "description": "what the client hears when it is refused" }
  }
}"#;

/// The contract's limit for the text of a reply, in octets.
const REPLY_TEXT_MAX: usize = 400;

struct Plugin;

export!(Plugin);

impl Card for Plugin {
    fn describe() -> Description {
        Description {
            name: "send-as".into(),
            version: "1.1.0".into(),
            summary: "Lets accounts send as addresses that were delegated to them".into(),
            config_schema: SCHEMA.into(),
            interests: vec![],
            attrs: vec![("entry-attributes".into(), "{account-attribute}".into())],
        }
    }
}

impl Authorize for Plugin {
    fn authorize(_: Context, question: Request) -> Result<Verdict, Failure> {
        // The empty sender is that of reports and receipts: the server's own rule knows best.
        if question.address.local.is_empty() {
            return Ok(Verdict::NoOpinion);
        }
        let address = format!("{}@{}", question.address.local, question.address.domain);
        // From the cheapest: what came with the question, the configuration, and a look into the tables at last.
        let granted = question.account.eq_ignore_ascii_case(&address)
            || granted_to_account(&question, &address)
            || granted_by_configuration(&question.account, &address)
            || granted_by_address(&question.account, &address)?;
        Ok(match text("others") {
            _ if granted => Verdict::Allow,
            "deny" => Verdict::Deny(refusal()),
            _ => Verdict::NoOpinion,
        })
    }
}

fn granted_to_account(question: &Request, address: &str) -> bool {
    let attribute = text("account-attribute");
    let own = question.attrs.iter().filter(|(name, _)| name.eq_ignore_ascii_case(attribute));
    own.map(|(_, value)| value).any(|granted| pattern::covers(granted, address))
}

fn granted_by_configuration(account: &str, address: &str) -> bool {
    match value(&format!("grants.{}", account.to_ascii_lowercase())) {
        Some(Value::Items(granted)) => granted.iter().any(|granted| pattern::covers(granted, address)),
        _ => false,
    }
}

/// The address itself may name accounts: a shared one its staff, a manager an assistant.
fn granted_by_address(account: &str, address: &str) -> Result<bool, Failure> {
    let attribute = text("address-attribute").to_owned();
    let key = address.to_ascii_lowercase();
    // Shared addresses are users in some directories and aliases in others.
    for table in ["users", "aliases"] {
        let rows = lookup::select(table, slice::from_ref(&key), slice::from_ref(&attribute))?;
        let mut delegates = rows.iter().flatten().flatten().map(|(_, delegate)| delegate);
        if delegates.any(|delegate| pattern::covers(delegate, account)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn refusal() -> Reply {
    let sign = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let text = text("reply").chars().take(REPLY_TEXT_MAX).map(sign).collect();
    Reply { code: 550, enhanced: "5.7.1".into(), text }
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
