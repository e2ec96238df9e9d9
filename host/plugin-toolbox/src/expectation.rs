//! What a call gave, in the words of the tables, held against what was expected.

use hooks::FailureKind;
use plugin_engine::TrialAnswer;

use crate::words;

/// What a call gave: a line for each verdict, action or row; or one line that says how it failed.
pub(crate) fn given(asked: &TrialAnswer, raw: bool) -> Vec<String> {
    let lines = match (&asked.answer, raw) {
        (Ok(answer), true) => Ok(words::of(answer)),
        _ => asked.checked.clone(),
    };
    lines.unwrap_or_else(|(kind, why)| {
        vec![match kind {
            FailureKind::Temporary | FailureKind::Permanent => format!("failure {kind} {why}"),
            FailureKind::Answer => format!("invalid {why}"),
            FailureKind::Trap => format!("trap {why}"),
            kind => format!("trap {kind}: {why}"),
        }]
    })
}

/// Whether it is what was expected. `*` at the end stands for anything, `trap` for every way to be stopped.
pub(crate) fn holds(expected: &[String], given: &[String]) -> bool {
    expected.len() == given.len() && expected.iter().zip(given).all(|(expected, given)| fits(expected, given))
}

fn fits(expected: &str, given: &str) -> bool {
    match expected.strip_suffix('*') {
        Some(beginning) => given.starts_with(beginning),
        None => expected == given || (expected == "trap" && given.starts_with("trap ")),
    }
}

/// What a host says for a plugin that is not interested.
pub(crate) fn is_nothing(expected: &[String]) -> bool {
    match expected {
        [] => true,
        [one] => ["no-match", "unchanged", "no-opinion"].contains(&one.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_traps() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (expected, given, wanted) in [
            (&["refuse 550 *"][..], &["refuse 550 5.1.1 no"][..], true),
            (&["refuse 550 *"], &["refuse 551 5.1.1 no"], false),
            (&["trap"], &["trap memory: it wanted more"], true),
            (&["trap memory*"], &["trap memory: it wanted more"], true),
            (&["trap"], &["invalid short"], false),
            (&["keep a", "keep b"], &["keep a"], false),
            (&[], &[], true),
            (&[], &["keep a"], false),
            (&["*"], &["keep a"], true),
        ] {
            assert_eq!(holds(&list(expected), &list(given)), wanted, "{expected:?} {given:?}");
        }
    }
}
