//! What the engine knows of each pod, and which pod owns an address.
//!
//! A cluster has many more pods than a node's agent has memory for their objects, so only what decides is kept:
//! label sets and ports once for all pods that have them, addresses and answers apart.

use std::hash::BuildHasher;
use std::net::IpAddr;

use hashbrown::HashTable;
use podgate_api::{Pod, PodPhase};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::intern::{Interner, LabelsId, LabelsView, PortsId};
use crate::namespaces::Namespaces;
use crate::nodes::NodeId;
use crate::predicates::{Ids, NsId, PredId, SetId};
use crate::programs::NamedPorts;
use crate::slots::Slots;
use crate::tables::{ClassId, ProgramId};

/// Place of a pod.
pub(crate) type PodIx = u32;
/// Place of an address that pods claim.
pub(crate) type AddressIx = u32;

/// No pod, no address.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct PodState {
    pub name: Box<str>,
    pub namespace: NsId,
    /// Place in the namespace's list of pods.
    pub at: u32,
    facts: Facts,
    state: State,
    /// The addresses it claims; those of more than two are in [`Pods::more_addresses`].
    addresses: [AddressIx; 2],
    /// Place in [`Pods::answers`], or [`NONE`].
    answers: u32,
    /// Everything about it must be asked again.
    pub dirty: bool,
    /// Its addresses' identities must be looked at again.
    touched: bool,
}

/// What an object says of a pod, without its name and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub node: NodeId,
    labels: LabelsId,
    ports: PortsId,
    /// Grows with the time of its creation.
    created: u32,
}

/// What decides whether and how much a pod counts; the greater claims an address before the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It takes no part in policy: with the node's addresses, or completed.
    Idle,
    PendingTerminating,
    Pending,
    RunningTerminating,
    Running,
}

impl State {
    fn of(pod: &Pod) -> State {
        match (pod.phase, pod.meta.terminating) {
            _ if pod.host_network => State::Idle,
            (PodPhase::Succeeded | PodPhase::Failed, _) => State::Idle,
            (PodPhase::Running | PodPhase::Unknown, false) => State::Running,
            (PodPhase::Running | PodPhase::Unknown, true) => State::RunningTerminating,
            (PodPhase::Pending, false) => State::Pending,
            (PodPhase::Pending, true) => State::PendingTerminating,
        }
    }
}

/// What predicates say of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Subject predicates that select it, sorted.
    pub subjects: Ids,
    /// Peer predicates that select it, sorted.
    pub peers: Ids,
    /// Its named ports that egress rules ask for, as predicates, sorted.
    pub named: Box<[PredId]>,
    /// Its named ports that ingress rules ask for, sorted.
    pub named_subject: NamedPorts,
    /// The pods under the same policies, and its place there; `None` when no policy selects it.
    pub set: Option<(SetId, u32)>,
}

/// Of pods about which nobody asks.
static NOTHING: std::sync::LazyLock<Answers> = std::sync::LazyLock::new(Answers::default);

impl PodState {
    /// Whether it takes part in policy: not with the node's addresses, and not completed.
    pub fn eligible(&self) -> bool {
        self.state != State::Idle
    }

    pub fn node(&self) -> NodeId {
        self.facts.node
    }
}

/// An address that at least one eligible pod claims.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub ip: IpAddr,
    /// Already among those to be looked at again.
    listed: bool,
    /// The pod that has it; others that claim it are in [`Pods::rivals`].
    owner: PodIx,
    class: u32,
    /// What the last delta said of it.
    told: Told,
}

/// An identity as the last delta told it, with 0 for what isn't there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    class: u32,
    egress: u32,
    ingress: u32,
    node: NodeId,
}

impl Told {
    pub fn new(class: ClassId, egress: Option<ProgramId>, ingress: Option<ProgramId>, node: NodeId) -> Told {
        let number = |program: Option<ProgramId>| program.map_or(0, |program| program.0);
        Told { class: class.0, egress: number(egress), ingress: number(ingress), node }
    }

    pub fn class(self) -> ClassId {
        ClassId(self.class)
    }

    pub fn egress(self) -> Option<ProgramId> {
        (self.egress != 0).then_some(ProgramId(self.egress))
    }

    pub fn ingress(self) -> Option<ProgramId> {
        (self.ingress != 0).then_some(ProgramId(self.ingress))
    }

    pub fn node(self) -> NodeId {
        self.node
    }
}

impl Address {
    /// The pod that has it, as elected last; a pod that has just come may have more right to it.
    pub fn owner(&self) -> Option<PodIx> {
        (self.owner != NONE).then_some(self.owner)
    }

    pub fn class(&self) -> Option<ClassId> {
        (self.class != 0).then_some(ClassId(self.class))
    }

    pub fn set_class(&mut self, class: Option<ClassId>) {
        self.class = class.map_or(0, |class| class.0);
    }

    pub fn told(&self) -> Option<Told> {
        Some(self.told).filter(|told| told.class != 0)
    }

    pub fn set_told(&mut self, told: Told) {
        self.told = told;
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Pods {
    pods: Slots<PodState>,
    by_name: HashTable<PodIx>,
    interner: Interner,
    /// Of pods about which anybody asks.
    answers: Slots<Answers>,
    addresses: Slots<Address>,
    by_ip: HashTable<AddressIx>,
    /// All addresses of pods with more than two.
    more_addresses: FxHashMap<PodIx, Vec<AddressIx>>,
    /// All pods that claim an address which more than one claims, its owner first.
    rivals: FxHashMap<AddressIx, Vec<PodIx>>,
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

fn hash_ip(ip: IpAddr) -> u64 {
    FxBuildHasher.hash_one(ip)
}

/// A number that grows with a time written as the API server writes it; 0 for anything else.
fn moment(created: &str) -> u32 {
    let number = |at: usize, length: usize| created.get(at..at + length)?.parse::<u32>().ok();
    let parts = [(0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2)].map(|(at, length)| number(at, length));
    let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)] = parts else {
        return 0;
    };
    let day = ((year.clamp(2000, 2129) - 2000) * 12 + month.clamp(1, 12) - 1) * 31 + day.clamp(1, 31) - 1;
    (day * 24 + hour.min(23)) * 3600 + minute.min(59) * 60 + second.min(60) + 1
}

impl Pods {
    pub fn get(&self, ix: PodIx) -> &PodState {
        self.pods.get(ix)
    }

    pub fn get_mut(&mut self, ix: PodIx) -> &mut PodState {
        self.pods.get_mut(ix)
    }

    /// Makes room for this many more pods.
    pub fn reserve(&mut self, pods: usize) {
        let Pods { pods: states, by_name, addresses, by_ip, .. } = self;
        by_name.reserve(pods, |ix| hash_name(states.get(*ix).namespace, &states.get(*ix).name));
        by_ip.reserve(pods, |ix| hash_ip(addresses.get(*ix).ip));
    }

    /// What predicates say of a pod.
    pub fn answers(&self, ix: PodIx) -> &Answers {
        match self.get(ix).answers {
            NONE => &NOTHING,
            at => self.answers.get(at),
        }
    }

    /// Changes what predicates say of a pod.
    pub fn answer(&mut self, ix: PodIx, change: impl FnOnce(&mut Answers)) {
        let state = self.pods.get_mut(ix);
        if state.answers == NONE {
            state.answers = self.answers.insert(Answers::default());
        }
        let answers = self.answers.get_mut(state.answers);
        change(answers);
        if *answers == *NOTHING {
            self.answers.remove(state.answers);
            state.answers = NONE;
        }
    }

    pub fn exists(&self, ix: PodIx) -> bool {
        self.pods.find(ix).is_some()
    }

    pub fn find(&self, namespace: NsId, name: &str) -> Option<PodIx> {
        let found = self.by_name.find(hash_name(namespace, name), |ix| {
            let state = self.get(*ix);
            state.namespace == namespace && *state.name == *name
        });
        found.copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (PodIx, &PodState)> {
        self.pods.iter()
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn labels(&self, pod: &PodState) -> LabelsView<'_> {
        self.interner.labels(pod.facts.labels)
    }

    /// Names, protocols and numbers of a pod's ports that have names.
    pub fn ports(&self, pod: &PodState) -> impl Iterator<Item = (&str, u8, u16)> {
        self.interner.ports(pod.facts.ports)
    }

    /// The addresses that a pod claims.
    pub fn ips(&self, ix: PodIx) -> impl Iterator<Item = IpAddr> {
        self.addresses_of(ix).iter().map(|at| self.address(*at).ip)
    }

    fn addresses_of(&self, ix: PodIx) -> &[AddressIx] {
        if let Some(all) = self.more_addresses.get(&ix) {
            return all;
        }
        let addresses = &self.get(ix).addresses;
        let count = addresses.iter().take_while(|at| **at != NONE).count();
        &addresses[..count]
    }

    /// What an object says; its labels and ports are held once more.
    fn facts(&mut self, pod: &Pod, node: NodeId) -> Facts {
        Facts {
            node,
            labels: self.interner.hold_labels(pod.meta.labels.iter()),
            ports: self.interner.hold_ports(&pod.ports),
            created: moment(&pod.meta.created),
        }
    }

    fn release(&mut self, facts: Facts) {
        self.interner.release_labels(facts.labels);
        self.interner.release_ports(facts.ports);
    }

    /// Adds a pod that isn't there. Its place in the namespace's list is the caller's business.
    pub fn insert(&mut self, pod: &Pod, namespace: NsId, node: NodeId) -> PodIx {
        let name: Box<str> = pod.meta.name.as_str().into();
        let hash = hash_name(namespace, &name);
        let facts = self.facts(pod, node);
        let addresses = [NONE; 2];
        let (state, answers, dirty, touched) = (State::of(pod), NONE, false, false);
        let pod_state = PodState { name, namespace, at: 0, facts, state, addresses, answers, dirty, touched };
        let ix = self.pods.insert(pod_state);
        let Pods { by_name, pods, .. } = self;
        by_name.insert_unique(hash, ix, |ix| hash_name(pods.get(*ix).namespace, &pods.get(*ix).name));
        self.claim(ix, &pod.ips);
        self.mark(ix);
        ix
    }

    /// Replaces what is known of a pod by what a newer object says.
    pub fn replace(&mut self, ix: PodIx, pod: &Pod, node: NodeId) {
        let facts = self.facts(pod, node);
        let state = State::of(pod);
        let known = self.get_mut(ix);
        let before = std::mem::replace(&mut known.facts, facts);
        let is_same = (before, known.state) == (facts, state);
        known.state = state;
        self.release(before);
        let claims: &[IpAddr] = if state == State::Idle { &[] } else { &pod.ips };
        if is_same && self.ips(ix).eq(each_once(claims)) {
            return;
        }
        self.unclaim(ix);
        self.claim(ix, &pod.ips);
        self.mark(ix);
    }

    /// Forgets a pod, which must have left its set.
    pub fn remove(&mut self, ix: PodIx) -> PodState {
        self.unclaim(ix);
        let answers = self.get(ix).answers;
        if answers != NONE {
            self.answers.remove(answers);
        }
        let state = self.pods.remove(ix).expect("a pod in use");
        if let Ok(entry) =
            self.by_name.find_entry(hash_name(state.namespace, &state.name), |found| *found == ix)
        {
            entry.remove();
        }
        self.release(state.facts);
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
        for (ix, address) in self.addresses.iter_mut() {
            if !address.listed && which(address.ip) {
                address.listed = true;
                self.listed.push(ix);
            }
        }
    }

    /// As [`Pods::touch_addresses`], for one address; nothing happens when no pod has it.
    pub fn touch_address(&mut self, ip: IpAddr) {
        let Some(ix) = self.find_ip(ip) else { return };
        let address = self.address_mut(ix);
        if !address.listed {
            address.listed = true;
            self.listed.push(ix);
        }
    }

    /// The addresses whose identity must be looked at again, each once, with their owners elected.
    pub fn take_touched(&mut self, namespaces: &Namespaces) -> Vec<AddressIx> {
        let mut listed = std::mem::take(&mut self.listed);
        for pod in std::mem::take(&mut self.touched) {
            if !self.exists(pod) {
                continue;
            }
            self.get_mut(pod).touched = false;
            let Pods { pods, addresses, more_addresses, .. } = self;
            let of_pod: &[AddressIx] = match more_addresses.get(&pod) {
                Some(all) => all,
                None => &pods.get(pod).addresses,
            };
            for at in of_pod.iter().copied().filter(|at| *at != NONE) {
                let address = addresses.get_mut(at);
                if !std::mem::replace(&mut address.listed, true) {
                    listed.push(at);
                }
            }
        }
        for ix in &listed {
            self.elect_owner(*ix, namespaces);
        }
        listed
    }

    pub fn address(&self, ix: AddressIx) -> &Address {
        self.addresses.get(ix)
    }

    pub fn address_mut(&mut self, ix: AddressIx) -> &mut Address {
        self.addresses.get_mut(ix)
    }

    fn find_ip(&self, ip: IpAddr) -> Option<AddressIx> {
        self.by_ip.find(hash_ip(ip), |ix| self.address(*ix).ip == ip).copied()
    }

    pub fn find_address(&self, ip: IpAddr) -> Option<&Address> {
        self.find_ip(ip).map(|ix| self.address(ix))
    }

    /// How many addresses came or went since this was last asked.
    pub fn take_shifted(&mut self) -> usize {
        std::mem::take(&mut self.shifted)
    }

    pub fn count_addresses(&self) -> usize {
        self.by_ip.len()
    }

    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter().map(|(_, address)| address)
    }

    /// Forgets an address that no pod claims.
    pub fn forget_address(&mut self, ix: AddressIx) {
        let Some(address) = self.addresses.remove(ix) else { return };
        if let Ok(entry) = self.by_ip.find_entry(hash_ip(address.ip), |found| *found == ix) {
            entry.remove();
        }
        self.shifted += 1;
    }

    /// The place of an address, which is there from now on.
    fn place(&mut self, ip: IpAddr) -> AddressIx {
        if let Some(ix) = self.find_ip(ip) {
            return ix;
        }
        self.shifted += 1;
        let address = Address { ip, listed: false, owner: NONE, class: 0, told: Told::default() };
        let ix = self.addresses.insert(address);
        let Pods { by_ip, addresses, .. } = self;
        by_ip.insert_unique(hash_ip(ip), ix, |ix| hash_ip(addresses.get(*ix).ip));
        ix
    }

    /// Has a pod claim its addresses, if it is eligible.
    fn claim(&mut self, ix: PodIx, ips: &[IpAddr]) {
        if !self.get(ix).eligible() {
            return;
        }
        let mut places = [NONE; 2];
        for (count, ip) in each_once(ips).enumerate() {
            let at = self.place(ip);
            match count {
                0 | 1 => places[count] = at,
                2 => _ = self.more_addresses.insert(ix, vec![places[0], places[1], at]),
                _ => self.more_addresses.entry(ix).or_default().push(at),
            }
            let address = self.addresses.get_mut(at);
            if address.owner == NONE {
                address.owner = ix;
            } else {
                self.rivals.entry(at).or_insert_with(|| vec![address.owner]).push(ix);
            }
        }
        self.get_mut(ix).addresses = places;
    }

    fn unclaim(&mut self, ix: PodIx) {
        let places: Vec<AddressIx> = self.addresses_of(ix).to_vec();
        for at in places {
            let address = self.addresses.get_mut(at);
            match self.rivals.get_mut(&at) {
                Some(rivals) => {
                    rivals.retain(|rival| *rival != ix);
                    address.owner = rivals[0];
                    if rivals.len() == 1 {
                        self.rivals.remove(&at);
                    }
                }
                None => address.owner = NONE,
            }
            if !std::mem::replace(&mut address.listed, true) {
                self.listed.push(at);
            }
        }
        self.more_addresses.remove(&ix);
        self.get_mut(ix).addresses = [NONE; 2];
    }

    /// Finds the pod that owns an address: the running, newest one; names break the last tie, so that
    /// the order of events doesn't.
    fn elect_owner(&mut self, ix: AddressIx, namespaces: &Namespaces) {
        if let Some(rivals) = self.rivals.get_mut(&ix) {
            let rank = |ix: &PodIx| {
                let pod = self.pods.get(*ix);
                (pod.state, pod.facts.created, namespaces.name(pod.namespace), &pod.name)
            };
            let first = (0..rivals.len()).max_by(|a, b| rank(&rivals[*a]).cmp(&rank(&rivals[*b])));
            rivals.swap(0, first.unwrap_or_default());
            self.addresses.get_mut(ix).owner = rivals[0];
        }
        self.addresses.get_mut(ix).listed = false;
    }
}

/// Addresses that come more than once count once.
fn each_once(ips: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    ips.iter().enumerate().filter(|(at, ip)| !ips[..*at].contains(ip)).map(|(_, ip)| *ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_moments_are_greater() {
        let order = [
            "",
            "1999-01-01T00:00:00Z",
            "2000-01-01T00:00:01Z",
            "2026-01-31T23:59:59Z",
            "2026-02-01T00:00:00Z",
            "2026-11-23T11:05:04Z",
            "2026-11-23T11:05:05Z",
            "2129-12-31T23:59:59Z",
        ];
        assert!(order.map(moment).is_sorted_by(|a, b| a < b), "{:?}", order.map(moment));
    }

    #[test]
    fn a_remote_pods_record_stays_small() {
        assert!(size_of::<Option<PodState>>() <= 56, "{}", size_of::<Option<PodState>>());
        assert!(size_of::<Option<Address>>() <= 44, "{}", size_of::<Option<Address>>());
    }
}
