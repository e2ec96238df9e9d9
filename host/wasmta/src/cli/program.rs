//! `wasmta program …`: the registered programs, and a trial of one.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use mail_types::{
    AccountName, Address, ChannelName, NextHop, QueueId, Recipient, ReversePath, Route, Transport,
};
use queue::{Attempt, Outcome};
use runtime::{Clock, Ended};
use storage::LoadedContent;

use super::arguments::Format;
use super::{DONE, FAILED, shown};
use crate::config::{Config, duration_text};
use crate::serve::{self, Place};

/// Octets of a program's output that are shown.
const SHOWN_MAX: usize = 4096;

/// Commands about registered programs.
#[derive(Debug, Subcommand)]
pub(crate) enum ProgramCommand {
    /// List the programs that users may choose.
    List(Format),
    /// Run one on a message, as a delivery would, and say what that would mean for the mail.
    #[command(after_help = "\
Examples:
  wasmta program run filter --from me@elsewhere.example --to anna+lists@example.org < message")]
    Run {
        /// Its name.
        name: String,
        /// The sender; `<>` for a report.
        #[arg(long, value_name = "ADDRESS", default_value = "<>")]
        from: String,
        /// The recipient.
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        /// Whose mail it is; the recipient's address where absent.
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        /// The message; standard input where absent.
        #[arg(long, value_name = "FILE")]
        message: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Run a program within limits, and end all that it starts: what the server starts itself with.
    #[command(hide = true)]
    Launch {
        /// The limits, the program, its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

/// Does what a command asks. Gives the text and the exit code.
pub(super) fn perform(
    command: ProgramCommand,
    place: &Place,
    errors: &mut dyn Write,
) -> Result<(String, u8), String> {
    match command {
        ProgramCommand::List(format) => Ok((list(&place.load_whole()?, format), DONE)),
        ProgramCommand::Run { name, from, to, account, message, format } => {
            let config = place.load_whole()?;
            let message = given(message.as_deref(), config.limits.message_size)?;
            let attempt = attempt(&name, &from, to, account.as_deref(), message)?;
            tried(&config, &name, &attempt, format)
        }
        ProgramCommand::Launch { words } => {
            // To whoever reads the program's words.
            let _ = writeln!(errors, "{}", runtime::supervise(&words));
            Ok((String::new(), serve::NOT_LAUNCHED))
        }
    }
}

fn list(config: &Config, format: Format) -> String {
    if format.json {
        let all = config.programs.iter().map(|(name, program)| {
            serde_json::json!({
                "name": name,
                "command": program.command,
                "arguments": program.arguments.iter().map(channels::Argument::as_str).collect::<Vec<_>>(),
                "uid": program.confinement.user.map(|(uid, _)| uid),
                "gid": program.confinement.user.map(|(_, gid)| gid),
                "timeout_seconds": program.timeout.as_secs_f64(),
            })
        });
        return shown::json(&format!("{:#}", serde_json::Value::Array(all.collect()))).into_owned();
    }
    let mut text = String::new();
    for (name, program) in &config.programs {
        let who = program
            .confinement
            .user
            .map_or_else(|| "the server's own user".to_owned(), |(uid, gid)| format!("uid {uid}, gid {gid}"));
        let _ = write!(text, "{name}  {}", program.command.display());
        for argument in &program.arguments {
            let _ = write!(text, " {:?}", argument.as_str());
        }
        let _ = writeln!(text, "  ({who}, at most {})", duration_text(program.timeout));
    }
    let count = config.programs.len();
    let _ = write!(text, "{count} program{}", if count == 1 { "" } else { "s" });
    text
}

/// The message, its lines ended as on the wire.
fn given(file: Option<&Path>, most: u64) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let read = match file {
        Some(file) => {
            File::open(file).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut octets))
        }
        None => std::io::stdin().lock().take(most.saturating_add(1)).read_to_end(&mut octets),
    };
    read.map_err(|e| format!("the message: {e}"))?;
    if octets.len() as u64 > most {
        return Err(format!("the message is larger than limits.message-size, {most} octets"));
    }
    let mut message = Vec::with_capacity(octets.len());
    for octet in octets {
        if octet == b'\n' && message.last() != Some(&b'\r') {
            message.push(b'\r');
        }
        message.push(octet);
    }
    Ok(message)
}

fn attempt(
    name: &str,
    from: &str,
    to: Address,
    account: Option<&str>,
    message: Vec<u8>,
) -> Result<Attempt, String> {
    let from = if from.starts_with('<') { from.to_owned() } else { format!("<{from}>") };
    let reverse_path = ReversePath::parse(&from).map_err(|e| format!("--from: {e}"))?;
    let account = account.map_or_else(|| to.to_key(), str::to_owned);
    let account = AccountName::new(&account).ok_or("--account: is no name of an account")?;
    let now = Clock::system().now();
    Ok(Attempt {
        id: QueueId::first_of_millisecond(now.0),
        reverse_path,
        transport: Transport::default(),
        recipients: vec![Recipient::new(to)],
        route: Route::new(ChannelName::PROGRAM, NextHop::Named { account, name: name.to_owned() }),
        prefix: bytes::Bytes::new(),
        content: LoadedContent::Memory(message.into()),
        source: String::new(),
        authenticated: None,
        arrived: now,
    })
}

fn tried(config: &Config, name: &str, attempt: &Attempt, format: Format) -> Result<(String, u8), String> {
    if !config.programs.contains_key(&name.to_ascii_lowercase()) {
        let names: Vec<&str> = config.programs.keys().map(String::as_str).collect();
        return Err(format!("there is no program {name:?}: registered are {}", names.join(", ")));
    }
    let channel = serve::programs(config, &events::Events::counting(Clock::system()));
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let executor = executor.map_err(|e| format!("it cannot be waited for: {e}"))?;
    let tried = executor.block_on(channel.try_for(attempt, &attempt.recipients[0]));
    let (what, reply) = match &tried.outcome {
        Outcome::Delivered { reply, .. } => ("delivered", reply.to_string()),
        Outcome::Deferred { reply, cause, .. } => ("tried again later", format!("{reply} ({cause})")),
        Outcome::Failed { reply, cause, .. } => ("returned to the sender", format!("{reply} ({cause})")),
        Outcome::Replaced(_) | Outcome::Sent(_) | Outcome::Discarded { .. } => ("gone", String::new()),
    };
    let code = if matches!(tried.outcome, Outcome::Delivered { .. }) { DONE } else { FAILED };
    let run = tried.run.as_ref();
    let output = run.map(|run| String::from_utf8_lossy(&run.output).into_owned()).unwrap_or_default();
    if format.json {
        let json = serde_json::json!({
            "mail": what,
            "reply": reply,
            "ended": run.map(|run| ended(run.ended)),
            "seconds": run.map(|run| run.elapsed.as_secs_f64()),
            "output": output,
            "output_dropped": run.map(|run| run.dropped),
        });
        return Ok((shown::json(&format!("{json:#}")).into_owned(), code));
    }
    let mut text = String::new();
    if let Some(run) = run {
        let _ = writeln!(text, "{} after {:.2} s", ended(run.ended), run.elapsed.as_secs_f64());
        let said = run.output.len() as u64 + run.dropped;
        let _ = writeln!(text, "it said {said} octets, of which {} are kept", run.output.len());
        for line in output.chars().take(SHOWN_MAX).collect::<String>().lines() {
            let plain = |c: char| if c.is_control() { '?' } else { c };
            let _ = writeln!(text, "  | {}", line.chars().map(plain).collect::<String>());
        }
    }
    let _ = write!(text, "the mail is {what}: {reply}");
    Ok((text, code))
}

fn ended(how: Ended) -> String {
    match how {
        Ended::Exited(status) => format!("exit status {status}"),
        Ended::Killed(signal) => format!("ended by signal {signal}"),
        Ended::TimedOut => "ended by us, out of time".to_owned(),
    }
}
