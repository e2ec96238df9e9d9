//! Records, octet for octet. Each begins with its version; the layout stands in the crate's page.

use mail_types::Timestamp;
use storage::ContentId;

use crate::error::StoreError;
use crate::ids::{Flags, ModSeq, UidValidity};
use crate::keys::{u32_at, u64_at};
use crate::keywords::Keywords;
use crate::mailboxes::SpecialUse;

/// The version of every record that is written.
const VERSION: u8 = 1;

/// A record of `store_accounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountRecord {
    /// The highest UIDVALIDITY that any mailbox of the account ever had.
    pub(crate) last_uid_validity: UidValidity,
    pub(crate) created: Timestamp,
    pub(crate) name: String,
}

impl AccountRecord {
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let mut octets = vec![VERSION, 0, 0, 0];
        octets.extend_from_slice(&self.last_uid_validity.0.to_be_bytes());
        octets.extend_from_slice(&self.created.0.to_be_bytes());
        octets.extend_from_slice(self.name.as_bytes());
        octets
    }

    pub(crate) fn parse(octets: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let name = versioned(octets).and_then(|octets| octets.get(16..))?;
            Some(Self {
                last_uid_validity: UidValidity(u32_at(octets, 4)?),
                created: Timestamp(u64_at(octets, 8)?),
                name: String::from_utf8(name.to_vec()).ok()?,
            })
        };
        read().ok_or_else(|| StoreError::corrupt("an account's record is unreadable"))
    }
}

/// A record of `store_mailboxes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailboxRecord {
    /// Whether it can hold messages.
    pub(crate) selectable: bool,
    pub(crate) special_use: Option<SpecialUse>,
    pub(crate) uid_validity: UidValidity,
    pub(crate) created: Timestamp,
    pub(crate) name: String,
}

/// The bit of a mailbox that only holds others.
const NOT_SELECTABLE: u8 = 1;

impl MailboxRecord {
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let bits = if self.selectable { 0 } else { NOT_SELECTABLE };
        let mut octets = vec![VERSION, bits, self.special_use.map_or(0, SpecialUse::to_octet), 0];
        octets.extend_from_slice(&self.uid_validity.0.to_be_bytes());
        octets.extend_from_slice(&self.created.0.to_be_bytes());
        octets.extend_from_slice(self.name.as_bytes());
        octets
    }

    pub(crate) fn parse(octets: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let name = versioned(octets).and_then(|octets| octets.get(16..))?;
            Some(Self {
                selectable: octets[1] & NOT_SELECTABLE == 0,
                special_use: SpecialUse::from_octet(octets[2]),
                uid_validity: UidValidity(u32_at(octets, 4)?),
                created: Timestamp(u64_at(octets, 8)?),
                name: String::from_utf8(name.to_vec()).ok()?,
            })
        };
        read().ok_or_else(|| StoreError::corrupt("a mailbox's record is unreadable"))
    }
}

/// A record of `store_messages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageRecord<'a> {
    pub(crate) flags: Flags,
    pub(crate) content: ContentId,
    pub(crate) modseq: ModSeq,
    /// Octets of prefix and content.
    pub(crate) size: u64,
    pub(crate) internal_date: Timestamp,
    /// When it came into this mailbox.
    pub(crate) save_date: Timestamp,
    pub(crate) keywords: Keywords,
    /// The fields on top of the content: Return-Path, Received.
    pub(crate) prefix: &'a [u8],
}

/// Where a content id is written once it is drawn.
pub(crate) const CONTENT_AT: usize = 8;
/// Where a mod-sequence is written once it is drawn.
pub(crate) const RECORD_MODSEQ_AT: usize = 16;
/// How long a message record is, without its prefix.
const MESSAGE_HEAD: usize = 56;

impl<'a> MessageRecord<'a> {
    pub(crate) fn to_octets(self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(MESSAGE_HEAD + self.prefix.len());
        let prefix_len = u32::try_from(self.prefix.len()).expect("APPEND_PREFIX_MAX fits in u32");
        octets.extend_from_slice(&[VERSION, self.flags.bits(), 0, 0]);
        octets.extend_from_slice(&prefix_len.to_be_bytes());
        for number in [
            self.content.0,
            self.modseq.0,
            self.size,
            self.internal_date.0,
            self.save_date.0,
            self.keywords.0,
        ] {
            octets.extend_from_slice(&number.to_be_bytes());
        }
        octets.extend_from_slice(self.prefix);
        octets
    }

    pub(crate) fn parse(octets: &'a [u8]) -> Result<Self, StoreError> {
        let read = || {
            versioned(octets)?;
            Some(Self {
                flags: Flags::from_bits(*octets.get(1)?),
                content: ContentId(u64_at(octets, CONTENT_AT)?),
                modseq: ModSeq(u64_at(octets, RECORD_MODSEQ_AT)?),
                size: u64_at(octets, 24)?,
                internal_date: Timestamp(u64_at(octets, 32)?),
                save_date: Timestamp(u64_at(octets, 40)?),
                keywords: Keywords(u64_at(octets, 48)?),
                prefix: octets.get(MESSAGE_HEAD..).filter(|prefix| {
                    u32_at(octets, 4).is_some_and(|len| usize::try_from(len) == Ok(prefix.len()))
                })?,
            })
        };
        read().ok_or_else(|| StoreError::corrupt("a message's record is unreadable"))
    }
}

/// The octets, if their version is one that this code reads.
fn versioned(octets: &[u8]) -> Option<&[u8]> {
    (octets.first() == Some(&VERSION)).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn message_records_are_inverse(
            bits in 0_u8..32, numbers: [u64; 6], prefix in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            let record = MessageRecord {
                flags: Flags::from_bits(bits),
                content: ContentId(numbers[0]),
                modseq: ModSeq(numbers[1]),
                size: numbers[2],
                internal_date: Timestamp(numbers[3]),
                save_date: Timestamp(numbers[4]),
                keywords: Keywords(numbers[5]),
                prefix: &prefix,
            };
            let octets = record.to_octets();
            prop_assert_eq!(MessageRecord::parse(&octets).unwrap(), record);
        }

        #[test]
        fn mailbox_and_account_records_are_inverse(uid_validity: u32, ms: u64, name in "\\PC{0,20}", selectable: bool, kind in 0_u8..8) {
            let mailbox = MailboxRecord {
                selectable,
                special_use: SpecialUse::from_octet(kind),
                uid_validity: UidValidity(uid_validity),
                created: Timestamp(ms),
                name: name.clone(),
            };
            prop_assert_eq!(MailboxRecord::parse(&mailbox.to_octets()).unwrap(), mailbox);
            let account = AccountRecord { last_uid_validity: UidValidity(uid_validity), created: Timestamp(ms), name };
            prop_assert_eq!(AccountRecord::parse(&account.to_octets()).unwrap(), account);
        }

        #[test]
        fn reading_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..80), version: bool) {
            let mut octets = octets;
            if let (true, Some(first)) = (version, octets.first_mut()) {
                *first = VERSION;
            }
            let _ = MessageRecord::parse(&octets);
            let _ = MailboxRecord::parse(&octets);
            let _ = AccountRecord::parse(&octets);
        }
    }
}
