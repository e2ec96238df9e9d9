//! The records of mail domains, published where the configuration says.

use std::sync::Arc;

use directory::{Directory, Publication};
use dns::{Authority, AuthorityOptions, Publisher, TsigKey, UpdateOptions, UpdateServer};
use dns_providers::ProviderZones;
use events::{Event, Events};
use runtime::{Background, Clock, Random, Shutdown};
use tokio::task::JoinHandle;

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
    /// Follows the directory, and answers where it is a name server. A port that is taken is told, and costs no mail.
    pub(super) fn begin(
        &self,
        background: &Background,
        events: &Events,
        stop: &Shutdown,
    ) -> Vec<JoinHandle<()>> {
        let (publication, ending) = (self.publication.clone(), stop.clone());
        let mut tasks = vec![background.spawn(async move { publication.run(&ending).await })];
        let Some((authority, address)) = &self.authority else { return tasks };
        match authority.serve(*address) {
            Ok((local, run)) => {
                events.emit(&Event::Listening { service: "dns", address: local });
                let ending = stop.clone();
                tasks.push(tokio::spawn(async move {
                    tokio::select! { () = run => {}, () = ending.wait() => {} }
                }));
            }
            Err(why) => events.emit(&Event::DnsFailed {
                domain: "*",
                place: &self.publication.place(),
                cause: &format!("dns.publish.listen: {why}"),
            }),
        }
        tasks
    }
}
