//! Who compiles: a process apart, so that a component that is hard to compile costs that process and nothing else.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hooks::BoxFuture;
use tokio::io::AsyncReadExt;

use crate::component::{COMPONENT_MAX, Manifest, Unfit, compile};
use crate::machine::Target;

/// How long a compilation may take.
pub const COMPILE_MAX: Duration = Duration::from_secs(300);
/// Longest thing the process may say, in octets.
const WORDS_MAX: u64 = 1 << 20;

/// Compiles a component file to an artefact file.
pub trait Compiler: Send + Sync + 'static {
    /// Compiles; the artefact is put in place whole, and what the component is comes back.
    fn compile<'a>(
        &'a self,
        component: &'a Path,
        artefact: &'a Path,
        target: Target,
    ) -> BoxFuture<'a, Result<Manifest, Unfit>>;
}

/// Starts a program for each compilation: `PROGRAM ARGUMENT… TARGET COMPONENT ARTEFACT`. It answers on its standard
/// output with one line of JSON: [`Outcome`].
pub struct ProcessCompiler {
    /// The program: the server's own.
    pub program: PathBuf,
    /// What makes it compile.
    pub arguments: Vec<String>,
}

/// What the process says.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is compiled.
    Compiled(Manifest),
    /// It is not taken: what, and how to mend it.
    Unfit(String, String),
}

impl Compiler for ProcessCompiler {
    fn compile<'a>(
        &'a self,
        component: &'a Path,
        artefact: &'a Path,
        target: Target,
    ) -> BoxFuture<'a, Result<Manifest, Unfit>> {
        Box::pin(async move {
            let broken =
                |what: String| Unfit::new(what, "look at the server's limits, or make the component smaller");
            let child = tokio::process::Command::new(&self.program)
                .args(&self.arguments)
                .arg(target.as_str())
                .args([component, artefact])
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn();
            let mut child =
                child.map_err(|error| broken(format!("the compiler cannot be started: {error}")))?;
            let mut words = String::new();
            let talk = async {
                if let Some(output) = child.stdout.take() {
                    output.take(WORDS_MAX).read_to_string(&mut words).await?;
                }
                child.wait().await
            };
            let status = match tokio::time::timeout(COMPILE_MAX, talk).await {
                Ok(Ok(status)) => status,
                Ok(Err(error)) => return Err(broken(format!("the compiler was lost: {error}"))),
                Err(_) => {
                    return Err(broken(format!(
                        "it takes longer than {} s to compile",
                        COMPILE_MAX.as_secs()
                    )));
                }
            };
            match serde_json::from_str(&words) {
                Ok(Outcome::Compiled(manifest)) if status.success() => Ok(manifest),
                Ok(Outcome::Unfit(what, mend)) => Err(Unfit { what, mend }),
                _ => Err(broken(format!("the compiler ended with {status}: out of memory or time"))),
            }
        })
    }
}

/// Compiles in this process: what the process apart does, and what tools do that run no server.
pub struct HereCompiler;

impl HereCompiler {
    /// Compiles one file to another.
    ///
    /// # Errors
    /// [`Unfit`] says why it is not taken.
    pub fn compile(component: &Path, artefact: &Path, target: Target) -> Result<Manifest, Unfit> {
        let read = |error: std::io::Error| {
            Unfit::new(format!("{} cannot be read: {error}", component.display()), "mend the path")
        };
        let octets = runtime::files::read(component, COMPONENT_MAX as u64).map_err(read)?;
        let engine = target
            .compiler()
            .map_err(|error| Unfit::new(format!("nothing can be compiled here: {error:#}"), "report this"))?;
        let (code, manifest) = compile(&engine, &octets)?;
        runtime::files::write_durably(artefact, &code, runtime::files::Readers::Owner).map_err(|error| {
            Unfit::new(format!("{} cannot be written: {error}", artefact.display()), "look at the disk")
        })?;
        Ok(manifest)
    }
}

impl Compiler for HereCompiler {
    fn compile<'a>(
        &'a self,
        component: &'a Path,
        artefact: &'a Path,
        target: Target,
    ) -> BoxFuture<'a, Result<Manifest, Unfit>> {
        let (component, artefact) = (component.to_path_buf(), artefact.to_path_buf());
        Box::pin(async move {
            let work = move || Self::compile(&component, &artefact, target);
            match tokio::task::spawn_blocking(work).await {
                Ok(outcome) => outcome,
                Err(error) => Err(Unfit::new(format!("the compiler failed: {error}"), "report this")),
            }
        })
    }
}
