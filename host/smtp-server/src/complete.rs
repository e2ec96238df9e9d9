//! The end of content: from here on the message is ours, or it is the client's still.

use events::Stage;
use mail_types::{Address, EnhancedStatus, Persistence, Refusal, Reply};
use profiles::Replies;
use queue::{Accepted, Submission};

use crate::answer::Answer;
use crate::intake::Intake;
use crate::options::Kind;
use crate::session::Session;
use crate::trace;
use crate::transaction::Transaction;

/// Ends the transaction. LMTP hears as many replies as RCPT commands were accepted (RFC 2033 §4.2).
pub(crate) async fn complete(session: &mut Session, mut intake: Intake) -> Answer {
    session.look_at_header(&mut intake, true).await;
    let Some(transaction) = session.transaction.take() else {
        return Answer::Line("503 5.5.1 Send MAIL first");
    };
    let accepted = transaction.accepted;
    let path = transaction.reverse_path().clone();
    let mut apart = Vec::new();
    let reply = match keep(session, *transaction, intake, &mut apart).await {
        Ok(reply) => {
            session.counts.commands_without_mail = 0;
            reply
        }
        Err(refusal) => {
            session.refused(Stage::Content, Some(&path), None, &refusal);
            refusal.reply
        }
    };
    for (recipient, reply) in apart.iter().flatten() {
        let refusal = Refusal::new(reply.clone(), "a disposition plugin of the recipient");
        session.refused(Stage::Content, Some(&path), Some(&recipient.to_string()), &refusal);
    }
    match session.options.kind {
        Kind::Lmtp => {
            let own =
                |command: usize| apart.get(command).and_then(Option::as_ref).map(|(_, reply)| reply.clone());
            Answer::Each((0..accepted).map(|command| own(command).unwrap_or_else(|| reply.clone())).collect())
        }
        Kind::Smtp | Kind::Submission => Answer::Reply(reply),
    }
}

/// What a RCPT command hears of its recipient in place of the reply for the message: whom it named, and why it is
/// refused.
type Apart = Option<(Address, Reply)>;

/// Hands the message to the queue: its receipt is the only way to a 250 (promise 1).
async fn keep(
    session: &Session,
    mut open: Transaction,
    intake: Intake,
    apart: &mut Vec<Apart>,
) -> Result<Reply, Refusal> {
    let id = intake.id();
    let (content, facts) = intake.finish().await?;
    let lmtp = session.options.kind == Kind::Lmtp;
    let about = profiles::About {
        id: &id.to_string(),
        channel: session.options.kind.source(),
        again: false,
        authenticated: session.client.account.as_ref(),
        reverse_path: &open.mail.path,
        replies: if lmtp { Replies::Each } else { Replies::One },
    };
    let recipients = std::mem::take(&mut open.recipients);
    let mut recipients = session.server.profiles.dispose(about, recipients, || content.loaded()).await?;
    if lmtp {
        *apart = told_apart(&mut recipients, open.accepted);
        if recipients.is_empty() {
            return Ok(Reply::new(250, EnhancedStatus::success(0, 0), "Nobody is left to take it"));
        }
    }
    for (one, reply) in recipients.iter().filter_map(|one| Some((one, one.refused.as_ref()?))) {
        let refusal = Refusal::new(reply.clone(), "a policy of the recipient; its sender gets a report");
        let recipient = one.recipient.address.to_string();
        session.refused(Stage::Content, Some(&open.mail.path), Some(&recipient), &refusal);
    }
    let mut prefix = trace::received(session, &open, id);
    prefix.extend_from_slice(&facts.added);
    let submission = Submission {
        id,
        source: trace::source(session, &open),
        recipients,
        reverse_path: open.mail.path,
        transport: open.mail.transport,
        prefix,
        content,
        message_id: facts.message_id,
        decided: open.began,
        session: Some(session.open.number()),
    };
    match session.server.queue.submit(submission).await {
        Ok(receipt) => {
            Ok(Reply::new(250, EnhancedStatus::success(0, 0), format!("Accepted as {}", receipt.id())))
        }
        Err(error) => Err(Refusal::new(error.reply(), error.to_string())),
    }
}

/// Takes out those whose client hears of it: all recipients of a command that leads to nobody, or to one who has to be
/// tried again later. They are not kept, and no report is sent. Others that are refused stand for a list together with
/// some who are not, and are told of by a report.
fn told_apart(recipients: &mut Vec<Accepted>, commands: usize) -> Vec<Apart> {
    let mut apart: Vec<Apart> = vec![None; commands];
    let mut taken = vec![false; commands];
    for one in recipients.iter() {
        let Some(refused) = &one.refused else {
            taken[one.command] = true;
            continue;
        };
        let place = &mut apart[one.command];
        let passing = |reply: &Reply| reply.persistence() == Persistence::Transient;
        if place.is_none() || passing(refused) {
            *place = Some((one.recipient.original.clone(), refused.clone()));
        }
    }
    for (place, taken) in apart.iter_mut().zip(taken) {
        if taken {
            place.take_if(|(_, reply)| reply.persistence() == Persistence::Permanent);
        }
    }
    recipients.retain(|one| apart[one.command].is_none());
    apart
}
