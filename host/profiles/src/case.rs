//! One recipient on its way through its plugins: what they said, and what becomes of its mail.

use hooks::{Action, Failed, OnFailure, PluginName};
use mail_types::{AccountName, Address, Domain, EnhancedStatus, Persistence, Refusal, Reply, Route};
use queue::{Accepted, Step, StepKind};
use routing::UserChain;

use crate::hearing::listed;
use crate::joined::{End, Joined};

/// Longest step of a trail, in octets: each copy has them all.
const STEP_MAX: usize = 1024;

/// One recipient on its way through its plugins.
pub(crate) struct Case {
    pub(crate) accepted: Accepted,
    pub(crate) chain: Vec<PluginName>,
    pub(crate) tenant: Option<Domain>,
    pub(crate) joined: Joined,
    pub(crate) steps: Vec<Step>,
    /// Whether it waits here where it is put off: a plugin of somebody else has sent the copy here, or others would be put off
    /// with it.
    pub(crate) waits: bool,
}

impl Case {
    pub(crate) fn new(accepted: Accepted, chain: UserChain, waits: bool) -> Self {
        let UserChain { plugins: chain, tenant } = chain;
        Self { accepted, chain, tenant, joined: Joined::default(), steps: Vec::new(), waits }
    }

    /// A copy for somebody who was asked, and sends every one on to these.
    pub(crate) fn went(accepted: Accepted, to: Vec<Address>) -> Self {
        let joined = Joined::went_on(to);
        Self { joined, ..Self::new(accepted, UserChain::default(), true) }
    }

    /// Whose mail has ended.
    pub(crate) fn ended(&self) -> Option<&AccountName> {
        self.joined.end.as_ref().and(self.accepted.route.local_account())
    }

    /// Whose mail has not.
    pub(crate) fn going_on(&self) -> Option<&AccountName> {
        self.accepted.route.local_account().filter(|_| self.joined.end.is_none())
    }

    /// To whom the message goes, if it goes on to others and stays nowhere.
    pub(crate) fn went_on(&self) -> Option<Vec<Address>> {
        self.joined.goes_on().then(|| self.joined.forwards.clone())
    }

    /// The plugin that is asked at a position, unless an end was said, or the rest is left out.
    pub(crate) fn next(&self, position: usize) -> Option<&PluginName> {
        if self.joined.end.is_some() { None } else { self.chain.get(position) }
    }

    pub(crate) fn note(&mut self, mut text: String) {
        if text.len() > STEP_MAX {
            let end = (0..=STEP_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        self.steps.push(Step { kind: StepKind::Plugin, text, origin: None });
    }

    pub(crate) fn goes(&self, route: Route) -> Accepted {
        let mut accepted = Accepted { route, ..self.accepted.clone() };
        accepted.steps.extend(self.steps.iter().cloned());
        accepted
    }

    /// Whether it is refused for now.
    pub(crate) fn is_put_off(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.reply.persistence() == Persistence::Transient)
    }

    /// Why it is refused, if it is.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match &self.joined.end {
            Some(End::Reject(refusal)) => Some(refusal),
            _ => None,
        }
    }

    /// A plugin answered.
    pub(crate) fn hear(&mut self, plugin: &PluginName, mut actions: Vec<Action>, microseconds: u64) {
        self.note(format!("plugin {plugin}: {} ({microseconds} µs)", listed(&actions, "nothing")));
        if routing::is_released_of_plugin(&self.accepted.recipient.released, plugin.as_str()) {
            let all = actions.len();
            actions.retain(|action| !matches!(action, Action::Hold(_)));
            if actions.len() < all {
                self.note(format!("plugin {plugin}: hold: {}", routing::RELEASED));
            }
        }
        self.joined.take(actions);
        if let Some(End::Reject(refusal)) = &mut self.joined.end {
            refusal.cause = format!("plugin {plugin} refuses it");
        }
    }

    /// A plugin failed: its `on-failure` says what becomes of the mail.
    pub(crate) fn fail(&mut self, failed: &Failed) {
        self.note(format!("{failed}; on-failure {}", failed.on_failure));
        let refused = |reply| Some(End::Reject(Refusal::new(reply, failed.to_string())));
        match failed.on_failure {
            OnFailure::Tempfail => {
                let text = "A policy of the recipient does not answer, try again later";
                self.joined.end = refused(Reply::new(451, EnhancedStatus::transient(3, 0), text));
            }
            OnFailure::Reject => {
                let text = "A policy of the recipient does not answer";
                self.joined.end = refused(Reply::new(550, EnhancedStatus::permanent(3, 0), text));
            }
            // As if neither it nor those after it were bound. What others have said before stands: an operator's mark or folder
            // must not go with the failure of a user's own plugin.
            OnFailure::Keep => self.chain.clear(),
            OnFailure::Skip => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use hooks::{CallContext, Content, DispositionRequest, Plugins, Role, Sitting, Told};
    use mail_types::{Recipient, ReversePath};
    use storage::LoadedContent;

    use super::*;
    use crate::forwarded::tests::{Says, USERS, profiles, user};
    use crate::profiles::{About, COPIES_OCTETS_MAX, Replies};

    const TEXT: usize = 64 << 10;
    /// Answers of one plugin, as many as may be.
    const ANSWERS: usize = 32;

    fn answers(_: &DispositionRequest) -> Vec<Action> {
        let text = "ä".repeat(TEXT / 2);
        vec![Action::AutoReply { subject: String::new(), text, once_in_hours: 0 }; ANSWERS]
    }

    /// The operator's plugin files all mail; the user's own says more than may be, and fails by that.
    struct Floods;

    impl Plugins for Floods {
        fn bound(&self, role: Role, _: &Domain) -> Vec<PluginName> {
            let names: &[&str] = if self.any_bound(role) { &["files", "floods"] } else { &[] };
            names.iter().map(|name| name.parse().unwrap()).collect()
        }

        fn any_bound(&self, role: Role) -> bool {
            role == Role::Disposition
        }

        fn on_failure(&self, _: &PluginName, _: Role) -> OnFailure {
            OnFailure::Keep
        }

        fn dispose<'a>(
            &'a self,
            plugin: &'a PluginName,
            _: &'a CallContext,
            recipient: DispositionRequest,
            _: Content,
            _: &'a mut Sitting,
        ) -> hooks::BoxFuture<'a, Told<Vec<Action>>> {
            let actions = match plugin.as_str() {
                "files" => vec![Action::Keep { mailbox: "Junk".to_owned(), labels: Vec::new() }],
                _ => answers(&recipient),
            };
            Box::pin(async move { Told::at_once(Ok(actions)) })
        }
    }

    /// A message to each user, twice.
    async fn disposed(plugins: Arc<dyn Plugins>) -> Vec<Accepted> {
        let dir = tempfile::tempdir().unwrap();
        let profiles = profiles(&dir, plugins).await;
        let to = |number| {
            let account = AccountName::new(&user(number).to_key()).unwrap();
            Accepted::new(Recipient::new(user(number)), Route::store(account))
        };
        let about = About {
            id: "1",
            channel: "smtp",
            again: false,
            authenticated: None,
            reverse_path: &ReversePath::Null,
            replies: Replies::Each,
        };
        let content = || Ok(LoadedContent::Memory(Bytes::from_static(b"Subject: x\r\n\r\n")));
        let recipients = (0..2 * USERS).map(|number| to(number % USERS)).collect();
        profiles.dispose(about, recipients, content).await.unwrap()
    }

    #[tokio::test]
    async fn what_plugins_say_of_one_message_is_not_multiplied_by_its_copies() {
        let out = disposed(Arc::new(Says(answers))).await;
        assert_eq!(out.len(), 2 * USERS);
        let longest = out.iter().flat_map(|one| &one.steps).map(|step| step.text.len()).max().unwrap();
        assert!((STEP_MAX / 2..=STEP_MAX + '…'.len_utf8()).contains(&longest), "{longest}");
        // Who comes when so much was said is put off, and what was said for it is dropped.
        let fit = COPIES_OCTETS_MAX / (ANSWERS * TEXT);
        let codes: Vec<_> = out.iter().map(|one| one.refused.as_ref().map(|reply| reply.code)).collect();
        assert!(codes[..fit].iter().all(Option::is_none) && fit < out.len(), "{codes:?}");
        assert!(codes[fit..].iter().all(|code| *code == Some(451)), "{codes:?}");
    }

    #[tokio::test]
    async fn who_says_too_much_takes_nothing_back_that_others_said() {
        let out = disposed(Arc::new(Floods)).await;
        assert_eq!(out.len(), 2 * USERS);
        for one in out {
            assert!(one.route.to_string().contains("Junk"), "{}", one.route);
        }
    }
}
