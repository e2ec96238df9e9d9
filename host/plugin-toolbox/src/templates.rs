//! The templates of new projects, in the binary. A test holds the list against the folder.

/// A file of a template: where it goes, and what it says.
pub(crate) type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$((
            $path,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/templates/", $folder, "/", $path)),
        )),*]
    };
}

/// The contract, as it goes into every project.
pub(crate) const CONTRACT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/policy.wit"));

/// What every project has.
pub(crate) const ALL: &[File] = files!("all": ".gitignore", "cases.toml", "wit/world.wit");

pub(crate) const RUST: &[File] = files!("rust":
    "Cargo.toml", "README.md", "build", "src/authorize_sender.rs", "src/disposition.rs", "src/lib.rs",
    "src/reverse.rs", "src/rewrite.rs", "src/route_table.rs", "src/settings.rs",
);

pub(crate) const C: &[File] = files!("c":
    "README.md", "build", "src/authorize-sender.c", "src/card.c", "src/disposition.c", "src/reverse.c",
    "src/rewrite.c", "src/route-table.c", "src/text.c", "src/text.h",
);

pub(crate) const JAVASCRIPT: &[File] = files!("js":
    "README.md", "build", "package.json", "src/authorize-sender.js", "src/disposition.js", "src/host.js",
    "src/plugin.js", "src/reverse.js", "src/rewrite.js", "src/route-table.js",
);

pub(crate) const PYTHON: &[File] = files!("python":
    "README.md", "build", "requirements.txt", "src/app.py", "src/authorize_sender.py", "src/disposition.py",
    "src/host.py", "src/reverse.py", "src/rewrite.py", "src/route_table.py",
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn walk(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_binary() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/templates");
        for (name, files) in [("all", ALL), ("rust", RUST), ("c", C), ("js", JAVASCRIPT), ("python", PYTHON)]
        {
            let mut found = BTreeSet::new();
            walk(&folder.join(name), "", &mut found);
            let embedded: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(found, embedded, "plugins/templates/{name}");
        }
    }
}
