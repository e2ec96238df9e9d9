//! The sender rewriting scheme: the envelope sender of forwarded mail becomes an address of ours, so that the next
//! host's SPF check looks at us; a report that comes back to it finds the first sender again.
//!
//! This file speaks with the host; `scheme` reads and writes addresses, `stamp` keeps their day.

mod scheme;
mod stamp;

wit_bindgen::generate!({ path: ["../../wit", "wit"], world: "user:srs/plugin", generate_all });

use std::sync::OnceLock;

// Faster starts: the allocator.
use heap as _;

use exports::wasmta::policy::plugin::{Description, Guest as Card, Interest};
use exports::wasmta::policy::{reverse, rewrite};
use scheme::{Found, Parts};
use wasmta::policy::config::{self, Value};
use wasmta::policy::types::{Address, Context, Failure, Reply};
use wasmta::policy::{clock, hmac, log};

const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "domain": { "type": "string", "default": "",
      "description": "the domain of rewritten senders, one of the tenant's; empty: the tenant's first" },
    "own-domains": { "type": "array", "items": { "type": "string" }, "default": [],
      "description": "domains whose SPF record names this host: their senders stay" },
    "keys": { "type": "array", "items": { "type": "string" }, "default": ["srs-key"],
      "description": "names of secrets: the first one signs, all of them verify" },
    "max-age-days": { "type": "integer", "minimum": 1, "maximum": 500, "default": 21,
      "description": "for how many days reports find back" },
    "hash-length": { "type": "integer", "minimum": 4, "maximum": 26, "default": 6,
      "description": "signs of the hash, five bits each" },
    "local-part-max": { "type": "integer", "minimum": 64, "maximum": 240, "default": 64,
      "description": "octets; a sender that would become longer stays as it is" }
  }
}"#;

struct Plugin;

export!(Plugin);

impl Card for Plugin {
    fn describe() -> Description {
        let interest = |role: &str, selector: &str| Interest { role: role.into(), selector: selector.into() };
        Description {
            name: "srs".into(),
            version: "1.0.0".into(),
            summary: "Sender rewriting scheme: forwarded senders under a domain of ours, and back".into(),
            config_schema: SCHEMA.into(),
            interests: vec![
                interest("rewrite", "position=envelope direction=to local-prefix=srs0="),
                interest("rewrite", "position=envelope direction=to local-prefix=srs1="),
                interest("reverse", "position=envelope"),
            ],
            attrs: vec![],
        }
    }
}

impl reverse::Guest for Plugin {
    fn reverse(about: Context, batch: Vec<reverse::Request>) -> Result<Vec<reverse::Verdict>, Failure> {
        let settings = Settings::read(&about)?;
        batch
            .into_iter()
            .map(|request| {
                let forwarded = request.forwarded && request.position == "envelope";
                let new = if forwarded { settings.ours_for(&request.address)? } else { None };
                Ok(new.map_or(reverse::Verdict::Unchanged, reverse::Verdict::Changed))
            })
            .collect()
    }
}

impl rewrite::Guest for Plugin {
    fn rewrite(about: Context, batch: Vec<rewrite::Request>) -> Result<Vec<rewrite::Verdict>, Failure> {
        let settings = Settings::read(&about)?;
        batch
            .into_iter()
            .map(|request| {
                let ours = request.position == "envelope"
                    && request.direction == "to"
                    && request.address.domain.eq_ignore_ascii_case(&settings.domain);
                if ours { settings.first_sender(&request.address) } else { Ok(rewrite::Verdict::NoMatch) }
            })
            .collect()
    }
}

/// The configuration and the day, read once a call.
struct Settings {
    domain: String,
    own_domains: &'static [String],
    keys: &'static [String],
    max_age_days: u32,
    hash_length: usize,
    local_part_max: usize,
    today: u32,
}

impl Settings {
    fn read(about: &Context) -> Result<Self, Failure> {
        let wrong = |key: &str| Failure {
            permanent: false,
            message: format!("configuration: {key} is missing or wrong"),
        };
        let items = |key: &str| match value(key) {
            Some(Value::Items(items)) => Ok(&items[..]),
            _ => Err(wrong(key)),
        };
        let number = |key: &str| match value(key) {
            Some(Value::Number(number)) => u32::try_from(*number).map_err(|_| wrong(key)),
            _ => Err(wrong(key)),
        };
        let domain = match value("domain") {
            Some(Value::Text(domain)) if !domain.is_empty() => domain.to_ascii_lowercase(),
            _ if about.tenant.is_empty() => return Err(wrong("domain")),
            _ => about.tenant.clone(),
        };
        let keys = items("keys")?;
        if keys.is_empty() {
            return Err(wrong("keys"));
        }
        Ok(Self {
            domain,
            own_domains: items("own-domains")?,
            keys,
            max_age_days: number("max-age-days")?,
            hash_length: number("hash-length")? as usize,
            local_part_max: number("local-part-max")? as usize,
            today: stamp::day(clock::now().seconds),
        })
    }

    /// The sender as an address of ours; none where it stays: reports have no sender, and for our own domains the next
    /// host looks at us already.
    fn ours_for(&self, sender: &Address) -> Result<Option<Address>, Failure> {
        let own = |domain: &str| self.own_domains.iter().any(|own| own.eq_ignore_ascii_case(domain));
        if sender.local.is_empty() || sender.domain.eq_ignore_ascii_case(&self.domain) || own(&sender.domain)
        {
            return Ok(None);
        }
        let parts = Parts::for_sender(&sender.local, &sender.domain, &stamp::text(self.today));
        let local = parts.signed(&self.hash(&self.keys[0], &parts)?);
        if local.len() > self.local_part_max {
            let text = format!("sender stays: its address would have {} octets before the @", local.len());
            log::emit(log::Level::Warn, &text, &[("domain".into(), sender.domain.clone())]);
            return Ok(None);
        }
        Ok(Some(Address { local, domain: self.domain.clone() }))
    }

    /// Back to the first sender, or for SRS1 to the first forwarder; refused where we did not write the address.
    fn first_sender(&self, address: &Address) -> Result<rewrite::Verdict, Failure> {
        let (parts, hash) = match Parts::read(&address.local) {
            Found::None => return Ok(rewrite::Verdict::NoMatch),
            Found::Malformed => return Ok(refused("5.1.3", "This return address is not complete")),
            Found::Parts(parts, hash) => (parts, hash),
        };
        if !self.is_signed(&parts, hash)? {
            return Ok(refused("5.7.7", "This return address is not one of ours"));
        }
        // Only we can have written it, so from here on nothing in it is hostile, but it may be old.
        if let Parts::Sender { day, .. } = &parts
            && !stamp::is_valid(day, self.today, self.max_age_days)
        {
            return Ok(refused("5.1.6", "This return address has expired"));
        }
        let (local, domain) = parts.origin();
        Ok(rewrite::Verdict::Settled(Address { local, domain }))
    }

    /// Whether any key gives this hash. All keys are tried, so that time does not tell which.
    fn is_signed(&self, parts: &Parts, hash: &str) -> Result<bool, Failure> {
        let mut signed = false;
        for key in self.keys {
            signed |= scheme::same(&self.hash(key, parts)?, hash);
        }
        Ok(signed)
    }

    fn hash(&self, key: &str, parts: &Parts) -> Result<String, Failure> {
        let octets = hmac::sha256(key, parts.signing_text().as_bytes())?;
        Ok(stamp::base32(&octets).chars().take(self.hash_length).collect())
    }
}

/// A value of the configuration, with the defaults that the host has filled in. It is fetched once an instance: nothing
/// else may be kept in variables.
fn value(key: &str) -> Option<&'static Value> {
    static ALL: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    ALL.get_or_init(config::all).iter().find(|(own, _)| own == key).map(|(_, value)| value)
}

fn refused(enhanced: &str, text: &str) -> rewrite::Verdict {
    rewrite::Verdict::Refuse(Reply { code: 550, enhanced: enhanced.into(), text: text.into() })
}
