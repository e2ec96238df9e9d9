//! What a user decides about its own mail, by command (R61).

use std::fmt::Write as _;

use directory::{DeliveryOption, Field, PROFILE_FIELDS, ProfileChange, UserEntry};
use mail_types::{AccountName, Address, Domain, Lookup};
use serde_json::{Value, json};
use store::StoreError;

use super::absent::absent;
use crate::config::Config;
use crate::control::{Answer, ProfileValue};
use crate::serve::{Parts, files_of};

/// Shared mailboxes that a refusal lists to choose from.
const SHARED_SHOWN: usize = 50;

/// Shows what becomes of a user's mail.
pub(super) fn show(parts: &Parts, user: &str) -> Result<Answer, String> {
    let entry = entry_of(parts, user)?;
    let schema = parts.directory.schema();
    let (mut text, mut json) = (String::new(), serde_json::Map::new());
    for field in PROFILE_FIELDS {
        for tagged in schema.tagged(&entry, field) {
            let name = schema.name(field);
            let name = if tagged.language.is_empty() {
                name.to_owned()
            } else {
                format!("{name};lang-{}", tagged.language)
            };
            let _ = writeln!(text, "{name}: {}", tagged.text);
            if let Some(values) = json.entry(name).or_insert_with(|| json!([])).as_array_mut() {
                values.push(Value::from(tagged.text));
            }
        }
    }
    if text.is_empty() {
        text.push_str("nothing is set: the mail goes to the mailbox");
    }
    Ok(Answer::new(json!({ "dn": entry.dn.to_string(), "profile": json }), text.trim_end().to_owned()))
}

/// Changes it.
pub(super) async fn set(
    parts: &Parts,
    config: &Config,
    user: &str,
    values: Vec<ProfileValue>,
) -> Result<Answer, String> {
    let (mut changes, mut warnings) = (Vec::new(), Vec::new());
    let names = names_of(parts, config, user)?;
    for ProfileValue { attribute, language, values } in values {
        let named = |field: &&Field| field.name().eq_ignore_ascii_case(&attribute);
        let field = PROFILE_FIELDS.iter().find(named).ok_or_else(|| {
            let known: Vec<&str> = PROFILE_FIELDS.iter().map(|field| field.name()).collect();
            format!("{attribute:?} is no part of a profile: name one of {}", known.join(", "))
        })?;
        warnings.extend(names.check(*field, &values)?);
        changes.push(ProfileChange { field: *field, language, values });
    }
    let dn = parts.directory.set_profile(user, &changes).await.map_err(|e| e.to_string())?;
    let names: Vec<&str> = changes.iter().map(|change| change.field.name()).collect();
    super::tell_changed(parts, user, &format!("profile set: {}", names.join(", ")));
    parts.follow_directory().await?;
    let mut answer = show(parts, user)?;
    answer.text = format!("{user} has this profile now ({dn}):\n{}", answer.text);
    for warning in &warnings {
        let _ = write!(answer.text, "\nwarning: {warning}");
    }
    if let Some(object) = answer.json.as_object_mut() {
        object.insert("warnings".to_owned(), json!(warnings));
    }
    Ok(answer)
}

/// What a profile may name, and on whose behalf.
struct Names<'a> {
    parts: &'a Parts,
    config: &'a Config,
    account: AccountName,
    /// The user's domain, as `[delivery-options-of]` has it.
    domain: Option<Domain>,
}

impl Names<'_> {
    /// Refuses what is not there, and says what is; gives what is to be said of the rest.
    fn check(&self, field: Field, values: &[String]) -> Result<Vec<String>, String> {
        let mut warnings = Vec::new();
        for value in values {
            match field {
                Field::MailDeliveryOption => self.check_option(value)?,
                Field::MailProgramDeliveryInfo => self.check_program(value)?,
                Field::MailDeliveryFileUrl => warnings.extend(self.check_file(value)?),
                Field::WasmtaSharedMailbox => self.check_shared(value)?,
                _ => {}
            }
        }
        Ok(warnings)
    }

    fn check_option(&self, value: &str) -> Result<(), String> {
        let option = DeliveryOption::parse(value);
        let DeliveryOption::Other(name) = &option else { return Ok(()) };
        let config = self.config;
        let is_mine = |domain: &Option<Domain>| domain.is_none() || *domain == self.domain;
        let texts = config.delivery_options.iter().filter(|text| is_mine(&text.domain));
        let templates: Vec<&str> = texts.map(|text| text.option.as_str()).collect();
        let is_template = templates.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_template || config.channels.iter().any(|channel| channel.name == *name) {
            return Ok(());
        }
        let words = "mailbox, forward, autoreply, program, file, shared, hold, or a channel";
        let own = if templates.is_empty() {
            String::new()
        } else {
            format!(", or an option of the configuration: {}", templates.join(", "))
        };
        Err(format!("{value:?} is no delivery option: name {words}{own}"))
    }

    fn check_program(&self, value: &str) -> Result<(), String> {
        let programs = &self.config.programs;
        if programs.contains_key(&value.to_ascii_lowercase()) {
            return Ok(());
        }
        Err(format!("there is no program {value:?}: {}", one_of(programs.keys().map(String::as_str))))
    }

    /// A registered name, or a path where those are free.
    fn check_file(&self, value: &str) -> Result<Option<String>, String> {
        let files = &self.config.files;
        let doubt = files_of(self.config).examine(value, self.account.as_str()).map_err(|why| {
            let names = one_of(files.registered.keys().map(String::as_str));
            let roots: Vec<String> = files.roots.iter().map(|root| root.display().to_string()).collect();
            let or_below = if files.free_paths && !roots.is_empty() {
                format!(", or a path below {}", roots.join(", "))
            } else {
                String::new()
            };
            format!("there is no file {value:?} ({why}): {names}{or_below}")
        })?;
        Ok(doubt.map(|why| format!("{value}: {why}; mail for it waits until that is mended")))
    }

    /// One that is there, and to which the user may post: mail for any other goes back to its sender.
    fn check_shared(&self, value: &str) -> Result<(), String> {
        match self.parts.store.posting_place(value, &self.account) {
            Ok(_) => Ok(()),
            Err(StoreError::NotPermitted(letter)) => Err(format!(
                "{} may not post to {value:?}: `wasmta share grant {value} {} {letter}` gives that right \
                 (with the letters that it has: it takes the place of them)",
                self.account, self.account
            )),
            Err(StoreError::NotFound(_) | StoreError::Name(_) | StoreError::NotSelectable) => {
                let all = self.parts.store.all_shared().map_err(|error| error.to_string())?;
                let names = all.iter().map(|shared| shared.name.as_str()).take(SHARED_SHOWN);
                Err(format!("there is no shared mailbox {value:?}: {}", one_of(names)))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What there is to choose from.
fn one_of<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "there are none".to_owned() } else { format!("name one of {}", names.join(", ")) }
}

fn names_of<'a>(parts: &'a Parts, config: &'a Config, user: &str) -> Result<Names<'a>, String> {
    let no_user = || absent(parts, "user", user);
    let entry = UserEntry::read(&entry_of(parts, user)?, parts.directory.schema()).ok_or_else(no_user)?;
    let account = entry.account().ok_or_else(|| format!("{user} has no name for an account"))?;
    let domain = account.as_str().rsplit_once('@').and_then(|(_, domain)| Domain::parse(domain).ok());
    let canonical = domain.as_ref().map(|domain| parts.routing.tables().canonical_domain(domain));
    let domain = match canonical {
        Some(Lookup::Found(canonical)) => Some(canonical),
        _ => domain,
    };
    Ok(Names { parts, config, account, domain })
}

fn entry_of(parts: &Parts, user: &str) -> Result<directory::Entry, String> {
    let no_user = || absent(parts, "user", user);
    let found = match Address::parse(user) {
        Ok(address) => parts.directory.by_address(&address),
        Err(_) => Lookup::NotFound,
    };
    let entry = match found {
        Lookup::Found(entry) => entry,
        Lookup::Unavailable(why) => return Err(why),
        Lookup::NotFound => match parts.directory.user_by_login(user) {
            Lookup::Found(user) => super::directory::found(parts.directory.entry(&user.dn), no_user)?,
            Lookup::NotFound => return Err(no_user()),
            Lookup::Unavailable(why) => return Err(why),
        },
    };
    UserEntry::read(&entry, parts.directory.schema()).map(|_| entry).ok_or_else(no_user)
}
