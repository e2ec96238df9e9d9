use super::*;

/// A message: number, identifier, references, subject; sent in the order of the numbers.
fn message(number: u32, id: &str, references: &str, subject: &str) -> Threaded {
    let base = message::BaseSubject::of(subject.as_bytes());
    Threaded {
        node: Node {
            member: Some(Member { sequence: number, uid: number }),
            sent: (u64::from(number), number),
            is_reply: base.is_reply,
            ..Node::default()
        },
        subject: collation_key(&base.text),
        id: Some(id.to_owned()),
        references: references.split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
    }
}

fn linked(messages: Vec<Threaded>) -> Linking {
    let mut linking = Linking::default();
    for message in messages {
        linking.add(message);
    }
    linking
}

fn linked_threads(messages: Vec<Threaded>) -> Threads {
    by_references(linked(messages))
}

/// Nested lists: a dummy is `_`.
fn text(threads: &Threads, nodes: &[usize]) -> String {
    let one = |node: &usize| {
        let found = &threads.nodes[*node];
        let name = found.member.map_or("_".to_owned(), |member| member.sequence.to_string());
        format!("({name}{})", text(threads, &found.children))
    };
    nodes.iter().map(one).collect()
}

fn references_of(messages: Vec<Threaded>) -> String {
    let threads = linked_threads(messages);
    text(&threads, &threads.roots)
}

#[test]
fn references_make_trees_whatever_the_order() {
    let messages = || {
        vec![
            message(1, "a", "", "x"),
            message(2, "b", "a", "Re: x"),
            message(3, "c", "a b", "Re: x"),
            message(4, "d", "a", "Re: x"),
        ]
    };
    assert_eq!(references_of(messages()), "(1(2(3))(4))");
    let mut turned = messages();
    turned.reverse();
    assert_eq!(references_of(turned), "(1(2(3))(4))");
}

#[test]
fn what_is_not_there_holds_its_children_together() {
    let two = vec![message(1, "b", "gone", "Re: x"), message(2, "c", "gone", "Re: x")];
    assert_eq!(references_of(two), "(_(1)(2))");
    let one = vec![message(1, "b", "gone", "Re: x")];
    assert_eq!(references_of(one), "(1)");
}

#[test]
fn what_is_held_grows_with_the_messages_and_not_with_their_square() {
    // A chain of messages that nobody has, and many below its end.
    let (chained, below): (u32, u32) = (1_000, 100);
    let mut messages: Vec<Threaded> = (0..chained)
        .map(|number| message(number + 1, &format!("m{number}"), &format!("r{number} r{}", number + 1), ""))
        .collect();
    messages.extend(
        (chained..chained + below)
            .map(|number| message(number + 1, &format!("n{number}"), &format!("r{chained}"), "")),
    );
    let threads = linked_threads(messages);
    assert_eq!(threads.roots.len(), 1);
    assert_eq!(threads.nodes[threads.roots[0]].children.len(), (chained + below) as usize);
    let held: usize = threads.nodes.iter().map(|node| node.children.capacity()).sum();
    assert!(held < 4 * threads.nodes.len(), "{held} places for {} messages", threads.nodes.len());
}

#[test]
fn loops_and_double_identifiers_do_no_harm() {
    let loops = vec![message(1, "a", "b", "x"), message(2, "b", "a", "y")];
    assert_eq!(references_of(loops), "(2(1))");
    let own = vec![message(1, "a", "a a", "x")];
    assert_eq!(references_of(own), "(1)");
    let double = vec![message(1, "a", "", "x"), message(2, "a", "", "y"), message(3, "c", "a", "z")];
    assert_eq!(references_of(double), "(1(3))(2)");
}

#[test]
fn a_thread_may_be_as_deep_as_the_mailbox() {
    let messages = |numbers: Vec<u32>| {
        let one = |number: u32| message(number, &number.to_string(), &(number - 1).to_string(), "");
        numbers.into_iter().map(one).collect::<Vec<_>>()
    };
    for numbers in [(1..50_000).collect::<Vec<u32>>(), (1..50_000).rev().collect()] {
        let threads = linked_threads(messages(numbers));
        let (mut depth, mut below) = (0, threads.roots.first().copied());
        while let Some(node) = below {
            (depth, below) = (depth + 1, threads.nodes[node].children.first().copied());
        }
        assert_eq!((threads.roots.len(), depth), (1, 49_999));
    }
}

#[test]
fn threads_of_one_subject_are_joined() {
    // A reply below what it answers; two replies below a dummy; no subject joins nothing.
    assert_eq!(references_of(vec![message(1, "a", "", "x"), message(2, "b", "", "Re: X")]), "(1(2))");
    assert_eq!(references_of(vec![message(1, "a", "", "Re: x"), message(2, "b", "", "x")]), "(2(1))");
    assert_eq!(references_of(vec![message(1, "a", "", "x"), message(2, "b", "", "x")]), "(_(1)(2))");
    assert_eq!(references_of(vec![message(1, "a", "", ""), message(2, "b", "", "")]), "(1)(2)");
    let three = vec![message(1, "a", "", "x"), message(2, "b", "", "x"), message(3, "c", "", "x")];
    assert_eq!(references_of(three), "(_(1)(2)(3))");
}

#[test]
fn ordered_subjects_have_no_grandchildren() {
    let threads = by_subject(linked(vec![
        message(1, "a", "", "x"),
        message(2, "b", "", "y"),
        message(3, "c", "", "Re: x"),
        message(4, "d", "", "x"),
    ]));
    assert_eq!(text(&threads, &threads.roots), "(1(3)(4))(2)");
}

#[test]
fn identifiers_are_compared_without_their_quoting() {
    assert_eq!(ids(b"<\"01KF\"@x.y> text <a@b> <none>").collect::<Vec<_>>(), ["01KF@x.y", "a@b"]);
    let header = b"In-Reply-To: Your mail <a@b> of Friday <c@d>\r\n\r\n";
    assert_eq!(references(header), ["a@b"]);
}

#[test]
fn the_search_for_loops_is_bounded_however_messages_refer_to_each_other() {
    // A chain of so many, and then messages each of whose references begins at the chain's end: each is looked for above
    // it, up to the top.
    let length: u32 = 5_000;
    let mut messages: Vec<Threaded> = (0..length)
        .map(|number| {
            let above = if number == 0 { String::new() } else { format!("c{}", number - 1) };
            message(number + 1, &format!("c{number}"), &above, "x")
        })
        .collect();
    let last = format!("c{}", length - 1);
    // `r` is a dummy with something below it, so that it may be above what it is to be put under.
    for number in 0..3_000 {
        let pairs = format!("r{number} s{number} {last} r{number}");
        messages.push(message(length + 1 + number, &format!("m{number}"), &pairs, "x"));
    }
    let count = messages.len();
    let threads = linked_threads(messages);
    assert!(threads.climbed > CLIMBED_MAX, "{} steps: these messages climb", threads.climbed);
    assert!(threads.climbed < CLIMBED_MAX + count * REFERENCES_MAX, "{} steps", threads.climbed);
    let mut told: Vec<u32> = threads.nodes.iter().filter_map(|node| Some(node.member?.sequence)).collect();
    told.sort_unstable();
    let below: usize =
        threads.children_first().iter().filter(|node| threads.nodes[**node].member.is_some()).count();
    assert_eq!((told.len(), below), (count, count), "each message is in a thread, once");
}

#[test]
fn of_long_identifiers_no_more_is_held_than_tells_them_apart() {
    let references =
        (0..100).map(|number| format!("{number}{}@x", "z".repeat(9_000))).collect::<Vec<_>>().join(" ");
    let mut linking = Linking::default();
    let octets: usize = (1..=50).map(|number| linking.add(message(number, "", &references, ""))).sum();
    assert!(octets < 50_000, "{octets} octets");
    assert_eq!(linking.threads.nodes.len(), 150);
    let header = format!("References: {}\r\n\r\n", "<a@b> ".repeat(REFERENCES_MAX + 1));
    assert_eq!(super::references(header.as_bytes()).len(), REFERENCES_MAX);
}
