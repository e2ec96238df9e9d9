//! What peers' words, and our own findings, mean for recipients.

use mail_types::{EnhancedStatus, Persistence, Reply};
use queue::{Outcome, Reach};

/// The outcomes of one attempt as they become known: one place for each recipient.
#[derive(Debug)]
pub(crate) struct Verdicts(Vec<Option<Outcome>>);

impl Verdicts {
    pub(crate) fn new(recipients: usize) -> Self {
        Self(vec![None; recipients])
    }

    /// The recipients without an outcome yet.
    pub(crate) fn pending(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|index| self.0[*index].is_none()).collect()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// Gives a recipient its outcome; the first one stands.
    pub(crate) fn settle(&mut self, index: usize, outcome: Outcome) {
        if let Some(place) = self.0.get_mut(index)
            && place.is_none()
        {
            *place = Some(outcome);
        }
    }

    /// Gives all that have none yet the same outcome.
    pub(crate) fn settle_rest(&mut self, outcome: &Outcome) {
        for place in &mut self.0 {
            place.get_or_insert_with(|| outcome.clone());
        }
    }

    /// All outcomes; what nobody settled is deferred.
    pub(crate) fn into_outcomes(self) -> Vec<Outcome> {
        let forgotten = || deferred((3, 0), "Not tried", "no outcome was reached", Reach::Recipient);
        self.0.into_iter().map(|outcome| outcome.unwrap_or_else(forgotten)).collect()
    }
}

/// Try again later, in our words: 451 and a status of 4.subject.detail. No peer has said that: where one is
/// meant, the text or the cause names it.
pub(crate) fn deferred(status: (u16, u16), text: &str, cause: impl Into<String>, reach: Reach) -> Outcome {
    let reply = Reply::new(451, EnhancedStatus::transient(status.0, status.1), text);
    Outcome::Deferred { reply, remote: None, cause: cause.into(), reach }
}

/// Never, in our words: a 5xx code and a status of 5.subject.detail.
pub(crate) fn failed(code: u16, status: (u16, u16), text: &str, cause: impl Into<String>) -> Outcome {
    let reply = Reply::new(code, EnhancedStatus::permanent(status.0, status.1), text);
    Outcome::Failed { reply, remote: None, cause: cause.into() }
}

/// What a peer's refusing reply to a certain command means. A reply that is no refusal where one was
/// due is a fault of the peer, and passing.
pub(crate) fn refused(reply: Reply, remote: &str, command: &str, reach: Reach) -> Outcome {
    let cause = format!("reply to {command}");
    let spoken = Some(remote.to_owned());
    match reply.persistence() {
        Persistence::Permanent => Outcome::Failed { reply, remote: spoken, cause },
        Persistence::Transient => Outcome::Deferred { reply, remote: spoken, cause, reach },
        Persistence::Success => {
            let text = format!("{remote} answered {command} with {reply}");
            deferred((5, 0), &text, cause, reach)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_outcome_stands_and_the_rest_is_deferred() {
        let mut verdicts = Verdicts::new(3);
        verdicts.settle(1, failed(550, (1, 1), "no", "one"));
        verdicts.settle(1, failed(550, (1, 2), "other", "two"));
        verdicts.settle(9, failed(550, (1, 2), "outside", "three"));
        assert_eq!(verdicts.pending(), [0, 2]);
        assert!(!verdicts.is_complete());
        let outcomes = verdicts.into_outcomes();
        assert!(matches!(&outcomes[1], Outcome::Failed { cause, .. } if cause == "one"));
        assert!(matches!(&outcomes[2], Outcome::Deferred { .. }));
    }

    #[test]
    fn replies_keep_their_class() {
        let of = |code| refused(Reply::plain(code, "text"), "mx", "RCPT", Reach::Recipient);
        assert!(matches!(of(550), Outcome::Failed { .. }));
        assert!(matches!(of(452), Outcome::Deferred { .. }));
        assert!(matches!(of(354), Outcome::Deferred { .. }));
    }
}
