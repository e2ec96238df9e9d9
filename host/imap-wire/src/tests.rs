//! Known answers, and the inverse: what is encoded reads back as it was, whole or in pieces.

mod alternatives;
mod appends;

use proptest::prelude::*;

use crate::*;

fn limits() -> Limits {
    Limits::default()
}

fn read(line: &str) -> Result<Command, ParseError> {
    parse(line.as_bytes(), &limits()).map(|tagged| tagged.command).map_err(|unparsed| unparsed.error)
}

/// What the parser makes of a line, written back.
fn canonical(line: &str) -> String {
    let tagged = parse(line.as_bytes(), &limits()).unwrap_or_else(|error| panic!("{line}: {error:?}"));
    String::from_utf8(encode_command(&tagged.tag, &tagged.command)).unwrap().trim_end().to_owned()
}

#[test]
fn commands_of_the_standards_read_and_write_back() {
    // RFC 3501 §6, RFC 2342, RFC 2971, RFC 4314 §3, RFC 4315, RFC 4959, RFC 5161, RFC 5258, RFC 6851.
    for line in [
        "abcd CAPABILITY",
        "a023 LOGOUT",
        "A001 LOGIN SMITH SESAME",
        "a AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=",
        "a AUTHENTICATE EXTERNAL =",
        "a023 ID (\"name\" \"sodr\" \"version\" \"19.34\" \"vendor\" NIL)",
        "t1 ENABLE CONDSTORE X-GOOD-IDEA",
        "A142 SELECT INBOX",
        "A142 SELECT INBOX (CONDSTORE)",
        "A04 SELECT INBOX (QRESYNC (67890007 90060115194045000 1:29997 (5000,7500,9990:9999 15000,22500,29970:29979)))",
        "a EXAMINE x (CONDSTORE QRESYNC (1 2))",
        "A932 EXAMINE blurdybloop",
        "A003 CREATE owatagusiam/",
        "t2 CREATE MySpecial (USE (\\Drafts \\Sent))",
        "A684 RENAME foo zowie",
        "A002 SUBSCRIBE #news.comp.mail.mime",
        "A101 LIST \"\" \"\"",
        "A202 LIST ~/Mail/ %",
        "A02 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX Drafts Sent/%) RETURN (CHILDREN STATUS (MESSAGES UNSEEN))",
        "A002 LSUB #news. comp.mail.*",
        "A002 LIST \"\" % RETURN (MYRIGHTS)",
        "A002 SETACL INBOX/Drafts Chris +cda",
        "B002 DELETEACL INBOX -Fred",
        "A002 GETACL INBOX/Drafts",
        "a001 LISTRIGHTS ~/Mail/saved smith",
        "A003 MYRIGHTS INBOX",
        "a SETACL INBOX {5+}\r\njürg \"\"",
        "A042 STATUS blurdybloop (UIDNEXT MESSAGES)",
        "A003 UID EXPUNGE 3000:3002",
        "A282 SEARCH FLAGGED SINCE 1-Feb-1994 NOT HEADER FROM Smith",
        "A284 SEARCH CHARSET UTF-8 TEXT {6+}\r\nмат OR NEW (UNSEEN OLD KEYWORD $Junk)",
        "A999 UID FETCH 4827313:4828442 (FLAGS)",
        "A654 FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])",
        "A FETCH * (BODY.PEEK[4.2.2.1.MIME]<0.2048> BODY[] BODYSTRUCTURE RFC822.SIZE BODY[1] BODY[TEXT])",
        "A FETCH 1 (BODY[]<4294967296.9223372036854775807>)",
        "A003 STORE 2:4 +FLAGS.SILENT (\\Deleted $Forwarded)",
        "A003 COPY 2:4 MEETING",
        "d105 STORE 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)",
        "s100 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)",
        "10 UID FETCH 25900:26600 (UID MODSEQ) (PARTIAL -1:-3)",
        "a FETCH $ (EMAILID THREADID SAVEDATE PREVIEW PREVIEW (LAZY) BINARY.PEEK[1.2]<0.9> BINARY[] BINARY.SIZE[1])",
        "A282 SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT HEADER FROM Smith",
        "A283 UID SEARCH RETURN (SAVE PARTIAL 1:500) OLDER 10 YOUNGER 600 MODSEQ 5 EMAILID M1 SAVEDON 1-Feb-1994",
        "A283 SORT (SUBJECT REVERSE DATE DISPLAYFROM) UTF-8 $",
        "a UID SORT RETURN (ALL) (ARRIVAL) UTF-8 ALL",
        "A285 UID THREAD REFERENCES UTF-8 SINCE 5-Mar-2000",
        "a COMPRESS DEFLATE",
        "a GETMETADATA (MAXSIZE 1024 DEPTH infinity) INBOX (/shared/comment /private/comment)",
        "a SETMETADATA INBOX (/private/comment \"My new comment\" /shared/comment NIL)",
        "a SETMETADATA \"\" (/private/comment ~{3+}\r\na\0b)",
        "G0001 GETQUOTA !partition/sda4",
        "G0002 GETQUOTAROOT INBOX",
        "a UID MOVE 42:69 foo",
    ] {
        assert_eq!(canonical(line), line);
    }
}

#[test]
fn other_spellings_mean_the_same() {
    for (line, same) in [
        ("a fetch 1 all", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"),
        ("a FETCH 1 FAST", "a FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)"),
        ("a FETCH 1 BODY[header]", "a FETCH 1 (BODY[HEADER])"),
        ("a STORE 1 flags \\seen \\Flagged", "a STORE 1 FLAGS (\\Seen \\Flagged)"),
        ("a LOGIN \"SMITH\" {3}\r\nfat", "a LOGIN SMITH fat"),
        ("a select inbox", "a SELECT INBOX"),
        ("a SEARCH BCC x", "a SEARCH HEADER BCC x"),
        ("a SEARCH ON \"1-Feb-1994\"", "a SEARCH ON 1-Feb-1994"),
        ("a SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338", "a SEARCH MODSEQ 620162338"),
        ("a getmetadata \"\" /shared/comment", "a GETMETADATA \"\" (/shared/comment)"),
        ("a GETMETADATA INBOX (depth 1) (/a/b)", "a GETMETADATA (DEPTH 1) INBOX (/a/b)"),
        ("a GETMETADATA (DEPTH 0) INBOX \"/a\"", "a GETMETADATA INBOX (/a)"),
        ("a GETMETADATA INBOX depth", "a GETMETADATA INBOX (\"depth\")"),
        ("a SEARCH RETURN () ALL", "a SEARCH RETURN (ALL) ALL"),
        ("a list \"\" \"*\" return ()", "a LIST \"\" * RETURN ()"),
    ] {
        assert_eq!(canonical(line), same);
    }
}

#[test]
fn what_is_no_command_is_refused() {
    for line in [
        "",
        "a",
        "a ",
        " NOOP",
        "+ NOOP",
        "a+b NOOP",
        "a  NOOP",
        "a NOOP ",
        "a NOOP x",
        "a XNOOP",
        "a LOGIN x",
        "a LOGIN x \"y",
        "a LOGIN x \"y\\z\"",
        "a LOGIN x {3}\r\nab",
        "a LOGIN x {3}\r\na\0b",
        "a LOGIN x y\0",
        "a SELECT &AGE-",
        "a SELECT \"a\u{7f}b\"",
        "a FETCH 0 FLAGS",
        "a FETCH 1 (ALL)",
        "a FETCH 1 ()",
        "a FETCH 1 BODY[MIME]",
        "a FETCH 1 BODY[1.]",
        "a FETCH 1 BODY[0]",
        "a FETCH 1 BODY[]<0.0>",
        "a FETCH 1 BODY[]<0.9223372036854775808>",
        "a FETCH 1 BODY[]<0.1",
        "a FETCH 1 RFC822[]",
        "a STORE 1 FLAGS",
        "a STORE 1 *FLAGS ()",
        "a SEARCH",
        "a SEARCH ()",
        "a SEARCH FOO",
        "a SEARCH ON 31-Feb-2000",
        "a UID NOOP",
        "a UID EXPUNGE",
        "a STATUS x ()",
        "a APPEND INBOX",
        "a SELECT x ()",
        "a SELECT x (QRESYNC (1 2 1:*))",
        "a SELECT x (QRESYNC (1 2 $))",
        "a FETCH 1 FLAGS (VANISHED)",
        "a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "a UID FETCH 1 FLAGS (VANISHED)",
        "a FETCH 1 FLAGS (PARTIAL 1:2)",
        "a FETCH 1 BINARY[HEADER]",
        "a FETCH 1 BINARY.SIZE[1]<0.1>",
        "a SEARCH RETURN (ALL PARTIAL 1:2) ALL",
        "a SEARCH RETURN (PARTIAL 1:-2) ALL",
        "a SORT () UTF-8 ALL",
        "a SORT (REVERSE) UTF-8 ALL",
        "a THREAD X UTF-8 ALL",
        "a COMPRESS GZIP",
        "a CREATE x\r\ny",
        "a GETMETADATA INBOX",
        "a GETMETADATA INBOX ()",
        "a GETMETADATA (DEPTH 2) INBOX /a",
        "a GETMETADATA (SIZE 2) INBOX /a",
        "a GETMETADATA (DEPTH 1) INBOX (DEPTH 1) /a",
        "a SETMETADATA INBOX ()",
        "a SETMETADATA INBOX (/a)",
        "a SETMETADATA INBOX /a b",
        "a SETMETADATA INBOX (/ä x)",
    ] {
        assert!(read(line).is_err(), "{line:?} read as {:?}", read(line));
    }
}

#[test]
fn nesting_and_lists_are_bounded() {
    let deep = format!("a SEARCH {}ALL{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(read(&deep), Err(ParseError::TooDeep));
    let nots = format!("a SEARCH {}ALL", "NOT ".repeat(5000));
    assert_eq!(read(&nots), Err(ParseError::TooDeep));
    let keys = format!("a SEARCH{}", " ALL".repeat(1001));
    assert_eq!(read(&keys), Err(ParseError::TooMany("search keys")));
    let set = format!("a FETCH 1{} FLAGS", ",1".repeat(10_000));
    assert_eq!(read(&set), Err(ParseError::TooMany("ranges")));
    let items = format!("a FETCH 1 (FLAGS{})", " UID".repeat(500));
    assert_eq!(read(&items), Err(ParseError::TooMany("list members")));
    let parts = format!("a FETCH 1 BODY[1{}]", ".1".repeat(200));
    assert_eq!(read(&parts), Err(ParseError::TooDeep));
}

#[test]
fn passwords_are_not_shown() {
    let login = parse(b"a LOGIN user sesame", &limits()).unwrap();
    assert!(!format!("{login:?}").contains(&format!("{:?}", b"sesame")));
}

// What commands are made of, at random.

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(1_u8.., 0..20),
        Just(b"x\r\ny {3}\r\n".to_vec()),
    ]
}

fn name() -> impl Strategy<Value = MailboxName> {
    "[a-zäß日&/ \"%*{}.]{0,10}".prop_map(|name| MailboxName::new(&name))
}

fn atom() -> impl Strategy<Value = String> {
    "[A-Za-z$#][A-Za-z0-9$_.-]{0,8}"
}

fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![
        Just(Flag::Answered),
        Just(Flag::Seen),
        Just(Flag::Recent),
        atom().prop_map(Flag::Keyword),
        atom()
            .prop_filter("no system flag", |name| !["seen", "draft"].contains(&&*name.to_lowercase()))
            .prop_map(|name| Flag::Extension(format!("x{name}"))),
    ]
}

fn flags() -> impl Strategy<Value = Vec<Flag>> {
    prop::collection::vec(flag(), 0..4)
}

fn set() -> impl Strategy<Value = SequenceSet> {
    let bound = || prop_oneof![3 => (1_u32..).prop_map(Bound::Number), 1 => Just(Bound::Largest)];
    let range = (bound(), bound()).prop_map(|(from, to)| SequenceRange { from, to });
    prop::collection::vec(range, 1..5).prop_map(|ranges| SequenceSet::new(ranges).unwrap())
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![Just(By::Uid), Just(By::SequenceNumber)]
}

fn header() -> impl Strategy<Value = String> {
    "([A-Za-z\" ][A-Za-z()-]{0,8})?"
}

fn section() -> impl Strategy<Value = Section> {
    let names = || prop::collection::vec(header(), 1..4);
    let text = prop_oneof![
        Just(SectionText::Header),
        Just(SectionText::Text),
        names().prop_map(SectionText::HeaderFields),
        names().prop_map(SectionText::HeaderFieldsNot),
    ];
    prop_oneof![
        (prop::collection::vec(1_u32.., 0..4), prop::option::of(text))
            .prop_map(|(part, text)| Section { part, text }),
        prop::collection::vec(1_u32.., 1..4).prop_map(|part| Section { part, text: Some(SectionText::Mime) }),
    ]
}

fn numbers() -> impl Strategy<Value = SequenceSet> {
    prop::collection::btree_set(1_u32..99, 1..5).prop_map(|set| SequenceSet::from_rising(set).unwrap())
}

fn qresync() -> impl Strategy<Value = Qresync> {
    (1_u32.., 0_u64..999, prop::option::of(numbers()), prop::option::of((numbers(), numbers()))).prop_map(
        |(uid_validity, modseq, known_uids, matches)| Qresync { uid_validity, modseq, known_uids, matches },
    )
}

fn item() -> impl Strategy<Value = FetchItem> {
    const MAX: u64 = i64::MAX as u64;
    let partial = (0..=MAX, 1..=MAX).prop_map(|(offset, length)| Partial { offset, length });
    prop_oneof![
        Just(FetchItem::Envelope),
        Just(FetchItem::Rfc822Header),
        Just(FetchItem::BodyStructure),
        Just(FetchItem::Uid),
        Just(FetchItem::ModSeq),
        Just(FetchItem::Preview { lazy: true }),
        (section(), any::<bool>(), prop::option::of(partial))
            .prop_map(|(section, peek, partial)| FetchItem::Section(SectionFetch { section, peek, partial })),
    ]
}

fn date() -> impl Strategy<Value = Date> {
    (-719_528_i64..2_932_896).prop_map(Date::from_days_since_1970)
}

fn key() -> impl Strategy<Value = SearchKey> {
    let leaf = prop_oneof![
        Just(SearchKey::All),
        Just(SearchKey::New),
        Just(SearchKey::Has(Flag::Deleted)),
        Just(SearchKey::Lacks(Flag::Recent)),
        atom().prop_map(|keyword| SearchKey::Lacks(Flag::Keyword(keyword))),
        (header(), octets()).prop_map(|(name, text)| SearchKey::Header(name, text)),
        octets().prop_map(SearchKey::Body),
        date().prop_map(SearchKey::SentSince),
        (0..u64::MAX / 2).prop_map(SearchKey::Larger),
        (1_u32..).prop_map(SearchKey::Older),
        (0_u64..99).prop_map(SearchKey::ModSeq),
        Just(SearchKey::Sequence(SequenceSet::saved())),
        set().prop_map(SearchKey::Uid),
        set().prop_map(SearchKey::Sequence),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| SearchKey::Not(Box::new(key))),
            prop::collection::vec(inner.clone(), 2..5).prop_map(any_of),
            prop::collection::vec(inner, 1..4).prop_map(SearchKey::And),
        ]
    })
}

fn any_of(keys: Vec<SearchKey>) -> SearchKey {
    let alternatives = |key| if let SearchKey::Or(keys) = key { keys } else { vec![key] };
    SearchKey::Or(keys.into_iter().flat_map(alternatives).collect())
}

fn list() -> impl Strategy<Value = ListCommand> {
    let items = || prop::collection::vec(Just(StatusItem::Size), 1..3);
    let option = prop_oneof![Just(ListReturn::Children), items().prop_map(ListReturn::Status)];
    let pattern = || "[a-zä%*&/ ]{0,8}";
    (
        prop::collection::vec(Just(ListSelection::SpecialUse), 0..2),
        name(),
        prop::collection::vec(pattern(), 1..3),
        prop::option::of(prop::collection::vec(option, 0..3)),
    )
        .prop_map(|(selection, reference, patterns, returns)| ListCommand {
            selection,
            reference,
            patterns,
            returns,
        })
}

fn metadata() -> impl Strategy<Value = MetadataCommand> {
    let entry = || "/[ -~]{0,8}";
    let depth = prop_oneof![Just(Depth::Zero), Just(Depth::One), Just(Depth::Infinity)];
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
    let options = (prop::option::of(any::<u32>()), depth)
        .prop_map(|(max_size, depth)| MetadataOptions { max_size, depth });
    prop_oneof![
        (name(), options, prop::collection::vec(entry(), 1..4))
            .prop_map(|(mailbox, options, entries)| MetadataCommand::Get { mailbox, options, entries }),
        (name(), prop::collection::vec((entry(), value), 1..4))
            .prop_map(|(mailbox, entries)| MetadataCommand::Set { mailbox, entries }),
    ]
}

fn notify() -> impl Strategy<Value = NotifyCommand> {
    let event = prop_oneof![
        prop::collection::vec(item(), 0..3).prop_map(NotifyEvent::MessageNew),
        Just(NotifyEvent::MessageExpunge),
        Just(NotifyEvent::MailboxName),
        Just(NotifyEvent::Other("AnnotationChange".to_owned())),
    ];
    let names = || prop::collection::vec(name(), 1..3);
    let mailboxes = prop_oneof![
        Just(EventMailboxes::Selected),
        Just(EventMailboxes::SelectedDelayed),
        Just(EventMailboxes::Personal),
        names().prop_map(EventMailboxes::Subtree),
        names().prop_map(EventMailboxes::Mailboxes),
    ];
    let group = (mailboxes, prop::collection::vec(event, 0..3))
        .prop_map(|(mailboxes, events)| EventGroup { mailboxes, events });
    (any::<bool>(), prop::collection::vec(group, 1..3))
        .prop_map(|(status, groups)| NotifyCommand::Set { status, groups })
}

fn command() -> impl Strategy<Value = Command> {
    let action =
        || prop_oneof![Just(StoreAction::Add), Just(StoreAction::Remove), Just(StoreAction::Replace)];
    let store =
        (by(), set(), action(), any::<bool>(), flags()).prop_map(|(by, set, action, silent, flags)| Store {
            by,
            set,
            action,
            unchanged_since: silent.then_some(7),
            silent,
            flags,
        });
    let id = prop::collection::vec((octets(), prop::option::of(octets())), 0..3);
    prop_oneof![
        Just(Command::Noop),
        Just(Command::Idle),
        prop::option::of(id).prop_map(Command::Id),
        (octets(), octets())
            .prop_map(|(user, password)| Command::Login { user, password: Secret::new(password) }),
        (name(), prop::option::of(qresync())).prop_map(|(mailbox, qresync)| Command::Select {
            mailbox,
            parameters: SelectParameters { condstore: qresync.is_some(), qresync },
        }),
        (name(), name()).prop_map(|(from, to)| Command::Rename { from, to }),
        list().prop_map(Command::List),
        (name(), prop::collection::vec(Just(StatusItem::Unseen), 1..3))
            .prop_map(|(mailbox, items)| Command::Status { mailbox, items }),
        (by(), prop::option::of(atom()), prop::collection::vec(key(), 1..3)).prop_map(
            |(by, charset, keys)| Command::Search(Search {
                by,
                returns: charset.is_some().then(|| SearchReturns {
                    min: true,
                    context: true,
                    update: true,
                    ..SearchReturns::default()
                }),
                charset,
                keys,
            })
        ),
        (set(), prop::collection::vec(item(), 1..4), prop::option::of(0_u64..99)).prop_map(
            |(set, items, changed_since)| Command::Fetch {
                by: By::Uid,
                set,
                items,
                modifiers: FetchModifiers {
                    vanished: changed_since.is_some(),
                    changed_since,
                    partial: Some(PartialRange { from_end: changed_since.is_none(), first: 1, last: 9 }),
                },
            }
        ),
        store.prop_map(Command::Store),
        (by(), set(), name()).prop_map(|(by, set, mailbox)| Command::Move { by, set, mailbox }),
        set().prop_map(Command::UidExpunge),
        prop::collection::vec(atom(), 1..3).prop_map(Command::CancelUpdate),
        metadata().prop_map(Command::Metadata),
        notify().prop_map(Command::Notify),
    ]
}

/// All that the reader finds, the octets given in pieces of the sizes given.
fn received(input: &[u8], pieces: &[usize]) -> Vec<Received> {
    let (mut reader, mut all, mut at) = (CommandReader::new(), Vec::new(), 0);
    let mut pieces = pieces.iter().copied().cycle();
    while at < input.len() {
        let end = (at + pieces.next().unwrap_or(1).max(1)).min(input.len());
        while at < end {
            let (used, found) = reader.feed(&input[at..end], &limits());
            at += used;
            if found != Received::NeedMore {
                all.push(found);
            }
        }
    }
    all
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_the_same(command in command(), pieces in prop::collection::vec(1_usize..9, 1..6)) {
        let tag = Tag::new("A1").unwrap();
        let encoded = encode_command(&tag, &command);
        let expected = vec![Received::Command(Box::new(Tagged { tag, command }))];
        prop_assert_eq!(received(&encoded, &[usize::MAX >> 1]), expected.clone(), "{}", String::from_utf8_lossy(&encoded));
        prop_assert_eq!(received(&encoded, &pieces), expected);
    }

    #[test]
    fn no_octets_make_the_parser_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&octets, &limits());
        let _ = received(&octets, &[7]);
    }

    #[test]
    fn nearly_right_commands_do_not_either(line in "a (uid )?(fetch|store|search|list|append|login|status|getmetadata|setmetadata|notify) [ -~\r\n]{0,40}", pieces in prop::collection::vec(1_usize..9, 1..6)) {
        let line = format!("{line}\r\n");
        prop_assert_eq!(received(line.as_bytes(), &[usize::MAX >> 1]), received(line.as_bytes(), &pieces));
        if let Ok(tagged) = parse(line.trim_end_matches(['\r', '\n']).as_bytes(), &limits()) {
            let again = encode_command(&tagged.tag, &tagged.command);
            prop_assert_eq!(received(&again, &[5]), vec![Received::Command(Box::new(tagged))]);
        }
    }
}
