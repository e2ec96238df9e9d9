//! Passwords that a source verifies.

use super::*;

/// A source that has one password, or does not answer.
#[derive(Default)]
struct Source(parking_lot::Mutex<Option<String>>);

impl crate::Verifier for Source {
    fn ask(&self, _entry: &directory::Dn) -> crate::AskVerifier {
        crate::AskVerifier::WhereNothingIsStored
    }

    fn fits<'a>(&'a self, _entry: &'a directory::Dn, password: &'a str) -> crate::BoxFuture<'a, Lookup<()>> {
        let answer = match &*self.0.lock() {
            Some(right) if right == password => Lookup::Found(()),
            Some(_) => Lookup::NotFound,
            None => Lookup::Unavailable("it is down".to_owned()),
        };
        Box::pin(std::future::ready(answer))
    }

    fn look_up<'a>(&'a self, _address: &'a mail_types::Address) -> crate::BoxFuture<'a, Lookup<()>> {
        Box::pin(std::future::ready(Lookup::NotFound))
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_source_verified_is_asked_about_again_and_counts_while_it_does_not_answer() {
    let bench = bench().await;
    let source = Arc::new(Source::default());
    let verifier: Arc<dyn crate::Verifier> = source.clone();
    let bench = Bench { auth: bench.auth.clone().with_verifier(verifier), ..bench };
    let says = |password: Option<&str>| *source.0.lock() = password.map(str::to_owned);
    says(Some("first"));
    assert!(check(&bench, "none@example.org", "first").await.is_ok());
    says(None);
    tokio::time::advance(ASKED_AGAIN_AFTER).await;
    assert!(check(&bench, "none@example.org", "first").await.is_ok(), "it cannot be asked");
    assert!(matches!(check(&bench, "none@example.org", "other").await, Err(AuthError::Unavailable(_))));
    says(Some("second"));
    assert_eq!(check(&bench, "none@example.org", "first").await, Err(AuthError::Credentials));
    assert!(check(&bench, "none@example.org", "second").await.is_ok());
    says(None);
    assert!(
        matches!(check(&bench, "none@example.org", "first").await, Err(AuthError::Unavailable(_))),
        "what is right no more is not remembered"
    );
    assert!(check(&bench, "none@example.org", "second").await.is_ok());
}
