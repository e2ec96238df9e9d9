//! What an entry of the directory says of plugins.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::PluginName;
use crate::role::Role;

/// A plugin that an entry names: `NAME`, for every role that it is asked in, or `ROLE NAME`, for that one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// In which role; none: in every one.
    pub role: Option<Role>,
    /// Which plugin.
    pub plugin: PluginName,
}

impl Binding {
    /// Whether the plugin is to be asked in a role.
    #[must_use]
    pub fn is_for(&self, role: Role) -> bool {
        self.role.is_none_or(|only| only == role)
    }
}

impl FromStr for Binding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (role, name) = match (words.next(), words.next(), words.next()) {
            (Some(name), None, None) => (None, name),
            (Some(role), Some(name), None) => (Some(role.parse()?), name),
            _ => {
                return Err("expected the name of a plugin, or a role and a name: \"NAME\" or \"ROLE NAME\""
                    .to_owned());
            }
        };
        let plugin = name.parse().map_err(|error: crate::NameError| error.to_string())?;
        Ok(Self { role, plugin })
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            None => write!(f, "{}", self.plugin),
            Some(role) => write!(f, "{role} {}", self.plugin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_every_role_and_a_role_for_itself() {
        let every: Binding = "srs".parse().unwrap();
        assert!(Role::ALL.into_iter().all(|role| every.is_for(role)));
        let one: Binding = " authorize-sender  send-as ".parse().unwrap();
        let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| one.is_for(*role)).collect();
        assert_eq!(roles, [Role::AuthorizeSender]);
        for binding in [every, one] {
            assert_eq!(binding.to_string().parse(), Ok(binding));
        }
    }

    #[test]
    fn other_values_say_what_is_wrong() {
        for (bad, why) in [
            ("", "expected the name"),
            ("a b c", "expected the name"),
            ("SRS", "is no name of a plugin"),
            ("send srs", "is no role; the roles are rewrite, reverse"),
            ("rewrite S", "is no name of a plugin"),
        ] {
            let error = Binding::from_str(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
