//! Cookies of live syncs (RFC 4533 §2.1.2). They are the server's, and nobody else's to read. But those of OpenLDAP, where
//! several servers write, say with each change how far it has come of the one that wrote it alone: `rid=…,sid=…,csn=…`, with a
//! number for each writer (`TIME#COUNT#WRITER#MODIFICATION`). Whoever keeps the last one only forgets how far it has come of the
//! others, and a server that lags behind them is believed. So they are joined as OpenLDAP's own consumers join them. The `sid`
//! says which server the consumer is: a server does not tell of what that one wrote, and we are none.

use std::collections::BTreeMap;

/// How far somebody has come, by writer.
struct OpenLdap<'c> {
    rid: &'c str,
    /// The number of a writer, and its last change.
    changes: BTreeMap<&'c str, &'c str>,
}

impl<'c> OpenLdap<'c> {
    /// Reads a cookie of OpenLDAP; `None` for what is none, or says more than is known here.
    fn read(cookie: &'c [u8]) -> Option<Self> {
        let text = std::str::from_utf8(cookie).ok()?;
        let (mut rid, mut changes) = (None, BTreeMap::new());
        for part in text.split(',') {
            match part.split_once('=')? {
                ("rid", number) => rid = Some(number),
                ("sid", _) => {}
                ("csn", list) => {
                    for change in list.split(';') {
                        let writer = change.split('#').nth(2)?;
                        let last = changes.entry(writer).or_insert(change);
                        *last = (*last).max(change);
                    }
                }
                _ => return None,
            }
        }
        Some(Self { rid: rid?, changes })
    }
}

/// The cookie to keep when a new one comes: what it says of its own, and of others what was known.
pub(super) fn joined(known: Option<&[u8]>, new: &[u8]) -> Vec<u8> {
    let Some(mut joined) = OpenLdap::read(new) else { return new.to_vec() };
    if joined.changes.is_empty() {
        return new.to_vec();
    }
    for (writer, change) in known.and_then(OpenLdap::read).into_iter().flat_map(|known| known.changes) {
        let last = joined.changes.entry(writer).or_insert(change);
        *last = (*last).max(change);
    }
    let changes: Vec<&str> = joined.changes.into_values().collect();
    format!("rid={},csn={}", joined.rid, changes.join(";")).into_bytes()
}

/// What a cookie would say of a server that has come so far of each writer.
pub(super) fn of_context(context: &[Vec<u8>]) -> Vec<u8> {
    [b"rid=000,csn=".as_slice(), &context.join(b";".as_slice())].concat()
}

/// Whether a cookie is OpenLDAP's, and says how far somebody has come.
pub(super) fn is_openldaps(cookie: &[u8]) -> bool {
    OpenLdap::read(cookie).is_some_and(|cookie| !cookie.changes.is_empty())
}

/// Whether a server that has come as far as it says, of each writer (`contextCSN`), lacks something of what a cookie stands for.
pub(super) fn lacks(cookie: &[u8], context: &[Vec<u8>]) -> bool {
    let Some(known) = OpenLdap::read(cookie) else { return false };
    let context: Vec<&str> = context.iter().filter_map(|change| std::str::from_utf8(change).ok()).collect();
    let has = |writer: &str, change: &str| {
        context.iter().any(|has| has.split('#').nth(2) == Some(writer) && *has >= change)
    };
    !known.changes.iter().all(|(writer, change)| has(writer, change))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "20261129095718.000001Z#000000#001#000000";
    const ONE_LATER: &str = "20261129095719.000001Z#000000#001#000000";
    const TWO: &str = "20261129095718.500000Z#000000#002#000000";

    #[test]
    fn what_one_writer_changed_does_not_forget_how_far_we_came_of_another() {
        let join = |known: Option<&str>, new: &str| {
            String::from_utf8(joined(known.map(str::as_bytes), new.as_bytes())).unwrap()
        };
        assert_eq!(
            join(None, &format!("rid=000,sid=001,csn={ONE};{TWO}")),
            format!("rid=000,csn={ONE};{TWO}")
        );
        let both = format!("rid=000,csn={ONE};{TWO}");
        assert_eq!(
            join(Some(&both), &format!("rid=000,sid=002,csn={ONE_LATER}")),
            format!("rid=000,csn={ONE_LATER};{TWO}")
        );
        // What is older than was known takes nothing back.
        let later = format!("rid=000,csn={ONE_LATER}");
        assert_eq!(
            join(Some(&later), &format!("rid=000,csn={ONE};{TWO}")),
            format!("rid=000,csn={ONE_LATER};{TWO}")
        );
        assert_eq!(join(Some("another server's"), &both), both);
    }

    #[test]
    fn who_has_come_less_far_of_any_writer_lacks_something() {
        let lacks = |context: &[&str]| {
            let context: Vec<Vec<u8>> = context.iter().map(|change| change.as_bytes().to_vec()).collect();
            super::lacks(format!("rid=000,csn={ONE};{TWO}").as_bytes(), &context)
        };
        assert!(lacks(&[ONE]) && lacks(&[TWO]) && lacks(&["nonsense"]));
        assert!(!lacks(&[TWO, ONE]) && !lacks(&[ONE_LATER, TWO]));
        assert!(
            is_openldaps(b"rid=000,csn=x#0#001#0")
                && !is_openldaps(b"rid=000")
                && !is_openldaps(b"another's")
        );
    }

    #[test]
    fn what_a_server_says_of_itself_is_joined_like_a_cookie() {
        let said = of_context(&[TWO.into(), ONE.into()]);
        assert_eq!(joined(None, &said), format!("rid=000,csn={ONE};{TWO}").into_bytes());
        assert!(is_openldaps(&said));
    }

    #[test]
    fn what_is_not_openldaps_is_kept_as_it_is() {
        for cookie in ["another server's", "rid=000", "rid=000,csn=nonsense", "rid=000,csn=a#b#c,more=1", ""]
        {
            assert_eq!(
                joined(Some(b"rid=000,csn=x#0#001#0"), cookie.as_bytes()),
                cookie.as_bytes(),
                "{cookie}"
            );
        }
        assert_eq!(joined(None, &[0xff, 0x00]), [0xff, 0x00]);
    }
}
