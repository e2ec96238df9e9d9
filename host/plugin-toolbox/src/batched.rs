//! Cases that a server could ask in one call, asked in one: what one of them is told must not depend on its neighbours, nor on
//! its place.

use plugin_engine::{Question, TrialAnswer};
use runtime::Random;

use crate::cases::Case;
use crate::draft::Drafted;

/// Most cases of one call: what one call may cost is meant for a few.
const TOGETHER_MAX: usize = 20;

/// One call about several cases.
pub(crate) struct Together<'a> {
    /// The cases, in the order of the question, each with what it was told alone.
    pub(crate) cases: Vec<(&'a Case, &'a [String])>,
    /// The question.
    pub(crate) drafted: Drafted,
}

/// Joins what may be asked together: of one role, for one tenant, in one message; of those that were answered at all, for a
/// failure is one of the whole call.
pub(crate) fn together<'a>(cases: &'a [Case], answers: &'a [Told], random: &Random) -> Vec<Together<'a>> {
    let mut order: Vec<usize> = (0..cases.len()).filter(|at| answers[*at].is_answer).collect();
    random.shuffle(&mut order);
    let mut all: Vec<Together<'a>> = Vec::new();
    for at in order {
        let drafted = cases[at].draft.question(cases[at].role);
        let case = (&cases[at], answers[at].lines.as_slice());
        let open = all.iter_mut().filter(|one| one.cases.len() < TOGETHER_MAX);
        if !open.into_iter().any(|one| one.takes(&drafted, case)) {
            all.push(Together { cases: vec![case], drafted });
        }
    }
    all.retain(|one| one.cases.len() > 1);
    all
}

/// What a case was told alone.
pub(crate) struct Told {
    /// A line for each verdict, action or row.
    pub(crate) lines: Vec<String>,
    /// Whether it is an answer, and no failure.
    pub(crate) is_answer: bool,
}

impl Told {
    pub(crate) fn new(asked: &TrialAnswer, lines: Vec<String>) -> Self {
        Self { lines, is_answer: asked.checked.is_ok() }
    }
}

impl<'a> Together<'a> {
    /// Takes a case in, if its question may stand beside those that are there.
    fn takes(&mut self, other: &Drafted, case: (&'a Case, &'a [String])) -> bool {
        if self.drafted.tenant != other.tenant {
            return false;
        }
        let fits = match (&mut self.drafted.question, &other.question) {
            (Question::Rewrite(about, batch), Question::Rewrite(of, one)) if about == of => {
                batch.extend(one.iter().cloned());
                true
            }
            (Question::Reverse(about, batch), Question::Reverse(of, one)) if about == of => {
                batch.extend(one.iter().cloned());
                true
            }
            (Question::RouteTable(domain, entries), Question::RouteTable(of, one)) if domain == of => {
                entries.extend(one.iter().cloned());
                true
            }
            // The other roles are asked about one thing a call.
            _ => false,
        };
        if fits {
            self.cases.push(case);
        }
        fits
    }

    /// What all of them were told alone.
    pub(crate) fn expected(&self) -> Vec<String> {
        self.cases.iter().flat_map(|(_, lines)| lines.iter().cloned()).collect()
    }

    /// The first case that was told something else.
    pub(crate) fn first_other(&self, got: &[String]) -> Option<&'a Case> {
        let mut rest = got;
        for (case, lines) in &self.cases {
            match rest.split_at_checked(lines.len()) {
                Some((same, after)) if same == *lines => rest = after,
                _ => return Some(case),
            }
        }
        (!rest.is_empty()).then(|| self.cases.last().map(|(case, _)| *case)).flatten()
    }
}
