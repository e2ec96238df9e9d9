//! What a user decides about its own mail (R61): one set of attributes, checked as a whole before it is written.

use crate::directory::Directory;
use crate::dn::Dn;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::schema::{Field, Schema};
use crate::status::DeliveryOption;
use crate::user_entry::UserEntry;
use crate::view::View;

/// The attributes that belong to the owner of the mail. All else is the operator's.
pub const PROFILE_FIELDS: [Field; 13] = [
    Field::MailDeliveryOption,
    Field::MailForwardingAddress,
    Field::MailProgramDeliveryInfo,
    Field::MailDeliveryFileUrl,
    Field::WasmtaSharedMailbox,
    Field::MailAutoReplyMode,
    Field::WasmtaAutoReplyFrom,
    Field::MailAutoReplySubject,
    Field::MailAutoReplyText,
    Field::MailAutoReplyTextInternal,
    Field::MailAutoReplyTimeOut,
    Field::VacationStartDate,
    Field::VacationEndDate,
];
/// Most values of one attribute.
const VALUES_MAX: usize = 100;
/// Longest value, in octets.
const VALUE_OCTETS_MAX: usize = 16 << 10;

/// New values of one attribute of a profile; none removes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileChange {
    /// The attribute, one of [`PROFILE_FIELDS`].
    pub field: Field,
    /// The language of a text (RFC 3866); empty for none.
    pub language: String,
    /// The values.
    pub values: Vec<String>,
}

impl Directory {
    /// Changes a user's profile, named by login or any address. Nothing is written where the whole would not work: a
    /// value that cannot be read, an option without what it needs, an absence that ends before it begins.
    ///
    /// # Errors
    /// What would not work, or why it cannot be written.
    pub async fn set_profile(&self, user: &str, changes: &[ProfileChange]) -> Result<Dn, EditError> {
        let plan = |view: &View<'_>| {
            let (mut entry, _) = self.find_user(view, user)?;
            for change in changes {
                apply(&mut entry, view.schema, change)?;
            }
            check(&entry, view.schema, changes)?;
            let dn = entry.dn.clone();
            Ok((vec![Edit::Modify(entry)], dn))
        };
        self.edit_with(plan).await.map(|(_, dn)| dn)
    }
}

fn apply(entry: &mut Entry, schema: &Schema, change: &ProfileChange) -> Result<(), EditError> {
    let ProfileChange { field, language, values } = change;
    let name = schema.name(*field);
    let refuse = |why: String| Err(EditError::Profile(format!("{name}: {why}")));
    if !PROFILE_FIELDS.contains(field) {
        return refuse("is not the user's to set".to_owned());
    }
    if values.len() > VALUES_MAX || values.iter().any(|value| value.len() > VALUE_OCTETS_MAX) {
        return refuse(format!("at most {VALUES_MAX} values of {VALUE_OCTETS_MAX} octets"));
    }
    let is_language = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_language(language) {
        return refuse(format!("{language:?} is no language, as \"de\" or \"pt-BR\""));
    }
    let octets = |values: &[String]| values.iter().map(|value| value.as_bytes().to_vec()).collect();
    if language.is_empty() {
        for known in schema.names(*field) {
            entry.replace(known, Vec::new());
        }
        entry.replace(name, octets(values));
    } else {
        entry.replace(&format!("{name};lang-{}", language.to_ascii_lowercase()), octets(values));
    }
    Ok(())
}

/// Whether the profile works as a whole.
fn check(entry: &Entry, schema: &Schema, changes: &[ProfileChange]) -> Result<(), EditError> {
    let refuse = |why: String| Err(EditError::Profile(why));
    let Some(user) = UserEntry::read(entry, schema) else { return refuse("the entry is no user".to_owned()) };
    let changed = |attribute: &str| changes.iter().any(|change| schema.name(change.field) == attribute);
    if let Some(defect) = user.defects.iter().find(|defect| changed(&defect.attribute)) {
        return refuse(defect.to_string());
    }
    let has = |option: DeliveryOption| user.delivery_options.contains(&option);
    for option in &user.delivery_options {
        if matches!(option, DeliveryOption::Members | DeliveryOption::MembersOffline) {
            return refuse(format!("{}: only a group has members", option.as_str()));
        }
    }
    for (option, missing, field) in [
        (DeliveryOption::Forward, user.forwarding.is_empty(), Field::MailForwardingAddress),
        (DeliveryOption::Program, user.programs.is_empty(), Field::MailProgramDeliveryInfo),
        (DeliveryOption::File, user.files.is_empty(), Field::MailDeliveryFileUrl),
        (DeliveryOption::Shared, user.shared.is_empty(), Field::WasmtaSharedMailbox),
        (DeliveryOption::AutoReply, user.auto_reply.texts.is_empty(), Field::MailAutoReplyText),
    ] {
        if missing && has(option.clone()) {
            return refuse(format!("{} needs {}", option.as_str(), schema.name(field)));
        }
    }
    let reply = &user.auto_reply;
    if let (Some(start), Some(end)) = (reply.start, reply.end)
        && end <= start
    {
        return refuse("the absence ends before it begins".to_owned());
    }
    Ok(())
}
