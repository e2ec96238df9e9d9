//! All sources of one tree. Each has its own servers, subtrees and domains, follows them by itself, and has its own
//! cookies, watermarks, guard and status: one that is down holds no other back.

use std::collections::BTreeSet;
use std::sync::Arc;

use events::Events;
use mail_types::{Address, Domain, Lookup};
use runtime::{Background, Clock, Shutdown};

use super::owners::Owners;
use super::source::{Mirror, MirrorOptions};
use crate::directory::Directory;
use crate::dn::Dn;
use crate::entry::Entry;
use crate::error::EditError;
use crate::layout::address_keys;
use crate::ldap::failure::LdapFailure;
use crate::remote_edit::{BoxFuture, RemoteEdit, Turn, Unmade, WriteThrough};
use crate::schema::Schema;

/// Most sources of one tree.
pub const SOURCES_MAX: usize = 64;

/// The sources of a directory. Clones are the same.
#[derive(Clone)]
pub struct Mirrors(Arc<Inner>);

struct Inner {
    all: Vec<Mirror>,
    owners: Arc<Owners>,
    directory: Directory,
}

impl Mirrors {
    /// Joins a directory with its sources, one at least. Connects to nothing. What goes through much of the tree does so
    /// in the background.
    ///
    /// # Errors
    /// A file that an option names cannot be used.
    pub fn new(
        directory: Directory,
        sources: Vec<MirrorOptions>,
        (clock, events): (&Clock, &Events),
        background: &Background,
    ) -> Result<Self, LdapFailure> {
        let owners = Arc::new(Owners::of(&sources));
        let applying = Arc::default();
        let mut all = Vec::with_capacity(sources.len());
        for (at, options) in sources.into_iter().enumerate() {
            let owned = (Arc::clone(&owners), at, Arc::clone(&applying));
            let means = (clock.clone(), events.clone(), background.clone());
            all.push(Mirror::new(directory.clone(), options, owned, means)?);
        }
        let mirrors = Self(Arc::new(Inner { all, owners, directory }));
        mirrors
            .0
            .directory
            .write_through(Arc::new(RemoteTree(mirrors.0.all.clone(), Arc::clone(&mirrors.0.owners))));
        Ok(mirrors)
    }

    /// The directory that they keep.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// All of them, in their order.
    #[must_use]
    pub fn all(&self) -> &[Mirror] {
        &self.0.all
    }

    /// The one that a domain belongs to, if any.
    #[must_use]
    pub fn of_domain(&self, domain: &Domain) -> Option<&Mirror> {
        let canonical = match self.0.directory.domain(domain) {
            Lookup::Found(known) => known.domain,
            // What the tree cannot say now the name says.
            Lookup::NotFound | Lookup::Unavailable(_) => domain.clone(),
        };
        self.0.owners.of_domain(&canonical).map(|at| &self.0.all[at])
    }

    /// The one that has an entry, if any.
    #[must_use]
    pub fn of_entry(&self, dn: &Dn) -> Option<&Mirror> {
        self.0.owners.of_name(dn).map(|at| &self.0.all[at])
    }

    /// Follows every source until the server stops.
    pub async fn run(&self, shutdown: &Shutdown) {
        let running = self.0.all.iter().map(|mirror| {
            let (mirror, shutdown) = (mirror.clone(), shutdown.clone());
            tokio::spawn(async move { mirror.run(&shutdown).await })
        });
        for one in running.collect::<Vec<_>>() {
            // A task that panicked is told of by the runtime; the others go on.
            let _ = one.await;
        }
    }

    /// Asks the source of an address about it; see [`Mirror::look_up`].
    pub async fn look_up(&self, address: &Address) -> Lookup<u64> {
        match self.of_domain(&address.domain) {
            Some(mirror) => mirror.look_up(address).await,
            None => Lookup::NotFound,
        }
    }

    /// Asks the source of an entry about it; see [`Mirror::look_up_entry`].
    pub async fn look_up_entry(&self, dn: &Dn) -> Lookup<u64> {
        match self.of_entry(dn) {
            Some(mirror) => mirror.look_up_entry(dn).await,
            None => Lookup::NotFound,
        }
    }

    /// Whether an entry's password is this one, by its own source; see [`Mirror::password_fits`].
    pub async fn password_fits(&self, dn: &Dn, password: &str) -> Lookup<()> {
        match self.of_entry(dn) {
            Some(mirror) => mirror.password_fits(dn, password).await,
            None => Lookup::Unavailable(format!("{dn} lies below no base")),
        }
    }
}

/// The sources, as the place where edits are written: each at the one that has the name.
struct RemoteTree(Vec<Mirror>, Arc<Owners>);

impl RemoteTree {
    /// The source that has a name, and may be written to.
    fn writable(&self, dn: &Dn) -> Result<usize, EditError> {
        let at = self.1.of_name(dn).ok_or_else(|| EditError::NoSource(dn.clone()))?;
        if self.0[at].options().writable { Ok(at) } else { Err(EditError::ReadOnly) }
    }
}

impl Mirror {
    /// Whether an entry has addresses of a domain that is here: somebody may have them whom a first full sync has yet to bring. Of a
    /// domain that is not here nobody is, and to add it may be what the sync waits for: its base may not be there.
    fn may_be_anothers(&self, entry: &Entry, schema: &Schema) -> bool {
        let domains = address_keys(entry, schema)
            .into_iter()
            .filter_map(|(key, _)| key.rsplit_once('@').and_then(|(_, domain)| Domain::parse(domain).ok()));
        let mut known = domains.map(|domain| self.0.directory.domain(&domain));
        known.any(|known| !matches!(known, Lookup::NotFound))
    }
}

impl WriteThrough for RemoteTree {
    fn check(&self, dn: &Dn) -> Result<(), EditError> {
        self.writable(dn).map(drop)
    }

    fn check_entry(&self, entry: &Entry, schema: &Schema) -> Result<(), EditError> {
        let at = self.writable(&entry.dn)?;
        if !self.0[at].is_complete()? && self.0[at].may_be_anothers(entry, schema) {
            return Err(EditError::Incomplete(self.0[at].name().to_owned()));
        }
        match self.1.fault(at, entry, schema) {
            None => Ok(()),
            Some((attribute, why)) => Err(EditError::NotItsOwn { dn: entry.dn.clone(), attribute, why }),
        }
    }

    fn turn<'a>(&'a self, edits: &'a [RemoteEdit]) -> BoxFuture<'a, Turn> {
        Box::pin(async move {
            let places: BTreeSet<usize> = edits.iter().filter_map(|edit| self.1.of_name(edit.dn())).collect();
            let mut turn = Vec::with_capacity(places.len());
            // In one order for all: nobody waits for somebody who waits.
            for at in places {
                turn.push(Arc::clone(&self.0[at].0.writing).lock_owned().await);
            }
            Turn::new(turn)
        })
    }

    fn write(&self, edits: Vec<RemoteEdit>, turn: Turn) -> BoxFuture<'_, Result<u64, Unmade>> {
        Box::pin(async move {
            let mut placed: Vec<(usize, Vec<RemoteEdit>)> = Vec::new();
            for edit in edits {
                let at = self.writable(edit.dn()).map_err(|error| Unmade { made: 0, error })?;
                match placed.last_mut() {
                    Some((last, run)) if *last == at => run.push(edit),
                    _ => placed.push((at, vec![edit])),
                }
            }
            let (mut csn, mut made) = (0, 0);
            for (at, run) in placed {
                let count = run.len();
                let written = self.0[at].write_all(run, turn.clone()).await;
                csn = written.map_err(|unmade| Unmade { made: made + unmade.made, error: unmade.error })?;
                made += count;
            }
            Ok(csn)
        })
    }
}
