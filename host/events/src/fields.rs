//! The fields of each event.

use crate::event::Event;
use crate::format::Field;

impl Event<'_> {
    /// Hands each field to the sink, in the order in which people read them.
    #[allow(clippy::too_many_lines, reason = "one arm for each event: the list is the point")]
    pub(crate) fn fields(&self, sink: &mut dyn FnMut(&'static str, Field<'_>)) {
        use Field::{Number, Text};
        macro_rules! show {
            ($($name:ident),*) => {{ $(sink(stringify!($name), Field::Shown($name));)* }};
        }
        match self {
            Self::Listening { service, address } => {
                sink("service", Text(service));
                show!(address);
            }
            Self::Stopping { reason } => sink("reason", Text(reason)),
            Self::ConfigurationLoaded { file, notes } => {
                sink("file", Text(file));
                if !notes.is_empty() {
                    sink("notes", Text(notes));
                }
            }
            Self::ConfigurationRefused { file, cause }
            | Self::ConfigurationDoubtful { file, cause }
            | Self::CertificateUnfit { file, cause }
            | Self::CertificateExpires { file, cause } => {
                sink("file", Text(file));
                sink("cause", Text(cause));
            }
            Self::DelegateRefused { delegate, asked, cause } => {
                sink("delegate", Text(delegate));
                sink("asked", Text(asked));
                sink("cause", Text(cause));
            }
            Self::ConnectionOpened { service, peer, session } => {
                sink("service", Text(service));
                show!(peer, session);
            }
            Self::ConnectionRefused { service, peer, cause } => {
                sink("service", Text(service));
                show!(peer);
                sink("cause", Text(cause));
            }
            Self::ConnectionClosed { service, peer, session, account, cause } => {
                sink("service", Text(service));
                show!(peer, session);
                if let Some(account) = account {
                    show!(account);
                }
                sink("cause", Text(cause));
            }
            Self::AuthenticationSucceeded { service, peer, session, account, mechanism } => {
                sink("service", Text(service));
                show!(peer, session, account);
                sink("mechanism", Text(mechanism));
            }
            Self::AuthenticationFailed { service, peer, session, login, mechanism, cause } => {
                sink("service", Text(service));
                show!(peer, session);
                sink("login", Text(login));
                sink("mechanism", Text(mechanism));
                sink("cause", Text(cause));
            }
            Self::Refused { service, peer, session, account, stage, reverse_path, recipient, refusal } => {
                sink("service", Text(service));
                show!(peer, session);
                if let Some(account) = account {
                    show!(account);
                }
                show!(stage);
                if let Some(path) = reverse_path {
                    sink("from", Field::Shown(path));
                }
                if let Some(recipient) = recipient {
                    sink("to", Text(recipient));
                }
                sink("reply", Field::Shown(&refusal.reply));
                sink("cause", Text(&refusal.cause));
            }
            Self::Accepted {
                id,
                source,
                peer,
                account,
                session,
                reverse_path,
                recipients,
                stored,
                queued,
                size,
                message_id,
            } => {
                show!(id);
                sink("source", Text(source));
                if let Some(peer) = peer {
                    show!(peer);
                }
                if let Some(session) = session {
                    show!(session);
                }
                if let Some(account) = account {
                    show!(account);
                }
                sink("from", Field::Shown(reverse_path));
                sink("recipients", Number(*recipients as u64));
                sink("stored", Number(*stored as u64));
                sink("queued", Number(*queued as u64));
                sink("size", Number(*size));
                if let Some(message_id) = message_id {
                    sink("message_id", Text(message_id));
                }
            }
            Self::Delivered { id, recipient, account, mailbox } => {
                show!(id);
                sink("to", Field::Shown(recipient));
                show!(account);
                sink("mailbox", Text(mailbox));
            }
            Self::Attempted {
                id,
                recipient,
                route,
                outcome,
                remote,
                reply,
                cause,
                attempts,
                delay_seconds,
            } => {
                show!(id);
                sink("to", Field::Shown(recipient));
                show!(outcome, route);
                if let Some(remote) = remote {
                    sink("remote", Text(remote));
                }
                show!(reply);
                if let Some(cause) = cause {
                    sink("cause", Text(cause));
                }
                sink("attempts", Number(u64::from(*attempts)));
                sink("delay_seconds", Number(*delay_seconds));
            }
            Self::DsnQueued { id, about, action, to } => {
                show!(id, about);
                sink("action", Text(action));
                show!(to);
            }
            Self::Sent { id, about, source, to } => {
                show!(id, about);
                sink("source", Text(source));
                show!(to);
            }
            Self::DsnSuppressed { about, action } => {
                show!(about);
                sink("action", Text(action));
            }
            Self::Completed { id } => show!(id),
            Self::QueueChanged { id, change, by } => {
                show!(id);
                sink("change", Text(change));
                sink("by", Text(by));
            }
            Self::Discarded { id, recipient, rule } => {
                show!(id);
                sink("to", Field::Shown(recipient));
                sink("rule", Text(rule));
            }
            Self::AccountCreated { account } => show!(account),
            Self::AccountMoved { from, to } => {
                show!(from);
                show!(to);
            }
            Self::AccountNotMoved { from, to, cause } => {
                show!(from);
                show!(to);
                sink("cause", Text(cause));
            }
            Self::QuotaNear { whose, percent } => {
                sink("whose", Text(whose));
                sink("percent", Field::Number(*percent));
            }
            Self::DirectoryChanged { change, entry } => {
                sink("change", Text(change));
                sink("entry", Text(entry));
            }
            Self::DirectoryDefect { place, entry, cause } => {
                sink("place", Text(place));
                sink("entry", Text(entry));
                sink("cause", Text(cause));
            }
            Self::DirectoryServerDown { server, cause } => {
                sink("server", Text(server));
                sink("cause", Text(cause));
            }
            Self::DirectoryServerUp { server } => sink("server", Text(server)),
            Self::SyncFinished { source, kind, seen, changed, removed, refused, milliseconds } => {
                sink("source", Text(source));
                sink("kind", Text(kind));
                sink("seen", Number(*seen));
                sink("changed", Number(*changed));
                sink("removed", Number(*removed));
                sink("refused", Number(*refused));
                sink("milliseconds", Number(*milliseconds));
            }
            Self::SyncFailed { source, kind, cause } => {
                sink("source", Text(source));
                sink("kind", Text(kind));
                sink("cause", Text(cause));
            }
            Self::SyncLeftOver { source, entries, example } => {
                sink("source", Text(source));
                sink("entries", Number(*entries));
                sink("example", Text(example));
            }
            Self::SyncEntryRefused { source, entry, attribute, cause } => {
                sink("source", Text(source));
                sink("entry", Text(entry));
                sink("attribute", Text(attribute));
                sink("cause", Text(cause));
            }
            Self::DnsPublished { domain, place, records } => {
                sink("domain", Text(domain));
                sink("place", Text(place));
                sink("records", Number(*records));
            }
            Self::DnsFailed { domain, place, cause } => {
                sink("domain", Text(domain));
                sink("place", Text(place));
                sink("cause", Text(cause));
            }
            Self::TargetRefused { id, account, channel, target, cause } => {
                show!(id);
                sink("account", Text(account));
                sink("channel", Text(channel));
                sink("target", Text(target));
                sink("cause", Text(cause));
            }
            Self::DnsTableRead { table, place, serial, domains, changed } => {
                sink("table", Text(table));
                sink("place", Text(place));
                sink("serial", Number(*serial));
                sink("domains", Number(*domains));
                sink("changed", Number(*changed));
            }
            Self::DnsTableFailed { table, place, cause } => {
                sink("table", Text(table));
                sink("place", Text(place));
                sink("cause", Text(cause));
            }
            Self::TablesBuilt { kind, entries, rows, csn, milliseconds } => {
                sink("kind", Text(kind));
                sink("entries", Number(*entries));
                sink("rows", Number(*rows));
                sink("csn", Number(*csn));
                sink("milliseconds", Number(*milliseconds));
            }
            Self::TablesFailed { cause } | Self::StorageUnavailable { cause } => sink("cause", Text(cause)),
            Self::TablesEntryFailed { plugin, domain, entry, cause } => {
                sink("plugin", Text(plugin));
                sink("domain", Text(domain));
                sink("entry", Text(entry));
                sink("cause", Text(cause));
            }
            Self::StorageRecovered { after_seconds } => sink("after_seconds", Number(*after_seconds)),
            Self::DestinationResting { destination, cause, seconds } => {
                sink("destination", Text(destination));
                sink("cause", Text(cause));
                sink("seconds", Number(*seconds));
            }
            Self::InternalError { place, cause } => {
                sink("place", Text(place));
                sink("cause", Text(cause));
            }
            Self::PluginFailed { id, plugin, tenant, role, kind, on_failure, cause } => {
                of_plugin(sink, Some(id), plugin, *tenant);
                sink("role", Text(role));
                sink("kind", Text(kind));
                sink("on_failure", Text(on_failure));
                sink("cause", Text(cause));
            }
            Self::PluginLogged { id, plugin, tenant, level, text } => {
                of_plugin(sink, Some(id), plugin, *tenant);
                sink("level", Text(level));
                sink("text", Text(text));
            }
            Self::PluginChanged { plugin, tenant, change } => {
                of_plugin(sink, None, plugin, *tenant);
                sink("change", Text(change));
            }
            Self::AddressKept { id, address, instead_of, addresses } => {
                sink("id", Text(id));
                show!(address, instead_of);
                sink("addresses", Number(*addresses));
            }
            Self::SenderRewritten { service, peer, from, to } => {
                sink("service", Text(service));
                show!(peer, from, to);
            }
        }
    }
}

/// Whose plugin, for which message.
fn of_plugin(
    sink: &mut dyn FnMut(&'static str, Field<'_>),
    id: Option<&str>,
    plugin: &str,
    tenant: Option<&str>,
) {
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        sink("id", Field::Text(id));
    }
    sink("plugin", Field::Text(plugin));
    if let Some(tenant) = tenant {
        sink("tenant", Field::Text(tenant));
    }
}
