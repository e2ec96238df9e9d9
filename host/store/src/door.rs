//! Who comes to an account of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;

use mail_types::AccountName;
use storage::StorageError;

use crate::Store;
use crate::error::StoreError;
use crate::ids::AccountId;

/// Somebody who knows what has to be done before a person may be let into the account of a name: another one may have had that
/// name until a moment ago, whose account is to go by a new one first.
pub trait Doorkeeper: Send + Sync + 'static {
    /// Does what is due.
    ///
    /// # Errors
    /// Why it cannot be done now: then nobody is let in.
    fn make_ready(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

impl Store {
    /// From now on that one is asked. It outlives no one: where it is gone, nothing is due.
    pub fn with_doorkeeper(&self, doorkeeper: Weak<dyn Doorkeeper>) {
        // The first one stays.
        let _ = self.inner.doorkeeper.set(doorkeeper);
    }

    /// The number of the account of somebody who has logged in; it is made where there is none.
    pub async fn enter_account(&self, name: &AccountName) -> Result<AccountId, StoreError> {
        if let Some(doorkeeper) = self.inner.doorkeeper.get().and_then(Weak::upgrade) {
            let why = |why: String| StorageError::unavailable("accounts with other names", why);
            doorkeeper.make_ready().await.map_err(why)?;
        }
        self.ensure_account(name).await
    }
}
