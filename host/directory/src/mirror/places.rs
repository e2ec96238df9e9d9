//! The subtrees that lie on other servers, as the last full sync was led to them (RFC 4511 §4.5.3): what is there is asked
//! for there, and no live sync of the servers of the list judges it.

use storage::Space;

use super::records::{FORMAT, SYNC, decode, encode, source_key};
use super::source::Mirror;
use crate::directory::Directory;
use crate::dn::Dn;
use crate::ldap::chase::Place;
use crate::ldap::settings::ServerUrl;

/// How they are stored: format, then name and server of each.
type Stored = (u8, Vec<(String, String)>);

/// The row that keeps them.
pub(super) fn places_row(source: &str, places: &[Place]) -> (Space, Vec<u8>, Vec<u8>) {
    let stored = places.iter().map(|place| (place.base.to_string(), place.server.to_string()));
    let stored: Stored = (FORMAT, stored.collect());
    (SYNC, source_key("places", source), encode(&stored))
}

/// Those that were kept; none where there are none, or the next full sync has to find them anew.
pub(super) fn kept(directory: &Directory, source: &str) -> Vec<Place> {
    let row = directory.row(SYNC, &source_key("places", source)).ok().flatten();
    let stored = row.and_then(|row| decode::<Stored>(&row)).filter(|(format, _)| *format == FORMAT);
    let places = stored.into_iter().flat_map(|(_, places)| places);
    let read = |(base, server): (String, String)| {
        Some(Place { base: Dn::parse(&base).ok()?, server: server.parse().ok()? })
    };
    places.filter_map(read).collect()
}

impl Mirror {
    /// The server that has a name, where it is none of the list.
    pub(super) fn server_of(&self, dn: &Dn) -> Option<ServerUrl> {
        let places = self.0.places.read();
        let above = places.iter().filter(|place| dn.is_within(&place.base));
        above.max_by_key(|place| place.base.depth()).map(|place| place.server.clone())
    }

    /// Whether a place is known.
    pub(super) fn knows_place(&self, base: &Dn) -> bool {
        self.0.places.read().iter().any(|place| place.base == *base)
    }

    /// Whether anything lies elsewhere.
    pub(super) fn has_places(&self) -> bool {
        !self.0.places.read().is_empty()
    }

    /// Takes over what a full sync found.
    pub(super) fn set_places(&self, places: Vec<Place>) {
        for place in &places {
            let state = format!("on {}: asking for changes at intervals", place.server);
            self.follows(&place.base, &state, false);
        }
        let gone = std::mem::replace(&mut *self.0.places.write(), places);
        let is_base = |base: &Dn| self.0.options.bases.contains(base);
        for place in gone.iter().filter(|place| !self.knows_place(&place.base) && !is_base(&place.base)) {
            self.follows_no_longer(&place.base);
        }
    }
}
