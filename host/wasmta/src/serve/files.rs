//! The files that a configuration names, looked at before anything of it is put in force.

use std::io::BufReader;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use directory::LdifExamination;
use runtime::{TlsClient, TlsError, TlsServer};

use super::policy::{self, RulesFault};
use crate::config::{Config, OutgoingTls, Places, Problem, Publish, PublishTo, read_credentials};

/// Largest file of a password, in octets.
const PASSWORD_FILE_MAX: u64 = 64 << 10;

/// Everything that is wrong with the rules, the certificate and the files of passwords.
pub(super) fn problems(config: &Config, places: &Places) -> Vec<Problem> {
    let mut found = Vec::new();
    match policy::load(config) {
        Ok(_) => {}
        Err(RulesFault::Unreadable(why)) => {
            found.push(places.problem("routing.rules", why, "name a file of rewrite rules"));
        }
        Err(RulesFault::Table(why)) => {
            found.push(places.problem(
                "routing.general-table",
                why,
                "name a file whose lines are \"key text\"",
            ));
        }
        Err(RulesFault::DeliveryOptions(errors)) => found
            .extend(errors.into_iter().map(|(key, error)| places.problem(&key, error.problem, error.mend))),
        Err(RulesFault::Wrong(errors)) => found.extend(errors.0.into_iter().map(|error| Problem {
            file: error.file,
            line: usize::try_from(error.line).unwrap_or(0),
            key: String::new(),
            what: error.problem,
            mend: error.mend,
        })),
    }
    certificates(config, places, &mut found);
    for source in &config.directory.sources {
        let (name, ldap) = (&source.mirror.name, &source.mirror.ldap);
        let section = if source.mirror.domains.is_empty() { name.clone() } else { format!("tenants.{name}") };
        if let Some(file) = &ldap.authorities
            && let Err(why) = TlsClient::trusting_file(file)
        {
            let mend = "name a file with the certificates of authorities, in PEM";
            found.push(places.problem(&format!("directory.{section}.ca-file"), why.to_string(), mend));
        }
        if let Some(Err(why)) = ldap.password_file.as_deref().map(password) {
            let mend = "name a file whose first line is the password";
            found.push(places.problem(&format!("directory.{section}.password-file"), why, mend));
        }
    }
    for channel in &config.channels {
        if let Some(Err(why)) = channel.authorities.as_deref().map(TlsClient::trusting_file) {
            let mend = "name a file with the certificates of authorities, in PEM";
            found.push(places.problem(&format!("channels.{}.ca-file", channel.name), why.to_string(), mend));
        }
        let Some((_, file)) = &channel.login else { continue };
        if let Err(why) = password(file) {
            let key = format!("channels.{}.password-file", channel.name);
            found.push(places.problem(&key, why, "name a file whose first line is the password"));
        }
    }
    if let Some(Publish { to: PublishTo::Provider(provider, file), .. }) = &config.dns.publish
        && let Err(problems) = read_credentials(provider, file)
    {
        found.extend(problems.0);
    }
    if let Err(why) = super::ways::unsubscribe(config) {
        let mend = "name a file whose first line is a key of 16 octets and more, as `openssl rand -base64 32` makes it";
        found.push(places.problem("routing.unsubscribe-key-file", why, mend));
    }
    found.extend(config.programs.iter().filter_map(|(name, program)| {
        let (what, mend) = match (runtime::is_root(), program.confinement.user) {
            (true, None) => ("the server runs as root, and no program of others may", "add user = \"…\""),
            (false, Some(_)) => (
                "only a server that runs as root can give a program another user",
                "take user, group and processes out: it then runs as the server's own user",
            ),
            _ => return None,
        };
        Some(places.problem(&format!("programs.{name}.user"), what, mend))
    }));
    found
}

/// What is wrong with certificates and keys.
fn certificates(config: &Config, places: &Places, found: &mut Vec<Problem>) {
    let usual = config.tls.files.iter().map(|files| ("tls".to_owned(), files));
    let named = config.tls.hosts.iter().map(|(host, files)| (format!("tls.hosts.{host}"), files));
    for (section, (certificate, key)) in usual.chain(named) {
        let Err(why) = TlsServer::load(certificate, key) else { continue };
        let (name, mend) = match &why {
            TlsError::Mismatch { .. } => {
                let (certificate, key) = (certificate.display(), key.display());
                let mend = format!(
                    "name the two that belong together, the server's own certificate before its chain: `openssl x509 -noout -pubkey -in \
                     {certificate}` and `openssl pkey -pubout -in {key}` then print the same"
                );
                ("key", mend)
            }
            TlsError::Read { path, .. } | TlsError::Content { path, .. }
                if path == key && path != certificate =>
            {
                ("key", "name the key that belongs to the certificate, in PEM".to_owned())
            }
            _ => (
                "certificate",
                "name a certificate with its chain and the key that belongs to it, both in PEM".to_owned(),
            ),
        };
        found.push(places.problem(&format!("{section}.{name}"), why.to_string(), mend));
    }
}

/// Who may be shown a password that is for one host alone.
pub(super) fn secrecy(config: &Config) -> Vec<String> {
    let anybody = |tls| matches!(tls, OutgoingTls::Opportunistic | OutgoingTls::Required | OutgoingTls::Off);
    let told = config.channels.iter().filter(|channel| channel.login.is_some() && anybody(channel.tls));
    let shown = told.map(|channel| {
        format!(
            "channels.{}.tls: the password of login goes to whoever answers in the smart host's place; only \"verified\" asks \
             for proof",
            channel.name
        )
    });
    let credentials = match &config.dns.publish {
        Some(Publish { to: PublishTo::Provider(_, file), .. }) if is_for_all(file) => Some(format!(
            "dns.publish.credentials-file: every user of this host may read {}: chmod o-rwx",
            file.display()
        )),
        _ => None,
    };
    shown.chain(credentials).collect()
}

/// Whether others than the owner and the group may read a file.
fn is_for_all(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
}

/// The password of a file: its first line.
pub(super) fn password(file: &Path) -> Result<String, String> {
    let fault = |why: String| format!("{}: {why}", file.display());
    let octets = runtime::files::read(file, PASSWORD_FILE_MAX).map_err(|e| fault(e.to_string()))?;
    let text = String::from_utf8(octets).map_err(|_| fault("is not UTF-8".to_owned()))?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        _ => Err(fault("its first line is empty".to_owned())),
    }
}

/// What is wrong with the LDIF, and what in it mail cannot use.
pub(super) fn ldif(config: &Config, places: &Places) -> (Vec<Problem>, Vec<String>) {
    // Where LDAP servers fill the directory, no file does.
    if !config.directory.sources.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let path = &config.directory.ldif;
    let name = path.display().to_string();
    let source = match runtime::files::open(path) {
        Ok(source) => source,
        Err(why) => {
            let mend = "name the file that fills the directory on the first start";
            return (vec![places.problem("directory.ldif", format!("{name}: {why}"), mend)], Vec::new());
        }
    };
    let schema = super::mirror::options(config).map(|options| options.schema).unwrap_or_default();
    let LdifExamination { report, refusals, error } =
        directory::examine_ldif(BufReader::new(source), &schema);
    let problem = |line: u64, what: String, mend: &str| Problem {
        file: name.clone(),
        line: usize::try_from(line).unwrap_or(0),
        key: String::new(),
        what,
        mend: mend.to_owned(),
    };
    let refused = refusals.into_iter().map(|(line, why)| {
        problem(line, why.to_string(), "take one of the two out, or give it another name or address")
    });
    let unreadable = error.map(|error| {
        problem(error.line, error.problem.to_string(), "mend this line; what follows was not read")
    });
    let problems = refused.chain(unreadable).collect();
    let mut warnings: Vec<String> = report
        .defects
        .iter()
        .map(|defect| format!("{name}:{}: {}: {}", defect.line, defect.dn, defect.defect))
        .collect();
    if report.defects_total > warnings.len() as u64 {
        warnings.push(format!("{name}: {} such values in all", report.defects_total));
    }
    (problems, warnings)
}
