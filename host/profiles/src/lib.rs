//! What becomes of mail for a final recipient.
//!
//! *What:* asks the plugins that are bound to the disposition of a recipient, joins what they say, and turns it into
//! recipients that the queue takes: other mailboxes, further addresses, a hold, a refusal. *Why:* here alone does policy
//! see content (R88): routing decides by envelope and knows no message, and sessions and channels carry out what was
//! decided. A profile for each user (R61), open to further options (R70). *Layer 5:* above routing, below the edges.
//! *Must not know* SMTP, or how a plugin runs.

mod autoreply;
mod case;
mod circle;
mod ended;
mod forwarded;
mod hearing;
mod joined;
mod letter;
mod limit;
mod profiles;
mod reversed;
mod sender;
mod unsubscribe;
mod whole;

pub use autoreply::AutoReplying;
pub use hearing::Hearing;
pub use letter::Letter;
pub use profiles::{About, Profiles, Replies};
pub use reversed::{Leaving, Reversing};
pub use unsubscribe::Unsubscribe;
