//! Reports about any message, with any remote answer: well-formed lines, nothing smuggled out of a field.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail_types::{Address, EnhancedStatus, QueueId, Reply, RetentionOfContent, Timestamp};
use message::{Action, Dsn, DsnRecipient};

fuzz_target!(|data: (bool, bool, String, String, &[u8])| {
    let (full, smtputf8, answer, cause, original) = data;
    let address = |text| Address::parse(text).expect("an address");
    let (from, to) = (address("postmaster@example.org"), address("sender@example.net"));
    let recipients = [DsnRecipient {
        named: address("one@example.com"),
        last: address("two@example.com"),
        orcpt: None,
        action: Action::Failed,
        status: EnhancedStatus::permanent(1, 1),
        remote_mta: Some(answer.clone()),
        diagnostic: Some(Reply::plain(550, answer.clone())),
        last_attempt: Some(Timestamp(0)),
        will_retry_until: None,
        cause: Some(cause),
    }];
    let dsn = Dsn {
        id: QueueId::from_u64(1),
        random: 7,
        reporting_mta: "mail.example.org",
        from: &from,
        to: &to,
        date: Timestamp(0),
        arrival: Timestamp(0),
        envid: Some(&answer),
        recipients: &recipients,
        ret: full.then_some(RetentionOfContent::Full),
        original,
        original_len: original.len() as u64,
        smtputf8,
    };
    let composed = dsn.compose();
    for (at, octet) in composed.octets.iter().enumerate() {
        match octet {
            b'\n' => assert!(at > 0 && composed.octets[at - 1] == b'\r', "a lone LF at {at}"),
            b'\r' => assert_eq!(composed.octets.get(at + 1), Some(&b'\n'), "a lone CR at {at}"),
            _ => {}
        }
    }
});
