//! Reports about recipients (RFC 3461, RFC 3464): composed in the batch that settles them, so that
//! a recipient is never both gone and unreported.

use std::collections::HashSet;

use bytes::Bytes;
use events::{Event, Events};
use mail_types::{
    Address, Domain, LocalPart, NextHop, Notify, Persistence, QueueId, Recipient, Reply, RetentionOfContent,
    ReversePath, Route, Timestamp, Transport,
};
use message::{Action, Dsn, DsnRecipient};
use storage::{Batch, Content, LoadedContent, StorageError};

use crate::outgoing::{Own, OwnContent};
use crate::queue::Inner;
use crate::records::{Message, Spoken};
use crate::submission::{Accepted, Source};
use crate::submit::Effects;

/// The source that reports come from.
pub(crate) const SOURCE: &str = "dsn";

/// What became of one recipient, as its sender is told.
pub(crate) struct Fate {
    dsn: DsnRecipient,
}

impl Fate {
    /// A fate that no remote host had a part in.
    pub(crate) fn without_remote(recipient: &Recipient, action: Action, now: Timestamp) -> Self {
        let reply = Reply::new(250, mail_types::EnhancedStatus::success(0, 0), "ok");
        Self::new(recipient, action, &reply, None, now)
    }

    /// A fate with the words of whoever decided it, and with what a peer has said: only that may stand as its
    /// diagnostic, under its name (RFC 3464 §2.3.5, §2.3.6).
    pub(crate) fn new(
        recipient: &Recipient,
        action: Action,
        reply: &Reply,
        spoken: Option<&Spoken>,
        now: Timestamp,
    ) -> Self {
        let mut status = reply.status_or_class();
        if action == Action::Delayed {
            // RFC 3464 §2.3.4: what is tried again is no permanent failure, whatever was answered.
            status.persistence = Persistence::Transient;
        }
        let dsn = DsnRecipient {
            named: recipient.original.clone(),
            last: recipient.address.clone(),
            orcpt: recipient.orcpt.clone(),
            action,
            status,
            remote_mta: spoken.map(|spoken| host_of(&spoken.remote).to_owned()),
            diagnostic: spoken.map(|spoken| spoken.reply.clone()),
            last_attempt: Some(now),
            will_retry_until: None,
            cause: Some(reply.lines.join(" ")).filter(|text| !text.is_empty() && action == Action::Failed),
        };
        Self { dsn }
    }

    /// Says until when it is tried again.
    pub(crate) fn retried_until(mut self, until: Timestamp) -> Self {
        self.dsn.will_retry_until = Some(until);
        self
    }
}

/// What is told of addresses that stand for several: each was expanded, and is named once, however many copies come of
/// it (RFC 3461 §5.2.7.3 (c)).
pub(crate) fn expansions<'a>(
    accepted: impl IntoIterator<Item = &'a Accepted>,
    now: Timestamp,
) -> impl Iterator<Item = Fate> {
    let mut told = HashSet::new();
    let taken = accepted.into_iter().filter(|one| one.expanded && one.refused.is_none());
    taken.filter(move |one| told.insert(&one.recipient.original)).map(move |one| {
        let original = Recipient { address: one.recipient.original.clone(), ..one.recipient.clone() };
        Fate::without_remote(&original, Action::Expanded, now)
    })
}

/// The message that a report is about.
pub(crate) struct About<'a> {
    pub(crate) id: QueueId,
    pub(crate) arrived: Timestamp,
    pub(crate) reverse_path: &'a ReversePath,
    pub(crate) transport: &'a Transport,
    pub(crate) prefix: &'a [u8],
    /// None where storage has lost it.
    pub(crate) content: Option<&'a LoadedContent>,
    /// How many octets it has, or had.
    pub(crate) size: u64,
}

/// A composed report, on its way into a batch.
pub(crate) struct Report {
    id: QueueId,
    about: QueueId,
    action: Action,
    to: ReversePath,
    octets: Bytes,
    transport: Transport,
}

impl Report {
    pub(crate) fn emit(&self, events: &Events) {
        let (id, about, to) = (self.id, self.about, &self.to);
        events.emit(&Event::DsnQueued { id, about, action: self.action.word(), to });
    }
}

impl Inner {
    /// Composes the report, unless the reverse path is null: then there is nobody to tell, and
    /// the event says so (RFC 5321 §4.5.5: never a report about a report).
    pub(crate) fn compose_report(
        &self,
        about: &About<'_>,
        fates: &[Fate],
        now: Timestamp,
    ) -> Result<Option<Report>, StorageError> {
        let Some(action) = fates.iter().map(|fate| fate.dsn.action).min() else { return Ok(None) };
        let Some(to) = about.reverse_path.address() else {
            self.events.emit(&Event::DsnSuppressed { about: about.id, action: action.word() });
            return Ok(None);
        };
        let options = self.options();
        let most = match about.transport.ret {
            Some(RetentionOfContent::Full) => options.returned_max,
            _ => options.returned_max.min(message::RETURNED_HEADER_OCTETS_MAX),
        };
        let mut original = about.prefix.to_vec();
        if let Some(content) = about.content {
            match content.range(0, most.saturating_sub(original.len())) {
                Ok(octets) => original.extend_from_slice(&octets),
                // What cannot be returned keeps nobody from being told.
                Err(StorageError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let recipients: Vec<DsnRecipient> = fates.iter().map(|fate| fate.dsn.clone()).collect();
        let id = self.next_id();
        let composed = Dsn {
            id,
            random: self.random.u64(),
            reporting_mta: &options.host_name,
            from: &sender(&options.host_name),
            to,
            date: now,
            arrival: about.arrived,
            envid: about.transport.envid.as_deref(),
            recipients: &recipients,
            ret: about.transport.ret,
            original: &original,
            original_len: about.prefix.len() as u64 + about.size,
            smtputf8: about.transport.smtputf8,
        }
        .compose();
        let transport =
            Transport { body: composed.body, smtputf8: composed.smtputf8, ..Transport::default() };
        let to = about.reverse_path.clone();
        Ok(Some(Report { id, about: about.id, action, to, octets: composed.octets.into(), transport }))
    }

    /// Adds a report to the batch as a message of its own. Its way is found when it becomes
    /// active: nothing here knows routing.
    pub(crate) fn queue_report(batch: &mut Batch, effects: &mut Effects, report: Report, now: Timestamp) {
        let Some(to) = report.to.address() else { return };
        let recipient = Recipient { notify: Notify::Never, ..Recipient::new(to.clone()) };
        let route = Route::new(mail_types::ChannelName::REPROCESS, NextHop::Nobody);
        let message = Message {
            arrived: now,
            reverse_path: ReversePath::Null,
            transport: report.transport.clone(),
            source: Source { channel: SOURCE.to_owned(), ..Source::default() },
            message_id: None,
            prefix: Vec::new(),
            first_posting: None,
        };
        let recipients = [Accepted::new(recipient, route)];
        let own = Own { id: report.id, about: report.about, message, recipients: &recipients };
        let content = OwnContent::New(Content::Inline(report.octets.clone()));
        Self::queue_own(batch, effects, own, content, now);
        effects.reports.push(report);
    }
}

/// The name in `host[address]:port`, as RFC 3464 §2.3.5 wants it; an address literal stays whole.
fn host_of(remote: &str) -> &str {
    match remote.find('[') {
        Some(0) | None => remote,
        Some(at) => &remote[..at],
    }
}

/// Who reports are from: the mail system itself, by custom.
fn sender(host_name: &str) -> Address {
    let domain = Domain::parse(host_name).or_else(|_| Domain::parse("localhost"));
    Address::new(
        LocalPart::new("mailer-daemon").expect("letters and a hyphen"),
        domain.expect("localhost is a domain"),
    )
}
