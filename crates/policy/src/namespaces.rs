//! Namespaces and the namespace selectors in use.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use podgate_api::{LabelSelector, Labels, NAMESPACE_NAME_LABEL};

use crate::intern::{Interner, LabelsId, LabelsView};
use crate::labels::SelectorIndex;
use crate::pods::PodIx;
use crate::predicates::{NsId, NsSelId};
use crate::slots::Slots;

#[derive(Clone, Debug)]
pub(crate) struct NamespaceState {
    name: Box<str>,
    /// Without `kubernetes.io/metadata.name`, whatever the input says of it: the name is its value.
    labels: LabelsId,
    /// A Namespace object exists, not only mentions of its name.
    declared: bool,
    pub pods: Vec<PodIx>,
    /// Policies in the namespace.
    pub policies: u32,
    /// Namespace selectors that select it, sorted.
    pub selectors: Box<[NsSelId]>,
    dirty: bool,
}

#[derive(Clone, Debug)]
struct Selector {
    selector: LabelSelector,
    refs: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Namespaces {
    slots: Slots<NamespaceState>,
    /// Slots by name.
    ids: HashTable<NsId>,
    hasher: DefaultHashBuilder,
    interner: Interner,
    selectors: Vec<Option<Selector>>,
    free_selectors: Vec<NsSelId>,
    selector_ids: HashMap<LabelSelector, NsSelId>,
    index: SelectorIndex<(), NsSelId>,
    fresh_selectors: Vec<NsSelId>,
    dead_selectors: Vec<NsSelId>,
    dirty: Vec<NsId>,
    /// Namespaces that may not be needed any more.
    idle: Vec<NsId>,
}

impl Namespaces {
    pub fn new() -> Self {
        Namespaces {
            slots: Slots::default(),
            ids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            interner: Interner::default(),
            selectors: Vec::new(),
            free_selectors: Vec::new(),
            selector_ids: HashMap::new(),
            index: SelectorIndex::new(),
            fresh_selectors: Vec::new(),
            dead_selectors: Vec::new(),
            dirty: Vec::new(),
            idle: Vec::new(),
        }
    }

    pub fn get(&self, id: NsId) -> &NamespaceState {
        self.slots.get(id)
    }

    pub fn get_mut(&mut self, id: NsId) -> &mut NamespaceState {
        self.slots.get_mut(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = NsId> {
        self.slots.iter().map(|(id, _)| id)
    }

    pub fn find(&self, name: &str) -> Option<NsId> {
        self.ids.find(self.hasher.hash_one(name), |id| self.name(*id) == name).copied()
    }

    pub fn name(&self, id: NsId) -> &str {
        &self.get(id).name
    }

    pub fn labels(&self, id: NsId) -> LabelsView<'_> {
        labels(&self.interner, self.get(id))
    }

    /// The namespaces that a namespace selector selects, by the last refresh.
    pub fn selected_by(&self, id: NsSelId) -> impl Iterator<Item = &NamespaceState> {
        self.slots
            .iter()
            .map(|(_, state)| state)
            .filter(move |state| state.selectors.binary_search(&id).is_ok())
    }

    /// The namespace of this name, which exists from its first mention on.
    pub fn mention(&mut self, name: &str) -> NsId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let labels = self.interner.hold_labels(std::iter::empty());
        let id = self.slots.insert(NamespaceState {
            labels,
            name: name.into(),
            declared: false,
            pods: Vec::new(),
            policies: 0,
            selectors: [].into(),
            dirty: true,
        });
        let Namespaces { slots, ids, hasher, .. } = self;
        ids.insert_unique(hasher.hash_one(name), id, |id| hasher.hash_one(&*slots.get(*id).name));
        self.dirty.push(id);
        id
    }

    pub fn declare(&mut self, name: &str, labels: &Labels) {
        let id = self.mention(name);
        self.relabel(id, labels, true);
    }

    /// The Namespace object is gone; the namespace stays while pods or policies mention it.
    pub fn undeclare(&mut self, name: &str) {
        if let Some(id) = self.find(name) {
            self.relabel(id, &Labels::new(), false);
            self.idle.push(id);
        }
    }

    fn relabel(&mut self, id: NsId, labels: &Labels, declared: bool) {
        let others = labels.iter().filter(|(key, _)| *key != NAMESPACE_NAME_LABEL);
        let labels = self.interner.hold_labels(others);
        let state = self.get_mut(id);
        state.declared = declared;
        let before = std::mem::replace(&mut state.labels, labels);
        self.interner.release_labels(before);
        if before == labels {
            return;
        }
        let state = self.get_mut(id);
        if !state.dirty {
            state.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Tells that a pod or policy of the namespace is gone.
    pub fn unmention(&mut self, id: NsId) {
        self.idle.push(id);
    }

    /// Takes a namespace selector into use.
    pub fn hold_selector(&mut self, selector: &LabelSelector) -> NsSelId {
        if let Some(id) = self.selector_ids.get(selector) {
            let id = *id;
            let held = self.selectors[id as usize].as_mut().expect("a namespace selector in use");
            held.refs += 1;
            if held.refs == 1 {
                self.dead_selectors.retain(|dead| *dead != id);
            }
            return id;
        }
        let id = self.free_selectors.pop().unwrap_or_else(|| {
            self.selectors.push(None);
            (self.selectors.len() - 1) as NsSelId
        });
        self.selectors[id as usize] = Some(Selector { selector: selector.clone(), refs: 1 });
        self.selector_ids.insert(selector.clone(), id);
        self.index.file((), selector, id);
        self.fresh_selectors.push(id);
        id
    }

    pub fn release_selector(&mut self, id: NsSelId) {
        let held = self.selectors[id as usize].as_mut().expect("a namespace selector in use");
        held.refs -= 1;
        if held.refs == 0 {
            self.dead_selectors.push(id);
        }
    }

    /// Asks the selectors again where labels or selectors changed. Returns the namespaces whose answers
    /// to selectors that were in use before have changed: all their pods must be asked again.
    pub fn refresh(&mut self) -> Vec<NsId> {
        let mut changed = Vec::new();
        for id in std::mem::take(&mut self.dirty) {
            if self.slots.find(id).is_none() {
                continue;
            }
            let selectors = self.matching(self.labels(id));
            let state = self.get_mut(id);
            state.dirty = false;
            if state.selectors != selectors {
                state.selectors = selectors;
                changed.push(id);
            }
        }
        let fresh = std::mem::take(&mut self.fresh_selectors);
        let Namespaces { slots, selectors, index, interner, .. } = self;
        for (_, state) in slots.iter_mut() {
            if fresh.is_empty() {
                break;
            }
            let labels = labels(interner, state);
            let selects = |id: NsSelId| {
                let held = selectors[id as usize].as_ref();
                held.is_some_and(|held| held.selector.matches_by(|key| labels.get(key)))
            };
            let mut gained: Vec<NsSelId> = match fresh.len() {
                // Asking each new selector beats looking up all of them while there are few.
                0..8 => fresh.iter().copied().filter(|id| selects(*id)).collect(),
                _ => {
                    let mut gained = Vec::new();
                    index.find((), &index.atoms(labels.iter()), |id| {
                        if selects(id) {
                            gained.push(id);
                        }
                    });
                    gained
                }
            };
            gained.retain(|id| !state.selectors.contains(id));
            if !gained.is_empty() {
                gained.extend(&state.selectors);
                gained.sort_unstable();
                state.selectors = gained.into();
            }
        }
        changed
    }

    fn matching(&self, labels: LabelsView<'_>) -> Box<[NsSelId]> {
        let mut found = Vec::new();
        self.index.find((), &self.index.atoms(labels.iter()), |id| {
            let held = self.selectors[id as usize].as_ref();
            if held.is_some_and(|held| held.selector.matches_by(|key| labels.get(key))) {
                found.push(id);
            }
        });
        found.sort_unstable();
        found.into()
    }

    /// Forgets selectors and namespaces that nothing needs, at the end of a commit.
    pub fn bury(&mut self) {
        for id in std::mem::take(&mut self.dead_selectors) {
            let Some(dead) = self.selectors[id as usize].take() else { continue };
            self.selector_ids.remove(&dead.selector);
            self.index.unfile((), &dead.selector, id);
            for (_, state) in self.slots.iter_mut() {
                if state.selectors.contains(&id) {
                    state.selectors = state.selectors.iter().copied().filter(|s| *s != id).collect();
                }
            }
            self.free_selectors.push(id);
        }
        for id in std::mem::take(&mut self.idle) {
            let unneeded =
                |state: &NamespaceState| !state.declared && state.pods.is_empty() && state.policies == 0;
            if self.slots.find(id).is_some_and(unneeded)
                && let Some(state) = self.slots.remove(id)
            {
                let hash = self.hasher.hash_one(&*state.name);
                if let Ok(entry) = self.ids.find_entry(hash, |found| *found == id) {
                    entry.remove();
                }
                self.interner.release_labels(state.labels);
            }
        }
    }
}

/// The API server puts the name's label on every namespace; input can't override it.
fn labels<'a>(interner: &'a Interner, state: &'a NamespaceState) -> LabelsView<'a> {
    interner.labels(state.labels).with_name(&state.name)
}
