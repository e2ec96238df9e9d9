//! One-click unsubscription (RFC 8058): a list's copies for members elsewhere name an HTTPS URI that says who is to be taken out
//! of which list, and cannot be forged. What answers the POST is a service of the operator's; it reads the token with
//! `wasmta list member`, or by itself:
//!
//! ```text
//! token = base64url(list NUL member) "." base64url(HMAC-SHA-256(key, "unsubscribe" NUL list NUL member)), unpadded
//! ```
//! List and member are addresses in lower case; the key is the octets of the first line of its file.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use mail_types::Address;
use message::Fields;
use sha2::Sha256;

/// What stands for the token in the template of the URI.
const BLANK: &str = "{token}";
/// Shortest key, in octets.
const KEY_MIN: usize = 16;
/// Longest template, in octets: with a token, the field stays one that others take (RFC 5322 §2.1.1).
const TEMPLATE_MAX: usize = 200;
/// Longest token that is looked at, in octets.
const TOKEN_MAX: usize = 2048;
/// What the tokens are for, so that the key makes nothing else.
const PURPOSE: &[u8] = b"unsubscribe\0";
/// Longest field line, in octets (RFC 5322 §2.1.1). Members with longer addresses keep the fields of the list.
const FIELD_MAX: usize = 998;

/// Makes and reads tokens, and the fields with them.
#[derive(Clone)]
pub struct Unsubscribe {
    template: String,
    key: Vec<u8>,
}

impl std::fmt::Debug for Unsubscribe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsubscribe").field("template", &self.template).finish_non_exhaustive()
    }
}

impl Unsubscribe {
    /// By the template of the URI, and the key.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn new(template: &str, key: &str) -> Result<Self, String> {
        Self::check_template(template)?;
        if key.len() < KEY_MIN {
            return Err(format!("the key has less than {KEY_MIN} octets"));
        }
        Ok(Self { template: template.to_owned(), key: key.as_bytes().to_vec() })
    }

    /// Whether a template makes an HTTPS URI with a token in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_template(template: &str) -> Result<(), String> {
        let plain = |octet: u8| octet.is_ascii_graphic() && !b"<>\",".contains(&octet);
        if !template.starts_with("https://") || template.matches(BLANK).count() != 1 {
            return Err(format!("{template:?} is no HTTPS URI with {BLANK} in it"));
        }
        if template.len() > TEMPLATE_MAX || !template.bytes().all(plain) {
            return Err(format!(
                "{template:?} is longer than {TEMPLATE_MAX} octets, or has signs that no URI has"
            ));
        }
        Ok(())
    }

    /// The token of a member of a list.
    #[must_use]
    pub fn token(&self, list: &Address, member: &Address) -> String {
        let about = format!("{list}\0{member}").to_lowercase();
        let mac = self.mac(about.as_bytes()).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(about), URL_SAFE_NO_PAD.encode(mac))
    }

    /// List and member of a token; `None` where it is none of ours.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<(Address, Address)> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let (about, mac) = token.split_once('.')?;
        let about = URL_SAFE_NO_PAD.decode(about).ok()?;
        self.mac(&about).verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        let about = String::from_utf8(about).ok()?;
        let (list, member) = about.split_once('\0')?;
        Some((Address::parse(list).ok()?, Address::parse(member).ok()?))
    }

    fn mac(&self, about: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of every length"));
        mac.update(PURPOSE);
        mac.update(about);
        mac
    }

    /// The prefix of a member's copy: as the list's, with the URI before the list's own way out, and the word for programs
    /// (RFC 8058 §3.1). Where the list says List-Unsubscribe-Post itself, everything stays.
    pub(crate) fn prefix(&self, prefix: &Bytes, list: &Address, member: &Address) -> Bytes {
        let fields = Fields::of(prefix);
        if fields.first("List-Unsubscribe-Post").is_some() {
            return prefix.clone();
        }
        let uri = self.template.replace(BLANK, &self.token(list, member));
        let own = fields.first("List-Unsubscribe");
        let way = own.as_ref().map(|field| String::from_utf8_lossy(&field.unfolded()).trim().to_owned());
        let way = way.map(|way| format!(",\r\n\t{way}")).unwrap_or_default();
        let line = format!("List-Unsubscribe: <{uri}>{way}\r\n");
        if line.lines().any(|line| line.len() > FIELD_MAX) {
            return prefix.clone();
        }
        let at = own.map_or(0..0, |field| field.range());
        let line = format!("{line}List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
        [&prefix[..at.start], line.as_bytes(), &prefix[at.end..]].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn unsubscribe() -> Unsubscribe {
        Unsubscribe::new("https://lists.test/u/{token}?x=1", "a key of 16 octets").unwrap()
    }

    #[test]
    fn tokens_are_read_back_and_others_are_not() {
        let (list, member) = (address("News@lists.test"), address("\"a b\"@There.test"));
        let token = unsubscribe().token(&list, &member);
        let read = unsubscribe().read(&token);
        assert_eq!(
            read.map(|(list, member)| (list.to_key(), member.to_key())),
            Some((list.to_key(), member.to_key()))
        );
        let forged = unsubscribe().token(&list, &address("other@there.test"));
        let (about, mac) = (forged.split_once('.').unwrap().0, token.split_once('.').unwrap().1);
        let other = Unsubscribe::new("https://x.test/{token}", "another key of ours").unwrap();
        for no in
            [String::new(), ".".to_owned(), format!("{about}.{mac}"), format!("{token}A"), "A".repeat(4000)]
        {
            assert_eq!(unsubscribe().read(&no), None, "{no}");
        }
        assert_eq!(other.read(&token), None);
    }

    #[test]
    fn templates_and_keys_that_are_none_are_refused() {
        for template in [
            "http://x.test/{token}",
            "https://x.test/",
            "https://x.test/{token}{token}",
            "https://x.test/<{token}",
        ] {
            assert!(Unsubscribe::new(template, "a key of 16 octets").is_err(), "{template}");
        }
        assert!(Unsubscribe::new("https://x.test/{token}", "short").is_err());
    }

    #[test]
    fn the_uri_stands_before_the_lists_own_way_out() {
        let (list, member) = (address("news@lists.test"), address("ann@there.test"));
        let token = unsubscribe().token(&list, &member);
        let uri = format!("<https://lists.test/u/{token}?x=1>");
        let post = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n";
        let shown = |prefix: &'static str| {
            let prefix = unsubscribe().prefix(&Bytes::from_static(prefix.as_bytes()), &list, &member);
            String::from_utf8(prefix.to_vec()).unwrap()
        };
        assert_eq!(
            shown("List-Id: x\r\nList-Unsubscribe: <mailto:o@lists.test>\r\nA: b\r\n"),
            format!("List-Id: x\r\nList-Unsubscribe: {uri},\r\n\t<mailto:o@lists.test>\r\n{post}A: b\r\n")
        );
        assert_eq!(shown("A: b\r\n"), format!("List-Unsubscribe: {uri}\r\n{post}A: b\r\n"));
        let own =
            "List-Unsubscribe: <https://x.test/>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n";
        assert_eq!(shown(own), own);
    }
}
