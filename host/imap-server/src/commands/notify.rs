//! NOTIFY (RFC 5465): what was asked for, and the telling of what happens, between commands and while idling.

use std::collections::BTreeSet;
use std::sync::Arc;

use imap_wire::{
    By, Code, Condition, FetchModifiers, Listed, MailboxName, MetadataEntries, MetadataResponse,
    NotifyCommand, NotifyEvent, Response, SequenceSet, StatusItem, Tag,
};
use store::{
    AccountId, Annotated, Feed, Granted, Happened, MailboxId, MailboxInfo, MessageEvents, Rights, Store,
    StoreError, shared_name,
};
use tokio::time::Instant;

use super::{Context, fetch, list, refusal, status};
use crate::answer::Answer;
use crate::io::{End, Io};
use crate::notify::{Groups, Interest, Notify, Refused};
use crate::pattern::{DELIMITER, parents};
use crate::selected::{Expunges, Selected, Wishes};
use crate::session::{Session, State};

/// Most accounts of others that one session listens to.
const ACCOUNTS_MAX: usize = 1_000;
/// Most mailboxes whose numbers are told at first.
const STATUS_MAX: usize = 1_000;

impl Session {
    /// What is told of the selected mailbox.
    pub(crate) fn wishes(&self) -> Wishes {
        self.notify.as_ref().map_or(Wishes::ALL, |notify| notify.wishes)
    }

    /// RFC 5465 §3.1: replaces what was asked for before, or leaves it where this is refused.
    pub(crate) async fn notify(&mut self, tag: &Tag, command: NotifyCommand) -> Result<Answer, End> {
        let NotifyCommand::Set { status, groups } = command else {
            self.install(Notify::none(tag));
            return Ok(Answer::ok("NOTIFY done"));
        };
        let (groups, wishes) = match Groups::new(groups) {
            Ok(groups) => groups,
            Err(Refused::Bad(why)) => return Ok(Answer::bad(why)),
            Err(Refused::UnknownEvent) => {
                return Ok(Answer::no("no such event").code(Code::BadEvent(NotifyEvent::known())));
            }
        };
        let (State::Authenticated(login) | State::Selected(login, _)) = &self.state else {
            return Ok(Answer::bad("log in first"));
        };
        let account = login.account;
        let (feed, store) = self.shared.parts.store.feed(account);
        let items = groups.items.as_slice().into();
        let mut notify = Notify { wishes, groups, feed: Some(feed), items, ..Notify::none(tag) };
        // It listens before the numbers are read: nothing falls between.
        match refresh(&mut notify, &store, account) {
            Ok(true) => {}
            Ok(false) => return Ok(Answer::no("too many accounts").code(Code::NotificationOverflow)),
            Err(error) => return Ok(refusal(&error)),
        }
        if let State::Selected(_, selected) = &mut self.state {
            // An implicit NOOP, by what counted until now.
            selected.tell(&store, &mut self.io, Expunges::Told).await?;
        }
        if let Err(answer) = self.tell_first(&notify, status).await? {
            return Ok(answer);
        }
        // What the session does from here on is not told to it.
        self.shared = Arc::new(self.shared.over(store));
        self.install(notify);
        Ok(Answer::ok("NOTIFY done"))
    }

    /// RFC 5464 §4.1: annotations that others change are told from now on. Whoever uses NOTIFY says there what is.
    pub(super) fn enable_annotations(&mut self, tag: &Tag) {
        let (State::Authenticated(login) | State::Selected(login, _), None) = (&self.state, &self.notify)
        else {
            return;
        };
        let (feed, store) = self.shared.parts.store.feed(login.account);
        let (groups, feed) = (Groups::annotations(), Some(feed));
        let mut notify = Notify { wishes: Wishes::ALL, groups, at_once: false, feed, ..Notify::none(tag) };
        if let Ok(true) = refresh(&mut notify, &store, login.account) {
            self.shared = Arc::new(self.shared.over(store));
            self.install(notify);
        }
    }

    /// Looks anew where to listen, after something that the session itself has done (RFC 5465 §6.4).
    pub(crate) fn listen_anew(&mut self) {
        let (State::Authenticated(login) | State::Selected(login, _)) = &self.state else { return };
        if let Some(notify) = self.notify.as_deref_mut().filter(|notify| notify.feed.is_some()) {
            // Where it fails, what was known before stays.
            let _ = refresh(notify, &self.shared.parts.store, login.account);
        }
    }

    fn install(&mut self, notify: Notify) {
        if let State::Selected(_, selected) = &mut self.state {
            selected.wish(notify.wishes);
        }
        self.notify = Some(Box::new(notify));
    }

    /// The numbers of all mailboxes whose messages are of interest, and what cannot be told (RFC 5465 §3.1).
    async fn tell_first(&mut self, notify: &Notify, status: bool) -> Result<Result<(), Answer>, End> {
        let selected = self.selected_mailbox();
        let limits = &self.limits(true);
        let (State::Authenticated(login) | State::Selected(login, _)) = &self.state else {
            return Ok(Ok(()));
        };
        let (options, shared) = (&*self.options, &*self.shared);
        let mut context = Context { io: &mut self.io, shared, login, tag: &notify.tag, limits, options };
        let all = match of_interest(notify, &shared.parts.store, login.account) {
            Ok(all) => all,
            Err(error) => return Ok(Err(refusal(&error))),
        };
        let of_messages: Vec<_> = all.iter().filter(|(_, _, interest, _)| interest.messages).collect();
        if status && of_messages.len() > STATUS_MAX {
            let text = format!("more than {STATUS_MAX} mailboxes");
            return Ok(Err(Answer::no(text).code(Code::NotificationOverflow)));
        }
        for (name, _, _, _) in all.iter().filter(|(_, _, _, rights)| !rights.contains(Rights::READ)) {
            tell_no_access(context.io, name);
            context.io.flush_if_full().await?;
        }
        for (name, id, interest, rights) in of_messages {
            if status && Some(*id) != selected && rights.contains(Rights::READ) {
                let all = MessageEvents { new: true, expunged: true, flags: true };
                tell_status(&mut context, name, *interest, all, true);
                context.io.flush_if_full().await?;
            }
        }
        Ok(Ok(()))
    }

    fn selected_mailbox(&self) -> Option<MailboxId> {
        match &self.state {
            State::Selected(_, selected) => Some(selected.mailbox),
            _ => None,
        }
    }

    /// Tells what happens as it happens, until the client says something.
    pub(crate) async fn tell_until_asked(&mut self) -> Result<(), End> {
        let until = Instant::now() + self.options.inactivity_max;
        while self.io.stream.buffered().is_empty() {
            let expunges = if self.wishes().delayed { Expunges::Kept } else { Expunges::Told };
            self.push(expunges).await?;
            self.io.flush().await?;
            self.wake(until).await?;
        }
        Ok(())
    }

    /// Tells what has happened.
    pub(crate) async fn push(&mut self, expunges: Expunges) -> Result<(), End> {
        if let State::Selected(_, selected) = &mut self.state {
            selected.tell(&self.shared.parts.store, &mut self.io, expunges).await?;
        }
        self.update_results().await?;
        if self.notify.is_some() {
            self.fetch_fresh().await?;
            self.tell_feed().await?;
        }
        Ok(())
    }

    /// Fetches new messages of the selected mailbox, as was asked for (RFC 5465 §5.2).
    pub(crate) async fn fetch_fresh(&mut self) -> Result<(), End> {
        let limits = &self.limits(true);
        let (State::Selected(login, selected), Some(notify)) = (&mut self.state, &self.notify) else {
            return Ok(());
        };
        let Some(set) = SequenceSet::from_rising(selected.take_fresh()) else { return Ok(()) };
        let (options, shared) = (&*self.options, &*self.shared);
        let mut context = Context { io: &mut self.io, shared, login, tag: &notify.tag, limits, options };
        let modifiers = FetchModifiers::default();
        let request = fetch::Request { by: By::Uid, set: &set, items: &notify.items, modifiers };
        // Those that went again meanwhile are told as expunged.
        fetch::fetch(&mut context, selected, request).await.map(drop)
    }

    pub(crate) async fn tell_feed(&mut self) -> Result<(), End> {
        let selected = self.selected_mailbox();
        let limits = &self.limits(true);
        let (State::Authenticated(login) | State::Selected(login, _)) = &self.state else { return Ok(()) };
        let Some(notify) = self.notify.as_deref_mut() else { return Ok(()) };
        let Some(happenings) = notify.feed.as_ref().map(Feed::take) else { return Ok(()) };
        let (options, shared, tag) = (&*self.options, &*self.shared, notify.tag.clone());
        let mut context = Context { io: &mut self.io, shared, login, tag: &tag, limits, options };
        let mut overflowed = happenings.overflowed;
        if !overflowed && !happenings.others.is_empty() {
            overflowed = !tell_others(&mut context, notify, &happenings.others).await?;
        }
        if overflowed {
            // RFC 5465 §5.8: as if NOTIFY NONE had been said.
            let code = Some(Code::NotificationOverflow);
            self.io.status(None, Condition::Ok, code, "more happened than can be told");
            let at_once = notify.at_once;
            let wishes = if at_once { Wishes::NONE } else { Wishes::ALL };
            self.install(Notify { wishes, at_once, ..Notify::none(&tag) });
            return Ok(());
        }
        for (mailbox, events) in happenings.messages {
            let Ok(name) = shared.parts.store.called(mailbox) else { continue };
            let interest = notify.groups.interest_in(&name, mailbox.account == login.account);
            if Some(mailbox) != selected {
                tell_status(&mut context, &name, interest, events, false);
                context.io.flush_if_full().await?;
            }
        }
        Ok(())
    }
}

/// Waits until something has happened that is to be told.
pub(crate) async fn noticed(notify: Option<&Notify>, selected: Option<&mut Selected>) {
    let is_wished = notify.is_none_or(|notify| notify.wishes.messages);
    let changed = async {
        match selected.filter(|_| is_wished) {
            Some(selected) => selected.changed().await,
            None => std::future::pending().await,
        }
    };
    match notify.and_then(|notify| notify.feed.as_ref()) {
        Some(feed) => {
            Box::pin(async {
                tokio::select! {
                    () = changed => {}
                    () = feed.arrived() => {}
                }
            })
            .await
        }
        None => changed.await,
    }
}

/// Looks anew what the person subscribes to and may use, and listens there. `false`: those are too many accounts.
fn refresh(notify: &mut Notify, store: &Store, account: AccountId) -> Result<bool, StoreError> {
    if notify.groups.follow_subscriptions() {
        notify.groups.subscriptions = store.subscriptions(account)?.into_iter().collect();
    }
    let (mut accounts, mut foreign) = (BTreeSet::new(), BTreeSet::new());
    for Granted { owner, info, .. } in store.granted()? {
        let name = shared_name(&owner, &info.name);
        if notify.groups.interest_in(&name, false).is_any() {
            accounts.insert(info.id.account);
        }
        foreign.insert(name);
    }
    for name in notify.groups.named() {
        accounts.extend(store.place(account, name).ok().map(|place| place.account));
    }
    if accounts.len() > ACCOUNTS_MAX {
        return Ok(false);
    }
    notify.foreign = foreign;
    if let Some(feed) = &mut notify.feed {
        feed.listen_to(accounts);
    }
    Ok(true)
}

type OfInterest = (String, MailboxId, Interest, Rights);

/// The mailboxes that hold messages and are of interest, with what the person may do there.
fn of_interest(notify: &Notify, store: &Store, account: AccountId) -> Result<Vec<OfInterest>, StoreError> {
    let own =
        store.mailboxes(account)?.into_iter().map(|info| (info.name.to_string(), info, Rights::ALL, true));
    let granted = store
        .granted()?
        .into_iter()
        .map(|Granted { owner, info, rights }| (shared_name(&owner, &info.name), info, rights, false));
    let of_interest = |(name, info, rights, is_own): (String, MailboxInfo, Rights, bool)| {
        let interest = notify.groups.interest_in(&name, is_own);
        (info.selectable && interest.is_any()).then_some((name, info.id, interest, rights))
    };
    Ok(own.chain(granted).filter_map(of_interest).collect())
}

/// RFC 5465 §5.1 to §5.3: a mailbox that is not selected is told by its numbers.
fn tell_status(
    context: &mut Context<'_>,
    name: &str,
    interest: Interest,
    events: MessageEvents,
    first: bool,
) {
    let of_messages = interest.messages && (events.new || events.expunged);
    let of_flags = interest.flags && events.flags;
    if !of_messages && !of_flags {
        return;
    }
    let mut items = Vec::new();
    if of_messages {
        items.extend([StatusItem::Messages, StatusItem::UidNext]);
    }
    items.push(StatusItem::UidValidity);
    if of_flags && !context.io.dialect.modseq {
        items.push(StatusItem::Unseen);
    }
    // §3.1 asks for it at first of every server that has CONDSTORE, §5 where the client has enabled that.
    if context.io.dialect.modseq || (of_flags && first) {
        items.push(StatusItem::HighestModSeq);
    }
    // What is gone meanwhile, or may not be read, has none.
    let _ = status::status(context, &MailboxName::new(name), &items);
}

/// RFC 5465 §3.1.
fn tell_no_access(io: &mut Io, name: &str) {
    let name = name.to_owned();
    io.say(&Response::List(Listed {
        attributes: vec!["\\NoAccess"],
        delimiter: DELIMITER,
        name,
        old_name: None,
    }));
}

/// Tells names, subscriptions, rights and annotations. `false`: there is too much to listen to.
async fn tell_others(
    context: &mut Context<'_>,
    notify: &mut Notify,
    others: &[Happened],
) -> Result<bool, End> {
    let (store, account) = (&context.shared.parts.store, context.login.account);
    let known_before = std::mem::take(&mut notify.foreign);
    let nodes = match (refresh(notify, store, account), list::names(context)) {
        (Ok(true), Ok(nodes)) => nodes,
        // Storage rests, or there is too much: what happened cannot be told.
        _ => return Ok(false),
    };
    let mut told = BTreeSet::new();
    for happened in others {
        let (names, old_name, is_subscription, more): (Vec<String>, _, _, &[&'static str]) = match happened {
            Happened::Named { account, name } => {
                let Ok(name) = store.called_in(*account, name) else { continue };
                // The name right above is affected, too (RFC 5465 §5.4).
                let above = parents(&name).last().map(str::to_owned);
                (above.into_iter().chain([name]).collect(), None, false, &[])
            }
            Happened::Renamed { account, from, to } => {
                let names = (store.called_in(*account, from), store.called_in(*account, to));
                let (Ok(from), Ok(to)) = names else { continue };
                (vec![to], Some(from), false, &[])
            }
            Happened::Subscribed { name, .. } => (vec![name.clone()], None, true, &[]),
            Happened::Rights { mailbox, name: Some(name), .. } => {
                let Ok(name) = store.called_in(mailbox.account, name) else { continue };
                let more: &[&'static str] = if list::is_known(&nodes, &name) { &[] } else { &["\\NoAccess"] };
                (vec![name], None, false, more)
            }
            Happened::Rights { .. } => continue,
            Happened::Annotated { mailbox, names, .. } => {
                tell_annotated(context, notify, *mailbox, names);
                continue;
            }
        };
        for name in names {
            let is_own = is_own(&name, happened, account);
            let mut interest = notify.groups.interest_in(&name, is_own);
            if let Some(old_name) = &old_name {
                interest.names |= notify.groups.interest_in(old_name, is_own).names;
            }
            let is_rights = matches!(happened, Happened::Rights { .. });
            let is_wished = match is_subscription {
                true => interest.subscriptions,
                false => interest.names || (is_rights && interest.is_any()),
            };
            let may_know = |name: &str| list::is_known(&nodes, name) || known_before.contains(name);
            let may_be_told = is_own || may_know(&name);
            if is_wished && may_be_told && told.insert((name.clone(), old_name.clone())) {
                let old_name = old_name.as_deref().filter(|old_name| is_own || may_know(old_name));
                list::tell_name(context.io, &nodes, &name, old_name, more);
                context.io.flush_if_full().await?;
            }
        }
    }
    Ok(true)
}

/// Whether what happened is about the person's own mailboxes, or subscriptions.
fn is_own(name: &str, happened: &Happened, person: AccountId) -> bool {
    match happened {
        Happened::Named { account, .. } | Happened::Renamed { account, .. } => *account == person,
        Happened::Subscribed { .. } => {
            ![store::USER_PREFIX, store::SHARED_PREFIX].iter().any(|p| name.starts_with(p))
        }
        Happened::Annotated { .. } | Happened::Rights { .. } => false,
    }
}

fn tell_annotated(context: &mut Context<'_>, notify: &Notify, mailbox: Option<MailboxId>, names: &[String]) {
    let name = match mailbox {
        None if notify.groups.server_metadata => String::new(),
        None => return,
        Some(mailbox) => {
            let store = &context.shared.parts.store;
            let Ok(name) = store.called(mailbox) else { return };
            let is_own = mailbox.account == context.login.account;
            let may_read = store.annotations(Annotated::Mailbox(mailbox)).is_ok();
            if !may_read || !notify.groups.interest_in(&name, is_own).metadata {
                return;
            }
            name
        }
    };
    let entries = MetadataEntries::Changed(names.to_vec());
    context.io.say(&Response::Metadata(MetadataResponse { mailbox: name, entries }));
}
