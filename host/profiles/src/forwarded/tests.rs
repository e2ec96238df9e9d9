//! Mail that the plugins of one user after the other send on.

use std::sync::Arc;

use bytes::Bytes;
use hooks::{Action, CallContext, Content, DispositionRequest, PluginName, Plugins, Role, Sitting, Told};
use mail_types::{Domain, Recipient, ReversePath};
use queue::Accepted;
use routing::{ChannelTags, RuleOptions, Rules};
use routing::{Routing, Tables};
use storage::{LoadedContent, Storage};

use super::*;
use crate::profiles::Replies;

/// More users than one decision asks.
pub(crate) const USERS: usize = ROUNDS_MAX + 4;

/// A plugin for all mail, which says so.
pub(crate) struct Says(pub(crate) fn(&DispositionRequest) -> Vec<Action>);

impl Plugins for Says {
    fn bound(&self, role: Role, _: &Domain) -> Vec<PluginName> {
        if self.any_bound(role) { vec!["says".parse().unwrap()] } else { Vec::new() }
    }

    fn any_bound(&self, role: Role) -> bool {
        role == Role::Disposition
    }

    fn dispose<'a>(
        &'a self,
        _: &'a PluginName,
        _: &'a CallContext,
        recipient: DispositionRequest,
        _: Content,
        _: &'a mut Sitting,
    ) -> hooks::BoxFuture<'a, Told<Vec<Action>>> {
        let actions = self.0(&recipient);
        Box::pin(async move { Told::at_once(Ok(actions)) })
    }
}

/// Sends the mail of each user on to the next; the last one keeps it.
fn onward(recipient: &DispositionRequest) -> Vec<Action> {
    let number: usize = recipient.address.local.as_str()[1..].parse().unwrap();
    let next = (number + 1 < USERS).then(|| Action::Forward(user(number + 1)));
    next.into_iter().collect()
}

pub(crate) fn user(number: usize) -> Address {
    Address::parse(&format!("u{number}@here.test")).unwrap()
}

/// Users of one domain, bound to plugins.
pub(crate) async fn profiles(dir: &tempfile::TempDir, plugins: Arc<dyn Plugins>) -> Profiles {
    let options = storage::Options { synced: false, ..storage::Options::default() };
    let tables = Tables::new(Storage::open(dir.path(), routing::SPACES, &options).unwrap());
    let mut ldif = "dn: o=here.test,o=isp\nobjectClass: mailDomain\no: here.test\n".to_owned();
    for number in 0..USERS {
        ldif += &format!(
            "\ndn: uid=u{number},o=here.test,o=isp\nobjectClass: inetMailUser\nmail: {}\nmailAlternateAddress: other-u{number}@here.test\n",
            user(number)
        );
    }
    let schema = directory::Schema::product();
    let mut rebuild = tables.rebuild().await.unwrap();
    for record in directory::LdifReader::new(ldif.as_bytes()) {
        let entry = directory::Typed::read(record.unwrap().entry, &schema);
        rebuild.add(&entry, &schema).await.unwrap();
    }
    rebuild.finish(1).await.unwrap();
    let tags = ChannelTags::builtin();
    let rules =
        Rules::parse("$* $E$F$U%$H$V$H@local\n. $U%$H@smtp\n", "rules", &RuleOptions::new(&tags)).unwrap();
    let domain = |name| Domain::parse(name).unwrap();
    let options = routing::Options::new(&domain("mail.here.test"), domain("here.test"));
    let routing =
        Routing::new(tables, rules, options, runtime::Random::seeded(1)).with_plugins(Arc::clone(&plugins));
    Profiles::new(routing, plugins, Arc::new(hooks::NoWorld))
}

/// A message for a user, which others have forwarded.
fn accepted(number: usize, forwarders: usize) -> Accepted {
    let account = AccountName::new(&user(number).to_key()).unwrap();
    let forwarders = (0..forwarders).map(|n| Address::parse(&format!("f{n}@here.test")).unwrap()).collect();
    let recipient = Recipient { forwarders, ..Recipient::new(user(number)) };
    Accepted::new(recipient, Route::store(account))
}

/// What becomes of it: to whom, by which channel, and whether it is refused.
async fn disposed(profiles: &Profiles, channel: &str, one: Accepted) -> (String, String, Option<u16>) {
    let about = About {
        id: "1",
        channel,
        again: channel == ChannelName::REPROCESS,
        authenticated: None,
        reverse_path: &ReversePath::Null,
        replies: Replies::Each,
    };
    let content = || Ok(LoadedContent::Memory(Bytes::from_static(b"Subject: onward\r\n\r\n")));
    let mut out = profiles.dispose(about, vec![one], content).await.unwrap();
    let one = out.pop().unwrap();
    assert!(out.is_empty(), "{out:?}");
    let code = one.refused.map(|reply| reply.code);
    (one.recipient.address.to_string(), one.route.channel.to_string(), code)
}

#[tokio::test]
async fn one_decision_sends_a_message_on_so_often_and_what_goes_on_behind_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = profiles(&dir, Arc::new(Says(onward))).await;
    let last = |number: usize| user(number).to_string();
    // Near enough to the end: it comes there.
    let near = USERS - 1 - ROUNDS_MAX;
    let there = disposed(&profiles, "smtp", accepted(near, 0)).await;
    assert_eq!(there, (last(USERS - 1), ChannelName::STORE.to_owned(), None));
    let goes_on = disposed(&profiles, "smtp", accepted(near - 1, 0)).await;
    assert_eq!(goes_on, (last(USERS - 1), ChannelName::REPROCESS.to_owned(), None));
    let refused = disposed(&profiles, ChannelName::REPROCESS, accepted(near - 1, 0)).await;
    assert_eq!((refused.0, refused.2), (last(USERS - 1), Some(554)));
}

#[tokio::test]
async fn what_so_many_have_forwarded_is_sent_on_no_more_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = profiles(&dir, Arc::new(Says(onward))).await;
    let most = Recipient::FORWARDERS_MAX;
    for (forwarders, to) in [(most - 1, user(USERS - 1)), (most, user(USERS - 2))] {
        let came = disposed(&profiles, "smtp", accepted(USERS - 2, forwarders)).await;
        assert_eq!(came, (to.to_string(), ChannelName::STORE.to_owned(), None), "{forwarders}");
    }
}
