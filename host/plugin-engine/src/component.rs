//! From a file to something that can run: what a component is, what it wants, and why one is not taken.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hooks::Role;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::capability::Capability;
use crate::machine::{CORE_INSTANCES_MAX, MEMORIES_MAX, MEMORY_MAX, TABLES_MAX, places_of};
use crate::shape::core_instances;

/// Largest component, in octets.
pub const COMPONENT_MAX: usize = 48 << 20;
/// The package of the contract, and the version that this host speaks.
const PACKAGE: &str = "wasmta:policy/";
const VERSION: &str = "1.1.0";

/// SHA-256 of a component, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digest(String);

impl Digest {
    /// The digest of some octets.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        let mut text = String::with_capacity(64);
        for octet in Sha256::digest(octets) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{octet:02x}");
        }
        Self(text)
    }

    /// Reads 64 hexadecimal digits, with or without `sha256:`.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        if digits.len() == 64 && digits.bytes().all(|c| c.is_ascii_hexdigit()) {
            Ok(Self(digits))
        } else {
            Err(format!("{text:?} is no digest: write sha256: and 64 hexadecimal digits"))
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough to tell plugins apart in a log.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// Why a file is no plugin for this host, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {mend}")]
pub struct Unfit {
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl Unfit {
    pub(crate) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

/// What a component is and wants, read from it without running it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its digest.
    pub digest: Digest,
    /// Octets of the component.
    pub size: u64,
    /// The roles that it exports.
    pub roles: Vec<Role>,
    /// The capabilities that it imports.
    pub imports: Vec<Capability>,
    /// Imported interfaces that are not of the contract: they are there, but every call of them ends the plugin's.
    pub foreign: Vec<String>,
    /// The version of the contract that it was built against, as its imports and exports name it; of several, the latest.
    pub contract: String,
    /// Core instances that one instance of it makes.
    pub core_instances: u32,
    /// Memories.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
    /// Octets of the largest memory at the start.
    pub memory: u64,
}

impl Manifest {
    /// Whether an answer depends on the question and the configuration alone.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        !self.imports.iter().any(|capability| capability.is_impure())
    }

    /// How many places of the pool one instance takes.
    pub(crate) fn weight(&self) -> u32 {
        places_of(self.core_instances, self.memories, self.tables)
    }

    /// What one instance takes of the pool's room, in words.
    #[must_use]
    pub fn parts(&self) -> String {
        let count =
            |number: u32, one: &str, more: &str| format!("{number} {}", if number == 1 { one } else { more });
        format!(
            "{}, {}, {}",
            count(self.core_instances, "core instance", "core instances"),
            count(self.memories, "memory", "memories"),
            count(self.tables, "table", "tables")
        )
    }
}

/// Compiles a component for an engine of the same configuration; gives the artefact and what it is.
///
/// # Errors
/// [`Unfit`] says why it is not taken.
pub fn compile(engine: &Engine, octets: &[u8]) -> Result<(Vec<u8>, Manifest), Unfit> {
    look(octets)?;
    let component = Component::new(engine, octets).map_err(|error| {
        Unfit::new(
            format!("it is no valid component: {error:#}"),
            "build it anew; `wasm-tools validate` shows the place",
        )
    })?;
    let manifest = inspect(engine, &component, octets)?;
    let artefact = component
        .serialize()
        .map_err(|error| Unfit::new(format!("its machine code cannot be kept: {error:#}"), "report this"))?;
    Ok((artefact, manifest))
}

/// Tells what the first octets give away.
fn look(octets: &[u8]) -> Result<(), Unfit> {
    if octets.len() > COMPONENT_MAX {
        let what = format!("it has {} octets, more than {COMPONENT_MAX}", octets.len());
        return Err(Unfit::new(what, "strip debug information, and leave data out"));
    }
    if Engine::detect_precompiled(octets).is_some() {
        return Err(Unfit::new(
            "it is machine code that was compiled elsewhere",
            "give the component itself (.wasm): the server compiles it",
        ));
    }
    match (octets.get(..4), octets.get(4..8)) {
        (Some(b"\0asm"), Some([0x0d, 0, 1, 0])) => Ok(()),
        (Some(b"\0asm"), Some([1, 0, 0, 0])) => Err(Unfit::new(
            "it is a core module, not a component",
            "turn it into a component: `wasm-tools component new`, or wasm-component-ld as the linker",
        )),
        (Some(b"\0asm"), Some(_)) => Err(Unfit::new(
            "it is of a version of WebAssembly that is not known",
            "build it with other tools",
        )),
        _ => Err(Unfit::new("it is no WebAssembly", "give the built component (.wasm)")),
    }
}

fn inspect(engine: &Engine, component: &Component, octets: &[u8]) -> Result<Manifest, Unfit> {
    let shape = component.component_type();
    let mut imports = Vec::new();
    let mut foreign = Vec::new();
    let mut versions = BTreeSet::new();
    for (name, item) in shape.imports(engine) {
        versions.extend(ours(name).map(|(_, version)| ordered(version)));
        match import(name, &item.ty)? {
            Import::Types => {}
            Import::Capability(capability) => imports.push(capability),
            Import::Foreign => foreign.push(name.to_owned()),
        }
    }
    let mut roles = Vec::new();
    let mut described = false;
    for (name, _) in shape.exports(engine) {
        let Some((interface, version)) = ours(name) else { continue };
        same_version(interface, version)?;
        versions.insert(ordered(version));
        if interface == "plugin" {
            described = true;
        } else if let Ok(role) = interface.parse::<Role>() {
            roles.push(role);
        }
    }
    if !described || roles.is_empty() {
        let what = if described { "it exports no role" } else { "it does not export wasmta:policy/plugin" };
        let mend = "build it for a world that exports `plugin` and one of rewrite, reverse, authorize-sender, \
                    disposition, route-table (wit/policy.wit)";
        return Err(Unfit::new(what, mend));
    }
    imports.sort_unstable();
    imports.dedup();
    roles.sort_unstable();
    let (Some(required), Some(core_instances)) = (component.resources_required(), core_instances(octets))
    else {
        let what = "what an instance of it takes cannot be counted: it is put together from parts that it imports or hands on";
        return Err(Unfit::new(what, "link it as one component: `wasm-tools component new`"));
    };
    let memory = required.max_initial_memory_size.unwrap_or(0);
    let manifest = Manifest {
        digest: Digest::of(octets),
        size: octets.len() as u64,
        roles,
        imports,
        foreign,
        contract: versions.pop_last().map(|(_, version)| version).unwrap_or_default(),
        core_instances,
        memories: required.num_memories,
        tables: required.num_tables,
        memory: memory.saturating_mul(65_536),
    };
    admit(&manifest)?;
    Ok(manifest)
}

/// Refuses what no slot could hold, with the number, instead of at the first message.
fn admit(manifest: &Manifest) -> Result<(), Unfit> {
    if manifest.memory > MEMORY_MAX {
        let what = format!("it begins with {} octets of memory, more than {MEMORY_MAX}", manifest.memory);
        return Err(Unfit::new(what, "make its stack and static data smaller"));
    }
    for (number, parts, max) in [
        (manifest.core_instances, "core instances", CORE_INSTANCES_MAX),
        (manifest.memories, "memories", MEMORIES_MAX),
        (manifest.tables, "tables", TABLES_MAX),
    ] {
        if number > max {
            let what = format!("it makes {number} {parts}, more than {max}");
            return Err(Unfit::new(what, "link fewer modules into it"));
        }
    }
    Ok(())
}

/// A version with the numbers that tell which of two is the later.
fn ordered(version: &str) -> (Vec<u64>, String) {
    let numbers = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    (numbers, version.to_owned())
}

enum Import {
    Types,
    Capability(Capability),
    Foreign,
}

fn import(name: &str, item: &ComponentItem) -> Result<Import, Unfit> {
    if !matches!(item, ComponentItem::ComponentInstance(_)) {
        let what = format!("it imports {name:?}, which is no interface");
        return Err(Unfit::new(what, "import interfaces of wasmta:policy alone"));
    }
    let Some((interface, version)) = ours(name) else {
        return if name.starts_with("wasi:") {
            Ok(Import::Foreign)
        } else {
            let what = format!("it imports {name}, which this host does not have");
            Err(Unfit::new(what, "import interfaces of wasmta:policy alone"))
        };
    };
    same_version(interface, version)?;
    if interface == "types" {
        return Ok(Import::Types);
    }
    interface.parse().map(Import::Capability).map_err(|_| {
        let what = format!("it imports {name}, which this host does not have");
        Unfit::new(
            what,
            format!("this host offers wasmta:policy {VERSION}: build for it, or update the host"),
        )
    })
}

/// Interface and version of a name of the contract.
fn ours(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

/// How what is built for a version of the contract comes to fit this host's.
pub(crate) fn built_anew(contract: &str) -> String {
    let build = "build it against wit/policy.wit of this host";
    if ordered(contract) <= ordered(VERSION) {
        return build.to_owned();
    }
    format!(
        "it is built for wasmta:policy {contract}, and this host speaks {VERSION}: update the host, or {build}"
    )
}

fn same_version(interface: &str, version: &str) -> Result<(), Unfit> {
    let plain = !version.contains(['-', '+']);
    if version.split('.').next() == Some("1") && plain {
        return Ok(());
    }
    let what = format!("it is built for wasmta:policy {version} ({interface})");
    Err(Unfit::new(what, format!("this host speaks {VERSION}: build it against wit/policy.wit of this host")))
}
