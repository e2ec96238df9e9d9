//! Imported password values made new: whoever logs in by SCRAM needs keys beside the value, and the
//! only moment to make them is when the password has just been shown (RFC 5802 §9).

use directory::{PasswordHash, UserEntry};

use crate::authenticator::Authenticator;
use crate::hash::ScramKeys;
use crate::secret::Secret;

/// Values made anew at a time: hashing is dear, and whoever comes later has another chance with the
/// next log-in.
pub(crate) const UPGRADES_MAX: usize = 1;

/// Whether imported values are replaced once their password is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upgrade {
    /// They are: by an edit of the directory.
    #[default]
    Made,
    /// They stay: the directory's source is another's to change.
    Left,
}

/// Whether values can be made new: there is one, and no keys of SCRAM. Which of several would go,
/// nobody has said.
fn is_outdated(values: &[PasswordHash]) -> bool {
    match values {
        [value] => ScramKeys::from_value(value).is_none(),
        _ => false,
    }
}

impl Authenticator {
    /// Replaces an imported value by argon2 and SCRAM keys of the same password, which has just been
    /// verified. In the background, at best: a failure leaves all as it was. A password that was
    /// changed meanwhile stays changed.
    pub(crate) fn upgrade(&self, user: &UserEntry, secret: &Secret) {
        if self.options().upgrade == Upgrade::Left || !is_outdated(&user.password_hashes) {
            return;
        }
        let Some(permit) = self.upgrading() else { return };
        let (authenticator, user, secret) = (self.clone(), user.clone(), secret.clone());
        tokio::spawn(async move {
            let _permit = permit;
            if let Ok(values) = authenticator.hash(secret.reveal()).await {
                let known = &user.password_hashes;
                // Before it is so: no session must take it for a password that somebody changed.
                let fingerprint = |values| authenticator.fingerprint(&user, values);
                authenticator.renewed().add(fingerprint(known), fingerprint(&values));
                let _ = authenticator.directory().replace_password(&user.dn, known, &values).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_value_without_keys_is_outdated() {
        let keys = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,\
                    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        for (values, outdated) in [
            (&["{SSHA}x"][..], true),
            (&["{CRYPT}x"], true),
            (&["{ARGON2}x"], true),
            (&[keys], false),
            (&["{ARGON2}x", keys], false),
            (&["{SSHA}x", "{SSHA}y"], false),
            (&[], false),
        ] {
            let hashes: Vec<_> = values.iter().map(|value| PasswordHash::new(*value)).collect();
            assert_eq!(is_outdated(&hashes), outdated, "{values:?}");
        }
    }
}
