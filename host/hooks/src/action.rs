//! What becomes of mail for one final recipient.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use mail_types::{AccountName, Address, Reply};

use crate::Attributes;

/// A recipient that asks what becomes of its mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispositionRequest {
    /// The final address.
    pub address: Address,
    /// The address that the client named.
    pub original: Address,
    /// The envelope sender; none for the null sender.
    pub sender: Option<Address>,
    /// The subaddress; empty for none.
    pub detail: String,
    /// The mailbox's owner.
    pub account: AccountName,
    /// Its directory entry, shared with whoever else has read it.
    pub profile: Arc<Attributes>,
}

/// The content that a disposition may look at.
pub trait MessageView: Send + Sync {
    /// The decoded text of the nth field of a name, from 0.
    fn text(&self, name: &str, nth: usize) -> Option<String>;
    /// Raw fields in order, without line ends: name and value.
    fn page(&self, first: usize, max: usize) -> Vec<(String, Vec<u8>)>;
    /// Octets of the whole.
    fn size(&self) -> u64;
    /// Octets of the body; fewer than asked for at the end.
    fn body(&self, offset: u64, max: usize) -> Vec<u8>;
}

/// A message under decision, shared by the calls for its recipients.
pub type Content = Arc<dyn MessageView>;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Keep a copy; empty mailbox: INBOX.
    Keep {
        /// Names nested by `/`.
        mailbox: String,
        /// Flags and keywords.
        labels: Vec<String>,
    },
    /// Send a copy on.
    Forward(Address),
    /// Answer the sender.
    AutoReply {
        /// Subject.
        subject: String,
        /// Text.
        text: String,
        /// Hours between answers to the same sender; 0: the host's choice.
        once_in_hours: u32,
    },
    /// Hand it to a registered program.
    Program(String),
    /// Append it to a registered file.
    File(String),
    /// Keep a copy in a shared mailbox.
    Shared(String),
    /// Park it.
    Hold(String),
    /// Drop it.
    Discard(String),
    /// Refuse it.
    Reject(Reply),
    /// Add a header field to this recipient's copy.
    AddHeader {
        /// Field name.
        name: String,
        /// Field value, one line.
        value: String,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { mailbox, labels } => {
                write!(f, "keep {}", word(if mailbox.is_empty() { "INBOX" } else { mailbox }))?;
                labels.iter().try_for_each(|label| write!(f, " {}", word(label)))
            }
            Self::Forward(address) => write!(f, "forward {address}"),
            Self::AutoReply { subject, text, once_in_hours } => {
                write!(f, "auto-reply {once_in_hours} {subject:?} {text:?}")
            }
            Self::Program(name) => write!(f, "program {name}"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Shared(name) => write!(f, "shared {name}"),
            Self::Hold(reason) => write!(f, "hold {reason}"),
            Self::Discard(reason) => write!(f, "discard {reason}"),
            Self::Reject(reply) => write!(f, "reject {reply}"),
            Self::AddHeader { name, value } => write!(f, "add-header {name}: {value}"),
        }
    }
}

/// A word of an answer: in quotes where it has spaces or quotes.
fn word(text: &str) -> Cow<'_, str> {
    if text.is_empty() || text.contains([' ', '"']) { format!("{text:?}").into() } else { text.into() }
}
