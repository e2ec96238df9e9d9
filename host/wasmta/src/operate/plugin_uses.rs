//! Who has a plugin asked: the configuration, rules, entries of the directory. Told where one is taken away, and where an entry
//! names one that cannot be asked.

use std::ops::ControlFlow;

use directory::{Directory, Field};
use hooks::{Binding, PluginName, Role};
use plugin_engine::{Manifest, Settings};

use crate::control::EntryKind;
use crate::serve::Parts;

/// Most values of an entry that are told of.
const TOLD_MAX: usize = 20;

/// What fails, by its `on-failure`, as long as a plugin is away: a line for each that has it asked.
pub(super) async fn without(parts: &Parts, name: &PluginName) -> Vec<String> {
    let engine = &parts.plugins;
    let manifest = engine.stand(name).and_then(|stand| stand.manifest);
    let settings = engine.settings_of(name);
    let mut lines = Vec::new();
    if let Some(settings) = settings.as_ref().filter(|settings| !settings.domains.is_empty()) {
        let roles = plugin_engine::bound_roles(settings, manifest.as_ref());
        lines.push(format!(
            "the configuration binds it (plugins.{name}.domains): {}",
            fails(Some(settings), &roles)
        ));
    }
    let asking = parts.routing.plugins_of_rules().into_iter().filter(|(asked, _)| asked == name);
    lines.extend(asking.map(|(_, place)| {
        format!("a rule asks it ({place}): {}", fails(settings.as_ref(), &[Role::Rewrite]))
    }));
    let (directory, wanted) = (parts.directory.clone(), name.clone());
    // Every entry is read.
    let looked = tokio::task::spawn_blocking(move || of_entries(&directory, &wanted)).await;
    match looked.map_err(|e| e.to_string()).flatten() {
        Ok(None) => {}
        Ok(Some(found)) => lines.push(found.line(settings.as_ref(), manifest.as_ref())),
        Err(why) => lines.push(format!("whether entries of the directory name it, cannot be told: {why}")),
    }
    lines
}

fn fails(settings: Option<&Settings>, roles: &[Role]) -> String {
    plugin_engine::without_it(settings, roles)
}

/// The entries that name a plugin.
struct Entries {
    first: String,
    count: usize,
    bindings: Vec<Binding>,
}

impl Entries {
    fn line(&self, settings: Option<&Settings>, manifest: Option<&Manifest>) -> String {
        let has = |role: &Role| {
            manifest.is_none_or(|manifest| manifest.roles.contains(role))
                && self.bindings.iter().any(|one| one.is_for(*role))
        };
        let roles: Vec<Role> = Role::ALL.into_iter().filter(has).collect();
        let verb = if self.count == 1 { "names" } else { "name" };
        let named = match self.count {
            1 => "1 entry of the directory".to_owned(),
            many => format!("{many} entries of the directory"),
        };
        format!("{named} {verb} it (wasmtaPlugin), the first {}: {}", self.first, fails(settings, &roles))
    }
}

fn of_entries(directory: &Directory, name: &PluginName) -> Result<Option<Entries>, String> {
    let schema = directory.schema();
    let mut found: Option<Entries> = None;
    let scanned = directory.scan(&mut |entry| {
        let named = schema.texts(&entry, Field::WasmtaPlugin).filter_map(|text| text.parse::<Binding>().ok());
        let named: Vec<Binding> = named.filter(|binding| binding.plugin == *name).collect();
        if !named.is_empty() {
            let new = || Entries { first: entry.dn.to_string(), count: 0, bindings: Vec::new() };
            let all = found.get_or_insert_with(new);
            all.count += 1;
            // There are no more than roles, and none.
            for binding in named {
                if !all.bindings.contains(&binding) {
                    all.bindings.push(binding);
                }
            }
        }
        ControlFlow::Continue(())
    });
    scanned.map_err(|e| e.to_string())?;
    Ok(found)
}

/// What is wrong with the plugins that an entry names: a line for each value that cannot be asked as it says.
pub(super) fn doubts(parts: &Parts, kind: EntryKind, values: &[String]) -> Vec<String> {
    let doubtful = values.iter().filter_map(|value| doubt(parts, kind, &value.parse().ok()?));
    doubtful.take(TOLD_MAX).collect()
}

fn doubt(parts: &Parts, kind: EntryKind, binding: &Binding) -> Option<String> {
    let Binding { role, plugin: name } = binding;
    let settings = parts.plugins.settings_of(name);
    let asked: Vec<Role> = match (role, kind) {
        (Some(role), _) => vec![*role],
        (None, EntryKind::User) => vec![Role::Disposition],
        // What was never in force builds no rows, and nothing waits for it.
        (None, _) => Role::ALL.into_iter().filter(|role| *role != Role::RouteTable).collect(),
    };
    let Some(plugin) = parts.plugins.plugin(name) else {
        let mend =
            format!("`wasmta plugin install`, `wasmta plugin enable {name}`, a section [plugins.{name}]");
        return Some(format!(
            "no plugin {name} is in force; {}; mend: {mend}",
            fails(settings.as_ref(), &asked)
        ));
    };
    let has = &plugin.manifest().roles;
    let lacks: Vec<Role> = asked.iter().filter(|role| !has.contains(role)).copied().collect();
    // Without a role it is asked in those that it has.
    if lacks.is_empty() || role.is_none() && lacks.len() < asked.len() {
        return None;
    }
    let has: Vec<&str> = has.iter().map(|role| role.as_str()).collect();
    if role.is_none() {
        let has = has.join(", ");
        return Some(format!(
            "the plugin {name} is asked nothing here: it has {has}; mend: name another one"
        ));
    }
    let fails = fails(settings.as_ref(), &lacks);
    Some(format!(
        "the plugin {name} is asked in roles that it does not have; {fails}; mend: write \"ROLE {name}\" with one that it has ({})",
        has.join(", ")
    ))
}
