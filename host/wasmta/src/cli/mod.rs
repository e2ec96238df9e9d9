//! The command line: what an operator types, and what comes back.

mod arguments;
mod entry;
mod input;
mod list;
mod login;
mod mailbox;
mod message;
mod password;
mod plugin;
mod plugin_author;
mod plugin_operator;
mod profile;
mod program;
mod share;
mod shown;
mod store;
mod sync;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::control::{self, Action, Answer, EntryKind, Reached, Request};
use crate::{operate, serve};
use arguments::{Arguments, Chosen, Command, DomainCommand, QueueCommand, UserCommand, Which};
use plugin::PluginCommand;
use store::StoreCommand;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(arguments, &mut io::stdout(), &mut io::stderr()).into()
}

/// How a command ended that did what it was asked.
const DONE: u8 = 0;
/// How one ended that did not.
const FAILED: u8 = 1;
/// How one ended whose words were not understood.
const MISUSED: u8 = 2;

/// Runs a command line that is given as text; everything printed goes to `out`. Gives the exit code.
/// For tests.
#[must_use]
pub fn run_text(words: &[&str], out: &mut dyn Write) -> u8 {
    match Arguments::try_parse_from(std::iter::once(&"wasmta").chain(words)) {
        Ok(arguments) => {
            let mut errors = Vec::new();
            let code = run(arguments, out, &mut errors);
            let _ = out.write_all(&errors);
            code
        }
        Err(usage) => {
            let _ = write!(out, "{usage}");
            MISUSED
        }
    }
}

fn run(arguments: Arguments, out: &mut dyn Write, errors: &mut dyn Write) -> u8 {
    let place =
        serve::Place { config: arguments.config, data: arguments.data, port_offset: arguments.port_offset };
    let whole = |text: String| (text, DONE);
    let outcome = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&place).map(whole),
        Command::CheckConfig => check_config(&place).map(whole),
        Command::List(command) => list::perform(command, &place),
        Command::Program(command) => program::perform(command, &place, errors),
        Command::Store(StoreCommand::Stopped(command)) => store::perform(command, &place),
        Command::Plugin(PluginCommand::CompilePlugin { target, component, artefact }) => {
            return plugin::compile(&target, &component, &artefact, out);
        }
        Command::Plugin(PluginCommand::Author(command)) => match plugin_author::perform(command, out) {
            // What there is to say is said.
            Ok(true) => return DONE,
            Ok(false) => return FAILED,
            Err(why) => Err(why),
        },
        command => match question(command, &place) {
            Ok((request, json)) => {
                let done = match &arguments.socket {
                    Some(socket) => perform_at(socket, &request, json),
                    None => perform(&place, &request, json),
                };
                plugin::clean_up(&request);
                done
            }
            Err(why) => Err(why),
        },
    };
    // Nothing is to be done when the terminal is gone.
    match outcome {
        Ok((text, code)) => {
            if !text.is_empty() {
                let _ = writeln!(out, "{}", shown::lines(&text));
            }
            code
        }
        Err(why) => {
            let _ = writeln!(errors, "wasmta: {}", shown::lines(&why));
            FAILED
        }
    }
}

fn check_config(place: &serve::Place) -> Result<String, String> {
    let warnings = place.check()?;
    let mut text = format!("{}: nothing is wrong", place.config.display());
    for warning in warnings {
        text.push_str("\n  warning: ");
        text.push_str(&warning);
    }
    Ok(text)
}

/// What a command asks, and whether in JSON.
fn question(command: Command, place: &serve::Place) -> Result<(Request, bool), String> {
    Ok(match command {
        Command::Serve | Command::CheckConfig | Command::List(_) | Command::Program(_) => {
            unreachable!("these ask nothing")
        }
        Command::Plugin(command) => {
            let (request, json) = plugin::question(command)?;
            (Request::Plugin(request), json)
        }
        Command::Reload => (Request::Reload, false),
        Command::Status(format) => (Request::Status, format.json),
        Command::Share(command) => {
            let (request, json) = share::question(command);
            (Request::Share(request), json)
        }
        Command::Sync(command) => {
            let (request, json) = sync::question(command);
            (Request::Sync(request), json)
        }
        Command::Mailbox(command) => {
            let (request, json) = mailbox::question(command, place)?;
            (Request::Mailbox(request), json)
        }
        Command::Store(command) => {
            let (request, json) = store::question(command, place);
            (Request::Store(request), json)
        }
        Command::Check(format) => (Request::Check, format.json),
        Command::Alias(command) => entry::alias(command),
        Command::Group(command) => entry::group(command)?,
        Command::Directory(command) => entry::directory(command)?,
        Command::Domain(command) => domain_question(command)?,
        Command::User(command) => user_question(command)?,
        Command::Profile(command) => profile::question(command)?,
        Command::Queue(command) => queue_question(command, place)?,
        Command::Explain { address, from, source, account, client, message, format } => {
            let message = message.as_deref().map(input::message).transpose()?;
            (Request::Explain { address, from, source, account, client, message }, format.json)
        }
        Command::Message(command) => message::question(command),
        Command::Login(command) => login::question(command),
    })
}

fn domain_question(command: DomainCommand) -> Result<(Request, bool), String> {
    Ok(match command {
        DomainCommand::Add { domain, administrator } => (Request::DomainAdd { domain, administrator }, false),
        DomainCommand::Show { domain, format } => (Request::DomainShow { domain }, format.json),
        DomainCommand::Rows { domain, format } => (Request::DomainRows { domain }, format.json),
        DomainCommand::Check { domain, format } => (Request::DomainCheck { domain }, format.json),
        DomainCommand::Publish { domain } => (Request::DomainPublish { domain }, false),
        DomainCommand::List(format) => (Request::DomainList, format.json),
        DomainCommand::Set(set) => return entry::set(EntryKind::Domain, set),
        DomainCommand::Remove { domain, with_users, mail } => {
            (Request::DomainRemove { domain, with_users, mail }, false)
        }
    })
}

fn user_question(command: UserCommand) -> Result<(Request, bool), String> {
    Ok(match command {
        UserCommand::Add { address, name, password } => {
            let password = password::given_or_asked(password.password, &address)?;
            (Request::UserAdd { address, name, password }, false)
        }
        UserCommand::Passwd { address, password } => {
            let password = password::given_or_asked(password.password, &address)?;
            (Request::UserPasswd { address, password }, false)
        }
        UserCommand::List { domain, format } => entry::list(EntryKind::User, domain, format),
        UserCommand::Set(set) => return entry::set(EntryKind::User, set),
        UserCommand::Show { address, format } => (Request::UserShow { address }, format.json),
        UserCommand::Remove { address, mail } => (Request::UserRemove { address, mail }, false),
    })
}

fn queue_question(command: QueueCommand, place: &serve::Place) -> Result<(Request, bool), String> {
    let act = |action, chosen: Chosen| {
        let (which, data) = (selected(chosen.which)?, absolute(&place.data));
        let request = Request::QueueAct { action, which, data };
        Ok((request, chosen.format.json))
    };
    match command {
        QueueCommand::List { which, format } => Ok((Request::QueueList { which: any(which) }, format.json)),
        QueueCommand::Show { id, format } => Ok((Request::QueueShow { id }, format.json)),
        QueueCommand::Summary(format) => Ok((Request::QueueSummary, format.json)),
        QueueCommand::Hold(chosen) => act(Action::Hold, chosen),
        QueueCommand::Release(chosen) => act(Action::Release, chosen),
        QueueCommand::Retry(chosen) => act(Action::Retry, chosen),
        QueueCommand::Bounce(chosen) => act(Action::Bounce, chosen),
        QueueCommand::Delete(chosen) => act(Action::Delete, chosen),
        QueueCommand::Reroute { chosen, to } => act(Action::Reroute(to), chosen),
    }
}

fn any(which: Which) -> control::Which {
    control::Which {
        ids: which.ids,
        sender: which.sender,
        recipient: which.recipient,
        domain: which.domain,
        channel: which.channel,
        age: which.age.map(|age| age.as_secs()),
    }
}

/// Acting on everything has to be said, lest a forgotten filter empty the queue.
fn selected(which: Which) -> Result<control::Which, String> {
    let all = which.all;
    let which = any(which);
    if which == control::Which::default() && !all {
        return Err("name queue ids or filters, or say --all".to_owned());
    }
    Ok(which)
}

/// Asks the running server, or does it here where none runs.
fn perform(place: &serve::Place, request: &Request, json: bool) -> Result<(String, u8), String> {
    let bar = Progress::default();
    let reached = control::ask(&place.data, request, |done, of, what| bar.show(done, of, what));
    let reached =
        reached.map_err(|e| format!("the server of {} does not answer: {e}", place.data.display()))?;
    let answer = match reached {
        Reached::Answered(answer) => answer?,
        Reached::NoServer if matches!(request, Request::Reload | Request::Status | Request::Login(_)) => {
            return Err(format!("no server runs over {}", absolute(&place.data).display()));
        }
        Reached::NoServer => operate::offline(place, request, |done, of, what| bar.show(done, of, what))?,
    };
    bar.end();
    Ok((print(&answer, json), if answer.faulty { FAILED } else { DONE }))
}

/// Asks as a delegate: what is there to be asked is the running server alone.
fn perform_at(socket: &std::path::Path, request: &Request, json: bool) -> Result<(String, u8), String> {
    let bar = Progress::default();
    let reached = control::ask_at(socket, request, |done, of, what| bar.show(done, of, what));
    bar.end();
    match reached.map_err(|e| format!("the server at {} does not answer: {e}", socket.display()))? {
        Reached::Answered(answer) => {
            answer.map(|answer| (print(&answer, json), if answer.faulty { FAILED } else { DONE }))
        }
        Reached::NoServer => Err(format!("no server listens at {}", socket.display())),
    }
}

fn print(answer: &Answer, json: bool) -> String {
    if json { shown::json(&format!("{:#}", answer.json)).into_owned() } else { answer.text.clone() }
}

fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// A bar on the terminal for long work; nothing where there is no terminal.
#[derive(Default)]
struct Progress(std::cell::OnceCell<ProgressBar>);

impl Progress {
    fn show(&self, done: u64, of: u64, what: &str) {
        if !io::stderr().is_terminal() {
            return;
        }
        let bar = self.0.get_or_init(|| {
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
            ProgressBar::new(of).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_length(of);
        bar.set_position(done);
        bar.set_message(shown::lines(what).into_owned());
    }

    fn end(&self) {
        if let Some(bar) = self.0.get() {
            bar.finish_and_clear();
        }
    }
}
