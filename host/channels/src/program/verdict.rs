//! What the end of a program means for mail: the exit statuses of `sysexits.h`, as mail programs have used them since
//! sendmail, and what else may happen.

use mail_types::{EnhancedStatus, Reply};
use queue::{Duty, Outcome, Reach};
use runtime::{Ended, Run};

use crate::outcome::{deferred, failed};

/// What senders are told of a program's words, at most, in characters.
const WORDS_MAX: usize = 200;

/// What an exit status means.
enum Meaning {
    Delivered,
    /// Trying again may help: status x.subject.detail, and what it is called.
    Passing((u16, u16), &'static str),
    /// It never will.
    Lasting((u16, u16), &'static str),
}

/// Statuses that speak of this machine or of its configuration are passing, so that a mistake of the operator's loses
/// nothing; those that speak of the message or its addresses last. The table stands in docs/operator.md too.
fn meaning(status: i32) -> Meaning {
    use Meaning::{Lasting, Passing};
    match status {
        0 => Meaning::Delivered,
        64 => Passing((3, 5), "it was called wrongly"),
        65 => Lasting((6, 0), "it cannot use the message"),
        66 => Lasting((3, 0), "it lacks its input"),
        67 => Lasting((1, 1), "it does not know the recipient"),
        68 => Lasting((1, 2), "it does not know the host"),
        69 => Lasting((3, 0), "it is not available"),
        70 => Lasting((3, 0), "it has a fault"),
        71 => Passing((3, 0), "the system lacks something"),
        72 => Passing((3, 5), "a file of the system is missing"),
        73 => Passing((2, 0), "its output cannot be written"),
        74 => Passing((3, 0), "reading or writing failed"),
        75 => Passing((3, 0), "it asks to be tried again"),
        76 => Lasting((5, 0), "another side broke the protocol"),
        77 => Lasting((7, 0), "it does not allow this"),
        78 => Passing((3, 5), "it is configured wrongly"),
        126 | 127 => Passing((3, 5), "it, or what it calls, cannot be started"),
        _ => Lasting((3, 0), "it refuses"),
    }
}

/// The outcome for a recipient.
pub(super) fn of(name: &str, run: &Run) -> Outcome {
    let words = first_line(&run.output);
    let told = |what: &str| {
        let says = if words.is_empty() { String::new() } else { format!(": {words}") };
        format!("The program {name:?} does not take it: {what}{says}")
    };
    let cause = |ended: &str| {
        let seconds = run.elapsed.as_secs_f64();
        format!("program {name}: {ended} after {seconds:.2} s, {} octets said", said(run))
    };
    match run.ended {
        Ended::Exited(status) => {
            let cause = cause(&format!("exit status {status}"));
            match meaning(status) {
                Meaning::Delivered => {
                    let text = format!("Taken by the program {name:?}");
                    let reply = Reply::new(250, EnhancedStatus::success(0, 0), text);
                    Outcome::Delivered { reply, remote: None, duty: Duty::Delivered }
                }
                Meaning::Passing(status, what) => deferred(status, &told(what), cause, Reach::Recipient),
                Meaning::Lasting(status, what) => failed(550, status, &told(what), cause),
            }
        }
        Ended::Killed(signal) => {
            let cause = cause(&format!("ended by signal {signal}"));
            deferred((3, 0), &told("it was ended by a signal"), cause, Reach::Recipient)
        }
        Ended::TimedOut => {
            deferred((3, 0), &told("it took too long"), cause("out of time"), Reach::Recipient)
        }
    }
}

fn said(run: &Run) -> u64 {
    run.output.len() as u64 + run.dropped
}

/// The first line with anything on it, as others may see it: on one line, no longer than [`WORDS_MAX`], in ASCII as the
/// text of a reply is (RFC 5321 §4.2).
pub(super) fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    line.chars().take(WORDS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn of_status(ended: Ended, output: &str) -> Outcome {
        let run = Run { ended, output: output.into(), dropped: 0, elapsed: Duration::from_millis(10) };
        of("filter", &run)
    }

    #[test]
    fn exit_statuses_mean_what_sysexits_says() {
        for (status, reply) in [
            (64, "451 4.3.5"),
            (65, "550 5.6.0"),
            (67, "550 5.1.1"),
            (68, "550 5.1.2"),
            (69, "550 5.3.0"),
            (71, "451 4.3.0"),
            (73, "451 4.2.0"),
            (75, "451 4.3.0"),
            (76, "550 5.5.0"),
            (77, "550 5.7.0"),
            (78, "451 4.3.5"),
            (127, "451 4.3.5"),
            (1, "550 5.3.0"),
            (255, "550 5.3.0"),
        ] {
            let outcome = of_status(Ended::Exited(status), "");
            let said = match &outcome {
                Outcome::Failed { reply, .. } | Outcome::Deferred { reply, .. } => reply.to_string(),
                other => panic!("{other:?}"),
            };
            assert!(said.starts_with(reply), "{status}: {said}");
            assert_eq!(matches!(outcome, Outcome::Failed { .. }), reply.starts_with('5'), "{status}");
        }
        assert!(matches!(of_status(Ended::Exited(0), "much"), Outcome::Delivered { .. }));
        assert!(matches!(of_status(Ended::Killed(9), ""), Outcome::Deferred { .. }));
        assert!(matches!(of_status(Ended::TimedOut, ""), Outcome::Deferred { .. }));
    }

    #[test]
    fn one_plain_line_is_told() {
        let Outcome::Failed { reply, .. } =
            of_status(Ended::Exited(67), "\n\r\n no\u{1b}[2J \u{e4} \r\n250 ok\n")
        else {
            panic!()
        };
        let told = "The program \"filter\" does not take it: it does not know the recipient: no?[2J ?";
        assert_eq!(reply.lines, [told]);
        assert_eq!(first_line("x".repeat(999).as_bytes()).len(), WORDS_MAX);
        assert_eq!(first_line(b"\xff\n"), "?");
    }
}
