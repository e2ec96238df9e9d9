//! The rewrite rules and the options of resolution.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mail_types::ChannelName;
use routing::{ChannelTags, DeliveryOptions, Options, RuleErrors, RuleOptions, Rules, TemplateError, Ways};

use super::key_table;
use crate::config::{ChannelKind, Config, size_text};

/// Largest rule file, in octets; included files too.
const RULES_MAX: u64 = 16 << 20;

/// Why there are no rules.
#[derive(Debug)]
pub(crate) enum RulesFault {
    /// The file cannot be read.
    Unreadable(String),
    /// What is wrong in it, all of it.
    Wrong(RuleErrors),
    /// The general table cannot be read, or is no table.
    Table(String),
    /// These delivery options, by their keys, have templates that are none.
    DeliveryOptions(Vec<(String, TemplateError)>),
}

impl fmt::Display for RulesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "routing.rules: {why}"),
            Self::Table(why) => write!(f, "routing.general-table: {why}"),
            Self::Wrong(errors) => write!(f, "{errors}"),
            Self::DeliveryOptions(errors) => {
                let told = errors.iter().map(|(key, error)| format!("{key}: {}", error.problem));
                f.write_str(&told.collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// Reads the rules and the options. All faults of the rules are told at once.
pub(crate) fn load(config: &Config) -> Result<(Rules, Options), RulesFault> {
    let path = &config.routing.rules;
    let text = read(path).map_err(RulesFault::Unreadable)?;
    let tags = tags(config);
    let folder = path.parent().unwrap_or(Path::new(""));
    let include = |name: &str| read(&folder.join(name));
    let mut options = options(config).map_err(RulesFault::Table)?;
    options.delivery = delivery_options(config, &tags).map_err(RulesFault::DeliveryOptions)?;
    let rule_options = RuleOptions {
        source_routes: config.routing.source_route_templates,
        general: options.general.is_some(),
        include: Some(&include),
        ..RuleOptions::new(&tags)
    };
    let name = path.display().to_string();
    let rules = Rules::parse(&text, &name, &rule_options).map_err(RulesFault::Wrong)?;
    Ok((rules, options))
}

/// What the values of `mailDeliveryOption` do; all faults at once.
fn delivery_options(
    config: &Config,
    tags: &ChannelTags,
) -> Result<DeliveryOptions, Vec<(String, TemplateError)>> {
    let is_remote = |name: &ChannelName| {
        let channel = config.channels.iter().find(|channel| channel.name.eq_ignore_ascii_case(name.as_str()));
        channel.is_some_and(|channel| matches!(channel.kind, ChannelKind::Smtp | ChannelKind::Lmtp))
    };
    let ways = Ways { tags, is_remote: &is_remote };
    let mut options = DeliveryOptions::default();
    let mut faults = Vec::new();
    for text in &config.delivery_options {
        if let Err(fault) = options.add(text.domain.as_ref(), &text.option, &text.template, &text.key, ways) {
            faults.push((text.key.clone(), fault));
        }
    }
    if faults.is_empty() { Ok(options) } else { Err(faults) }
}

/// The usual channels are known, `store` as this system itself; the others go by their names.
fn tags(config: &Config) -> ChannelTags {
    let mut tags = ChannelTags::builtin();
    for channel in config.channels.iter().filter(|channel| channel.name != channel.kind.word()) {
        tags.add(&channel.name, &[]);
    }
    tags
}

fn read(path: &Path) -> Result<String, String> {
    let octets = runtime::files::read(path, RULES_MAX);
    let octets = octets.map_err(|e| format!("{}: {e} (at most {})", path.display(), size_text(RULES_MAX)))?;
    String::from_utf8(octets).map_err(|_| format!("{}: is not UTF-8", path.display()))
}

fn options(config: &Config) -> Result<Options, String> {
    let routing = &config.routing;
    let mut options = Options::new(&config.server.name, routing.default_domain.clone());
    options.own_names.extend(routing.own_names.iter().map(ToString::to_string));
    options.postmaster = config.server.postmaster.clone();
    options.separator = routing.subaddress_separator;
    options.relay_domains.clone_from(&routing.relay_domains);
    options.ignore_source_routes = routing.ignore_source_routes;
    let named = config.channels.iter().filter(|channel| channel.for_entries);
    options.ways_out = named.map(|channel| channel.name.to_ascii_lowercase()).collect();
    options.recipients_max = routing.expansion_max;
    options.general = match &routing.general_table {
        Some(path) => Some(Arc::new(key_table::read(path).map_err(|fault| fault.to_string())?)),
        None => None,
    };
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_channels_leave_the_usual_tags_alone() {
        let text = "[directory]\n[routing]\n[channels.store]\nconcurrency = 50\n\
                    [channels.partner]\nkind = \"smtp\"\n";
        let config = Config::parse("", text, Path::new("")).unwrap();
        let (tags, usual) = (tags(&config), ChannelTags::builtin());
        for name in ["store", "store-daemon", "local", "smtp", "lmtp", "hold", "reprocess", "bitbucket"] {
            assert_eq!(tags.target(name), usual.target(name), "{name}");
        }
        assert!(tags.target("partner").is_some() && usual.target("partner").is_none());
    }
}
