use proptest::prelude::*;
use storage::Batch;

use crate::directory::Directory;
use crate::directory::tests::{assert_whole, dn, sample};
use crate::edit::Edit;
use crate::entry::Entry;
use crate::layout::{ADDRESSES, CHANGES, HEAD, LOGINS, STATE, index_prefix};

/// Breaks something; gets the rows of an index text for the user u0.
type Damage = fn(&mut Batch, &dyn Fn(&str) -> Vec<u8>);

#[tokio::test]
async fn the_check_finds_what_is_broken() {
    let id_of_u0 = 3_u64.to_be_bytes();
    let row = |text: &str| [index_prefix(text).unwrap(), id_of_u0.to_vec()].concat();
    let breaks: [(&str, Damage); 4] = [
        ("a row is missing in directory_addresses", |batch, row| batch.delete(ADDRESSES, &row("u0@d0.test"))),
        ("directory_logins has 4 rows where 3 belong", |batch, row| batch.put(LOGINS, &row("x"), *b"")),
        ("change log is broken", |batch, _| batch.put(CHANGES, &9_u64.to_be_bytes(), *b"")),
        ("recorded [0, 0, 0, 0]", |batch, _| {
            let head = crate::layout::Head { csn: 1, floor: 1, next_id: 99, ..Default::default() };
            batch.put(STATE, HEAD, head.encode());
        }),
    ];
    for (expected, damage) in breaks {
        let (_dir, directory) = sample().await;
        assert_whole(&directory);
        let mut batch = Batch::new();
        damage(&mut batch, &row);
        directory.commit(batch).await.unwrap();
        let violations = directory.check(&mut |_| {}).unwrap();
        assert!(violations.iter().any(|text| text.contains(expected)), "{expected}: {violations:?}");
    }
}

/// One step of a random history; small numbers, so that steps meet.
#[derive(Debug, Clone)]
enum RandomStep {
    Add { name: u8, address: u8, alternate: u8 },
    Modify { name: u8, address: u8 },
    Group { name: u8, members: Vec<u8> },
    Remove { name: u8 },
    RemoveUser { address: u8 },
}

fn random_step() -> impl Strategy<Value = RandomStep> {
    prop_oneof![
        (0..8_u8, 0..8_u8, 0..8_u8).prop_map(|(name, address, alternate)| RandomStep::Add {
            name,
            address,
            alternate
        }),
        (0..8_u8, 0..8_u8).prop_map(|(name, address)| RandomStep::Modify { name, address }),
        (0..8_u8, prop::collection::vec(0..8_u8, 0..4))
            .prop_map(|(name, members)| RandomStep::Group { name, members }),
        (0..8_u8).prop_map(|name| RandomStep::Remove { name }),
        (0..8_u8).prop_map(|address| RandomStep::RemoveUser { address }),
    ]
}

async fn take(directory: &Directory, step: &RandomStep) {
    let name = |n: &u8| dn(&format!("uid=r{n},o=d1.test,o=isp"));
    let user = |n: &u8, address: &u8| {
        let entry = Entry::new(name(n)).with("objectClass", "inetMailUser").with("uid", format!("r{n}"));
        entry.with("mail", format!("a{address}@d1.test"))
    };
    // Refusals are fine: the directory has to stay whole, whatever is asked.
    let _ = match step {
        RandomStep::Add { name, address, alternate } => {
            let entry = user(name, address).with("mailAlternateAddress", format!("a{alternate}@d1.test"));
            directory.edit(&[Edit::Add(entry)]).await.map(|_| ())
        }
        RandomStep::Modify { name, address } => {
            directory.edit(&[Edit::Modify(user(name, address))]).await.map(|_| ())
        }
        RandomStep::Group { name: group, members } => {
            let entry = Entry::new(name(group)).with("objectClass", "inetMailGroup");
            let entry =
                members.iter().fold(entry, |entry, n| entry.with("uniqueMember", name(n).to_string()));
            directory.edit(&[Edit::Modify(entry.with("mail", "g@d1.test"))]).await.map(|_| ())
        }
        RandomStep::Remove { name: n } => directory.edit(&[Edit::Remove(name(n))]).await.map(|_| ()),
        RandomStep::RemoveUser { address } => {
            directory.remove_user(&format!("a{address}@d1.test")).await.map(|_| ())
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_history_of_edits_leaves_it_whole(steps in prop::collection::vec(random_step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_dir, directory) = sample().await;
            for step in &steps {
                take(&directory, step).await;
            }
            assert_whole(&directory);
        });
    }
}
