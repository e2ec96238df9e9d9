//! Policy as text: rules and a directory in, questions, and the answers they must get.
//!
//! A case has the sections `-- directory.ldif --` (absent: `policy/shared.ldif`), `-- rewrite.rules --` (absent: the
//! rules the server ships), `-- options --` and `-- questions --`. A question stands at the left margin, its answer
//! below it, indented by two spaces; `*` in an answer matches anything, `<<name>>` captures, `<<!name>>` is another.
//! `UPDATE=1` writes the answers anew. A section `-- plugins --` says what plugins answer
//! (`tests/harness/plugins.rs`).
//!
//! ```text
//! recipient ADDRESS [from ADDRESS] [by CHANNEL] [as ACCOUNT] [size OCTETS] [relay]     routes, or the refusal
//! explain ADDRESS …                                                     every step
//! header from|to ADDRESS [by CHANNEL] [out CHANNEL]                     the address a header gets
//! sender-path ADDRESS [by CHANNEL]                                      the reverse path, or the refusal
//! sender ACCOUNT ADDRESS                                                yes or no
//! vrfy ADDRESS, expn ADDRESS                                            what VRFY and EXPN may say
//! again ADDRESS CHANNEL                                                 the route at a later activation
//! errors                                                                what is wrong with the rules
//! called                                                                the calls of plugins since it was last asked
//! chain ROLE DOMAIN|ADDRESS                                             which plugins are to be asked
//! ```

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use directory::{LdifReader, Schema, Typed};
use mail_tests::cases::{self, Case};
use mail_tests::pattern::{self, Names};
use mail_tests::plugins::Told;
use mail_tests::txtar::Archive;
use mail_types::ChannelName;
use mail_types::{AccountName, Address, Domain, ForwardPath, Lookup, NextHop, Recipient, ReversePath, Route};
use routing::rewrite::control::Direction;
use routing::{
    ChannelTags, HeaderPlace, Options, Request, Resolution, Routing, RuleOptions, Rules, Tables, Ways,
};

/// Policy is shown by at least so many cases.
const CASES_MIN: usize = 60;

fn main() -> ExitCode {
    cases::run(cases::find("policy", "txtar"), CASES_MIN, test)
}

fn test(case: &Case) -> Result<(), String> {
    let text = std::fs::read_to_string(&case.path).map_err(|error| error.to_string())?;
    let mut archive = Archive::parse(&text);
    let questions = archive.get("questions").ok_or("there is no section \"questions\"")?.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let world = runtime.block_on(World::new(&archive, dir.path()))?;
    let mut written = String::new();
    let mut failures = String::new();
    let mut names = Names::new();
    let mut lines = questions.lines().peekable();
    while let Some(question) = lines.next() {
        let mut expected = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("  ")) {
            expected.push(line[2..].to_owned());
        }
        let _ = writeln!(written, "{question}");
        if question.trim().is_empty() {
            continue;
        }
        let answer = runtime.block_on(world.ask(question)).map_err(|why| format!("{question}: {why}"))?;
        if agrees(&expected, &answer, &mut names) {
            keep(&mut written, &expected);
            continue;
        }
        keep(&mut written, &answer);
        let _ = writeln!(failures, "{question}\n  expected {expected:#?}\n  got {answer:#?}");
    }
    if failures.is_empty() {
        return Ok(());
    }
    if cases::updating() {
        archive.set("questions", &written);
        return std::fs::write(&case.path, archive.to_string()).map_err(|error| error.to_string());
    }
    Err(failures)
}

fn keep(written: &mut String, answer: &[String]) {
    for line in answer {
        let _ = writeln!(written, "  {line}");
    }
}

fn agrees(expected: &[String], answer: &[String], names: &mut Names) -> bool {
    expected.len() == answer.len()
        && expected.iter().zip(answer).all(|(pattern, line)| pattern::matches(pattern, line, names))
}

struct World {
    routing: Option<Routing>,
    errors: Vec<String>,
    plugins: Arc<Told>,
}

impl World {
    async fn new(archive: &Archive, dir: &std::path::Path) -> Result<Self, String> {
        let shared = cases::tests_folder().join("policy/shared.ldif");
        let shipped = cases::tests_folder().join("../config/rewrite.rules");
        let read = |path: &std::path::Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
        let ldif = archive.get("directory.ldif").map_or_else(|| read(&shared), |text| Ok(text.to_owned()))?;
        let rules =
            archive.get("rewrite.rules").map_or_else(|| read(&shipped), |text| Ok(text.to_owned()))?;
        let tables = build(&ldif, dir, archive.get("options").unwrap_or_default()).await?;
        let (options, tags, source_routes) = options(archive.get("options").unwrap_or_default())?;
        let plugins = Arc::new(Told::parse(archive.get("plugins").unwrap_or_default())?);
        let include = |name: &str| {
            archive.get(name).map(str::to_owned).ok_or_else(|| "there is no such file".to_owned())
        };
        let rule_options = RuleOptions {
            source_routes,
            general: options.general.is_some(),
            include: Some(&include),
            ..RuleOptions::new(&tags)
        };
        match Rules::parse(&rules, "rewrite.rules", &rule_options) {
            Ok(rules) => {
                let random = runtime::Random::seeded(1);
                let routing = Routing::new(tables, rules, options, random).with_plugins(plugins.clone());
                Ok(Self { routing: Some(routing), errors: Vec::new(), plugins })
            }
            Err(errors) => {
                let errors = errors.0.iter().map(ToString::to_string).collect();
                Ok(Self { routing: None, errors, plugins })
            }
        }
    }

    async fn ask(&self, question: &str) -> Result<Vec<String>, String> {
        let words: Vec<&str> = question.split_whitespace().collect();
        if words == ["errors"] {
            return Ok(self.errors.clone());
        }
        if words == ["called"] {
            return Ok(self.plugins.take_calls());
        }
        let routing = self.routing.as_ref().ok_or_else(|| self.errors.join("\n"))?;
        match words.as_slice() {
            ["recipient" | "explain", recipient, rest @ ..] => {
                let asked = Asked::parse(recipient, rest)?;
                if words[0] == "explain" {
                    let explanation = routing.explain(&asked.request()).await;
                    return Ok(explanation.to_string().lines().map(str::to_owned).collect());
                }
                Ok(show(routing.resolve(&asked.request()).await))
            }
            ["header", direction, address, rest @ ..] => header(routing, direction, address, rest).await,
            ["sender-path", address] => sender_path(routing, address, "smtp").await,
            ["sender-path", address, "by", source] => sender_path(routing, address, source).await,
            ["chain", role, of] => chain(routing, role, of),
            ["sender", account, address] => {
                let account = AccountName::new(account).ok_or("no account name")?;
                Ok(vec![yes(&routing.may_send_as(&account, &parse(address)?))])
            }
            ["vrfy", address] => Ok(match routing.verify(&parse(address)?).await {
                Ok(verified) => vec![format!("{verified:?}")],
                Err(refusal) => vec![refusal.reply.to_string()],
            }),
            ["expn", address] => Ok(match routing.expand(&parse(address)?).await {
                Ok(members) => members.iter().map(ToString::to_string).collect(),
                Err(refusal) => vec![refusal.reply.to_string()],
            }),
            ["again", address, "via", host, rest @ ..] => {
                let host = Domain::parse(host).map_err(|error| error.to_string())?;
                let current = Route::new(ChannelName::SMTP, NextHop::Host { host, port: None });
                let asked = Asked::parse(address, rest)?;
                let (channel, authenticated) = (asked.source.clone(), asked.authenticated.clone());
                let protocol = "ESMTP".to_owned();
                let source = queue::Source { channel, protocol, authenticated, ..queue::Source::default() };
                let origin = queue::Origin { reverse_path: &asked.reverse_path, source: &source };
                let recipient = Recipient::new(parse(address)?);
                Ok(vec![again(queue::Router::route(routing, &recipient, &current, origin).await)])
            }
            ["again", address, channel] => {
                let current = Route::new(channel, NextHop::Nobody);
                let source = queue::Source::default();
                let origin = queue::Origin { reverse_path: &ReversePath::Null, source: &source };
                let recipient = Recipient::new(parse(address)?);
                Ok(vec![again(queue::Router::route(routing, &recipient, &current, origin).await)])
            }
            _ => Err("what is asked?".to_owned()),
        }
    }
}

fn yes(lookup: &Lookup<()>) -> String {
    match lookup {
        Lookup::Found(()) => "yes".to_owned(),
        Lookup::NotFound => "no".to_owned(),
        Lookup::Unavailable(why) => format!("unavailable: {why}"),
    }
}

async fn header(
    routing: &Routing,
    direction: &str,
    address: &str,
    rest: &[&str],
) -> Result<Vec<String>, String> {
    let direction = if direction == "to" { Direction::Forward } else { Direction::Backward };
    let mut place = HeaderPlace { source: "submission", destination: None, authenticated: None, id: "" };
    for pair in rest.chunks(2) {
        match pair {
            ["by", source] => place.source = source,
            ["out", destination] => place.destination = Some(destination),
            _ => return Err(format!("{pair:?} is not known")),
        }
    }
    let changed = routing.rewrite_headers(&[(parse(address)?, direction)], place).await;
    let changed = changed.into_iter().flatten().next();
    Ok(vec![changed.map_or_else(|| address.to_owned(), |address| address.to_string())])
}

async fn sender_path(routing: &Routing, address: &str, source: &str) -> Result<Vec<String>, String> {
    Ok(vec![match routing.rewrite_reverse_path(&parse(address)?, source, None).await {
        Ok(new) => new.map_or_else(|| address.to_owned(), |new| new.address.to_string()),
        Err(refusal) => refusal.reply.to_string(),
    }])
}

fn chain(routing: &Routing, role: &str, of: &str) -> Result<Vec<String>, String> {
    let role = role.parse()?;
    let names = if of.contains('@') {
        routing.user_chain(role, &parse(of)?).map(|chain| chain.plugins)
    } else {
        routing.chain(role, &Domain::parse(of).map_err(|error| error.to_string())?)
    };
    match names {
        Lookup::Found(names) => Ok(names.iter().map(ToString::to_string).collect()),
        Lookup::NotFound => Ok(vec!["no user".to_owned()]),
        Lookup::Unavailable(why) => Ok(vec![format!("unavailable: {why}")]),
    }
}

fn parse(address: &str) -> Result<Address, String> {
    Address::parse(address).map_err(|error| error.to_string())
}

fn show(resolution: Resolution) -> Vec<String> {
    match resolution {
        Resolution::Refused(refusal) => vec![refusal.reply.to_string()],
        Resolution::Accepted(recipients) => recipients
            .into_iter()
            .map(|recipient| {
                let detail = recipient.detail.map(|detail| format!(" detail {detail}")).unwrap_or_default();
                format!("{} {}{detail}", recipient.address, recipient.route)
            })
            .collect(),
    }
}

struct Asked {
    recipient: ForwardPath,
    reverse_path: ReversePath,
    source: String,
    authenticated: Option<AccountName>,
    size: Option<u64>,
    relay: bool,
}

impl Asked {
    fn parse(recipient: &str, mut rest: &[&str]) -> Result<Self, String> {
        let path = if recipient.starts_with('<') { recipient.to_owned() } else { format!("<{recipient}>") };
        let mut asked = Self {
            recipient: ForwardPath::parse(&path).map_err(|error| error.to_string())?,
            reverse_path: ReversePath::Address(parse("bob@remote.test")?),
            source: "smtp".to_owned(),
            authenticated: None,
            size: None,
            relay: false,
        };
        loop {
            rest = match rest {
                [] => return Ok(asked),
                ["from", "<>", rest @ ..] => {
                    asked.reverse_path = ReversePath::Null;
                    rest
                }
                ["from", address, rest @ ..] => {
                    asked.reverse_path = ReversePath::Address(parse(address)?);
                    rest
                }
                ["by", source, rest @ ..] => {
                    (*source).clone_into(&mut asked.source);
                    rest
                }
                ["as", account, rest @ ..] => {
                    asked.authenticated = AccountName::new(account);
                    rest
                }
                ["size", octets, rest @ ..] => {
                    asked.size = Some(octets.parse().map_err(|_| "no size")?);
                    rest
                }
                ["relay", rest @ ..] => {
                    asked.relay = true;
                    rest
                }
                _ => return Err(format!("{rest:?} is not known")),
            };
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            recipient: &self.recipient,
            reverse_path: &self.reverse_path,
            source: &self.source,
            authenticated: self.authenticated.as_ref(),
            size: self.size,
            relay: self.relay,
            released: &[],
            again: false,
            id: "",
        }
    }
}

/// What is shown of a route that was asked for again.
fn again(route: Lookup<Route>) -> String {
    match route {
        Lookup::Found(route) => route.to_string(),
        Lookup::NotFound => "gone".to_owned(),
        Lookup::Unavailable(why) => format!("unavailable: {why}"),
    }
}

async fn build(ldif: &str, dir: &std::path::Path, options: &str) -> Result<Tables, String> {
    let storage_options =
        storage::Options { size_max: 1 << 28, synced: false, ..storage::Options::default() };
    let storage =
        storage::Storage::open(dir, routing::SPACES, &storage_options).map_err(|error| error.to_string())?;
    let tables = Tables::new(storage);
    if options.lines().any(|line| line == "no tables") {
        return Ok(tables);
    }
    let schema = Schema::product();
    let mut rebuild = tables.rebuild().await.map_err(|error| error.to_string())?;
    for record in LdifReader::new(ldif.as_bytes()) {
        let entry = record.map_err(|error| error.to_string())?.entry;
        rebuild.add(&Typed::read(entry, &schema), &schema).await.map_err(|error| error.to_string())?;
    }
    rebuild.finish(1).await.map_err(|error| error.to_string())?;
    Ok(tables)
}

/// `channel NAME HOST…`, `relay DOMAIN`, `way-out NAME`, `recipients-max N`, `postmaster ADDRESS`, `default-domain DOMAIN`,
/// `general KEY VALUE`, `delivery OPTION TEMPLATE`, `delivery-of DOMAIN OPTION TEMPLATE`, `source-routes allowed`, `no tables`.
fn options(text: &str) -> Result<(Options, ChannelTags, bool), String> {
    let domain = |text: &str| Domain::parse(text).map_err(|error| error.to_string());
    let mut options = Options::new(&domain("mail.example.org")?, domain("example.org")?);
    let mut tags = ChannelTags::builtin();
    let mut source_routes = false;
    let mut general = std::collections::HashMap::new();
    let is_remote = |name: &ChannelName| [ChannelName::SMTP, ChannelName::LMTP].contains(&name.as_str());
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] | ["no", "tables"] => {}
            ["channel", name, hosts @ ..] => tags.add(name, hosts),
            ["way-out", name] => options.ways_out.push((*name).to_owned()),
            ["relay", name] => options.relay_domains.push(domain(name)?),
            ["recipients-max", number] => {
                options.recipients_max = number.parse().map_err(|_| "no number")?;
            }
            ["postmaster", address] => options.postmaster = parse(address)?,
            ["default-domain", name] => options.default_domain = domain(name)?,
            ["general", key, value] => drop(general.insert((*key).to_owned(), (*value).to_owned())),
            ["delivery", option, template] => {
                let ways = Ways { tags: &tags, is_remote: &is_remote };
                let added = options.delivery.add(None, option, template, "delivery", ways);
                added.map_err(|error| error.problem)?;
            }
            ["delivery-of", of, option, template] => {
                let ways = Ways { tags: &tags, is_remote: &is_remote };
                let added = options.delivery.add(Some(&domain(of)?), option, template, of, ways);
                added.map_err(|error| error.problem)?;
            }
            ["source-routes", "allowed"] => {
                source_routes = true;
                options.ignore_source_routes = true;
            }
            _ => return Err(format!("the option {line:?} is not known")),
        }
    }
    if !general.is_empty() {
        options.general = Some(Arc::new(general));
    }
    Ok((options, tags, source_routes))
}
