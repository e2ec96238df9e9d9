//! Commands (RFC 1939, 2449, 2595, 5034, 6856).

use std::fmt;

/// A secret on its way to the check of it; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A message-number, from 1 (RFC 1939 §4). Numbers beyond any maildrop saturate.
pub type MessageNumber = u32;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What the server can (RFC 2449 §5).
    Capa,
    /// The login name (RFC 1939 §7).
    User(String),
    /// The password: the rest of the line, spaces included (RFC 1939 §7).
    Pass(Secret),
    /// A shared-secret login that this server does not offer (RFC 1939 §7).
    Apop,
    /// A SASL exchange (RFC 5034 §4).
    Auth {
        /// In upper case.
        mechanism: String,
        /// As sent: base64, or `=` for an empty one.
        initial: Option<Secret>,
    },
    /// TLS from here on (RFC 2595 §4).
    Stls,
    /// UTF-8 mode (RFC 6856 §2.1).
    Utf8,
    /// The language of the texts, or the list of languages (RFC 6856 §3).
    Lang(Option<String>),
    /// Count and octets.
    Stat,
    /// Sizes, of one message or all.
    List(Option<MessageNumber>),
    /// Unique-ids, of one message or all.
    Uidl(Option<MessageNumber>),
    /// A whole message.
    Retr(MessageNumber),
    /// The header and some lines of the body.
    Top {
        /// Of which message.
        message: MessageNumber,
        /// How many lines of the body.
        lines: u64,
    },
    /// Marks a message for deletion.
    Dele(MessageNumber),
    /// Takes all marks away.
    Rset,
    /// Nothing.
    Noop,
    /// The end; in TRANSACTION deletes what is marked.
    Quit,
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// An unknown keyword.
    #[error("unknown command")]
    Unknown,
    /// An argument is missing.
    #[error("an argument is missing")]
    Missing,
    /// An argument is too much.
    #[error("too many arguments")]
    Surplus,
    /// Not a positive decimal number.
    #[error("not a message number")]
    Number,
    /// Control characters, or octets that are not UTF-8 (RFC 6856 §2.2: refused).
    #[error("not readable text")]
    Text,
}

impl Command {
    /// Reads one line, its end taken off.
    ///
    /// ```text
    /// command = keyword *(SP param) CRLF       ; RFC 2449 §3
    /// keyword = 3*4VCHAR
    /// param   = 1*VCHAR                        ; and UTF-8, RFC 6856
    /// ```
    /// Keywords are case-insensitive; spaces at the end are forgiven, except behind a password.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn parse(line: &[u8]) -> Result<Self, Malformed> {
        let line = std::str::from_utf8(line).map_err(|_| Malformed::Text)?;
        if line.chars().any(char::is_control) {
            return Err(Malformed::Text);
        }
        let (keyword, rest) =
            line.split_once(' ').map_or((line, None), |(keyword, rest)| (keyword, Some(rest)));
        let keyword = keyword.to_ascii_uppercase();
        if keyword == "PASS" {
            let secret = rest.filter(|rest| !rest.is_empty()).ok_or(Malformed::Missing)?;
            return Ok(Self::Pass(Secret(secret.to_owned())));
        }
        let mut parameters = Parameters(rest.unwrap_or_default().split(' ').filter(|word| !word.is_empty()));
        let command = Self::with(&keyword, &mut parameters)?;
        parameters.end()?;
        Ok(command)
    }

    fn with<'a>(
        keyword: &str,
        words: &mut Parameters<impl Iterator<Item = &'a str>>,
    ) -> Result<Self, Malformed> {
        Ok(match keyword {
            "CAPA" => Self::Capa,
            "USER" => Self::User(words.required()?.to_owned()),
            "APOP" => {
                words.required()?;
                words.required()?;
                Self::Apop
            }
            "AUTH" => Self::Auth {
                mechanism: words.required()?.to_ascii_uppercase(),
                initial: words.optional().map(|initial| Secret(initial.to_owned())),
            },
            "STLS" => Self::Stls,
            "UTF8" => Self::Utf8,
            "LANG" => Self::Lang(words.optional().map(str::to_owned)),
            "STAT" => Self::Stat,
            "LIST" => Self::List(words.optional_number()?),
            "UIDL" => Self::Uidl(words.optional_number()?),
            "RETR" => Self::Retr(message_number(words.required()?)?),
            "TOP" => {
                Self::Top { message: message_number(words.required()?)?, lines: number(words.required()?)? }
            }
            "DELE" => Self::Dele(message_number(words.required()?)?),
            "RSET" => Self::Rset,
            "NOOP" => Self::Noop,
            "QUIT" => Self::Quit,
            _ => return Err(Malformed::Unknown),
        })
    }

    /// The keyword, in upper case.
    #[must_use]
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Capa => "CAPA",
            Self::User(_) => "USER",
            Self::Pass(_) => "PASS",
            Self::Apop => "APOP",
            Self::Auth { .. } => "AUTH",
            Self::Stls => "STLS",
            Self::Utf8 => "UTF8",
            Self::Lang(_) => "LANG",
            Self::Stat => "STAT",
            Self::List(_) => "LIST",
            Self::Uidl(_) => "UIDL",
            Self::Retr(_) => "RETR",
            Self::Top { .. } => "TOP",
            Self::Dele(_) => "DELE",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Quit => "QUIT",
        }
    }

    /// Writes the command as a client does, its CRLF included.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut line = self.keyword().to_owned();
        for word in self.parameters() {
            line.push(' ');
            line.push_str(&word);
        }
        line + "\r\n"
    }

    fn parameters(&self) -> Vec<String> {
        match self {
            Self::User(name) => vec![name.clone()],
            Self::Pass(secret) => vec![secret.0.clone()],
            Self::Apop => vec!["name".to_owned(), "digest".to_owned()],
            Self::Auth { mechanism, initial } => std::iter::once(mechanism.clone())
                .chain(initial.iter().map(|secret| secret.0.clone()))
                .collect(),
            Self::Lang(range) => range.iter().cloned().collect(),
            Self::List(number) | Self::Uidl(number) => number.iter().map(ToString::to_string).collect(),
            Self::Retr(number) | Self::Dele(number) => vec![number.to_string()],
            Self::Top { message, lines } => vec![message.to_string(), lines.to_string()],
            Self::Capa | Self::Stls | Self::Utf8 | Self::Stat | Self::Rset | Self::Noop | Self::Quit => {
                vec![]
            }
        }
    }
}

/// The words behind the keyword.
struct Parameters<I>(I);

impl<'a, I: Iterator<Item = &'a str>> Parameters<I> {
    fn optional(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn required(&mut self) -> Result<&'a str, Malformed> {
        self.0.next().ok_or(Malformed::Missing)
    }

    fn optional_number(&mut self) -> Result<Option<MessageNumber>, Malformed> {
        self.optional().map(message_number).transpose()
    }

    fn end(&mut self) -> Result<(), Malformed> {
        self.0.next().map_or(Ok(()), |_| Err(Malformed::Surplus))
    }
}

/// A message-number; 0 is none, and what does not fit is greater than any.
fn message_number(word: &str) -> Result<MessageNumber, Malformed> {
    match MessageNumber::try_from(number(word)?) {
        Ok(0) => Err(Malformed::Number),
        Ok(number) => Ok(number),
        Err(_) => Ok(MessageNumber::MAX),
    }
}

/// A decimal number; what does not fit saturates.
fn number(word: &str) -> Result<u64, Malformed> {
    if word.is_empty() || !word.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Malformed::Number);
    }
    Ok(word.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_as_the_rfcs_write_them() {
        let table: &[(&str, Result<Command, Malformed>)] = &[
            ("USER mrose", Ok(Command::User("mrose".into()))),
            ("user mrose ", Ok(Command::User("mrose".into()))),
            ("USER", Err(Malformed::Missing)),
            ("USER a b", Err(Malformed::Surplus)),
            ("PASS with two  spaces ", Ok(Command::Pass(Secret("with two  spaces ".into())))),
            ("PASS ", Err(Malformed::Missing)),
            ("PASS", Err(Malformed::Missing)),
            ("APOP mrose c4c9334bac560ecc979e58001b3e22fb", Ok(Command::Apop)),
            ("AUTH plain", Ok(Command::Auth { mechanism: "PLAIN".into(), initial: None })),
            (
                "AUTH PLAIN dGVzdAB0ZXN0AHRlc3Q=",
                Ok(Command::Auth {
                    mechanism: "PLAIN".into(),
                    initial: Some(Secret("dGVzdAB0ZXN0AHRlc3Q=".into())),
                }),
            ),
            ("LANG", Ok(Command::Lang(None))),
            ("LANG *", Ok(Command::Lang(Some("*".into())))),
            ("STAT 1", Err(Malformed::Surplus)),
            ("LIST", Ok(Command::List(None))),
            ("LIST 2", Ok(Command::List(Some(2)))),
            ("LIST 0", Err(Malformed::Number)),
            ("LIST -1", Err(Malformed::Number)),
            ("LIST 99999999999999999999999", Ok(Command::List(Some(u32::MAX)))),
            ("TOP 1 10", Ok(Command::Top { message: 1, lines: 10 })),
            ("TOP 1 0", Ok(Command::Top { message: 1, lines: 0 })),
            ("TOP 1", Err(Malformed::Missing)),
            ("RETR 1 2", Err(Malformed::Surplus)),
            ("RETR", Err(Malformed::Missing)),
            ("QUIT", Ok(Command::Quit)),
            ("", Err(Malformed::Unknown)),
            (" QUIT", Err(Malformed::Unknown)),
            ("HELO x", Err(Malformed::Unknown)),
            ("NOOP\0", Err(Malformed::Text)),
        ];
        for (line, expected) in table {
            assert_eq!(&Command::parse(line.as_bytes()), expected, "{line:?}");
        }
        assert_eq!(Command::parse(b"USER \xff"), Err(Malformed::Text));
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?}", Command::parse(b"PASS hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    fn any_command() -> impl Strategy<Value = Command> {
        let word = "[!-~äßø]{1,30}";
        let number = 1..=MessageNumber::MAX;
        prop_oneof![
            word.prop_map(Command::User),
            "[!-~ä]( |[!-~ä]){0,30}".prop_map(|secret| Command::Pass(Secret(secret))),
            ("[A-Z0-9-]{1,20}", proptest::option::of("[A-Za-z0-9+/=]{1,60}")).prop_map(
                |(mechanism, initial)| { Command::Auth { mechanism, initial: initial.map(Secret) } }
            ),
            proptest::option::of("[a-z*-]{1,8}").prop_map(Command::Lang),
            proptest::option::of(number.clone()).prop_map(Command::List),
            proptest::option::of(number.clone()).prop_map(Command::Uidl),
            number.clone().prop_map(Command::Retr),
            number.clone().prop_map(Command::Dele),
            (number, any::<u64>()).prop_map(|(message, lines)| Command::Top { message, lines }),
            proptest::sample::select(vec![
                Command::Capa,
                Command::Apop,
                Command::Stls,
                Command::Utf8,
                Command::Stat,
                Command::Rset,
                Command::Noop,
                Command::Quit,
            ]),
        ]
    }

    proptest! {
        #[test]
        fn parsing_inverts_encoding(command in any_command()) {
            let line = command.encode();
            prop_assert_eq!(Command::parse(line.strip_suffix("\r\n").unwrap().as_bytes()), Ok(command));
        }

        #[test]
        fn any_octets_are_answered(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Command::parse(&line);
        }
    }
}
