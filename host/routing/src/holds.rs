//! Holds that an operator has let a recipient past: it goes as it would without them, and everything else still counts.
//!
//! A hold is known by the words that its last step has in the trail, for they stand with the parked recipient:
//!
//! | what parks | its words |
//! |---|---|
//! | a rule | its text, ` -> ` and what it made of the address |
//! | a plugin, as `rewrite` or `disposition` | `plugin NAME: ` and what it said |
//! | a status, a delivery option | the whole step |
//!
//! So a rule that was moved within its file is the same, one with another pattern or template is not.

/// What the trail says of a hold that is passed.
pub const RELEASED: &str = "released from this by an operator";

/// Whether somebody was let past what begins with this name and mark.
#[must_use]
pub(crate) fn is_released(released: &[String], name: &str, mark: &str) -> bool {
    released.iter().any(|ground| ground.strip_prefix(name).is_some_and(|rest| rest.starts_with(mark)))
}

/// Whether somebody was let past a plugin.
#[must_use]
pub fn is_released_of_plugin(released: &[String], plugin: &str) -> bool {
    is_released(released, &format!("plugin {plugin}"), ": ")
}

/// What an option that parks says beside others, which have had their copies by then.
pub(crate) const BESIDE: &str = ", beside ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_known_by_its_name_as_a_whole() {
        let released = [
            "a.test $U%$H@hold -> x@a.test, channel hold".to_owned(),
            "plugin p: hold b (3 \u{b5}s)".to_owned(),
        ];
        assert!(is_released(&released, "a.test $U%$H@hold", " -> "));
        assert!(!is_released(&released, "a.test $U%$H", " -> "));
        assert!(is_released_of_plugin(&released, "p"));
        for other in ["pq", "", "p: hold"] {
            assert!(!is_released_of_plugin(&released, other), "{other}");
        }
    }
}
