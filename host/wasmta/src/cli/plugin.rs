//! `wasmta plugin …`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use plugin_engine::{HereCompiler, Outcome, Target};

use super::plugin_author::AuthorCommand;
use super::plugin_operator::{self, OperatorCommand};
use crate::control::{PluginRequest, Request};
use crate::serve::bounds;

/// Commands about plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Compile a component: what the server starts itself with, in a process apart.
    #[command(hide = true)]
    CompilePlugin {
        /// For which engine.
        target: String,
        /// From this file.
        component: PathBuf,
        /// To this one.
        artefact: PathBuf,
    },
    #[command(flatten)]
    Author(AuthorCommand),
    #[command(flatten)]
    Operator(OperatorCommand),
}

/// What a command asks of a server, and whether in JSON.
pub(super) fn question(command: PluginCommand) -> Result<(PluginRequest, bool), String> {
    match command {
        PluginCommand::CompilePlugin { .. } | PluginCommand::Author(_) => unreachable!("these ask nothing"),
        PluginCommand::Operator(command) => plugin_operator::question(command),
    }
}

/// Removes what was fetched for a request: the server has its own copy, or has refused it.
pub(super) fn clean_up(request: &Request) {
    if let Request::Plugin(PluginRequest::Install { file, source, .. }) = request
        && source.starts_with(plugin_operator::OCI)
    {
        // What stays behind is in the system's folder for such things.
        let _ = std::fs::remove_file(file);
        let _ = file.parent().map(std::fs::remove_dir);
    }
}

/// Compiles, within limits of this process's own, and says in JSON what came of it.
pub(super) fn compile(target: &str, component: &Path, artefact: &Path, out: &mut dyn Write) -> u8 {
    bounds::of_a_compiler();
    let outcome = match Target::parse(target) {
        None => Outcome::Unfit(format!("{target:?} is no engine"), "start it by the server alone".to_owned()),
        Some(target) => match HereCompiler::compile(component, artefact, target) {
            Ok(manifest) => Outcome::Compiled(manifest),
            Err(unfit) => Outcome::Unfit(unfit.what, unfit.mend),
        },
    };
    let code = u8::from(!matches!(outcome, Outcome::Compiled(_)));
    // Without a reader nobody waits for the outcome.
    let _ = writeln!(out, "{}", serde_json::to_string(&outcome).unwrap_or_default());
    code
}
