//! What tests of damage share: the check, the repair, and what it kept.

use std::sync::Mutex;

use super::Fixture;
use crate::*;

/// Evidence that was kept: names and octets.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<(String, Vec<u8>)>>);

impl Evidence for Kept {
    fn keep(&self, name: &str, octets: &[u8]) -> Result<String, String> {
        self.0.lock().unwrap().push((name.to_owned(), octets.to_vec()));
        Ok(format!("kept/{name}"))
    }
}

impl Kept {
    pub(super) fn all(&self) -> Vec<(String, Vec<u8>)> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.all().into_iter().map(|(name, _)| name).collect()
    }
}

/// What the check finds, sorted.
pub(super) fn violations(fixture: &Fixture) -> Vec<String> {
    let found = fixture.store.check(|_, _| Ok(()), &mut |_| {}).unwrap();
    let mut texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}

pub(super) async fn repair(fixture: &Fixture, evidence: Option<&dyn Evidence>) -> Vec<Remedy> {
    fixture.store.repair(None, evidence, &|_, _| Ok(())).await.unwrap()
}
