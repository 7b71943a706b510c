//! Selectors found by label instead of tried one by one.
//!
//! Each selector is filed under its *anchor*: one requirement that any match must meet. A set of labels
//! then asks only for the selectors filed under labels it has.

use std::hash::Hash;

use hashbrown::HashMap;
use podgate_api::{LabelSelector, Operator};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Id of a label key, or of a key with a value, that some filed selector's anchor uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Atom(u32);

/// A label key, or a key with a value.
type OwnedAtom = (Box<str>, Option<Box<str>>);

/// Labels of which any match has one; more than one for `In` with several values.
type Anchors<'a> = SmallVec<[(&'a str, Option<&'a str>); 2]>;

/// Files selectors of several scopes (such as namespaces) and finds those that match a set of labels.
#[derive(Clone, Debug)]
pub(crate) struct SelectorIndex<S, T> {
    /// With the number of filed selectors anchored on it.
    atoms: HashMap<OwnedAtom, (Atom, u32)>,
    free_atoms: Vec<Atom>,
    filed: FxHashMap<(S, Option<Atom>), SmallVec<[T; 2]>>,
}

/// Labels reduced to the atoms in use: what [`SelectorIndex::find`] asks with, once for all scopes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Atoms(SmallVec<[Atom; 8]>);

impl<S: Copy + Eq + Hash, T: Copy + PartialEq> SelectorIndex<S, T> {
    pub(crate) fn new() -> Self {
        SelectorIndex { atoms: HashMap::new(), free_atoms: Vec::new(), filed: FxHashMap::default() }
    }

    /// Files a valid selector; `item` comes back from [`SelectorIndex::find`] as a candidate.
    pub(crate) fn file(&mut self, scope: S, selector: &LabelSelector, item: T) {
        if let Anchor::Labels(anchors) = anchor(selector) {
            for (key, value) in anchors {
                let atom = self.hold(key, value);
                self.filed.entry((scope, Some(atom))).or_default().push(item);
            }
        } else {
            self.filed.entry((scope, None)).or_default().push(item);
        }
    }

    /// Takes a selector out again.
    pub(crate) fn unfile(&mut self, scope: S, selector: &LabelSelector, item: T) {
        if let Anchor::Labels(anchors) = anchor(selector) {
            for (key, value) in anchors {
                if let Some(atom) = self.release(key, value) {
                    self.remove(scope, Some(atom), item);
                }
            }
        } else {
            self.remove(scope, None, item);
        }
    }

    fn remove(&mut self, scope: S, atom: Option<Atom>, item: T) {
        if let Some(items) = self.filed.get_mut(&(scope, atom)) {
            items.retain(|filed| *filed != item);
            if items.is_empty() {
                self.filed.remove(&(scope, atom));
            }
        }
    }

    fn hold(&mut self, key: &str, value: Option<&str>) -> Atom {
        if let Some((atom, selectors)) = self.atoms.get_mut(&(key, value) as &dyn LabelAtom) {
            *selectors += 1;
            return *atom;
        }
        let atom = self.free_atoms.pop().unwrap_or(Atom(self.atoms.len() as u32));
        self.atoms.insert((key.into(), value.map(Into::into)), (atom, 1));
        atom
    }

    fn release(&mut self, key: &str, value: Option<&str>) -> Option<Atom> {
        let (atom, selectors) = self.atoms.get_mut(&(key, value) as &dyn LabelAtom)?;
        let atom = *atom;
        *selectors -= 1;
        if *selectors == 0 {
            self.atoms.remove(&(key, value) as &dyn LabelAtom);
            self.free_atoms.push(atom);
        }
        Some(atom)
    }

    /// Reduces labels to what filed selectors are anchored on.
    pub(crate) fn atoms<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> Atoms {
        let mut found = SmallVec::new();
        if self.atoms.is_empty() {
            return Atoms(found);
        }
        for (key, value) in labels {
            let mut look_up = |value: Option<&str>| {
                if let Some((atom, _)) = self.atoms.get(&(key, value) as &dyn LabelAtom) {
                    found.push(*atom);
                }
            };
            look_up(Some(value));
            look_up(None);
        }
        Atoms(found)
    }

    /// Calls `candidate` for each selector of the scope that may match; the caller checks the rest of
    /// its requirements. A selector comes at most once: its anchors exclude each other.
    pub(crate) fn find(&self, scope: S, atoms: &Atoms, mut candidate: impl FnMut(T)) {
        let anchored = atoms.0.iter().map(|atom| Some(*atom));
        for atom in anchored.chain([None]) {
            if let Some(items) = self.filed.get(&(scope, atom)) {
                items.iter().for_each(|item| candidate(*item));
            }
        }
    }
}

/// What any set of labels that the selector matches must have: one of these labels, or nothing known.
enum Anchor<'a> {
    Labels(Anchors<'a>),
    None,
}

fn anchor(selector: &LabelSelector) -> Anchor<'_> {
    let mut best: Option<Anchors<'_>> = None;
    for requirement in selector.requirements() {
        let anchors: Anchors<'_> = match requirement.operator {
            Operator::In => {
                requirement.values.iter().map(|v| (requirement.key.as_str(), Some(v.as_str()))).collect()
            }
            Operator::Exists => SmallVec::from_iter([(requirement.key.as_str(), None)]),
            Operator::NotIn | Operator::DoesNotExist => continue,
        };
        // A value is rarer than a key, and one value rarer than several.
        let rank = |a: &Anchors<'_>| (a.iter().any(|(_, v)| v.is_none()), a.len());
        if best.as_ref().is_none_or(|b| rank(&anchors) < rank(b)) {
            best = Some(anchors);
        }
    }
    best.map_or(Anchor::None, Anchor::Labels)
}

/// Lets the map of owned atoms be asked with borrowed strings.
trait LabelAtom {
    fn parts(&self) -> (&str, Option<&str>);
}

impl LabelAtom for OwnedAtom {
    fn parts(&self) -> (&str, Option<&str>) {
        (&self.0, self.1.as_deref())
    }
}

impl LabelAtom for (&str, Option<&str>) {
    fn parts(&self) -> (&str, Option<&str>) {
        *self
    }
}

impl Hash for dyn LabelAtom + '_ {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn LabelAtom + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn LabelAtom + '_ {}

impl<'a> std::borrow::Borrow<dyn LabelAtom + 'a> for OwnedAtom {
    fn borrow(&self) -> &(dyn LabelAtom + 'a) {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podgate_api::{Labels, Requirement};

    fn selector(requirements: &[(&str, Operator, &[&str])]) -> LabelSelector {
        LabelSelector::new(
            requirements
                .iter()
                .map(|(key, operator, values)| Requirement {
                    key: key.to_string(),
                    operator: *operator,
                    values: values.iter().map(|v| v.to_string()).collect(),
                })
                .collect(),
        )
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn every_matching_selector_is_a_candidate_once() {
        let selectors = [
            selector(&[]),
            selector(&[("app", Operator::In, &["a"])]),
            selector(&[("app", Operator::In, &["a", "b"])]),
            selector(&[("app", Operator::Exists, &[])]),
            selector(&[("app", Operator::NotIn, &["a"])]),
            selector(&[("app", Operator::DoesNotExist, &[])]),
            selector(&[("app", Operator::Exists, &[]), ("tier", Operator::In, &["x"])]),
        ];
        let mut index = SelectorIndex::new();
        for (i, s) in selectors.iter().enumerate() {
            index.file(7u32, s, i);
        }
        for labels in [labels(&[]), labels(&[("app", "a")]), labels(&[("app", "b"), ("tier", "x")])] {
            let mut found = Vec::new();
            let pairs = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            index.find(7, &index.atoms(pairs), |i| found.push(i));
            for (i, s) in selectors.iter().enumerate() {
                let times = found.iter().filter(|f| **f == i).count();
                assert!(times <= 1, "{s:?} came {times} times");
                assert!(times == 1 || !s.matches(&labels), "{s:?} matches {labels:?} but was not found");
            }
        }
        for (i, s) in selectors.iter().enumerate() {
            index.unfile(7u32, s, i);
        }
        assert!(index.atoms.is_empty() && index.filed.is_empty(), "unfiling leaves nothing behind");
    }
}
