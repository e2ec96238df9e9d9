//! Submit, lease, attempt, outcome, retry, DSN, hold.
