//! `[routing]`: rules, and how addresses are resolved.

use std::path::{Path, PathBuf};

use mail_types::Domain;

use super::section::Section;
use super::{Server, below};

/// `[routing]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// The rewrite rules.
    pub rules: PathBuf,
    /// The table that rules ask by `$(key)`.
    pub general_table: Option<PathBuf>,
    /// Whether rules may hand over to another host by `A@B@C@D`.
    pub source_route_templates: bool,
    /// Names by which the directory means this host (`mailHost`, `mailRoutingHosts`).
    pub own_names: Vec<Domain>,
    /// The domain of bare names, as `Postmaster`, and of addresses at our own names.
    pub default_domain: Domain,
    /// What separates user and detail in a local part.
    pub subaddress_separator: char,
    /// Domains that are not ours and that we relay for.
    pub relay_domains: Vec<Domain>,
    /// Whether a source route in RCPT is dropped instead of refused.
    pub ignore_source_routes: bool,
    /// Recipients that one address may expand to.
    pub expansion_max: usize,
    /// Whether each recipient of a list's message has a reverse path of its own.
    pub verp: bool,
    /// The URI by which members of lists are taken out, with a place for the token, and the file of the key.
    pub unsubscribe: Option<(String, PathBuf)>,
}

impl Routing {
    pub(super) fn read(mut s: Section<'_>, folder: &Path, server: &Server) -> Self {
        let rules = s.path("rules").unwrap_or_else(|| PathBuf::from("rewrite.rules"));
        let names = s.parsed_list("own-names", "write host names").unwrap_or_default();
        let rules = below(folder, rules);
        s.file("rules", &rules);
        let general_table = s.path("general-table").map(|path| below(folder, path));
        if let Some(path) = &general_table {
            s.file("general-table", path);
        }
        let routing = Self {
            rules,
            general_table,
            source_route_templates: s.flag("source-route-templates", false),
            own_names: if names.is_empty() { vec![server.name.clone()] } else { names },
            default_domain: s
                .parsed("default-domain", "write a domain, as \"example.org\"")
                .unwrap_or_else(|| server.postmaster.domain.clone()),
            subaddress_separator: separator(&mut s),
            relay_domains: s.parsed_list("relay-domains", "write domains").unwrap_or_default(),
            ignore_source_routes: s.flag("ignore-source-routes", false),
            verp: s.flag("verp", false),
            unsubscribe: unsubscribe(&mut s, folder),
            expansion_max: s.count("expansion-max", 10_000, 1..=100_000),
        };
        s.close();
        routing
    }
}

/// Both keys, or none.
fn unsubscribe(s: &mut Section<'_>, folder: &Path) -> Option<(String, PathBuf)> {
    let template = s.text("unsubscribe-url", "");
    let file = s.path("unsubscribe-key-file").map(|path| below(folder, path));
    if s.has("unsubscribe-url")
        && let Err(why) = profiles::Unsubscribe::check_template(&template)
    {
        s.fault("unsubscribe-url", why, "as \"https://lists.example.org/unsubscribe/{token}\"");
    }
    match (s.has("unsubscribe-url"), file) {
        (true, Some(file)) => {
            s.file("unsubscribe-key-file", &file);
            Some((template, file))
        }
        (false, None) => None,
        (true, None) => {
            s.fault("unsubscribe-url", "needs a key for its tokens", "add unsubscribe-key-file");
            None
        }
        (false, Some(_)) => {
            s.fault("unsubscribe-key-file", "is for tokens of no URI", "add unsubscribe-url");
            None
        }
    }
}

/// One sign that may stand in a local part and is no letter or digit.
fn separator(s: &mut Section<'_>) -> char {
    let text = s.text("subaddress-separator", "+");
    let mut signs = text.chars();
    match (signs.next(), signs.next()) {
        (Some(sign), None) if sign.is_ascii_punctuation() && !"@\"<>".contains(sign) => sign,
        _ => {
            s.fault(
                "subaddress-separator",
                format!("{text:?} separates nothing"),
                "write one sign, as \"+\"",
            );
            '+'
        }
    }
}
