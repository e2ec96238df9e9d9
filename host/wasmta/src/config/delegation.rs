//! `[delegation]`: people who administer domains of their own by commands (R6, R99).

use std::path::{Path, PathBuf};

use directory::{OWN_DOMAINS_MAX, OwnDomain};
use mail_types::Domain;

use super::below;
use super::section::Section;

/// Most delegates.
const DELEGATES_MAX: usize = 10_000;
/// Longest path of a socket, in octets: what the system takes.
const SOCKET_MAX: usize = 100;

/// `[delegation]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delegation {
    /// Where their commands reach the server; `None`: nowhere.
    pub socket: Option<PathBuf>,
    /// Who they are.
    pub delegates: Vec<Delegate>,
}

/// `[delegation.delegates.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegate {
    /// By which the log tells of them.
    pub name: String,
    /// The user of this host whose commands count as theirs.
    pub uid: u32,
    /// What is theirs.
    pub domains: Vec<OwnDomain>,
}

impl Delegate {
    /// Whether a domain is theirs.
    #[must_use]
    pub fn has(&self, domain: &Domain) -> bool {
        self.domains.iter().any(|own| if own.below { is_below(domain, own) } else { own.domain == *domain })
    }

    /// Whether it is theirs as one below another, so that they may remove it, too.
    #[must_use]
    pub fn has_below(&self, domain: &Domain) -> bool {
        self.domains.iter().any(|own| own.below && is_below(domain, own))
    }
}

fn is_below(domain: &Domain, own: &OwnDomain) -> bool {
    let above = domain.as_str().strip_suffix(own.domain.as_str());
    above.is_some_and(|rest| rest.ends_with('.'))
}

impl Delegation {
    pub(super) fn read(mut s: Section<'_>, folder: &Path) -> Self {
        let socket = s.path("socket").map(|path| below(folder, path));
        if let Some(path) = &socket {
            let holds = path.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir());
            if !holds {
                s.fault("socket", "is in no folder that is there", "make the folder, or mend the path");
            }
            if path.as_os_str().len() > SOCKET_MAX {
                s.fault("socket", "is too long for a socket", format!("at most {SOCKET_MAX} octets"));
            }
        }
        let section = s.section("delegates");
        let named = section.named_sections();
        if named.len() > DELEGATES_MAX {
            section.fault(
                "",
                format!("{} delegates are named", named.len()),
                format!("at most {DELEGATES_MAX}"),
            );
        }
        let mut delegates: Vec<Delegate> = Vec::new();
        for (name, one) in named {
            let Some(delegate) = read_one(&name, one) else { continue };
            if let Some(other) = delegates.iter().find(|other| other.uid == delegate.uid) {
                let what = format!("has the user of {}", other.name);
                section.fault(&name, what, "give each a user of its own, or all domains to one");
            }
            delegates.push(delegate);
        }
        if socket.is_none() && !delegates.is_empty() {
            s.fault("socket", "is missing", "name where the delegates' commands reach the server");
        }
        s.close();
        Self { socket, delegates }
    }
}

fn read_one(name: &str, mut s: Section<'_>) -> Option<Delegate> {
    let user = s.text("user", "");
    let uid = runtime::find_user(&user).map(|(uid, _)| uid);
    if user.is_empty() {
        s.fault("user", "is missing", "name the user of this host whose commands count");
    } else if uid.is_none() {
        let mend = "name a user of /etc/passwd, or write the number of another one";
        s.fault("user", format!("there is no user {user:?}"), mend);
    }
    let hint = "write domains, as \"example.org\" or, for all below it, \".example.org\"";
    let domains: Vec<OwnDomain> = s.parsed_list("domains", hint).unwrap_or_default();
    if domains.is_empty() {
        s.fault("domains", "names no domain", "domains = [\"example.org\"]");
    }
    if domains.len() > OWN_DOMAINS_MAX {
        s.fault("domains", format!("names {}", domains.len()), format!("at most {OWN_DOMAINS_MAX}"));
    }
    s.close();
    uid.map(|uid| Delegate { name: name.to_owned(), uid, domains })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_theirs_by_itself_or_below_another() {
        let domains = ["acme.example", ".shops.example"].map(|text| text.parse().unwrap()).to_vec();
        let delegate = Delegate { name: "acme".into(), uid: 1005, domains };
        let is = |text: &str| {
            let domain = Domain::parse(text).unwrap();
            (delegate.has(&domain), delegate.has_below(&domain))
        };
        assert_eq!(is("acme.example"), (true, false));
        assert_eq!(is("one.shops.example"), (true, true));
        assert_eq!(is("a.one.shops.example"), (true, true));
        for other in ["shops.example", "workshops.example", "sub.acme.example", "notacme.example"] {
            assert_eq!(is(other), (false, false), "{other}");
        }
    }
}
