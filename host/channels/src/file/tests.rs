//! Files that are written, and such that are none.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use mail_types::{AccountName, Address, NextHop, QueueId, ReversePath, Route, Timestamp, Transport};
use runtime::{Clock, Folder, MailboxLock};
use storage::LoadedContent;
use tempfile::TempDir;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(60);

/// A channel over one root, which is the folder `root` of the place.
fn channel(place: &TempDir) -> FileChannel {
    let root = place.path().join("root");
    fs::create_dir_all(&root).unwrap();
    over(&root, 1 << 20, SECOND * 30)
}

fn over(root: &Path, size_max: u64, lock_wait: Duration) -> FileChannel {
    let archive: FilePath = format!("{}/{{account}}.mbox", root.display()).parse().unwrap();
    let options = FileOptions {
        roots: vec![root.to_path_buf()],
        free_paths: true,
        files: [("archive".to_owned(), archive)].into(),
        size_max,
        lock_wait,
        host: "mail.example.org".to_owned(),
    };
    FileChannel::new(options, Events::counting(Clock::system()))
}

fn attempt(id: u64, name: &str, content: &str) -> Attempt {
    let account = AccountName::new("anna@example.org").unwrap();
    Attempt {
        id: QueueId::from_u64(id),
        reverse_path: ReversePath::parse("<me@there.test>").unwrap(),
        transport: Transport::default(),
        recipients: vec![Recipient::new(Address::parse("anna+x@example.org").unwrap())],
        route: Route::new(ChannelName::FILE, NextHop::Named { account, name: name.to_owned() }),
        prefix: format!("Received: id {id}\r\n").into(),
        content: LoadedContent::Memory(content.to_owned().into()),
        source: String::new(),
        authenticated: None,
        arrived: Timestamp(1_700_000_000_000),
    }
}

async fn said(channel: &FileChannel, attempt: &Attempt) -> String {
    let outcomes = tokio::time::timeout(LONG, channel.attempt(attempt)).await.unwrap();
    match &outcomes[0] {
        Outcome::Delivered { reply, .. }
        | Outcome::Deferred { reply, .. }
        | Outcome::Failed { reply, .. } => reply.to_string(),
        other => panic!("{other:?}"),
    }
}

const TEXT: &str = "Subject: one\r\n\r\nFrom here\r\n";
const HEAD: &str = "Return-Path: <me@there.test>\nDelivered-To: anna+x@example.org\nReceived: id ";
const FIRST: &str = "From me@there.test Tue Nov 14 22:13:20 2023\n";

/// A message as it stands in a mailbox file.
fn in_mbox(id: u64) -> String {
    format!("{FIRST}{HEAD}{id}\nSubject: one\n\n>From here\n\n")
}

#[tokio::test]
async fn messages_are_appended_and_a_repeat_is_known() {
    let place = tempfile::tempdir().unwrap();
    let channel = channel(&place);
    let file = place.path().join("root/anna@example.org.mbox");
    for (id, says) in [(1, "250 2.0.0 Written"), (1, "250 2.0.0 The file has it"), (2, "250 2.0.0 Written")] {
        let said = said(&channel, &attempt(id, "archive", TEXT)).await;
        assert!(said.starts_with(says), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), in_mbox(1) + &in_mbox(2));
    assert_eq!(fs::read_dir(place.path().join("root")).unwrap().count(), 1);
    // Half a message, as a crash leaves it.
    fs::write(&file, "From me\nSubject: ha").unwrap();
    said(&channel, &attempt(3, "archive", TEXT)).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("From me\nSubject: ha\n\n{}", in_mbox(3)));
}

#[tokio::test]
async fn content_may_be_a_large_file() {
    let place = tempfile::tempdir().unwrap();
    let channel = channel(&place);
    let body = format!("a: b\r\n\r\n{}", "0123456789abcdef\r\n".repeat(40_000));
    let path = place.path().join("content");
    fs::write(&path, &body).unwrap();
    let file = Arc::new(fs::File::open(&path).unwrap());
    let content = LoadedContent::File { file, len: body.len() as u64 };
    let attempt = Attempt { content, ..attempt(1, "archive", "") };
    for _ in 0..2 {
        assert!(said(&channel, &attempt).await.starts_with("250"));
    }
    let written = fs::read_to_string(place.path().join("root/anna@example.org.mbox")).unwrap();
    assert_eq!(written, format!("{FIRST}{HEAD}1\n{}\n", body.replace("\r\n", "\n")));
}

#[tokio::test]
async fn a_maildir_gets_a_file_for_each_message_and_a_repeat_none() {
    let place = tempfile::tempdir().unwrap();
    let channel = channel(&place);
    let root = place.path().join("root");
    let name = format!("{}/mail/", root.display());
    let (new, cur) = (root.join("mail/new"), root.join("mail/cur"));
    for id in [1, 2, 1] {
        assert!(said(&channel, &attempt(id, &name, TEXT)).await.starts_with("250 2.0.0 Written"));
    }
    let files: Vec<_> = fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    let first = files.iter().find(|path| path.to_string_lossy().contains("00001R")).unwrap();
    assert_eq!(fs::read_to_string(first).unwrap(), format!("{HEAD}1\nSubject: one\n\nFrom here\n"));
    // A reader looks at it.
    let seen = format!("{}:2,S", first.file_name().unwrap().to_str().unwrap());
    fs::rename(first, cur.join(seen)).unwrap();
    assert!(said(&channel, &attempt(1, &name, TEXT)).await.starts_with("250 2.0.0 The file has it"));
    assert_eq!(fs::read_dir(&new).unwrap().count(), 1);
    assert_eq!(fs::read_dir(root.join("mail/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_no_file_of_ours_is_refused_for_good() {
    let place = tempfile::tempdir().unwrap();
    let channel = channel(&place);
    let (outside, root) = (place.path().join("outside"), place.path().join("root"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(outside.join("target"), "untouched").unwrap();
    fs::write(root.join("one"), "untouched").unwrap();
    fs::hard_link(root.join("one"), root.join("two")).unwrap();
    symlink(outside.join("target"), root.join("end")).unwrap();
    symlink(outside.join("made"), root.join("dangling")).unwrap();
    symlink(&outside, root.join("middle")).unwrap();
    let fifo = Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
    assert!(fifo.success());
    for name in
        ["../outside/target", "middle/target", "middle/", "end", "dangling", "pipe", "folder", "two", "one/"]
    {
        let said = said(&channel, &attempt(1, &format!("{}/{name}", root.display()), TEXT)).await;
        assert!(said.starts_with("550 5.7.1"), "{name}: {said}");
        // Where on the disk is nobody's business.
        assert!(!said.contains("root"), "{said}");
    }
    for path in [outside.join("target"), root.join("one")] {
        assert_eq!(fs::read_to_string(path).unwrap(), "untouched");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    let devices = over(Path::new("/dev"), 1 << 20, SECOND);
    assert!(said(&devices, &attempt(1, "/dev/null", TEXT)).await.starts_with("550 5.7.1"));
}

#[tokio::test]
async fn what_may_be_mended_is_tried_again() {
    let place = tempfile::tempdir().unwrap();
    let channel = channel(&place);
    let root = place.path().join("root");
    let missing = format!("{}/not/there", root.display());
    for (name, reply) in [("unheard-of", "451 4.3.5"), (missing.as_str(), "451 4.3.0")] {
        let said = said(&channel, &attempt(1, name, TEXT)).await;
        assert!(said.starts_with(reply), "{name}: {said}");
    }
    let nameless = Attempt { route: Route::new(ChannelName::FILE, NextHop::Nobody), ..attempt(1, "", TEXT) };
    assert!(said(&channel, &nameless).await.starts_with("451 4.3.5"));
    let small = over(&root, 200, SECOND);
    assert!(said(&small, &attempt(1, "archive", TEXT)).await.starts_with("250"));
    assert!(said(&small, &attempt(2, "archive", TEXT)).await.starts_with("451 4.2.2"));
    assert_eq!(fs::read_to_string(root.join("anna@example.org.mbox")).unwrap(), in_mbox(1));
    let long = "x".repeat(300);
    assert!(
        said(&small, &attempt(3, &format!("{}/dir/", root.display()), &long)).await.starts_with("451 4.2.2")
    );
}

#[tokio::test]
async fn a_locked_file_is_waited_for_but_not_for_ever() {
    let place = tempfile::tempdir().unwrap();
    let channel = channel(&place);
    let root = place.path().join("root");
    let lock = || MailboxLock::take(Folder::root(&root).unwrap(), "anna@example.org.mbox").unwrap();
    let held = lock().unwrap();
    let impatient = over(&root, 1 << 20, Duration::from_millis(10));
    assert!(said(&impatient, &attempt(1, "archive", TEXT)).await.starts_with("451 4.2.0"));
    let one = attempt(1, "archive", TEXT);
    let mut waiting = std::pin::pin!(said(&channel, &one));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    drop(held);
    assert!(waiting.await.starts_with("250 2.0.0 Written"));
    assert!(lock().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_leave_whole_messages() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 5;
    let place = tempfile::tempdir().unwrap();
    channel(&place);
    let root = place.path().join("root");
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let channel = over(&root, 1 << 20, LONG);
            tokio::spawn(async move {
                for id in 0..EACH {
                    let said = said(&channel, &attempt(writer * EACH + id, "archive", TEXT)).await;
                    assert!(said.starts_with("250 2.0.0 Written"), "{said}");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut whole = fs::read_to_string(root.join("anna@example.org.mbox")).unwrap();
    for id in 0..WRITERS * EACH {
        let message = in_mbox(id);
        let at = whole.find(&message).unwrap_or_else(|| panic!("{id} is not whole"));
        whole.replace_range(at..at + message.len(), "");
    }
    assert_eq!(whole, "");
}

/// Leaves what a crash leaves that comes after so many octets of message 2, and says what is there once message 3 is appended.
async fn after_a_crash(cut: usize, damage: impl FnOnce(&mut String)) -> String {
    let place = tempfile::tempdir().unwrap();
    let channel = channel(&place);
    let (root, mailbox) = (place.path().join("root"), "anna@example.org.mbox");
    said(&channel, &attempt(1, "archive", TEXT)).await;
    let (whole, start) = (in_mbox(2), in_mbox(1).len() as u64);
    let folder = Folder::root(&root).unwrap();
    let unfinished = unfinished::Unfinished::new(start, whole.len() as u64, whole.clone().into_bytes());
    unfinished.note(&folder, mailbox).unwrap();
    let mut there = in_mbox(1) + &whole[..cut];
    damage(&mut there);
    fs::write(root.join(mailbox), &there).unwrap();
    let said = said(&channel, &attempt(3, "archive", TEXT)).await;
    assert!(said.starts_with("250 2.0.0 Written"), "{said}");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "nothing is left beside it");
    fs::read_to_string(root.join(mailbox)).unwrap()
}

#[tokio::test]
async fn half_a_message_is_taken_back_by_the_next_append() {
    for cut in 0..in_mbox(2).len() {
        assert_eq!(after_a_crash(cut, |_| ()).await, in_mbox(1) + &in_mbox(3), "{cut}");
    }
    // The crash came after the whole.
    let all = in_mbox(1) + &in_mbox(2) + &in_mbox(3);
    assert_eq!(after_a_crash(in_mbox(2).len(), |_| ()).await, all);
    // Octets that never came to the disk.
    let zeros = after_a_crash(30, |there| there.push_str(&"\0".repeat(20))).await;
    assert_eq!(zeros, in_mbox(1) + &in_mbox(3));
}

#[tokio::test]
async fn what_others_wrote_is_never_taken_back() {
    let others = "\nFrom x\nA: b\n\n";
    for cut in [0, 1, 30, 60] {
        let there = after_a_crash(cut, |there| there.push_str(others)).await;
        assert_eq!(there, in_mbox(1) + &in_mbox(2)[..cut] + others + &in_mbox(3), "{cut}");
    }
    // Our message is gone, and others' stand in its place.
    let there = after_a_crash(0, |there| there.push_str("From x\nA: b\n\n")).await;
    assert_eq!(there, in_mbox(1) + "From x\nA: b\n\n" + &in_mbox(3));
    // The owner took mail out meanwhile.
    let there = after_a_crash(0, String::clear).await;
    assert_eq!(there, in_mbox(3));
}

#[tokio::test]
async fn the_message_itself_comes_whole_after_its_half() {
    let place = tempfile::tempdir().unwrap();
    let channel = channel(&place);
    let (root, mailbox) = (place.path().join("root"), "anna@example.org.mbox");
    let folder = Folder::root(&root).unwrap();
    let body = format!("a: b\r\n\r\n{}", "0123456789abcdef\r\n".repeat(40_000));
    let whole = format!("{FIRST}{HEAD}2\n{}\n", body.replace("\r\n", "\n"));
    fs::write(root.join(mailbox), &whole[..500_000]).unwrap();
    let unfinished = unfinished::Unfinished::new(0, whole.len() as u64, whole.clone().into_bytes());
    unfinished.note(&folder, mailbox).unwrap();
    said(&channel, &attempt(2, "archive", &body)).await;
    assert_eq!(fs::read_to_string(root.join(mailbox)).unwrap(), whole);
    // Somebody wrote behind a half that is longer than what is noted of it, in the middle of a line.
    let there = format!("{}From x\nA: b\n\n", &whole[..100_000]);
    fs::write(root.join(mailbox), &there).unwrap();
    unfinished.note(&folder, mailbox).unwrap();
    said(&channel, &attempt(2, "archive", &body)).await;
    assert_eq!(fs::read_to_string(root.join(mailbox)).unwrap(), there + &whole);
    fs::write(root.join(mailbox), &whole).unwrap();
    // What is beside it is no note of ours: nothing is touched.
    for note in ["", "wasmta-append-1", "wasmta-append-1 0\nFrom", "something else\n"] {
        fs::write(root.join(format!("{mailbox}.half")), note).unwrap();
        assert!(said(&channel, &attempt(2, "archive", &body)).await.starts_with("250 2.0.0 The file has it"));
        assert_eq!(fs::read_to_string(root.join(mailbox)).unwrap(), whole, "{note:?}");
    }
}

/// A file system of its own, where the test may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn of(size: &str) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(place.path()).output();
        mount.is_ok_and(|done| done.status.success()).then(|| Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_leaves_no_half_message() {
    let Some(disk) = SmallDisk::of("size=64k,mode=700") else {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    };
    let root = disk.0.path();
    let channel = over(root, 1 << 30, SECOND);
    let file = root.join("anna@example.org.mbox");
    assert!(said(&channel, &attempt(1, "archive", TEXT)).await.starts_with("250"));
    let large = format!("a: b\r\n\r\n{}", "0123456789abcde\r\n".repeat(8_000));
    assert!(said(&channel, &attempt(2, "archive", &large)).await.starts_with("451 4.3.1"));
    assert_eq!(fs::read_to_string(&file).unwrap(), in_mbox(1));
    let maildir = format!("{}/mail/", root.display());
    assert!(said(&channel, &attempt(3, &maildir, &large)).await.starts_with("451 4.3.1"));
    assert_eq!(fs::read_dir(root.join("mail/tmp")).unwrap().count(), 0);
    // It works on as soon as there is room.
    assert!(said(&channel, &attempt(4, "archive", TEXT)).await.starts_with("250"));
    assert_eq!(fs::read_to_string(&file).unwrap(), in_mbox(1) + &in_mbox(4));
}
