//! The explanation of a decision: every step, as data and for people.

use std::collections::HashSet;
use std::fmt;

use mail_types::{Address, NextHop, Refusal, Route};
use serde::{Deserialize, Serialize};

use crate::recorder::Step;
use crate::resolve::walk::Walked;
use crate::resolve::{Request, ResolvedRecipient};

/// Why a recipient goes where it goes. Made by the code that decides, with all steps kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The recipient, as RCPT gave it.
    pub recipient: String,
    /// The reverse path, as MAIL gave it.
    pub reverse_path: String,
    /// The source channel.
    pub source: String,
    /// As whom the client authenticated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub authenticated: Option<String>,
    /// The addresses that were looked at, in order.
    pub addresses: Vec<ExplainedAddress>,
    /// What came of it.
    pub outcome: ExplainedOutcome,
    /// Those that it is taken for, as a session would have them: for whoever goes on from here.
    #[serde(skip)]
    pub resolved: Vec<ResolvedRecipient>,
}

/// One address on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedAddress {
    /// How many groups and forwards lie above it.
    pub depth: usize,
    /// The steps.
    pub steps: Vec<Step>,
}

/// The end of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExplainedOutcome {
    /// Taken, for these.
    Accepted(Vec<ExplainedRecipient>),
    /// Refused.
    Refused {
        /// The reply's code, 4xx or 5xx.
        code: u16,
        /// The enhanced status (RFC 3463).
        status: String,
        /// What the peer reads.
        text: String,
        /// The true reason.
        cause: String,
    },
}

/// One final recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRecipient {
    /// Its address.
    pub address: Address,
    /// Its subaddress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The channel.
    pub channel: String,
    /// The next hop, as people write it.
    pub next_hop: String,
    /// Both, as the queue keeps them.
    pub route: Route,
    /// What is known of the way beyond: a smart host, hosts of the static table, a mailbox that is full.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

impl From<ResolvedRecipient> for ExplainedRecipient {
    fn from(recipient: ResolvedRecipient) -> Self {
        Self { detail: recipient.detail, ..Self::new(recipient.address, recipient.route) }
    }
}

impl ExplainedRecipient {
    /// Nothing is known of it but address and route.
    #[must_use]
    pub fn new(address: Address, route: Route) -> Self {
        let (channel, next_hop) = (route.channel.to_string(), route.next_hop.to_string());
        Self { address, detail: None, channel, next_hop, route, notes: Vec::new() }
    }

    /// Sends it by another host of its channel.
    pub fn go_by(&mut self, next_hop: NextHop) {
        self.next_hop = next_hop.to_string();
        self.route.next_hop = next_hop;
    }
}

/// The copies that delivery makes: however many ways lead to an account, it gets one.
fn one_copy_each(recipients: impl Iterator<Item = ExplainedRecipient>) -> Vec<ExplainedRecipient> {
    let mut seen = HashSet::new();
    let mut is_new =
        |recipient: &ExplainedRecipient| seen.insert(recipient.route.copy_key(&recipient.address));
    recipients.filter(|recipient| is_new(recipient)).collect()
}

impl ExplainedOutcome {
    /// Taken, for these.
    pub fn accepted(recipients: impl Iterator<Item = ExplainedRecipient>) -> Self {
        Self::Accepted(one_copy_each(recipients))
    }
}

impl From<Refusal> for ExplainedOutcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused {
            code: refusal.reply.code,
            status: refusal.reply.status_or_class().to_string(),
            text: refusal.reply.lines.join(" "),
            cause: refusal.cause,
        }
    }
}

impl Explanation {
    pub(crate) fn new(request: &Request<'_>, walked: Walked) -> Self {
        let addresses = walked.traces.into_iter();
        let mut resolved = Vec::new();
        let outcome = match walked.answer {
            Ok(recipients) => {
                resolved = recipients;
                ExplainedOutcome::accepted(resolved.iter().cloned().map(Into::into))
            }
            Err(refusal) => refusal.into(),
        };
        Self {
            recipient: request.recipient.to_string(),
            reverse_path: request.reverse_path.to_string(),
            source: request.source.to_owned(),
            authenticated: request.authenticated.map(ToString::to_string),
            addresses: addresses
                .map(|trace| ExplainedAddress { depth: trace.depth, steps: trace.steps })
                .collect(),
            outcome,
            resolved,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} by {}", self.recipient, self.reverse_path, self.source)?;
        if let Some(account) = &self.authenticated {
            write!(f, ", authenticated as {account}")?;
        }
        writeln!(f)?;
        for address in &self.addresses {
            let indent = " ".repeat(2 + 2 * address.depth.min(20));
            for step in &address.steps {
                write!(f, "{indent}{:<10}  {}", step.what.word(), step.text)?;
                match (&step.origin, &step.sync) {
                    (Some(origin), Some(sync)) => writeln!(f, "  [{origin}; {sync}]")?,
                    (Some(origin), None) => writeln!(f, "  [{origin}]")?,
                    (None, _) => writeln!(f)?,
                }
            }
        }
        match &self.outcome {
            ExplainedOutcome::Refused { code, status, text, cause } => {
                writeln!(f, "refused: {code} {status} {text}")?;
                writeln!(f, "  because {cause}")
            }
            ExplainedOutcome::Accepted(recipients) => {
                writeln!(f, "accepted for {}:", recipients.len())?;
                for recipient in recipients {
                    write!(f, "  {}  channel {}", recipient.address, recipient.channel)?;
                    if recipient.next_hop != "-" {
                        write!(f, "  next hop {}", recipient.next_hop)?;
                    }
                    if let Some(detail) = &recipient.detail {
                        write!(f, "  subaddress {detail}")?;
                    }
                    writeln!(f)?;
                    for note in &recipient.notes {
                        writeln!(f, "    {note}")?;
                    }
                }
                Ok(())
            }
        }
    }
}
