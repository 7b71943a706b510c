//! What sets are to hold, against what they hold.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::netlink::{Socket, Transaction};
use super::table::{Element, Table};
use crate::Error;

/// A transaction is split beyond so many bytes, where no packet can see what it changes.
const SPLIT: usize = 1 << 21;

/// An element before and after.
type Change = (Option<Element>, Option<Element>);

/// Elements to be removed and to be added, by set.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By key: changes to and fro within one publication are none.
    keyed: BTreeMap<String, FxHashMap<Vec<u8>, Change>>,
    gone: BTreeMap<String, Vec<Element>>,
    new: BTreeMap<String, Vec<Element>>,
}

impl Changes {
    /// An element that may change again before the next [`Changes::commit`].
    pub(super) fn change(&mut self, set: &str, before: Option<Element>, after: Option<Element>) {
        let Some(key) = before.as_ref().or(after.as_ref()).map(|element| element.key.clone()) else { return };
        if !self.keyed.contains_key(set) {
            self.keyed.insert(set.to_owned(), FxHashMap::default());
        }
        if let Some(changes) = self.keyed.get_mut(set) {
            changes.entry(key).or_insert((before, None)).1 = after;
        }
    }

    /// An element that is there.
    pub(super) fn remove(&mut self, set: String, element: Element) {
        self.gone.entry(set).or_default().push(element);
    }

    /// An element that isn't there, unless it is removed by the same commit.
    pub(super) fn add(&mut self, set: String, element: Element) {
        self.new.entry(set).or_default().push(element);
    }

    /// Removals come first and for themselves: no packet looks for what changes here.
    pub(super) fn commit(mut self, table: &Table, socket: &mut Socket) -> Result<usize, Error> {
        for (set, changes) in std::mem::take(&mut self.keyed) {
            for (before, after) in changes.into_values().filter(|(before, after)| before != after) {
                if let Some(before) = before {
                    self.remove(set.clone(), before);
                }
                if let Some(after) = after {
                    self.add(set.clone(), after);
                }
            }
        }
        let sum = |sets: &BTreeMap<String, Vec<Element>>| sets.values().map(Vec::len).sum::<usize>();
        let count = sum(&self.gone) + sum(&self.new);
        let deletes = self.gone.into_iter().map(|elements| (false, elements));
        let adds = self.new.into_iter().map(|elements| (true, elements));
        let mut transaction = Transaction::new();
        let mut adding = false;
        for (is_add, (set, elements)) in deletes.chain(adds) {
            if is_add != adding {
                adding = is_add;
                socket.commit(std::mem::replace(&mut transaction, Transaction::new()))?;
            }
            for elements in elements.chunks(8192) {
                match is_add {
                    true => table.add_elements(&mut transaction, &set, elements),
                    false => table.delete_elements(&mut transaction, &set, elements),
                }
                if transaction.len() > SPLIT {
                    socket.commit(std::mem::replace(&mut transaction, Transaction::new()))?;
                }
            }
        }
        socket.commit(transaction)?;
        Ok(count)
    }
}
