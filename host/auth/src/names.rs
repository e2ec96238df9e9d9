//! Names of accounts as people give them, for those who speak of accounts without logging in as them.

use mail_types::{AccountName, Lookup};

use crate::Authenticator;
use crate::secret::prepare;

impl Authenticator {
    /// The account that somebody who logs in with this name has; where nobody does, the account of
    /// that very name, which may be there later. `None` where it cannot be prepared (RFC 4013).
    #[must_use]
    pub fn account_named(&self, login: &str) -> Option<AccountName> {
        let login = prepare(login)?;
        let known = match self.directory().user_by_login(&login) {
            Lookup::Found(user) => user.account(),
            Lookup::NotFound | Lookup::Unavailable(_) => None,
        };
        known.or_else(|| AccountName::new(&login))
    }
}
