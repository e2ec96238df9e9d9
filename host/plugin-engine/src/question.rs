//! Questions and answers as they cross the border: the contract's own types, one variant a role.

use hooks::{
    Attributes, CallContext, DispositionRequest, ReverseRequest, RewriteRequest, Role, SenderRequest,
};
use mail_types::Address;
use serde::{Deserialize, Serialize};

use crate::bindings::exports::wasmta::policy::{
    authorize_sender, disposition, reverse, rewrite, route_table,
};
use crate::bindings::wasmta::policy::types;
use crate::reads::Reads;

/// A question of any role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// To `rewrite`.
    Rewrite(types::Context, Vec<rewrite::Request>),
    /// To `reverse`.
    Reverse(types::Context, Vec<reverse::Request>),
    /// To `authorize-sender`.
    AuthorizeSender(types::Context, authorize_sender::Request),
    /// To `disposition`.
    Disposition(types::Context, Vec<disposition::Recipient>),
    /// To `route-table`.
    RouteTable(String, Vec<route_table::Entry>),
}

impl Question {
    /// Whether nothing of mail hangs on it but how addresses look: rewrite refuses recipients alone, and a sender, or what stands
    /// in the header, stays as it is.
    pub(crate) fn only_changes(&self) -> bool {
        match self {
            Self::Rewrite(_, batch) => {
                batch.iter().all(|one| one.direction == "from" || one.position == "header")
            }
            _ => false,
        }
    }
}

/// An answer of any role, as the plugin gave it: not yet checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// From `rewrite`.
    Rewrite(Vec<rewrite::Verdict>),
    /// From `reverse`.
    Reverse(Vec<reverse::Verdict>),
    /// From `authorize-sender`.
    AuthorizeSender(authorize_sender::Verdict),
    /// From `disposition`, a list for each recipient.
    Disposition(Vec<Vec<disposition::Action>>),
    /// From `route-table`.
    RouteTable(Vec<route_table::Rows>),
}

impl Question {
    /// The role that is asked.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Rewrite(..) => Role::Rewrite,
            Self::Reverse(..) => Role::Reverse,
            Self::AuthorizeSender(..) => Role::AuthorizeSender,
            Self::Disposition(..) => Role::Disposition,
            Self::RouteTable(..) => Role::RouteTable,
        }
    }

    /// On whose behalf it is asked: the tenant, or nothing for the server's own rules.
    pub(crate) fn tenant(&self) -> &str {
        match self {
            Self::Rewrite(about, _)
            | Self::Reverse(about, _)
            | Self::AuthorizeSender(about, _)
            | Self::Disposition(about, _) => &about.tenant,
            Self::RouteTable(domain, _) => domain,
        }
    }

    /// Asks for new forms of addresses.
    #[must_use]
    pub fn rewrite<'r>(context: &CallContext, batch: impl IntoIterator<Item = &'r RewriteRequest>) -> Self {
        let request = |request: &RewriteRequest| rewrite::Request {
            address: address(&request.address),
            position: request.position.as_str().to_owned(),
            direction: request.direction.as_str().to_owned(),
            function: request.function.clone(),
            argument: request.argument.clone(),
            attrs: Vec::new(),
        };
        Self::Rewrite(context_of(context), batch.into_iter().map(request).collect())
    }

    /// Takes the id of message or session out of a question whose answer may be remembered for another.
    pub(crate) fn hide_id(&mut self) {
        if let Self::Rewrite(about, _) = self {
            about.id.clear();
        }
    }

    /// Asks how others shall see senders.
    #[must_use]
    pub fn reverse(context: &CallContext, batch: &[ReverseRequest]) -> Self {
        let request = |request: &ReverseRequest| reverse::Request {
            address: address(&request.address),
            position: request.position.as_str().to_owned(),
            destination: request.destination.clone(),
            forwarded: request.forwarded,
            attrs: Vec::new(),
        };
        Self::Reverse(context_of(context), batch.iter().map(request).collect())
    }

    /// Asks whether an account may send as an address, with what the plugin reads of the account's entry.
    #[must_use]
    pub(crate) fn authorize(context: &CallContext, request: &SenderRequest, reads: &Reads) -> Self {
        let request = authorize_sender::Request {
            account: request.account.to_string(),
            address: address(&request.address),
            attrs: reads.of(&request.attributes),
        };
        Self::AuthorizeSender(context_of(context), request)
    }

    /// Asks what becomes of a message for a recipient, with what the plugin reads of its entry.
    #[must_use]
    pub(crate) fn dispose(context: &CallContext, request: DispositionRequest, reads: &Reads) -> Self {
        let recipient = disposition::Recipient {
            address: address(&request.address),
            original: address(&request.original),
            detail: request.detail,
            account: request.account.to_string(),
            sender: request.sender.as_ref().map(address),
            profile: reads.of(&request.profile),
            attrs: Vec::new(),
        };
        Self::Disposition(context_of(context), vec![recipient])
    }

    /// Asks for rows of entries.
    #[must_use]
    pub fn build_rows(domain: &str, entries: &[(String, Attributes)]) -> Self {
        let entry =
            |(dn, attrs): &(String, Attributes)| route_table::Entry { dn: dn.clone(), attrs: attrs.clone() };
        Self::RouteTable(domain.to_owned(), entries.iter().map(entry).collect())
    }
}

fn context_of(context: &CallContext) -> types::Context {
    types::Context {
        tenant: context.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
        channel: context.channel.clone(),
        authenticated: context.authenticated.as_ref().map(ToString::to_string),
        id: context.id.clone(),
        attrs: Vec::new(),
    }
}

pub(crate) fn address(address: &Address) -> types::Address {
    types::Address { local: address.local.as_str().to_owned(), domain: address.domain.as_str().to_owned() }
}
