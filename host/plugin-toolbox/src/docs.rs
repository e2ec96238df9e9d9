//! `wasmta plugin docs`: the author's manual, or a component's own.

use std::path::Path;

use plugin_engine::{Candidate, Capability, Profile, Settings};
use serde_json::json;

use crate::outcome::{Outcome, columns};
use crate::trying::name;
use crate::{place, schema};

/// The pages of the manual, by their names on the command line; the first is the way in.
const PAGES: [(&str, &str); 6] = [
    ("manual", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins/README.md"))),
    ("rust", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins/rust.md"))),
    ("c", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins/c.md"))),
    ("js", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins/javascript.md"))),
    ("python", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins/python.md"))),
    ("contract", crate::templates::CONTRACT),
];

/// A page of the manual; the way in where none is named.
#[must_use]
pub fn manual(page: Option<&str>) -> Option<&'static str> {
    let wanted = page.unwrap_or("manual");
    PAGES.into_iter().find(|(name, _)| *name == wanted).map(|(_, text)| text)
}

/// What a component says of itself, for whoever will run it.
///
/// # Errors
/// There is none, or it is not one that a server takes.
pub async fn describe(path: &Path) -> Result<Outcome, String> {
    let place = place::find(path)?;
    let octets = place::read(&place)?;
    let shown = place.component.display();
    let unfit = |unfit: plugin_engine::Unfit| format!("{shown}: {unfit}");
    let candidate = Candidate::compile(&octets, Profile::Serving).map_err(unfit)?;
    let card = candidate.describe(Settings::new(name()?)).await.map_err(unfit)?;
    let manifest = candidate.manifest();
    let roles: Vec<&str> = manifest.roles.iter().map(|role| role.as_str()).collect();
    let grants: Vec<String> = manifest.imports.iter().map(|one| format!("{:?}", one.as_str())).collect();
    let mut lines = vec![format!("{} {}: {}", card.name, card.version, card.summary)];
    lines.push(format!("\nRoles: {}", roles.join(", ")));
    if !card.interests.is_empty() {
        lines.push("\nAsked only where one of these holds:".to_owned());
        let rows = card.interests.iter().map(|(role, selector)| vec![format!("  {role}"), selector.clone()]);
        lines.push(columns(&rows.collect::<Vec<_>>()));
    }
    if let Some(names) = &card.entry_attributes {
        let names = if names.trim().is_empty() { "nothing" } else { names };
        lines.push(format!("\nIt reads of a user's entry: {names}"));
    }
    lines.push("\nCapabilities to grant:".to_owned());
    let grant = |one: &Capability| vec![format!("  {one}"), gives(*one).to_owned()];
    lines.push(columns(&manifest.imports.iter().map(grant).collect::<Vec<_>>()));
    let rows = schema::rows(&card.config_schema);
    lines.push(if rows.is_empty() {
        "\nIt takes no configuration.".to_owned()
    } else {
        "\nConfiguration:".to_owned()
    });
    let indented = rows.iter().map(|row| {
        let mut row = row.clone();
        row[0].insert_str(0, "  ");
        row
    });
    lines.push(columns(&indented.collect::<Vec<_>>()));
    lines.push("\nIn wasmta.toml:".to_owned());
    lines.push(format!(
        "  [plugins.{}]\n  allow = [{}]\n  domains = [\"example.org\"]",
        card.name,
        grants.join(", ")
    ));
    if !rows.is_empty() {
        lines.push(format!("  [plugins.{}.config]", card.name));
    }
    let json = json!({"description": card, "manifest": manifest});
    Ok(Outcome { text: lines.join("\n"), json, good: true })
}

/// What a capability gives, in a few words.
fn gives(capability: Capability) -> &'static str {
    match capability {
        Capability::Log => "lines in the server's log",
        Capability::Config => "its configuration and its secrets",
        Capability::Lookup => "rows of the tenant's tables",
        Capability::Dns => "questions to the DNS",
        Capability::Kv => "a small store of its own",
        Capability::Clock => "the time",
        Capability::Random => "chance",
        Capability::Hmac => "keyed hashes under secrets that it does not see",
        Capability::Headers => "the header of the message",
        Capability::Body => "the body of the message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_there() {
        assert!(manual(None).unwrap().starts_with("# Writing plugins"));
        assert!(manual(Some("contract")).unwrap().contains("package wasmta:policy@"));
        for (name, text) in PAGES {
            assert!(text.len() > 1000, "{name}");
        }
        assert_eq!(manual(Some("cobol")), None);
    }
}
