//! A new project: a small plugin that works, with cases that pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hooks::{PluginName, Role};

use crate::expand::Wanted;
use crate::templates;

/// The languages that there are templates for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// The smallest and fastest components.
    Rust,
    /// Likewise.
    C,
    /// On a small engine.
    JavaScript,
    /// With a whole interpreter.
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::C, Self::JavaScript, Self::Python];

    /// Its word on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }

    fn files(self) -> &'static [templates::File] {
        match self {
            Self::Rust => templates::RUST,
            Self::C => templates::C,
            Self::JavaScript => templates::JAVASCRIPT,
            Self::Python => templates::PYTHON,
        }
    }

    /// What is to be done once before the first build.
    fn first(self) -> &'static str {
        match self {
            Self::Rust => "rustup target add wasm32-unknown-unknown",
            Self::C => "./build says which tools are missing, and where they are",
            Self::JavaScript => "npm install",
            Self::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        }
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|language| language.as_str() == text).ok_or_else(|| {
            format!("{text:?} is no language here; there are {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The plugin's name, and its folder's.
    pub name: String,
    /// In which language.
    pub language: Language,
    /// Its roles, in any order.
    pub roles: Vec<Role>,
    /// The folder in which its own is made.
    pub into: PathBuf,
}

impl NewProject {
    /// The files of the project, by path.
    fn files(&self) -> Result<Vec<(String, String)>, String> {
        let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| self.roles.contains(role)).collect();
        let wanted = Wanted { name: &self.name, roles: &roles };
        let mut files =
            vec![("wit/deps/wasmta-policy/policy.wit".to_owned(), templates::CONTRACT.to_owned())];
        for (path, template) in templates::ALL.iter().chain(self.language.files()) {
            if wanted.has_file(path) {
                let text = wanted.expand(template).map_err(|why| format!("template {path}: {why}"))?;
                files.push(((*path).to_owned(), text));
            }
        }
        Ok(files)
    }
}

/// Names that cargo and npm take, too.
fn check_name(name: &str) -> Result<(), String> {
    let _: PluginName = name.parse().map_err(|error: hooks::NameError| error.to_string())?;
    if name.ends_with('-') || name.contains("--") {
        return Err(format!("{name:?}: no hyphen at the end, nor two in a row"));
    }
    Ok(())
}

/// Makes a project, and says what to do next. Nothing that is there is overwritten.
///
/// # Errors
/// The name or the roles are not good, the folder is there already, or cannot be written.
pub fn create(new: &NewProject) -> Result<String, String> {
    check_name(&new.name)?;
    if new.roles.is_empty() {
        return Err(format!("name a role: {}", Role::ALL.map(Role::as_str).join(", ")));
    }
    let folder = new.into.join(&new.name);
    if folder.exists() {
        return Err(format!("{} is there already, and nothing is overwritten", folder.display()));
    }
    let files = new.files()?;
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    let shown = folder.display();
    let mut lines = vec![format!("{shown}: {} files", files.len())];
    lines.push(format!("\nOnce:  {}\nThen:", new.language.first()));
    for verb in ["build", "check", "test"] {
        lines.push(format!("  wasmta plugin {verb} {shown}"));
    }
    lines.push("README.md there says more; wasmta plugin docs prints the author's manual.".to_owned());
    Ok(lines.join("\n"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault)?;
    }
    fs::write(path, text).map_err(fault)?;
    #[cfg(unix)]
    if text.starts_with("#!") {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(fault)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Cases;

    fn new(language: Language, roles: &[Role], into: &Path) -> NewProject {
        NewProject { name: "my-plugin".into(), language, roles: roles.to_vec(), into: into.to_path_buf() }
    }

    #[test]
    fn every_language_has_every_role() {
        for language in Language::ALL {
            let alone = Role::ALL.map(|role| vec![role]);
            for roles in alone.into_iter().chain([Role::ALL.to_vec()]) {
                let files = new(language, &roles, Path::new("")).files().unwrap();
                let text = |path: &str| &files.iter().find(|(other, _)| other == path).unwrap().1;
                let cases = Cases::parse("cases.toml", text("cases.toml")).unwrap();
                assert!(cases.cases.iter().all(|case| roles.contains(&case.role)), "{roles:?}");
                for role in Role::ALL {
                    let world = format!("export wasmta:policy/{role}@1.1.0;");
                    assert_eq!(text("wit/world.wit").contains(&world), roles.contains(&role), "{role}");
                    let own = |(path, _): &(String, String)| {
                        path.starts_with("src/") && path.replace('_', "-").contains(&format!("/{role}."))
                    };
                    assert_eq!(files.iter().any(own), roles.contains(&role), "{} {role}", language.as_str());
                    assert_eq!(cases.cases.iter().any(|case| case.role == role), roles.contains(&role));
                }
                assert!(text("build").starts_with("#!") && text("build").contains("target/my-plugin.wasm"));
                assert_eq!(text("wit/deps/wasmta-policy/policy.wit"), templates::CONTRACT);
            }
        }
    }

    #[test]
    fn a_project_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let project = new(Language::Rust, &[Role::Rewrite], folder.path());
        let said = create(&project).unwrap();
        assert!(said.contains("wasmta plugin build"), "{said}");
        let build = folder.path().join("my-plugin/build");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&build).unwrap().permissions().mode() & 0o111, 0o111);
        }
        fs::write(&build, "mine").unwrap();
        assert!(create(&project).unwrap_err().contains("there already"));
        assert_eq!(fs::read_to_string(&build).unwrap(), "mine");
    }

    #[test]
    fn names_are_those_that_cargo_and_npm_take() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "My", "-a", "a-", "a--b", "../a", "1a"] {
            let project =
                NewProject { name: bad.into(), ..new(Language::C, &[Role::Rewrite], folder.path()) };
            assert!(create(&project).is_err(), "{bad}");
        }
        assert!(create(&new(Language::C, &[], folder.path())).is_err());
    }
}
