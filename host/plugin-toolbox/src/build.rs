//! `wasmta plugin build`: the project's own `./build`, and where the component is.

use std::path::Path;
use std::process::Command;

use crate::outcome::size_text;
use crate::place;

/// Runs a project's build; what it prints goes where ours goes.
///
/// # Errors
/// There is no build script, it fails, or leaves no component.
pub fn build(folder: &Path) -> Result<String, String> {
    let absolute = std::path::absolute(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let script = absolute.join("build");
    if !script.is_file() {
        let place = folder.display();
        return Err(format!(
            "{place} has no ./build; wasmta plugin new makes projects that have one (samples of this source tree \
             are built by plugins/build and plugins/build-scripts)"
        ));
    }
    let status = Command::new(&script)
        .current_dir(&absolute)
        .status()
        .map_err(|error| format!("{}: {error}; is it executable?", script.display()))?;
    if !status.success() {
        return Err(format!("{} failed ({status}); what it printed says why", script.display()));
    }
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(component) = place::built(folder, &format!("{name}.wasm")) else {
        return Err(format!("{} left no component in target/", script.display()));
    };
    let octets = component.metadata().map(|about| about.len()).unwrap_or(0);
    Ok(format!("{}: {}", component.display(), size_text(octets)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_projects_own_script_builds() {
        let folder = tempfile::tempdir().unwrap();
        assert!(build(folder.path()).unwrap_err().contains("no ./build"));
        let script = folder.path().join("build");
        let write = |text: &str| {
            // In a file of its own first: a script that is open for writing cannot run.
            let new = folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&new, &script).unwrap();
        };
        write("#!/bin/sh\nexit 3\n");
        assert!(build(folder.path()).unwrap_err().contains("failed"));
        write("#!/bin/sh\nexit 0\n");
        assert!(build(folder.path()).unwrap_err().contains("left no component"));
        write("#!/bin/sh\nmkdir -p target; printf abc >target/x.wasm\n");
        assert!(build(folder.path()).unwrap().ends_with("target/x.wasm: 3 B"));
    }
}
