//! The plugin author's commands: all of them without a server.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hooks::Role;
use plugin_toolbox::{BenchOptions, Draft, Language, NewProject, Outcome, SingleCall, TestOptions};
use runtime::Random;

use super::arguments::Format;
use super::{input, shown};

#[derive(Debug, Subcommand)]
pub(crate) enum AuthorCommand {
    /// Make a project: a small plugin that works, with cases that pass.
    #[command(after_help = "\
Examples:
  wasmta plugin new moved --lang rust --role rewrite
  wasmta plugin new sorter --lang python --role disposition,authorize-sender --into plugins")]
    New {
        /// The plugin's name, and its folder's: lower-case letters, digits and hyphens.
        name: String,
        /// rust, c, js or python.
        #[arg(long, value_name = "LANGUAGE")]
        lang: Language,
        /// rewrite, reverse, authorize-sender, disposition, route-table; several with commas.
        #[arg(long, value_name = "ROLE,…", value_delimiter = ',', required = true)]
        role: Vec<Role>,
        /// The folder in which the project's own is made.
        #[arg(long, value_name = "DIR", default_value = ".")]
        into: PathBuf,
    },
    /// Build a project by its ./build, and say where the component is.
    Build {
        /// The project's folder.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Say what a component is, whether a server would take it, and what to mend.
    ///
    /// The exit status is 1 where a server would not take it.
    #[command(after_help = "\
Examples:
  wasmta plugin check moved
  wasmta plugin check target/moved.wasm --json")]
    Check {
        /// A component, or a plugin's folder.
        #[arg(default_value = ".")]
        path: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    /// Run the cases of a plugin: each on a fresh instance, then all on a warm one in random order.
    ///
    /// Questions that strangers bring about (long, odd, empty, a thousand at once) are asked, too.
    #[command(after_help = "\
Examples:
  wasmta plugin test moved
  wasmta plugin test moved --seed 4711            the same order as another time
  wasmta plugin test target/moved.wasm --cases cases.toml")]
    Test {
        /// A component, or a plugin's folder.
        #[arg(default_value = ".")]
        path: PathBuf,
        /// The cases; without it, cases.toml of the folder.
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
        /// From which the order of the warm calls is drawn.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        #[command(flatten)]
        format: Format,
    },
    /// Measure instances, calls, memory and fuel, beside a native answer to the same question.
    #[command(after_help = "\
Examples:
  wasmta plugin bench moved
  wasmta plugin bench target/moved.wasm --cases cases.toml --json")]
    Bench {
        /// A component, or a plugin's folder.
        #[arg(default_value = ".")]
        path: PathBuf,
        /// The cases whose questions are asked; without it, cases.toml of the folder.
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Ask once, and see everything: question, answer, log, time, memory.
    #[command(after_help = "\
Examples:
  wasmta plugin run moved rewrite --address anna.old@example.org
  wasmta plugin run sorter disposition --address anna@example.org --detail shop --message mail.eml \\
      --profile mail=anna@example.org
  wasmta plugin run ad-schema route-table --domain example.org --dn CN=Anna --attr mail=anna@example.org")]
    Run(Box<RunArguments>),
    /// Print the author's manual, a page of it, or what a component says of itself.
    #[command(after_help = "\
Examples:
  wasmta plugin docs                    the manual
  wasmta plugin docs python             its page for a language: rust, c, js, python
  wasmta plugin docs contract           the contract (wit/policy.wit)
  wasmta plugin docs target/moved.wasm  roles, capabilities and configuration of a component")]
    Docs {
        /// A page, a component, or a plugin's folder.
        what: Option<String>,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// A component, or a plugin's folder.
    path: PathBuf,
    /// rewrite, reverse, authorize-sender, disposition or route-table.
    role: Role,
    /// The address that is asked about.
    #[arg(long, default_value = "")]
    address: String,
    /// Of a rule `$[plugin,function,argument]`.
    #[arg(long, default_value = "")]
    function: String,
    /// Of a rule.
    #[arg(long, default_value = "")]
    argument: String,
    /// Where the address stands: envelope or header.
    #[arg(long)]
    position: Option<String>,
    /// Whom it names: to or from.
    #[arg(long)]
    direction: Option<String>,
    /// The channel by which the mail leaves (reverse).
    #[arg(long, default_value = "")]
    destination: String,
    /// It came from outside and is handed on (reverse).
    #[arg(long)]
    forwarded: bool,
    /// Who has logged in (authorize-sender), or owns the mailbox (disposition).
    #[arg(long)]
    account: Option<String>,
    /// The address that the client named (disposition).
    #[arg(long)]
    original: Option<String>,
    /// The subaddress (disposition).
    #[arg(long, default_value = "")]
    detail: String,
    /// The envelope sender (disposition); `<>` for the null sender. Without it, `bob@remote.example`.
    #[arg(long)]
    sender: Option<String>,
    /// The message (disposition).
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// An attribute of the recipient, the account or the entry; as often as wanted.
    #[arg(long = "profile", visible_alias = "attr", value_name = "NAME=VALUE", value_parser = pair)]
    attributes: Vec<(String, String)>,
    /// The domain whose rows are built (route-table).
    #[arg(long, default_value = "")]
    domain: String,
    /// The entry's name (route-table).
    #[arg(long, default_value = "")]
    dn: String,
    /// For whom the call is; empty for the server itself. Without it, the address's domain.
    #[arg(long)]
    tenant: Option<String>,
    /// By which channel the mail came.
    #[arg(long, value_name = "CHANNEL")]
    source: Option<String>,
    /// As whom the client logged in.
    #[arg(long)]
    authenticated: Option<String>,
    /// A channel that the plugin may route to; as often as wanted.
    #[arg(long, value_name = "CHANNEL")]
    channel: Vec<String>,
    /// Configuration, secrets, tables and the like, as in cases.toml. Without it, cases.toml of the folder.
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// From which its chance is drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    format: Format,
}

/// Performs a command; whether all is well.
///
/// # Errors
/// What is in the way.
pub(super) fn perform(command: AuthorCommand, out: &mut dyn Write) -> Result<bool, String> {
    let (outcome, json) = match command {
        AuthorCommand::New { name, lang, role, into } => {
            let new = NewProject { name, language: lang, roles: role, into };
            return Ok(say(out, &plugin_toolbox::create(&new)?));
        }
        AuthorCommand::Build { dir } => return Ok(say(out, &plugin_toolbox::build(&dir)?)),
        AuthorCommand::Check { path, format } => (wait(plugin_toolbox::check(&path))?, format.json),
        AuthorCommand::Test { path, cases, seed, format } => {
            // Short enough to be typed again.
            let seed = seed.unwrap_or_else(|| Random::system().below(1_000_000));
            return tested(&TestOptions { path, cases, seed }, format.json, out);
        }
        AuthorCommand::Bench { path, cases, format } => {
            (wait(plugin_toolbox::bench(&BenchOptions { path, cases }))?, format.json)
        }
        AuthorCommand::Run(arguments) => {
            let json = arguments.format.json;
            (wait(plugin_toolbox::run(&single(*arguments)?))?, json)
        }
        AuthorCommand::Docs { what, format } => {
            if let Some(page) = plugin_toolbox::manual(what.as_deref()) {
                return Ok(say(out, page.trim_end()));
            }
            let path = PathBuf::from(what.unwrap_or_default());
            let described = wait(plugin_toolbox::describe(&path));
            let hint = |why| format!("{why}; pages are manual, rust, c, js, python, contract");
            (described.map_err(hint)?, format.json)
        }
    };
    let text = if json { shown::json(&format!("{:#}", outcome.json)).into_owned() } else { outcome.text };
    say(out, &text);
    Ok(outcome.good)
}

/// Runs the cases; what has come of one is seen before the next is run.
fn tested(options: &TestOptions, json: bool, out: &mut dyn Write) -> Result<bool, String> {
    if json {
        let outcome = wait(plugin_toolbox::test(options, &mut |_| {}))?;
        say(out, &shown::json(&format!("{:#}", outcome.json)));
        return Ok(outcome.good);
    }
    let mut tell = |line: &str| {
        say(out, line);
    };
    wait(plugin_toolbox::test(options, &mut tell)).map(|outcome| outcome.good)
}

fn say(out: &mut dyn Write, text: &str) -> bool {
    // Nothing is to be done when the terminal is gone.
    let _ = writeln!(out, "{}", shown::lines(text)).and_then(|()| out.flush());
    true
}

/// Tools that ask plugins wait for the answers here.
fn wait(tool: impl Future<Output = Result<Outcome, String>>) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("nothing can run here: {error}"))?.block_on(tool)
}

fn single(arguments: RunArguments) -> Result<SingleCall, String> {
    let message = match &arguments.message {
        None => Vec::new(),
        Some(path) => with_crlf(&input::octets(path, input::MESSAGE_MAX, "header and the beginning may do")?),
    };
    let draft = Draft {
        address: arguments.address,
        position: arguments.position,
        direction: arguments.direction,
        function: arguments.function,
        argument: arguments.argument,
        destination: arguments.destination,
        forwarded: arguments.forwarded,
        account: arguments.account,
        original: arguments.original,
        detail: arguments.detail,
        sender: arguments.sender,
        attributes: arguments.attributes,
        domain: arguments.domain,
        dn: arguments.dn,
        tenant: arguments.tenant,
        channel: arguments.source,
        authenticated: arguments.authenticated,
        message,
    };
    let (path, role, with) = (arguments.path, arguments.role, arguments.with);
    Ok(SingleCall { path, role, draft, with, channels: arguments.channel, seed: arguments.seed })
}

/// Files often have bare LF; messages never do.
fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(octets.len());
    for (at, octet) in octets.iter().enumerate() {
        if *octet == b'\n' && at.checked_sub(1).and_then(|before| octets.get(before)) != Some(&b'\r') {
            message.extend_from_slice(b"\r\n");
        } else {
            message.push(*octet);
        }
    }
    message
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_gets_its_line_ends() {
        assert_eq!(with_crlf(b"a\nb\r\n\n"), b"a\r\nb\r\n\r\n");
        assert_eq!(with_crlf(b""), b"");
    }
}
