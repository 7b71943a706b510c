//! Classes: addresses that no policy in use can tell apart.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::blocks::in_one_only;
use crate::predicates::{IS_POD, IS_V6, NameId, PredId, Predicates, Question};
use crate::tables::{ClassId, Family, Kind};

/// The predicates that are answered unusually, sorted.
pub(crate) type ClassKey = SmallVec<[PredId; 8]>;

#[derive(Clone, Debug)]
struct Class {
    key: Arc<[PredId]>,
    /// Pod addresses and prefixes in the class.
    members: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    classes: FxHashMap<ClassId, Class>,
    by_key: FxHashMap<Arc<[PredId]>, ClassId>,
    /// Named-port predicates by name and protocol.
    named: FxHashMap<(NameId, u8), Vec<PredId>>,
    /// Classes by kind.
    counts: [usize; 4],
    last: u32,
    /// Classes that members left since they were last looked at.
    left: Vec<ClassId>,
}

/// An address or prefix whose answers may have changed: where it was and which answers it has now.
#[derive(Clone, Debug)]
pub(crate) struct Move<M> {
    pub member: M,
    pub from: Option<ClassId>,
    pub key: ClassKey,
}

fn kind_of(key: &[PredId]) -> Kind {
    let (pod, rest) = match key {
        [IS_POD, rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    Kind { pod, family: if rest.first() == Some(&IS_V6) { Family::V6 } else { Family::V4 } }
}

impl Classes {
    /// The predicates that the class's addresses answer unusually, sorted.
    pub fn key(&self, class: ClassId) -> &[PredId] {
        &self.classes[&class].key
    }

    /// What its addresses are; IPv4 stands for both families where keys don't tell them apart.
    pub fn kind(&self, class: ClassId) -> Kind {
        kind_of(self.key(class))
    }

    /// How many classes of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts[kind.index()]
    }

    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// The classes with pods that call some port by this name.
    pub fn with_name<'a>(
        &'a self,
        name: NameId,
        protocol: u8,
        predicates: &'a Predicates,
    ) -> impl Iterator<Item = ClassId> + 'a {
        let ids = self.named.get(&(name, protocol)).map(Vec::as_slice).unwrap_or_default();
        ids.iter().flat_map(|id| predicates.get(*id).classes.iter().copied())
    }

    pub fn add_named(&mut self, name: NameId, protocol: u8, id: PredId) {
        let ids = self.named.entry((name, protocol)).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }

    pub fn remove_named(&mut self, name: NameId, protocol: u8, id: PredId) {
        if let Some(ids) = self.named.get_mut(&(name, protocol)) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.named.remove(&(name, protocol));
            }
        }
    }

    /// Takes a predicate out of all keys: nobody asks it any more. Two classes may then have the same
    /// key; both stay right, and new members join one of them.
    pub fn forget(&mut self, id: PredId, predicates: &mut Predicates) {
        for class in std::mem::take(&mut predicates.get_mut(id).classes) {
            let Some(state) = self.classes.get_mut(&class) else { continue };
            let key: Arc<[PredId]> = state.key.iter().copied().filter(|p| *p != id).collect();
            let old = std::mem::replace(&mut state.key, key.clone());
            if self.by_key.get(&old) == Some(&class) {
                self.by_key.remove(&old);
            }
            self.by_key.entry(key).or_insert(class);
        }
    }

    /// Has these predicates, sorted, counted the other way round for addresses of a kind: what was unusual is
    /// usual now. The classes stay what they are.
    pub fn turn(&mut self, ids: &[PredId], kind: Kind, predicates: &mut Predicates) {
        for id in ids {
            let others = |class: &mut ClassId| kind_of(&self.classes[class].key) != kind;
            predicates.get_mut(*id).classes.retain(others);
        }
        let of_kind = self.classes.iter().filter(|(_, state)| kind_of(&state.key) == kind);
        let mut turned: Vec<ClassId> = of_kind.map(|(class, _)| *class).collect();
        turned.sort_unstable();
        // Of classes with equal keys, the one that new members join stays the same.
        turned.retain(|class| {
            let key = &self.classes[class].key;
            let joined = self.by_key.get(key) == Some(class);
            if joined {
                self.by_key.remove(key);
            }
            let key: Arc<[PredId]> = in_one_only(key, ids).into();
            for id in ids.iter().filter(|id| key.binary_search(id).is_ok()) {
                predicates.get_mut(*id).classes.push(*class);
            }
            self.classes.get_mut(class).expect("a class to turn").key = key;
            joined
        });
        for class in turned {
            self.by_key.insert(self.classes[&class].key.clone(), class);
        }
    }

    /// Puts members into the classes of their keys. `settle` hears each member with its class, also
    /// where the class stays the same.
    ///
    /// When all members of a class gained answers to fresh predicates alone, the class keeps its id:
    /// no program made before this commit can tell, so nothing has to be published for them.
    pub fn assign<M>(
        &mut self,
        moves: Vec<Move<M>>,
        predicates: &mut Predicates,
        mut settle: impl FnMut(M, ClassId),
    ) -> Vec<ClassId> {
        self.grow_in_place(&moves, predicates);
        let mut fresh = Vec::new();
        for Move { member, from, key } in moves {
            if let Some(from) = from {
                if *self.classes[&from].key == key[..] {
                    settle(member, from);
                    continue;
                }
                self.leave(from);
            }
            let class = match self.by_key.get(&key[..]) {
                Some(class) => *class,
                None => {
                    self.last += 1;
                    let class = ClassId(self.last);
                    self.insert(class, key[..].into(), predicates);
                    fresh.push(class);
                    class
                }
            };
            self.join(class);
            settle(member, class);
        }
        fresh
    }

    fn insert(&mut self, class: ClassId, key: Arc<[PredId]>, predicates: &mut Predicates) {
        for predicate in key.iter() {
            predicates.get_mut(*predicate).classes.push(class);
        }
        self.counts[kind_of(&key).index()] += 1;
        self.by_key.insert(key.clone(), class);
        self.classes.insert(class, Class { key, members: 0 });
    }

    fn grow_in_place<M>(&mut self, moves: &[Move<M>], predicates: &mut Predicates) {
        /// A class that members want to leave: how many, and the key they all want, if they agree.
        struct Leaving<'a> {
            members: u32,
            key: Option<&'a ClassKey>,
        }
        // A port's name is asked by its name, not by its number: a program older than the number's
        // predicate may ask for it.
        let unasked = |id: &PredId| !matches!(predicates.get(*id).question, Question::NamedPort(..));
        let fresh: FxHashSet<PredId> = predicates.fresh.iter().copied().filter(unasked).collect();
        if fresh.is_empty() {
            return;
        }
        let mut leaving: FxHashMap<ClassId, Leaving<'_>> = FxHashMap::default();
        for Move { from, key, .. } in moves {
            let Some(from) = from else { continue };
            if *self.classes[from].key == key[..] {
                continue;
            }
            let group = leaving.entry(*from).or_insert(Leaving { members: 0, key: Some(key) });
            group.members += 1;
            if group.key != Some(key) {
                group.key = None;
            }
        }
        let mut growing: Vec<(ClassId, &ClassKey)> = leaving
            .into_iter()
            .filter(|(class, group)| group.members == self.classes[class].members)
            .filter_map(|(class, group)| Some((class, group.key?)))
            .collect();
        growing.sort_unstable_by_key(|(class, _)| *class);
        for (class, key) in growing {
            let state = &self.classes[&class];
            let kept = state.key.iter().all(|p| key.binary_search(p).is_ok());
            let gained = || key.iter().filter(|p| state.key.binary_search(p).is_err());
            if !kept || !gained().all(|p| fresh.contains(p)) || self.by_key.contains_key(&key[..]) {
                continue;
            }
            for predicate in gained() {
                predicates.get_mut(*predicate).classes.push(class);
            }
            let key: Arc<[PredId]> = key[..].into();
            let state = self.classes.get_mut(&class).expect("a class that members leave");
            let old = std::mem::replace(&mut state.key, key.clone());
            if self.by_key.get(&old) == Some(&class) {
                self.by_key.remove(&old);
            }
            self.counts[kind_of(&old).index()] -= 1;
            self.counts[kind_of(&key).index()] += 1;
            self.by_key.insert(key, class);
        }
    }

    fn join(&mut self, class: ClassId) {
        self.classes.get_mut(&class).expect("a class to join").members += 1;
    }

    /// Counts a member out.
    pub fn leave(&mut self, class: ClassId) {
        self.classes.get_mut(&class).expect("a class to leave").members -= 1;
        self.left.push(class);
    }

    /// Classes that have lost their last member, each once.
    pub fn take_empty(&mut self) -> Vec<ClassId> {
        let mut left = std::mem::take(&mut self.left);
        left.sort_unstable();
        left.dedup();
        left.retain(|class| self.classes.get(class).is_some_and(|state| state.members == 0));
        left
    }

    /// Forgets an empty class.
    pub fn remove(&mut self, class: ClassId, predicates: &mut Predicates) {
        let Some(state) = self.classes.remove(&class) else { return };
        self.counts[kind_of(&state.key).index()] -= 1;
        for predicate in state.key.iter() {
            let classes = &mut predicates.get_mut(*predicate).classes;
            // The newest classes go first, most often.
            if let Some(at) = classes.iter().rposition(|c| *c == class) {
                classes.swap_remove(at);
            }
        }
        if self.by_key.get(&state.key) == Some(&class) {
            self.by_key.remove(&state.key);
        }
    }

    /// The port names that the class's key holds.
    pub fn names<'a>(
        &'a self,
        class: ClassId,
        predicates: &'a Predicates,
    ) -> impl Iterator<Item = (NameId, u8)> + 'a {
        self.key(class).iter().filter_map(|id| match predicates.get(*id).question {
            Question::NamedPort(name, protocol, _) => Some((name, protocol)),
            _ => None,
        })
    }
}
