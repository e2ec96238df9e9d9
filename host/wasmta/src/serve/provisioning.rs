//! Domains that the DNS leads here before anybody has told us: where the operator wants it, mail for one makes it ours
//! (R18), found by its MX record (R19).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use directory::{Directory, EditError, NewDomain};
use dns::MxSet;
use events::{Event, Events};
use mail_types::{Domain, Lookup, Timestamp};
use parking_lot::Mutex;
use routing::{Builders, Tables};
use runtime::Clock;
use tokio::sync::Semaphore;

use super::plugins::Surroundings;
use crate::config::Config;

/// For how long a domain that the DNS does not lead here is not asked about again: its mail is refused meanwhile, whatever the
/// DNS says by then.
const REMEMBERED: Duration = Duration::from_secs(2);
/// Most such domains that are remembered; when there are more, all are asked about anew.
const REMEMBERED_MAX: usize = 10_000;
/// Questions to the DNS in a minute: anybody may name any domain.
const QUESTIONS_MAX: usize = 1000;
/// Questions at a time.
const QUESTIONS_AT_ONCE_MAX: usize = 32;
/// How long mail waits for an answer of the DNS, our users' mail to others, too.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What makes tables follow the directory.
#[derive(Clone, Copy)]
pub(super) struct Follower<'a> {
    pub(super) tables: &'a Tables,
    pub(super) plugins: &'a plugin_engine::Engine,
    pub(super) events: &'a Events,
    pub(super) clock: &'a Clock,
}

/// What it works with.
struct Tools {
    directory: Directory,
    surroundings: Arc<Surroundings>,
    tables: Tables,
    plugins: plugin_engine::Engine,
    events: Events,
    clock: Clock,
}

/// Makes domains ours.
pub(super) struct Provisioning {
    tools: Tools,
    /// Domains in an hour.
    per_hour: usize,
    memory: Mutex<Memory>,
    asking: Semaphore,
    /// One at a time: two messages for one domain make it once. Held over the edit on purpose.
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Memory {
    /// Domains that are not led here, and until when that is believed.
    elsewhere: HashMap<Domain, Timestamp>,
    /// When domains were made, the last hour.
    made: VecDeque<Timestamp>,
    /// When the DNS was asked, the last minute.
    asked: VecDeque<Timestamp>,
}

impl Provisioning {
    /// As the configuration says; none where it says nothing of it.
    pub(super) fn of(
        config: &Config,
        directory: &Directory,
        surroundings: &Arc<Surroundings>,
        follower: Follower<'_>,
    ) -> Option<Self> {
        if !config.directory.new_domains_by_mail {
            return None;
        }
        let per_hour = config.directory.new_domains_per_hour;
        let tools = Tools {
            directory: directory.clone(),
            surroundings: Arc::clone(surroundings),
            tables: follower.tables.clone(),
            plugins: follower.plugins.clone(),
            events: follower.events.clone(),
            clock: follower.clock.clone(),
        };
        Some(Self::new(tools, per_hour))
    }

    fn new(tools: Tools, per_hour: usize) -> Self {
        let (memory, making) = (Mutex::default(), tokio::sync::Mutex::default());
        let asking = Semaphore::new(QUESTIONS_AT_ONCE_MAX);
        Self { tools, per_hour, memory, asking, making }
    }

    /// Asks the DNS about a domain that nobody here knows. `Found`: it is ours now, and the tables know it.
    pub(super) async fn look_up(&self, domain: &Domain) -> Lookup<()> {
        if !may_be_mail_domain(domain) || self.is_elsewhere(domain) {
            return Lookup::NotFound;
        }
        // The answer is waited for before the turn to make domains is: one that is long in coming holds up nobody else.
        match tokio::time::timeout(ANSWER_WITHIN, self.leads_here(domain)).await {
            Err(_) => {
                let seconds = ANSWER_WITHIN.as_secs();
                return Lookup::Unavailable(format!(
                    "the DNS does not say within {seconds} s where {domain} is led"
                ));
            }
            Ok(Lookup::Found(())) => {}
            Ok(answer) => return answer,
        }
        let Ok(_one) = tokio::time::timeout(ANSWER_WITHIN, self.making.lock()).await else {
            return Lookup::Unavailable(format!("{domain} is to be added, and others are before it"));
        };
        match self.tools.directory.domain(domain) {
            Lookup::NotFound => self.make(domain).await,
            Lookup::Found(_) => self.follow(domain).await,
            Lookup::Unavailable(why) => Lookup::Unavailable(why),
        }
    }

    /// Whether the DNS leads a domain here, as it is now.
    async fn leads_here(&self, domain: &Domain) -> Lookup<()> {
        let Ok(_one) = self.asking.acquire().await else {
            return Lookup::Unavailable("the server stops".to_owned());
        };
        // Who asked before may have had the answer.
        if self.is_elsewhere(domain) {
            return Lookup::NotFound;
        }
        if let Err(why) = self.may_ask() {
            return Lookup::Unavailable(why);
        }
        let records = match self.tools.surroundings.dns_in_force().mx_now(domain).await {
            Lookup::Found(records) => records,
            Lookup::NotFound => MxSet::default(),
            Lookup::Unavailable(why) => return Lookup::Unavailable(why),
        };
        if leads_here(&records, &self.tools.surroundings.own_names_in_force()) {
            return Lookup::Found(());
        }
        self.remember(domain);
        Lookup::NotFound
    }

    async fn make(&self, domain: &Domain) -> Lookup<()> {
        let Tools { directory, events, clock, .. } = &self.tools;
        let (now, most) = (clock.now(), self.per_hour);
        if !self.memory.lock().may_make(now, most) {
            return Lookup::Unavailable(format!(
                "{domain} is led here by its MX, and {most} domains were added this hour (directory.new-domains-per-hour)"
            ));
        }
        let administrator = Some(self.tools.surroundings.postmaster_in_force());
        let new = NewDomain { domain: domain.clone(), administrator, attributes: Vec::new() };
        let added = directory.add_domain(&new).await;
        // Nobody would keep it, so it is not ours to take mail for, whoever leads it here.
        if matches!(added, Err(EditError::NoSource(_) | EditError::ReadOnly)) {
            self.remember(domain);
            return Lookup::NotFound;
        }
        if let Err(why) = added {
            events.emit(&Event::InternalError {
                place: "adding a domain by mail",
                cause: &format!("{domain}: {why}"),
            });
            return Lookup::Unavailable(why.to_string());
        }
        self.memory.lock().made.push_back(now);
        let change = "domain added: mail came for it, and its MX names us";
        events.emit(&Event::DirectoryChanged { change, entry: domain.as_str() });
        self.follow(domain).await
    }

    async fn follow(&self, domain: &Domain) -> Lookup<()> {
        let Tools { directory, tables, plugins, events, clock, .. } = &self.tools;
        let builders = Builders { plugins, events, clock };
        match tables.refresh_for(Some(domain), directory, &builders).await {
            Ok(_) => Lookup::Found(()),
            Err(why) => Lookup::Unavailable(why.to_string()),
        }
    }

    fn is_elsewhere(&self, domain: &Domain) -> bool {
        let now = self.tools.clock.now();
        self.memory.lock().is_elsewhere(domain, now)
    }

    fn remember(&self, domain: &Domain) {
        let now = self.tools.clock.now();
        self.memory.lock().remember(domain, now);
    }

    fn may_ask(&self) -> Result<(), String> {
        let now = self.tools.clock.now();
        let why = || format!("the DNS was asked about {QUESTIONS_MAX} unknown domains within a minute");
        if self.memory.lock().may_ask(now) { Ok(()) } else { Err(why()) }
    }
}

impl Memory {
    fn is_elsewhere(&self, domain: &Domain, now: Timestamp) -> bool {
        self.elsewhere.get(domain).is_some_and(|until| now < *until)
    }

    fn remember(&mut self, domain: &Domain, now: Timestamp) {
        if self.elsewhere.len() >= REMEMBERED_MAX {
            self.elsewhere.clear();
        }
        self.elsewhere.insert(domain.clone(), now.plus(REMEMBERED));
    }

    /// Whether one more domain may be made this hour.
    fn may_make(&mut self, now: Timestamp, per_hour: usize) -> bool {
        forget(&mut self.made, now, HOUR);
        self.made.len() < per_hour
    }

    /// Whether one more question may be asked this minute; it counts as asked then.
    fn may_ask(&mut self, now: Timestamp) -> bool {
        forget(&mut self.asked, now, MINUTE);
        let may = self.asked.len() < QUESTIONS_MAX;
        if may {
            self.asked.push_back(now);
        }
        may
    }
}

fn forget(times: &mut VecDeque<Timestamp>, now: Timestamp, after: Duration) {
    while times.front().is_some_and(|at| now.since(*at) >= after) {
        times.pop_front();
    }
}

/// Whether a name is one that mail may have: no address, below a top-level domain, and none that stands for an address
/// (RFC 1035 §3.5).
fn may_be_mail_domain(domain: &Domain) -> bool {
    let Some((_, top)) = domain.as_str().rsplit_once('.') else { return false };
    domain.as_ip().is_none() && top != "arpa" && !top.bytes().all(|octet| octet.is_ascii_digit())
}

/// Whether MX records have one of our names at the best preference.
fn leads_here(records: &MxSet, own_names: &BTreeSet<Domain>) -> bool {
    let Some(best) = records.0.iter().map(|record| record.preference).min() else { return false };
    records.0.iter().any(|record| {
        record.preference == best && Domain::parse(&record.host).is_ok_and(|host| own_names.contains(&host))
    })
}

#[cfg(test)]
mod tests {
    use dns::MxRecord;

    use super::*;

    #[test]
    fn in_a_minute_so_many_questions_are_asked_and_in_an_hour_so_many_domains_made() {
        let (mut memory, began) = (Memory::default(), Timestamp(1_000_000));
        let asked = (0..2 * QUESTIONS_MAX).filter(|_| memory.may_ask(began)).count();
        assert_eq!(asked, QUESTIONS_MAX);
        assert!(!memory.may_ask(began.plus(MINUTE - Duration::from_millis(1))));
        assert!(memory.may_ask(began.plus(MINUTE)));
        for _ in 0..3 {
            assert!(memory.may_make(began, 3));
            memory.made.push_back(began);
        }
        assert!(!memory.may_make(began.plus(HOUR - Duration::from_millis(1)), 3));
        assert!(memory.may_make(began.plus(HOUR), 3));
    }

    #[test]
    fn a_domain_that_is_led_elsewhere_is_remembered_for_a_moment_and_not_beside_too_many_others() {
        let (mut memory, now) = (Memory::default(), Timestamp(1_000_000));
        let domain = |number: usize| Domain::parse(&format!("d{number}.test")).unwrap();
        for number in 0..REMEMBERED_MAX {
            memory.remember(&domain(number), now);
        }
        assert!(memory.is_elsewhere(&domain(0), now));
        assert!(!memory.is_elsewhere(&domain(0), now.plus(REMEMBERED)), "it is asked about anew");
        memory.remember(&domain(REMEMBERED_MAX), now);
        assert!(memory.elsewhere.len() <= REMEMBERED_MAX);
        assert!(memory.is_elsewhere(&domain(REMEMBERED_MAX), now));
    }

    #[test]
    fn only_the_best_hosts_say_whose_a_domain_is() {
        let own = BTreeSet::from([Domain::parse("mail.us.test").unwrap()]);
        for (records, expected) in [
            (&[][..], false),
            (&[(10, "mail.us.test")], true),
            (&[(10, "other.test"), (20, "mail.us.test")], false),
            (&[(10, "other.test"), (10, "mail.us.test")], true),
            (&[(0, "")], false),
        ] {
            let record = |(preference, host): &(u16, &str)| MxRecord {
                preference: *preference,
                host: (*host).to_owned(),
            };
            assert_eq!(
                leads_here(&MxSet(records.iter().map(record).collect()), &own),
                expected,
                "{records:?}"
            );
        }
    }

    #[test]
    fn names_that_mail_does_not_have_are_nobodys_to_add() {
        let may = |name: &str| may_be_mail_domain(&Domain::parse(name).unwrap());
        assert!(may("a.test") && may("xn--caf-dma.example"));
        for name in ["localhost", "com", "1.2.3.4", "10.in-addr.arpa", "[192.0.2.1]"] {
            assert!(!may(name), "{name}");
        }
    }
}
