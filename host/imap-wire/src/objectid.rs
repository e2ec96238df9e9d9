//! Identifiers of objects (RFC 8474).

use crate::cursor::{Cursor, ParseError};

/// Longest identifier (RFC 8474 §7).
const OBJECT_ID_OCTETS_MAX: usize = 255;

/// `objectid = 1*255(ALPHA / DIGIT / "_" / "-")`
pub(crate) fn object_id(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let wrong = cursor.expected("an identifier");
    let octets =
        cursor.take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-').to_vec();
    match String::from_utf8(octets) {
        Ok(id) if (1..=OBJECT_ID_OCTETS_MAX).contains(&id.len()) => Ok(id),
        _ => wrong,
    }
}
