//! CANCELUPDATE (RFC 5267 §4.3.5): which results need not be kept up to date any more.

use crate::command::Command;
use crate::cursor::{Cursor, ParseError};

/// Most tags of one command.
const TAGS_MAX: usize = 100;

/// `"CANCELUPDATE" 1*(SP quoted)` (RFC 5267 §5)
pub(crate) fn cancel_update(cursor: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let mut tags = Vec::new();
    while tags.is_empty() || cursor.peek() == Some(b' ') {
        cursor.space()?;
        let wrong = cursor.expected("a tag, of not too many");
        match String::from_utf8(cursor.string("a tag")?) {
            Ok(tag) if tags.len() < TAGS_MAX => tags.push(tag),
            _ => return wrong,
        }
    }
    Ok(Command::CancelUpdate(tags))
}
