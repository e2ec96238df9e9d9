use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directory::{DirectoryOptions, Edit, NewDomain, NewUser, PasswordHasher};
use mail_types::{Domain, Timestamp};
use sha2::{Digest, Sha256};

use super::*;
use crate::exchange::Step;
use crate::hash::{HashOptions, hmac};
use crate::upgrade::Upgrade;

mod source;

const LDIF: &str = "\
dn: o=example.org,o=isp\nobjectClass: mailDomain\nassociatedDomain: example.org\nmailDomainAllowedServiceAccess: -pop:ALL\n\n\
dn: o=shut.example,o=isp\nobjectClass: mailDomain\nassociatedDomain: shut.example\nmailDomainStatus: inactive\n\n\
dn: uid=jo,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: jo\nmail: Jo@example.org\nuserPassword: pencil\n\n\
dn: uid=old,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: old\nmail: old@example.org\nuserPassword: {SSHA}yrht1iYXEIkejLVu42JWkadd80RzYWx0c2FsdA==\n\n\
dn: uid=off,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: off\nmail: off@example.org\nmailUserStatus: inactive\nuserPassword: pencil\n\n\
dn: uid=imap,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: imap\nmail: imap@example.org\nuserPassword: pencil\nmailAllowedServiceAccess: +imaps:192.0.2.0/24\n\n\
dn: uid=none,o=example.org,o=isp\nobjectClass: inetMailUser\nuid: none\nmail: none@example.org\n\n\
dn: uid=jo,o=shut.example,o=isp\nobjectClass: inetMailUser\nuid: jo\nmail: jo@shut.example\nuserPassword: pencil\n";

struct Bench {
    auth: Authenticator,
    directory: Directory,
    _dir: tempfile::TempDir,
}

fn options() -> AuthOptions {
    // Cheap enough for tests; the way is the same.
    let hash = HashOptions { memory_kib: 64, passes: 1, lanes: 1, scram_iterations: 16 };
    AuthOptions {
        hash,
        refusal_after: Duration::ZERO,
        channel_binding: crate::ChannelBinding::Offered,
        ..AuthOptions::default()
    }
}

async fn bench_with(options: AuthOptions) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let storage_options = storage::Options { size_max: 1 << 30, inline_max: 1024, synced: false };
    let storage = storage::Storage::open(dir.path(), directory::SPACES, &storage_options).unwrap();
    let clock = Clock::simulated(Timestamp(1_000));
    let directory = Directory::open(storage, clock.clone(), DirectoryOptions::default()).unwrap();
    let hasher: Arc<dyn PasswordHasher> = Arc::new(Hasher::new(Random::seeded(1), options.hash));
    directory.load_ldif(LDIF.as_bytes(), &hasher, &mut |_| {}).await.unwrap();
    let auth = Authenticator::new(directory.clone(), clock, Random::seeded(2), options);
    Bench { auth, directory, _dir: dir }
}

async fn bench() -> Bench {
    bench_with(options()).await
}

fn tls() -> TlsInfo {
    let server_end_point = Some(Arc::from(&b"certificate digest"[..]));
    TlsInfo { version: "TLSv1.3", cipher: "X", exporter: Some([7; 32]), server_end_point }
}

fn context(service: Service, peer: &str) -> Context {
    Context { service, peer: peer.parse().unwrap(), tls: Some(tls()) }
}

fn from_here() -> Context {
    context(Service::Smtp, "192.0.2.1")
}

async fn check(bench: &Bench, login: &str, password: &str) -> Result<Identity, AuthError> {
    bench.auth.check_password(login, password, &from_here()).await
}

#[tokio::test]
async fn passwords_are_checked_for_every_form_of_the_login() {
    let bench = bench().await;
    for login in ["jo@example.org", "JO@Example.org", "jo+example.org"] {
        let identity = check(&bench, login, "pencil").await.unwrap();
        assert_eq!(identity.account.as_str(), "jo@example.org", "{login}");
        assert_eq!(identity.address.to_string(), "Jo@example.org");
    }
    assert!(check(&bench, "old@example.org", "password").await.is_ok());
    for (login, password) in [
        ("jo@example.org", "pencils"),
        ("jo@example.org", "PENCIL"),
        ("jo@example.org", ""),
        ("nobody@example.org", "pencil"),
        ("none@example.org", "pencil"),
        ("none@example.org", ""),
        ("", "pencil"),
        ("jo", "pencil"),
    ] {
        assert_eq!(check(&bench, login, password).await, Err(AuthError::Credentials), "{login} {password}");
    }
}

#[tokio::test]
async fn an_imported_value_is_made_new_by_the_first_log_in_that_shows_the_password() {
    let bench = bench().await;
    let values = || match bench.directory.user_by_login("old@example.org") {
        Lookup::Found(user) => user.password_hashes,
        other => panic!("{other:?}"),
    };
    let imported = values();
    assert_eq!(check(&bench, "old@example.org", "wrong").await, Err(AuthError::Credentials));
    bench.auth.upgraded().await;
    assert_eq!(values(), imported);
    assert!(check(&bench, "old@example.org", "password").await.is_ok());
    bench.auth.upgraded().await;
    let made = values();
    assert_eq!(made.len(), 2);
    assert!(made[0].reveal().starts_with("{ARGON2}") && ScramKeys::from_value(&made[1]).is_some());
    assert!(check(&bench, "old@example.org", "password").await.is_ok());
    bench.auth.upgraded().await;
    assert_eq!(values(), made);
}

#[tokio::test]
async fn who_logged_in_stands_until_the_account_changes() {
    let bench = bench().await;
    let context = from_here();
    let identity = check(&bench, "old@example.org", "password").await.unwrap();
    // The value is made new, and the password is the same.
    bench.auth.upgraded().await;
    assert_eq!(bench.auth.still_stands(&identity, &context), Ok(()));
    let again = check(&bench, "old@example.org", "password").await.unwrap();
    assert_eq!(bench.auth.still_stands(&again, &context), Ok(()));
    let values = bench.auth.hash("another").await.unwrap();
    bench.directory.set_password("old@example.org", &values).await.unwrap();
    let changed = |what: &str| Err(AuthError::Disabled(what.to_owned()));
    for identity in [&identity, &again] {
        assert_eq!(bench.auth.still_stands(identity, &context), changed("The password has been changed"));
    }
    let identity = check(&bench, "old@example.org", "another").await.unwrap();
    assert_eq!(bench.auth.still_stands(&identity, &context), Ok(()));
    bench.directory.remove_user("old@example.org").await.unwrap();
    assert_eq!(bench.auth.still_stands(&identity, &context), changed("The account is gone"));
}

#[tokio::test]
async fn a_session_is_looked_at_each_few_seconds() {
    let bench = bench().await;
    let context = from_here();
    let mut session = bench.auth.begin_session(check(&bench, "old@example.org", "password").await.unwrap());
    bench.directory.remove_user("old@example.org").await.unwrap();
    assert_eq!(bench.auth.may_go_on(&mut session, &context), Ok(()), "a moment ago all was well");
    bench.auth.clock().set(Timestamp(60_000));
    let gone = Err(AuthError::Disabled("The account is gone".to_owned()));
    assert_eq!(bench.auth.may_go_on(&mut session, &context), gone);
}

#[tokio::test]
async fn imported_values_stay_where_the_source_is_not_ours_to_change() {
    let bench = bench_with(AuthOptions { upgrade: Upgrade::Left, ..options() }).await;
    assert!(check(&bench, "old@example.org", "password").await.is_ok());
    bench.auth.upgraded().await;
    let Lookup::Found(user) = bench.directory.user_by_login("old@example.org") else { panic!() };
    assert!(user.password_hashes[0].reveal().starts_with("{SSHA}"));
}

#[tokio::test]
async fn scram_may_be_withheld() {
    let bench = bench_with(AuthOptions { scram: Scram::Withheld, ..options() }).await;
    assert_eq!(bench.auth.mechanisms(Some(&tls())), [Mechanism::Plain, Mechanism::Login]);
    assert_eq!(bench.auth.mechanisms(None), []);
    assert_eq!(bench.auth.start("SCRAM-SHA-256", &from_here()).unwrap_err(), AuthError::Mechanism);
    assert!(bench.auth.start("PLAIN", &from_here()).is_ok());
}

#[tokio::test]
async fn status_and_service_rules_are_told_to_those_with_the_password_only() {
    let bench = bench().await;
    for (login, peer, service, expected) in [
        ("off@example.org", "192.0.2.1", Service::Smtp, "The account is inactive"),
        ("jo@shut.example", "192.0.2.1", Service::Imap, "The domain shut.example is inactive"),
        ("jo@example.org", "192.0.2.1", Service::Pop3, "POP3 is not open to this account from here"),
        ("imap@example.org", "192.0.2.1", Service::Smtp, "SMTP is not open to this account from here"),
        ("imap@example.org", "198.51.100.1", Service::Imap, "IMAP is not open to this account from here"),
    ] {
        let context = context(service, peer);
        let wrong = bench.auth.check_password(login, "wrong", &context).await;
        assert_eq!(wrong, Err(AuthError::Credentials), "{login}");
        let right = bench.auth.check_password(login, "pencil", &context).await;
        assert_eq!(right, Err(AuthError::Disabled(expected.to_owned())), "{login}");
    }
    let imap = context(Service::Imap, "192.0.2.9");
    assert!(bench.auth.check_password("imap@example.org", "pencil", &imap).await.is_ok());
}

#[tokio::test]
async fn an_unavailable_directory_is_no_wrong_password() {
    let bench = bench().await;
    // The head of a load that broke off: look-ups say unavailable.
    let dir = tempfile::tempdir().unwrap();
    let storage =
        storage::Storage::open(dir.path(), directory::SPACES, &storage::Options::default()).unwrap();
    let mut batch = storage::Batch::new();
    let mut head = vec![0; 64];
    head[31] = 1;
    batch.put(storage::Space::new("directory_state"), b"head", head);
    storage.commit(batch).await.unwrap();
    let clock = Clock::simulated(Timestamp(0));
    let broken = Directory::open(storage, clock.clone(), DirectoryOptions::default()).unwrap();
    let auth = Authenticator::new(broken, clock, Random::seeded(3), options());
    let answer = auth.check_password("jo@example.org", "pencil", &from_here()).await;
    assert!(matches!(&answer, Err(AuthError::Unavailable(_))), "{answer:?}");
    assert_eq!(answer.unwrap_err().reply().code, 454);
    drop(bench);
}

#[tokio::test]
async fn nothing_is_offered_without_tls_unless_configured() {
    let bench = bench().await;
    let clear = Context { tls: None, ..from_here() };
    assert!(bench.auth.mechanisms(None).is_empty());
    assert_eq!(bench.auth.start("PLAIN", &clear).unwrap_err(), AuthError::Encryption);
    let answer = bench.auth.check_password("jo@example.org", "pencil", &clear).await;
    assert_eq!(answer, Err(AuthError::Encryption));
    let open = bench_with(AuthOptions { unencrypted: Unencrypted::Allowed, ..options() }).await;
    assert_eq!(open.auth.mechanisms(None), &Mechanism::ALL[1..]);
    assert!(open.auth.check_password("jo@example.org", "pencil", &clear).await.is_ok());
    assert_eq!(open.auth.start("SCRAM-SHA-256-PLUS", &clear).unwrap_err(), AuthError::Mechanism);
    assert_eq!(bench.auth.start("GSSAPI", &from_here()).unwrap_err(), AuthError::Mechanism);
    assert_eq!(bench.auth.mechanisms(Some(&tls())).len(), 4);
    let unbound = TlsInfo { exporter: None, server_end_point: None, ..tls() };
    assert_eq!(bench.auth.mechanisms(Some(&unbound)), &Mechanism::ALL[1..]);
}

#[tokio::test]
async fn guessing_is_throttled_where_it_comes_from() {
    let bench = bench().await;
    for _ in 0..10 {
        assert_eq!(check(&bench, "jo@example.org", "guess").await, Err(AuthError::Credentials));
    }
    assert_eq!(check(&bench, "jo@example.org", "pencil").await, Err(AuthError::Throttled));
    let elsewhere = context(Service::Smtp, "198.51.100.7");
    assert!(bench.auth.check_password("jo@example.org", "pencil", &elsewhere).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_holds_nobody_out() {
    let bench = bench().await;
    let clock = bench.auth.0.clock.clone();
    clock.set(Timestamp(86_400_000));
    for _ in 0..10 {
        assert_eq!(check(&bench, "jo@example.org", "guess").await, Err(AuthError::Credentials));
    }
    clock.set(Timestamp(1_000));
    assert_eq!(check(&bench, "jo@example.org", "pencil").await, Err(AuthError::Throttled));
    tokio::time::advance(Duration::from_secs(601)).await;
    assert!(check(&bench, "jo@example.org", "pencil").await.is_ok());
}

#[tokio::test]
async fn a_burst_of_guesses_gets_no_further_than_single_ones() {
    let bench = bench().await;
    let guesses = (0..60).map(|n| {
        let auth = bench.auth.clone();
        tokio::spawn(async move {
            auth.check_password("jo@example.org", &format!("guess{n}"), &from_here()).await
        })
    });
    let mut tried = 0;
    for guess in guesses.collect::<Vec<_>>() {
        tried += usize::from(guess.await.unwrap() == Err(AuthError::Credentials));
    }
    assert!((10..=12).contains(&tried), "{tried} guesses were tried");
}

#[tokio::test(start_paused = true)]
async fn every_refusal_takes_the_same_time() {
    let bench = bench_with(AuthOptions { refusal_after: Duration::from_secs(5), ..options() }).await;
    for (login, password) in
        [("jo@example.org", "wrong"), ("nobody@example.org", "wrong"), ("old@example.org", "x"), ("x", "")]
    {
        let start = tokio::time::Instant::now();
        assert_eq!(check(&bench, login, password).await, Err(AuthError::Credentials));
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(5) && took < Duration::from_millis(5_100), "{login} {took:?}");
    }
}

#[tokio::test]
async fn a_verified_password_is_remembered_until_it_changes() {
    let bench = bench_with(AuthOptions { hashing_max: 1, ..options() }).await;
    assert!(check(&bench, "jo@example.org", "pencil").await.is_ok());
    // With every hashing slot taken and no place to wait, only what is remembered gets through.
    let _all = bench.auth.0.hashing.acquire().await.unwrap();
    bench.auth.0.waiting.store(usize::MAX / 2, Ordering::Release);
    assert!(check(&bench, "jo@example.org", "pencil").await.is_ok());
    assert!(check(&bench, "old@example.org", "password").await.is_ok(), "cheap values need no slot");
    let busy = check(&bench, "jo@example.org", "pencils").await;
    assert!(matches!(busy, Err(AuthError::Unavailable(_))), "{busy:?}");
    let other = Hasher::new(Random::seeded(9), options().hash).hash("other").unwrap();
    bench.directory.set_password("jo@example.org", &other).await.unwrap();
    let changed = check(&bench, "jo@example.org", "pencil").await;
    assert!(matches!(changed, Err(AuthError::Unavailable(_))), "{changed:?}");
}

async fn run(bench: &Bench, mechanism: &str, messages: &[&[u8]]) -> Step {
    let mut exchange = bench.auth.start(mechanism, &from_here()).unwrap();
    let mut last = None;
    for message in messages {
        last = Some(exchange.step(message).await);
    }
    last.unwrap()
}

#[tokio::test]
async fn plain_and_login_by_their_grammar() {
    let bench = bench().await;
    for messages in [
        &[&b"\0jo@example.org\0pencil"[..]][..],
        &[b"jo@example.org\0jo@example.org\0pencil"],
        &[b"jo+example.org\0jo@example.org\0pencil"],
    ] {
        let step = run(&bench, "plain", messages).await;
        assert!(
            matches!(&step, Step::Succeeded { identity, last: None } if identity.mechanism == Mechanism::Plain)
        );
    }
    for (message, error) in [
        (&b"old@example.org\0jo@example.org\0pencil"[..], AuthError::Credentials),
        (b"\0jo@example.org\0wrong", AuthError::Credentials),
        (b"jo@example.org\0pencil", AuthError::Malformed),
        (b"\0jo@example.org\0pen\0cil", AuthError::Malformed),
        (b"\0\0pencil", AuthError::Malformed),
        (b"", AuthError::Malformed),
        (b"\0jo@example.org\0\xff", AuthError::Malformed),
    ] {
        let step = run(&bench, "PLAIN", &[message]).await;
        assert!(matches!(&step, Step::Failed(found) if *found == error), "{message:?} {step:?}");
    }
    let mut exchange = bench.auth.start("LOGIN", &from_here()).unwrap();
    assert_eq!(exchange.first_challenge(), b"Username:");
    assert!(matches!(exchange.step(b"jo@example.org").await, Step::Challenge(text) if text == b"Password:"));
    assert!(matches!(exchange.step(b"pencil").await, Step::Succeeded { .. }));
    assert!(matches!(exchange.step(b"pencil").await, Step::Failed(AuthError::Malformed)));
}

/// A client of SCRAM-SHA-256; what it sends last, and what it expects the server to prove.
struct ScramClient<'a> {
    header: &'a str,
    login: &'a str,
    password: &'a str,
    channel: &'a [u8],
}

impl ScramClient<'_> {
    fn first(&self) -> String {
        format!("{}n={},r=clientnonce", self.header, self.login)
    }

    fn last(&self, server_first: &str) -> (String, Vec<u8>) {
        let field = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
        let salt = STANDARD.decode(field("s=")).unwrap();
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(
            self.password.as_bytes(),
            &salt,
            field("i=").parse().unwrap(),
            &mut salted,
        );
        let client_key = hmac(&salted, b"Client Key");
        let bound = STANDARD.encode([self.header.as_bytes(), self.channel].concat());
        let unproved = format!("c={bound},r={}", field("r="));
        let message = format!("n={},r=clientnonce,{server_first},{unproved}", self.login);
        let signature = hmac(&Sha256::digest(client_key), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server = hmac(&hmac(&salted, b"Server Key"), message.as_bytes());
        (
            format!("{unproved},p={}", STANDARD.encode(proof)),
            format!("v={}", STANDARD.encode(server)).into_bytes(),
        )
    }
}

async fn scram(bench: &Bench, mechanism: &str, client: &ScramClient<'_>) -> Result<Identity, AuthError> {
    let mut exchange = bench.auth.start(mechanism, &from_here())?;
    let server_first = match exchange.step(client.first().as_bytes()).await {
        Step::Challenge(text) => String::from_utf8(text).unwrap(),
        Step::Failed(error) => return Err(error),
        Step::Succeeded { .. } => panic!("too early"),
    };
    let (last, expected) = client.last(&server_first);
    match exchange.step(last.as_bytes()).await {
        Step::Succeeded { identity, last } => {
            assert_eq!(last, Some(expected));
            Ok(identity)
        }
        Step::Failed(error) => Err(error),
        Step::Challenge(_) => panic!("over"),
    }
}

#[tokio::test]
async fn scram_with_and_without_channel_binding() {
    let bench = bench().await;
    let client =
        |header, channel| ScramClient { header, login: "jo@example.org", password: "pencil", channel };
    let end_point = &b"certificate digest"[..];
    for (mechanism, header, channel, expected) in [
        ("SCRAM-SHA-256", "n,,", &b""[..], Ok(())),
        ("SCRAM-SHA-256", "n,a=jo@example.org,", b"", Ok(())),
        ("SCRAM-SHA-256-PLUS", "p=tls-exporter,,", &[7; 32], Ok(())),
        ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", end_point, Ok(())),
        // Another channel; a downgrade; what no one offers.
        ("SCRAM-SHA-256-PLUS", "p=tls-exporter,,", &[8; 32], Err(AuthError::Credentials)),
        ("SCRAM-SHA-256", "y,,", b"", Err(AuthError::Credentials)),
        ("SCRAM-SHA-256-PLUS", "p=tls-unique,,", b"", Err(AuthError::Malformed)),
        ("SCRAM-SHA-256-PLUS", "n,,", b"", Err(AuthError::Malformed)),
        ("SCRAM-SHA-256", "p=tls-exporter,,", &[7; 32], Err(AuthError::Malformed)),
        ("SCRAM-SHA-256", "n,a=old@example.org,", b"", Err(AuthError::Credentials)),
    ] {
        let answer = scram(&bench, mechanism, &client(header, channel)).await.map(|_| ());
        assert_eq!(answer, expected, "{mechanism} {header}");
    }
}

#[tokio::test]
async fn scram_does_not_tell_who_exists() {
    let bench = bench().await;
    for login in ["nobody@example.org", "none@example.org", "old@example.org"] {
        let client = ScramClient { header: "n,,", login, password: "password", channel: b"" };
        let mut salts = Vec::new();
        for _ in 0..2 {
            let mut exchange = bench.auth.start("SCRAM-SHA-256", &from_here()).unwrap();
            let Step::Challenge(text) = exchange.step(client.first().as_bytes()).await else {
                panic!("{login}")
            };
            let text = String::from_utf8(text).unwrap();
            salts.push(text.split(',').skip(1).collect::<Vec<_>>().join(","));
        }
        assert_eq!(salts[0], salts[1], "the salt of {login} stays the same");
        assert_eq!(scram(&bench, "SCRAM-SHA-256", &client).await, Err(AuthError::Credentials), "{login}");
    }
    let off = ScramClient { header: "n,,", login: "off@example.org", password: "pencil", channel: b"" };
    assert!(matches!(scram(&bench, "SCRAM-SHA-256", &off).await, Err(AuthError::Disabled(_))));
    let wrong = ScramClient { header: "n,,", login: "jo@example.org", password: "wrong", channel: b"" };
    for _ in 0..10 {
        assert_eq!(scram(&bench, "SCRAM-SHA-256", &wrong).await, Err(AuthError::Credentials));
    }
    assert_eq!(scram(&bench, "SCRAM-SHA-256", &wrong).await, Err(AuthError::Throttled));
}

#[tokio::test]
async fn exchanges_that_are_begun_together_try_no_more_passwords_than_single_ones() {
    let bench = bench().await;
    let wrong = ScramClient { header: "n,,", login: "jo@example.org", password: "wrong", channel: b"" };
    let mut begun = Vec::new();
    for _ in 0..15 {
        let mut exchange = bench.auth.start("SCRAM-SHA-256", &from_here()).unwrap();
        let Step::Challenge(text) = exchange.step(wrong.first().as_bytes()).await else { panic!("refused") };
        begun.push((exchange, wrong.last(&String::from_utf8(text).unwrap()).0));
    }
    let mut refused = Vec::new();
    for (exchange, last) in &mut begun {
        let Step::Failed(error) = exchange.step(last.as_bytes()).await else { panic!("let in") };
        refused.push(error);
    }
    let (looked_at, throttled) = refused.split_at(10);
    assert!(looked_at.iter().all(|error| *error == AuthError::Credentials), "{looked_at:?}");
    assert!(throttled.iter().all(|error| *error == AuthError::Throttled), "{throttled:?}");
}

#[tokio::test]
async fn a_user_added_while_running_logs_in() {
    let bench = bench().await;
    let administrator = Some("jo@example.org".parse().unwrap());
    let domain =
        NewDomain { domain: Domain::parse("new.example").unwrap(), administrator, attributes: vec![] };
    bench.directory.add_domain(&domain).await.unwrap();
    let passwords = bench.auth.hash("s3cret").await.unwrap();
    let user = NewUser {
        address: "ann@new.example".parse().unwrap(),
        name: None,
        passwords,
        alternates: vec![],
        attributes: vec![],
    };
    let dn = bench.directory.add_user(&user).await.unwrap();
    assert_eq!(check(&bench, "ann@new.example", "s3cret").await.unwrap().dn, dn);
    bench.directory.edit(&[Edit::Remove(dn)]).await.unwrap();
    assert_eq!(check(&bench, "ann@new.example", "s3cret").await, Err(AuthError::Credentials));
}
