//! Which mailbox a row leads to, and whether somebody has it.

use mail_types::{AccountName, Address, Refusal, Route};

use super::domains::View;
use super::refusals;
use super::way::{Found, Guide, Next};
use crate::tables::row::{AliasRow, RowKind};
use crate::tables::{Claim, TableError};

/// The account that a row stands for.
pub(super) fn account(found: &Found<'_>) -> Option<AccountName> {
    let account = found.row.detail.as_ref().and_then(|detail| detail.account.as_deref());
    AccountName::new(account.unwrap_or(&found.key))
}

/// The way into it.
///
/// # Errors
/// Nobody has it, or that cannot be said.
pub(super) fn mailbox(guide: &Guide<'_>, found: &Found<'_>, address: Address) -> Result<Next, Refusal> {
    let dn = &*found.row.dn;
    let Some(account) = account(found) else {
        return Err(refusals::not_served(found.address, "mailbox", dn));
    };
    let has_owner = has_owner(guide.view, found, &account).map_err(|e| refusals::unavailable(&e))?;
    if !has_owner {
        return Err(refusals::nobodys_mailbox(found.address, &account, dn));
    }
    Ok(Next::Route { address, detail: found.detail.clone(), route: Route::store(account) })
}

/// Whether somebody has the mailbox that a row leads to. What the native builder makes leads to an entry's own; a plugin may
/// name another entry's, which need not be there.
fn has_owner(view: &View<'_>, found: &Found<'_>, account: &AccountName) -> Result<bool, TableError> {
    if account.as_str() == found.key || view.reader.maker(&found.row.dn)?.is_none() {
        return Ok(true);
    }
    let own = |row: &AliasRow<'_>| {
        let leads_to = row.detail.as_ref().and_then(|detail| detail.account.as_deref());
        row.kind == RowKind::User && leads_to.is_none_or(|name| name == account.as_str())
    };
    Ok(match view.reader.alias(account.as_str())? {
        Some(Claim::One(row)) => own(&row),
        Some(Claim::Several(rows)) => rows.iter().any(own),
        None => false,
    })
}
