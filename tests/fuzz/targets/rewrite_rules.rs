//! Rule files, and what rules that were read do to addresses: bounded, whatever they say.
#![no_main]

use hooks::{OnFailure, PluginName, RewriteRequest, RewriteVerdict};
use libfuzzer_sys::fuzz_target;
use mail_types::{Address, ChannelName, EnhancedStatus, Lookup, Reply};
use routing::recorder::Trail;
use routing::rewrite::control::{Direction, Place};
use routing::rewrite::engine::{Context, rewrite};
use routing::rewrite::plugin::{Heard, Link, Said};
use routing::rewrite::substitution::Facts;
use routing::{ChannelTags, RuleOptions, Rules};

/// Domains with an even number of octets are local, and those that three divides have a plugin; a key that is longer
/// than 8 octets has no value. What the plugin says depends on what it is asked, and is anything that it can say.
struct Anything;

impl Facts for Anything {
    fn is_local(&self, domain: &str) -> Lookup<()> {
        if domain.len().is_multiple_of(2) { Lookup::Found(()) } else { Lookup::NotFound }
    }

    fn general(&self, key: &str) -> Lookup<String> {
        if key.len() > 8 { Lookup::NotFound } else { Lookup::Found(format!("{key}@{key}")) }
    }

    fn unique(&self) -> u64 {
        7
    }

    fn has_chains(&self) -> bool {
        true
    }

    fn chain(&self, domain: &str) -> Lookup<Vec<Link>> {
        match domain.len() % 3 {
            0 => "fuzz".parse::<PluginName>().map_or(Lookup::NotFound, |plugin| {
                Lookup::Found(vec![Link { plugin, origin: "fuzz".into() }])
            }),
            1 => Lookup::NotFound,
            _ => Lookup::Unavailable("no directory".to_owned()),
        }
    }

    fn hear(&self, _: &PluginName, request: &RewriteRequest, _: &[Link]) -> Heard {
        let address = request.address.clone();
        let verdict = match (address.local.as_str().len() + request.argument.len()) % 7 {
            0 => RewriteVerdict::NoMatch,
            1 => RewriteVerdict::Again(address),
            2 => match Address::parse(&format!("x{}", request.argument)) {
                Ok(other) => RewriteVerdict::Again(other),
                Err(_) => RewriteVerdict::Settled(address),
            },
            3 => RewriteVerdict::Route { address, channel: ChannelName::new("smtp"), host: None },
            4 => RewriteVerdict::Refuse(Reply::new(550, EnhancedStatus::permanent(1, 1), "no")),
            5 => return Heard::Open,
            _ => return Heard::Unavailable("no directory".to_owned()),
        };
        Heard::Said(Said::at_once(Ok(verdict)))
    }

    fn on_failure(&self, _: &PluginName) -> OnFailure {
        OnFailure::Skip
    }
}

fuzz_target!(|data: (bool, bool, &str, &str)| {
    let (envelope, forward, address, text) = data;
    let tags = ChannelTags::builtin();
    let options = RuleOptions { source_routes: envelope, general: forward, ..RuleOptions::new(&tags) };
    let rules = match Rules::parse(text, "fuzz.rules", &options) {
        Ok(rules) => rules,
        Err(errors) => return assert!(!errors.to_string().is_empty()),
    };
    let context = Context {
        place: if envelope { Place::Envelope } else { Place::Header },
        direction: if forward { Direction::Forward } else { Direction::Backward },
        source: "smtp",
        destination: None,
        separator: '+',
        released: &[],
    };
    for address in [address, "user+detail@host.example.org", "\"a b\"@[127.0.0.1]", "a%b@c.d"] {
        let Ok(address) = Address::parse(address) else { continue };
        if let Ok(rewritten) = rewrite(&rules, &address, context, &Anything, &mut Trail::default())
            && let Some(address) = rewritten.address
        {
            assert_eq!(Address::parse(&address.to_string()).as_ref(), Ok(&address));
        }
    }
});
