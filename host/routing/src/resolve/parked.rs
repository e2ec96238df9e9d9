//! What parks mail for an entry: its status, its domain's, an option. What an operator has let past one of these
//! goes as it would without it ([`crate::holds`]), and is parked by the others all the same.

use directory::{DeliveryOption, Status};
use mail_types::ChannelName;

use super::disposition::Templates;
use super::way::Guide;
use crate::delivery_options::Action;
use crate::holds::{BESIDE, RELEASED};
use crate::recorder::{Recorder, Step, StepKind};
use crate::tables::row::{AliasRow, RowKind};

/// Notes the status of an entry, the stricter of its own and its domain's, and says whether that parks its mail.
pub(super) fn by_status<R: Recorder>(
    guide: &Guide<'_>,
    row: &AliasRow<'_>,
    of_domain: Status,
    recorder: &mut R,
) -> bool {
    let words = |status: Status, of: &str| format!("{} is {status}{of}", row.kind.word());
    let step = |text: String| Step::new(StepKind::Status, text).at(&*row.dn);
    let of_its_domain = ", as its domain is";
    let status = row.status.max(of_domain);
    if status != Status::Hold {
        let of = if of_domain > row.status { of_its_domain } else { "" };
        if status == Status::Active {
            recorder.detail(|| step(words(status, of)));
        } else {
            recorder.note(|| step(words(status, of)));
        }
        return false;
    }
    for (_, of) in [(row.status, ""), (of_domain, of_its_domain)].iter().filter(|one| one.0 == Status::Hold) {
        let ground = words(Status::Hold, of);
        if guide.request.released.contains(&ground) {
            recorder.note(|| step(format!("{ground}: {RELEASED}")));
            continue;
        }
        recorder.note(|| step(ground));
        return true;
    }
    false
}

/// The options of an entry that are to be followed.
pub(super) struct Left {
    /// Those that park stand last: their words are the last of the trail.
    pub(super) options: Vec<DeliveryOption>,
    /// What one that parks says of the others.
    pub(super) beside: String,
}

impl Templates<'_> {
    /// Whether an option parks the mail.
    pub(super) fn parks(&self, option: &DeliveryOption) -> bool {
        match self.find(option) {
            Some(template) => {
                matches!(&template.action, Action::Account(channel) if channel.as_str() == ChannelName::HOLD)
            }
            None => *option == DeliveryOption::Hold,
        }
    }

    /// The words by which an option that parks is let past, where an operator did that.
    fn released(&self, option: &DeliveryOption) -> Option<&str> {
        let word = option.as_str();
        let words = match self.find(option).filter(|_| self.parks(option)) {
            Some(template) => format!("{word} = {template}"),
            None if self.parks(option) => word.to_owned(),
            None => return None,
        };
        let is_it = |ground: &&String| {
            ground.strip_prefix(&words).is_some_and(|rest| rest.is_empty() || rest.starts_with(BESIDE))
        };
        self.guide.request.released.iter().find(is_it).map(String::as_str)
    }

    /// Whether an operator let the mail past it.
    pub(super) fn is_released(&self, option: &DeliveryOption) -> bool {
        self.released(option).is_some()
    }

    /// The options without those that an operator let the mail past, and without those that had their copies when it was
    /// parked beside them. None left of either kind: the mailbox, or the members. `None` where all had their copies.
    pub(super) fn left<R: Recorder>(&self, row: &AliasRow<'_>, recorder: &mut R) -> Option<Left> {
        let (parking, mut options): (Vec<_>, Vec<_>) =
            row.options().into_iter().partition(|option| self.parks(option));
        if parking.is_empty() {
            return Some(Left { options, beside: String::new() });
        }
        let others: Vec<&str> = options.iter().map(DeliveryOption::as_str).collect();
        let beside = if others.is_empty() { String::new() } else { format!("{BESIDE}{}", others.join(", ")) };
        let mut had_copies = false;
        for option in parking {
            let Some(ground) = self.released(&option) else {
                options.push(option);
                continue;
            };
            recorder.note(|| Step::new(StepKind::Delivery, format!("{ground}: {RELEASED}")).at(&*row.dn));
            if let Some((_, others)) = ground.split_once(BESIDE) {
                had_copies = true;
                options.retain(|option| !others.split(", ").any(|other| other == option.as_str()));
            }
        }
        if options.is_empty() && had_copies {
            let text = "all other options had their copies when it was parked";
            recorder.note(|| Step::new(StepKind::Delivery, text).at(&*row.dn));
            return None;
        }
        if options.is_empty() {
            options.push(match row.kind {
                RowKind::User => DeliveryOption::Mailbox,
                RowKind::Group => DeliveryOption::Members,
            });
        }
        Some(Left { options, beside })
    }
}
