//! Signing in at another server: by LOGIN or a SASL mechanism (RFC 3501 §6.2), as oneself or on behalf of somebody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::imap_client::{ImapClient, ImapServer, Part, Refusal, no_message};

/// What shows the other server who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The user's own password.
    Password(String),
    /// The password of somebody who may act for the user: by an authorization identity (RFC 4616 §2).
    Master {
        /// Who that is.
        login: String,
        /// Their password.
        password: String,
    },
    /// An access token of OAuth 2.0 (RFC 7628).
    Token(String),
}

/// How to sign in.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// The command LOGIN.
    Login,
    /// A mechanism, what is said first, and what is said to a further challenge: there is none but where it failed.
    Mechanism { name: &'static str, first: Vec<u8>, at_failure: Option<&'static [u8]> },
}

impl Way {
    /// The way of a server with these capabilities.
    ///
    /// # Errors
    /// Why there is none.
    fn find(server: &ImapServer, can: impl Fn(&str) -> bool) -> Result<Self, &'static str> {
        match &server.credentials {
            Credentials::Password(password) if can("AUTH=PLAIN") => Ok(plain("", &server.user, password)),
            // RFC 3501 §6.2.3.
            Credentials::Password(_) if can("LOGINDISABLED") => {
                Err("does not let anybody log in by LOGIN (LOGINDISABLED), and does not offer AUTH=PLAIN")
            }
            Credentials::Password(_) => Ok(Self::Login),
            Credentials::Master { login, password } if can("AUTH=PLAIN") => {
                Ok(plain(&server.user, login, password))
            }
            Credentials::Master { .. } => {
                Err("does not offer AUTH=PLAIN, without which nobody signs in on behalf of others")
            }
            Credentials::Token(token) if can("AUTH=OAUTHBEARER") => Ok(bearer(server, token)),
            Credentials::Token(token) if can("AUTH=XOAUTH2") => Ok(xoauth2(&server.user, token)),
            Credentials::Token(_) => Err("takes no access token: it offers neither OAUTHBEARER nor XOAUTH2"),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
fn plain(authorization: &str, login: &str, password: &str) -> Way {
    let first = format!("{authorization}\0{login}\0{password}").into_bytes();
    Way::Mechanism { name: "PLAIN", first, at_failure: None }
}

/// RFC 7628 §3.1; a failure is answered by one octet (§3.2.3).
fn bearer(server: &ImapServer, token: &str) -> Way {
    // RFC 5802 §5.1, saslname.
    let user = server.user.replace('=', "=3D").replace(',', "=2C");
    let ImapServer { host, port, .. } = server;
    let first = format!("n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01");
    Way::Mechanism { name: "OAUTHBEARER", first: first.into_bytes(), at_failure: Some(b"\x01") }
}

/// What large providers had before RFC 7628, as they document it; a failure is answered by an empty line.
fn xoauth2(user: &str, token: &str) -> Way {
    let first = format!("user={user}\x01auth=Bearer {token}\x01\x01").into_bytes();
    Way::Mechanism { name: "XOAUTH2", first, at_failure: Some(b"") }
}

impl ImapClient {
    /// Signs in.
    pub(crate) async fn sign_in(&mut self, server: &ImapServer) -> Result<(), Refusal> {
        let way = Way::find(server, |capability| self.can(capability));
        let done = match (way.map_err(|why| Refusal::Never(why.to_owned()))?, &server.credentials) {
            (Way::Mechanism { name, first, at_failure }, _) => {
                self.authenticate(name, &first, at_failure).await
            }
            (Way::Login, Credentials::Password(password)) => {
                let (user, password) = (server.user.as_bytes(), password.as_bytes());
                let parts = [Part::Word("LOGIN "), Part::Text(user), Part::Word(" "), Part::Text(password)];
                self.command(&parts, &mut no_message, &mut |_| {}).await
            }
            (Way::Login, _) => return Err(Refusal::Never("takes passwords alone".to_owned())),
        };
        match done {
            Err(Refusal::No(words)) => {
                Err(Refusal::Never(format!("refuses the login of {}: {words}", server.user)))
            }
            other => other,
        }
    }

    /// AUTHENTICATE (RFC 3501 §6.2.2). What is said first is in the command where the server takes it there (RFC 4959).
    async fn authenticate(
        &mut self,
        mechanism: &str,
        first: &[u8],
        at_failure: Option<&[u8]>,
    ) -> Result<(), Refusal> {
        let first = STANDARD.encode(first);
        let mut answers = Vec::new();
        let command = if self.can("SASL-IR") {
            format!("AUTHENTICATE {mechanism} {first}")
        } else {
            answers.push(first);
            format!("AUTHENTICATE {mechanism}")
        };
        answers.extend(at_failure.map(|octets| STANDARD.encode(octets)));
        // To whatever else is asked: no.
        answers.push("*".to_owned());
        self.converse(&command, answers).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(credentials: Credentials) -> ImapServer {
        ImapServer {
            host: "imap.test".to_owned(),
            port: 993,
            implicit_tls: true,
            trust: None,
            clear: false,
            user: "anna,=@x".to_owned(),
            credentials,
        }
    }

    #[test]
    fn the_way_is_one_that_the_server_offers() {
        let password = server(Credentials::Password("p".to_owned()));
        let master = server(Credentials::Master { login: "root".to_owned(), password: "m".to_owned() });
        let token = server(Credentials::Token("t0k".to_owned()));
        let of = |server: &ImapServer, offers: &[&str]| match Way::find(server, |name| offers.contains(&name))
        {
            Ok(Way::Login) => "LOGIN".to_owned(),
            Ok(Way::Mechanism { name, first, .. }) => {
                format!("{name} {}", String::from_utf8(first).unwrap().escape_debug())
            }
            Err(why) => why.split(',').next().unwrap_or_default().to_owned(),
        };
        for (server, offers, expected) in [
            (&password, &[][..], "LOGIN"),
            (&password, &["AUTH=PLAIN", "LOGINDISABLED"], r"PLAIN \0anna,=@x\0p"),
            (&password, &["LOGINDISABLED"], "does not let anybody log in by LOGIN (LOGINDISABLED)"),
            (&master, &["AUTH=PLAIN"], r"PLAIN anna,=@x\0root\0m"),
            (&master, &[], "does not offer AUTH=PLAIN"),
            (
                &token,
                &["AUTH=XOAUTH2", "AUTH=OAUTHBEARER"],
                r"OAUTHBEARER n,a=anna=2C=3D@x,\u{1}host=imap.test\u{1}port=993\u{1}auth=Bearer t0k\u{1}\u{1}",
            ),
            (&token, &["AUTH=XOAUTH2"], r"XOAUTH2 user=anna,=@x\u{1}auth=Bearer t0k\u{1}\u{1}"),
            (&token, &["AUTH=PLAIN"], "takes no access token: it offers neither OAUTHBEARER nor XOAUTH2"),
        ] {
            assert_eq!(of(server, offers), expected);
        }
    }
}
