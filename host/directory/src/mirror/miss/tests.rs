use std::time::Duration;

use super::*;
use crate::ldap::settings::LdapOptions;
use crate::mirror::source::MirrorOptions;
use crate::mirror::tests::{mirror, options};

/// Questions at a time.
const AT_A_TIME: usize = 4;

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it comes to that");
}

#[tokio::test]
async fn members_of_groups_leave_places_for_who_has_come_a_moment_ago() {
    // It takes connections, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ldap://{}", silent.local_addr().unwrap());
    let (long, dir) = (Duration::from_secs(600), tempfile::tempdir().unwrap());
    let ldap = LdapOptions {
        servers: vec![url.parse().unwrap()],
        connect_timeout: long,
        operation_timeout: long,
        connections_max: 2 * AT_A_TIME,
        ..options().ldap
    };
    let options = MirrorOptions { ldap, misses_max: AT_A_TIME, miss_timeout: long, ..options() };
    let (_all, mirror) = mirror(dir.path(), options);
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..3 * AT_A_TIME {
        let (mirror, dn) = (mirror.clone(), Dn::parse(&format!("uid=u{number},o=isp")).unwrap());
        asking.spawn(async move { mirror.look_up_entry(&dn).await });
    }
    let misses = &mirror.0.misses;
    until(|| misses.asked.lock().len() == 3 * AT_A_TIME).await;
    until(|| misses.permits.available_permits() <= AT_A_TIME / 2).await;
    // Whatever else could be asked about has had its turn by now.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(misses.permits.available_permits(), AT_A_TIME / 2);
    let address = Address::parse("fresh@d.test").unwrap();
    let asker = mirror.clone();
    asking.spawn(async move { asker.look_up(&address).await });
    until(|| misses.permits.available_permits() < AT_A_TIME / 2).await;
    asking.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn so_many_absent_ones_are_remembered_and_those_of_long_ago_make_room() {
    let (misses, while_) = (Misses::new(1), Duration::from_secs(60));
    let absent = || misses.absent.lock().len();
    for number in 0..=ABSENT_MAX {
        misses.remember(&number.to_string(), Instant::now() + while_);
    }
    assert_eq!(absent(), ABSENT_MAX);
    assert!(
        misses.is_absent("0") && !misses.is_absent(&ABSENT_MAX.to_string()),
        "the one too many is asked again"
    );
    tokio::time::advance(while_).await;
    misses.remember("new", Instant::now() + while_);
    assert!(misses.is_absent("new") && !misses.is_absent("0"));
    assert_eq!(absent(), 1);
}
