//! Rights: what somebody may do with a mailbox (RFC 4314 §2.1), as a set of letters.

use std::fmt;

use crate::ids::Flags;

/// A set of rights (RFC 4314 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u16);

/// The rights with their letters, in the order in which they are shown.
const LETTERS: [(char, Rights); 11] = [
    ('l', Rights::LOOKUP),
    ('r', Rights::READ),
    ('s', Rights::SEEN),
    ('w', Rights::WRITE),
    ('i', Rights::INSERT),
    ('p', Rights::POST),
    ('k', Rights::CREATE),
    ('x', Rights::DELETE_MAILBOX),
    ('t', Rights::DELETE_MESSAGES),
    ('e', Rights::EXPUNGE),
    ('a', Rights::ADMINISTER),
];

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// `l`: the mailbox is in lists.
    pub const LOOKUP: Self = Self(1);
    /// `r`: it can be opened, and its numbers asked for.
    pub const READ: Self = Self(1 << 1);
    /// `s`: `\Seen` is kept.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: other flags than `\Seen` and `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: messages may be put in.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: mail may be sent to it.
    pub const POST: Self = Self(1 << 5);
    /// `k`: mailboxes may be made below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: it may be deleted and renamed.
    pub const DELETE_MAILBOX: Self = Self(1 << 7);
    /// `t`: `\Deleted`.
    pub const DELETE_MESSAGES: Self = Self(1 << 8);
    /// `e`: messages may be expunged.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: rights may be read and given.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// All eleven: what an owner has.
    pub const ALL: Self = Self((1 << 11) - 1);
    /// Having one of these, one may know of the mailbox (RFC 4314 §4, MYRIGHTS).
    pub const KNOWING: Self = Self(
        Self::LOOKUP.0
            | Self::READ.0
            | Self::INSERT.0
            | Self::CREATE.0
            | Self::DELETE_MAILBOX.0
            | Self::ADMINISTER.0,
    );

    /// Reads letters. `c` stands for `k` and `x`, `d` for `e` and `t` (RFC 4314 §2.1.1).
    ///
    /// # Errors
    /// The first letter that is no right: nothing may be passed over (RFC 4314 §3.1).
    pub fn parse(text: &str) -> Result<Self, char> {
        text.chars().try_fold(Self::NONE, |rights, letter| {
            let known = match letter {
                'c' => Some(Self::CREATE.with(Self::DELETE_MAILBOX)),
                'd' => Some(Self::EXPUNGE.with(Self::DELETE_MESSAGES)),
                letter => LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, right)| *right),
            };
            known.map(|known| rights.with(known)).ok_or(letter)
        })
    }

    /// The bits, as records keep them.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// From bits; others than the eleven are dropped.
    #[must_use]
    pub fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether all of the others are among these.
    #[must_use]
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether one of the others is among these.
    #[must_use]
    pub fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// These and others.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These, but not the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The system flags that may be changed: `s` for `\Seen`, `t` for `\Deleted`, `w` for the rest and
    /// for keywords (RFC 4314 §4, STORE).
    #[must_use]
    pub fn flags(self) -> Flags {
        let others = Flags::ALL.without(Flags::SEEN.with(Flags::DELETED));
        [(Self::SEEN, Flags::SEEN), (Self::DELETE_MESSAGES, Flags::DELETED), (Self::WRITE, others)]
            .into_iter()
            .filter(|(right, _)| self.contains(*right))
            .fold(Flags::NONE, |flags, (_, more)| flags.with(more))
    }

    /// Each of these by itself.
    pub fn each(self) -> impl Iterator<Item = Self> {
        LETTERS.into_iter().map(|(_, right)| right).filter(move |right| self.contains(*right))
    }

    /// The first of these, for a person to read.
    #[must_use]
    pub fn letter(self) -> char {
        LETTERS.iter().find(|(_, right)| self.contains(*right)).map_or('-', |(letter, _)| *letter)
    }
}

impl fmt::Display for Rights {
    /// The letters, then `c` and `d` where one of their members is there (RFC 4314 §2.1.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for right in self.each() {
            write!(f, "{}", right.letter())?;
        }
        if self.has_any(Self::CREATE.with(Self::DELETE_MAILBOX)) {
            f.write_str("c")?;
        }
        if self.has_any(Self::EXPUNGE.with(Self::DELETE_MESSAGES)) {
            f.write_str("d")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_shown_as_the_standard_says() {
        for (text, shown) in [
            ("", ""),
            ("lrswida", "lrswitead"),
            ("lrswikda", "lrswikteacd"),
            ("x", "xc"),
            ("c", "kxc"),
            ("aetxkpiwsrl", "lrswipkxteacd"),
        ] {
            assert_eq!(Rights::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(
            (Rights::parse("lrQ"), Rights::parse("lq"), Rights::parse("0")),
            (Err('Q'), Err('q'), Err('0'))
        );
        assert_eq!(Rights::from_bits(u16::MAX), Rights::ALL);
    }
}
