//! The pages of a full sync: a task of its own reads them from the server, while those before are taken in.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::found::{Broken, Found};
use super::miss::no_base;
use super::source::{Mirror, SyncError, ended};
use crate::error::EditError;
use crate::layout::NAME_KEY_MAX;
use crate::ldap::chase::Place;
use crate::ldap::connection::Search;
use crate::ldap::failure::{LdapFailure, NO_SUCH_OBJECT};
use crate::ldap::settings::ServerUrl;

/// Most pages that wait to be taken in.
const PAGES_READ_AHEAD_MAX: usize = 16;

/// One page of an answer.
pub(super) struct Page {
    /// What is in it, and what of it cannot be kept.
    pub(super) found: Vec<Result<Found, Broken>>,
    /// Who was asked.
    pub(super) server: String,
}

/// Pages on their way. Who drops it ends the conversation.
pub(super) struct Pages {
    pages: mpsc::Receiver<Page>,
    reading: JoinSet<Result<Vec<Place>, SyncError>>,
}

impl Mirror {
    /// Begins to read, at one server or at those of the list.
    pub(super) fn pages(&self, search: Search, at: Option<ServerUrl>) -> Pages {
        let (sender, pages) = mpsc::channel(PAGES_READ_AHEAD_MAX);
        let mut reading = JoinSet::new();
        let mirror = self.clone();
        reading.spawn(async move { mirror.read_pages(search, at, sender).await });
        Pages { pages, reading }
    }

    /// Reads to the end; gives the subtrees that lie on other servers.
    async fn read_pages(
        &self,
        search: Search,
        at: Option<ServerUrl>,
        sender: mpsc::Sender<Page>,
    ) -> Result<Vec<Place>, SyncError> {
        let base = search.base.clone();
        let mut chase = self.0.servers.chase_apart(search, at);
        // One page is about as long as the one before.
        let mut length = 0;
        loop {
            let mut found = Vec::with_capacity(length);
            let more = match chase.next(&mut |raw| found.push(self.read(raw).and_then(storable))).await {
                Err(why @ LdapFailure::Refused { code: NO_SUCH_OBJECT, .. }) => {
                    return Err(SyncError::Unfit(no_base(&base, &why)));
                }
                more => more?,
            };
            length = found.len();
            let page = Page { found, server: chase.server().to_owned() };
            if sender.send(page).await.is_err() || !more {
                return Ok(chase.into_places());
            }
        }
    }
}

/// An entry whose name is short enough to be kept.
fn storable(found: Found) -> Result<Found, Broken> {
    if found.dn().key().len() <= NAME_KEY_MAX {
        return Ok(found);
    }
    let why = EditError::NameTooLong(found.dn().clone()).to_string();
    Err(Broken { name: found.dn().to_string(), attribute: "dn".into(), why })
}

impl Pages {
    /// The next page; `None` after the last one, and where there will be no more: [`Pages::ended`] says which.
    pub(super) async fn next(&mut self) -> Option<Page> {
        self.pages.recv().await
    }

    /// The subtrees that lie on other servers, where the answer is whole.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn ended(mut self) -> Result<Vec<Place>, SyncError> {
        // Where it had ended before, the pages would have, too: there is always one to wait for.
        self.reading.join_next().await.map_or(Ok(Vec::new()), ended)
    }
}
