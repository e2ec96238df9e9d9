//! What a hostile plugin can do: one call's worth, and no more.

use super::*;
use hooks::{Action, DispositionRequest, MessageView, OnFailure, Role, SenderRequest, Sitting, Told};
use mail_types::AccountName;

#[tokio::test]
async fn an_explanation_changes_nothing() {
    let house = house().with("trap", |settings| settings.breaker.faults = 2).await;
    for _ in 0..3 {
        assert_eq!(house.said_in(&mut Sitting::counted(), "trap", "x@example.org").await, "trap");
    }
    let numbers = || house.engine.list().remove(&name("trap")).unwrap();
    assert_eq!((numbers().calls, numbers().failures.len()), (0, 0));
    // Two faults of mail itself, and it rests; an explanation says so, and is no probe.
    for expected in ["trap", "trap", "resting", "resting"] {
        assert_eq!(house.said("trap", "x@example.org").await, expected);
    }
    assert_eq!(house.said_in(&mut Sitting::counted(), "trap", "x@example.org").await, "resting");
    let told = house.events.counters().all().into_iter().find(|(kind, _)| *kind == "plugin_failed");
    assert_eq!(told, Some(("plugin_failed", 3)), "that it rests is told once in a while");
}

#[tokio::test]
async fn a_loop_ends_with_its_processor_time() {
    let house = house().with("loop", |settings| settings.limits.cpu = Duration::from_millis(20)).await;
    let told = house.rewrite("loop", "x@example.org").await;
    assert!(told.report.microseconds >= 20_000);
    let (kind, message) = kind(told);
    assert_eq!(kind, FailureKind::Cpu, "{message}");
    assert!(message.contains("limits.cpu"), "{message}");
    // The next call is none the worse for it.
    assert_eq!(house.said("loop", "good@example.org").await, "no-match");
}

#[tokio::test]
async fn waiting_for_the_host_is_not_processor_time() {
    let house = house()
        .with("slow", |settings| {
            settings.limits.cpu = Duration::from_millis(50);
            settings.limits.dns_queries = 5;
        })
        .await;
    let told = house.rewrite("slow", "x@example.org").await;
    // Five questions of 20 ms each are more than the processor time, and were answered all the same.
    assert!(told.report.microseconds >= 100_000, "{:?}", told.report);
    let (kind, message) = kind(told);
    assert_eq!(kind, FailureKind::Calls, "{message}");
    assert!(message.contains("limits.dns-queries"), "{message}");
}

#[tokio::test]
async fn waiting_ends_by_the_wall_clock() {
    let house = house()
        .with("slow", |settings| {
            settings.limits.wall = Duration::from_millis(300);
            settings.limits.dns_queries = 100_000;
            settings.limits.host_calls = 1_000_000;
        })
        .await;
    let (kind, message) = kind(house.rewrite("slow", "x@example.org").await);
    assert_eq!(kind, FailureKind::Wall, "{message}");
    assert_eq!(house.said("slow", "good@example.org").await, "no-match");
}

#[tokio::test]
async fn host_calls_and_their_octets_are_counted() {
    let house = house().with("slow", |settings| settings.limits.cpu = Duration::from_secs(5)).await;
    assert_eq!(house.said("slow", "lookup@example.org").await, "calls");
    let many = house.said("slow", "many@example.org").await;
    assert!(["calls", "trap", "memory"].contains(&many.as_str()), "{many}");
    let house = super::house().with("flood", |settings| settings.limits.cpu = Duration::from_secs(5)).await;
    for (word, kinds) in [
        ("x", &["calls"][..]),
        ("line", &["calls"]),
        ("fields", &["calls", "memory"]),
        ("text", &["calls"]),
        ("list", &["calls"]),
        ("failure", &["calls"]),
    ] {
        let said = house.said("flood", &format!("{word}@example.org")).await;
        assert!(kinds.contains(&said.as_str()), "{word}: {said}");
    }
    let told = house.rewrite("flood", "x@example.org").await;
    assert!(told.report.log.len() <= 21, "{} lines", told.report.log.len());
}

#[tokio::test]
async fn answers_count_for_what_is_handed_over_and_those_to_a_whole_batch_have_room() {
    let domain = Domain::parse("example.org").unwrap();
    let entry = |at: usize| {
        let proxies =
            [format!("SMTP:Anna{at}@Example.org"), format!("smtp:ann.of.the.house{at}@example.org")];
        let mut attributes: Attributes = vec![("objectClass".into(), "user".into())];
        attributes.push(("userPrincipalName".into(), format!("a1234{at}@example.org")));
        attributes.extend(proxies.map(|proxy| ("proxyAddresses".into(), proxy)));
        (format!("CN=Anna{at},OU=People,DC=example,DC=org"), attributes)
    };
    let entries: Vec<(String, Attributes)> = (0..1000).map(entry).collect();
    let default = crate::Limits::default().output;
    for (output, all) in [(default, true), (1024, false)] {
        let house = house()
            .with("ad-schema", |settings| {
                settings.limits.output = output;
                settings.limits.cpu = Duration::from_secs(5);
            })
            .await;
        let told = house.engine.build_rows(&name("ad-schema"), &domain, &entries).await;
        if all {
            assert!(told.answer.unwrap().iter().all(|rows| rows.aliases.len() == 3));
        } else {
            let (kind, message) = kind(told);
            assert_eq!(kind, FailureKind::Calls, "{message}");
            assert!(message.contains("1024 octets") && message.contains("limits.output"), "{message}");
        }
    }
    // What is not even taken off the plugin's hands is told alike.
    let house = house().with("flood", |settings| settings.limits.cpu = Duration::from_secs(5)).await;
    let (_, message) = kind(house.rewrite("flood", "list@example.org").await);
    assert!(message.contains("limits.output"), "{message}");
}

#[tokio::test]
async fn memory_is_bounded_for_instance_and_tenant() {
    let house = house()
        .with("allocate", |settings| {
            settings.limits.cpu = Duration::from_secs(5);
            settings.limits.memory = 8 << 20;
        })
        .await;
    for word in ["x", "vec"] {
        let told = house.rewrite("allocate", &format!("{word}@example.org")).await;
        assert!(told.report.memory <= 8 << 20);
        let (kind, message) = kind(told);
        assert_eq!(kind, FailureKind::Memory, "{word}: {message}");
        assert!(message.contains("limits.memory"), "{message}");
    }
    let house = super::house()
        .with("allocate", |settings| {
            settings.limits.cpu = Duration::from_secs(5);
            settings.limits.tenant_memory = 4 << 20;
        })
        .await;
    let (kind, message) = kind(house.rewrite("allocate", "x@example.org").await);
    assert_eq!((kind, message.contains("limits.tenant-memory")), (FailureKind::Memory, true), "{message}");
    assert_eq!(
        house.said("allocate", "good@example.org").await,
        "no-match",
        "what a call held is given back"
    );
}

#[tokio::test]
async fn traps_cost_one_call() {
    let house = house().with("trap", |_| ()).await;
    for word in ["x", "overflow", "bounds"] {
        assert_eq!(house.said("trap", &format!("{word}@example.org")).await, "trap", "{word}");
        assert_eq!(house.said("trap", "good@example.org").await, "no-match");
    }
}

#[tokio::test]
async fn a_trap_is_told_in_one_sentence_and_its_frames_apart() {
    let house = house().with("trap", |_| ()).await;
    for (word, cause) in [("x", "it gave up: "), ("bounds", "it reached outside of its memory")] {
        let told = house.rewrite("trap", &format!("{word}@example.org")).await;
        let frames = told.report.backtrace.clone();
        let (_, message) = kind(told);
        assert!(message.starts_with(cause), "{message}");
        assert!(!message.contains("0x") && !message.contains("backtrace"), "{message}");
        assert!(!frames.is_empty() && frames.len() <= crate::fault::FRAMES_MAX, "{frames:?}");
    }
}

#[tokio::test]
async fn what_is_not_granted_ends_the_call_by_name() {
    let house = house()
        .with("slow", |settings| {
            settings.grants.remove(&Capability::Dns);
        })
        .await;
    let (kind, message) = kind(house.rewrite("slow", "x@example.org").await);
    assert_eq!(kind, FailureKind::Denied);
    assert!(message.contains("wasmta:policy/dns@1.1.0#query"), "{message}");
}

#[tokio::test]
async fn forged_rewrites_are_no_answers() {
    let house = house()
        .with("forge", |settings| {
            settings.tenants.insert(Domain::parse("example.org").unwrap());
            settings.channels.insert(ChannelName::new("smtp"));
        })
        .await;
    let words = [
        "domain",
        "again-domain",
        "channel",
        "empty-channel",
        "host",
        "short",
        "more",
        "other",
        "other-json",
        "local-crlf",
        "local-nul",
        "local-empty",
        "local-long",
        "domain-empty",
        "domain-syntax",
        "domain-crlf",
        "crlf",
        "code",
        "code-none",
        "code-zero",
        "class",
        "enhanced",
        "text-long",
        "text-foreign",
    ];
    for word in words {
        let (kind, message) = kind(house.rewrite("forge", &format!("{word}@example.org")).await);
        assert_eq!(kind, FailureKind::Answer, "{word}: {message}");
        assert!(!message.contains(['\r', '\n', '\0']), "{word}: {message:?}");
    }
    let (kind, message) = kind(house.rewrite("forge", "message@example.org").await);
    assert!(matches!(kind, FailureKind::Temporary | FailureKind::Permanent));
    assert!(!message.contains(['\r', '\n']), "{message:?}");
}

/// A message of two fields.
struct Letter;

impl MessageView for Letter {
    fn text(&self, name: &str, nth: usize) -> Option<String> {
        (name.eq_ignore_ascii_case("subject") && nth == 0).then(|| "hello".to_owned())
    }
    fn page(&self, first: usize, _: usize) -> Vec<(String, Vec<u8>)> {
        if first == 0 { vec![("Subject".into(), b" hello".to_vec())] } else { Vec::new() }
    }
    fn size(&self) -> u64 {
        20
    }
    fn body(&self, offset: u64, _: usize) -> Vec<u8> {
        if offset == 0 { b"text".to_vec() } else { Vec::new() }
    }
}

async fn dispose(house: &House, plugin: &str, address: &str) -> Told<Vec<Action>> {
    let (context, letter) = (context(address), Arc::new(Letter));
    let mut sitting = Sitting::default();
    house.engine.dispose(&name(plugin), &context, recipient(address), letter, &mut sitting).await
}

fn recipient(address: &str) -> DispositionRequest {
    let address = Address::parse(address).unwrap();
    DispositionRequest {
        original: address.clone(),
        sender: None,
        detail: String::new(),
        account: AccountName::new("anna@example.org").unwrap(),
        profile: Arc::default(),
        address,
    }
}

#[tokio::test]
async fn forged_dispositions_are_no_answers() {
    let house = house()
        .with("forge", |settings| {
            settings.tenants.insert(Domain::parse("example.org").unwrap());
        })
        .await;
    let words = [
        "domain",
        "mailbox",
        "mailbox-nul",
        "mailbox-split",
        "mailbox-long",
        "mailbox-star",
        "label",
        "label-unknown",
        "label-space",
        "header",
        "header-name",
        "header-colon",
        "header-empty",
        "header-nul",
        "header-long",
        "header-own",
        "subject",
        "answer-long",
        "program",
        "file",
        "hold",
        "discard",
        "both",
        "reject-keep",
        "crlf",
        "code",
        "class",
        "enhanced",
        "local-crlf",
        "domain-crlf",
        "other",
    ];
    for word in words {
        let address = format!("{word}@example.org");
        let told = dispose(&house, "forge", &address).await;
        let Err(failed) = told.answer else { panic!("{word} was taken: {:?}", told.answer) };
        // Names are what users chose, or strangers wrote: no fault by which the plugin would rest for others.
        let is_name = word.starts_with("mailbox") || ["program", "file"].contains(&word);
        let kind = if is_name { FailureKind::Temporary } else { FailureKind::Answer };
        assert_eq!(failed.kind, kind, "{word}: {}", failed.message);
    }
    let told = dispose(&house, "forge", "good@example.org").await;
    assert_eq!(told.answer.unwrap(), Vec::<Action>::new());
}

#[tokio::test]
async fn forged_permissions_and_rows_are_no_answers() {
    let house = house()
        .with("forge", |settings| {
            settings.tenants.insert(Domain::parse("example.org").unwrap());
        })
        .await;
    let ask = async |word: &str, domain: &str| {
        let request = SenderRequest {
            account: AccountName::new("anna@example.org").unwrap(),
            address: Address::parse(&format!("{word}@{domain}")).unwrap(),
            attributes: Arc::default(),
        };
        house
            .engine
            .authorize(&name("forge"), &context("anna@example.org"), &request, &mut Sitting::default())
            .await
    };
    assert_eq!(kind(ask("domain", "victim.example").await).0, FailureKind::Answer);
    for word in ["crlf", "code", "class", "enhanced", "text-long", "other"] {
        assert_eq!(kind(ask(word, "example.org").await).0, FailureKind::Answer, "{word}");
    }
    let domain = Domain::parse("example.org").unwrap();
    for word in ["short", "more", "domain", "kind", "relation", "status", "target", "crlf", "syntax", "host"]
    {
        let entries = [(format!("CN={word},DC=example"), Attributes::new())];
        let told = house.engine.build_rows(&name("forge"), &domain, &entries).await;
        let Err(failed) = told.answer else { panic!("{word} was taken: {:?}", told.answer) };
        assert_eq!(failed.kind, FailureKind::Answer, "{word}: {}", failed.message);
    }
}

#[tokio::test]
async fn a_recipient_that_a_plugin_has_nothing_to_do_with_is_none_of_its_calls() {
    let house = house().with("stateful", |_| ()).await;
    let calls = || {
        let plugin = house.engine.plugin(&name("stateful")).unwrap();
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (of(&plugin.numbers.calls), of(&plugin.numbers.passed_over))
    };
    for (address, calls_then) in [("one@example.org", (1, 0)), ("one@b.example", (1, 1))] {
        assert_eq!(dispose(&house, "stateful", address).await.answer.unwrap(), Vec::<Action>::new());
        assert_eq!(calls(), calls_then, "{address}");
    }
}

#[tokio::test]
async fn each_recipient_has_the_limits_of_a_call() {
    let house = house().with("catch-all-tags", |settings| settings.limits.host_calls = 8).await;
    let (context, mut sitting) = (context("one@example.org"), Sitting::default());
    for number in 0..10 {
        let recipient = recipient(&format!("user{number}+tag@example.org"));
        let (plugin, letter) = (name("catch-all-tags"), Arc::new(Letter));
        let told = house.engine.dispose(&plugin, &context, recipient, letter, &mut sitting).await;
        assert!(told.answer.is_ok(), "{number}: {:?}", told.answer);
    }
}

#[tokio::test]
async fn state_never_passes_from_message_to_message_unless_it_may() {
    let house = house().with("stateful", |_| ()).await;
    let first = house.said("stateful", "one@example.org").await;
    for other in ["two@example.org", "three@b.example", "four@example.org"] {
        house.said("stateful", other).await;
        assert_eq!(house.said("stateful", "one@example.org").await, first);
    }
    // Warm instances keep state, but never for another tenant.
    let house =
        super::house().with("stateful", |settings| settings.reuse = Some(crate::Reuse::default())).await;
    let first = house.said("stateful", "one@example.org").await;
    assert_eq!(house.said("stateful", "one@b.example").await, first.replace("example.org", "b.example"));
    assert_ne!(house.said("stateful", "two@example.org").await, first.replace("one", "two"), "it was warm");
}

#[tokio::test]
async fn one_instance_serves_a_decision_and_nothing_else() {
    let house = house().with("stateful", |settings| settings.limits.tenant_calls = 1).await;
    let mut one = Sitting::default();
    let mut said = Vec::new();
    for (plugin, address) in [
        ("stateful", "first@example.org"),
        ("stateful", "second@example.org"),
        // Of another tenant, and back: both times an instance that has heard nothing.
        ("stateful", "third@b.example"),
        ("stateful", "fourth@example.org"),
        ("stateful", "fifth@example.org"),
    ] {
        said.push(house.said_in(&mut one, plugin, address).await);
    }
    assert_eq!(
        said,
        ["no-match", "again first@example.org", "no-match", "no-match", "again fourth@example.org"]
    );
    // It holds the only place of its tenant's calls, and whoever else decides gets it when the decision is made.
    let waiting = async { house.said("stateful", "other@example.org").await };
    let ending = async {
        tokio::task::yield_now().await;
        drop(one);
    };
    assert_eq!(tokio::join!(waiting, ending).0, "no-match");
}

#[tokio::test]
async fn what_is_recorded_is_asked_of_an_instance_that_has_heard_nothing_else() {
    for reuse in [None, Some(crate::Reuse::default())] {
        let house = house().with("stateful", |settings| settings.reuse = reuse.clone()).await;
        let recorded = HashMap::from([(name("stateful"), 1 << 20)]);
        let settings = house.engine.plugin(&name("stateful")).unwrap().settings().clone();
        assert_eq!(house.engine.configure(vec![settings], recorded).await, Vec::<String>::new());
        let mut one = Sitting::default();
        for address in ["first@example.org", "second@example.org"] {
            assert_eq!(house.said_in(&mut one, "stateful", address).await, "no-match", "{address} {reuse:?}");
        }
    }
}

#[tokio::test]
async fn a_plugin_that_fails_again_and_again_rests_for_its_tenant_alone() {
    let house = house()
        .with("trap", |settings| {
            settings.breaker.faults = 3;
            settings.on_failure = Some(OnFailure::Skip);
            settings.on_failure_of.insert(Role::Rewrite, OnFailure::Reject);
        })
        .await;
    for _ in 0..3 {
        assert_eq!(house.said("trap", "x@example.org").await, "trap");
    }
    let failed = house.rewrite("trap", "good@example.org").await.answer.unwrap_err();
    assert_eq!((failed.kind, failed.on_failure), (FailureKind::Resting, OnFailure::Reject));
    assert_eq!(house.said("trap", "good@b.example").await, "no-match", "another tenant is not its victim");
    let counters = house.events.counters().all();
    let count = |name: &str| counters.iter().find(|(other, _)| *other == name).unwrap().1;
    assert_eq!(
        (count("plugin_failed"), count("plugin_changed")),
        (4, 2),
        "one change for install, one for the rest"
    );
    let listed = || house.engine.list().remove(&name("trap")).unwrap();
    let resting: Vec<_> = listed().resting.into_iter().map(|(tenant, _)| tenant).collect();
    assert_eq!(resting, [Domain::parse("example.org").ok()]);
    // With another section it rests no more, and what has been counted stays.
    let (calls, failures) = (listed().calls, listed().failures);
    assert_eq!(house.engine.configure(vec![granted("trap")], HashMap::new()).await, Vec::<String>::new());
    assert_eq!((listed().calls, listed().failures, listed().resting), (calls, failures, Vec::new()));
}

#[tokio::test]
async fn a_tenants_processor_time_is_shared_by_its_calls() {
    let house = house()
        .with("loop", |settings| {
            settings.limits.cpu = Duration::from_millis(50);
            settings.limits.tenant_cpu = Duration::from_millis(80);
        })
        .await;
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(house.said("loop", "x@example.org").await);
    }
    assert!(kinds.contains(&"busy".to_owned()), "{kinds:?}");
    assert_eq!(house.said("loop", "good@b.example").await, "no-match");
}

#[tokio::test]
async fn a_crowd_waits_for_places_and_none_is_lost() {
    let house = Arc::new(house().with("stateful", |settings| settings.limits.tenant_calls = 4).await);
    let calls: Vec<_> = (0..300)
        .map(|at| {
            let house = Arc::clone(&house);
            tokio::spawn(async move { house.said("stateful", &format!("n{at}@d{}.example", at % 7)).await })
        })
        .collect();
    for call in calls {
        let said = call.await.unwrap();
        assert!(!["busy", "trap", "wall", "cpu"].contains(&said.as_str()), "{said}");
    }
}
