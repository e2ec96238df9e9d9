//! The configured certificates, and what they say of themselves, held against what they are for: the hosts that clients ask for,
//! and today.

use std::path::Path;
use std::time::Duration;

use events::{Event, Events};
use mail_types::Timestamp;
use runtime::{CertificateFacts, CertificateFiles, TlsServer, make_self_signed};

use crate::config::Config;

/// How long before its end a certificate is told of.
const TOLD_BEFORE_END: Duration = Duration::from_secs(14 * 24 * 3600);
/// How often that is looked at.
pub(super) const LOOKED_AT_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is to be said of one certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The key of the configuration that names it.
    key: String,
    file: String,
    what: String,
    /// Whether it is about its end.
    about_end: bool,
}

impl Note {
    /// For people.
    pub(super) fn text(&self) -> String {
        format!("{}: {}: {}", self.key, self.file, self.what)
    }

    pub(super) fn emit(&self, events: &Events) {
        let (file, cause) = (self.file.as_str(), self.what.as_str());
        events.emit(&if self.about_end {
            Event::CertificateExpires { file, cause }
        } else {
            Event::CertificateUnfit { file, cause }
        });
    }

    /// Whether it is about the certificate's end, which is told each day.
    pub(super) fn is_about_end(&self) -> bool {
        self.about_end
    }
}

/// The certificates of `[tls.hosts]`.
fn named(config: &Config) -> Vec<(String, CertificateFiles)> {
    let named = config.tls.hosts.iter().cloned();
    named
        .map(|(host, (certificate, key))| (host.to_string(), CertificateFiles { certificate, key }))
        .collect()
}

/// The configured certificates, or a self-signed one in the data directory; each virtual host may have its own (R93).
pub(super) fn load(config: &Config, data: &Path) -> Result<Option<TlsServer>, String> {
    let (certificate, key) = match &config.tls.files {
        Some(files) => files.clone(),
        None => {
            let names = [config.server.name.to_string(), "localhost".to_owned()];
            make_self_signed(data, &names).map_err(|e| format!("the self-signed certificate: {e}"))?
        }
    };
    let usual = CertificateFiles { certificate, key };
    TlsServer::load_named(usual, named(config)).map(Some).map_err(|e| format!("tls: {e}"))
}

/// Looks at all certificates that the configuration names. Blocks. Those that cannot be read are told of elsewhere.
pub(super) fn look(config: &Config, now: Timestamp) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some((certificate, _)) = &config.tls.files {
        let has_own =
            |host: &str| config.tls.hosts.iter().any(|(own, _)| own.as_str().eq_ignore_ascii_case(host));
        let mut hosts = vec![config.server.name.as_str()];
        hosts.extend(
            config.listeners.iter().filter_map(|listener| listener.host.as_ref()).map(|host| host.as_str()),
        );
        hosts.retain(|host| !has_own(host));
        hosts.sort_unstable();
        hosts.dedup();
        look_at("tls.certificate", certificate, &hosts, now, &mut notes);
    }
    for (host, (certificate, _)) in &config.tls.hosts {
        let key = format!("tls.hosts.{host}.certificate");
        look_at(&key, certificate, &[host.as_str()], now, &mut notes);
    }
    notes
}

fn look_at(key: &str, file: &Path, hosts: &[&str], now: Timestamp, notes: &mut Vec<Note>) {
    let Ok(Some(facts)) = CertificateFacts::read(file) else { return };
    let mut note = |about_end, what| {
        notes.push(Note { key: key.to_owned(), file: file.display().to_string(), what, about_end });
    };
    if facts.not_after <= now {
        note(true, format!("it expired at {}: clients refuse it", moment(facts.not_after)));
    } else if facts.not_after.since(now) <= TOLD_BEFORE_END {
        note(true, format!("it expires at {}", moment(facts.not_after)));
    }
    if facts.not_before > now {
        note(false, format!("it is not valid before {}: clients refuse it", moment(facts.not_before)));
    }
    let unnamed: Vec<&str> = hosts.iter().copied().filter(|host| !facts.names(host)).collect();
    if !unnamed.is_empty() {
        note(false, format!("it does not name {}: clients that connect there refuse it", unnamed.join(", ")));
    }
}

fn moment(at: Timestamp) -> String {
    let second = i64::try_from(at.as_seconds()).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    second.map_or_else(String::new, |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_will_refuse_is_told_before_they_do() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["mail.example.org".to_owned(), "mail.club.example".to_owned()];
        let (certificate, key) = runtime::make_self_signed(folder.path(), &names).unwrap();
        let (certificate, key) = (certificate.display(), key.display());
        let text = format!(
            "[server]\nname = \"mail.example.org\"\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n\
             [tls.hosts.\"mail.gamma.example\"]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n\
             [listeners.club]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:0\"\nhost = \"mail.club.example\"\n"
        );
        let config = Config::parse("", &text, Path::new("")).unwrap();
        // It holds from 2020 to 2100.
        let told = |now: u64| look(&config, Timestamp(now * 1000)).iter().map(Note::text).collect::<Vec<_>>();
        let other = format!(
            "tls.hosts.mail.gamma.example.certificate: {certificate}: it does not name mail.gamma.example: clients that \
             connect there refuse it"
        );
        assert_eq!(told(1_795_500_000).concat(), other);
        assert_eq!(told(1_500_000_000).len(), 3, "not valid yet");
        let end = 4_102_444_800;
        assert_eq!(told(end - 15 * 86_400), [other]);
        let soon = told(end - 13 * 86_400);
        assert_eq!(soon[0], format!("tls.certificate: {certificate}: it expires at 2100-01-01T00:00:00Z"));
        let over = told(end);
        assert!(over[0].ends_with("it expired at 2100-01-01T00:00:00Z: clients refuse it"), "{over:?}");
        assert!(look(&config, Timestamp(end * 1000))[0].is_about_end());
    }
}
