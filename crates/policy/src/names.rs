//! Maps keyed by owned (namespace, name) pairs, asked with borrowed ones.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// A namespace and a name, owned or borrowed.
pub(crate) trait NamePair {
    fn pair(&self) -> (&str, &str);
}

impl NamePair for (Box<str>, Box<str>) {
    fn pair(&self) -> (&str, &str) {
        (&self.0, &self.1)
    }
}

impl NamePair for (&str, &str) {
    fn pair(&self) -> (&str, &str) {
        *self
    }
}

impl Hash for dyn NamePair + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pair().hash(state);
    }
}

impl PartialEq for dyn NamePair + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.pair() == other.pair()
    }
}

impl Eq for dyn NamePair + '_ {}

impl<'a> Borrow<dyn NamePair + 'a> for (Box<str>, Box<str>) {
    fn borrow(&self) -> &(dyn NamePair + 'a) {
        self
    }
}
