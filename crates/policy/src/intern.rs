//! Texts, label sets and lists of ports: each kept once, however many pods have it.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};
use podgate_api::{ContainerPort, Labels, NAMESPACE_NAME_LABEL};

use crate::slots::Slots;

/// Place of a text.
type TextId = u32;
/// Place of a label set.
pub(crate) type LabelsId = u32;
/// Place of a list of ports.
pub(crate) type PortsId = u32;

/// The empty label set, and the empty list of ports.
const EMPTY: u32 = u32::MAX;

/// Values, each once, with the number of their uses.
#[derive(Debug)]
struct Interned<T: ?Sized> {
    slots: Slots<(Box<T>, u32)>,
    by_value: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T: ?Sized> Clone for Interned<T>
where
    Box<T>: Clone,
{
    fn clone(&self) -> Self {
        Interned { slots: self.slots.clone(), by_value: self.by_value.clone(), hasher: self.hasher.clone() }
    }
}

impl<T: ?Sized> Default for Interned<T> {
    fn default() -> Self {
        let hasher = DefaultHashBuilder::default();
        Interned { slots: Slots::default(), by_value: HashTable::new(), hasher }
    }
}

impl<T: ?Sized + Hash + Eq> Interned<T> {
    fn get(&self, id: u32) -> &T {
        &self.slots.get(id).0
    }

    /// One use more; `true`: the first.
    fn hold(&mut self, wanted: &T) -> (u32, bool)
    where
        for<'a> Box<T>: From<&'a T>,
    {
        let Interned { slots, by_value, hasher } = self;
        let hash = hasher.hash_one(wanted);
        if let Some(id) = by_value.find(hash, |id| *slots.get(*id).0 == *wanted) {
            slots.get_mut(*id).1 += 1;
            return (*id, false);
        }
        let id = slots.insert((wanted.into(), 1));
        by_value.insert_unique(hash, id, |id| hasher.hash_one(&*slots.get(*id).0));
        (id, true)
    }

    /// One use less. Returns the value when that was the last.
    fn release(&mut self, id: u32) -> Option<Box<T>> {
        let Interned { slots, by_value, hasher } = self;
        let slot = slots.get_mut(id);
        slot.1 -= 1;
        if slot.1 > 0 {
            return None;
        }
        let hash = hasher.hash_one(&*slot.0);
        if let Ok(entry) = by_value.find_entry(hash, |found| *found == id) {
            entry.remove();
        }
        slots.remove(id).map(|(value, _)| value)
    }
}

/// A port that has a name: the name, the number, the protocol.
type NamedPort = (TextId, u16, u8);

/// What pods and namespaces say of themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    texts: Interned<str>,
    /// Keys and values, in the order of the keys.
    labels: Interned<[(TextId, TextId)]>,
    ports: Interned<[NamedPort]>,
}

impl Interner {
    /// One use more of a label set.
    pub fn hold_labels<'l>(&mut self, labels: impl Iterator<Item = (&'l String, &'l String)>) -> LabelsId {
        let texts = &mut self.texts;
        let pairs: smallvec::SmallVec<[(TextId, TextId); 8]> =
            labels.map(|(key, value)| (texts.hold(key).0, texts.hold(value).0)).collect();
        if pairs.is_empty() {
            return EMPTY;
        }
        let (id, is_first) = self.labels.hold(&pairs[..]);
        if !is_first {
            pairs.iter().for_each(|pair| self.release_texts([pair.0, pair.1]));
        }
        id
    }

    /// One use less.
    pub fn release_labels(&mut self, id: LabelsId) {
        if id == EMPTY {
            return;
        }
        for (key, value) in self.labels.release(id).iter().flat_map(|pairs| pairs.iter()) {
            self.release_texts([*key, *value]);
        }
    }

    /// One use more of the ports that have names.
    pub fn hold_ports(&mut self, ports: &[ContainerPort]) -> PortsId {
        let named = ports.iter().filter(|port| !port.name.is_empty());
        let texts = &mut self.texts;
        let ports: smallvec::SmallVec<[NamedPort; 4]> =
            named.map(|port| (texts.hold(&port.name).0, port.port, port.protocol.number())).collect();
        if ports.is_empty() {
            return EMPTY;
        }
        let (id, is_first) = self.ports.hold(&ports[..]);
        if !is_first {
            ports.iter().for_each(|port| self.release_texts([port.0]));
        }
        id
    }

    /// One use less.
    pub fn release_ports(&mut self, id: PortsId) {
        if id == EMPTY {
            return;
        }
        for (name, ..) in self.ports.release(id).iter().flat_map(|ports| ports.iter()) {
            self.release_texts([*name]);
        }
    }

    fn release_texts<const N: usize>(&mut self, ids: [TextId; N]) {
        for id in ids {
            self.texts.release(id);
        }
    }

    /// Names, protocols and numbers of the ports that have names.
    pub fn ports(&self, id: PortsId) -> impl Iterator<Item = (&str, u8, u16)> {
        let ports = if id == EMPTY { &[] } else { self.ports.get(id) };
        ports.iter().map(|(name, number, protocol)| (self.texts.get(*name), *protocol, *number))
    }

    /// A label set.
    pub fn labels(&self, id: LabelsId) -> LabelsView<'_> {
        LabelsView { interner: self, pairs: if id == EMPTY { &[] } else { self.labels.get(id) }, name: None }
    }
}

/// The labels of a pod or a namespace, as the engine keeps them.
#[derive(Clone, Copy, Debug)]
pub struct LabelsView<'a> {
    interner: &'a Interner,
    pairs: &'a [(TextId, TextId)],
    /// A namespace's: the value of [`NAMESPACE_NAME_LABEL`], which is not among the pairs.
    name: Option<&'a str>,
}

impl<'a> LabelsView<'a> {
    /// The labels of a namespace of this name.
    pub(crate) fn with_name(self, name: &'a str) -> LabelsView<'a> {
        LabelsView { name: Some(name), ..self }
    }

    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        if self.name.is_some() && key == NAMESPACE_NAME_LABEL {
            return self.name;
        }
        let texts = &self.interner.texts;
        let found = self.pairs.iter().find(|(known, _)| texts.get(*known) == key);
        found.map(|(_, value)| texts.get(*value))
    }

    /// All labels with their values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let texts = &self.interner.texts;
        let name = self.name.map(|name| (NAMESPACE_NAME_LABEL, name));
        self.pairs.iter().map(|(key, value)| (texts.get(*key), texts.get(*value))).chain(name)
    }

    /// The same as a map.
    pub fn to_labels(&self) -> Labels {
        self.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_label_sets_are_one_and_the_last_use_forgets_them() {
        let labels: Labels = [("app", "web"), ("tier", "web")].map(|(k, v)| (k.into(), v.into())).into();
        let other: Labels = [("app".to_owned(), "web".to_owned())].into();
        let mut interner = Interner::default();
        let (one, two) = (interner.hold_labels(labels.iter()), interner.hold_labels(labels.iter()));
        let third = interner.hold_labels(other.iter());
        assert!(one == two && one != third);
        assert_eq!(interner.labels(one).to_labels(), labels);
        assert_eq!(interner.labels(third).get("tier"), None);
        for id in [one, third, two] {
            assert_eq!(interner.labels(id).get("app"), Some("web"));
            interner.release_labels(id);
        }
        assert_eq!(interner.hold_labels(Labels::new().iter()), EMPTY);
        let Interner { texts, labels, .. } = &interner;
        assert_eq!((texts.by_value.len(), labels.by_value.len()), (0, 0));
        assert_eq!((texts.slots.iter().count(), labels.slots.iter().count()), (0, 0));
    }

    #[test]
    fn a_namespace_has_its_name_as_a_label_beside_the_others() {
        let mut interner = Interner::default();
        let id = interner.hold_labels([(&"team".to_owned(), &"red".to_owned())].into_iter());
        let labels = interner.labels(id).with_name("shop");
        assert_eq!(labels.get(NAMESPACE_NAME_LABEL), Some("shop"));
        assert_eq!(labels.to_labels().len(), 2);
        assert_eq!(interner.labels(id).get(NAMESPACE_NAME_LABEL), None);
    }
}
