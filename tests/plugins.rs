//! Every file of `plugins/`: policy plugins in the whole server.
//!
//! `NAME.txtar` is played like a flow; the components are those of `plugins/components`. `NAME.table` says for a hook what
//! the client hears when a plugin fails there: a line for each hostile component, a column for each `on-failure`.

use std::fmt::Write as _;
use std::process::ExitCode;

use base64::Engine as _;
use mail_tests::{cases, play};

/// At least so many cases show the plugins.
const CASES_MIN: usize = 8;
/// The columns of a table.
const POLICIES: [&str; 4] = ["keep", "skip", "tempfail", "reject"];

fn main() -> ExitCode {
    // The server compiles in a process apart: it starts its own program with this command, which here is this test.
    if std::env::args().nth(1).as_deref() == Some("plugin") {
        return wasmta::cli::main();
    }
    let mut all = cases::find("plugins", "txtar");
    all.extend(cases::find("plugins", "table"));
    cases::run(all, CASES_MIN, |case| {
        if case.path.extension().is_some_and(|ending| ending == "table") {
            let table = std::fs::read_to_string(&case.path).map_err(|e| e.to_string())?;
            play::text(&expanded(&table)?, "smtp")
        } else {
            play::case(case, "smtp")
        }
    })
}

/// One line of a table: a component, the word that asks for its misdeed, and what is heard.
struct Row<'a> {
    component: &'a str,
    word: &'a str,
    heard: Vec<&'a str>,
}

/// A table as a case: a domain and a plugin for each component and policy, and a dialogue for each.
fn expanded(table: &str) -> Result<String, String> {
    let mut lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let hook = lines.next().and_then(|line| line.strip_prefix("hook ")).ok_or("the table names no hook")?;
    let rows = lines.map(row).collect::<Result<Vec<_>, _>>()?;
    let (mut toml, mut ldif, mut dialog) = (TOML.to_owned(), LDIF.to_owned(), String::new());
    for Row { component, word, heard } in &rows {
        for (policy, heard) in POLICIES.iter().zip(heard) {
            let name = format!("{component}-{word}-{policy}");
            // Writing to a String cannot fail.
            let _ = write!(toml, "{}", section(&name, hook, policy));
            let _ = write!(ldif, "{}", domain(&name, word));
            let _ =
                writeln!(dialog, "@run plugin install ../plugins/components/{component}.wasm --name {name}");
            let _ = write!(dialog, "O: {name} *\nO*\nO:   in force       yes\n");
            dialog.push_str(&said(hook, &name, word, heard)?);
        }
    }
    Ok(format!("{hook}\n-- server.toml --\n{toml}-- directory.ldif --\n{ldif}-- dialog --\n{dialog}"))
}

fn row(line: &str) -> Result<Row<'_>, String> {
    let (head, heard) = line.split_once('|').ok_or_else(|| format!("{line:?} has no columns"))?;
    let mut words = head.split_whitespace();
    let (Some(component), Some(word)) = (words.next(), words.next()) else {
        return Err(format!("{line:?} does not begin with component and word"));
    };
    let heard: Vec<&str> = heard.split('|').map(str::trim).collect();
    if heard.len() == POLICIES.len() {
        Ok(Row { component, word, heard })
    } else {
        Err(format!("{line:?} has not four columns"))
    }
}

const TOML: &str = "[smtp]\nrelay-from = [\"127.0.0.0/8\"]\n";

fn section(name: &str, role: &str, policy: &str) -> String {
    format!(
        "[plugins.{name}]\nallow = [\"log\", \"lookup\", \"dns\"]\ndomains = [\"{name}.example\"]\nroles = [\"{role}\"]\n\
         on-failure = \"{policy}\"\n[plugins.{name}.limits]\ncpu = \"50 ms\"\nwall = \"5 s\"\ntenant-cpu = \"60 s\"\n\
         memory = \"4 MiB\"\nhost-calls = 50\n[plugins.{name}.breaker]\nfaults = 1000000\n"
    )
}

const LDIF: &str = "version: 1\n\ndn: o=internet\nobjectClass: organization\no: internet\n\n\
    dn: dc=example,o=internet\nobjectClass: domain\ndc: example\n\n\
    dn: o=isp\nobjectClass: organization\no: isp\n\n";

fn domain(name: &str, user: &str) -> String {
    format!(
        "dn: dc={name},dc=example,o=internet\nobjectClass: domain\nobjectClass: inetDomain\ndc: {name}\n\
         inetDomainBaseDN: o={name}.example,o=isp\n\n\
         dn: o={name}.example,o=isp\nobjectClass: organization\nobjectClass: inetDomain\nobjectClass: mailDomain\n\
         o: {name}.example\nsunPreferredDomain: {name}.example\n\n\
         dn: uid={user},o={name}.example,o=isp\nobjectClass: inetOrgPerson\nobjectClass: inetUser\n\
         objectClass: inetMailUser\nobjectClass: inetLocalMailRecipient\nuid: {user}\ncn: {user}\nsn: {user}\n\
         mail: {user}@{name}.example\nmailDeliveryOption: mailbox\nuserPassword: password\n\n"
    )
}

/// What client and server say where the plugin of a domain fails.
fn said(hook: &str, name: &str, word: &str, heard: &str) -> Result<String, String> {
    let address = format!("{word}@{name}.example");
    let hello = "S: 220 *\nC: EHLO client.test\nS*\nS: 250 *\n";
    let mail = "C: MAIL FROM:<a@remote.test>\nS: 250 2.1.0 *\n";
    Ok(match hook {
        "rewrite" => {
            format!("@open smtp as {name}\n{hello}{mail}C: RCPT TO:<{address}>\nS: {heard}\n@close\n")
        }
        "disposition" => format!(
            "@open smtp as {name}\n{hello}{mail}C: RCPT TO:<{address}>\nS: 250 2.1.5 *\nC: DATA\nS: 354 *\n\
             C: Subject: x\nC: \nC: .\nS: {heard}\n@close\n"
        ),
        "authorize-sender" => {
            let login = base64::engine::general_purpose::STANDARD.encode(format!("\0{address}\0password"));
            format!(
                "@open submission as {name}\n{hello}C: AUTH PLAIN {login}\nS: 235 *\n\
                 C: MAIL FROM:<{address}>\nS: {heard}\n@close\n"
            )
        }
        other => return Err(format!("{other:?} is no hook that a client hears of")),
    })
}
