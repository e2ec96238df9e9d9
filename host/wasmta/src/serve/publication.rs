//! The records of mail domains, published where the configuration says.

use std::sync::Arc;

use directory::{Directory, Publication};
use dns::{Authority, AuthorityOptions, Publisher, TsigKey, UpdateOptions, UpdateServer};
use dns_providers::ProviderZones;
use events::{Event, Events};
use runtime::{Background, Clock, Random, Shutdown};
use tokio::task::JoinHandle;

use super::bound;
use crate::config::{Config, Publish, PublishTo, read_credentials};

/// What publishes, and the name server of our own where that is it.
#[derive(Clone)]
pub(crate) struct Publishing {
    /// What follows the directory.
    pub(crate) publication: Publication,
    authority: Option<(Authority, std::net::SocketAddr)>,
}

/// Where there is something to publish at, and to be published.
pub(super) fn of(
    config: &Config,
    directory: &Directory,
    notices: Option<dns::Notices>,
    (clock, random, events): (&Clock, &Random, &Events),
) -> Result<Option<Publishing>, String> {
    let Some(Publish { to, zones, records }) = &config.dns.publish else { return Ok(None) };
    let (publisher, authority): (Arc<dyn Publisher>, _) = match to {
        PublishTo::Embedded(address) => {
            let (name, zones) = (config.server.name.clone(), zones.clone());
            let options = AuthorityOptions { name, zones, notices };
            let authority =
                Authority::new(options, clock.clone()).map_err(|why| format!("dns.publish: {why}"))?;
            (Arc::new(authority.clone()), Some((authority, *address)))
        }
        PublishTo::Update(server, key) => {
            let key = key.as_deref().map(TsigKey::read).transpose();
            let key = key.map_err(|why| format!("dns.publish.key-file: {why}"))?;
            let options = UpdateOptions { server: *server, zones: zones.clone(), key };
            (Arc::new(UpdateServer::new(options, clock.clone(), random.clone())), None)
        }
        PublishTo::Provider(provider, file) => {
            let (provider, file) = (*provider, file.clone());
            // Read anew each time, so that new credentials hold at the next try.
            let source = move || read_credentials(provider, &file).map_err(|problems| problems.to_string());
            (Arc::new(ProviderZones::new(provider, zones.clone(), Arc::new(source))), None)
        }
    };
    let publication = Publication::new(directory.clone(), publisher, records.clone(), events.clone());
    let publication = publication.map_err(|why| format!("what is published: {why}"))?;
    Ok(Some(Publishing { publication, authority }))
}

impl Publishing {
    /// Follows the directory, and answers where it is a name server.
    pub(super) fn begin(
        &self,
        background: &Background,
        events: &Events,
        stop: &Shutdown,
    ) -> Vec<JoinHandle<()>> {
        let (publication, ending) = (self.publication.clone(), stop.clone());
        let Some((authority, address)) = &self.authority else {
            return vec![background.spawn(async move { publication.run(&ending).await })];
        };
        let (serving, address, place) = (authority.clone(), *address, self.publication.place());
        let (telling, hearing) = (authority.clone(), events.clone());
        let told = move |why: Option<&str>| {
            let why = why.map(|why| format!("dns.publish.listen: {why}"));
            if let Some(cause) = &why {
                hearing.emit(&Event::DnsFailed { domain: "*", place: &place, cause });
            }
            telling.set_unheard(why);
        };
        let serving = bound::serve("dns", events, stop, move || serving.serve(address), told);
        vec![serving, background.spawn(async move { publication.run(&ending).await })]
    }
}
