//! Channel tags: the word after the last `@` of a template, and the channel it stands for.

use std::collections::HashMap;

use mail_types::ChannelName;

/// Most tags one configuration may define.
pub const TAGS_MAX: usize = 10_000;

/// What a channel tag leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This system: the alias table is asked next (the product's channel `l`).
    Local,
    /// A way out.
    Channel(ChannelName),
}

/// The tags that rules may name. Each channel answers to its name, to `NAME-daemon` as the product's files
/// write it, and to further host names given for it (R57).
#[derive(Debug, Clone)]
pub struct ChannelTags {
    targets: HashMap<Box<str>, Target>,
}

impl ChannelTags {
    /// The built-in channels, under our names and the product's.
    #[must_use]
    pub fn builtin() -> Self {
        let mut tags = Self { targets: HashMap::new() };
        for name in ["local", "l", "localhost", "store", "ims-ms"] {
            tags.insert(name, &Target::Local);
        }
        for name in
            ["smtp", "lmtp", "program", "file", "shared", "hold", "reprocess", "bitbucket", "autoreply"]
        {
            tags.insert(name, &Target::Channel(ChannelName::new(name)));
        }
        for name in ["tcp_local", "tcp_intranet"] {
            tags.insert(name, &Target::Channel(ChannelName::new(ChannelName::SMTP)));
        }
        tags.insert("pipe", &Target::Channel(ChannelName::new(ChannelName::PROGRAM)));
        tags
    }

    /// Adds a configured channel with the host names that also stand for it. Beyond [`TAGS_MAX`] nothing is
    /// added.
    pub fn add(&mut self, channel: &str, hosts: &[&str]) {
        let target = Target::Channel(ChannelName::new(channel));
        self.insert(channel, &target);
        for host in hosts {
            self.insert(host, &target);
        }
    }

    fn insert(&mut self, name: &str, target: &Target) {
        let name = name.to_ascii_lowercase();
        if self.targets.len() + 2 > TAGS_MAX {
            return;
        }
        self.targets.insert(format!("{name}-daemon").into(), target.clone());
        self.targets.insert(name.into(), target.clone());
    }

    /// The target of a tag; `None` where no channel has it.
    #[must_use]
    pub fn target(&self, tag: &str) -> Option<&Target> {
        if tag.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.targets.get(tag.to_ascii_lowercase().as_str());
        }
        self.targets.get(tag)
    }

    /// The names without their `-daemon` forms, sorted, for error texts.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.targets.keys().map(|name| &**name).filter(|name| !name.ends_with("-daemon")).collect();
        names.sort_unstable();
        names
    }
}

impl Default for ChannelTags {
    fn default() -> Self {
        Self::builtin()
    }
}
