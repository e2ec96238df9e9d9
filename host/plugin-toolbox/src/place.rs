//! From what an author names (a component, or a plugin's folder) to the files that are meant.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use plugin_engine::COMPONENT_MAX;

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The component.
    pub component: PathBuf,
    /// Its cases, where it has some.
    pub cases: Option<PathBuf>,
    /// Whether something in the folder is newer than the component.
    pub stale: bool,
}

/// Finds a component: itself, or that of a folder. A project has it in `target/`, a sample of this source tree in
/// `plugins/components` or, where it is never committed, in `target/plugins`.
///
/// # Errors
/// There is none; says how to get one.
pub fn find(path: &Path) -> Result<Place, String> {
    if !path.is_dir() {
        return match path.is_file() {
            true => Ok(Place { component: path.to_path_buf(), cases: None, stale: false }),
            false if path.exists() => {
                Err(format!("{} is no regular file: name a component, or a plugin's folder", path.display()))
            }
            false => Err(format!("{} is not there", path.display())),
        };
    }
    let cases = Some(path.join("cases.toml")).filter(|cases| cases.is_file());
    let folder = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = format!("{name}.wasm");
    if let Some(component) = built(path, &file) {
        let stale = newest(path, true) > modified(&component);
        return Ok(Place { component, cases, stale });
    }
    let beside = ["../components", "../../components", "../../target/plugins"];
    let beside = beside.iter().map(|folder| path.join(folder).join(&file)).find(|file| file.is_file());
    match beside {
        Some(component) => Ok(Place { component, cases, stale: false }),
        None => Err(format!("{} has no component: build it first (wasmta plugin build {0})", path.display())),
    }
}

/// The component in a project's `target/`: that of the folder's name, else the newest.
pub(crate) fn built(folder: &Path, file: &str) -> Option<PathBuf> {
    let named = folder.join("target").join(file);
    if named.is_file() {
        return Some(named);
    }
    let entries = std::fs::read_dir(folder.join("target")).ok()?.flatten().map(|entry| entry.path());
    let components = entries.filter(|path| path.extension().is_some_and(|ending| ending == "wasm"));
    components.max_by_key(|path| modified(path))
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// When the newest source was changed. What tools install is none; nor are cases and notes.
fn newest(folder: &Path, top: bool) -> SystemTime {
    const APART: [&str; 5] = ["target", "node_modules", ".venv", ".git", "__pycache__"];
    let mut newest = SystemTime::UNIX_EPOCH;
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !APART.contains(&name.as_str()) {
            newest = newest.max(self::newest(&path, false));
        } else if path.is_file()
            && !(top && (name == "cases.toml" || name.ends_with(".md") || name.ends_with(".lock")))
        {
            newest = newest.max(modified(&path));
        }
    }
    newest
}

/// Reads a component.
pub(crate) fn read(place: &Place) -> Result<Vec<u8>, String> {
    runtime::files::read(&place.component, COMPONENT_MAX as u64)
        .map_err(|error| format!("{}: {error}", place.component.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_project_has_its_component_in_target() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("mine");
        fs::create_dir_all(project.join("target")).unwrap();
        assert!(find(&project).unwrap_err().contains("wasmta plugin build"));
        fs::write(project.join("cases.toml"), "").unwrap();
        fs::write(project.join("target/other.wasm"), "").unwrap();
        assert_eq!(find(&project).unwrap().component, project.join("target/other.wasm"));
        fs::write(project.join("target/mine.wasm"), "").unwrap();
        let place = find(&project).unwrap();
        assert_eq!(place.component, project.join("target/mine.wasm"));
        assert_eq!((place.cases, place.stale), (Some(project.join("cases.toml")), false));
        assert!(find(&project.join("nothing")).unwrap_err().ends_with("is not there"));
        assert!(find(Path::new("/dev/null")).unwrap_err().contains("no regular file"));
    }

    #[test]
    fn samples_have_theirs_beside() {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
        for (folder, file) in [("srs", "srs.wasm"), ("hostile/loop", "loop.wasm")] {
            assert!(
                find(&plugins.join(folder)).unwrap().component.ends_with(Path::new("components").join(file))
            );
        }
    }
}
