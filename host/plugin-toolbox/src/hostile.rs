//! Questions that strangers bring about: what a plugin must bear, whatever it does. All of them can come from a server.

use hooks::Role;
use mail_types::LOCAL_PART_MAX;
use plugin_engine::Question;

use crate::draft::{Draft, Drafted};

/// Items of the largest batch that a server asks about at once; and entries.
const BATCH: usize = 1000;
const ENTRIES: usize = 100;
/// Local parts, without their quotes.
const LOCALS: [&str; 20] = [
    "",
    " ",
    "a b",
    "a@b",
    "\"",
    "\\",
    "+",
    "-",
    "a+",
    "+b",
    "a+b+c+d",
    "=",
    "SRS0=",
    "SRS0=a=b=c",
    "srs1====",
    "..",
    "%s%n{}$1$&",
    "名前",
    "\u{202e}é\u{301}",
    "😀+😀",
];
/// Domains as a server gives them.
const DOMAINS: [&str; 6] = [
    "[192.0.2.1]",
    "[ipv6:2001:db8::1]",
    "localhost",
    "_a.b-c.example",
    "xn--bcher-kva.example",
    "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.example",
];

/// A question of the tool's own: what it is about, and itself.
pub(crate) type Trick = (String, Drafted);

/// The questions to a role, for the tenant of the author's own cases.
pub(crate) fn tricks(role: Role, tenant: &str) -> Vec<Trick> {
    let mut drafts = match role {
        Role::RouteTable => entries(tenant),
        Role::Disposition => addressed(tenant).into_iter().chain(letters(tenant)).collect(),
        _ => addressed(tenant),
    };
    if role == Role::Rewrite {
        let words = "x".repeat(BATCH);
        let long = Draft { function: words.clone(), argument: words, ..to("anna", tenant) };
        drafts.push(("a long function and argument".to_owned(), long));
    }
    let singles: Vec<Drafted> = drafts.iter().map(|(_, draft)| draft.question(role)).collect();
    let mut tricks: Vec<Trick> =
        drafts.iter().map(|(name, _)| name.clone()).zip(singles.iter().cloned()).collect();
    if let Some(empty) = batch(&singles, 0) {
        tricks.push(("an empty batch".to_owned(), empty));
    }
    // What is long comes alone: a thousand of it would be more than any server asks about.
    let short = |draft: &Draft| {
        draft.attributes.iter().all(|(_, value)| value.len() < BATCH) && draft.function.is_empty()
    };
    let short: Vec<Drafted> = singles
        .iter()
        .zip(&drafts)
        .filter(|(_, (_, draft))| short(draft))
        .map(|(one, _)| one.clone())
        .collect();
    let most = if role == Role::RouteTable { ENTRIES } else { BATCH };
    if let Some(full) = batch(&short, most) {
        tricks.push((format!("a batch of {most}"), full));
    }
    tricks
}

fn to(local: &str, tenant: &str) -> Draft {
    let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
    Draft {
        address: format!("\"{quoted}\"@{tenant}"),
        tenant: Some(tenant.to_owned()),
        account: Some(format!("anna@{tenant}")),
        sender: Some("<>".to_owned()),
        forwarded: true,
        ..Draft::default()
    }
}

fn addressed(tenant: &str) -> Vec<(String, Draft)> {
    let long = ["a".repeat(LOCAL_PART_MAX), "-".repeat(LOCAL_PART_MAX), "é".repeat(LOCAL_PART_MAX / 2)];
    let locals = LOCALS.iter().copied().chain(long.iter().map(String::as_str));
    let mut all: Vec<_> = locals
        .map(|local| {
            let detail = local.split_once('+').map_or(local, |(_, detail)| detail).to_owned();
            (format!("the local part {local:?}"), Draft { detail, ..to(local, tenant) })
        })
        .collect();
    for domain in DOMAINS {
        let draft = Draft { address: format!("anna@{domain}"), ..to("anna", tenant) };
        all.push((format!("the domain {domain}"), draft));
    }
    let header = |draft: Draft| Draft {
        position: Some("header".to_owned()),
        direction: Some("from".to_owned()),
        ..draft
    };
    all.push(("a sender in a header".to_owned(), header(to("anna", tenant))));
    all.push(("no tenant".to_owned(), Draft { tenant: Some(String::new()), ..to("anna", tenant) }));
    let attributes = vec![("mail".to_owned(), "\u{0}é\r\n".to_owned()), (String::new(), String::new())];
    all.push(("odd attributes".to_owned(), Draft { attributes, ..to("anna", tenant) }));
    all
}

fn letters(tenant: &str) -> Vec<(String, Draft)> {
    let mut many = b"Received: x\r\n".repeat(BATCH);
    many.extend_from_slice(b"\r\n");
    let long = format!("Subject: {}\r\nList-Id: <{}>\r\n\r\n", "x".repeat(50_000), "y.".repeat(5_000));
    let tangled = "From: <<>>, :;, \"\r\nFrom: @\r\nTo: (((\r\nSubject: =?utf-8?q?=C3?= =?x?b?*?=\r\n\r\n";
    let messages: [(&str, Vec<u8>); 7] = [
        ("an empty message", Vec::new()),
        ("a message without header", b"\r\nbody".to_vec()),
        ("a header without end", b"Subject: x".to_vec()),
        (
            "a header in no character set",
            b"Subject: \xff\xfe\x00\r\nX-Spam-Score: \xff\r\nFrom: \xff\r\n\r\n\xff".to_vec(),
        ),
        ("a tangled header", tangled.into()),
        ("a thousand fields", many),
        ("long fields", long.into_bytes()),
    ];
    let letter = |(name, message): (&str, Vec<u8>)| {
        (
            name.to_owned(),
            Draft { message, sender: Some("bob@remote.example".to_owned()), ..to("anna", tenant) },
        )
    };
    messages.into_iter().map(letter).collect()
}

fn entries(tenant: &str) -> Vec<(String, Draft)> {
    let entry = |dn: &str, attributes: &[(&str, &str)]| {
        let pairs = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Draft {
            domain: tenant.to_owned(),
            dn: dn.to_owned(),
            attributes: pairs.collect(),
            ..Draft::default()
        }
    };
    let address = format!("a\r\nb@{tenant}");
    let long = "x".repeat(10_000);
    vec![
        ("an entry with nothing in it".to_owned(), entry("", &[])),
        ("odd attributes".to_owned(), entry("CN=\\,,=", &[("", ""), ("mail", ""), ("mail", &address)])),
        ("long values".to_owned(), entry(&long, &[("mail", &long), ("objectClass", &long)])),
        ("letters outside ASCII".to_owned(), entry("CN=名前", &[("mail", "名前@例え.example"), ("é", "é")])),
        ("an address without local part".to_owned(), entry("CN=x", &[("mail", "@"), ("mail", "@@")])),
    ]
}

/// So many of the questions in one, for roles that take several.
fn batch(singles: &[Drafted], items: usize) -> Option<Drafted> {
    let first = singles.first()?;
    macro_rules! joined {
        ($variant:ident) => {{
            let all = singles.iter().filter_map(|one| match &one.question {
                Question::$variant(_, batch) => batch.first(),
                _ => None,
            });
            all.cloned().collect::<Vec<_>>().into_iter().cycle().take(items).collect()
        }};
    }
    let question = match &first.question {
        Question::Rewrite(about, _) => Question::Rewrite(about.clone(), joined!(Rewrite)),
        Question::Reverse(about, _) => Question::Reverse(about.clone(), joined!(Reverse)),
        Question::RouteTable(domain, _) => Question::RouteTable(domain.clone(), joined!(RouteTable)),
        Question::AuthorizeSender(..) | Question::Disposition(..) => return None,
    };
    Some(Drafted { question, ..first.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_types::{Domain, LocalPart};

    #[test]
    fn a_server_could_ask_all_of_them() {
        for local in LOCALS {
            assert!(LocalPart::new(local).is_ok(), "{local:?}");
        }
        for domain in DOMAINS {
            assert_eq!(Domain::parse(domain).unwrap().as_str(), domain);
        }
        let tricks = tricks(Role::Rewrite, "example.org");
        let Question::Rewrite(_, full) = &tricks.last().unwrap().1.question else { panic!("no batch") };
        assert_eq!(full.len(), BATCH);
        let rows = super::tricks(Role::RouteTable, "example.org");
        let Question::RouteTable(_, full) = &rows.last().unwrap().1.question else { panic!("no batch") };
        assert_eq!(full.len(), ENTRIES);
        let Question::Rewrite(_, first) = &tricks[4].1.question else { panic!("another role") };
        assert_eq!(
            (first[0].address.local.as_str(), first[0].address.domain.as_str()),
            ("\"", "example.org")
        );
    }
}
