//! The engine's state and what changes it.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashTable;
use ipnet::IpNet;
use podgate_api::{ClusterPolicy, LabelSelector, NetworkPolicy, Object, ObjectKey, Pod};
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use crate::blocks::Blocks;
use crate::classes::Classes;
use crate::domains::Domains;
use crate::fingerprint;
use crate::namespaces::Namespaces;
use crate::nodes::{NO_NODE, Nodes};
use crate::parallel::map;
use crate::pods::{PodIx, Pods, Told};
use crate::policies::{self, CompiledPolicy, Ids, Policies, PolicyKey, PolicyObject};
use crate::port_names::PortNames;
use crate::predicates::{Ids as PredIds, NameId, NsId, NsSelId, PolicyIx, PredId, Predicates, SetId};
use crate::program::{Program, Programs};
use crate::programs::{Deciders, Facts, NamedPorts, ProgramKey, ProgramState};
use crate::tables::{ClassId, Decider, DeciderId, Direction, Identity, ProgramId};

/// Choices that the API's text leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Let ICMP and ICMPv6 echo requests through to isolated pods. Off by default: rules without ports
    /// allow them, nothing else does.
    pub icmp_echo: bool,
}

/// A cluster's objects, compiled to classes and programs.
///
/// Objects come in through [`Cluster::apply`] and [`Cluster::delete`], in any order;
/// [`Cluster::commit`] brings the tables up to date and tells what changed in them. Between commits
/// the tables are those of the last one.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) settings: Settings,
    pub(crate) namespaces: Namespaces,
    pub(crate) pods: Pods,
    pub(crate) nodes: Nodes,
    pub(crate) policies: Policies,
    pub(crate) predicates: Predicates,
    pub(crate) names: PortNames,
    pub(crate) blocks: Blocks,
    pub(crate) domains: Domains,
    pub(crate) classes: Classes,
    pub(crate) sets: SubjectSets,
    pub(crate) programs: ProgramTable,
    pub(crate) deciders: Deciders,
    /// How many prefixes, and pods' addresses, came or went since the usual answers were last looked at.
    pub(crate) shifted: [usize; 2],
}

/// Sets of pods that the same subject predicates select and whose named ports agree.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubjectSets {
    pub slots: Vec<Option<SubjectSet>>,
    free: Vec<SetId>,
    /// Slots by key.
    by_key: HashTable<SetId>,
}

#[derive(Clone, Debug)]
pub(crate) struct SubjectSet {
    /// The predicates that select its pods, sorted.
    pub subjects: PredIds,
    /// What its pods call by the names that ingress rules ask for.
    pub named: NamedPorts,
    /// Of the two above.
    hash: u64,
    pub pods: SmallVec<[PodIx; 4]>,
    pub egress: Option<ProgramId>,
    pub ingress: Option<ProgramId>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ProgramTable {
    /// Boxed: the threads that build them also take the memory for them.
    pub states: FxHashMap<ProgramId, Box<ProgramState>>,
    pub by_key: FxHashMap<Arc<ProgramKey>, ProgramId>,
    /// Programs by the port names that their egress rules ask for.
    pub by_name: FxHashMap<(NameId, u8), Vec<ProgramId>>,
    /// Programs that lost a use since they were last looked at.
    pub released: Vec<ProgramId>,
    pub last: u32,
}

impl Cluster {
    /// A cluster without objects.
    pub fn new(settings: Settings) -> Self {
        Cluster {
            settings,
            namespaces: Namespaces::new(),
            pods: Pods::default(),
            nodes: Nodes::default(),
            policies: Policies::default(),
            predicates: Predicates::new(),
            names: PortNames::default(),
            blocks: Blocks::new(),
            domains: Domains::default(),
            classes: Classes::default(),
            sets: SubjectSets::default(),
            programs: ProgramTable::default(),
            deciders: Deciders::default(),
            shifted: [0; 2],
        }
    }

    /// Adds an object, or replaces the one of the same kind, namespace and name. Workloads must be expanded to
    /// pods first; they and whatever else decides nothing are ignored.
    pub fn apply(&mut self, object: Object) {
        match object {
            Object::Namespace(namespace) => {
                self.namespaces.declare(&namespace.meta.name, &namespace.meta.labels);
            }
            Object::Node(node) => self.nodes.apply(node),
            Object::Pod(pod) => self.apply_pod(&pod),
            Object::NetworkPolicy(policy) => {
                let version = fingerprint::version(&policy);
                self.sides().1.apply(PolicyObject::Namespaced(policy), version);
            }
            Object::ClusterPolicy(policy) => {
                let version = fingerprint::cluster_scoped_version(&policy);
                self.sides().1.apply(PolicyObject::ClusterScoped(Box::new(policy)), version);
            }
            Object::Service(_)
            | Object::Workload(_)
            | Object::Ingress(_)
            | Object::Gateway(_)
            | Object::Route(_)
            | Object::ConnectivityTest(_) => {}
        }
    }

    /// Removes an object; nothing happens when there is none.
    pub fn delete(&mut self, key: &ObjectKey) {
        match key.kind {
            "Namespace" => self.namespaces.undeclare(&key.name),
            "Node" => self.nodes.delete(&key.name),
            "Pod" => self.delete_pod(&key.namespace, &key.name),
            kind => {
                let key = PolicyKey { kind, namespace: &key.namespace, name: &key.name };
                if let Some(ix) = self.policies.unname(key) {
                    self.sides().1.remove(ix);
                }
            }
        }
    }

    /// Applies many objects, in order: what [`Cluster::apply`] does for each, with pods and policies on
    /// two threads.
    pub fn apply_all(&mut self, objects: Vec<Object>) {
        self.apply_with_pods(objects, &[]);
    }

    /// As [`Cluster::apply_all`], with pods that are needed elsewhere after all others.
    pub fn apply_with_pods(&mut self, objects: Vec<Object>, more_pods: &[Pod]) {
        let count = |wanted: fn(&Object) -> bool| objects.iter().filter(|object| wanted(object)).count();
        let mut pods = Vec::with_capacity(count(|object| matches!(object, Object::Pod(_))));
        let mut policies = Vec::with_capacity(count(|object| matches!(object, Object::NetworkPolicy(_))));
        for object in objects {
            match object {
                Object::Pod(pod) => pods.push(pod),
                Object::NetworkPolicy(policy) => policies.push(policy),
                other => self.apply(other),
            }
        }
        self.pods.reserve(pods.len() + more_pods.len());
        self.policies.slots.reserve(policies.len());
        // Most policies ask for their subjects and for one group of peers.
        self.predicates.reserve(policies.len() * 2);
        self.deciders.reserve(policies.len() * 2);
        let all_pods: Vec<&Pod> = pods.iter().chain(more_pods).collect();
        let known = map(&all_pods, |pod| self.namespaces.find(&pod.meta.namespace));
        let namespaces: Vec<NsId> = known
            .into_iter()
            .zip(&all_pods)
            .map(|(known, pod)| known.unwrap_or_else(|| self.namespaces.mention(&pod.meta.namespace)))
            .collect();
        let versions = map(&policies, fingerprint::version);
        let (mut pod_side, mut policy_side) = self.sides();
        let (placed, ()) = rayon::join(
            || {
                let pods = namespaces.into_iter().zip(all_pods);
                pods.filter_map(|(namespace, pod)| pod_side.apply(namespace, pod)).collect::<Vec<_>>()
            },
            || {
                let policies = policies.into_iter().zip(versions);
                policies.for_each(|(policy, version)| {
                    policy_side.apply(PolicyObject::Namespaced(policy), version)
                });
            },
        );
        for (namespace, ix) in placed {
            self.place_pod(namespace, ix);
        }
    }

    fn sides(&mut self) -> (PodSide<'_>, PolicySide<'_>) {
        let Cluster { namespaces, pods, nodes, policies, predicates, names, deciders, .. } = self;
        (PodSide { pods, nodes }, PolicySide { namespaces, policies, predicates, names, deciders })
    }

    /// Adds a pod, or replaces the one of the same namespace and name: what [`Cluster::apply`] does, for a pod that
    /// is needed elsewhere.
    pub fn apply_pod(&mut self, pod: &Pod) {
        let namespace = self.namespaces.mention(&pod.meta.namespace);
        if let Some((namespace, ix)) = self.sides().0.apply(namespace, pod) {
            self.place_pod(namespace, ix);
        }
    }

    /// Adds a new pod to its namespace's list.
    fn place_pod(&mut self, namespace: NsId, ix: PodIx) {
        let pods = &mut self.namespaces.get_mut(namespace).pods;
        self.pods.get_mut(ix).at = pods.len() as u32;
        pods.push(ix);
    }

    fn delete_pod(&mut self, namespace: &str, name: &str) {
        let Some(namespace) = self.namespaces.find(namespace) else { return };
        let Some(ix) = self.pods.find(namespace, name) else { return };
        self.leave_set(ix);
        for predicate in &self.pods.answers(ix).named {
            self.predicates.release(*predicate);
        }
        let state = self.pods.remove(ix);
        let pods = &mut self.namespaces.get_mut(namespace).pods;
        pods.swap_remove(state.at as usize);
        if let Some(moved) = pods.get(state.at as usize) {
            self.pods.get_mut(*moved).at = state.at;
        }
        self.namespaces.unmention(namespace);
    }

    /// What a decider stands for; also told for a while after the policy is gone or changed, because
    /// events made under it may still be on their way.
    pub fn decider(&self, id: DeciderId) -> Option<Decider> {
        self.deciders.get(id)
    }

    /// A number for what the policies that it knows say together: equal on every node and after a restart, for
    /// the same policies. Never 0.
    pub fn policy_version(&self) -> u64 {
        self.policies.sum.max(1)
    }

    /// The choices it was made with.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The number of classes, pods, programs and policies in the tables.
    pub fn size(&self) -> Size {
        Size {
            classes: self.classes.len(),
            pods: self.pods.len(),
            programs: self.programs.states.len(),
            policies: self.policies.len(),
        }
    }

    /// All NetworkPolicies, in no particular order.
    pub fn policies(&self) -> impl Iterator<Item = &NetworkPolicy> {
        self.policies.iter().filter_map(|policy| match &policy.object {
            PolicyObject::Namespaced(policy) => Some(policy),
            PolicyObject::ClusterScoped(_) => None,
        })
    }

    /// All cluster-scoped policies, in no particular order.
    pub fn cluster_policies(&self) -> impl Iterator<Item = &ClusterPolicy> {
        self.policies.iter().filter_map(|policy| match &policy.object {
            PolicyObject::Namespaced(_) => None,
            PolicyObject::ClusterScoped(policy) => Some(&**policy),
        })
    }

    /// What a pod's address is to policy, by the tables of the last [`Cluster::commit`]; `None` for an
    /// address that is no pod's.
    pub fn identity(&self, ip: IpAddr) -> Option<Identity> {
        self.told(ip).map(|told| self.identity_of(told))
    }

    /// The class of any address, by the tables of the last [`Cluster::commit`].
    pub fn class_of(&self, ip: IpAddr) -> Option<ClassId> {
        match self.told(ip) {
            Some(told) => Some(told.class()),
            None => self.blocks.prefix_of(ip).class,
        }
    }

    /// The classes of addresses that are no pod's, by longest matching prefix, in no particular order.
    pub fn prefixes(&self) -> impl Iterator<Item = (IpNet, ClassId)> {
        self.blocks.iter().filter_map(|(net, prefix)| Some((net, prefix.class?)))
    }

    pub(crate) fn told(&self, ip: IpAddr) -> Option<Told> {
        self.pods.find_address(ip)?.told()
    }

    pub(crate) fn identity_of(&self, told: Told) -> Identity {
        Identity {
            class: told.class(),
            egress: told.egress(),
            ingress: told.ingress(),
            node: self.nodes.name(told.node()).cloned(),
        }
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            policies: &self.policies.slots,
            predicates: &self.predicates,
            classes: &self.classes,
            icmp_echo: self.settings.icmp_echo,
        }
    }

    /// Takes a pod out of its set of subjects.
    pub(crate) fn leave_set(&mut self, ix: PodIx) {
        let Some((set, at)) = self.pods.answers(ix).set else { return };
        self.pods.answer(ix, |answers| answers.set = None);
        let pods = &mut self.sets.get_mut(set).pods;
        pods.swap_remove(at as usize);
        if let Some(moved) = pods.get(at as usize).copied() {
            self.pods.answer(moved, |answers| answers.set = Some((set, at)));
        }
        if self.sets.get(set).pods.is_empty() {
            self.drop_set(set);
        }
    }

    fn drop_set(&mut self, id: SetId) {
        let Some(set) = self.sets.slots[id as usize].take() else { return };
        for predicate in &set.subjects {
            self.predicates.get_mut(*predicate).sets.retain(|known| *known != id);
        }
        for program in [set.egress, set.ingress].into_iter().flatten() {
            self.programs.release(program);
        }
        self.sets.forget(id, &set);
    }
}

/// How much the tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Classes of addresses.
    pub classes: usize,
    /// Pods, with those that take no part in policy.
    pub pods: usize,
    /// Programs, both directions.
    pub programs: usize,
    /// Policies.
    pub policies: usize,
}

impl Programs for Cluster {
    fn program(&self, id: ProgramId) -> Option<&Program> {
        self.programs.states.get(&id).map(|state| &state.program)
    }
}

/// What applying pods changes.
struct PodSide<'a> {
    pods: &'a mut Pods,
    nodes: &'a mut Nodes,
}

impl PodSide<'_> {
    /// Adds or replaces a pod. A new one comes back: its namespace must list it.
    fn apply(&mut self, namespace: NsId, pod: &Pod) -> Option<(NsId, PodIx)> {
        let node = pod.node.as_deref().map_or(NO_NODE, |name| self.nodes.id(name));
        match self.pods.find(namespace, &pod.meta.name) {
            Some(ix) => {
                self.pods.replace(ix, pod, node);
                None
            }
            None => Some((namespace, self.pods.insert(pod, namespace, node))),
        }
    }
}

/// What applying policies changes.
struct PolicySide<'a> {
    namespaces: &'a mut Namespaces,
    policies: &'a mut Policies,
    predicates: &'a mut Predicates,
    names: &'a mut PortNames,
    deciders: &'a mut Deciders,
}

impl PolicySide<'_> {
    /// Adds or replaces a policy; `version` is its fingerprint.
    fn apply(&mut self, policy: PolicyObject, version: u64) {
        let name = self.policies.hash(policy.key());
        let old = self.policies.find(name, policy.key());
        if let Some(ix) = old
            && self.policies.get(ix).version == version
        {
            self.update_text(ix, policy);
            return;
        }
        // The new version first: what both use stays in use.
        let policy = Arc::new(match policy {
            PolicyObject::Namespaced(policy) => {
                let namespace = self.namespaces.mention(&policy.meta.namespace);
                self.namespaces.get_mut(namespace).policies += 1;
                policies::compile(policy, version, namespace, self)
            }
            PolicyObject::ClusterScoped(policy) => policies::compile_cluster_scoped(*policy, version, self),
        });
        self.deciders.add_policy(&policy);
        for direction in [Direction::Egress, Direction::Ingress] {
            for rule in policy.rules(direction).unwrap_or_default() {
                rule.named.iter().for_each(|(name, protocol)| self.names.hold(*name, *protocol, direction));
            }
        }
        let subject = policy.subject;
        let ix = self.policies.insert(policy, name, old);
        self.predicates.get_mut(subject).policies.push(ix);
        self.policies.changed_subjects.insert(subject);
        if let Some(old) = old {
            self.remove(old);
        }
    }

    /// Takes over what a new text of a policy says beside the rules: labels, places in files.
    fn update_text(&mut self, ix: PolicyIx, policy: PolicyObject) {
        let old = self.policies.get(ix).clone();
        if old.object == policy {
            return;
        }
        let new = Arc::new(CompiledPolicy { object: policy, ..(*old).clone() });
        self.deciders.add_policy(&new);
        self.deciders.remove_policy(&old);
        self.policies.slots[ix as usize] = Some(new);
    }

    fn remove(&mut self, ix: PolicyIx) {
        let policy = self.policies.get(ix).clone();
        self.deciders.remove_policy(&policy);
        let policies = &mut self.predicates.get_mut(policy.subject).policies;
        policies.retain(|other| *other != ix);
        self.policies.changed_subjects.insert(policy.subject);
        for predicate in policy.held.iter().chain([&policy.subject]) {
            self.predicates.release(*predicate);
        }
        for selector in &policy.held_namespaces {
            self.namespaces.release_selector(*selector);
        }
        for direction in [Direction::Egress, Direction::Ingress] {
            for rule in policy.rules(direction).unwrap_or_default() {
                rule.named
                    .iter()
                    .for_each(|(name, protocol)| self.names.release(*name, *protocol, direction));
            }
        }
        if let Some(namespace) = policy.namespace {
            self.namespaces.get_mut(namespace).policies -= 1;
            self.namespaces.unmention(namespace);
        }
        self.policies.remove(ix);
    }
}

impl Ids for PolicySide<'_> {
    fn predicates(&mut self) -> &mut Predicates {
        self.predicates
    }

    fn namespace_selector(&mut self, selector: &LabelSelector) -> NsSelId {
        self.namespaces.hold_selector(selector)
    }

    fn port_name(&mut self, name: &str) -> NameId {
        self.names.id(name)
    }
}

impl SubjectSets {
    pub fn find(&self, subjects: &[PredId], named: &NamedPorts) -> Option<SetId> {
        let same = |id: &SetId| {
            let set = self.get(*id);
            *set.subjects == *subjects && set.named == *named
        };
        self.by_key.find(FxBuildHasher.hash_one((subjects, named)), same).copied()
    }

    pub fn insert(&mut self, subjects: PredIds, named: NamedPorts) -> SetId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as SetId
        });
        let hash = FxBuildHasher.hash_one((&subjects[..], &named));
        self.slots[id as usize] =
            Some(SubjectSet { subjects, named, hash, pods: SmallVec::new(), egress: None, ingress: None });
        let SubjectSets { slots, by_key, .. } = self;
        by_key.insert_unique(hash, id, |id| slots[*id as usize].as_ref().expect("a set in use").hash);
        id
    }

    fn forget(&mut self, id: SetId, set: &SubjectSet) {
        if let Ok(entry) = self.by_key.find_entry(set.hash, |found| *found == id) {
            entry.remove();
        }
        self.free.push(id);
    }

    pub fn get(&self, id: SetId) -> &SubjectSet {
        self.slots[id as usize].as_ref().expect("a set in use")
    }

    pub fn get_mut(&mut self, id: SetId) -> &mut SubjectSet {
        self.slots[id as usize].as_mut().expect("a set in use")
    }
}

impl ProgramTable {
    /// Gives up one use; the commit removes programs without uses.
    pub fn release(&mut self, id: ProgramId) {
        if let Some(state) = self.states.get_mut(&id) {
            state.refs -= 1;
            self.released.push(id);
        }
    }
}
