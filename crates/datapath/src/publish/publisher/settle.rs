//! What publishing leaves to do until no packet is left that sees an earlier state; and taking stock of what others left.

use std::collections::BTreeSet;

use prefix_trie::joint::JointPrefixMap;

use super::{Address, MANY_LEFTOVERS, Prefix, Publisher, no_grace};
use crate::Error;
use crate::publish::alloc::Ids;
use crate::publish::store::Store;
use crate::publish::tables::{Leftovers, Tables};
use crate::publish::words::{active_slot, class_of, egress_of, ingress_of, other_slot};

impl<S: Store> Publisher<S> {
    /// Goes on with what publishing put off, without waiting. `true`: nothing is left.
    pub(crate) fn settle(&mut self) -> Result<bool, Error> {
        if self.stale {
            return Ok(true);
        }
        let settled = self.settle_known();
        self.stale = settled.is_err();
        settled
    }

    fn settle_known(&mut self) -> Result<bool, Error> {
        if !self.finish_flip(false)? || !self.finish_removal(false) {
            return Ok(false);
        }
        if self.ripening.is_some() {
            if self.store.grace_over(false) {
                self.remove_ripe()?;
            }
            return Ok(false);
        }
        if self.leftovers.is_empty() {
            return Ok(true);
        }
        if self.published.elapsed() >= self.quiet || self.leftovers.len() >= MANY_LEFTOVERS {
            self.ripening = Some(std::mem::take(&mut self.leftovers));
            self.store.begin_grace();
        }
        Ok(false)
    }

    pub(super) fn finish_flip(&mut self, wait: bool) -> Result<bool, Error> {
        if self.flipped.is_none() {
            return Ok(true);
        }
        if !self.store.grace_over(wait) {
            return Ok(false);
        }
        let flipped = self.flipped.take().unwrap_or_default();
        let other = other_slot(self.store.generation());
        for (index, word) in flipped.copies {
            self.store.set_word(index, other, word);
        }
        for prefix in flipped.prefixes {
            self.store.delete_prefix(prefix)?;
        }
        if self.marked {
            self.store.replace_marks(&mut self.unplaced.keys().copied());
            self.marked = !self.unplaced.is_empty();
        }
        Ok(true)
    }

    pub(super) fn finish_removal(&mut self, wait: bool) -> bool {
        if self.removed.is_none() {
            return true;
        }
        if !self.store.grace_over(wait) {
            return false;
        }
        let removed = self.removed.take().unwrap_or_default();
        self.tables.recycle(&removed);
        for index in &removed.indexes {
            self.indexes.give_back(*index);
        }
        true
    }

    /// Removes keys. The kernel may use a removed entry's memory for another key at once, while a packet
    /// still holds it: nothing is inserted before that packet is gone, see [`Self::finish_removal`].
    fn remove_ripe(&mut self) -> Result<(), Error> {
        let mut leftovers = self.ripening.take().unwrap_or_default();
        for key in &leftovers.rows {
            self.store.delete_row(*key)?;
        }
        for address in std::mem::take(&mut leftovers.addresses) {
            let Some(entry) = self.addresses.get(&address) else { continue };
            if entry.word == 0 && entry.wanted.is_none() {
                self.store.delete_address(address)?;
                leftovers.indexes.push(entry.index);
                self.addresses.remove(&address);
            }
        }
        self.removed = Some(leftovers);
        self.store.begin_grace();
        Ok(())
    }

    /// Makes room by removing now what would be removed when idle. `false`: there is nothing to remove.
    pub(super) fn reclaim(&mut self) -> Result<bool, Error> {
        let mut leftovers = std::mem::take(&mut self.leftovers);
        leftovers.append(self.ripening.take().unwrap_or_default());
        if leftovers.is_empty() {
            return Ok(false);
        }
        self.ripening = Some(leftovers);
        self.store.begin_grace();
        if !self.store.grace_over(true) {
            return Err(no_grace());
        }
        self.remove_ripe()?;
        Ok(self.finish_removal(true))
    }

    /// Takes stock of tables that another process, or a failed publication, left.
    pub(super) fn adopt(&mut self) -> Result<(), Error> {
        let contents = self.store.contents()?;
        let generation = self.store.generation();
        let (slot, other) = (active_slot(generation), other_slot(generation));
        if !contents.addresses.is_empty() || !contents.prefixes.is_empty() {
            self.store.begin_grace();
            if !self.store.grace_over(true) {
                return Err(no_grace());
            }
        }
        let (mut indexes, mut programs, mut classes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut word_of = |store: &mut S, index: u32| {
            let word = store.word(index, slot);
            store.set_word(index, other, word);
            indexes.insert(index);
            programs.extend([egress_of(word), ingress_of(word)]);
            classes.insert(class_of(word));
            word
        };
        self.addresses.clear();
        for (address, index) in contents.addresses {
            let word = word_of(&mut self.store, index);
            self.addresses.insert(address, Address { index, word, wanted: None });
        }
        self.prefixes = JointPrefixMap::new();
        for (prefix, index) in contents.prefixes {
            let word = word_of(&mut self.store, index);
            self.prefixes.insert(prefix, Prefix { index, word, wanted: None });
        }
        self.indexes = Ids::with_used(0, self.limits.idents, &indexes);
        self.tables = Tables::adopt(self.limits.rows, self.limits.ranges, &contents.rows, programs, classes);
        self.flipped = None;
        self.leftovers = Leftovers::default();
        self.ripening = None;
        self.removed = None;
        self.marked = true;
        Ok(())
    }
}
