//! MAIL to the end of data: what RSET drops, in one value.

use mail_types::{Address, BodyType, ForwardPath, Recipient, ReversePath, Timestamp};
use queue::Accepted;
use routing::recorder::Step;
use routing::{NewSender, ResolvedRecipient};
use smtp_wire::{ChunkDecoder, LineEndings, Mail, Rcpt};

use crate::intake::Intake;

/// A mail transaction (RFC 5321 §3.3).
#[derive(Debug)]
pub(crate) struct Transaction {
    /// What MAIL said, with the reverse path as the rules want it.
    pub(crate) mail: Mail,
    /// How that became another one.
    sender_steps: Vec<Step>,
    /// Final recipients of all accepted RCPT commands.
    pub(crate) recipients: Vec<Accepted>,
    /// How many RCPT commands were accepted: so many replies LMTP gives.
    pub(crate) accepted: usize,
    /// How many were refused.
    pub(crate) refused: usize,
    /// The address of the first accepted RCPT, for the Received field of a message with only one.
    pub(crate) first: Option<Address>,
    /// How far BDAT has come.
    pub(crate) chunks: Chunks,
    /// When MAIL came: no decision is older.
    pub(crate) began: Timestamp,
}

/// The state of BDAT (RFC 3030 §2).
#[derive(Debug)]
pub(crate) enum Chunks {
    /// No chunk came.
    None,
    /// Some came.
    Some(Box<Chunked>),
    /// One was refused: only RSET helps.
    Failed,
}

/// Content that comes by BDAT.
#[derive(Debug)]
pub(crate) struct Chunked {
    pub(crate) intake: Intake,
    /// Line endings may be split between chunks; `None` for binary content.
    pub(crate) decoder: Option<ChunkDecoder>,
}

impl Chunked {
    pub(crate) fn new(intake: Intake, body: BodyType, endings: LineEndings) -> Self {
        let decoder = (body != BodyType::BinaryMime).then(|| ChunkDecoder::new(endings));
        Self { intake, decoder }
    }
}

impl Transaction {
    pub(crate) fn new(mut mail: Mail, sender: Option<NewSender>, began: Timestamp) -> Self {
        let mut sender_steps = Vec::new();
        if let Some(NewSender { address, steps }) = sender {
            mail.path = ReversePath::Address(address);
            sender_steps = steps;
        }
        let (recipients, chunks) = (Vec::new(), Chunks::None);
        Self { mail, sender_steps, recipients, accepted: 0, refused: 0, first: None, chunks, began }
    }

    pub(crate) fn reverse_path(&self) -> &ReversePath {
        &self.mail.path
    }

    /// The channel by which all copies leave, where it is one.
    pub(crate) fn channel(&self) -> Option<&str> {
        let mut channels = self.recipients.iter().map(|accepted| accepted.route.channel.as_str());
        let first = channels.next()?;
        channels.all(|channel| channel == first).then_some(first)
    }

    /// Takes the final recipients of one RCPT, and gives them its DSN parameters.
    pub(crate) fn add(&mut self, rcpt: Rcpt, resolved: Vec<ResolvedRecipient>) {
        let command = self.accepted;
        self.accepted += 1;
        let named = match rcpt.path {
            ForwardPath::Address { address, .. } => address,
            ForwardPath::Postmaster => match resolved.first() {
                Some(first) => first.address.clone(),
                None => return,
            },
        };
        let of = Recipient { orcpt: rcpt.orcpt, notify: rcpt.notify, ..Recipient::new(named) };
        self.recipients.extend(resolved.into_iter().map(|mut one| {
            one.steps.splice(0..0, self.sender_steps.iter().cloned());
            Accepted { command, ..one.into_accepted(&of) }
        }));
        self.first.get_or_insert(of.original);
    }
}
