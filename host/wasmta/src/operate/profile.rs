//! What a user decides about its own mail, by command (R61).

use std::fmt::Write as _;

use directory::{DeliveryOption, Field, PROFILE_FIELDS, ProfileChange, UserEntry};
use mail_types::{Address, Lookup};
use serde_json::{Value, json};

use crate::config::Config;
use crate::control::{Answer, ProfileValue};
use crate::serve::Parts;

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
    let mut changes = Vec::new();
    for ProfileValue { attribute, language, values } in values {
        let named = |field: &&Field| field.name().eq_ignore_ascii_case(&attribute);
        let field = PROFILE_FIELDS.iter().find(named).ok_or_else(|| {
            let known: Vec<&str> = PROFILE_FIELDS.iter().map(|field| field.name()).collect();
            format!("{attribute:?} is no part of a profile: name one of {}", known.join(", "))
        })?;
        check_names(config, *field, &values)?;
        changes.push(ProfileChange { field: *field, language, values });
    }
    let dn = parts.directory.set_profile(user, &changes).await.map_err(|e| e.to_string())?;
    let names: Vec<&str> = changes.iter().map(|change| change.field.name()).collect();
    super::tell_changed(parts, user, &format!("profile set: {}", names.join(", ")));
    parts.follow_directory().await?;
    let mut answer = show(parts, user)?;
    answer.text = format!("{user} has this profile now ({dn}):\n{}", answer.text);
    Ok(answer)
}

/// Programs and files are chosen among those that the operator has registered.
fn check_names(config: &Config, field: Field, values: &[String]) -> Result<(), String> {
    let known = |names: Vec<&str>| {
        if names.is_empty() {
            "the configuration has none".to_owned()
        } else {
            format!("name one of {}", names.join(", "))
        }
    };
    for value in values {
        let lower = value.to_ascii_lowercase();
        match field {
            Field::MailDeliveryOption => {
                let option = DeliveryOption::parse(value);
                let channel = |name: &str| config.channels.iter().any(|channel| channel.name == name);
                if matches!(&option, DeliveryOption::Other(name) if !channel(name)) {
                    return Err(format!(
                        "{value:?} is no delivery option: name mailbox, forward, autoreply, program, file, hold, or a channel"
                    ));
                }
            }
            Field::MailProgramDeliveryInfo if !config.programs.contains_key(&lower) => {
                let names = config.programs.keys().map(String::as_str).collect();
                return Err(format!("there is no program {value:?}: {}", known(names)));
            }
            Field::MailDeliveryFileUrl if !config.files.registered.contains_key(&lower) => {
                let is_path = value.starts_with('/') || lower.starts_with("file:");
                if !is_path || !config.files.free_paths {
                    let names = config.files.registered.keys().map(String::as_str).collect();
                    return Err(format!("there is no file {value:?}: {}", known(names)));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn entry_of(parts: &Parts, user: &str) -> Result<directory::Entry, String> {
    let no_user = || format!("there is no user {user}");
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
