//! Rows that plugins look up, kept as they were read.
//!
//! Reading a row decodes a whole entry. Mail for one user asks for the same one again and again, and a row holds until
//! the tables change.

use std::sync::Arc;

use hooks::Attributes;
use mail_types::{Domain, Lookup};
use moka::sync::Cache;

/// Most octets of rows that are kept.
const OCTETS_MAX: u64 = 16 << 20;
/// What a row counts for beside its text, in octets; and each of its values.
const OVERHEAD: usize = 64;

/// Who asks, the table, the key, as one text: of a domain and of a table no part is empty or has a line end.
fn question((tenant, table, key): (Option<&Domain>, &str, &str)) -> String {
    [tenant.map_or("", Domain::as_str), table, key].join("\n")
}

/// A row, or that there is none, and the generation in which that was read.
#[derive(Clone)]
struct Kept {
    generation: u64,
    row: Option<Arc<Attributes>>,
}

/// The rows read last.
pub(super) struct RowCache(Cache<String, Kept>);

impl Default for RowCache {
    fn default() -> Self {
        let weigher = |question: &String, kept: &Kept| {
            let of_row = |row: &Arc<Attributes>| row.iter().map(|(n, v)| n.len() + v.len() + OVERHEAD).sum();
            let octets = OVERHEAD + question.len() + kept.row.as_ref().map_or(0, of_row);
            u32::try_from(octets).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(OCTETS_MAX).weigher(weigher).build())
    }
}

impl RowCache {
    /// The row as kept in this generation, else as `read` gives it. What is unavailable is not kept.
    pub(super) fn get(
        &self,
        generation: u64,
        asked: (Option<&Domain>, &str, &str),
        read: impl FnOnce() -> Lookup<Attributes>,
    ) -> Lookup<Arc<Attributes>> {
        let question = question(asked);
        if let Some(kept) = self.0.get(&question).filter(|kept| kept.generation == generation) {
            return kept.row.into();
        }
        let row = match read() {
            Lookup::Found(row) => Some(Arc::new(row)),
            Lookup::NotFound => None,
            Lookup::Unavailable(why) => return Lookup::Unavailable(why),
        };
        self.0.insert(question, Kept { generation, row: row.clone() });
        row.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str) -> Lookup<Attributes> {
        Lookup::Found(vec![("mail".to_owned(), value.to_owned())])
    }

    fn shared(value: &str) -> Lookup<Arc<Attributes>> {
        row(value).map(Arc::new)
    }

    #[test]
    fn a_row_is_read_once_in_a_generation_and_an_outage_is_not_kept() {
        let cache = RowCache::default();
        let one = (None, "users", "a@example.org");
        assert_eq!(cache.get(1, one, || row("first")), shared("first"));
        assert_eq!(cache.get(1, one, || row("second")), shared("first"));
        assert_eq!(cache.get(2, one, || row("second")), shared("second"));
        assert_eq!(
            cache.get(3, one, || Lookup::Unavailable("away".into())),
            Lookup::Unavailable("away".into())
        );
        assert_eq!(cache.get(3, one, || Lookup::NotFound), Lookup::NotFound);
        assert_eq!(cache.get(3, one, || row("third")), Lookup::NotFound);
    }

    #[test]
    fn tenants_do_not_see_rows_of_each_other() {
        let cache = RowCache::default();
        let (one, other) = (Domain::parse("one.example").unwrap(), Domain::parse("other.example").unwrap());
        assert_eq!(cache.get(1, (Some(&one), "users", "a@one.example"), || row("own")), shared("own"));
        let hidden = cache.get(1, (Some(&other), "users", "a@one.example"), || Lookup::NotFound);
        assert_eq!(hidden, Lookup::NotFound);
    }
}
