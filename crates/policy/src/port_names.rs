//! Names of ports that policies mention.

use hashbrown::HashMap;
use rustc_hash::FxHashMap;

use crate::predicates::NameId;
use crate::tables::Direction;

/// Names of ports that policies mention, and which directions ask for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortNames {
    ids: HashMap<Box<str>, NameId>,
    uses: FxHashMap<(NameId, u8), [u32; 2]>,
    /// Names that came into use or went out of it since the last commit.
    pub changed: Vec<NameId>,
}

impl PortNames {
    pub fn id(&mut self, name: &str) -> NameId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.ids.len() as NameId;
        self.ids.insert(name.into(), id);
        id
    }

    pub fn hold(&mut self, name: NameId, protocol: u8, direction: Direction) {
        let uses = &mut self.uses.entry((name, protocol)).or_default()[direction as usize];
        *uses += 1;
        if *uses == 1 {
            self.changed.push(name);
        }
    }

    pub fn release(&mut self, name: NameId, protocol: u8, direction: Direction) {
        let Some(uses) = self.uses.get_mut(&(name, protocol)) else { return };
        uses[direction as usize] -= 1;
        if uses[direction as usize] == 0 {
            self.changed.push(name);
        }
        if *uses == [0, 0] {
            self.uses.remove(&(name, protocol));
        }
    }

    /// The name's id, if some policy has ever mentioned it.
    pub fn find(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    pub fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    /// Whether rules of this direction ask for the name.
    pub fn used(&self, name: NameId, protocol: u8, direction: Direction) -> bool {
        self.uses.get(&(name, protocol)).is_some_and(|uses| uses[direction as usize] > 0)
    }
}
