//! What plugins say, as the client hears it.

use super::*;
use hooks::{
    Action, CallContext, Content, DispositionRequest, Failed, FailureKind, OnFailure, PluginName, Position,
    ReverseRequest, ReverseVerdict, Role, Sitting, Told,
};
use mail_types::{Address, EnhancedStatus, Reply};

/// Bound to everything here: refuses mail for user1, has no answer for user4, and shows `first.last` as `anna`.
struct Says;

fn refused() -> Reply {
    Reply::new(550, EnhancedStatus::permanent(7, 1), "user1 wants nothing")
}

impl Plugins for Says {
    fn bound(&self, role: Role, _: &Domain) -> Vec<PluginName> {
        if self.any_bound(role) { vec!["says".parse().unwrap()] } else { Vec::new() }
    }

    fn any_bound(&self, role: Role) -> bool {
        matches!(role, Role::Disposition | Role::Reverse)
    }

    fn dispose<'a>(
        &'a self,
        plugin: &'a PluginName,
        _: &'a CallContext,
        recipient: DispositionRequest,
        _: Content,
        _: &'a mut Sitting,
    ) -> hooks::BoxFuture<'a, Told<Vec<Action>>> {
        let is = |name| recipient.account.as_str().starts_with(name);
        let failed = Failed {
            plugin: plugin.clone(),
            kind: FailureKind::Trap,
            message: "it fell over".to_owned(),
            on_failure: OnFailure::Tempfail,
        };
        let answer = match () {
            () if is("user4") => Err(failed),
            () if is("user1") => Ok(vec![Action::Reject(refused())]),
            () => Ok(Vec::new()),
        };
        Box::pin(async move { Told::at_once(answer) })
    }

    fn reverse<'a>(
        &'a self,
        _: &'a PluginName,
        context: &'a CallContext,
        batch: &'a [ReverseRequest],
        _: &'a mut Sitting,
    ) -> hooks::BoxFuture<'a, Told<Vec<ReverseVerdict>>> {
        let own = context.tenant.as_ref().is_some_and(|tenant| tenant.as_str() == "example.org");
        let of = move |one: &ReverseRequest| match one.address.local.as_str() {
            "user1" if own && one.position == Position::Header && !one.forwarded => {
                ReverseVerdict::Changed(Address::parse("una.berg@example.org").unwrap())
            }
            _ => ReverseVerdict::Unchanged,
        };
        Box::pin(async move { Told::at_once(Ok(batch.iter().map(of).collect())) })
    }
}

async fn lmtp(recipients: &[&str]) -> (House, Client) {
    let house = house_with(Kind::Lmtp, Arc::new(Says), |_| ()).await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: LHLO queue.example").await;
    client.reply().await;
    client.play("C: MAIL FROM:<a@b.example>\nS: 250 *").await;
    for recipient in recipients {
        client.play(&format!("C: RCPT TO:<{recipient}@example.org>\nS: 250 *")).await;
    }
    client.play("C: DATA\nS: 354 *\nC: .").await;
    (house, client)
}

#[tokio::test]
async fn lmtp_hears_of_each_recipient_what_its_plugins_say() {
    // One call disposes of all recipients of a tenant: of user4 in a transaction of its own.
    let (house, mut client) = lmtp(&["user1", "user2", "user1"]).await;
    client
        .play("S: 550 5.7.1 user1 *\nS: 250 2.0.0 Accepted *\nS: 550 5.7.1 user1 *\nC: QUIT\nS: 221 *")
        .await;
    let copies = house.copies.lock().clone();
    assert_eq!(
        copies.len(),
        1,
        "no copy for user1, and no report of a refusal that the client heard: {copies:?}"
    );
    assert!(copies[0].0.starts_with("user2"));
}

#[tokio::test]
async fn lmtp_keeps_nothing_for_a_recipient_to_be_tried_again() {
    let (house, mut client) = lmtp(&["user4"]).await;
    client.play("S: 451 4.3.0 *\nC: QUIT\nS: 221 *").await;
    assert_eq!(house.copies.lock().len(), 0);
    assert_eq!(house.contents().len(), 0, "nothing is queued");
}

#[tokio::test]
async fn a_list_is_taken_where_one_member_is_refused() {
    let (house, mut client) = lmtp(&["user1", "team"]).await;
    client.play("S: 550 5.7.1 user1 *\nS: 250 2.0.0 Accepted *\nC: QUIT\nS: 221 *").await;
    assert!(house.copies.lock().iter().any(|(account, _)| account.starts_with("user2")));
}

#[tokio::test]
async fn smtp_hears_one_reply_for_all() {
    for (recipients, expected) in [
        (&["user1"][..], "S: 550 5.7.1 user1 *"),
        (&["user1", "user2"][..], "S: 250 2.0.0 Accepted *"),
        (&["user2", "user4"][..], "S: 451 4.3.0 *"),
    ] {
        let house = house_with(Kind::Smtp, Arc::new(Says), |_| ()).await;
        let mut client = house.play(HELLO).await;
        client.play("C: MAIL FROM:<a@b.example>\nS: 250 *").await;
        for recipient in recipients {
            client.play(&format!("C: RCPT TO:<{recipient}@example.org>\nS: 250 *")).await;
        }
        client.play(&format!("C: DATA\nS: 354 *\nC: .\n{expected}\nC: QUIT\nS: 221 *")).await;
        let kept = house.copies.lock().len();
        assert_eq!(kept, usize::from(expected.contains("250")), "{recipients:?}");
    }
}

#[tokio::test]
async fn senders_in_the_header_of_own_mail_are_shown_as_plugins_say() {
    let house = house_with(Kind::Submission, Arc::new(Says), |_| ()).await;
    let mut client = house.connect().await;
    let login = smtp_wire::encode_sasl(b"\0user1@example.org\0password");
    client.play("S: 220 *\nC: EHLO c.example").await;
    client.reply().await;
    client
        .play(&format!(
            "
            C: AUTH PLAIN {login}
            S: 235 *
            C: MAIL FROM:<user1@example.org>
            S: 250 *
            C: RCPT TO:<user2@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C= From: Una <user1@example.org>\\r\\nTo: user2@example.org, user1@example.org\\r\\n\\r\\nx\\r\\n.\\r\\n
            S: 250 *"
        ))
        .await;
    let content = house.contents().remove(0);
    assert!(content.contains("From: Una <una.berg@example.org>"), "{content}");
    assert!(content.contains("To: user2@example.org, user1@example.org"), "{content}");
}

/// Shows senders by a name that needs UTF-8.
struct Spells;

impl Plugins for Spells {
    fn bound(&self, role: Role, _: &Domain) -> Vec<PluginName> {
        if self.any_bound(role) { vec!["spells".parse().unwrap()] } else { Vec::new() }
    }

    fn any_bound(&self, role: Role) -> bool {
        role == Role::Reverse
    }

    fn reverse<'a>(
        &'a self,
        _: &'a PluginName,
        _: &'a CallContext,
        batch: &'a [ReverseRequest],
        _: &'a mut Sitting,
    ) -> hooks::BoxFuture<'a, Told<Vec<ReverseVerdict>>> {
        let changed = ReverseVerdict::Changed(Address::parse("\u{fc}na@example.org").unwrap());
        let verdicts = vec![changed; batch.len()];
        Box::pin(async move { Told::at_once(Ok(verdicts)) })
    }
}

#[tokio::test]
async fn an_address_that_needs_utf8_comes_into_no_message_without_smtputf8() {
    for (parameter, expected, kept) in
        [("", "From: Una <user1@example.org>", 1), (" SMTPUTF8", "From: Una <\u{fc}na@example.org>", 0)]
    {
        let house = house_with(Kind::Submission, Arc::new(Spells), |_| ()).await;
        let mut client = house.connect().await;
        let login = smtp_wire::encode_sasl(b"\0user1@example.org\0password");
        client.play("S: 220 *\nC: EHLO c.example").await;
        client.reply().await;
        client
            .play(&format!(
                "
                C: AUTH PLAIN {login}
                S: 235 *
                C: MAIL FROM:<user1@example.org>{parameter}
                S: 250 *
                C: RCPT TO:<user2@example.org>
                S: 250 *
                C: DATA
                S: 354 *
                C= From: Una <user1@example.org>\\r\\n\\r\\nx\\r\\n.\\r\\n
                S: 250 *"
            ))
            .await;
        let content = house.contents().remove(0);
        assert!(content.contains(expected), "{content}");
        assert_eq!(house.count("address_kept"), kept);
    }
}

/// Each sends everything on to the next, the third to the first; who was asked is noted.
struct SendsOn(Arc<Mutex<Vec<String>>>);

impl Plugins for SendsOn {
    fn bound(&self, role: Role, _: &Domain) -> Vec<PluginName> {
        if self.any_bound(role) { vec!["sends-on".parse().unwrap()] } else { Vec::new() }
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
        let next = match recipient.account.as_str() {
            "user1@example.org" => "user2@example.org",
            "user2@example.org" => "user4@example.org",
            _ => "user1@example.org",
        };
        self.0.lock().push(recipient.account.to_string());
        let actions = vec![Action::Forward(Address::parse(next).unwrap())];
        Box::pin(async move { Told::at_once(Ok(actions)) })
    }
}

#[tokio::test]
async fn what_is_sent_on_is_asked_about_once_with_each_and_a_circle_ends_in_the_mailbox() {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let house = house_with(Kind::Smtp, Arc::new(SendsOn(Arc::clone(&asked))), |_| ()).await;
    let mut client = house.play(HELLO).await;
    client.play("C: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<user1@example.org>\nS: 250 *").await;
    client.play("C: DATA\nS: 354 *\nC: .\nS: 250 *\nC: QUIT\nS: 221 *").await;
    assert_eq!(*asked.lock(), ["user1@example.org", "user2@example.org", "user4@example.org"]);
    let copies: Vec<String> = house.copies.lock().iter().map(|(account, _)| account.clone()).collect();
    assert_eq!(copies, ["user1@example.org"], "it has come round");
}

/// What each user's plugin answers: sent on to somebody, discarded, or kept.
struct Answers(&'static [(&'static str, &'static str)]);

impl Plugins for Answers {
    fn bound(&self, role: Role, _: &Domain) -> Vec<PluginName> {
        if self.any_bound(role) { vec!["answers".parse().unwrap()] } else { Vec::new() }
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
        let user = recipient.account.as_str().split('@').next().unwrap();
        let answer = self.0.iter().find(|(one, _)| *one == user).map_or("keep", |(_, answer)| *answer);
        let action = match answer {
            "keep" => Action::Keep { mailbox: String::new(), labels: Vec::new() },
            "discard" => Action::Discard(String::new()),
            to => Action::Forward(Address::parse(&format!("{to}@example.org")).unwrap()),
        };
        Box::pin(async move { Told::at_once(Ok(vec![action])) })
    }
}

#[tokio::test]
async fn what_a_users_plugins_said_holds_for_every_copy_and_nothing_is_lost_by_it() {
    for (answers, expected) in [
        (&[("user1", "user2"), ("user2", "discard")][..], &[][..]),
        (&[("user1", "user2"), ("user2", "keep")], &["user2"]),
        (&[("user1", "user2"), ("user2", "user4")], &["user4"]),
        // Both send on to the other.
        (&[("user1", "user2"), ("user2", "user1")], &["user1", "user2"]),
        (&[("user1", "user4"), ("user2", "user4"), ("user4", "discard")], &[]),
        (&[("user1", "user4"), ("user2", "user4")], &["user4"]),
    ] {
        let house = house_with(Kind::Smtp, Arc::new(Answers(answers)), |_| ()).await;
        let mut client = house.play(HELLO).await;
        client.play("C: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<user1@example.org>\nS: 250 *").await;
        client.play("C: RCPT TO:<user2@example.org>\nS: 250 *").await;
        client.play("C: DATA\nS: 354 *\nC: .\nS: 250 *\nC: QUIT\nS: 221 *").await;
        let mut copies: Vec<String> =
            house.copies.lock().iter().map(|(account, _)| account.clone()).collect();
        copies.sort();
        let expected: Vec<String> = expected.iter().map(|user| format!("{user}@example.org")).collect();
        assert_eq!(copies, expected, "{answers:?}");
    }
}
