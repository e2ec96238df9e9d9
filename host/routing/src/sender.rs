//! Questions beside delivery: who may send as whom, addresses in headers, VRFY and EXPN.

use mail_types::{AccountName, Address, Lookup, Refusal};

use crate::consult::About;
use crate::recorder::{Everything, Nothing, Recorder, Step, StepKind};
use crate::resolve::disposition::member;
use crate::resolve::refusals;
use crate::resolve::way::{Guide, Led, Way, address_of_key};
use crate::resolve::{Halt, Request, domains::View};
use crate::rewrite::control::{Direction, Place};
use crate::rewrite::engine::{Context, rewrite};
use crate::rewrite::rules::Rules;
use crate::rewrite::substitution::split_detail;
use crate::rewrite::tags::Target;
use crate::rewrite::unroutable::Unroutable;
use crate::routing::Routing;
use crate::tables::row::{AliasRow, Relation, RowKind};
use crate::tables::{Claim, TableError};

/// Whose header it is, for [`Routing::rewrite_headers`].
#[derive(Debug, Clone, Copy)]
pub struct HeaderPlace<'a> {
    /// The channel by which the message came.
    pub source: &'a str,
    /// The channel by which all its copies leave; where there are several, rules that ask for one do not apply.
    pub destination: Option<&'a str>,
    /// As whom the client authenticated.
    pub authenticated: Option<&'a AccountName>,
    /// The id of the message, as the log has it.
    pub id: &'a str,
}

/// What VRFY may say of an address (RFC 5321 §3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// It is a user here; the primary address.
    User(Address),
    /// It is a list here.
    List(Address),
    /// It is not ours to verify (252).
    Elsewhere,
}

pub(crate) fn may_send_as(routing: &Routing, account: &AccountName, address: &Address) -> Lookup<()> {
    if address.to_key() == account.as_str() {
        return Lookup::Found(());
    }
    let answer = routing.with_view(|_, view| {
        owner(view, address)
            .map(|owner| owner.is_some_and(|owner| owner == account.as_str()))
            .map_err(|error| refusals::unavailable(&error))
    });
    match answer {
        Ok(true) => Lookup::Found(()),
        Ok(false) => Lookup::NotFound,
        Err(refusal) => Lookup::Unavailable(refusal.cause),
    }
}

/// The account of the user that an address leads to.
fn owner(view: &View<'_>, address: &Address) -> Result<Option<String>, TableError> {
    let Some((key, row)) = row_of(view, address)? else { return Ok(None) };
    if row.kind != RowKind::User {
        return Ok(None);
    }
    let account = row.detail.as_ref().and_then(|detail| detail.account.clone());
    Ok(Some(account.unwrap_or(key)))
}

/// The row that an address leads to by its own key, without its subaddress, or as one of its whole domain; with the key.
pub(crate) fn row_of<'v>(
    view: &'v View<'_>,
    address: &Address,
) -> Result<Option<(String, AliasRow<'v>)>, TableError> {
    let local = address.local.as_str().to_lowercase();
    let (base, _) = split_detail(&local, view.options.separator);
    let domain = view.domain(address.domain.as_str())?;
    let further = domain.as_ref().map(|domain| domain.further.clone()).unwrap_or_default();
    let names = std::iter::once(address.domain.to_string()).chain(further);
    for name in names {
        for part in [local.as_str(), base, ""] {
            let key = format!("{part}@{name}");
            let Some(Claim::One(row)) = view.reader.alias(&key)? else { continue };
            return Ok(Some((key, row)));
        }
    }
    Ok(None)
}

impl Routing {
    /// Header addresses as rules, plugins and the alias table want them: rewritten, and an alternate address turned into
    /// the primary one (requirements §2.2). One answer each; `None` where it stays, also where it cannot be told now.
    pub async fn rewrite_headers(
        &self,
        addresses: &[(Address, Direction)],
        place: HeaderPlace<'_>,
    ) -> Vec<Option<Address>> {
        self.headers::<Nothing>(addresses, place, false).await.into_iter().map(|(now, _)| now).collect()
    }

    /// The same for an explanation: with what made each of them what it is. Plugins are asked in counted calls, which leave nothing
    /// behind.
    pub async fn explain_headers(
        &self,
        addresses: &[(Address, Direction)],
        place: HeaderPlace<'_>,
    ) -> Vec<(Option<Address>, Vec<Step>)> {
        let mut told = self.headers::<Everything>(addresses, place, true).await;
        for ((address, _), (now, steps)) in addresses.iter().zip(&mut told) {
            steps.retain(|step| matches!(step.what, StepKind::Plugin | StepKind::RuleFired));
            match now {
                Some(now) => {
                    let text = format!("in the header, {address} becomes {now}");
                    steps.insert(0, Step::new(StepKind::Address, text));
                }
                // Rules that leave it alone are not worth a word.
                None => steps.retain(|step| step.what == StepKind::Plugin),
            }
        }
        told
    }

    async fn headers<R: Recorder + Send>(
        &self,
        addresses: &[(Address, Direction)],
        place: HeaderPlace<'_>,
        counted: bool,
    ) -> Vec<(Option<Address>, Vec<Step>)> {
        let HeaderPlace { source, authenticated, id, .. } = place;
        let changed = self.consult(About { source, authenticated, id, counted }, |rules, view| {
            let mut changed = Vec::with_capacity(addresses.len());
            let mut open = false;
            for (address, direction) in addresses {
                let mut recorder = R::default();
                let now = match in_header(rules, view, address, *direction, place, &mut recorder) {
                    Ok(now) => now.filter(|now| now != address),
                    // The others have questions, too: all are asked at once.
                    Err(Halt::Open) => {
                        open = true;
                        None
                    }
                    Err(Halt::Refused(_)) => None,
                };
                changed.push((now, recorder.into_steps()));
            }
            if open { Err(Halt::Open) } else { Ok(changed) }
        });
        changed.await.0.unwrap_or_else(|_| vec![(None, Vec::new()); addresses.len()])
    }

    /// What VRFY may say.
    ///
    /// # Errors
    /// The refusal that RCPT would give.
    pub async fn verify(&self, address: &Address) -> Result<Verified, Refusal> {
        let answer = self.local_entry(address, |_, entry| {
            Ok(match entry {
                None => Verified::Elsewhere,
                Some((row, address)) if row.kind == RowKind::User => Verified::User(address),
                Some((_, address)) => Verified::List(address),
            })
        });
        answer.await
    }

    /// The members of a list, as EXPN gives them (RFC 5321 §3.5.2): one level, addresses only. A user is its own
    /// only member.
    ///
    /// # Errors
    /// The refusal that RCPT would give; for addresses elsewhere, relaying denied.
    pub async fn expand(&self, address: &Address) -> Result<Vec<Address>, Refusal> {
        let answer = self.local_entry(address, |view, entry| {
            let Some((row, primary)) = entry else { return Err(refusals::relay_denied(address)) };
            let Some(detail) = row.detail.as_ref().filter(|_| row.kind == RowKind::Group) else {
                return Ok(vec![primary]);
            };
            let mut members = Vec::new();
            for name in &detail.members {
                members.extend(member(view, name)?);
            }
            members.extend(detail.member_addresses.iter().filter_map(|text| Address::parse(text).ok()));
            Ok(members)
        });
        answer.await
    }

    /// The entry of a local address with its primary address; `None` for addresses elsewhere.
    async fn local_entry<T>(
        &self,
        address: &Address,
        run: impl Fn(&View<'_>, Option<(&AliasRow<'_>, Address)>) -> Result<T, Refusal> + Sync,
    ) -> Result<T, Refusal> {
        let path = address.clone().into();
        let request = Request {
            recipient: &path,
            reverse_path: &mail_types::ReversePath::Null,
            source: "smtp",
            authenticated: None,
            size: None,
            relay: false,
            released: &[],
            again: false,
            id: "",
        };
        let answer = self.consult(About::from(&request), |rules, view| {
            let guide = Guide { rules, view, request: &request };
            let Led { address, target, .. } = guide.rewrite(address, &mut Nothing)?;
            if target != Target::Local {
                return Ok(run(view, None)?);
            }
            match guide.inward(&address, &mut Nothing)? {
                Way::Done(_) => Ok(run(view, None)?),
                Way::Entry(found) => {
                    if let Some(refusal) = refusals::status(found.row.status, false, &address, &found.row.dn)
                    {
                        return Err(refusal.into());
                    }
                    let primary = found.primary().unwrap_or_else(|| address.clone().into_owned());
                    Ok(run(view, Some((&found.row, primary)))?)
                }
            }
        });
        answer.await.0
    }
}

/// One header address: rewritten, then by its row.
fn in_header<R: Recorder>(
    rules: &Rules,
    view: &View<'_>,
    address: &Address,
    direction: Direction,
    place: HeaderPlace<'_>,
    recorder: &mut R,
) -> Result<Option<Address>, Halt> {
    let context = Context {
        place: Place::Header,
        direction,
        source: place.source,
        destination: place.destination,
        separator: view.options.separator,
        released: &[],
    };
    let rewritten = match rewrite(rules, address, context, view, recorder) {
        Ok(rewritten) => rewritten.address,
        Err(Unroutable::Open) => return Err(Halt::Open),
        // Nothing is refused for an address in the header.
        Err(_) => None,
    };
    let now = rewritten.as_ref().unwrap_or(address);
    let key = now.to_key();
    let primary = match view.reader.alias(&key).map_err(|e| refusals::unavailable(&e))? {
        Some(Claim::One(row)) if row.relation == Relation::Alternate => primary_of(&row, &key),
        _ => None,
    };
    Ok(primary.or(rewritten))
}

fn primary_of(row: &AliasRow<'_>, key: &str) -> Option<Address> {
    match row.detail.as_ref().and_then(|detail| detail.primary.as_deref()) {
        Some(text) => Address::parse(text).ok(),
        None => address_of_key(key),
    }
}
