//! Zones at a provider, to which records are published.

use std::sync::Arc;
use std::time::Duration;

use dns::{BoxFuture, PublishError, Publisher, RecordChange, is_within};
use dns_update::DnsUpdater;
use mail_types::Domain;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::provider::Provider;
use crate::steps::{self, Act, Step};

/// How long one change may take, with all its requests: some providers want three for each name and type.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);

/// Reads the credentials; asked before each change, so that new ones hold at once. The error says where and how to mend.
pub type CredentialsSource = Arc<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// Zones at a provider.
#[derive(Clone)]
pub struct ProviderZones(Arc<Inner>);

struct Inner {
    provider: &'static Provider,
    zones: Vec<Domain>,
    credentials: CredentialsSource,
    /// What speaks to the provider, and by which credentials; it remembers sessions and tokens.
    updater: Mutex<Option<(Credentials, DnsUpdater)>>,
}

impl ProviderZones {
    /// Zones that are written to when there is something to publish; the longest that holds a domain is the domain's.
    #[must_use]
    pub fn new(provider: &'static Provider, zones: Vec<Domain>, credentials: CredentialsSource) -> Self {
        Self(Arc::new(Inner { provider, zones, credentials, updater: Mutex::new(None) }))
    }

    async fn change(&self, change: &RecordChange) -> Result<(), Failure> {
        let title = self.0.provider.title;
        let zone = self.0.zones.iter().filter(|zone| is_within(&change.domain, zone));
        let Some(zone) = zone.max_by_key(|zone| zone.as_str().len()) else {
            let why = format!("{} is in none of the zones at {title} (dns.publish.zones)", change.domain);
            return Err(Failure::refused(why));
        };
        let (inner, steps, zone) = (Arc::clone(&self.0), steps::of(change), zone.to_string());
        // The library and its HTTP client may panic at what they do not expect: a task of its own ends alone. It ends with
        // the set, too, when nobody waits any more.
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { inner.make(&steps, &zone).await });
        match tokio::time::timeout(CHANGE_TIMEOUT, tasks.join_next()).await {
            Ok(Some(Ok(made))) => made,
            Ok(_) => {
                let why = "the library failed; look whether the system has CA certificates (ca-certificates), and at the \
                           standard error";
                Err(Failure::unavailable(format!("{title}: {why}")))
            }
            Err(_) => {
                let why = format!("{title}: not done within {} s", CHANGE_TIMEOUT.as_secs());
                Err(Failure::unavailable(why))
            }
        }
    }
}

impl Inner {
    /// Each way is a future of its own: as parts of one, with their choices among all providers, they keep the compiler busy
    /// for longer than all the rest of the server.
    async fn make(&self, steps: &[Step], zone: &str) -> Result<(), Failure> {
        let credentials = (self.credentials)().map_err(Failure::refused_all)?;
        let updater = self.updater(&credentials)?;
        for step in steps {
            let doing: BoxFuture<'_, dns_update::Result<()>> = match &step.act {
                Act::Replace { ttl, records } => {
                    Box::pin(updater.set_rrset(&step.name, step.kind, *ttl, records.clone(), zone))
                }
                Act::Add { ttl, records } => {
                    Box::pin(updater.add_to_rrset(&step.name, step.kind, *ttl, records.clone(), zone))
                }
                Act::Remove(records) => {
                    Box::pin(updater.remove_from_rrset(&step.name, step.kind, records.clone(), zone))
                }
            };
            doing.await.map_err(|error| Failure::of(&error, zone, &credentials))?;
        }
        Ok(())
    }

    /// What speaks to the provider, made anew where the credentials are others.
    fn updater(&self, credentials: &Credentials) -> Result<DnsUpdater, Failure> {
        if let Some((known, updater)) = &*self.updater.lock()
            && known == credentials
        {
            return Ok(updater.clone());
        }
        let made = (self.provider.make)(credentials).map_err(|error| {
            let why = credentials.redacted(&error.to_string());
            let mend = "mend dns.publish.credentials-file";
            Failure::refused_all(format!(
                "{}: its credentials are no good: {why}: {mend}",
                self.provider.title
            ))
        })?;
        *self.updater.lock() = Some((credentials.clone(), made.clone()));
        Ok(made)
    }
}

impl Publisher for ProviderZones {
    fn publish<'a>(&'a self, change: &'a RecordChange) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move { self.change(change).await.map_err(|failure| failure.error) })
    }

    fn publish_all<'a>(
        &'a self,
        changes: &'a [RecordChange],
    ) -> BoxFuture<'a, Vec<Result<(), PublishError>>> {
        Box::pin(async move {
            let mut made = Vec::with_capacity(changes.len());
            for change in changes {
                match self.change(change).await {
                    Ok(()) => made.push(Ok(())),
                    Err(failure) => {
                        let is_general = failure.is_general;
                        made.push(Err(failure.error.clone()));
                        // Nobody is asked a hundred times who does not answer, or does not know us.
                        if is_general {
                            made.resize_with(changes.len(), || Err(failure.error.clone()));
                            break;
                        }
                    }
                }
            }
            made
        })
    }

    fn is_volatile(&self) -> bool {
        false
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn place(&self) -> String {
        format!("the provider {}", self.0.provider.title)
    }
}

#[cfg(test)]
mod tests;
