use std::sync::Arc;

use bytes::Bytes;
use hooks::{Action, DispositionRequest};
use mail_types::{ChannelName, Recipient, ReversePath, Route};
use storage::LoadedContent;

use super::*;
use crate::forwarded::tests::{Says, profiles, user};
use crate::profiles::{About, Replies};

/// Discards what comes by the other address.
fn discards(recipient: &DispositionRequest) -> Vec<Action> {
    let ends = recipient.address.local.as_str().starts_with("other-");
    if ends { vec![Action::Discard("by the other address".to_owned())] } else { Vec::new() }
}

/// A copy of one account, by an address of its own.
fn by(local: &str) -> Accepted {
    let account = AccountName::new(&user(0).to_key()).unwrap();
    let address = Address::parse(&format!("{local}@here.test")).unwrap();
    Accepted::new(Recipient::new(address), Route::store(account))
}

/// A copy that the account's user forwards elsewhere.
fn forwarded() -> Accepted {
    let address = Address::parse("far@there.test").unwrap();
    let next_hop = NextHop::Domain(address.domain.clone());
    let recipient = Recipient { forwarders: vec![user(0)], ..Recipient::new(address) };
    Accepted::new(recipient, Route::new(ChannelName::SMTP, next_hop))
}

#[tokio::test]
async fn mail_that_ends_by_one_address_goes_on_where_the_user_keeps_it_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = profiles(&dir, Arc::new(Says(discards))).await;
    for (addresses, goes_on) in [
        (&["u0"][..], true),
        (&["other-u0"], false),
        (&["other-u0", "u0"], true),
        (&["u0", "other-u0"], true),
    ] {
        let about = About {
            id: "1",
            channel: "smtp",
            again: false,
            authenticated: None,
            reverse_path: &ReversePath::Null,
            replies: Replies::Each,
        };
        let copies = addresses.iter().map(|local| by(local)).chain([forwarded()]).collect();
        let content = || Ok(LoadedContent::Memory(Bytes::from_static(b"Subject: x\r\n\r\n")));
        let out = profiles.dispose(about, copies, content).await.unwrap();
        let leaves = out.iter().any(|one| one.route.channel.as_str() == ChannelName::SMTP);
        assert_eq!(leaves, goes_on, "{addresses:?}");
    }
}
