//! Namespaces and the namespace selectors in use.

use std::sync::Arc;

use hashbrown::HashMap;
use podgate_api::{LabelSelector, Labels, NAMESPACE_NAME_LABEL};

use crate::labels::SelectorIndex;
use crate::pods::PodIx;
use crate::predicates::{NsId, NsSelId};

#[derive(Debug)]
pub(crate) struct NamespaceState {
    pub name: Arc<str>,
    /// With `kubernetes.io/metadata.name`, whatever the input says.
    pub labels: Labels,
    /// A Namespace object exists, not only mentions of its name.
    declared: bool,
    pub pods: Vec<PodIx>,
    /// Policies in the namespace.
    pub policies: u32,
    /// Namespace selectors that select it, sorted.
    pub selectors: Box<[NsSelId]>,
    dirty: bool,
}

#[derive(Debug)]
struct Selector {
    selector: LabelSelector,
    refs: u32,
}

#[derive(Debug)]
pub(crate) struct Namespaces {
    slots: Vec<Option<NamespaceState>>,
    free: Vec<NsId>,
    ids: HashMap<Arc<str>, NsId>,
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
            slots: Vec::new(),
            free: Vec::new(),
            ids: HashMap::new(),
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
        self.slots[id as usize].as_ref().expect("a namespace in use")
    }

    pub fn get_mut(&mut self, id: NsId) -> &mut NamespaceState {
        self.slots[id as usize].as_mut().expect("a namespace in use")
    }

    pub fn iter(&self) -> impl Iterator<Item = &NamespaceState> {
        self.slots.iter().flatten()
    }

    pub fn find(&self, name: &str) -> Option<NsId> {
        self.ids.get(name).copied()
    }

    /// The namespaces that a namespace selector selects, by the last refresh.
    pub fn selected_by(&self, id: NsSelId) -> impl Iterator<Item = &NamespaceState> {
        self.slots.iter().flatten().filter(move |state| state.selectors.binary_search(&id).is_ok())
    }

    /// The namespace of this name, which exists from its first mention on.
    pub fn mention(&mut self, name: &str) -> NsId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as NsId
        });
        let name: Arc<str> = name.into();
        self.ids.insert(name.clone(), id);
        self.slots[id as usize] = Some(NamespaceState {
            labels: with_name(Labels::new(), &name),
            name,
            declared: false,
            pods: Vec::new(),
            policies: 0,
            selectors: [].into(),
            dirty: true,
        });
        self.dirty.push(id);
        id
    }

    pub fn declare(&mut self, name: &str, labels: Labels) {
        let id = self.mention(name);
        self.relabel(id, labels, true);
    }

    /// The Namespace object is gone; the namespace stays while pods or policies mention it.
    pub fn undeclare(&mut self, name: &str) {
        if let Some(id) = self.find(name) {
            self.relabel(id, Labels::new(), false);
            self.idle.push(id);
        }
    }

    fn relabel(&mut self, id: NsId, labels: Labels, declared: bool) {
        let state = self.get_mut(id);
        state.declared = declared;
        let labels = with_name(labels, &state.name);
        if state.labels == labels {
            return;
        }
        state.labels = labels;
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
            if self.slots[id as usize].is_none() {
                continue;
            }
            let selectors = self.matching(&self.get(id).labels);
            let state = self.get_mut(id);
            state.dirty = false;
            if state.selectors != selectors {
                state.selectors = selectors;
                changed.push(id);
            }
        }
        let fresh = std::mem::take(&mut self.fresh_selectors);
        for state in self.slots.iter_mut().flatten() {
            if fresh.is_empty() {
                break;
            }
            let mut gained: Vec<NsSelId> = match fresh.len() {
                // Asking each new selector beats looking up all of them while there are few.
                0..8 => fresh
                    .iter()
                    .copied()
                    .filter(|id| {
                        self.selectors[*id as usize]
                            .as_ref()
                            .is_some_and(|s| s.selector.matches(&state.labels))
                    })
                    .collect(),
                _ => {
                    let mut gained = Vec::new();
                    self.index.find((), &self.index.atoms(&state.labels), |id| {
                        if self.selectors[id as usize]
                            .as_ref()
                            .is_some_and(|s| s.selector.matches(&state.labels))
                        {
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

    fn matching(&self, labels: &Labels) -> Box<[NsSelId]> {
        let mut found = Vec::new();
        self.index.find((), &self.index.atoms(labels), |id| {
            if self.selectors[id as usize].as_ref().is_some_and(|s| s.selector.matches(labels)) {
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
            for state in self.slots.iter_mut().flatten() {
                if state.selectors.contains(&id) {
                    state.selectors = state.selectors.iter().copied().filter(|s| *s != id).collect();
                }
            }
            self.free_selectors.push(id);
        }
        for id in std::mem::take(&mut self.idle) {
            let unneeded =
                |state: &NamespaceState| !state.declared && state.pods.is_empty() && state.policies == 0;
            if self.slots[id as usize].as_ref().is_some_and(unneeded)
                && let Some(state) = self.slots[id as usize].take()
            {
                self.ids.remove(&state.name);
                self.free.push(id);
            }
        }
    }
}

/// The API server puts this label on every namespace; input can't override it.
fn with_name(mut labels: Labels, name: &str) -> Labels {
    labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
    labels
}
