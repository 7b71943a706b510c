//! What the engine knows of each pod, and which pod owns an address.

use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashTable;
use podgate_api::{Pod, PodPhase};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::hash::BuildHasher;

use crate::predicates::{NsId, PredId, SetId};
use crate::programs::NamedPorts;
use crate::tables::{ClassId, ProgramId};

/// Place of a pod.
pub(crate) type PodIx = u32;

#[derive(Debug)]
pub(crate) struct PodState {
    pub pod: Pod,
    pub namespace: NsId,
    /// Place in the namespace's list of pods.
    pub at: u32,
    /// The node's name, shared by its pods.
    pub node: Option<Arc<str>>,
    /// Subject predicates that select it, sorted.
    pub subjects: Box<[PredId]>,
    /// Peer predicates that select it, sorted.
    pub peers: Box<[PredId]>,
    /// Its named ports that egress rules ask for, as predicates, sorted.
    pub named: Box<[PredId]>,
    /// Its named ports that ingress rules ask for, sorted.
    pub named_subject: NamedPorts,
    /// The pods under the same policies; `None` when no policy selects it.
    pub set: Option<(SetId, u32)>,
    /// Everything about it must be asked again.
    pub dirty: bool,
}

impl PodState {
    /// Whether it takes part in policy: not with the node's addresses, and not completed.
    pub fn eligible(&self) -> bool {
        eligible(&self.pod)
    }
}

fn eligible(pod: &Pod) -> bool {
    !pod.host_network && !matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed)
}

/// An address that at least one eligible pod claims.
#[derive(Debug, Default)]
pub(crate) struct Address {
    claims: SmallVec<[PodIx; 2]>,
    pub owner: Option<PodIx>,
    pub class: Option<ClassId>,
    /// What the last delta said of it.
    pub told: Option<Told>,
}

/// An identity as the last delta told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub class: ClassId,
    pub egress: Option<ProgramId>,
    pub ingress: Option<ProgramId>,
    pub node: Option<Arc<str>>,
}

#[derive(Debug, Default)]
pub(crate) struct Pods {
    slots: Vec<Option<PodState>>,
    free: Vec<PodIx>,
    by_name: HashTable<PodIx>,
    pub addresses: FxHashMap<IpAddr, Address>,
    /// Addresses whose identity must be looked at again.
    pub dirty_addresses: FxHashSet<IpAddr>,
    /// Pods about which everything must be asked again.
    pub dirty: Vec<PodIx>,
}

fn hash_name(namespace: NsId, name: &str) -> u64 {
    FxBuildHasher.hash_one((namespace, name))
}

impl Pods {
    pub fn get(&self, ix: PodIx) -> &PodState {
        self.slots[ix as usize].as_ref().expect("a pod in use")
    }

    pub fn get_mut(&mut self, ix: PodIx) -> &mut PodState {
        self.slots[ix as usize].as_mut().expect("a pod in use")
    }

    pub fn exists(&self, ix: PodIx) -> bool {
        self.slots.get(ix as usize).is_some_and(Option::is_some)
    }

    pub fn find(&self, namespace: NsId, name: &str) -> Option<PodIx> {
        let found = self.by_name.find(hash_name(namespace, name), |ix| {
            let state = self.get(*ix);
            state.namespace == namespace && state.pod.meta.name == name
        });
        found.copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (PodIx, &PodState)> {
        self.slots.iter().enumerate().filter_map(|(ix, state)| Some((ix as PodIx, state.as_ref()?)))
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn insert(&mut self, pod: Pod, namespace: NsId, at: u32, node: Option<Arc<str>>) -> PodIx {
        let ix = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as PodIx
        });
        let hash = hash_name(namespace, &pod.meta.name);
        self.slots[ix as usize] = Some(PodState {
            pod,
            namespace,
            at,
            node,
            subjects: [].into(),
            peers: [].into(),
            named: [].into(),
            named_subject: [].into(),
            set: None,
            dirty: false,
        });
        let Pods { by_name, slots, .. } = self;
        by_name.insert_unique(hash, ix, |ix| {
            let state = slots[*ix as usize].as_ref().expect("a pod in use");
            hash_name(state.namespace, &state.pod.meta.name)
        });
        self.claim(ix);
        self.mark(ix);
        ix
    }

    /// Replaces a pod's object by a newer one of the same name.
    pub fn replace(&mut self, ix: PodIx, pod: Pod, node: Option<Arc<str>>) {
        self.unclaim(ix);
        let state = self.get_mut(ix);
        state.pod = pod;
        state.node = node;
        self.claim(ix);
        self.mark(ix);
    }

    /// Forgets a pod, which must have left its set.
    pub fn remove(&mut self, ix: PodIx) -> PodState {
        self.unclaim(ix);
        let state = self.slots[ix as usize].take().expect("a pod in use");
        let hash = hash_name(state.namespace, &state.pod.meta.name);
        if let Ok(entry) = self.by_name.find_entry(hash, |found| *found == ix) {
            entry.remove();
        }
        self.free.push(ix);
        state
    }

    /// Has everything about the pod asked again at the next commit.
    pub fn mark(&mut self, ix: PodIx) {
        let state = self.get_mut(ix);
        if !state.dirty {
            state.dirty = true;
            self.dirty.push(ix);
        }
    }

    fn claim(&mut self, ix: PodIx) {
        let state = self.slots[ix as usize].as_ref().expect("a pod in use");
        if !state.eligible() {
            return;
        }
        for ip in &state.pod.ips {
            let address = self.addresses.entry(*ip).or_default();
            if !address.claims.contains(&ix) {
                address.claims.push(ix);
            }
            self.dirty_addresses.insert(*ip);
        }
    }

    fn unclaim(&mut self, ix: PodIx) {
        let state = self.slots[ix as usize].as_ref().expect("a pod in use");
        for ip in &state.pod.ips {
            if let Entry::Occupied(mut entry) = self.addresses.entry(*ip) {
                let address = entry.get_mut();
                address.claims.retain(|claim| *claim != ix);
                if address.owner == Some(ix) {
                    address.owner = None;
                }
                self.dirty_addresses.insert(*ip);
            }
        }
    }

    /// The pod that owns an address: the running, newest one; names break the last tie, so that the
    /// order of events doesn't.
    pub fn elect_owner(&mut self, ip: IpAddr) {
        let Some(address) = self.addresses.get(&ip) else { return };
        let owner = match address.claims[..] {
            [] => None,
            [only] => Some(only),
            _ => address.claims.iter().copied().max_by(|a, b| {
                let rank = |ix: PodIx| {
                    let pod = &self.get(ix).pod;
                    let running = matches!(pod.phase, PodPhase::Running | PodPhase::Unknown);
                    (running, !pod.meta.terminating, &pod.meta.created, &pod.meta.namespace, &pod.meta.name)
                };
                rank(*a).cmp(&rank(*b))
            }),
        };
        if let Some(address) = self.addresses.get_mut(&ip) {
            address.owner = owner;
        }
    }
}
