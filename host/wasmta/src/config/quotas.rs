//! `[quotas]`: what accounts, domains and tenants may take up, and when their owners are told.

use std::collections::HashSet;
use std::time::Duration;

use mail_types::Domain;

use super::section::Section;
use super::server::secs;

/// Largest limit, in octets and in messages.
const SIZE_MAX: u64 = 64 << 40;
const MESSAGES_MAX: u64 = 1 << 32;
/// Most tenants, and most domains of one: all of them are summed for each delivery.
const TENANTS_MAX: usize = 10_000;
const TENANT_DOMAINS_MAX: usize = 1_000;
/// Longest text of a warning, in octets.
const TEXT_MAX: usize = 64 << 10;
/// What a warning says unless the operator says something else.
const USUAL_SUBJECT: &str = "Your mailbox is $PERCENT % full";
const USUAL_TEXT: &str = "The mailbox $USER holds $USED. It may hold $LIMIT.\n\n\
    When it is full, new mail is not delivered any more. Please delete what you do not need, and empty the trash.\n";

/// A limit; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Octets.
    pub size: u64,
    /// Messages.
    pub messages: u64,
}

/// `[quotas]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// Of users whose entries say nothing.
    pub account: Limit,
    /// Of all users of a domain together, where its entry says nothing.
    pub domain: Limit,
    /// Percent of its quota from which on an owner is told; 0: never.
    pub warn_at: u64,
    /// When it is told again, while that lasts.
    pub warn_again: Duration,
    /// Subject of the warning.
    pub warn_subject: String,
    /// Its text.
    pub warn_text: String,
    /// Limits that the users of several domains have together.
    pub tenants: Vec<TenantQuota>,
}

/// `[quotas.tenants.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantQuota {
    /// Its name, for people.
    pub name: String,
    /// Whose users' mail is counted.
    pub domains: Vec<Domain>,
    /// How much.
    pub limit: Limit,
}

impl Quotas {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let limit = |s: &mut Section<'_>, size, messages| Limit {
            size: s.size(size, 0, 0..=SIZE_MAX),
            messages: s.number(messages, 0, 0..=MESSAGES_MAX),
        };
        let quotas = Self {
            account: limit(&mut s, "account-size", "account-messages"),
            domain: limit(&mut s, "domain-size", "domain-messages"),
            warn_at: s.number("warn-at", 90, 0..=100),
            warn_again: s.duration("warn-again", secs(7 * 86_400), secs(3600)..=secs(366 * 86_400)),
            warn_subject: s.text("warn-subject", USUAL_SUBJECT),
            warn_text: s.text("warn-text", USUAL_TEXT),
            tenants: tenants(&s.section("tenants")),
        };
        if quotas.warn_subject.contains(['\r', '\n']) || quotas.warn_subject.len() > 200 {
            s.fault("warn-subject", "is no subject", "write one line of at most 200 octets");
        }
        if quotas.warn_text.len() > TEXT_MAX {
            s.fault(
                "warn-text",
                format!("has {} octets", quotas.warn_text.len()),
                format!("at most {TEXT_MAX}"),
            );
        }
        s.close();
        quotas
    }
}

fn tenants(section: &Section<'_>) -> Vec<TenantQuota> {
    let named = section.named_sections();
    if named.len() > TENANTS_MAX {
        section.fault(
            "",
            format!("{} tenants are named here", named.len()),
            format!("at most {TENANTS_MAX}"),
        );
    }
    let mut known = HashSet::new();
    let mut tenants = Vec::with_capacity(named.len());
    for (name, mut s) in named {
        let domains: Option<Vec<Domain>> = s.parsed_list("domains", "write mail domains");
        let domains = domains.unwrap_or_default();
        if domains.is_empty() || domains.len() > TENANT_DOMAINS_MAX {
            let what = format!("names {} domains", domains.len());
            s.fault("domains", what, format!("name at least one, and at most {TENANT_DOMAINS_MAX}"));
        }
        for domain in &domains {
            if !known.insert(domain.clone()) {
                s.fault("domains", format!("{domain} is named twice"), "each domain belongs to one tenant");
            }
        }
        let limit = Limit {
            size: s.size("size", 0, 0..=SIZE_MAX),
            messages: s.number("messages", 0, 0..=MESSAGES_MAX),
        };
        if limit == Limit::default() {
            s.fault("", "limits nothing", "write size = \"10 GiB\", or messages = 100000");
        }
        s.close();
        tenants.push(TenantQuota { name, domains, limit });
    }
    tenants
}
