//! `wasmta plugin …`: what an operator does with plugins.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use clap::Subcommand;

use super::arguments::Format;
use super::input::for_the_server;
use crate::config;
use crate::control::PluginRequest;

/// What a reference to a registry begins with.
pub(super) const OCI: &str = "oci:";
/// What fetches it.
const WKG: &str = "wkg";

/// Commands on installed plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Take a component in: it is compiled, started, tried on recorded calls, and put in force as a whole, or refused
    /// and nothing changes.
    #[command(after_help = "\
Examples:
  wasmta plugin install plugins/components/srs.wasm
  wasmta plugin install policy.wasm --name tenant-a-policy --digest sha256:…
  wasmta plugin install policy.wasm --signature policy.wasm.minisig
  wasmta plugin install oci:registry.example/policies/srs:1.2.0     (by the program wkg)")]
    Install {
        /// The component, or `oci:REFERENCE`.
        component: String,
        /// Install it under this name instead of its own.
        #[arg(long)]
        name: Option<String>,
        /// Only if it has this digest.
        #[arg(long, value_name = "SHA256")]
        digest: Option<String>,
        /// The component's signature, as `minisign -S` makes it, by one of plugins.trusted-keys.
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
        /// Also where it fails on calls that were recorded.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        format: Format,
    },
    /// List installed plugins, with calls and failures.
    List(Format),
    /// Show one: version, roles, capabilities, interests, numbers.
    Inspect {
        /// Its name.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Let a plugin be asked again.
    Enable {
        /// Its name.
        name: String,
    },
    /// Ask a plugin no more; its mail goes as its on-failure says.
    Disable {
        /// Its name.
        name: String,
    },
    /// Go back to the version before the one in force.
    Rollback {
        /// Its name.
        name: String,
    },
    /// Take a plugin out, with all its versions and what was recorded of it.
    Remove {
        /// Its name.
        name: String,
        /// With what it kept in its small store (kv), of all tenants; also where it was taken out before.
        #[arg(long)]
        kv: bool,
    },
    /// Try a candidate on real traffic, beside the version in force and without effect.
    #[command(after_help = "\
Examples:
  wasmta plugin shadow srs begin target/srs.wasm
  wasmta plugin shadow srs report
  wasmta plugin shadow srs end")]
    Shadow {
        /// The plugin that it would replace.
        name: String,
        #[command(subcommand)]
        step: ShadowStep,
    },
    /// Play recorded calls again: on the version that was recorded, bit for bit, or on another.
    Replay {
        /// The plugin.
        name: String,
        /// Play them on this component.
        #[arg(long, value_name = "FILE")]
        with: Option<PathBuf>,
        /// That component's signature.
        #[arg(long, value_name = "FILE", requires = "with")]
        signature: Option<PathBuf>,
        /// Only the calls of this message or session.
        #[arg(long)]
        id: Option<String>,
        /// Only calls of the last time, as "1 h".
        #[arg(long, value_name = "TIME", value_parser = config::parse_duration)]
        since: Option<Duration>,
        #[command(flatten)]
        format: Format,
    },
}

/// The steps of a trial.
#[derive(Debug, Subcommand)]
pub(crate) enum ShadowStep {
    /// Begin with a candidate.
    Begin {
        /// The candidate.
        component: PathBuf,
        /// Its signature.
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
    },
    /// Show how often it answered otherwise, and the latest such answers.
    Report(Format),
    /// End the trial, with a last report.
    End(Format),
}

/// What a command asks, and whether in JSON.
pub(super) fn question(command: OperatorCommand) -> Result<(PluginRequest, bool), String> {
    Ok(match command {
        OperatorCommand::Install { component, name, digest, signature, force, format } => {
            let signature = signature.as_deref().map(for_the_server).transpose()?;
            let file = fetched(&component, Path::new(WKG))?;
            let source = component;
            (PluginRequest::Install { file, name, digest, source, signature, force }, format.json)
        }
        OperatorCommand::List(format) => (PluginRequest::List, format.json),
        OperatorCommand::Inspect { name, format } => (PluginRequest::Inspect { name }, format.json),
        OperatorCommand::Enable { name } => (PluginRequest::Enable { name, enabled: true }, false),
        OperatorCommand::Disable { name } => (PluginRequest::Enable { name, enabled: false }, false),
        OperatorCommand::Rollback { name } => (PluginRequest::RollBack { name }, false),
        OperatorCommand::Remove { name, kv } => (PluginRequest::Remove { name, kv }, false),
        OperatorCommand::Shadow { name, step } => match step {
            ShadowStep::Begin { component, signature } => {
                let signature = signature.as_deref().map(for_the_server).transpose()?;
                (PluginRequest::ShadowBegin { name, file: for_the_server(&component)?, signature }, false)
            }
            ShadowStep::Report(format) => (PluginRequest::ShadowReport { name, end: false }, format.json),
            ShadowStep::End(format) => (PluginRequest::ShadowReport { name, end: true }, format.json),
        },
        OperatorCommand::Replay { name, with, signature, id, since, format } => {
            let file = with.as_deref().map(for_the_server).transpose()?;
            let signature = signature.as_deref().map(for_the_server).transpose()?;
            let since = since.map(|since| since.as_secs());
            (PluginRequest::Replay { name, file, signature, id, since }, format.json)
        }
    })
}

/// The component's file. Fetching is not activating: a registry is asked by this command, never by the server.
/// What it gave stands in a folder of this command alone: beside it, others could lay something in its way, or change it.
fn fetched(component: &str, wkg: &Path) -> Result<PathBuf, String> {
    let Some(reference) = component.strip_prefix(OCI) else { return for_the_server(Path::new(component)) };
    let reference = reference.trim_start_matches("//");
    // What begins with a dash would be an option of wkg.
    if reference.is_empty() || reference.starts_with('-') {
        return Err(format!("{component} names nothing in a registry: write {OCI}REGISTRY/NAME:TAG"));
    }
    let folder = runtime::files::temporary_folder("fetched")
        .map_err(|e| format!("no temporary folder can be made: {e}; make room for one, or give a file"))?;
    let file = folder.join("component.wasm");
    let status = Process::new(wkg).args(["oci", "pull", reference, "--output"]).arg(&file).status();
    let why = match status {
        Ok(status) if status.success() => return Ok(file),
        Ok(status) => format!("wkg could not fetch {reference}: it ended with {status}"),
        Err(e) => format!(
            "{component} is fetched by the program wkg, which cannot be started: {e}; install wkg, or give a file"
        ),
    };
    // What stays behind is in the system's folder for such things.
    let _ = std::fs::remove_dir_all(folder);
    Err(why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_fetched_stands_where_nobody_else_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let program = |script: &str| {
            let path = folder.path().join("wkg");
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
            path
        };
        let wkg = program("test -e \"$5\" && exit 7\nprintf octets > \"$5\"");
        let file = fetched("oci:registry.example/srs:1", &wkg).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"octets");
        let around = file.parent().unwrap();
        assert_ne!(around, std::env::temp_dir());
        assert_eq!(std::fs::metadata(around).unwrap().permissions().mode() & 0o066, 0);
        std::fs::remove_dir_all(around).unwrap();
        for nothing in ["oci:", "oci://", "oci:--insecure", "oci://-x"] {
            let why = fetched(nothing, &program("exit 0")).unwrap_err();
            assert!(why.contains("names nothing in a registry"), "{why}");
        }
        let why = fetched("oci:registry.example/srs:1", &program("exit 3")).unwrap_err();
        assert!(why.contains("could not fetch registry.example/srs:1"), "{why}");
    }
}
