//! The answers of several plugins for one recipient, joined as the contract says (`wit/policy.wit`, `disposition`).

use hooks::Action;
use mail_types::{ChannelName, Filing, Refusal, Words};

/// What becomes of mail for one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Copies in mailboxes; none asked for and nothing else done: one in INBOX.
    pub(crate) copies: Vec<Filing>,
    /// Addresses that get a copy.
    pub(crate) forwards: Vec<mail_types::Address>,
    /// Header fields of the copies.
    pub(crate) fields: Vec<(String, String)>,
    /// What has a channel of its own.
    pub(crate) others: Vec<Other>,
    /// What ends everything else.
    pub(crate) end: Option<End>,
    /// Whether a plugin has chosen the mailboxes: later ones do not.
    filed: bool,
    /// Whether an action said where the message goes.
    disposed: bool,
}

/// What has a channel of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Other {
    /// An automatic reply.
    Answer(Words),
    /// The channel, and what it is told by name.
    Named(&'static str, String),
}

/// What ends everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Parked.
    Hold(String),
    /// Dropped.
    Discard(String),
    /// Refused, now (4xx) or for good (5xx).
    Reject(Refusal),
}

impl Joined {
    /// One that sends the message on, and keeps none.
    pub(crate) fn went_on(to: Vec<mail_types::Address>) -> Self {
        Self { forwards: to, disposed: true, ..Self::default() }
    }

    /// Whether the message is sent on, and stays nowhere here.
    pub(crate) fn goes_on(&self) -> bool {
        let is_named = |other: &Other| matches!(other, Other::Named(..));
        let stays = self.end.is_some() || !self.copies.is_empty() || self.others.iter().any(is_named);
        self.disposed && !stays && !self.forwards.is_empty()
    }

    /// Takes one plugin's actions. Nothing is taken after an end.
    pub(crate) fn take(&mut self, actions: Vec<Action>) {
        let may_file = !self.filed;
        for action in actions {
            if self.end.is_some() {
                return;
            }
            self.disposed |= disposes(&action);
            match action {
                Action::Keep { mailbox, labels } => {
                    if may_file {
                        self.filed = true;
                        // It has one name, however it is written.
                        let mailbox =
                            if mailbox.eq_ignore_ascii_case("INBOX") { String::new() } else { mailbox };
                        self.copies.push(Filing { mailbox, labels, fields: Vec::new() });
                    }
                }
                Action::Forward(address) => {
                    if !self.forwards.contains(&address) {
                        self.forwards.push(address);
                    }
                }
                Action::AddHeader { name, value } => self.fields.push((name, value)),
                Action::AutoReply { subject, text, once_in_hours } => {
                    self.others.push(Other::Answer(Words { subject, text, once_in_hours }));
                }
                Action::Program(name) => self.others.push(Other::Named(ChannelName::PROGRAM, name)),
                Action::File(name) => self.others.push(Other::Named(ChannelName::FILE, name)),
                Action::Shared(name) => self.others.push(Other::Named(ChannelName::SHARED, name)),
                Action::Hold(reason) => self.end = Some(End::Hold(reason)),
                Action::Discard(reason) => self.end = Some(End::Discard(reason)),
                Action::Reject(reply) => {
                    self.end = Some(End::Reject(Refusal::new(reply, "a disposition plugin refuses it")));
                }
            }
        }
    }

    /// Octets that its copies take, each with all of the header fields.
    pub(crate) fn octets(&self) -> usize {
        let of_copy = |copy: &Filing| copy.mailbox.len() + copy.labels.iter().map(String::len).sum::<usize>();
        let of_other = |other: &Other| match other {
            Other::Answer(words) => words.subject.len() + words.text.len(),
            Other::Named(_, name) => name.len(),
        };
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.copies.iter().map(of_copy).sum::<usize>()
            + self.others.iter().map(of_other).sum::<usize>()
            + fields * self.copies.len().max(1)
    }

    /// The copies, with their header fields; one in INBOX where no action said where the message goes.
    pub(crate) fn filings(&mut self) -> Vec<Filing> {
        let mut copies = std::mem::take(&mut self.copies);
        if copies.is_empty() && !self.disposed {
            copies.push(Filing::default());
        }
        for copy in &mut copies {
            copy.fields.clone_from(&self.fields);
        }
        copies
    }
}

/// Whether an action says where the message goes.
fn disposes(action: &Action) -> bool {
    !matches!(action, Action::AddHeader { .. } | Action::AutoReply { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_types::{Address, EnhancedStatus, Reply};

    fn keep(mailbox: &str) -> Action {
        Action::Keep { mailbox: mailbox.into(), labels: Vec::new() }
    }

    fn joined(lists: Vec<Vec<Action>>) -> (Vec<String>, Joined) {
        let mut joined = Joined::default();
        lists.into_iter().for_each(|list| joined.take(list));
        (joined.filings().into_iter().map(|filing| filing.mailbox).collect(), joined)
    }

    #[test]
    fn without_a_word_a_copy_is_kept_in_inbox() {
        let header = Action::AddHeader { name: "X-A".into(), value: "b".into() };
        for lists in [vec![], vec![vec![]], vec![vec![header]]] {
            assert_eq!(joined(lists).0, [""]);
        }
    }

    #[test]
    fn the_first_plugin_that_files_decides_where() {
        let (mailboxes, _) = joined(vec![vec![], vec![keep("a"), keep("b")], vec![keep("c")]]);
        assert_eq!(mailboxes, ["a", "b"]);
    }

    #[test]
    fn a_forward_alone_keeps_no_copy_and_is_sent_once() {
        let to = Action::Forward(Address::parse("x@far.example").unwrap());
        let (mailboxes, joined) = joined(vec![vec![to.clone()], vec![to]]);
        assert_eq!((mailboxes.len(), joined.forwards.len()), (0, 1));
    }

    #[test]
    fn an_end_ends_it() {
        let reply = Reply::new(550, EnhancedStatus::permanent(7, 1), "no");
        let (_, joined) =
            joined(vec![vec![Action::Reject(reply.clone())], vec![Action::Discard("x".into())]]);
        let Some(End::Reject(refusal)) = joined.end else { panic!("{:?}", joined.end) };
        assert_eq!(refusal.reply, reply);
    }
}
