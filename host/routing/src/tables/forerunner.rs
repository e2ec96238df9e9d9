//! Who acts on changes of the directory before the tables do.

use std::sync::Arc;

use hooks::BoxFuture;

use super::{TableError, Tables};

/// Something that has to be done before mail is led by a change of the directory: an account that goes by another name is
/// there under that name before anything is delivered to it.
pub trait Forerunner: Send + Sync + 'static {
    /// Does what the changes up to now ask for.
    ///
    /// # Errors
    /// Why that is not to be had now: the rows stay as they are, and it is tried again.
    fn go_ahead(&self) -> BoxFuture<'_, Result<(), String>>;

    /// The rows follow the directory now up to this change. A failure costs nobody but those who decide again in vain.
    fn followed(&self, csn: u64) -> BoxFuture<'_, ()>;
}

impl Tables {
    /// From now on that one goes ahead, of these tables and their clones. There is one.
    pub fn go_behind(&self, forerunner: Arc<dyn Forerunner>) {
        // The first one stays.
        let _ = self.forerunner.set(forerunner);
    }

    pub(super) async fn let_forerunner_go(&self) -> Result<(), TableError> {
        match self.forerunner.get() {
            Some(forerunner) => forerunner.go_ahead().await.map_err(TableError::Forerunner),
            None => Ok(()),
        }
    }

    pub(super) async fn tell_forerunner(&self, csn: u64) {
        if let Some(forerunner) = self.forerunner.get() {
            forerunner.followed(csn).await;
        }
    }
}
