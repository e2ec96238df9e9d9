//! Candidates beside what is in force, and what neither they nor recordings get to see.

use super::*;
use crate::{Digest, LeftOut, Offered, ShadowReport};

/// `stateful` in force and recorded, `trap` beside it.
async fn shadowed() -> House {
    let house = house();
    let policy = name("policy");
    house.engine.install(&octets("stateful"), Some(policy.clone()), None, "test", false).await.unwrap();
    configure(&house, granted("policy")).await;
    house.engine.shadow_begin(&policy, &octets("trap")).await.unwrap();
    house
}

async fn configure(house: &House, settings: Settings) -> Vec<String> {
    let record = HashMap::from([(name("policy"), 1 << 20)]);
    house.engine.configure(vec![settings], record).await
}

fn report(house: &House) -> Option<ShadowReport> {
    house.engine.shadow_report(&name("policy"), false).ok()
}

fn candidate(house: &House) -> Option<Digest> {
    house.engine.list().remove(&name("policy")).unwrap().candidate
}

/// Asks, and waits until the candidate has answered, too.
async fn compared(house: &House, calls: u64) {
    house.rewrite("policy", "one@example.org").await.answer.unwrap();
    for _ in 0..500 {
        let report = report(house).unwrap();
        if report.same + report.different + report.left_out == calls {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it was not compared");
}

#[tokio::test]
async fn a_trial_ends_with_its_plugin_and_is_seen_as_long_as_it_goes_on() {
    let house = shadowed().await;
    compared(&house, 1).await;
    assert_eq!(candidate(&house), Some(Digest::of(&octets("trap"))));
    assert!(!report(&house).unwrap().differences.is_empty());
    house.engine.remove(&name("policy")).await.unwrap();
    assert!(report(&house).is_none(), "what it keeps for a look is from messages");
    house.engine.install(&octets("stateful"), Some(name("policy")), None, "test", false).await.unwrap();
    house.rewrite("policy", "one@example.org").await.answer.unwrap();
    assert!(report(&house).is_none() && candidate(&house).is_none());
}

#[tokio::test]
async fn a_trial_keeps_nothing_for_a_look_of_a_tenant_that_is_gone() {
    let house = shadowed().await;
    compared(&house, 1).await;
    house.engine.forget_tenant(&Domain::parse("b.example").unwrap()).await.unwrap();
    assert_eq!(report(&house).unwrap().differences.len(), 1);
    house.engine.forget_tenant(&Domain::parse("example.org").unwrap()).await.unwrap();
    assert!(report(&house).unwrap().differences.is_empty());
}

#[tokio::test]
async fn a_trial_begins_anew_with_other_settings_and_beside_another_version() {
    let house = shadowed().await;
    compared(&house, 1).await;
    assert_eq!(configure(&house, granted("policy")).await, Vec::<String>::new());
    assert_eq!(report(&house).unwrap().different, 1, "nothing has changed");
    let mut other = granted("policy");
    other.limits.log_lines = 7;
    let notes = configure(&house, other).await;
    assert!(notes[0].contains("the trial of") && notes[0].contains("begins anew"), "{notes:?}");
    assert_eq!(report(&house).map(|report| (report.same, report.different)), Some((0, 0)));
    assert_eq!(house.engine.0.shadows.of(&name("policy")).unwrap().plugin.settings.limits.log_lines, 7);
    compared(&house, 1).await;
    let policy = Some(name("policy"));
    let installed = house.engine.install(&octets("slow"), policy.clone(), None, "x", true).await.unwrap();
    assert!(installed.trial.unwrap().contains("begins anew"));
    assert_eq!(report(&house).map(|report| (report.same, report.different)), Some((0, 0)));
    // What is in force needs no trial.
    let installed = house.engine.install(&octets("trap"), policy, None, "x", true).await.unwrap();
    assert!(installed.trial.unwrap().contains("has ended: it is in force"));
    assert!(report(&house).is_none() && candidate(&house).is_none());
}

#[tokio::test]
async fn what_is_too_large_to_be_recorded_is_counted_and_told() {
    let house = house();
    let policy = name("policy");
    house.engine.install(&octets("slow"), Some(policy.clone()), None, "test", false).await.unwrap();
    let mut settings = granted("policy");
    settings.limits.host_calls = 10_000;
    settings.limits.cpu = Duration::from_secs(5);
    configure(&house, settings).await;
    house.engine.shadow_begin(&policy, &octets("trap")).await.unwrap();
    // More answers of tables than a recording holds.
    assert_eq!(house.said("policy", "lookup@example.org").await, "calls");
    let report = report(&house).unwrap();
    assert_eq!((report.same + report.different + report.left_out, report.too_large), (0, 1));
    let left_out = LeftOut { too_large: 1, ..LeftOut::default() };
    assert_eq!(house.engine.left_out(&policy), left_out);
    assert_eq!(house.engine.list()[&policy].left_out, left_out);
    let nothing = house.engine.replay(&policy, None::<Offered<'_>>, |_| true).await.unwrap_err().to_string();
    assert!(nothing.contains("1 calls were not recorded") && nothing.contains("256 KiB"), "{nothing}");
    let installed = house.engine.install(&octets("slow"), Some(policy.clone()), None, "x", false).await;
    assert_eq!(installed.unwrap().left_out, left_out);
    house.engine.remove(&policy).await.unwrap();
    assert_eq!(house.engine.left_out(&policy), LeftOut::default());
}

#[tokio::test]
async fn calls_that_do_not_say_with_what_they_were_made_are_counted() {
    let house = shadowed().await;
    compared(&house, 1).await;
    let path = house.folder.path().join("plugins/recordings/policy.jsonl");
    let mut lines = String::new();
    for _ in 0..500 {
        lines = std::fs::read_to_string(&path).unwrap_or_default();
        if lines.lines().count() == 2 && lines.ends_with('\n') {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let played = async || house.engine.replay(&name("policy"), None::<Offered<'_>>, |_| true).await.unwrap();
    assert_eq!(played().await.unknown_configured, 0);
    // As it was before that was kept.
    std::fs::write(&path, lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!(played().await.unknown_configured, 1);
    let policy = Some(name("policy"));
    let installed = house.engine.install(&octets("stateful"), policy, None, "x", false).await.unwrap();
    assert_eq!((installed.replayed, installed.unknown_configured), (1, 1));
}
