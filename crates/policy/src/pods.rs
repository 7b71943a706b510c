//! What the engine knows of each pod, and which pod owns an address.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashTable;
use podgate_api::{Pod, PodPhase};
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use crate::predicates::{Ids, NsId, PredId, SetId};
use crate::programs::NamedPorts;
use crate::tables::{ClassId, ProgramId};

/// Place of a pod.
pub(crate) type PodIx = u32;
/// Place of an address that pods claim.
pub(crate) type AddressIx = u32;

#[derive(Debug)]
pub(crate) struct PodState {
    pub pod: Pod,
    /// Of namespace and name: growing the table must not hash them again.
    hash: u64,
    pub namespace: NsId,
    /// Place in the namespace's list of pods.
    pub at: u32,
    /// The node's name, shared by its pods.
    pub node: Option<Arc<str>>,
    /// Subject predicates that select it, sorted.
    pub subjects: Ids,
    /// Peer predicates that select it, sorted.
    pub peers: Ids,
    /// Its named ports that egress rules ask for, as predicates, sorted.
    pub named: Box<[PredId]>,
    /// Its named ports that ingress rules ask for, sorted.
    pub named_subject: NamedPorts,
    /// The pods under the same policies; `None` when no policy selects it.
    pub set: Option<(SetId, u32)>,
    /// Everything about it must be asked again.
    pub dirty: bool,
    /// Its addresses' identities must be looked at again.
    touched: bool,
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
#[derive(Debug)]
pub(crate) struct Address {
    pub ip: IpAddr,
    claims: SmallVec<[PodIx; 2]>,
    pub owner: Option<PodIx>,
    pub class: Option<ClassId>,
    /// What the last delta said of it.
    pub told: Option<Told>,
    /// Already among those to be looked at again.
    listed: bool,
}

/// An identity as the last delta told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub class: ClassId,
    pub egress: Option<ProgramId>,
    pub ingress: Option<ProgramId>,
    pub node: Option<Arc<str>>,
}

impl Address {
    /// A pod that claims it.
    pub fn claimant(&self) -> Option<PodIx> {
        self.claims.first().copied()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pods {
    slots: Vec<Option<PodState>>,
    free: Vec<PodIx>,
    by_name: HashTable<PodIx>,
    addresses: Vec<Option<Address>>,
    free_addresses: Vec<AddressIx>,
    by_ip: FxHashMap<IpAddr, AddressIx>,
    /// Addresses whose identity must be looked at again, beside those of touched pods.
    listed: Vec<AddressIx>,
    touched: Vec<PodIx>,
    /// How many addresses came or went.
    shifted: usize,
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

    /// Makes room for this many more pods.
    pub fn reserve(&mut self, pods: usize) {
        self.slots.reserve(pods);
        let slots = &self.slots;
        self.by_name.reserve(pods, |ix| slots[*ix as usize].as_ref().expect("a pod in use").hash);
        self.by_ip.reserve(pods);
        self.addresses.reserve(pods);
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

    /// Adds a pod that isn't there. Its place in the namespace's list is the caller's business.
    pub fn insert(&mut self, pod: Pod, namespace: NsId, node: Option<Arc<str>>) -> PodIx {
        let ix = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as PodIx
        });
        let hash = hash_name(namespace, &pod.meta.name);
        self.slots[ix as usize] = Some(PodState {
            pod,
            hash,
            namespace,
            at: 0,
            node,
            subjects: Ids::new(),
            peers: Ids::new(),
            named: [].into(),
            named_subject: [].into(),
            set: None,
            dirty: false,
            touched: false,
        });
        let Pods { by_name, slots, .. } = self;
        by_name.insert_unique(hash, ix, |ix| slots[*ix as usize].as_ref().expect("a pod in use").hash);
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
        if let Ok(entry) = self.by_name.find_entry(state.hash, |found| *found == ix) {
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
        self.touch(ix);
    }

    /// Has the identities of the pod's addresses looked at again at the next commit.
    pub fn touch(&mut self, ix: PodIx) {
        let state = self.get_mut(ix);
        if !state.touched {
            state.touched = true;
            self.touched.push(ix);
        }
    }

    /// Has the identities of these addresses looked at again.
    pub fn touch_addresses(&mut self, which: impl Fn(IpAddr) -> bool) {
        for (ix, address) in self.addresses.iter_mut().enumerate() {
            let Some(address) = address else { continue };
            if !address.listed && which(address.ip) {
                address.listed = true;
                self.listed.push(ix as AddressIx);
            }
        }
    }

    /// The addresses whose identity must be looked at again, each once, with their owners elected.
    pub fn take_touched(&mut self) -> Vec<AddressIx> {
        for pod in std::mem::take(&mut self.touched) {
            let Some(state) = &mut self.slots[pod as usize] else { continue };
            state.touched = false;
            for ip in &state.pod.ips {
                if let Some(ix) = self.by_ip.get(ip)
                    && let Some(address) = &mut self.addresses[*ix as usize]
                    && !address.listed
                {
                    address.listed = true;
                    self.listed.push(*ix);
                }
            }
        }
        let listed = std::mem::take(&mut self.listed);
        for ix in &listed {
            self.elect_owner(*ix);
        }
        listed
    }

    pub fn address(&self, ix: AddressIx) -> &Address {
        self.addresses[ix as usize].as_ref().expect("an address in use")
    }

    pub fn address_mut(&mut self, ix: AddressIx) -> &mut Address {
        self.addresses[ix as usize].as_mut().expect("an address in use")
    }

    pub fn find_address(&self, ip: IpAddr) -> Option<&Address> {
        self.by_ip.get(&ip).map(|ix| self.address(*ix))
    }

    /// How many addresses came or went since this was last asked.
    pub fn take_shifted(&mut self) -> usize {
        std::mem::take(&mut self.shifted)
    }

    pub fn count_addresses(&self) -> usize {
        self.by_ip.len()
    }

    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter().flatten()
    }

    /// Forgets an address that no pod claims.
    pub fn forget_address(&mut self, ix: AddressIx) {
        if let Some(address) = self.addresses[ix as usize].take() {
            self.by_ip.remove(&address.ip);
            self.shifted += 1;
            self.free_addresses.push(ix);
        }
    }

    fn claim(&mut self, ix: PodIx) {
        let Pods { slots, addresses, free_addresses, by_ip, shifted, .. } = self;
        let state = slots[ix as usize].as_ref().expect("a pod in use");
        if !state.eligible() {
            return;
        }
        for ip in &state.pod.ips {
            let at = *by_ip.entry(*ip).or_insert_with(|| {
                let address = Address {
                    ip: *ip,
                    claims: SmallVec::new(),
                    owner: None,
                    class: None,
                    told: None,
                    listed: false,
                };
                *shifted += 1;
                match free_addresses.pop() {
                    Some(at) => {
                        addresses[at as usize] = Some(address);
                        at
                    }
                    None => {
                        addresses.push(Some(address));
                        (addresses.len() - 1) as AddressIx
                    }
                }
            });
            let address = addresses[at as usize].as_mut().expect("an address in use");
            if !address.claims.contains(&ix) {
                address.claims.push(ix);
            }
        }
    }

    fn unclaim(&mut self, ix: PodIx) {
        let Pods { slots, addresses, by_ip, listed, .. } = self;
        let state = slots[ix as usize].as_ref().expect("a pod in use");
        for ip in &state.pod.ips {
            let Some(at) = by_ip.get(ip) else { continue };
            let address = addresses[*at as usize].as_mut().expect("an address in use");
            address.claims.retain(|claim| *claim != ix);
            if !address.listed {
                address.listed = true;
                listed.push(*at);
            }
        }
    }

    /// Finds the pod that owns an address: the running, newest one; names break the last tie, so that
    /// the order of events doesn't.
    fn elect_owner(&mut self, ix: AddressIx) {
        let claims = &self.address(ix).claims;
        let owner = match claims[..] {
            [] => None,
            [only] => Some(only),
            _ => claims.iter().copied().max_by(|a, b| {
                let rank = |ix: PodIx| {
                    let pod = &self.get(ix).pod;
                    let running = matches!(pod.phase, PodPhase::Running | PodPhase::Unknown);
                    (running, !pod.meta.terminating, &pod.meta.created, &pod.meta.namespace, &pod.meta.name)
                };
                rank(*a).cmp(&rank(*b))
            }),
        };
        let address = self.address_mut(ix);
        address.owner = owner;
        address.listed = false;
    }
}
