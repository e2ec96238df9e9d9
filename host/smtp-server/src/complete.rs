//! The end of content: from here on the message is ours, or it is the client's still.

use events::Stage;
use mail_types::{EnhancedStatus, Refusal, Reply};
use queue::Submission;

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
    let reply = match keep(session, *transaction, intake).await {
        Ok(reply) => {
            session.counts.commands_without_mail = 0;
            reply
        }
        Err(refusal) => {
            session.refused(Stage::Content, Some(&path), None, &refusal);
            refusal.reply
        }
    };
    match session.options.kind {
        Kind::Lmtp => Answer::Each(reply, accepted),
        Kind::Smtp | Kind::Submission => Answer::Reply(reply),
    }
}

/// Hands the message to the queue: its receipt is the only way to a 250 (promise 1).
async fn keep(session: &Session, mut open: Transaction, intake: Intake) -> Result<Reply, Refusal> {
    let id = intake.id();
    let (content, facts) = intake.finish().await?;
    let about = profiles::About {
        id: &id.to_string(),
        channel: session.options.kind.source(),
        authenticated: session.client.account.as_ref(),
        reverse_path: &open.mail.path,
    };
    let recipients = std::mem::take(&mut open.recipients);
    let recipients = session.server.profiles.dispose(about, recipients, || content.loaded()).await?;
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
    };
    match session.server.queue.submit(submission).await {
        Ok(receipt) => {
            Ok(Reply::new(250, EnhancedStatus::success(0, 0), format!("Accepted as {}", receipt.id())))
        }
        Err(error) => Err(Refusal::new(error.reply(), error.to_string())),
    }
}
