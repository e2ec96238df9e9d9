//! The way of one address: rules, routing table, alias table; up to its entry. The host to hand over to comes from the
//! directory where it names one (R10), else from the MX records of the domain (R25).

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::rc::Rc;

use directory::Status;
use mail_types::{Address, ChannelName, Domain, LocalPart, NextHop, Refusal, Route};

use super::domains::{KnownDomain, View};
use super::{Halt, Request, refusals};
use crate::recorder::{Recorder, Step, StepKind};
use crate::rewrite::control::{Direction, Place};
use crate::rewrite::engine::{Context, rewrite};
use crate::rewrite::rules::Rules;
use crate::rewrite::substitution::split_detail;
use crate::rewrite::tags::Target;
use crate::rewrite::unroutable::Unroutable;
use crate::tables::Claim;
use crate::tables::row::{AliasRow, Relation};

/// What one address came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// A copy goes out here.
    Route {
        /// To this address.
        address: Address,
        /// With this subaddress.
        detail: Option<String>,
        /// By this way.
        route: Route,
    },
    /// Another address takes its place, or joins it.
    Address(Address),
    /// The same, because a user wants it so.
    Forward {
        /// The other address.
        to: Address,
        /// The user's own.
        by: Address,
    },
}

impl Next {
    pub(crate) fn route(address: Address, channel: &str, next_hop: NextHop) -> Self {
        Self::Route { address, detail: None, route: Route::new(channel, next_hop) }
    }
}

/// A local address and its entry.
pub(crate) struct Found<'r> {
    /// The address as it was looked up, after the rules.
    pub(crate) address: &'r Address,
    /// The key under which the row was found.
    pub(crate) key: String,
    /// The subaddress, where the row was found without it.
    pub(crate) detail: Option<String>,
    /// The row.
    pub(crate) row: AliasRow<'r>,
    /// The domain.
    pub(crate) domain: Option<Rc<KnownDomain>>,
}

/// Where an address leads.
pub(crate) enum Way<'r> {
    /// To an entry.
    Entry(Found<'r>),
    /// There is no entry to look at: this is the answer.
    Done(Vec<Next>),
}

/// What rules and plugins made of an address.
pub(crate) struct Led<'s> {
    /// The address.
    pub(crate) address: Cow<'s, Address>,
    /// Where it goes.
    pub(crate) target: Target,
    /// By which host.
    pub(crate) via: Option<Domain>,
    /// Whether the domain is as a plugin gave it.
    pub(crate) by_plugin: bool,
}

/// The surroundings of one address.
pub(crate) struct Guide<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) view: &'a View<'a>,
    pub(crate) request: &'a Request<'a>,
}

impl<'a> Guide<'a> {
    /// Rewrites an address; gives it with the target that rules and plugins name.
    pub(crate) fn rewrite<'s, R: Recorder>(
        &self,
        address: &'s Address,
        recorder: &mut R,
    ) -> Result<Led<'s>, Halt> {
        let context = Context {
            place: Place::Envelope,
            direction: Direction::Forward,
            source: self.request.source,
            destination: None,
            separator: self.view.options.separator,
            released: self.request.released,
        };
        match rewrite(self.rules, address, context, self.view, recorder) {
            Ok(rewritten) => {
                let address = rewritten.address.map_or(Cow::Borrowed(address), Cow::Owned);
                let (target, via, by_plugin) = (rewritten.target, rewritten.via, rewritten.by_plugin);
                Ok(Led { address, target, via, by_plugin })
            }
            Err(Unroutable::Open) => Err(Halt::Open),
            Err(why) => Err(refusals::unroutable(address, &why).into()),
        }
    }

    /// The route of an address that leaves this host.
    pub(crate) fn outward<R: Recorder>(
        &self,
        address: Address,
        channel: &ChannelName,
        via: Option<Domain>,
        depth: usize,
        recorder: &mut R,
    ) -> Result<Next, Refusal> {
        let known = self.view.domain(address.domain.as_str()).map_err(|e| refusals::unavailable(&e))?;
        let nobody = [ChannelName::HOLD, ChannelName::BITBUCKET, ChannelName::REPROCESS];
        if nobody.contains(&channel.as_str()) {
            return Ok(Next::route(address, channel.as_str(), NextHop::Nobody));
        }
        if let Some(known) = &known {
            self.check_domain(known, &address, recorder)?;
            let ground = || format!("domain {} is {}", address.domain, Status::Hold);
            if known.status() == Status::Hold && !self.request.released.contains(&ground()) {
                return Ok(Next::route(address, ChannelName::HOLD, NextHop::Nobody));
            }
        }
        if known.is_none() && address.domain.as_ip().is_none() {
            self.view.miss(&address);
        }
        // Whoever answers for this server is reached through it (RFC 5321 §4.5.1), wherever that is.
        let is_postmaster = || address.to_key() == self.view.options.postmaster.to_key();
        if depth == 0 && known.is_none() && !self.may_relay(&address) && !is_postmaster() {
            return Err(refusals::relay_denied(&address));
        }
        if let Some(known) = known.as_ref().filter(|known| !known.local && known.row.dns.is_some()) {
            // We are one of its hosts: the next hop is the domain, and of its MX only those better than ours are tried.
            recorder.note(|| {
                let text = format!("{} has better mail hosts: it is handed on to them", address.domain);
                Step::new(StepKind::Domain, text).at(known.row.origin())
            });
        }
        // ROUTE_TO_ROUTING_HOST of the product: the directory names the host, so the DNS is not asked.
        let routing_host = known.filter(|known| !known.local).and_then(|known| {
            let hosts = known.row.routing_hosts.as_slice();
            let first = hosts.first()?;
            recorder.note(|| {
                let hosts = hosts.join(", or else ");
                Step::new(StepKind::Domain, format!("{} is handled by {hosts}", address.domain))
                    .at(known.row.origin())
            });
            if hosts.len() == 1 {
                let host = host_of(first);
                return Some(host.ok_or_else(|| refusals::unreadable_host(&address, first, &known.row.dn)));
            }
            // Any host of the community will do: those that serve the domain are tried one after the other.
            let canonical = known.canonical.as_deref().and_then(|name| Domain::parse(name).ok());
            Some(Ok(NextHop::Domain(canonical.unwrap_or_else(|| address.domain.clone()))))
        });
        let routing_host = routing_host.transpose()?;
        let next_hop = match (via, routing_host) {
            (Some(via), _) => NextHop::Host { host: via, port: None },
            (None, Some(host)) => host,
            (None, None) if address.domain.as_ip().is_some() => {
                NextHop::Host { host: address.domain.clone(), port: None }
            }
            (None, None) => NextHop::Domain(address.domain.clone()),
        };
        let channel = self.way_out(channel, recorder)?;
        Ok(Next::route(address, &channel, next_hop))
    }

    /// The channel by which something leaves: of what a user submits, the one that the user's entry names
    /// (`mailSMTPSubmitChannel`), or the domain's (`mailDomainSourceChannel`), where rules leave it to the usual one (R10).
    fn way_out<'c, R: Recorder>(
        &self,
        channel: &'c ChannelName,
        recorder: &mut R,
    ) -> Result<Cow<'c, str>, Refusal> {
        let usual = Cow::Borrowed(channel.as_str());
        let Some(account) = self.request.authenticated.filter(|_| channel.as_str() == ChannelName::SMTP)
        else {
            return Ok(usual);
        };
        let unavailable = |error| refusals::unavailable(&error);
        let claim = self.view.reader.alias(account.as_str()).map_err(unavailable)?;
        let mut named = match claim {
            Some(Claim::One(row)) => {
                let channel = row.detail.as_ref().and_then(|detail| detail.submit_channel.clone());
                channel.map(|channel| (channel, row.dn.to_string()))
            }
            Some(Claim::Several(_)) | None => None,
        };
        if let (None, Some((_, domain))) = (&named, account.as_str().rsplit_once('@')) {
            let known = self.view.domain(domain).map_err(unavailable)?;
            named = known
                .and_then(|known| Some((known.row.source_channel.clone()?, known.row.origin().to_owned())));
        }
        let Some((name, entry)) = named.filter(|(name, _)| name != ChannelName::SMTP) else {
            return Ok(usual);
        };
        if !self.view.options.ways_out.contains(&name) {
            return Err(refusals::no_way_out(account, &name, &entry));
        }
        recorder.note(|| {
            Step::new(StepKind::Domain, format!("what {account} submits leaves by {name}")).at(entry)
        });
        Ok(Cow::Owned(name))
    }

    /// Whether the domain of an address is one of the directory's.
    pub(crate) fn is_known(&self, address: &Address) -> Result<bool, Refusal> {
        let known = self.view.domain(address.domain.as_str()).map_err(|e| refusals::unavailable(&e))?;
        Ok(known.is_some())
    }

    fn may_relay(&self, address: &Address) -> bool {
        let Request { source, authenticated, relay, .. } = *self.request;
        let ours = |domain: &Domain| {
            let (name, domain) = (address.domain.as_str(), domain.as_str());
            name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        };
        relay
            || authenticated.is_some()
            || source == ChannelName::REPROCESS
            || self.view.options.relay_domains.iter().any(ours)
    }

    /// Refuses where the domain's status says so; hold is left to the caller.
    fn check_domain<R: Recorder>(
        &self,
        known: &KnownDomain,
        address: &Address,
        recorder: &mut R,
    ) -> Result<(), Refusal> {
        let status = known.status();
        let refused = refusals::status(status, true, address, known.row.status_origin());
        let step = || Step::new(StepKind::Status, format!("domain {} is {status}", address.domain));
        if status == Status::Active {
            recorder.detail(|| step().at(known.row.status_origin()));
        } else {
            recorder.note(|| step().at(known.row.status_origin()));
        }
        refused.map_or(Ok(()), Err)
    }

    /// Looks a local address up.
    pub(crate) fn inward<'s, R: Recorder>(
        &'s self,
        address: &'s Address,
        recorder: &mut R,
    ) -> Result<Way<'s>, Refusal> {
        let options = self.view.options;
        let unavailable = |error| refusals::unavailable(&error);
        let mut domain = self.view.domain(address.domain.as_str()).map_err(unavailable)?;
        let mut names = vec![address.domain.as_str()];
        if domain.is_none() && options.is_own(address.domain.as_str()) {
            let default = options.default_domain.as_str();
            recorder
                .note(|| Step::new(StepKind::Domain, format!("{} is this host: {default}", address.domain)));
            domain = self.view.domain(default).map_err(unavailable)?;
            names = vec![default];
        }
        let postmaster = address.local.as_str().eq_ignore_ascii_case("postmaster");
        let Some(known) = &domain else {
            if postmaster && options.is_own(address.domain.as_str()) {
                return self.postmaster(address, recorder);
            }
            self.view.miss(address);
            return Err(refusals::unknown_domain(address));
        };
        recorder.details(|| {
            let (Some(alias), Some(canonical)) = (&known.alias_dn, &known.canonical) else {
                return Vec::new();
            };
            let text = format!("{} is another name of {canonical}", address.domain);
            vec![Step::new(StepKind::Domain, text).at(alias.clone())]
        });
        recorder.detail(|| {
            let local =
                if known.local { "handled here" } else { "handled elsewhere, the rules keep it here" };
            Step::new(StepKind::Domain, format!("{} is {local}", address.domain)).at(known.row.origin())
        });
        recorder.details(|| self.made_by(&known.row.dn));
        if let Err(refusal) = self.check_domain(known, address, recorder) {
            return if postmaster { self.postmaster(address, recorder) } else { Err(refusal) };
        }
        names.extend(known.further.iter().map(String::as_str));
        if let Some(found) = self.find(address, &names, recorder)? {
            return Ok(Way::Entry(Found { domain: domain.clone(), ..found }));
        }
        if postmaster {
            return self.postmaster(address, recorder);
        }
        self.view.miss(address);
        self.unknown(address, known, recorder)
    }

    /// The row of an address: under each name of its domain as it stands, then without its subaddress, then the
    /// row of the whole domain.
    fn find<'s, R: Recorder>(
        &'s self,
        address: &'s Address,
        names: &[&str],
        recorder: &mut R,
    ) -> Result<Option<Found<'s>>, Refusal> {
        let local = address.local.as_str().to_lowercase();
        let (base, detail) = split_detail(&local, self.view.options.separator);
        for (part, has_detail) in [(local.as_str(), true), (base, false), ("", true)] {
            if part == base && !has_detail && detail.is_empty() {
                continue;
            }
            for name in names {
                let mut key = String::with_capacity(part.len() + name.len() + 1);
                key.push_str(part);
                key.push('@');
                key.push_str(name);
                let claim = self.view.reader.alias(&key).map_err(|e| refusals::unavailable(&e))?;
                let row = match claim {
                    None => {
                        recorder.detail(|| Step::new(StepKind::Alias, format!("no row for {key}")));
                        continue;
                    }
                    Some(Claim::One(row)) => row,
                    Some(Claim::Several(rows)) => {
                        let names: Vec<&str> = rows.iter().map(|row| &*row.dn).collect();
                        return Err(refusals::at_odds(address, &names));
                    }
                };
                recorder.note(|| {
                    let text = format!("{key} is the {} of a {}", row.relation.word(), row.kind.word());
                    Step::new(StepKind::Alias, text).at(&*row.dn)
                });
                recorder.details(|| self.made_by(&row.dn));
                // The detail in the case it was written in.
                let detail = (!has_detail).then(|| {
                    split_detail(address.local.as_str(), self.view.options.separator)
                        .1
                        .trim_start_matches(self.view.options.separator)
                        .to_owned()
                });
                return Ok(Some(Found { address, key, detail, row, domain: None }));
            }
        }
        Ok(None)
    }

    /// That a plugin built the rows of an entry, where one did. For explanations: what cannot be read is told elsewhere.
    fn made_by(&self, dn: &str) -> Vec<Step> {
        let maker = self.view.reader.maker(dn).ok().flatten();
        let step = |maker| Step::new(StepKind::Plugin, format!("built the row: plugin {maker}")).at(dn);
        maker.map(step).into_iter().collect()
    }

    /// A local address without a row: catch-all, smart host, or nobody.
    fn unknown<'s, R: Recorder>(
        &self,
        address: &'s Address,
        known: &KnownDomain,
        recorder: &mut R,
    ) -> Result<Way<'s>, Refusal> {
        if let Some(target) = known.row.catch_all.as_deref().and_then(|text| Address::parse(text).ok())
            && target.to_key() != address.to_key()
        {
            recorder.note(|| {
                Step::new(StepKind::Alias, format!("catch-all of {}: {target}", address.domain))
                    .at(known.row.origin())
            });
            return Ok(Way::Done(vec![Next::Address(target)]));
        }
        if let Some(host) = known.row.smart_host.as_deref()
            && !self.view.options.is_own(host)
        {
            let next_hop =
                host_of(host).ok_or_else(|| refusals::unreadable_host(address, host, &known.row.dn))?;
            recorder.note(|| {
                let text = format!("not in the directory: smart host {host} of {}", address.domain);
                Step::new(StepKind::Domain, text).at(known.row.origin())
            });
            return Ok(Way::Done(vec![Next::route(address.clone(), ChannelName::SMTP, next_hop)]));
        }
        let canonical = known.canonical.as_deref().unwrap_or(address.domain.as_str());
        if self.view.reader.is_waiting(canonical).map_err(|error| refusals::unavailable(&error))? {
            return Err(refusals::not_yet_built(address));
        }
        if let Some(dns) = known.row.dns.as_ref().filter(|dns| !dns.refuse_unknown) {
            return Err(refusals::known_to_dns_alone(address, &dns.origin));
        }
        Err(refusals::unknown_user(address))
    }

    /// A postmaster without an entry of its own: the configured one, also elsewhere; and if that is here and has none either, an
    /// account of that name. Mail to a postmaster is never refused (RFC 5321 §4.5.1).
    pub(crate) fn postmaster<'s, R: Recorder>(
        &self,
        address: &Address,
        recorder: &mut R,
    ) -> Result<Way<'s>, Refusal> {
        let target = &self.view.options.postmaster;
        let row = self.view.reader.alias(&target.to_key()).map_err(|e| refusals::unavailable(&e))?;
        let of_target = target.domain.as_str();
        let is_reached = row.is_some()
            || !self.view.options.is_own(of_target)
                && self.view.domain(of_target).map_err(|e| refusals::unavailable(&e))?.is_none();
        if target.to_key() != address.to_key() && is_reached {
            recorder.note(|| Step::new(StepKind::Alias, format!("postmaster of this system: {target}")));
            return Ok(Way::Done(vec![Next::Address(target.clone())]));
        }
        let Some(account) = mail_types::AccountName::new(&target.to_key()) else {
            return Err(refusals::unknown_user(address));
        };
        recorder.note(|| Step::new(StepKind::Alias, format!("postmaster of this system: account {account}")));
        let route = Route::store(account);
        Ok(Way::Done(vec![Next::Route { address: target.clone(), detail: None, route }]))
    }
}

impl Found<'_> {
    /// The final address of the entry: as written for its own addresses, the primary one for alternates, with the
    /// subaddress kept.
    pub(crate) fn final_address(&self, separator: char) -> Address {
        if !matches!(self.row.relation, Relation::Alternate | Relation::Domain) {
            return self.address.clone();
        }
        let Some(primary) = self.primary() else { return self.address.clone() };
        match &self.detail {
            None => primary,
            Some(detail) => match LocalPart::new(format!("{}{separator}{detail}", primary.local.as_str())) {
                Ok(local) => Address::new(local, primary.domain),
                Err(_) => primary,
            },
        }
    }

    /// The primary address.
    pub(crate) fn primary(&self) -> Option<Address> {
        match self.row.detail.as_ref().and_then(|detail| detail.primary.as_deref()) {
            Some(text) => Address::parse(text).ok(),
            None => address_of_key(&self.key),
        }
    }

    /// The host that has the mailbox, where it is another one.
    pub(crate) fn elsewhere<'f>(&'f self, view: &View<'_>) -> Option<&'f str> {
        let own = self.row.detail.as_ref().and_then(|detail| detail.mail_host.as_deref());
        let preferred = || self.domain.as_ref().and_then(|domain| domain.row.preferred_mail_host.as_deref());
        own.or_else(preferred).filter(|host| !view.options.is_own(host))
    }
}

/// The address of a key; quoting is not part of keys.
pub(crate) fn address_of_key(key: &str) -> Option<Address> {
    let (local, domain) = key.rsplit_once('@')?;
    Some(Address::new(LocalPart::new(local).ok()?, Domain::parse(domain).ok()?))
}

/// `host`, `host:port`, or an address in place of the host, in brackets or not, as the next hop.
pub(crate) fn host_of(text: &str) -> Option<NextHop> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let named = |host: &str| {
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match address.parse::<Ipv6Addr>() {
            Ok(address) => Domain::parse(&format!("[ipv6:{address}]")).ok(),
            Err(_) => Domain::parse(host).ok(),
        }
    };
    if let Some(host) = named(text) {
        return Some(NextHop::Host { host, port: None });
    }
    let (host, port) = text.rsplit_once(':')?;
    Some(NextHop::Host { host: named(host)?, port: Some(port.parse().ok()?) })
}
