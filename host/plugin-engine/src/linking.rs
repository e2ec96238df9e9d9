//! From imports to host functions: what is imported and granted is there; what is imported and not granted ends the
//! call that uses it, by name.

use std::collections::BTreeSet;

use hooks::FailureKind;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, ResourceType};

use crate::bindings::wasmta::policy::{
    body, clock, config, dns, headers, hmac, kv, log, lookup, random, types,
};
use crate::call::Call;
use crate::capability::Capability;
use crate::component::Unfit;

/// A linker for one component. Interfaces are not defined under the names that it imports but under the host's own:
/// so a component built against another minor version finds them.
pub(crate) fn linker(
    engine: &Engine,
    component: &Component,
    grants: &BTreeSet<Capability>,
) -> Result<Linker<Call>, Unfit> {
    let mut linker = Linker::new(engine);
    let defined = define(&mut linker, grants).and_then(|()| {
        for (name, item) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(interface) = &item.ty else { continue };
            if is_offered(name, grants) {
                continue;
            }
            let mut stubs = linker.instance(name)?;
            for (function, item) in interface.exports(engine) {
                stub(&mut stubs, name, function, &item.ty)?;
            }
        }
        Ok(())
    });
    defined.map_err(|error: wasmtime::Error| {
        Unfit::new(format!("it cannot be linked: {error:#}"), "build it against wit/policy.wit of this host")
    })?;
    Ok(linker)
}

fn is_offered(name: &str, grants: &BTreeSet<Capability>) -> bool {
    let interface = name.strip_prefix("wasmta:policy/").and_then(|rest| rest.split('@').next());
    match interface.map(str::parse::<Capability>) {
        Some(Ok(capability)) => grants.contains(&capability),
        // `types` has no functions.
        Some(Err(_)) => true,
        None => false,
    }
}

fn define(linker: &mut Linker<Call>, grants: &BTreeSet<Capability>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?;
    for grant in grants {
        match grant {
            Capability::Log => log::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Config => config::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Lookup => lookup::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Dns => dns::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Kv => kv::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Clock => clock::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Random => random::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Hmac => hmac::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Headers => headers::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
            Capability::Body => body::add_to_linker::<_, HasSelf<_>>(linker, |call| call)?,
        }
    }
    Ok(())
}

/// Something that is there by name, and ends whatever call uses it.
fn stub(
    stubs: &mut wasmtime::component::LinkerInstance<'_, Call>,
    interface: &str,
    name: &str,
    item: &ComponentItem,
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentFunc(_) => {
            let full = format!("{interface}#{name}");
            stubs.func_new(name, move |mut context, _, _, _| {
                let why = format!("it called {full}, which is not granted (plugins.NAME.allow)");
                Err(context.data_mut().break_off(FailureKind::Denied, why))
            })
        }
        ComponentItem::Resource(_) => stubs.resource(name, ResourceType::host::<()>(), |_, _| Ok(())),
        _ => Ok(()),
    }
}
