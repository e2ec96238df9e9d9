//! Mail out and in again, through files.

use std::path::Path;

use events::Events;
use mail_types::{AccountName, Timestamp};
use runtime::Clock;
use store::{AccountId, Flags, MailboxName, NewMessage, SPACES, Store};

use crate::*;

mod anew;
mod imap;

const OCTETS_MAX: u64 = 1 << 20;
const DATE: u64 = 1_795_776_763_000;

/// Mailbox, octets, flags, keywords, date.
type Seen = (String, Vec<u8>, Flags, Vec<String>, Timestamp);

struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = storage::Options { size_max: 1 << 28, inline_max: 2000, synced: false };
        let storage = storage::Storage::open(&folder.path().join("store"), SPACES, &options).unwrap();
        let clock = Clock::system();
        let store = Store::open(storage, clock.clone(), Events::counting(clock)).await.unwrap();
        Self { folder, store }
    }

    async fn account(&self, name: &str) -> AccountId {
        self.store.ensure_account(&AccountName::new(name).unwrap()).await.unwrap()
    }

    async fn put(&self, account: AccountId, mailbox: &str, text: &[u8], flags: Flags, keywords: &[&str]) {
        let name = MailboxName::new(mailbox).unwrap();
        let mailbox = self.store.ensure_place(account, &name, &[]).await.unwrap();
        let message = NewMessage {
            content: text.to_vec().into(),
            flags,
            keywords: keywords.iter().map(|keyword| (*keyword).to_owned()).collect(),
            internal_date: Some(Timestamp(DATE)),
        };
        self.store.append(mailbox, vec![message]).await.unwrap();
    }

    /// All messages.
    fn all(&self, account: AccountId) -> Vec<Seen> {
        let mut all = Vec::new();
        for mailbox in self.store.mailboxes(account).unwrap() {
            let reader = self.store.reader(mailbox.id).unwrap();
            let names = reader.keywords().unwrap();
            let mut infos = Vec::new();
            reader.infos(.., |info| infos.push(info)).unwrap();
            for info in infos {
                let octets = reader.octets(info.uid).unwrap().unwrap().to_bytes().unwrap().to_vec();
                let mut keywords: Vec<String> = names.names(info.keywords).map(str::to_owned).collect();
                keywords.sort();
                all.push((mailbox.name.to_string(), octets, info.flags, keywords, info.internal_date));
            }
        }
        all
    }

    fn export(
        &self,
        account: AccountId,
        folder: &Path,
        format: Format,
    ) -> Result<Vec<Exported>, MigrationError> {
        let mailboxes = self.store.mailboxes(account).unwrap();
        export(&self.store, account, &mailboxes, folder, format, &|_, _, _| Told::GoOn)
    }

    async fn import(
        &self,
        account: AccountId,
        source: &Source,
        dry_run: bool,
    ) -> Result<Imported, MigrationError> {
        self.import_anew(account, source, dry_run, Anew::Nothing).await
    }

    async fn import_anew(
        &self,
        account: AccountId,
        source: &Source,
        dry_run: bool,
        anew: Anew,
    ) -> Result<Imported, MigrationError> {
        let (store, octets_max) = (&self.store, OCTETS_MAX);
        let order = Import { store, account, source, below: None, octets_max, dry_run, anew };
        import(&order, &|_, _, _| Told::GoOn).await
    }

    /// An account with something of everything.
    async fn furnished(&self) -> AccountId {
        let account = self.account("anna@example.org").await;
        let seen = Flags::SEEN.with(Flags::ANSWERED);
        self.put(account, "INBOX", b"Subject: 1\r\n\r\nFrom here\r\n>From there\r\n\r\n", seen, &[]).await;
        self.put(
            account,
            "INBOX",
            b"Status: mine\r\nX-UID: 7\r\nX-IMAPbase: 1 2\r\nX-IMAP: 3\r\n\r\nx\r\n",
            Flags::ALL,
            &["$Forwarded", "later"],
        )
        .await;
        let large = [b"Subject: large\r\n\r\n", &b"0123456789abcdef\r\n".repeat(1000)[..]].concat();
        self.put(account, "Archive/v1.2/Größe", &large, Flags::NONE, &["$Junk"]).await;
        let many: Vec<String> = (0..30).map(|number| format!("keyword{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        self.put(account, ".dotted", b"\r\nno header\r\n", Flags::NONE, &many).await;
        account
    }
}

#[tokio::test]
async fn what_is_exported_comes_back_whole_and_once() {
    for format in [Format::Maildir, Format::Mbox] {
        let fixture = Fixture::new().await;
        let anna = fixture.furnished().await;
        let folder = fixture.folder.path().join("out");
        let exported = fixture.export(anna, &folder, format).unwrap();
        assert_eq!(exported.iter().map(|mailbox| mailbox.messages).sum::<u64>(), 4);
        let refused = fixture.export(anna, &folder, format).unwrap_err().to_string();
        assert!(refused.contains("overwrites nothing"), "{refused}");
        let source = match format {
            Format::Maildir => Source::Maildir(folder),
            Format::Mbox => Source::Mbox(folder),
        };
        let bob = fixture.account("bob@example.org").await;
        let would = fixture.import(bob, &source, true).await.unwrap();
        assert_eq!(would.mailboxes.iter().map(|mailbox| mailbox.messages).sum::<u64>(), 4);
        assert_eq!(fixture.all(bob), []);
        let came = fixture.import(bob, &source, false).await.unwrap();
        assert_eq!(came.faults, Vec::<String>::new());
        let mut expected = fixture.all(anna);
        let mut found = fixture.all(bob);
        expected.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        assert_eq!(found, expected);
        let again = fixture.import(bob, &source, false).await.unwrap();
        assert_eq!(again.mailboxes.iter().map(|mailbox| mailbox.messages).sum::<u64>(), 0);
        assert_eq!(fixture.all(bob).len(), 4);
        let violations = fixture.store.check(|_, _| Ok(()), &mut |_| {}).unwrap();
        assert_eq!(violations, []);
    }
}

#[tokio::test]
async fn a_message_that_lies_twice_in_a_maildir_comes_once() {
    let fixture = Fixture::new().await;
    let root = fixture.folder.path().join("Maildir");
    for place in ["new/1.one.host", "cur/1.one.host:2,S", "cur/2.two.host:2,"] {
        let file = root.join(place);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "Subject: x\n\nx\n").unwrap();
    }
    let anna = fixture.account("anna@example.org").await;
    let came = fixture.import(anna, &Source::Maildir(root), false).await.unwrap();
    assert_eq!((came.mailboxes[0].messages, came.faults), (2, Vec::new()));
    assert_eq!(fixture.all(anna).len(), 2);
}

#[tokio::test]
async fn no_link_in_a_maildir_leads_to_what_is_not_its_owners() {
    let fixture = Fixture::new().await;
    let anna = fixture.account("anna@example.org").await;
    let (root, secrets) = (fixture.folder.path().join("Maildir"), fixture.folder.path().join("secrets"));
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("key.pem"), "PRIVATE KEY\n").unwrap();
    let link = |to: &Path, at: &str| std::os::unix::fs::symlink(to, root.join(at)).unwrap();
    for folder in ["cur", ".Sent/cur", ".Linked"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("cur/1.one.host:2,"), "Subject: x\n\nx\n").unwrap();
    link(&secrets.join("key.pem"), "cur/2.two.host:2,");
    link(&secrets, ".Linked/cur");
    link(&secrets, ".Secrets");
    let source = Source::Maildir(root.clone());
    let came = fixture.import(anna, &source, false).await.unwrap();
    assert_eq!((came.faults, fixture.all(anna).len()), (Vec::new(), 1));
    // A folder that takes the place of one, and a list.
    link(&secrets, "new");
    let why = fixture.import(anna, &source, false).await.unwrap_err().to_string();
    assert!(why.contains("new is a link, which is not followed"), "{why}");
    std::fs::remove_file(root.join("new")).unwrap();
    link(&secrets.join("key.pem"), "dovecot-keywords");
    let why = fixture.import(anna, &source, false).await.unwrap_err().to_string();
    assert!(why.contains("it is a link, which is not followed"), "{why}");
    let other = fixture.folder.path().join("link");
    std::os::unix::fs::symlink(&root, &other).unwrap();
    let why = fixture.import(anna, &Source::Maildir(other), false).await.unwrap_err().to_string();
    assert!(why.contains("name the folder that it leads to"), "{why}");
    assert_eq!(fixture.all(anna).len(), 1);
}

#[tokio::test]
async fn names_that_no_file_can_have_come_back() {
    let long = format!("{}/Größe", "ü".repeat(190));
    let names = [
        long.as_str(),
        &"x".repeat(400),
        &format!("{}y", "x".repeat(399)),
        &format!("{}/b", "x".repeat(300)),
        "box",
        "box.mbox",
        "box.mbox/inner",
        "wasmta-names",
        "wasmta-names/below",
        ".wasmta-names",
        "cur/new/tmp",
        "a\\2eb\\5c2f.~1",
        "&-& * % \"",
        ".hidden/.too",
    ];
    for format in [Format::Maildir, Format::Mbox] {
        let fixture = Fixture::new().await;
        let account = fixture.account("anna@example.org").await;
        for name in names {
            fixture.put(account, name, format!("Subject: {name}\r\n\r\n").as_bytes(), Flags::NONE, &[]).await;
        }
        let folder = fixture.folder.path().join("out");
        fixture.export(account, &folder, format).unwrap();
        let source = match format {
            Format::Maildir => Source::Maildir(folder),
            Format::Mbox => Source::Mbox(folder),
        };
        let other = fixture.account("bob@example.org").await;
        assert_eq!(fixture.import(other, &source, false).await.unwrap().faults, Vec::<String>::new());
        let named = |account| {
            let mut all: Vec<_> =
                fixture.all(account).into_iter().map(|message| (message.0, message.1)).collect();
            all.sort();
            all
        };
        assert_eq!(named(account).len(), names.len());
        assert_eq!(named(other), named(account), "{format:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_read_meanwhile_is_the_same_one() {
    let fixture = Fixture::new().await;
    let root = fixture.folder.path().join("Maildir");
    for part in ["cur", "new", "tmp", ".Sent/cur"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    std::fs::write(root.join("new/1.a.host"), "Subject: a\n\nx\n").unwrap();
    std::fs::write(root.join("cur/2.b.host:2,FSab"), "Subject: b\n\n").unwrap();
    std::fs::write(root.join("dovecot-keywords"), "0 $Junk\n").unwrap();
    let account = fixture.account("anna@example.org").await;
    let source = Source::Maildir(root.clone());
    fixture.import(account, &source, false).await.unwrap();
    std::fs::rename(root.join("new/1.a.host"), root.join("cur/1.a.host:2,S")).unwrap();
    std::fs::write(root.join(".Sent/cur/3.c.host:2,S"), "Subject: c\n\n").unwrap();
    let second = fixture.import(account, &source, false).await.unwrap();
    assert_eq!((second.mailboxes[0].messages, second.mailboxes[0].before), (0, 2));
    assert_eq!(second.mailboxes[1].messages, 1);
    let all = fixture.all(account);
    assert_eq!(all[0].1, b"Subject: a\r\n\r\nx\r\n");
    assert_eq!((all[1].2, &all[1].3[..]), (Flags::SEEN.with(Flags::FLAGGED), &["$Junk".to_owned()][..]));
}

#[tokio::test]
async fn an_mbox_may_grow_but_not_change() {
    let fixture = Fixture::new().await;
    let file = fixture.folder.path().join("inbox");
    let message = |number: u32| format!("From a Fri Nov 27 10:52:43 2026\nSubject: {number}\n\nbody\n\n");
    std::fs::write(&file, (1..=250).map(message).collect::<String>()).unwrap();
    let account = fixture.account("anna@example.org").await;
    let source = Source::Mbox(file.clone());
    assert_eq!(fixture.import(account, &source, false).await.unwrap().mailboxes[0].messages, 250);
    std::fs::write(&file, (1..=260).map(message).collect::<String>()).unwrap();
    assert_eq!(fixture.import(account, &source, false).await.unwrap().mailboxes[0].messages, 10);
    assert_eq!(fixture.all(account).len(), 260);
    std::fs::write(&file, (2..=261).map(message).collect::<String>()).unwrap();
    let refused = fixture.import(account, &source, false).await.unwrap_err().to_string();
    assert!(refused.contains("has changed before octet"), "{refused}");
    // Written to while it was imported: the rest of the last message is none.
    std::fs::write(&file, "From a Fri Nov 27 10:52:43 2026\nSubject: x\n\nhalf").unwrap();
    let source = Source::Mbox(fixture.folder.path().join("other"));
    std::fs::rename(&file, fixture.folder.path().join("other")).unwrap();
    fixture.import(account, &source, false).await.unwrap();
    let text = "From a Fri Nov 27 10:52:43 2026\nSubject: x\n\nhalf of it\n";
    std::fs::write(fixture.folder.path().join("other"), text).unwrap();
    let refused = fixture.import(account, &source, false).await.unwrap_err().to_string();
    assert!(refused.contains("no message begins at octet"), "{refused}");
    let no_mbox = fixture.folder.path().join("text");
    std::fs::write(&no_mbox, "no mail\n").unwrap();
    let refused = fixture.import(account, &Source::Mbox(no_mbox), false).await.unwrap_err().to_string();
    assert!(refused.contains("is no mbox"), "{refused}");
}

#[tokio::test]
async fn an_import_that_is_stopped_goes_on_where_it_was() {
    let fixture = Fixture::new().await;
    let file = fixture.folder.path().join("inbox");
    let message = |number: u32| format!("From a Fri Nov 27 10:52:43 2026\nSubject: {number}\n\nbody\n\n");
    let whole: String = (1..=1000).map(message).collect();
    std::fs::write(&file, &whole).unwrap();
    let account = fixture.account("anna@example.org").await;
    let source = Source::Mbox(file);
    let calls = std::sync::atomic::AtomicU64::new(0);
    let stop_at = |most: u64| {
        calls.store(0, std::sync::atomic::Ordering::Relaxed);
        let calls = &calls;
        move |_: u64, _: u64, _: &str| {
            let called = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if called >= most { Told::Stop } else { Told::GoOn }
        }
    };
    let mut runs = 0;
    loop {
        let (store, source, octets_max) = (&fixture.store, &source, OCTETS_MAX);
        let order =
            Import { store, account, source, below: None, octets_max, dry_run: false, anew: Anew::Nothing };
        runs += 1;
        match import(&order, &stop_at(170)).await {
            Ok(_) => break,
            Err(MigrationError::Stopped) => assert!(runs < 20),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(runs > 5, "{runs}");
    let subjects: Vec<Vec<u8>> = fixture.all(account).into_iter().map(|message| message.1).collect();
    let expected: Vec<Vec<u8>> =
        (1..=1000).map(|number| format!("Subject: {number}\r\n\r\nbody\r\n").into_bytes()).collect();
    assert_eq!(subjects, expected);
}

#[tokio::test]
async fn what_cannot_be_taken_is_told_and_the_rest_comes() {
    let fixture = Fixture::new().await;
    let root = fixture.folder.path().join("Maildir");
    std::fs::create_dir_all(root.join("cur")).unwrap();
    std::fs::write(root.join("cur/1.a:2,"), vec![b'x'; 2 << 20]).unwrap();
    std::fs::write(root.join("cur/2.b:2,a"), "Subject: b\n\n").unwrap();
    std::fs::write(root.join("dovecot-keywords"), "0 not(an)atom\n").unwrap();
    let account = fixture.account("anna@example.org").await;
    let came = fixture.import(account, &Source::Maildir(root), false).await.unwrap();
    assert_eq!((came.mailboxes[0].messages, came.faults_total), (1, 2));
    assert!(came.faults[0].contains("larger than 1048576 octets"), "{:?}", came.faults);
    assert!(came.faults[1].contains("no keyword of IMAP"), "{:?}", came.faults);
}
