//! The file with what a provider of DNS knows us by: TOML, its keys those of the provider.

use std::path::Path;

use dns_providers::{Credentials, KeyKind, Provider};
use toml::de::DeTable;

use super::problem::{Problem, Problems};
use super::section::{File, Section};

/// Longest file of credentials, in octets: the largest hold a key in PEM or JSON.
const FILE_MAX: u64 = 64 << 10;
/// Largest number of a key.
const NUMBER_MAX: u64 = u32::MAX as u64;

/// Reads the file of a provider. What is wrong is told without what the file holds.
pub(crate) fn read(provider: &'static Provider, path: &Path) -> Result<Credentials, Problems> {
    let name = path.display().to_string();
    let whole = |what: String, mend: &str| {
        let (file, mend) = (name.clone(), mend.to_owned());
        Problems(vec![Problem { file, line: 0, key: String::new(), what, mend }])
    };
    let mend = "mend dns.publish.credentials-file, or let the server's user read it";
    let unreadable = |why: std::io::Error| whole(format!("cannot be read: {why}"), mend);
    let octets = match runtime::files::read(path, FILE_MAX) {
        Err(why) if why.kind() == std::io::ErrorKind::InvalidData => {
            return Err(whole(why.to_string(), "is this the right file?"));
        }
        read => read.map_err(unreadable)?,
    };
    let not_text = |_| unreadable(std::io::Error::other("it is not UTF-8"));
    let text = String::from_utf8(octets).map_err(not_text)?;
    parse(provider, &name, &text)
}

fn parse(provider: &'static Provider, name: &str, text: &str) -> Result<Credentials, Problems> {
    let file = File::new(name, text);
    let (table, syntax) = DeTable::parse_recoverable(text);
    for fault in &syntax {
        // Without the words that stand there: they may be the secret.
        file.fault(fault.span().map(|span| span.start), "", fault.message(), "");
    }
    let values =
        if syntax.is_empty() { values(provider, Section::root(&file, table.get_ref())) } else { Vec::new() };
    let problems = file.into_problems();
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    Credentials::new(provider, values).map_err(|missing| {
        let (file, key, what) = (name.to_owned(), missing.to_owned(), "is missing".to_owned());
        Problems(vec![Problem { file, line: 0, key, what, mend: String::new() }])
    })
}

fn values(provider: &'static Provider, mut s: Section<'_>) -> Vec<(&'static str, String)> {
    let mut values = Vec::new();
    for key in provider.keys {
        let value = match key.kind {
            KeyKind::Text | KeyKind::Secret => s.text(key.name, ""),
            KeyKind::Flag => s.flag(key.name, false).to_string(),
            KeyKind::Number if s.has(key.name) => s.number(key.name, 0, 0..=NUMBER_MAX).to_string(),
            KeyKind::Number => continue,
        };
        if value.is_empty() && key.is_required {
            let what = if s.has(key.name) { "is empty" } else { "is missing" };
            s.fault(key.name, what, format!("{} wants {}: {} = \"…\"", provider.title, key.about, key.name));
        }
        values.push((key.name, value));
    }
    s.close();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(provider: &str, text: &str) -> String {
        match parse(Provider::named(provider).unwrap(), "provider.toml", text) {
            Ok(credentials) => format!("{credentials:?}"),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn faults_are_told_with_line_key_and_mend() {
        let cases = [
            ("pdns", "api-key = \"k\"\nurl = \"http://127.0.0.1:8081\"", "Credentials(pdns: api-key, url)"),
            (
                "pdns",
                "url = \"http://127.0.0.1:8081\"",
                "provider.toml:1: api-key: is missing\n    mend: PowerDNS Authoritative wants as the server's own api-key: \
                 api-key = \"…\"",
            ),
            (
                "cloudflare",
                "api-token = \"t\"\napi-tokn = \"t\"",
                "provider.toml:2: api-tokn: this key is not known\n    mend: did you mean \"api-token\"?",
            ),
            (
                "desec",
                "# of desec.io\napi-token = 7",
                "provider.toml:2: api-token: is a number, not a text\n    mend: put it in quotes\n\
                 provider.toml:2: api-token: is empty\n    mend: deSEC wants a token that may edit the zones: api-token = \
                 \"…\"",
            ),
            (
                "autodns",
                "username = \"u\"\npassword = \"p\"\ncontext = 10",
                "Credentials(autodns: context, password, username)",
            ),
        ];
        for (provider, text, expected) in cases {
            assert_eq!(said(provider, text), expected, "{text}");
        }
        assert!(said("pdns", "api-key = \"s3cr3t").starts_with("provider.toml:1: "));
        assert!(!said("pdns", "api-key = \"s3cr3t").contains("s3cr3t"));
    }
}
