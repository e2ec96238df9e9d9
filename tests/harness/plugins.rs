//! Plugins that answer by a table, for cases about policy.
//!
//! ```text
//! bound NAME DOMAIN                                      the configuration binds it to rewriting for a domain
//! NAME ADDRESS [envelope|header] [FUNCTION,ARGUMENT] -> VERDICT     the first line that fits is the answer
//! ```
//! ADDRESS is `user@domain`, `*@domain` or `*`. VERDICT is `no-match`, `again ADDRESS`, `settled ADDRESS`,
//! `route ADDRESS CHANNEL [HOST]`, `refuse CODE STATUS TEXT` or `fail KIND ON-FAILURE`; `remembered VERDICT` needs no
//! call, nor does an address that no line fits (the plugin is not interested). In addresses `$U` is the local part asked
//! about, `$A` the argument. A plugin without lines is missing; mail waits for it.

use std::sync::Mutex;

use hooks::{
    BoxFuture, CallContext, CallReport, Failed, FailureKind, LogLine, PluginName, Plugins, Ready,
    RewriteRequest, RewriteVerdict, Role, Sitting, Told as Answered,
};
use mail_types::{Address, ChannelName, Domain, EnhancedStatus, Persistence, Reply};

/// What each call costs, in its report.
const MICROSECONDS: u64 = 12;

struct Line {
    plugin: PluginName,
    address: String,
    position: Option<String>,
    call: Option<(String, String)>,
    verdict: String,
    remembered: bool,
}

/// The table, and the calls that were made.
#[derive(Default)]
pub struct Told {
    lines: Vec<Line>,
    bound: Vec<(PluginName, Domain)>,
    calls: Mutex<Vec<String>>,
}

impl Told {
    /// Reads a table.
    ///
    /// # Errors
    /// Says which line is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut told = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            told.line(line).map_err(|why| format!("plugins: {line:?}: {why}"))?;
        }
        Ok(told)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let name = |text: &str| text.parse::<PluginName>().map_err(|error| error.to_string());
        if let ["bound", plugin, domain] = line.split_whitespace().collect::<Vec<_>>().as_slice() {
            let domain = Domain::parse(domain).map_err(|error| error.to_string())?;
            self.bound.push((name(plugin)?, domain));
            return Ok(());
        }
        let (left, verdict) = line.split_once("->").ok_or("there is no \"->\"")?;
        let mut words = left.split_whitespace();
        let (plugin, address) = words.next().zip(words.next()).ok_or("write NAME ADDRESS -> VERDICT")?;
        let (mut position, mut call) = (None, None);
        for word in words {
            match word.split_once(',') {
                Some((function, argument)) => call = Some((function.to_owned(), argument.to_owned())),
                None => position = Some(word.to_owned()),
            }
        }
        let verdict = verdict.trim();
        let remembered = verdict.strip_prefix("remembered ");
        self.lines.push(Line {
            plugin: name(plugin)?,
            address: address.to_owned(),
            position,
            call,
            verdict: remembered.unwrap_or(verdict).to_owned(),
            remembered: remembered.is_some(),
        });
        Ok(())
    }

    /// The calls since the last time, `PLUGIN for TENANT: ADDRESS …` each.
    pub fn take_calls(&self) -> Vec<String> {
        self.calls.lock().map(|mut calls| std::mem::take(&mut *calls)).unwrap_or_default()
    }

    fn find(&self, plugin: &PluginName, request: &RewriteRequest) -> Option<&Line> {
        let address = request.address.to_string();
        let fits = |pattern: &str| match pattern.strip_prefix('*') {
            Some("") => true,
            Some(domain) => address.ends_with(domain),
            None => pattern == address,
        };
        self.lines.iter().find(|line| {
            line.plugin == *plugin
                && fits(&line.address)
                && line.position.as_ref().is_none_or(|position| position == request.position.as_str())
                && line.call.as_ref().is_none_or(|call| {
                    (call.0.as_str(), call.1.as_str()) == (&request.function, &request.argument)
                })
        })
    }
}

fn failed(plugin: &PluginName, kind: FailureKind, on_failure: hooks::OnFailure) -> Failed {
    Failed { plugin: plugin.clone(), kind, message: "by the table".to_owned(), on_failure }
}

fn verdict(line: &Line, request: &RewriteRequest) -> Result<RewriteVerdict, Failed> {
    let address = |text: &str| {
        let text = text.replace("$U", request.address.local.as_str()).replace("$A", &request.argument);
        Address::parse(&text).unwrap_or_else(|why| panic!("{}: {text:?}: {why}", line.verdict))
    };
    let words: Vec<&str> = line.verdict.split_whitespace().collect();
    match words.as_slice() {
        ["no-match"] => Ok(RewriteVerdict::NoMatch),
        ["again", to] => Ok(RewriteVerdict::Again(address(to))),
        ["settled", to] => Ok(RewriteVerdict::Settled(address(to))),
        ["route", to, channel, host @ ..] => Ok(RewriteVerdict::Route {
            address: address(to),
            channel: ChannelName::new(channel),
            host: host.first().and_then(|host| Domain::parse(host).ok()),
        }),
        ["refuse", code, status, text @ ..] => {
            Ok(RewriteVerdict::Refuse(refusal(code, status, &text.join(" "))))
        }
        ["fail", kind, on_failure] => {
            let kind = FailureKind::ALL.into_iter().find(|known| known.as_str() == *kind);
            let on_failure = on_failure.parse().unwrap_or_else(|why| panic!("{}: {why}", line.verdict));
            Err(failed(&line.plugin, kind.expect("a kind of failure"), on_failure))
        }
        other => panic!("{other:?} is no verdict"),
    }
}

fn refusal(code: &str, status: &str, text: &str) -> Reply {
    let numbers: Vec<u16> = status.split('.').filter_map(|part| part.parse().ok()).collect();
    let [class, subject, detail] = numbers[..] else { panic!("{status:?} is no status") };
    let persistence = if class == 4 { Persistence::Transient } else { Persistence::Permanent };
    Reply::new(code.parse().expect("a code"), EnhancedStatus { persistence, subject, detail }, text)
}

impl Plugins for Told {
    fn bound(&self, role: Role, domain: &Domain) -> Vec<PluginName> {
        let here = self.bound.iter().filter(|(_, to)| role == Role::Rewrite && to == domain);
        here.map(|(plugin, _)| plugin.clone()).collect()
    }

    fn any_bound(&self, role: Role) -> bool {
        role == Role::Rewrite && !self.bound.is_empty()
    }

    fn ready(&self, plugin: &PluginName, _: &CallContext, request: &RewriteRequest) -> Ready<RewriteVerdict> {
        match self.find(plugin, request) {
            Some(line) if !line.remembered => Ready::Ask,
            Some(line) => match verdict(line, request) {
                Ok(verdict) => Ready::Answer(verdict),
                Err(failed) => Ready::Failed(failed),
            },
            None if self.lines.iter().any(|line| line.plugin == *plugin) => {
                Ready::Answer(RewriteVerdict::NoMatch)
            }
            None => Ready::Failed(failed(plugin, FailureKind::Missing, hooks::OnFailure::Tempfail)),
        }
    }

    fn rewrite<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        batch: &'a [RewriteRequest],
        _: &'a mut Sitting,
    ) -> BoxFuture<'a, Answered<Vec<RewriteVerdict>>> {
        Box::pin(async move {
            let addresses: Vec<String> = batch.iter().map(|request| request.address.to_string()).collect();
            let tenant = context.tenant.as_ref().map_or("nobody", Domain::as_str);
            if let Ok(mut calls) = self.calls.lock() {
                calls.push(format!("{plugin} for {tenant} by {}: {}", context.channel, addresses.join(" ")));
            }
            let say = |request| verdict(self.find(plugin, request).expect("only Ask leads here"), request);
            Answered {
                answer: batch.iter().map(say).collect(),
                report: CallReport {
                    uncounted: None,
                    digest: "0a1b2c3d".to_owned(),
                    microseconds: MICROSECONDS,
                    cpu_milliseconds: 0,
                    memory: 65_536,
                    host_calls: 1,
                    fuel: None,
                    remembered: false,
                    log: vec![LogLine { level: "info".to_owned(), text: "looked it up".to_owned() }],
                    backtrace: Vec::new(),
                },
            }
        })
    }
}
