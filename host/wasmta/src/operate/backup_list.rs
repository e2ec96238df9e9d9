//! What a backup says of its files: each one's name, octets and SHA-256, a line each, in a file beside the copy whose own
//! SHA-256 stands in `BACKUP.json`. Read and written a line at a time: a store may have millions of content files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::backup::{COPY, FOLDERS_DEPTH_MAX, copy_file};

/// The list's file.
pub(super) const LIST: &str = "FILES";
/// Longest line of it, in octets: a digest, a number, a path.
const LINE_MAX: u64 = 5000;
/// Octets of a digest, as it is written.
const DIGEST_LEN: usize = 64;
/// Octets read at a time.
const CHUNK: usize = 256 << 10;
/// Faults of a backup that are told by name.
const FAULTS_SHOWN_MAX: usize = 10;

/// One file.
struct Entry {
    name: String,
    octets: u64,
    digest: String,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, ' ');
        let (digest, octets, name) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        // Nothing leads out of the folder.
        let stays = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        (stays && !name.is_empty()).then(|| Self { name: name.to_owned(), octets, digest: digest.to_owned() })
    }
}

/// What is wrong with a backup: some by name, and how many.
#[derive(Default)]
struct Faults {
    shown: Vec<String>,
    total: usize,
}

impl Faults {
    fn add(&mut self, fault: String) {
        self.total += 1;
        if self.shown.len() < FAULTS_SHOWN_MAX {
            self.shown.push(fault);
        }
    }

    fn outcome(self, folder: &Path) -> Result<(), String> {
        if self.total == 0 {
            return Ok(());
        }
        let mut text =
            format!("{} is not the backup that was made, and the data stay as they are:", folder.display());
        for fault in &self.shown {
            text.push_str("\n  ");
            text.push_str(fault);
        }
        if self.total > self.shown.len() {
            text.push_str(&format!("\n  and {} more", self.total - self.shown.len()));
        }
        Err(text)
    }
}

/// A list that is being written.
struct Writing<'t> {
    to: BufWriter<File>,
    digest: Sha256,
    count: u64,
    /// Hears how many files are done, and says whether to go on.
    tell: &'t mut dyn FnMut(u64) -> bool,
}

impl Writing<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), String> {
        let fault = |e: io::Error| format!("{}: {e}", folder.display());
        // Those of the environments lie one level lower than the deepest that was copied.
        if depth > FOLDERS_DEPTH_MAX + 1 {
            return Err(fault(io::Error::other("too many folders within each other")));
        }
        let entries = fs::read_dir(folder).map_err(fault)?;
        let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(fault)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str().filter(|name| !name.contains('\n')) else {
                return Err(format!(
                    "{}: the list of files cannot hold this name: rename it",
                    path.display()
                ));
            };
            let name = format!("{prefix}{name}");
            if entry.file_type().map_err(fault)?.is_dir() {
                self.folder(&path, &format!("{name}/"), depth + 1)?;
            } else {
                self.file(&path, &name)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &str) -> Result<(), String> {
        let (digest, octets) = digest_of(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let line = format!("{digest} {octets} {name}\n");
        self.digest.update(&line);
        self.to.write_all(line.as_bytes()).map_err(|e| format!("{LIST}: {e}"))?;
        self.count += 1;
        if (self.tell)(self.count) { Ok(()) } else { Err("stopped".to_owned()) }
    }
}

/// Writes the list of all files of a copy into a backup's folder, and gives what the manifest says of it. `tell` hears how many
/// are done, and says whether to go on.
pub(super) fn write(copy: &Path, folder: &Path, tell: &mut dyn FnMut(u64) -> bool) -> Result<Value, String> {
    let path = folder.join(LIST);
    let fault = |e: io::Error| format!("{}: {e}", path.display());
    let to = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(fault)?;
    let mut writing = Writing { to: BufWriter::new(to), digest: Sha256::new(), count: 0, tell };
    writing.folder(copy, "", 0)?;
    let file = writing.to.into_inner().map_err(|e| fault(e.into_error()))?;
    file.sync_all().map_err(fault)?;
    Ok(json!({ "list": LIST, "count": writing.count, "sha256": hexadecimal(writing.digest) }))
}

/// Whether a folder has a list that begins as those do that are written here.
pub(super) fn is_list(folder: &Path) -> bool {
    let Ok(file) = runtime::files::open(&folder.join(LIST)) else { return false };
    let mut first = String::new();
    let read = BufReader::new(file).take(LINE_MAX).read_line(&mut first);
    let entry = first.strip_suffix('\n').and_then(Entry::parse);
    read.is_ok() && entry.is_some_and(|entry| entry.digest.len() == DIGEST_LEN)
}

/// What a backup has, as far as that is seen without reading its files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Whether each file has a digest.
    pub(super) has_digests: bool,
    /// Octets of all files; as far as the manifest has them.
    pub(super) octets: u64,
}

/// Holds a backup against its manifest as far as that goes without reading the files: all are there, and as long as they were.
pub(super) fn compare(folder: &Path, manifest: &Value) -> Result<Seen, String> {
    let (mut faults, mut sum) = (Faults::default(), 0_u64);
    let is_listed = !manifest["files"].is_null();
    if is_listed {
        let path = folder.join(LIST);
        let (digest, _) = digest_of(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        if manifest["files"]["sha256"].as_str() != Some(&digest) {
            faults.add(format!("{LIST}: this is not the list that was written with it"));
            return faults.outcome(folder).map(|()| Seen { has_digests: true, octets: 0 });
        }
        for_each(folder, &mut |entry| {
            let shown = format!("{COPY}/{}", entry.name);
            sum = sum.saturating_add(entry.octets);
            match octets_of(&folder.join(COPY).join(&entry.name)) {
                Ok(octets) if octets == entry.octets => {}
                Ok(octets) => faults.add(format!("{shown} has {octets} octets, and had {}", entry.octets)),
                Err(why) => faults.add(format!("{shown} {why}")),
            }
            Ok(())
        })?;
    } else {
        compare_counts(folder, manifest, &mut faults);
    }
    faults.outcome(folder)?;
    Ok(Seen { has_digests: is_listed, octets: sum })
}

/// A manifest without a list has the environments: octets of the engine's file, content files and their octets.
fn compare_counts(folder: &Path, manifest: &Value, faults: &mut Faults) {
    let Some(environments) = manifest["environments"].as_object() else { return };
    for (name, said) in environments {
        let dir = folder.join(COPY).join(name);
        let shown = format!("{COPY}/{name}");
        let wanted = said["octets"].as_u64();
        match octets_of(&dir.join("data.mdb")) {
            Ok(octets) if wanted.is_none_or(|wanted| wanted == octets) => {}
            Ok(octets) => {
                faults.add(format!("{shown}/data.mdb has {octets} octets, and had {}", wanted.unwrap_or(0)));
            }
            Err(why) => faults.add(format!("{shown}/data.mdb {why}")),
        }
        let contents = fs::read_dir(dir.join("content"));
        let sizes = contents.into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok());
        let (count, octets) = sizes.fold((0, 0), |(count, octets), file| (count + 1, octets + file.len()));
        for (what, found, wanted) in
            [("files", count, &said["content_files"]), ("octets", octets, &said["content_octets"])]
        {
            if wanted.as_u64().is_some_and(|wanted| wanted != found) {
                faults.add(format!("{shown}/content has {found} {what}, and had {wanted}"));
            }
        }
    }
}

/// Copies what the list names, and holds each copy against its digest. What else lies there is left out.
pub(super) fn copy(folder: &Path, to: &Path) -> Result<(), String> {
    let (mut faults, mut folders) = (Faults::default(), BTreeSet::from([to.to_owned()]));
    let fault = |path: &Path, e: io::Error| format!("{}: {e}", path.display());
    fs::create_dir(to).map_err(|e| fault(to, e))?;
    for_each(folder, &mut |entry| {
        let (source, target) = (folder.join(COPY).join(&entry.name), to.join(&entry.name));
        for parent in target.ancestors().skip(1).take_while(|parent| *parent != to) {
            folders.insert(parent.to_owned());
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|e| fault(parent, e))?;
        }
        copy_file(&source, &target).map_err(|e| {
            format!(
                "{} to {}: {e}; the data stay as they are: mend that, and give the command again",
                source.display(),
                target.display()
            )
        })?;
        let (digest, _) = digest_of(&target).map_err(|e| fault(&target, e))?;
        if digest != entry.digest {
            faults.add(format!("{COPY}/{} has another content than it had (SHA-256)", entry.name));
        }
        Ok(())
    })?;
    faults.outcome(folder)?;
    folders.iter().try_for_each(|path| runtime::files::sync_dir(path).map_err(|e| fault(path, e)))
}

fn for_each(folder: &Path, act: &mut dyn FnMut(Entry) -> Result<(), String>) -> Result<(), String> {
    let path = folder.join(LIST);
    let fault = |e: io::Error| format!("{}: {e}", path.display());
    let mut list = BufReader::new(runtime::files::open(&path).map_err(fault)?);
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut list).take(LINE_MAX).read_line(&mut line).map_err(fault)? == 0 {
            return Ok(());
        }
        let entry = line.strip_suffix('\n').and_then(Entry::parse);
        act(entry.ok_or_else(|| format!("{}: this line names no file: {line:?}", path.display()))?)?;
    }
}

fn octets_of(path: &Path) -> Result<u64, String> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(found.len()),
        Ok(_) => Err("is no file".to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err("is missing".to_owned()),
        Err(e) => Err(format!("cannot be looked at: {e}")),
    }
}

/// A file's SHA-256, and its length.
fn digest_of(path: &Path) -> io::Result<(String, u64)> {
    let (mut file, mut digest, mut octets) = (runtime::files::open(path)?, Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((hexadecimal(digest), octets));
        }
        digest.update(&chunk[..read]);
        octets += read as u64;
    }
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
}
