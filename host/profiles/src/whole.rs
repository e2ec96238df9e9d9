//! One reply for all recipients of a message, where each has plugins of its own (RFC 5321 §4.1.1.4).

use mail_types::Refusal;
use queue::Accepted;

use crate::case::Case;
use crate::profiles::Profiles;

impl Profiles {
    /// The refusal of a message that gets one reply. What is refused for every recipient is refused. What has to be tried again
    /// later for one recipient has for all of its tenant; where there are others, they have their mail, and it waits here: a
    /// tenant's broken or hostile plugin costs nobody else anything.
    pub(crate) fn refused_as_a_whole(&self, cases: &mut [Case], others: &[Accepted]) -> Result<(), Refusal> {
        let Some(put_off) = cases.iter().find(|case| case.is_put_off()) else {
            return match cases.first().and_then(Case::refusal) {
                Some(first) if others.is_empty() && cases.iter().all(|case| case.refusal().is_some()) => {
                    Err(first.clone())
                }
                _ => Ok(()),
            };
        };
        let whole = put_off.refusal().cloned();
        if !self.is_anybody_elses(cases, others) {
            return whole.map_or(Ok(()), Err);
        }
        cases.iter_mut().filter(|case| case.is_put_off()).for_each(|case| case.waits = true);
        Ok(())
    }

    /// Whether somebody gets it who is of another tenant than those for whom it is put off.
    fn is_anybody_elses(&self, cases: &[Case], others: &[Accepted]) -> bool {
        let is_harmed =
            |tenant: &Option<_>| cases.iter().any(|case| case.is_put_off() && case.tenant == *tenant);
        let gets = |case: &&Case| case.refusal().is_none();
        cases.iter().filter(gets).any(|case| !is_harmed(&case.tenant))
            || others.iter().filter(|one| one.refused.is_none()).any(|one| {
                // While the tables do not answer, nobody gets anything.
                self.canonical(Some(&one.recipient.address.domain)).is_ok_and(|tenant| !is_harmed(&tenant))
            })
    }
}
