//! All policies, by place and by name.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use rustc_hash::FxHashSet;

use super::{CompiledPolicy, PolicyKey};
use crate::predicates::{PolicyIx, PredId};

#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub slots: Vec<Option<Arc<CompiledPolicy>>>,
    free: Vec<PolicyIx>,
    /// Slots by kind, namespace and name.
    by_name: HashTable<PolicyIx>,
    hasher: DefaultHashBuilder,
    /// Replaced or deleted since the last commit; their places must not be used before its end,
    /// because programs are found by them.
    removed: Vec<PolicyIx>,
    /// The sum of the fingerprints of those in force.
    pub sum: u64,
    /// Subject predicates whose policies changed since the last commit.
    pub changed_subjects: FxHashSet<PredId>,
}

impl Policies {
    pub fn get(&self, ix: PolicyIx) -> &Arc<CompiledPolicy> {
        self.slots[ix as usize].as_ref().expect("a policy in use")
    }

    /// Those in force, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CompiledPolicy>> {
        self.by_name.iter().map(|ix| self.get(*ix))
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Has a policy's place freed at the end of the commit.
    pub fn remove(&mut self, ix: PolicyIx) {
        self.removed.push(ix);
    }

    pub fn hash(&self, key: PolicyKey<'_>) -> u64 {
        self.hasher.hash_one(key)
    }

    pub fn find(&self, hash: u64, key: PolicyKey<'_>) -> Option<PolicyIx> {
        self.by_name.find(hash, |ix| self.get(*ix).object.key() == key).copied()
    }

    pub fn unname(&mut self, key: PolicyKey<'_>) -> Option<PolicyIx> {
        let hash = self.hash(key);
        let ix = self.find(hash, key)?;
        self.forget_name(hash, ix);
        Some(ix)
    }

    fn forget_name(&mut self, hash: u64, ix: PolicyIx) {
        if let Ok(entry) = self.by_name.find_entry(hash, |found| *found == ix) {
            entry.remove();
            self.sum = self.sum.wrapping_sub(self.get(ix).version);
        }
    }

    /// Adds a policy under the hash of its name, in place of an older version.
    pub fn insert(&mut self, policy: Arc<CompiledPolicy>, hash: u64, old: Option<PolicyIx>) -> PolicyIx {
        let ix = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as PolicyIx
        });
        if let Some(old) = old {
            self.forget_name(hash, old);
        }
        self.sum = self.sum.wrapping_add(policy.version);
        self.slots[ix as usize] = Some(policy);
        let Policies { by_name, slots, hasher, .. } = self;
        by_name.insert_unique(hash, ix, |ix| {
            hasher.hash_one(slots[*ix as usize].as_ref().expect("a policy in use").object.key())
        });
        ix
    }

    /// Frees the places of policies removed since the last commit.
    pub fn bury(&mut self) {
        for ix in self.removed.drain(..) {
            self.slots[ix as usize] = None;
            self.free.push(ix);
        }
        self.changed_subjects.clear();
    }
}
