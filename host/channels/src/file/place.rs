//! From the name of a file to where it is: always below a root.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use runtime::{BeneathError, Folder};

use super::FileOptions;
use crate::named::Named;

/// Longest path or URL, in octets.
const PATH_MAX: usize = 1024;
/// Most folders between a root and a file.
const DEPTH_MAX: usize = 32;
/// Stands in a registered path for the account.
const ACCOUNT: &str = "{account}";

/// The path of a registered file: absolute, a Maildir where it ends with `/`; `{account}` in it stands for the account
/// on whose behalf it is, so that one name serves everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(String);

impl FilePath {
    /// Whether it is below one of the roots.
    #[must_use]
    pub fn is_below(&self, roots: &[PathBuf]) -> bool {
        below(&self.0, roots).is_ok()
    }

    fn of(&self, account: &str) -> Result<String, Lost> {
        if !self.0.contains(ACCOUNT) {
            return Ok(self.0.clone());
        }
        // One name, and none that means another folder.
        if account.contains(['/', '\0']) || account.starts_with('.') {
            return Err(Lost::unfit("the account's name is no name of a file"));
        }
        Ok(self.0.replace(ACCOUNT, account))
    }
}

impl FromStr for FilePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || text.len() > PATH_MAX {
            return Err(format!("{text:?} is no absolute path of at most {PATH_MAX} octets"));
        }
        if text.replace(ACCOUNT, "").contains(['{', '}']) {
            return Err(format!("{text:?}: only {ACCOUNT} is filled in"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Why a name leads to no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing is registered under it: perhaps not yet.
    Unregistered,
    /// It leads where no mail is written.
    Unfit(String),
}

impl Lost {
    fn unfit(what: &str) -> Self {
        Self::Unfit(what.to_owned())
    }
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The root that it is below.
    root: PathBuf,
    /// The folders from there on.
    folders: Vec<String>,
    /// Its own name; that of the folder for a Maildir.
    pub(super) name: String,
    /// Whether it is a Maildir.
    pub(super) is_maildir: bool,
}

impl Place {
    /// By a registered name, by an absolute path, or by a `file:` URL (RFC 8089).
    pub(super) fn find(options: &FileOptions, named: &Named) -> Result<Self, Lost> {
        let name = named.name.as_str();
        if name.len() > PATH_MAX {
            return Err(Lost::unfit("it is too long"));
        }
        let path = match path_of_url(name)? {
            None if name.starts_with('/') => Some(name.to_owned()),
            path => path,
        };
        if let Some(path) = path {
            if !options.free_paths {
                return Err(Lost::unfit("only registered names may be chosen"));
            }
            return below(&path, &options.roots);
        }
        let registered = options.files.get(&name.to_ascii_lowercase()).ok_or(Lost::Unregistered)?;
        below(&registered.of(&named.account)?, &options.roots)
    }

    /// The folder that it is in, opened from the root down without following links.
    pub(super) fn folder(&self) -> Result<Folder, BeneathError> {
        let mut folder = Folder::root(&self.root)?;
        for name in &self.folders {
            folder = folder.folder(name)?;
        }
        Ok(folder)
    }
}

/// The path of a `file:` URL of this machine; `None` where it is no such URL.
fn path_of_url(text: &str) -> Result<Option<String>, Lost> {
    let is_url = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"));
    if !is_url {
        return Ok(None);
    }
    let rest = &text[5..];
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with('/') {
        return Err(Lost::unfit("it is a file of another machine"));
    }
    let decoded = percent_decoded(path).ok_or_else(|| Lost::unfit("its URL cannot be read"))?;
    Ok(Some(decoded))
}

/// RFC 3986 §2.1.
fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            octets.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        octets.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(octets).ok()
}

/// The place of an absolute path, by the first root that it is below.
fn below(path: &str, roots: &[PathBuf]) -> Result<Place, Lost> {
    let astray = path.contains('\0') || Path::new(path).components().any(|part| part == Component::ParentDir);
    if astray {
        return Err(Lost::unfit("its path leads astray"));
    }
    let found = roots.iter().find_map(|root| Some((root, Path::new(path).strip_prefix(root).ok()?)));
    let Some((root, rest)) = found else { return Err(Lost::unfit("it is outside the roots")) };
    let mut names = Vec::new();
    for part in rest.components() {
        match part {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            _ => return Err(Lost::unfit("its path leads astray")),
        }
    }
    let Some(name) = names.pop() else { return Err(Lost::unfit("it is a root itself")) };
    // Who appended to another file's lock would keep it locked.
    if name.ends_with(".lock") || name.ends_with(super::unfinished::ENDING) {
        return Err(Lost::unfit("its name is that of a lock, or of what is half written"));
    }
    if names.len() > DEPTH_MAX {
        return Err(Lost::unfit("it is too deep"));
    }
    Ok(Place { root: root.clone(), folders: names, name, is_maildir: path.ends_with('/') })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn find(name: &str, account: &str) -> Result<Place, Lost> {
        find_with(true, name, account)
    }

    fn find_with(free_paths: bool, name: &str, account: &str) -> Result<Place, Lost> {
        let options = FileOptions {
            roots: vec!["/var/spool/archive".into(), "/srv/mail".into()],
            free_paths,
            files: [("archive", "/srv/mail/{account}.mbox"), ("all", "/srv/mail/all/")]
                .map(|(name, path)| (name.to_owned(), path.parse().unwrap()))
                .into(),
            size_max: 1,
            lock_wait: Duration::ZERO,
            host: String::new(),
        };
        Place::find(&options, &Named { account: account.to_owned(), name: name.to_owned() })
    }

    #[test]
    fn names_lead_below_a_root() {
        let anna = "anna@example.org";
        for (name, root, folders, file, is_maildir) in [
            ("file:///var/spool/archive/a%20b.mbox", "/var/spool/archive", vec![], "a b.mbox", false),
            ("FILE://localhost/srv/mail/x/y/", "/srv/mail", vec!["x"], "y", true),
            ("file:/srv/mail/./x", "/srv/mail", vec![], "x", false),
            ("/srv/mail/x//y", "/srv/mail", vec!["x"], "y", false),
            ("Archive", "/srv/mail", vec![], "anna@example.org.mbox", false),
            ("all", "/srv/mail", vec![], "all", true),
        ] {
            let place = find(name, anna).unwrap();
            let folders: Vec<String> = folders.into_iter().map(str::to_owned).collect();
            let expected = Place { root: root.into(), folders, name: file.to_owned(), is_maildir };
            assert_eq!(place, expected, "{name}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for name in [
            "/etc/passwd",
            "file:///etc/passwd",
            "file://elsewhere/srv/mail/x",
            "/srv/mail",
            "/srv/mail/",
            "/srv/mailbox/x",
            "/srv/mail/anna.mbox.lock",
            "/srv/mail/anna.mbox.half",
            "/srv/mail/../../etc/passwd",
            "file:///srv/mail/%2e%2e/%2e%2e/etc/passwd",
            "file:///srv/mail/..%2f..%2fetc/passwd",
            "file:///srv/mail/x%00",
            "file:///srv/mail/%zz",
            "file:///srv/mail/%ff",
        ] {
            assert!(matches!(find(name, "anna"), Err(Lost::Unfit(_))), "{name}: {:?}", find(name, "anna"));
        }
        assert!(matches!(find_with(false, "/srv/mail/x", "anna"), Err(Lost::Unfit(_))));
        assert!(find_with(false, "archive", "anna").is_ok());
        assert!(matches!(find("archive", "../anna"), Err(Lost::Unfit(_))));
        assert!(matches!(find("archive", "..."), Err(Lost::Unfit(_))));
        assert_eq!(find("archives", "anna"), Err(Lost::Unregistered));
        assert_eq!(find("../x", "anna"), Err(Lost::Unregistered));
    }

    #[test]
    fn registered_paths_are_absolute() {
        for text in ["x", "", "/srv/{user}", "/srv/{account", "mail/{account}"] {
            assert!(text.parse::<FilePath>().is_err(), "{text}");
        }
    }
}
