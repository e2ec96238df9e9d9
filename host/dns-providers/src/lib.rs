//! Records of mail domains, published at providers of DNS by their HTTP interfaces.
//!
//! *What:* [`PROVIDERS`], the providers that can hold what mail needs, each with the keys of its credentials; and
//! [`ProviderZones`], which implements `dns::Publisher` (R15) at one of them, by the library `dns-update`.
//! *Why:* many zones live where neither zone transfers nor dynamic updates lead. It is a crate of its own so that an HTTP
//! client is part of the whole server, and of nothing that the other crates can reach.
//! *Layer 3:* knows `dns`, and nothing of the directory.

mod catalogue;
mod constructors;
mod credentials;
mod failure;
mod provider;
mod steps;
mod zones;

pub use catalogue::PROVIDERS;
pub use credentials::Credentials;
pub use provider::{Key, KeyKind, Provider};
pub use zones::{CredentialsSource, ProviderZones};
