//! What is in force for a role, as a word that answers are kept by; and how a plugin stands to a role of a domain.

use hooks::{Role, Sitting, Standing};

use super::*;

/// A way to change a plugin's settings.
type Change = fn(&mut Settings);

const ROWS: Role = Role::RouteTable;

fn rows_of(name: &str) -> Settings {
    let mut settings = granted(name);
    settings.domains = vec!["example.org".parse().unwrap()];
    settings
}

impl House {
    async fn configured(&self, settings: Vec<Settings>) -> String {
        assert_eq!(self.engine.configure(settings, HashMap::new()).await, Vec::<String>::new());
        self.engine.stamp(ROWS)
    }
}

#[tokio::test]
async fn a_stamp_changes_with_what_answers_depend_on_and_with_nothing_else() {
    let house = house().with("ad-schema", |settings| *settings = rows_of("ad-schema")).await;
    let first = house.engine.stamp(ROWS);
    assert!(!first.is_empty());
    let same: [Change; 5] = [
        |_| (),
        |settings| settings.limits.cpu = Duration::from_secs(1),
        |settings| drop(settings.secrets.0.insert("key".into(), b"secret".to_vec().into())),
        |settings| settings.on_failure = Some(hooks::OnFailure::Keep),
        |settings| settings.reuse = Some(crate::Reuse::default()),
    ];
    let other: [Change; 5] = [
        |settings| settings.config = serde_json::json!({"smart-host": "old.example.org"}),
        |settings| settings.domains.push("b.example".parse().unwrap()),
        |settings| settings.roles = [ROWS].into(),
        |settings| settings.order = 1,
        |settings| settings.tenants = [Domain::parse("example.org").unwrap()].into(),
    ];
    let (same, other) =
        (same.into_iter().map(|change| (change, true)), other.into_iter().map(|change| (change, false)));
    for (nth, (change, is_same)) in same.chain(other).enumerate() {
        let mut settings = rows_of("ad-schema");
        change(&mut settings);
        let stamp = house.configured(vec![settings]).await;
        assert_eq!(stamp == first, is_same, "change {nth}");
    }
    assert_eq!(house.configured(vec![rows_of("ad-schema")]).await, first, "back where it was");
}

#[tokio::test]
async fn a_stamp_is_of_one_roles_plugins_whatever_came_first() {
    let house = house();
    assert_eq!(house.engine.stamp(ROWS), "", "nothing is installed");
    house.engine.install(&octets("catch-all-tags"), None, None, "test", false).await.unwrap();
    assert_eq!(house.configured(vec![rows_of("catch-all-tags")]).await, "", "it builds no rows");
    assert_ne!(house.engine.stamp(Role::Rewrite), "");
    house.engine.install(&octets("ad-schema"), None, None, "test", false).await.unwrap();
    let one = house.configured(vec![rows_of("catch-all-tags"), rows_of("ad-schema")]).await;
    assert_eq!(house.configured(vec![rows_of("ad-schema")]).await, one, "the other does not count");
    house.engine.install(&octets("forge"), None, None, "test", false).await.unwrap();
    let both = house.configured(vec![rows_of("ad-schema"), rows_of("forge")]).await;
    assert_ne!(both, one);
    assert_eq!(house.configured(vec![rows_of("forge"), rows_of("ad-schema")]).await, both);
}

#[tokio::test]
async fn a_stamp_follows_versions_and_the_bindings_of_what_is_away() {
    let house = house();
    let plugin = name("rows");
    let install = async |component: &str| {
        house.engine.install(&octets(component), Some(plugin.clone()), None, "test", false).await.unwrap();
        house.engine.stamp(ROWS)
    };
    assert_eq!(install("ad-schema").await, "", "without a section it is not in force");
    let first = house.configured(vec![rows_of("rows")]).await;
    let second = install("forge").await;
    assert_ne!(first, second);
    house.engine.roll_back(&plugin).await.unwrap();
    assert_eq!(house.engine.stamp(ROWS), first);
    house.engine.enable(&plugin, false).await.unwrap();
    let away = house.engine.stamp(ROWS);
    assert!(away != first && !away.is_empty());
    house.engine.enable(&plugin, true).await.unwrap();
    assert_eq!(house.engine.stamp(ROWS), first);
    house.engine.remove(&plugin).await.unwrap();
    assert_eq!(house.engine.stamp(ROWS), away, "its rows wait, as long as it is bound");
    assert_eq!(house.configured(vec![]).await, "", "and are nobody's when it is not");
}

#[tokio::test]
async fn a_plugin_stands_to_the_roles_that_it_has_and_the_tenants_it_acts_for() {
    let house = house();
    let plugin = name("ad-schema");
    let (own, other) = (Domain::parse("example.org").unwrap(), Domain::parse("b.example").unwrap());
    let stands = |role, domain| house.engine.standing(&plugin, role, domain);
    assert_eq!(stands(ROWS, &own), Standing::Absent, "not installed");
    house.engine.install(&octets("ad-schema"), None, None, "test", false).await.unwrap();
    assert_eq!(stands(ROWS, &own), Standing::Absent, "without a section");
    house.configured(vec![rows_of("ad-schema")]).await;
    assert_eq!(
        (stands(ROWS, &own), stands(ROWS, &other)),
        (Standing::Ready, Standing::Ready),
        "binding is apart"
    );
    assert_eq!(stands(Role::Rewrite, &own), Standing::Without, "a role that it lacks");
    let mut for_one = rows_of("ad-schema");
    for_one.tenants.insert(own.clone());
    house.configured(vec![for_one]).await;
    assert_eq!((stands(ROWS, &own), stands(ROWS, &other)), (Standing::Ready, Standing::Without));
    house.engine.enable(&plugin, false).await.unwrap();
    assert_eq!(stands(ROWS, &own), Standing::Away, "disabled");
    assert_eq!(house.engine.standing(&name("nobody"), ROWS, &own), Standing::Absent);
}

#[tokio::test]
async fn what_a_call_cost_is_counted_for_who_explains_and_is_the_same_each_time() {
    let house = super::house().with("subaddress-policy", |_| ()).await;
    let (plugin, address) = ("subaddress-policy", "anna+shop@example.org");
    let mut counts = Vec::new();
    for _ in 0..2 {
        let told = house.rewrite_in(&mut Sitting::counted(), plugin, address).await;
        assert_eq!(told.answer.unwrap(), house.rewrite(plugin, address).await.answer.unwrap());
        counts.push(told.report.fuel.unwrap());
    }
    assert!(counts[0] > 1000 && counts[0] == counts[1], "{counts:?}");
    let longer =
        house.rewrite_in(&mut Sitting::counted(), plugin, "anna+a-much-longer-tag@example.org").await;
    assert!(longer.report.fuel.unwrap() > counts[0]);
    // Mail pays nothing for it.
    let report = house.rewrite(plugin, address).await.report;
    assert_eq!((report.fuel, report.uncounted), (None, None));
}

#[tokio::test]
async fn why_a_call_was_not_counted_is_said() {
    let house = super::house().with("subaddress-policy", |_| ()).await;
    // What is installed is lost: what serves goes on, but nothing can be compiled for counting.
    let components = house.folder.path().join("plugins/components");
    for file in std::fs::read_dir(&components).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let told = house.rewrite_in(&mut Sitting::counted(), "subaddress-policy", "anna+x@example.org").await;
    assert!(told.answer.is_ok());
    assert_eq!(told.report.fuel, None);
    assert!(told.report.uncounted.unwrap().contains("is missing"), "it says why");
}

#[tokio::test]
async fn where_it_does_not_act_asking_fails_whatever_it_is_interested_in() {
    let house = house()
        .with("srs", |settings| {
            settings.tenants.insert(Domain::parse("b.example").unwrap());
            settings.config = serde_json::json!({ "domain": "b.example" });
        })
        .await;
    let (plugin, sender) = (name("srs"), Address::parse("nobody@remote.test").unwrap());
    let mut sitting = Sitting::default();
    let asked = hooks::ReverseRequest {
        address: sender,
        // In which it is not interested.
        position: Position::Header,
        destination: "smtp".to_owned(),
        forwarded: true,
    };
    let told = house.engine.reverse(&plugin, &context("x@example.org"), &[asked], &mut sitting).await;
    assert_eq!(kind(told).0, FailureKind::Missing);
}

/// Compiles when two wait for it.
struct Together(tokio::sync::Barrier);

impl crate::Compiler for Together {
    fn compile<'a>(
        &'a self,
        component: &'a std::path::Path,
        artefact: &'a std::path::Path,
        target: crate::Target,
    ) -> BoxFuture<'a, Result<crate::Manifest, crate::Unfit>> {
        Box::pin(async move {
            self.0.wait().await;
            HereCompiler.compile(component, artefact, target).await
        })
    }
}

#[tokio::test]
async fn who_explains_one_plugin_does_not_wait_for_the_compilation_of_another() {
    let house = super::house().with("subaddress-policy", |_| ()).await.with("stateful", |_| ()).await;
    let House { engine, world, folder, events } = house;
    engine.close().await;
    drop(engine);
    let compiler = Arc::new(Together(tokio::sync::Barrier::new(2)));
    let parts = EngineParts { compiler, ..parts(folder.path(), Arc::clone(&world), &events) };
    let engine = Engine::open(&folder.path().join("plugins"), parts).unwrap();
    let house = House { engine, world, folder, events };
    house.configured(vec![granted("subaddress-policy"), granted("stateful")]).await;
    let (mut one, mut two) = (Sitting::counted(), Sitting::counted());
    let both = async {
        tokio::join!(
            house.rewrite_in(&mut one, "subaddress-policy", "anna+x@example.org"),
            house.rewrite_in(&mut two, "stateful", "anna+x@example.org"),
        )
    };
    let (one, two) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("both compile");
    assert!(one.report.fuel.is_some() && two.report.fuel.is_some());
}
