//! Parts of messages for CATENATE (RFC 4469): octets of others that are here already.

use std::ops::Range;
use std::sync::Arc;

use imap_wire::{Code, FetchItem, MessageUrl, SectionFetch};
use store::{MailboxId, Octets, StoreError, Uid};

use super::append::Appending;
use super::extract::{Extract, Need};
use super::{fetch, refusal};
use crate::answer::Answer;
use crate::dialect::Headers;
use crate::session::{Session, State};

/// Octets of a message that are read at a time.
const PIECE_OCTETS: usize = 256 * 1024;

/// Octets of a message.
enum Part {
    Held(Vec<u8>),
    At(Octets, Range<u64>),
}

impl Session {
    /// Puts what a URL names behind what has come of a message, so many octets at most. `\Seen` stays as it is.
    pub(super) async fn catenate(
        &self,
        appending: &mut Appending,
        url: &str,
        max: u64,
    ) -> Result<(), Answer> {
        let part = match self.part(url).await {
            Ok(Some(part)) => part,
            Ok(None)
            | Err(StoreError::NotFound(_) | StoreError::NotPermitted(_) | StoreError::NotSelectable) => {
                return Err(bad_url(url));
            }
            Err(StoreError::Name(_)) => return Err(bad_url(url)),
            Err(error) => return Err(refusal(&error)),
        };
        let len = match &part {
            Part::Held(octets) => octets.len() as u64,
            Part::At(_, range) => range.end - range.start,
        };
        if len > max {
            return Err(Answer::no("message too big").code(Code::TooBig));
        }
        let Some(open) = &mut appending.open else { return Err(bad_url(url)) };
        match part {
            Part::Held(octets) => open.writer.write(&octets).await.map_err(|error| refusal(&error.into())),
            Part::At(octets, range) => {
                let mut at = range.start;
                while at < range.end {
                    let want = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(PIECE_OCTETS);
                    let piece = octets.range(at, want).map_err(|error| refusal(&error))?;
                    if piece.is_empty() {
                        return Err(bad_url(url));
                    }
                    open.writer.write(&piece).await.map_err(|error| refusal(&error.into()))?;
                    at += piece.len() as u64;
                }
                Ok(())
            }
        }
    }

    /// What a URL names; `None` where that is nothing.
    async fn part(&self, url: &str) -> Result<Option<Part>, StoreError> {
        let Some(url) = MessageUrl::parse(url, &self.limits(true)) else { return Ok(None) };
        let Some(mailbox) = self.mailbox_of(&url)? else { return Ok(None) };
        let info = self.shared.parts.store.reader(mailbox)?.info(Uid(url.uid))?;
        let Some(info) = info else { return Ok(None) };
        let item = FetchItem::Section(SectionFetch { section: url.section, peek: true, partial: None });
        let need = Need::of(&item);
        let items: Arc<[FetchItem]> = Arc::new([item]);
        let mut extracts =
            fetch::extracts(&self.shared, mailbox, (&items, need, Headers::AsTheyAre), &info).await?;
        Ok(match (extracts.items.pop(), extracts.octets) {
            (Some(Extract::Literal(octets)), _) => {
                let Range { start, end } = chosen(0..octets.len() as u64, url.partial);
                let at = |octet: u64| usize::try_from(octet).unwrap_or(usize::MAX);
                Some(Part::Held(octets[at(start)..at(end)].to_vec()))
            }
            (Some(Extract::Range(range)), Some(octets)) => Some(Part::At(octets, chosen(range, url.partial))),
            _ => None,
        })
    }

    /// The mailbox of a URL, as far as the person may know of it.
    fn mailbox_of(&self, url: &MessageUrl) -> Result<Option<MailboxId>, StoreError> {
        let store = &self.shared.parts.store;
        let (State::Authenticated(login) | State::Selected(login, _)) = &self.state else { return Ok(None) };
        let Some(name) = &url.mailbox else {
            return Ok(match &self.state {
                State::Selected(_, selected) => Some(selected.mailbox),
                _ => None,
            });
        };
        let mailbox = store.find_shared(login.account, name.as_str())?;
        let is_same = url.uid_validity.is_none_or(|validity| validity == mailbox.uid_validity.0);
        Ok(is_same.then_some(mailbox.id))
    }
}

/// What a partial leaves of a range.
fn chosen(range: Range<u64>, partial: Option<(u64, Option<u64>)>) -> Range<u64> {
    let Some((offset, length)) = partial else { return range };
    let start = range.start.saturating_add(offset).min(range.end);
    let end = length.map_or(range.end, |length| start.saturating_add(length).min(range.end));
    start..end
}

/// RFC 4469 §4.1.
fn bad_url(url: &str) -> Answer {
    Answer::no("there is no such message or part").code(Code::BadUrl(url.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_stays_within() {
        assert_eq!(chosen(10..20, None), 10..20);
        assert_eq!(chosen(10..20, Some((3, None))), 13..20);
        assert_eq!(chosen(10..20, Some((3, Some(4)))), 13..17);
        assert_eq!(chosen(10..20, Some((3, Some(u64::MAX)))), 13..20);
        assert_eq!(chosen(10..20, Some((u64::MAX, Some(1)))), 20..20);
    }
}
