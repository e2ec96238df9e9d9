//! The samples at work.

use super::*;
use hooks::{Ready, Sitting};

#[tokio::test]
async fn addresses_come_back_through_srs() {
    let house = house()
        .with("srs", |settings| {
            settings.config = serde_json::json!({"domain": "example.org", "keys": ["now"]});
            settings.secrets.0.insert("now".into(), b"correct horse".to_vec().into());
        })
        .await;
    let request = hooks::ReverseRequest {
        address: Address::parse("Bob@remote.example").unwrap(),
        position: Position::Envelope,
        destination: "smtp".into(),
        forwarded: true,
    };
    let context = context("x@example.org");
    let told = house
        .engine
        .reverse(&name("srs"), &context, std::slice::from_ref(&request), &mut Sitting::default())
        .await;
    let hooks::ReverseVerdict::Changed(out) = told.answer.unwrap().remove(0) else { panic!("it stayed") };
    assert!(out.to_string().starts_with("SRS0="), "{out}");
    let back = house.rewrite("srs", &out.to_string()).await.answer.unwrap().remove(0);
    assert!(
        matches!(&back, RewriteVerdict::Again(address) | RewriteVerdict::Settled(address)
            if address.to_string() == "Bob@remote.example"),
        "{back}"
    );
    let forged = out.to_string().replacen("SRS0=", "SRS0=A", 1);
    let said = house.said("srs", &forged).await;
    assert!(said.starts_with("refuse 550"), "{said}");
    // No interest in ordinary addresses: nothing runs.
    let plain = super::request("anna@example.org");
    assert_eq!(house.engine.ready(&name("srs"), &context, &plain), Ready::Answer(RewriteVerdict::NoMatch));
}

#[tokio::test]
async fn answers_are_remembered_while_the_tables_do_not_change() {
    let house = house().with("subaddress-policy", |settings| settings.remember = 1000).await;
    let ask = super::request("anna+shop@example.org");
    let context = context("x@example.org");
    let plugin = name("subaddress-policy");
    assert_eq!(house.engine.ready(&plugin, &context, &ask), Ready::Ask);
    let first = house
        .engine
        .rewrite(&plugin, &context, std::slice::from_ref(&ask), &mut Sitting::default())
        .await
        .answer
        .unwrap();
    assert_eq!(house.engine.ready(&plugin, &context, &ask), Ready::Answer(first[0].clone()));
    // It looks users up, and they may be others now.
    house.world.generation.store(1, Ordering::Relaxed);
    assert_eq!(house.engine.ready(&plugin, &context, &ask), Ready::Ask);
    let other_tenant = CallContext { tenant: Some(Domain::parse("b.example").unwrap()), ..context.clone() };
    house
        .engine
        .rewrite(&plugin, &context, std::slice::from_ref(&ask), &mut Sitting::default())
        .await
        .answer
        .unwrap();
    assert_eq!(house.engine.ready(&plugin, &other_tenant, &ask), Ready::Ask);
}

#[tokio::test]
async fn answers_that_depend_on_more_are_not_remembered() {
    let house = house().with("srs", |settings| {
        settings.config = serde_json::json!({"domain": "example.org", "keys": ["now"]});
        settings.secrets.0.insert("now".into(), b"correct horse".to_vec().into());
        settings.remember = 1000;
    });
    let house = house.await;
    let plugin = house.engine.plugin(&name("srs")).unwrap();
    assert!(plugin.manifest().imports.contains(&Capability::Clock));
    let ask = super::request("SRS0=xxxx=xx=remote.example=bob@example.org");
    let context = context("x@example.org");
    house
        .engine
        .rewrite(&name("srs"), &context, std::slice::from_ref(&ask), &mut Sitting::default())
        .await
        .answer
        .unwrap();
    assert_eq!(house.engine.ready(&name("srs"), &context, &ask), Ready::Ask);
}

#[tokio::test]
async fn every_committed_component_is_fit_and_imports_nothing_foreign() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins/components");
    let engine = crate::Machine::new(crate::Profile::Metering).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "wasm") {
            let (_, manifest) = crate::compile(engine.engine(), &std::fs::read(&path).unwrap())
                .unwrap_or_else(|unfit| panic!("{}: {unfit}", path.display()));
            assert_eq!(manifest.foreign, Vec::<String>::new(), "{}", path.display());
            assert_eq!(manifest.contract, "1.1.0", "{}", path.display());
            assert!(manifest.core_instances >= 1 && manifest.memories == 1, "{}", manifest.parts());
            seen += 1;
        }
    }
    assert!(seen >= 13, "{seen} components");
}
