//! Who is it, and may they: passwords checked against the directory, at a bounded cost.

use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use directory::{Directory, PasswordHash, UserEntry};
use mail_types::{AccountName, Address, Lookup};
use parking_lot::RwLock;
use runtime::{Clock, Random, TlsInfo};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{Client, Service, is_open};
use crate::cache::{CacheKey, Verified};
use crate::error::AuthError;
use crate::exchange::{Exchange, Mechanism};
use crate::hash::{Cost, HashError, Hasher, ScramKeys, considered, cost, verify_any};
use crate::options::{AuthOptions, ChannelBinding, Scram, Unencrypted};
use crate::secret::Secret;
use crate::sessions::Sessions;
use crate::standing::{Fingerprint, Renewed};
use crate::throttle::{AccountKey, LoginCount, Throttle};
use crate::upgrade::UPGRADES_MAX;
use crate::verifier::Verifier;
use crate::waiting::Waiting;

/// How long a password that a source has verified counts without asking again: a change of it is not seen otherwise.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// On which connection somebody authenticates.
#[derive(Debug, Clone)]
pub struct Context {
    /// For which service.
    pub service: Service,
    /// From where.
    pub peer: IpAddr,
    /// The connection's encryption; `None` for clear text.
    pub tls: Option<TlsInfo>,
}

/// Somebody who proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: AccountName,
    /// Its primary address.
    pub address: Address,
    /// The user's entry.
    pub dn: directory::Dn,
    /// By which mechanism; [`Mechanism::Plain`] for the log-in commands of IMAP and POP3.
    pub mechanism: Mechanism,
    /// The password's stored values.
    pub(crate) values: Fingerprint,
}

/// Authenticates against the directory. Clones are the same authenticator.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    directory: Directory,
    clock: Clock,
    random: Random,
    options: AuthOptions,
    /// What of the options may change.
    offers: RwLock<(Unencrypted, ChannelBinding)>,
    hasher: Hasher,
    throttle: Throttle,
    sessions: Sessions,
    verified: Verified,
    renewed: Renewed,
    hashing: Semaphore,
    upgrading: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Of this process: keys tables in memory.
    process_key: [u8; 32],
    decoy_key: [u8; 32],
    /// A value that no password fits, as dear as a real one.
    decoy: OnceLock<Vec<PasswordHash>>,
    /// Who can be asked besides the stored values.
    verifier: OnceLock<Arc<dyn Verifier>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticator")
    }
}

impl Authenticator {
    /// Authenticates against a directory.
    #[must_use]
    pub fn new(directory: Directory, clock: Clock, random: Random, options: AuthOptions) -> Self {
        let mut process_key = [0; 32];
        random.fill(&mut process_key);
        let decoy_key = options.decoy_key.unwrap_or_else(|| crate::hash::hmac(&process_key, b"decoy"));
        Self(Arc::new(Inner {
            directory,
            sessions: Sessions::new(clock.clone()),
            clock,
            hasher: Hasher::new(random.clone(), options.hash),
            random,
            throttle: Throttle::new(options.throttle),
            verified: Verified::new(options.verified_max, options.verified_for),
            renewed: Renewed::default(),
            hashing: Semaphore::new(options.hashing_max.max(1)),
            upgrading: Arc::new(Semaphore::new(UPGRADES_MAX)),
            waiting: AtomicUsize::new(0),
            process_key,
            decoy_key,
            decoy: OnceLock::new(),
            verifier: OnceLock::new(),
            offers: RwLock::new((options.unencrypted, options.channel_binding)),
            options,
        }))
    }

    /// With a source that verifies passwords itself. To be said once, before the first log-in.
    #[must_use]
    pub fn with_verifier(self, verifier: Arc<dyn Verifier>) -> Self {
        // A directory has one source for as long as it is open.
        let _ = self.0.verifier.set(verifier);
        self
    }

    /// The mechanisms to offer on a connection, strongest first.
    #[must_use]
    pub fn mechanisms(&self, tls: Option<&TlsInfo>) -> &'static [Mechanism] {
        match (tls, self.unencrypted()) {
            (None, Unencrypted::Refused) => &[],
            _ if self.0.options.scram == Scram::Withheld => &Mechanism::ALL[2..],
            (Some(tls), _) if self.binds_to(tls) => Mechanism::ALL,
            _ => &Mechanism::ALL[1..],
        }
    }

    /// The sessions of all servers that this one authenticates for.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// What is counted of wrong passwords, by network and by account from a network, the fullest first.
    #[must_use]
    pub fn failures(&self) -> Vec<LoginCount> {
        self.0.throttle.counts(self.0.clock.steady())
    }

    /// Forgets the wrong passwords from a network, those of all accounts from there, too; how many counts there were.
    pub fn forget_failures_from(&self, network: IpAddr) -> usize {
        self.0.throttle.forget_network(network)
    }

    /// Forgets the wrong passwords of a login, wherever from; how many counts there were.
    pub fn forget_failures_of(&self, login: &str) -> usize {
        let login = crate::secret::prepare(login).unwrap_or_default();
        self.0.throttle.forget_account(&self.account_key(&login))
    }

    /// Forgets all wrong passwords; how many counts there were.
    pub fn forget_failures(&self) -> usize {
        self.0.throttle.forget_all()
    }

    /// Puts other rules in force on where passwords may cross, and whether log-ins bind to TLS; for sessions that run
    /// too.
    pub fn set_offers(&self, unencrypted: Unencrypted, channel_binding: ChannelBinding) {
        *self.0.offers.write() = (unencrypted, channel_binding);
    }

    fn unencrypted(&self) -> Unencrypted {
        self.0.offers.read().0
    }

    pub(crate) fn options(&self) -> &AuthOptions {
        &self.0.options
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(crate) fn renewed(&self) -> &Renewed {
        &self.0.renewed
    }

    pub(crate) fn verifier(&self) -> Option<&Arc<dyn Verifier>> {
        self.0.verifier.get()
    }

    /// Leave to make a value new; `None` while others are made.
    pub(crate) fn upgrading(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.upgrading).try_acquire_owned().ok()
    }

    /// Waits until no value is being made new.
    #[cfg(test)]
    pub(crate) async fn upgraded(&self) {
        drop(self.0.upgrading.acquire().await);
    }

    fn binds_to(&self, tls: &TlsInfo) -> bool {
        let possible = tls.exporter.is_some() || tls.server_end_point.is_some();
        possible && self.0.offers.read().1 == ChannelBinding::Offered
    }

    /// Begins an exchange. Every one of its steps may be asked of any task.
    pub fn start(&self, mechanism: &str, context: &Context) -> Result<Exchange, AuthError> {
        let mechanism = Mechanism::parse(mechanism).ok_or(AuthError::Mechanism)?;
        if !self.mechanisms(context.tls.as_ref()).contains(&mechanism) {
            let needs_tls = context.tls.is_none() && self.unencrypted() == Unencrypted::Refused;
            return Err(if needs_tls { AuthError::Encryption } else { AuthError::Mechanism });
        }
        Ok(Exchange::new(self.clone(), mechanism, context.clone()))
    }

    /// Checks login and password, as IMAP's LOGIN and POP3's USER and PASS give them.
    pub async fn check_password(
        &self,
        login: &str,
        password: &str,
        context: &Context,
    ) -> Result<Identity, AuthError> {
        if context.tls.is_none() && self.unencrypted() == Unencrypted::Refused {
            return Err(AuthError::Encryption);
        }
        let secret = Secret::new(password.to_owned());
        self.verify(login, None, secret, Mechanism::Plain, context).await
    }

    /// The values to store for a new password. Done on a blocking thread, like all hashing.
    pub async fn hash(&self, password: &str) -> Result<Vec<PasswordHash>, HashError> {
        let hasher = self.0.hasher.clone();
        let secret = Secret::new(password.to_owned()).ok_or(HashError::Password)?;
        let hashing = tokio::task::spawn_blocking(move || hasher.hash(secret.reveal()));
        hashing.await.map_err(|error| HashError::Options(error.to_string()))?
    }

    /// The whole check, with throttle and even timing.
    pub(crate) async fn verify(
        &self,
        login: &str,
        authorization: Option<&str>,
        secret: Option<Secret>,
        mechanism: Mechanism,
        context: &Context,
    ) -> Result<Identity, AuthError> {
        let refusal_at = self.refusal_at();
        // Prepared as SCRAM prepares it (RFC 4616 §2); what cannot be is the name of nobody.
        let login = &crate::secret::prepare(login).unwrap_or_default();
        let account = self.account_key(login);
        let outcome = async {
            self.admit(&account, context)?;
            let user = self.user_or_asked(login).await?;
            // Nothing that no password can be fits.
            let Some(secret) = secret else { return Err(AuthError::Credentials) };
            // Those who waited for a hashing slot are looked at again: a burst of guesses gets no
            // further than single ones.
            let admit = || self.admit(&account, context);
            match (self.password_fits(user.as_ref(), secret.clone(), &admit).await?, user) {
                (true, Some(user)) => {
                    let identity = self.identity(&user, authorization, mechanism, context)?;
                    self.upgrade(&user, &secret);
                    Ok(identity)
                }
                _ => Err(AuthError::Credentials),
            }
        };
        let outcome = outcome.await;
        self.settle((&account, login), context, &outcome);
        if outcome.is_err() {
            tokio::time::sleep_until(refusal_at).await;
        }
        outcome
    }

    /// Whether a try may be made.
    pub(crate) fn admit(&self, account: &AccountKey, context: &Context) -> Result<(), AuthError> {
        let admitted = self.0.throttle.admits(account, context.peer, self.0.clock.steady());
        if admitted { Ok(()) } else { Err(AuthError::Throttled) }
    }

    /// Counts the outcome.
    pub(crate) fn settle(
        &self,
        (account, login): (&AccountKey, &str),
        context: &Context,
        outcome: &Result<Identity, AuthError>,
    ) {
        let now = self.0.clock.steady();
        match outcome {
            Ok(_) => self.0.throttle.succeeded(account, context.peer, now),
            Err(AuthError::Credentials) => self.0.throttle.failed(account, login, context.peer, now),
            Err(_) => {}
        }
    }

    /// The key under which tables hold a login.
    pub(crate) fn account_key(&self, login: &str) -> AccountKey {
        crate::hash::hmac(&self.0.process_key, login.trim().to_lowercase().as_bytes())
    }

    /// The user of a login; `None` where there is none.
    pub(crate) fn user(&self, login: &str) -> Result<Option<UserEntry>, AuthError> {
        match self.0.directory.user_by_login(login) {
            Lookup::Found(user) => Ok(Some(user)),
            Lookup::NotFound => Ok(None),
            Lookup::Unavailable(why) => Err(AuthError::Unavailable(why)),
        }
    }

    /// Whether the password is the user's. Without a user, or without values, as much work is done
    /// in vain.
    async fn password_fits(
        &self,
        user: Option<&UserEntry>,
        secret: Secret,
        admit: &(dyn Fn() -> Result<(), AuthError> + Sync),
    ) -> Result<bool, AuthError> {
        let values = user.map(|user| user.password_hashes.as_slice()).unwrap_or_default();
        let key = self.cache_key(user, values, &secret);
        let age = user.and_then(|_| self.0.verified.age(&key, self.0.clock.now()));
        let asks_source = user.is_some_and(|user| self.asks_source(user, values));
        if age.is_some_and(|age| !asks_source || age < ASKED_AGAIN_AFTER) {
            return Ok(true);
        }
        // Who shows what was right before does not guess.
        let admit: &(dyn Fn() -> Result<(), AuthError> + Sync) =
            if age.is_some() { &|| Ok(()) } else { admit };
        match self.verified_by_source(user, &secret, values, admit).await {
            Ok(Some(true)) => {
                self.0.verified.add(key, self.0.clock.now());
                return Ok(true);
            }
            Ok(Some(false)) => {
                self.0.verified.forget(&key);
                return Ok(false);
            }
            // While it cannot be asked, what it said before counts.
            Err(AuthError::Unavailable(_)) if age.is_some() => return Ok(true),
            Err(why) => return Err(why),
            Ok(None) => {}
        }
        let clear = self.0.options.clear;
        let fits = if !values.is_empty() && considered(values).all(|value| cost(value) == Cost::Cheap) {
            verify_any(&secret, values, clear)
        } else {
            self.hash_blocking(values.to_vec(), secret, admit).await?
        };
        if fits {
            self.0.verified.add(key, self.0.clock.now());
        }
        Ok(fits)
    }

    /// Verifies on a blocking thread; at most so many at once, and so many waiting.
    async fn hash_blocking(
        &self,
        values: Vec<PasswordHash>,
        secret: Secret,
        admit: &(dyn Fn() -> Result<(), AuthError> + Sync),
    ) -> Result<bool, AuthError> {
        let waiting = Waiting::enter(&self.0.waiting, self.0.options.waiting_max)?;
        let permit = self.0.hashing.acquire().await;
        drop(waiting);
        let _permit = permit.map_err(|_| AuthError::Unavailable("the server is stopping".to_owned()))?;
        admit()?;
        let inner = Arc::clone(&self.0);
        let hashing = tokio::task::spawn_blocking(move || {
            let clear = inner.options.clear;
            if values.is_empty() {
                let decoy = inner.decoy.get_or_init(|| inner.hasher.hash("decoy").unwrap_or_default());
                let _ = verify_any(&secret, decoy, clear);
                return false;
            }
            verify_any(&secret, &values, clear)
        });
        hashing.await.map_err(|error| AuthError::Unavailable(format!("hashing failed: {error}")))
    }

    fn cache_key(&self, user: Option<&UserEntry>, values: &[PasswordHash], secret: &Secret) -> CacheKey {
        let dn = user.map(|user| user.dn.key()).unwrap_or_default();
        let values = values.iter().map(|value| value.reveal().as_bytes());
        self.keyed(std::iter::once(dn).chain(values).chain([secret.reveal().as_bytes()]))
    }

    /// An HMAC under the key of this process over parts, each with its length.
    pub(crate) fn keyed<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> CacheKey {
        let mut text = zeroize::Zeroizing::new(Vec::new());
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        crate::hash::hmac(&self.0.process_key, &text)
    }

    /// The keys that SCRAM works with. A user without them, and a login without a user, get keys that
    /// nothing fits, with a salt that stays the same.
    pub(crate) fn scram_keys(&self, user: Option<&UserEntry>, login: &str) -> ScramKeys {
        user.and_then(|user| user.password_hashes.iter().find_map(ScramKeys::from_value)).unwrap_or_else(
            || {
                let salt = crate::hash::hmac(&self.0.decoy_key, login.to_lowercase().as_bytes());
                let mut key = [0; 32];
                self.0.random.fill(&mut key);
                ScramKeys::decoy(&salt[..16], self.0.options.hash.scram_iterations, key)
            },
        )
    }

    /// A nonce of 24 printable characters.
    pub(crate) fn nonce(&self) -> String {
        use base64::Engine as _;
        let mut octets = [0; 18];
        self.0.random.fill(&mut octets);
        base64::engine::general_purpose::STANDARD.encode(octets)
    }

    /// When a refusal of a try that begins now may be told.
    pub(crate) fn refusal_at(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.0.options.refusal_after
    }

    /// Somebody whose password is right: may they come in?
    pub(crate) fn identity(
        &self,
        user: &UserEntry,
        authorization: Option<&str>,
        mechanism: Mechanism,
        context: &Context,
    ) -> Result<Identity, AuthError> {
        let shut = |why: String| AuthError::Disabled(why);
        // Acting for another is not offered (RFC 4616 §2, RFC 5802 §5.1).
        if let Some(other) = authorization.filter(|other| !other.is_empty())
            && self.user(other)?.is_none_or(|other| other.dn != user.dn)
        {
            return Err(AuthError::Credentials);
        }
        let status = user.effective_status();
        if !status.allows_login() {
            return Err(shut(format!("The account is {status}")));
        }
        let domain = match self.0.directory.domain_of(user) {
            Lookup::Found(domain) => Some(domain),
            Lookup::NotFound => None,
            Lookup::Unavailable(why) => return Err(AuthError::Unavailable(why)),
        };
        if let Some(domain) = &domain
            && !domain.effective_status().allows_login()
        {
            return Err(shut(format!("The domain {} is {}", domain.domain, domain.effective_status())));
        }
        let of_domain = domain.map(|domain| domain.allowed_services).unwrap_or_default();
        let rules = if user.allowed_services.is_empty() { &of_domain } else { &user.allowed_services };
        let client =
            Client { service: context.service, encrypted: context.tls.is_some(), peer: context.peer };
        if !is_open(rules, client) {
            return Err(shut(format!("{} is not open to this account from here", context.service.as_str())));
        }
        let address = user.address.as_ref().or(user.alternates.first());
        match (user.account(), address) {
            (Some(account), Some(address)) => {
                let values = self.fingerprint(user, &user.password_hashes);
                Ok(Identity { account, address: address.clone(), dn: user.dn.clone(), mechanism, values })
            }
            _ => Err(shut("The account has no address".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
