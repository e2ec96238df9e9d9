//! What becomes of mail for an entry: status, host, delivery options. The entry alone says so (R61): one option or
//! several (R62), `mailbox` (R69), `forward` (R66), and whatever a channel is named after (R70); for users and groups
//! alike (R71). Of two statuses the stricter one takes precedence (R102).

use directory::{DeliveryOption, Dn, Search, Status};
use mail_types::{AccountName, Address, ChannelName, NextHop, Persistence, Refusal};

use super::domains::View;
use super::mailbox::{account, mailbox};
use super::parked::{self, Left};
use super::posting::{self, Posting};
use super::way::{Found, Guide, Next, address_of_key, host_of};
use super::{Request, refusals};
use crate::delivery_options::{Action, Each, Filling, OptionTemplate};
use crate::recorder::{Recorder, Step, StepKind};
use crate::rewrite::tags::Target;
use crate::tables::row::{Detail, RowKind};

/// Channels that an entry's options may always name: they work on behalf of its account, or keep the mail here.
const OPEN_TO_ENTRIES: [&str; 7] = [
    ChannelName::PROGRAM,
    ChannelName::FILE,
    ChannelName::SHARED,
    ChannelName::HOLD,
    ChannelName::REPROCESS,
    ChannelName::BITBUCKET,
    ChannelName::AUTOREPLY,
];

/// Applies an entry to one address.
pub(super) fn dispose<R: Recorder>(
    guide: &Guide<'_>,
    found: &Found<'_>,
    recorder: &mut R,
) -> Result<Vec<Next>, Refusal> {
    let row = &found.row;
    let empty = Detail::default();
    let detail = row.detail.as_deref().unwrap_or(&empty);
    // Before the status: what is put off by it comes back by `reprocess`, which knows of no authentication.
    if row.kind == RowKind::Group
        && !guide.request.again
        && let Some(answer) = objected(guide, found, detail, recorder)?
    {
        return Ok(answer);
    }
    let of_domain = found.domain.as_ref().map_or(Status::Active, |domain| domain.status());
    let is_parked = parked::by_status(guide, row, of_domain, recorder);
    if let Some(refusal) = refusals::status(row.status, false, found.address, &row.dn) {
        return Err(refusal);
    }
    let address = found.final_address(guide.view.options.separator);
    // The status is looked at before the delivery options: hold wins (requirements §2.2).
    if is_parked {
        return Ok(vec![Next::route(address, ChannelName::HOLD, NextHop::Nobody)]);
    }
    let templates = Templates::of(guide, found);
    let is_plain = row.is_plain() && templates.find(&DeliveryOption::Mailbox).is_none();
    if is_plain && found.elsewhere(guide.view).is_none() {
        recorder.detail(|| Step::new(StepKind::Delivery, "mailbox").at(&*row.dn));
        return mailbox(guide, found, address).map(|next| vec![next]);
    }
    if let Some(target) = detail.routing_address.as_deref().and_then(|text| Address::parse(text).ok())
        && !is_self(found, &target)
    {
        recorder.note(|| Step::new(StepKind::Delivery, format!("mailRoutingAddress: {target}")).at(&*row.dn));
        return Ok(vec![Next::Address(target)]);
    }
    let Some(Left { options, beside }) = templates.left(row, recorder) else {
        return Ok(vec![Next::route(address, ChannelName::BITBUCKET, NextHop::Nobody)]);
    };
    // An entry whose options need no mailbox is served wherever it is looked up (requirements §2.4, `#`).
    let independent = options.iter().all(|option| templates.is_independent(option));
    if !independent && let Some(host) = found.elsewhere(guide.view) {
        let next_hop =
            host_of(host).ok_or_else(|| refusals::unreadable_host(found.address, host, &row.dn))?;
        recorder.note(|| Step::new(StepKind::Delivery, format!("mailHost: {host}")).at(&*row.dn));
        return Ok(vec![Next::route(address, ChannelName::SMTP, next_hop)]);
    }
    // All of an entry is expanded later, or nothing: `reprocess` applies its options from the start.
    let Request { source, released, again, .. } = guide.request;
    if *source != ChannelName::REPROCESS
        && !again
        && released.is_empty()
        && let Some(option) = options.iter().find(|option| templates.is_deferred(option, detail))
    {
        recorder.note(|| Step::new(StepKind::Delivery, format!("{}: later", option.as_str())).at(&*row.dn));
        return Ok(vec![Next::route(address, ChannelName::REPROCESS, NextHop::Nobody)]);
    }
    let (next, unserved) = (Vec::new(), Vec::new());
    let mut applied = Options { guide, found, detail, templates, address, beside, next, unserved };
    for option in &options {
        applied.apply(option, recorder)?;
    }
    applied.finish()
}

/// A posting that the group's policy refuses: an error, or the moderators in its place.
fn objected<R: Recorder>(
    guide: &Guide<'_>,
    found: &Found<'_>,
    detail: &Detail,
    recorder: &mut R,
) -> Result<Option<Vec<Next>>, Refusal> {
    let Some(policy) = &detail.policy else { return Ok(None) };
    let row = &found.row;
    let said = posting::judge(policy, guide.request, guide.view).map_err(|e| refusals::unavailable(&e))?;
    let why = match said {
        Posting::Allowed => {
            recorder.detail(|| Step::new(StepKind::Group, "the sender may post").at(&*row.dn));
            return Ok(None);
        }
        Posting::Unsaid(why) => return Err(refusals::unreadable_policy(found.address, &why, &row.dn)),
        Posting::Refused(why) => why,
    };
    if policy.to_moderator && !policy.moderators.is_empty() {
        recorder.note(|| Step::new(StepKind::Group, format!("to the moderators: {why}")).at(&*row.dn));
        let moderators = policy.moderators.iter().filter_map(|text| Address::parse(text).ok());
        return Ok(Some(moderators.map(Next::Address).collect()));
    }
    recorder.note(|| Step::new(StepKind::Refused, why.clone()).at(&*row.dn));
    Err(refusals::may_not_post(found.address, policy.reject_text.as_deref(), &why, &row.dn))
}

/// Whether an address leads to the entry itself.
fn is_self(found: &Found<'_>, address: &Address) -> bool {
    let key = address.to_key();
    key == found.key
        || key == found.address.to_key()
        || account(found).is_some_and(|account| account.as_str() == key)
        || found.primary().is_some_and(|primary| primary.to_key() == key)
}

/// Whether a group is more than its members are: then its channel sends the message on. Members without number, too, are
/// reached that way, batch by batch.
fn is_list(guide: &Guide<'_>, detail: &Detail) -> bool {
    let count = detail.members.len() + detail.member_addresses.len();
    detail.list.is_some() || !detail.searches.is_empty() || count > guide.view.options.recipients_max
}

/// What the operator says about options, in the domain of an entry.
pub(super) struct Templates<'a> {
    pub(super) guide: &'a Guide<'a>,
    domain: &'a str,
}

impl<'a> Templates<'a> {
    fn of(guide: &'a Guide<'_>, found: &'a Found<'_>) -> Self {
        let canonical = found.domain.as_ref().and_then(|domain| domain.canonical.as_deref());
        let named = found.address.domain.as_str();
        let options = guide.view.options;
        let domain = match canonical {
            Some(canonical) => canonical,
            None if found.key.ends_with(named) => named,
            None if options.is_own(named) => options.default_domain.as_str(),
            None => named,
        };
        Self { guide, domain }
    }

    pub(super) fn find(&self, option: &DeliveryOption) -> Option<&'a OptionTemplate> {
        self.guide.view.options.delivery.find(self.domain, option)
    }

    fn is_independent(&self, option: &DeliveryOption) -> bool {
        match self.find(option) {
            Some(template) => template.is_independent,
            None => *option == DeliveryOption::Forward,
        }
    }

    fn is_deferred(&self, option: &DeliveryOption, detail: &Detail) -> bool {
        match self.find(option) {
            Some(OptionTemplate { is_deferred, action: Action::Members, .. }) => {
                *is_deferred && !is_list(self.guide, detail)
            }
            Some(template) => template.is_deferred,
            None => *option == DeliveryOption::MembersOffline && !is_list(self.guide, detail),
        }
    }
}

struct Options<'a> {
    guide: &'a Guide<'a>,
    found: &'a Found<'a>,
    detail: &'a Detail,
    templates: Templates<'a>,
    address: Address,
    /// What an option that parks says of the others.
    beside: String,
    next: Vec<Next>,
    unserved: Vec<String>,
}

impl Options<'_> {
    fn apply<R: Recorder>(&mut self, option: &DeliveryOption, recorder: &mut R) -> Result<(), Refusal> {
        let dn = &*self.found.row.dn;
        let beside = if self.templates.parks(option) { self.beside.as_str() } else { "" };
        let found = self.templates.find(option);
        if let Some(template) = found.filter(|_| !self.templates.is_released(option)) {
            recorder.note(|| Step::new(StepKind::Delivery, option.as_str()).at(dn));
            let text = format!("{} = {template}{beside}", option.as_str());
            recorder.note(|| Step::new(StepKind::Delivery, text).at(template.origin()));
            return self.by_template(option, template, recorder);
        }
        recorder.note(|| Step::new(StepKind::Delivery, format!("{}{beside}", option.as_str())).at(dn));
        match (option, self.found.row.kind) {
            (DeliveryOption::Mailbox | DeliveryOption::Native | DeliveryOption::Unix, RowKind::User) => {
                self.mailbox()
            }
            (DeliveryOption::Forward, _) => self.forward(recorder),
            (DeliveryOption::Hold, _) => {
                self.next.push(Next::route(self.address.clone(), ChannelName::HOLD, NextHop::Nobody));
                Ok(())
            }
            (DeliveryOption::Members | DeliveryOption::MembersOffline, RowKind::Group) => {
                self.members(recorder)
            }
            (DeliveryOption::Program, _) => {
                self.named(option, &self.detail.programs, "mailProgramDeliveryInfo", recorder);
                Ok(())
            }
            (DeliveryOption::File, _) => {
                self.named(option, &self.detail.files, "mailDeliveryFileURL", recorder);
                Ok(())
            }
            (DeliveryOption::Shared, _) => {
                self.named(option, &self.detail.shared, "wasmtaSharedMailbox", recorder);
                Ok(())
            }
            (option, _) => {
                self.by_channel(option, recorder);
                Ok(())
            }
        }
    }

    /// What the operator says that an option does.
    fn by_template<R: Recorder>(
        &mut self,
        option: &DeliveryOption,
        template: &OptionTemplate,
        recorder: &mut R,
    ) -> Result<(), Refusal> {
        let word = option.as_str();
        let kind = self.found.row.kind;
        if !template.is_for(kind) {
            self.unserved.push(format!("{word} (not of a {})", kind.word()));
            return Ok(());
        }
        let Some(account) = account(self.found) else { return Ok(()) };
        let (guide, detail, address) = (self.guide, self.detail, self.address.clone());
        let separator = guide.view.options.separator;
        let filling = Filling { address: &address, account: account.as_str(), detail, separator };
        let without = |each: Each| format!("{word} without {}", each.attribute());
        match &template.action {
            Action::Off => self.unserved.push(format!("{word} (off)")),
            Action::Forwarding => return self.forward(recorder),
            Action::Members => return self.members(recorder),
            Action::Mailbox => return self.mailbox(),
            Action::Account(channel) => {
                let next_hop = by_account(channel, account);
                self.next.push(Next::route(self.address.clone(), channel.as_str(), next_hop));
            }
            Action::Named(channel, name) => match name.all(&filling) {
                Ok(names) => self.next.extend(names.into_iter().map(|name| {
                    let next_hop = NextHop::Named { account: account.clone(), name };
                    Next::route(address.clone(), channel.as_str(), next_hop)
                })),
                Err(each) => self.unserved.push(without(each)),
            },
            Action::Again(parts) => match parts.addresses(&filling) {
                Ok(addresses) => {
                    for made in addresses {
                        self.again(word, made)?;
                    }
                }
                Err(each) => self.unserved.push(without(each)),
            },
            Action::Out(channel, parts) => match parts.addresses(&filling) {
                Ok(addresses) => {
                    for made in addresses {
                        self.out(word, channel, made, recorder)?;
                    }
                }
                Err(each) => self.unserved.push(without(each)),
            },
        }
        Ok(())
    }

    /// An address that a template made goes the way of every address; the entry's own means its mailbox.
    fn again(&mut self, word: &str, made: Result<Address, String>) -> Result<(), Refusal> {
        match made {
            Ok(target) if is_self(self.found, &target) && self.found.row.kind == RowKind::User => {
                self.mailbox()?;
            }
            Ok(target) => self.next.push(self.forwarded(target)),
            Err(text) => self.unserved.push(format!("{word}: {text:?} is no address")),
        }
        Ok(())
    }

    /// An address that a template made leaves by a channel, as by a rewrite rule.
    fn out<R: Recorder>(
        &mut self,
        word: &str,
        channel: &ChannelName,
        made: Result<Address, String>,
        recorder: &mut R,
    ) -> Result<(), Refusal> {
        // Below an entry, as by a forward: that is no relaying.
        let depth = 1;
        match made.map(|address| self.guide.outward(address, channel, None, depth, recorder)) {
            Ok(Ok(next)) => self.next.push(next),
            Ok(Err(refusal)) if refusal.reply.persistence() == Persistence::Transient => return Err(refusal),
            Ok(Err(refusal)) => self.unserved.push(format!("{word}: {}", refusal.cause)),
            Err(text) => self.unserved.push(format!("{word}: {text:?} is no address")),
        }
        Ok(())
    }

    /// The channel of an option, where there is one that entries may name, and the account on whose behalf. A channel with a
    /// name of the operator's may be one tenant's way out, with its login: it is open to entries where the operator says so.
    fn channel_of(&self, option: &DeliveryOption) -> Option<(ChannelName, AccountName)> {
        match self.guide.rules.tags().target(option.as_str()) {
            Some(Target::Channel(channel)) if self.is_open(channel) => {
                Some((channel.clone(), account(self.found)?))
            }
            _ => None,
        }
    }

    fn is_open(&self, channel: &ChannelName) -> bool {
        let name = channel.as_str();
        OPEN_TO_ENTRIES.contains(&name)
            || self.guide.view.options.ways_out.contains(&name.to_ascii_lowercase())
    }

    /// Options that mean something registered: one copy for each name.
    fn named<R: Recorder>(
        &mut self,
        option: &DeliveryOption,
        names: &[String],
        attribute: &str,
        recorder: &mut R,
    ) {
        match self.channel_of(option) {
            Some(_) if names.is_empty() => {
                self.unserved.push(format!("{} without {attribute}", option.as_str()))
            }
            Some((channel, account)) => {
                for name in names {
                    let next_hop = NextHop::Named { account: account.clone(), name: name.clone() };
                    self.next.push(Next::route(self.address.clone(), channel.as_str(), next_hop));
                }
            }
            None => self.by_channel(option, recorder),
        }
    }

    fn mailbox(&mut self) -> Result<(), Refusal> {
        let next = mailbox(self.guide, self.found, self.address.clone())?;
        if !self.next.contains(&next) {
            self.next.push(next);
        }
        Ok(())
    }

    /// Options that need a channel of their own name, such as `program`.
    fn by_channel<R: Recorder>(&mut self, option: &DeliveryOption, recorder: &mut R) {
        if let Some((channel, account)) = self.channel_of(option) {
            let next_hop = NextHop::Account(account);
            self.next.push(Next::route(self.address.clone(), channel.as_str(), next_hop));
            return;
        }
        let dn = &*self.found.row.dn;
        recorder.note(|| {
            let word = option.as_str();
            let text = match self.guide.rules.tags().target(word) {
                Some(Target::Channel(channel)) => {
                    format!("{word} is no option: entries may not name that channel (channels.{channel}.for-entries)")
                }
                _ => format!("no channel carries out {word}"),
            };
            Step::new(StepKind::Delivery, text).at(dn)
        });
        self.unserved.push(option.as_str().to_owned());
    }

    /// An address that a user's mail is sent on to. Groups are no users: their members are whom the mail is for.
    fn forwarded(&self, to: Address) -> Next {
        match self.found.primary().filter(|_| self.found.row.kind == RowKind::User) {
            Some(by) => Next::Forward { to, by },
            None => Next::Address(to),
        }
    }

    fn forward<R: Recorder>(&mut self, recorder: &mut R) -> Result<(), Refusal> {
        let dn = &*self.found.row.dn;
        for text in &self.detail.forwarding {
            let Ok(target) = Address::parse(text) else { continue };
            if is_self(self.found, &target) && self.found.row.kind == RowKind::User {
                // "Forward to myself and to others" means: keep a copy.
                recorder
                    .note(|| Step::new(StepKind::Delivery, format!("{target} is itself: mailbox")).at(dn));
                self.mailbox()?;
            } else {
                recorder.detail(|| Step::new(StepKind::Delivery, format!("forward to {target}")).at(dn));
                self.next.push(self.forwarded(target));
            }
        }
        if self.detail.forwarding.is_empty() {
            self.unserved.push("forward without mailForwardingAddress".to_owned());
        }
        Ok(())
    }

    fn members<R: Recorder>(&mut self, recorder: &mut R) -> Result<(), Refusal> {
        let dn = &*self.found.row.dn;
        let count = self.detail.members.len() + self.detail.member_addresses.len();
        recorder.note(|| Step::new(StepKind::Group, format!("{count} members")).at(dn));
        for url in &self.detail.searches {
            Search::parse(url)
                .map_err(|why| refusals::unreadable_members(self.found.address, &why.to_string(), dn))?;
        }
        if is_list(self.guide, self.detail) {
            let Some(account) = self.found.primary().and_then(|primary| AccountName::new(&primary.to_key()))
            else {
                return Err(refusals::empty_group(self.found.address, dn));
            };
            let next_hop = NextHop::Account(account);
            self.next.push(Next::route(self.address.clone(), ChannelName::LIST, next_hop));
            return Ok(());
        }
        for name in &self.detail.members {
            match member(self.guide.view, name)? {
                Some(address) => self.next.push(Next::Address(address)),
                None => recorder.note(|| {
                    Step::new(StepKind::Group, format!("member {name} has no address; left out")).at(dn)
                }),
            }
        }
        let addresses = self.detail.member_addresses.iter().filter_map(|text| Address::parse(text).ok());
        self.next.extend(addresses.map(Next::Address));
        Ok(())
    }

    fn finish(self) -> Result<Vec<Next>, Refusal> {
        let Self { found, next, unserved, .. } = self;
        if !next.is_empty() {
            return Ok(next);
        }
        if !unserved.is_empty() {
            return Err(refusals::not_served(found.address, &unserved.join(", "), &found.row.dn));
        }
        if found.row.kind == RowKind::Group {
            return Err(refusals::empty_group(found.address, &found.row.dn));
        }
        Err(refusals::not_served(found.address, "none", &found.row.dn))
    }
}

/// The next hop of a channel that works on behalf of an account; some work on nobody's.
fn by_account(channel: &ChannelName, account: AccountName) -> NextHop {
    let nobody = [ChannelName::HOLD, ChannelName::BITBUCKET, ChannelName::REPROCESS];
    if nobody.contains(&channel.as_str()) { NextHop::Nobody } else { NextHop::Account(account) }
}

/// The address of a member named by its entry. Where the tables have no row of it, the source is asked: the entry may have come
/// a second ago, or be under way to another name.
pub(crate) fn member(view: &View<'_>, name: &str) -> Result<Option<Address>, Refusal> {
    let Ok(dn) = Dn::parse(name) else { return Ok(None) };
    let key = view.reader.key_of(&dn).map_err(|e| refusals::unavailable(&e))?;
    if key.is_none() {
        if view.reader.is_entry_waiting(&dn).map_err(|e| refusals::unavailable(&e))? {
            return Err(refusals::member_not_built(name));
        }
        view.miss_entry(dn);
    }
    Ok(key.and_then(|key| address_of_key(&key)))
}
