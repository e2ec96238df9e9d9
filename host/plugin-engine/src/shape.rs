//! How many core instances a component makes, read from its octets: the engine tells memories and tables, but not these.
//!
//! A component is a list of definitions, some of which are components again; instances are made by index. What is
//! defined and never instantiated does not count, and what is instantiated twice counts twice.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef,
    Instance, Parser, Payload,
};

/// A component or module whose definitions are being read.
struct Level {
    is_component: bool,
    /// Core instances that one instance of it makes.
    makes: u32,
    /// The same of each component that it can name, by index; `None` of what is only known where it is instantiated.
    components: Vec<Option<u32>>,
}

impl Level {
    fn new(is_component: bool) -> Self {
        Self { is_component, makes: 0, components: Vec::new() }
    }

    fn of(&self, component: u32) -> Option<u32> {
        self.components.get(component as usize).copied().flatten()
    }
}

/// Core instances that one instance of a component makes; `None` where the octets are no component, or it instantiates what it
/// was given or found in another: no tools make such, and what is not counted would not be weighed.
pub(crate) fn core_instances(octets: &[u8]) -> Option<u32> {
    let mut levels = vec![Level::new(true)];
    for payload in Parser::new(0).parse_all(octets) {
        match payload.ok()? {
            Payload::ModuleSection { .. } => levels.push(Level::new(false)),
            Payload::ComponentSection { .. } => levels.push(Level::new(true)),
            Payload::End(_) => {
                let done = levels.pop()?;
                match levels.last_mut() {
                    None => return Some(done.makes),
                    Some(outer) if done.is_component => outer.components.push(Some(done.makes)),
                    Some(_) => {}
                }
            }
            definitions => read(definitions, &mut levels)?,
        }
    }
    None
}

/// Reads a section of the innermost level.
fn read(section: Payload<'_>, levels: &mut [Level]) -> Option<()> {
    match section {
        Payload::InstanceSection(made) => {
            for one in made {
                if let Instance::Instantiate { .. } = one.ok()? {
                    let level = levels.last_mut()?;
                    level.makes = level.makes.saturating_add(1);
                }
            }
        }
        Payload::ComponentInstanceSection(made) => {
            for one in made {
                if let ComponentInstance::Instantiate { component_index, .. } = one.ok()? {
                    let level = levels.last_mut()?;
                    level.makes = level.makes.saturating_add(level.of(component_index)?);
                }
            }
        }
        Payload::ComponentImportSection(imports) => {
            for one in imports {
                if let ComponentTypeRef::Component(_) = one.ok()?.ty {
                    levels.last_mut()?.components.push(None);
                }
            }
        }
        Payload::ComponentAliasSection(aliases) => {
            for one in aliases {
                let of = match one.ok()? {
                    ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                        let outer = levels.len().checked_sub(1 + count as usize)?;
                        levels.get(outer)?.of(index)
                    }
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => None,
                    _ => continue,
                };
                levels.last_mut()?.components.push(of);
            }
        }
        Payload::ComponentExportSection(exports) => {
            for one in exports {
                let export = one.ok()?;
                if export.kind == ComponentExternalKind::Component {
                    // An export is a name of its own among the components.
                    let level = levels.last_mut()?;
                    level.components.push(level.of(export.index));
                }
            }
        }
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section: its number, its length, its contents.
    fn section(id: u8, contents: &[u8]) -> Vec<u8> {
        [&[id, u8::try_from(contents.len()).unwrap()], contents].concat()
    }

    fn component(sections: &[Vec<u8>]) -> Vec<u8> {
        [b"\0asm\x0d\0\x01\0", &*sections.concat()].concat()
    }

    #[test]
    fn what_is_instantiated_counts_as_often_as_it_is() {
        let module = section(1, b"\0asm\x01\0\0\0");
        // `count` core instances of module 0, without arguments.
        let made = |count: u8| section(2, &[&[count][..], &[0, 0, 0].repeat(usize::from(count))].concat());
        let one = component(&[module.clone(), made(1)]);
        let two = component(&[module.clone(), made(2)]);
        let nested = |inner: &[u8]| section(4, inner);
        // Instances of the component of that index, without arguments.
        let of = |index: u8| section(5, &[1, 0, index, 0]);
        // The component 0 under the name `x`; and the export `x` of instance 0 as a component.
        let export = section(11, &[1, 0, 1, b'x', 4, 0, 0]);
        let alias = section(6, &[1, 4, 0, 0, 1, b'x']);
        for (octets, wanted) in [
            (component(&[]), Some(0)),
            (two.clone(), Some(2)),
            (component(&[nested(&two)]), Some(0)),
            (component(&[nested(&one), nested(&two), of(1), of(1), of(0), module, made(1)]), Some(6)),
            // Of a component that another one hands out nobody can tell.
            (component(&[nested(&component(&[nested(&two), export.clone()])), of(0), alias, of(1)]), None),
            (b"\0asm\x0d\0\x01\0\x02".to_vec(), None),
            (b"hello".to_vec(), None),
        ] {
            assert_eq!(core_instances(&octets), wanted, "{octets:?}");
        }
    }
}
