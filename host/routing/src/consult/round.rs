//! Answers that lead round in a circle, and how often anybody is asked.

use super::*;

#[tokio::test]
async fn who_answers_for_ever_is_asked_so_often_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    // Each answer is another question.
    let fake = Fake::new(|plugin, request| {
        let longer = format!("{}x@{}", request.address.local, request.address.domain);
        (plugin == "one").then(|| Ok(RewriteVerdict::Again(address(&longer))))
    });
    let routing = routing(&dir, RULES, "", &fake).await;
    let circle = "451 4.3.0 This address cannot be decided on now, try again later";
    for recipient in ["u@chained.example", "u@ruled.example"] {
        assert_eq!(show(&resolve(&routing, recipient).await), circle, "{recipient}");
        assert_eq!(fake.taken().len(), crate::rewrite::engine::REWRITES_MAX);
    }
    // The same answer again and again is asked for once.
    let same = Fake::new(|_, request| Some(Ok(RewriteVerdict::Again(request.address.clone()))));
    let routing = routing.with_plugins(Arc::new(same.clone()));
    assert_eq!(show(&resolve(&routing, "u@chained.example").await), circle);
    assert_eq!(same.taken().len(), 1);
}

#[tokio::test]
async fn what_answers_that_lead_round_do_to_mail_is_said_by_on_failure() {
    let dir = tempfile::tempdir().unwrap();
    // ann, bob, cob, ann …: no answer is the question, and all together are none.
    let round = |plugin: &str, request: &RewriteRequest| {
        let next = match request.address.local.as_str() {
            "ann" => "bob",
            "bob" => "cob",
            _ => "ann",
        };
        plugin
            .starts_with("round-")
            .then(|| Ok(RewriteVerdict::Again(address(&format!("{next}@{}", request.address.domain)))))
    };
    for (word, reply) in [
        ("tempfail", "451 4.3.0 This address cannot be decided on now, try again later"),
        ("reject", "550 5.3.0 This address cannot be decided on"),
        ("keep", "ann@chained.example store:ann@chained.example"),
        ("skip", "ann@chained.example store:ann@chained.example"),
    ] {
        let rules = RULES.replace("$[one,", &format!("$[round-{word},"));
        let fake = Fake::new(round);
        let routing = routing(&dir, &rules, "", &fake).await;
        assert_eq!(show(&resolve(&routing, "ann@ruled.example").await), reply, "by rule, {word}");
    }
    // Rules that go round by themselves are not the fault of a plugin that was asked once.
    let once = Fake::new(|plugin, request| {
        let own = plugin == "one" && request.address.local.as_str() == "ann";
        own.then(|| Ok(RewriteVerdict::Again(address("round@ruled.example"))))
    });
    let rules = "ruled.example $[one,find,$U]$E\nruled.example $U%ruled.example\n. $U%$H@smtp\n";
    let routing = routing(&dir, rules, "", &once).await;
    let circle = "550 5.4.6 The rewrite rules go round in a circle with this address";
    assert_eq!(show(&resolve(&routing, "ann@ruled.example").await), circle);
}

#[tokio::test]
async fn who_is_not_asked_any_more_is_not_asked_after_another_either() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new(|plugin, request| {
        let next = match (plugin, request.address.local.as_str()) {
            ("round-skip", "x") => "y@chained.example",
            ("round-skip", "y") => "x@chained.example",
            ("last", "x") => "kept@chained.example",
            ("one" | "two", _) => return None,
            _ => return Some(Ok(RewriteVerdict::NoMatch)),
        };
        Some(Ok(RewriteVerdict::Again(address(next))))
    });
    fake.bound = ["quiet", "round-skip", "last"].map(|plugin| (plugin, "chained.example")).to_vec();
    let routing = routing(&dir, RULES, "", &fake).await;
    let answer = resolve(&routing, "x@chained.example").await;
    assert_eq!(show(&answer), "ann@chained.example store:ann@chained.example");
    let taken = fake.taken();
    assert_eq!(names(&taken).iter().filter(|name| **name == "round-skip").count(), 2, "{taken:?}");
}

#[tokio::test]
async fn each_question_is_put_once_a_decision() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new(|plugin, request| match (plugin, request.address.local.as_str()) {
        ("quiet", "x") => Some(Ok(RewriteVerdict::NoMatch)),
        ("leading", "x") => Some(Ok(RewriteVerdict::Again(address("kept@chained.example")))),
        _ => None,
    });
    fake.bound = ["aloof", "quiet", "deaf", "leading"].map(|plugin| (plugin, "chained.example")).to_vec();
    let routing = routing(&dir, RULES, "", &fake).await;
    assert_eq!(
        show(&resolve(&routing, "x@chained.example").await),
        "ann@chained.example store:ann@chained.example"
    );
    let looked = fake.looked.lock().unwrap();
    let of_x: Vec<_> = looked.iter().filter(|asked| asked.ends_with(" x")).collect();
    assert_eq!(of_x, ["aloof x", "quiet x", "deaf x", "leading x"], "what is not interested is counted once");
}
