//! Bringing the tables up to date with the objects, touching only what changed.
//!
//! ```text
//! namespaces, blocks -> answers of predicates -> sets of subjects -> programs in use
//!                                            \-> classes ---------> rows of programs -> Delta
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::blocks::{BlockChanges, roots};
use crate::classes::{ClassKey, Move};
use crate::cluster::Cluster;
use crate::namespaces::Namespaces;
use crate::pods::{AddressIx, PodIx, PodState, Told};
use crate::predicates::{IS_POD, Ids, PolicyIx, PredId, Predicates, Question, Scope, SetId};
use crate::programs::{Facts, NamedPorts, ProgramKey, ProgramState};
use crate::tables::{ClassId, Delta, Direction, Identity, ProgramId};

/// An address of a pod, or a prefix of addresses that no pod has.
#[derive(Clone, Copy, Debug)]
enum Member {
    Address(AddressIx),
    Prefix(IpNet),
}

/// A pod's answers to all predicates.
struct Answers {
    subjects: Ids,
    peers: Ids,
}

/// Below this many pods, threads cost more than they save.
const PARALLEL: usize = 2_000;

/// From this many new selectors of one scope on, asking everything of its pods once, through the index,
/// beats asking each selector of each pod.
const MANY_SELECTORS: u32 = 16;

impl Cluster {
    /// Brings the tables up to date with all objects applied and deleted since the last commit, and
    /// tells what changed.
    pub fn commit(&mut self) -> Delta {
        let mut delta = Delta::default();
        let blocks = self.refresh_blocks(&mut delta);
        self.mark_pods_to_ask();
        let mut regroup = self.forget_dead_subjects();
        regroup.extend(self.answer_fresh_predicates());
        regroup.extend(self.ask_dirty_pods());
        let fresh_programs = self.regroup_subjects(regroup);
        self.remove_unused_programs(&mut delta);
        self.forget_dead_peers();
        self.touch_inside(&blocks.nets);
        let touched = self.pods.take_touched();
        let fresh_classes = self.reclassify(&touched, &blocks, &mut delta);
        self.remove_empty_classes(&mut delta);
        self.forget_dead_names();
        self.add_rows(&fresh_classes, &mut delta);
        self.build_programs(fresh_programs, &mut delta);
        self.tell_addresses(&touched, &mut delta);
        self.bury();
        delta
    }

    /// The whole state as additions: what a datapath that knows nothing has to be told.
    pub fn whole(&self) -> Delta {
        let mut delta = Delta::default();
        for (net, prefix) in self.blocks.iter() {
            delta.prefixes.push((net, prefix.class));
        }
        for address in self.pods.addresses() {
            if let Some(told) = &address.told {
                delta.addresses.push((address.ip, Some(told.identity())));
            }
        }
        delta.programs.extend(self.programs.states.keys());
        delta.addresses.sort_unstable_by_key(|(ip, _)| *ip);
        delta.programs.sort_unstable();
        delta
    }

    fn refresh_blocks(&mut self, delta: &mut Delta) -> BlockChanges {
        let mut gone = Vec::new();
        let fresh: FxHashSet<PredId> = self.predicates.fresh.iter().copied().collect();
        for id in &self.predicates.dead {
            if let Question::Block(cidr, except) = &self.predicates.get(*id).question
                && !fresh.contains(id)
            {
                self.blocks.remove(*id, *cidr, except, &mut gone);
            }
        }
        for id in &self.predicates.fresh {
            if let Question::Block(cidr, except) = &self.predicates.get(*id).question
                && self.predicates.in_use(*id)
            {
                self.blocks.add(*id, *cidr, except);
            }
        }
        // A prefix may have gone and come back within this commit.
        let changes = self.blocks.refresh(&self.predicates, gone);
        for (net, class) in &changes.gone {
            self.classes.leave(*class);
            if self.blocks.get(net).is_none() {
                delta.prefixes.push((*net, None));
            }
        }
        changes
    }

    /// Marks the pods for which a change of a namespace or of a port name changes answers.
    fn mark_pods_to_ask(&mut self) {
        for id in self.namespaces.refresh() {
            for at in 0..self.namespaces.get(id).pods.len() {
                let pod = self.namespaces.get(id).pods[at];
                self.pods.mark(pod);
            }
        }
        let changed = std::mem::take(&mut self.names.changed);
        if !changed.is_empty() {
            let changed: FxHashSet<_> = changed.into_iter().collect();
            let calls_it = |state: &PodState| {
                let mut names = state.pod.ports.iter().filter_map(|port| self.names.find(&port.name));
                names.any(|name| changed.contains(&name))
            };
            let pods: Vec<PodIx> =
                self.pods.iter().filter(|(_, state)| calls_it(state)).map(|(ix, _)| ix).collect();
            pods.into_iter().for_each(|pod| self.pods.mark(pod));
        }
    }

    /// Asks the new predicates of all pods in their scope that aren't asked everything anyway. Returns
    /// the pods that new subjects select.
    fn answer_fresh_predicates(&mut self) -> Vec<PodIx> {
        let mut regroup = Vec::new();
        let mut scopes: FxHashMap<Scope, u32> = FxHashMap::default();
        for id in &self.predicates.fresh {
            if let Question::Subject(scope, _) | Question::Peer(scope, _) = self.predicates.get(*id).question
            {
                *scopes.entry(scope).or_default() += 1;
            }
        }
        scopes.retain(|_, selectors| *selectors >= MANY_SELECTORS);
        for scope in scopes.keys() {
            for pod in pods_in(&self.namespaces, *scope) {
                self.pods.mark(pod);
            }
        }
        for at in 0..self.predicates.fresh.len() {
            let id = self.predicates.fresh[at];
            let (scope, selector, subject) = match &self.predicates.get(id).question {
                Question::Subject(scope, selector) => (*scope, selector.clone(), true),
                Question::Peer(scope, selector) => (*scope, selector.clone(), false),
                _ => continue,
            };
            if !self.predicates.in_use(id) || scopes.contains_key(&scope) {
                continue;
            }
            let Cluster { namespaces, pods, .. } = self;
            let mut ask = |pod: PodIx| {
                let state = pods.get_mut(pod);
                if state.dirty || !state.eligible() || !selector.matches(&state.pod.meta.labels) {
                    return;
                }
                let answers = if subject { &mut state.subjects } else { &mut state.peers };
                insert_sorted(answers, id);
                if subject {
                    regroup.push(pod);
                } else {
                    pods.touch(pod);
                }
            };
            pods_in(namespaces, scope).for_each(&mut ask);
        }
        regroup
    }

    /// Asks everything of the pods that changed. Returns those whose subjects changed.
    fn ask_dirty_pods(&mut self) -> Vec<PodIx> {
        let mut dirty = std::mem::take(&mut self.pods.dirty);
        dirty.retain(|ix| self.pods.exists(*ix) && self.pods.get(*ix).dirty);
        dirty.sort_unstable();
        dirty.dedup();
        let Cluster { pods, predicates, namespaces, .. } = self;
        let (pods_ref, predicates, namespaces) = (&*pods, &*predicates, &*namespaces);
        let ask = |ix: &PodIx| answers(pods_ref.get(*ix), predicates, namespaces);
        let all: Vec<Answers> = if dirty.len() < PARALLEL {
            dirty.iter().map(ask).collect()
        } else {
            dirty.par_iter().map(ask).collect()
        };
        let mut regroup = Vec::new();
        for (ix, answers) in dirty.into_iter().zip(all) {
            let named = self.named_ports(ix, Direction::Egress);
            let named_subject = self.named_ports(ix, Direction::Ingress);
            let named = self.hold_named(&named);
            let state = self.pods.get_mut(ix);
            state.dirty = false;
            let released = std::mem::replace(&mut state.named, named);
            if state.subjects != answers.subjects || state.named_subject != named_subject {
                regroup.push(ix);
            }
            state.subjects = answers.subjects;
            state.named_subject = named_subject;
            state.peers = answers.peers;
            released.iter().for_each(|id| self.predicates.release(*id));
        }
        regroup
    }

    /// What the pod calls by names that rules of this direction ask for.
    fn named_ports(&self, ix: PodIx, direction: Direction) -> NamedPorts {
        let state = self.pods.get(ix);
        if self.names.is_empty() || !state.eligible() {
            return [].into();
        }
        let mut ports: Vec<_> = Vec::new();
        for port in state.pod.ports.iter().filter(|port| !port.name.is_empty()) {
            let protocol = port.protocol.number();
            if let Some(name) = self.names.find(&port.name)
                && self.names.used(name, protocol, direction)
            {
                ports.push((name, protocol, port.port));
            }
        }
        ports.sort_unstable();
        ports.dedup();
        ports.into()
    }

    fn hold_named(&mut self, ports: &NamedPorts) -> Box<[PredId]> {
        let mut held: Vec<PredId> = Vec::with_capacity(ports.len());
        for (name, protocol, number) in ports {
            let id = self.predicates.hold(Question::NamedPort(*name, *protocol, *number));
            self.classes.add_named(*name, *protocol, id);
            held.push(id);
        }
        held.sort_unstable();
        held.into()
    }

    /// Puts pods into the sets of their subjects, and gives sets whose policies changed their
    /// programs. Returns the programs that must be built.
    fn regroup_subjects(&mut self, mut pods: Vec<PodIx>) -> Vec<(ProgramId, Arc<ProgramKey>)> {
        let mut fresh = Vec::new();
        let mut affected: Vec<SetId> = Vec::new();
        for subject in &self.policies.changed_subjects {
            affected.extend(&self.predicates.get(*subject).sets);
        }
        pods.sort_unstable();
        pods.dedup();
        for ix in pods {
            if !self.pods.exists(ix) {
                continue;
            }
            self.leave_set(ix);
            self.pods.touch(ix);
            let state = self.pods.get(ix);
            if state.subjects.is_empty() {
                continue;
            }
            let set = self.sets.find(&state.subjects, &state.named_subject).unwrap_or_else(|| {
                let set = self.sets.insert(state.subjects.clone(), state.named_subject.clone());
                for predicate in &state.subjects {
                    self.predicates.get_mut(*predicate).sets.push(set);
                }
                affected.push(set);
                set
            });
            let pods = &mut self.sets.get_mut(set).pods;
            pods.push(ix);
            let at = pods.len() as u32 - 1;
            self.pods.get_mut(ix).set = Some((set, at));
        }
        affected.sort_unstable();
        affected.dedup();
        for set in affected {
            if self.sets.slots[set as usize].is_some() {
                self.choose_programs(set, &mut fresh);
            }
        }
        fresh
    }

    /// Finds or makes the two programs of a set.
    fn choose_programs(&mut self, set: SetId, fresh: &mut Vec<(ProgramId, Arc<ProgramKey>)>) {
        let (subjects, named) = (self.sets.get(set).subjects.clone(), self.sets.get(set).named.clone());
        let mut policies: Ids = Ids::new();
        for subject in &subjects {
            policies.extend_from_slice(&self.predicates.get(*subject).policies);
        }
        let order = |ix: &PolicyIx| {
            let meta = &self.policies.get(*ix).object.meta;
            (meta.namespace.as_str(), meta.name.as_str())
        };
        policies.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        let mut chosen = [Direction::Egress, Direction::Ingress].map(|direction| {
            let isolating: Ids = policies
                .iter()
                .copied()
                .filter(|ix| self.policies.get(*ix).rules(direction).is_some())
                .collect();
            if isolating.is_empty() {
                return None;
            }
            let named = match direction {
                Direction::Egress => [].into(),
                Direction::Ingress => self.named_of(&isolating, &named),
            };
            Some(ProgramKey { direction, policies: isolating, named })
        });
        let programs = [0, 1].map(|i| chosen[i].take().map(|key| self.use_program(key, fresh)));
        let [egress, ingress] = programs;
        let state = self.sets.get_mut(set);
        let old = [state.egress, state.ingress];
        (state.egress, state.ingress) = (egress, ingress);
        old.into_iter().flatten().for_each(|program| self.programs.release(program));
        if old != [egress, ingress] {
            for pod in &self.sets.get(set).pods {
                self.pods.touch(*pod);
            }
        }
    }

    /// The subjects' named ports that these policies' ingress rules ask for.
    fn named_of(&self, policies: &[PolicyIx], named: &NamedPorts) -> NamedPorts {
        if named.is_empty() {
            return [].into();
        }
        let mut asked: FxHashSet<(u32, u8)> = FxHashSet::default();
        for ix in policies {
            for rule in self.policies.get(*ix).rules(Direction::Ingress).unwrap_or_default() {
                asked.extend(&rule.named);
            }
        }
        named.iter().copied().filter(|(name, protocol, _)| asked.contains(&(*name, *protocol))).collect()
    }

    fn use_program(&mut self, key: ProgramKey, fresh: &mut Vec<(ProgramId, Arc<ProgramKey>)>) -> ProgramId {
        if let Some(id) = self.programs.by_key.get(&key) {
            let id = *id;
            match self.programs.states.get_mut(&id) {
                Some(state) => state.refs += 1,
                // To be built in this commit, once for all sets that use it.
                None => fresh.push((id, Arc::new(key))),
            }
            return id;
        }
        self.programs.last += 1;
        let id = ProgramId(self.programs.last);
        let key = Arc::new(key);
        self.programs.by_key.insert(key.clone(), id);
        fresh.push((id, key));
        id
    }

    fn remove_unused_programs(&mut self, delta: &mut Delta) {
        for id in std::mem::take(&mut self.programs.released) {
            if self.programs.states.get(&id).is_none_or(|state| state.refs > 0) {
                continue;
            }
            let Some(state) = self.programs.states.remove(&id) else { continue };
            self.programs.by_key.remove(&state.key);
            for predicate in state.predicates() {
                self.predicates.get_mut(predicate).programs.retain(|program| *program != id);
            }
            for name in state.names() {
                if let Some(programs) = self.programs.by_name.get_mut(name) {
                    programs.retain(|program| *program != id);
                    if programs.is_empty() {
                        self.programs.by_name.remove(name);
                    }
                }
            }
            self.deciders.remove_program(&state);
            delta.programs_gone.push(id);
        }
        delta.programs_gone.sort_unstable();
    }

    /// Takes subjects that went out of use from their pods, and returns those.
    fn forget_dead_subjects(&mut self) -> Vec<PodIx> {
        let mut regroup = Vec::new();
        for id in &self.predicates.dead {
            let predicate = self.predicates.get(*id);
            if !matches!(predicate.question, Question::Subject(..)) {
                continue;
            }
            for set in &predicate.sets {
                for pod in &self.sets.get(*set).pods {
                    remove_sorted(&mut self.pods.get_mut(*pod).subjects, *id);
                    regroup.push(*pod);
                }
            }
        }
        regroup
    }

    /// Takes peers and blocks that went out of use out of all keys and answers.
    fn forget_dead_peers(&mut self) {
        for at in 0..self.predicates.dead.len() {
            let id = self.predicates.dead[at];
            let scope = match self.predicates.get(id).question {
                Question::Peer(scope, _) => Some(scope),
                Question::Block(..) => None,
                _ => continue,
            };
            self.classes.forget(id, &mut self.predicates);
            let Cluster { namespaces, pods, .. } = self;
            let mut forget = |pod: PodIx| remove_sorted(&mut pods.get_mut(pod).peers, id);
            if let Some(scope) = scope {
                pods_in(namespaces, scope).for_each(&mut forget);
            }
        }
    }

    /// Forgets named ports that no pod has any more. After their classes: those must still find the
    /// programs that asked for the name.
    fn forget_dead_names(&mut self) {
        for at in 0..self.predicates.dead.len() {
            let id = self.predicates.dead[at];
            if let Question::NamedPort(name, protocol, _) = self.predicates.get(id).question {
                self.classes.forget(id, &mut self.predicates);
                self.classes.remove_named(name, protocol, id);
            }
        }
    }

    /// Puts addresses and prefixes whose answers changed into their classes. Returns the new classes.
    fn reclassify(
        &mut self,
        touched: &[AddressIx],
        blocks: &BlockChanges,
        delta: &mut Delta,
    ) -> Vec<ClassId> {
        let mut moves: Vec<Move<Member>> = Vec::with_capacity(touched.len() + blocks.touched.len());
        for net in &blocks.touched {
            let Some(prefix) = self.blocks.get(net) else { continue };
            let key = ClassKey::from_slice(&prefix.blocks);
            moves.push(Move { member: Member::Prefix(*net), from: prefix.class, key });
        }
        for ix in touched {
            let address = self.pods.address(*ix);
            match address.owner {
                Some(owner) => {
                    let key = self.address_key(address.ip, owner);
                    moves.push(Move { member: Member::Address(*ix), from: address.class, key });
                }
                None => {
                    if let Some(class) = self.pods.address_mut(*ix).class.take() {
                        self.classes.leave(class);
                    }
                }
            }
        }
        let Cluster { classes, predicates, pods, blocks, .. } = self;
        classes.assign(moves, predicates, |member, class| match member {
            Member::Address(ix) => pods.address_mut(ix).class = Some(class),
            Member::Prefix(net) => {
                let told = blocks.get(&net).and_then(|prefix| prefix.class);
                if told != Some(class) {
                    blocks.set_class(&net, class);
                    delta.prefixes.push((net, Some(class)));
                }
            }
        })
    }

    fn touch_inside(&mut self, nets: &[IpNet]) {
        // The roots come as changed at the very start, when no block can hold any pod's address.
        let nets: Vec<&IpNet> = nets
            .iter()
            .filter(|net| !(roots().contains(net) && self.blocks.get(net).is_some_and(|p| p.class.is_none())))
            .collect();
        if !nets.is_empty() {
            self.pods.touch_inside(&nets);
        }
    }

    /// The predicates that an address of this pod answers with yes.
    fn address_key(&self, ip: IpAddr, owner: PodIx) -> ClassKey {
        let state = self.pods.get(owner);
        let mut key = ClassKey::from_slice(&[IS_POD]);
        key.extend_from_slice(&state.peers);
        let sorted = state.named.is_empty();
        key.extend_from_slice(&state.named);
        let blocks = &self.blocks.prefix_of(ip).blocks;
        key.extend_from_slice(blocks);
        if !sorted || !blocks.is_empty() {
            key.sort_unstable();
        }
        key
    }

    fn remove_empty_classes(&mut self, delta: &mut Delta) {
        for class in self.classes.take_empty() {
            for program in self.programs_asking(class) {
                if let Some(state) = self.programs.states.get_mut(&program)
                    && state.program.remove_row(class)
                {
                    delta.rows_gone.push((program, class));
                }
            }
            self.classes.remove(class, &mut self.predicates);
        }
    }

    /// The programs in force for which a class may need a row, sorted.
    fn programs_asking(&self, class: ClassId) -> Vec<ProgramId> {
        let mut programs: Vec<ProgramId> = Vec::new();
        for predicate in self.classes.key(class) {
            programs.extend(&self.predicates.get(*predicate).programs);
        }
        for name in self.classes.names(class, &self.predicates) {
            programs.extend(self.programs.by_name.get(&name).into_iter().flatten());
        }
        programs.sort_unstable();
        programs.dedup();
        programs
    }

    /// Gives the programs in force the rows of new classes.
    fn add_rows(&mut self, fresh: &[ClassId], delta: &mut Delta) {
        for class in fresh {
            for program in self.programs_asking(*class) {
                let facts = Facts {
                    policies: &self.policies.slots,
                    predicates: &self.predicates,
                    classes: &self.classes,
                    icmp_echo: self.settings.icmp_echo,
                };
                let Some(state) = self.programs.states.get_mut(&program) else { continue };
                if state.add_class(*class, facts) {
                    delta.rows.push((program, *class));
                }
            }
        }
    }

    fn build_programs(&mut self, fresh: Vec<(ProgramId, Arc<ProgramKey>)>, delta: &mut Delta) {
        let mut fresh = fresh;
        fresh.sort_by_key(|(id, _)| *id);
        let mut keys: Vec<(ProgramId, Arc<ProgramKey>, u32)> = Vec::with_capacity(fresh.len());
        for (id, key) in fresh {
            match keys.last_mut() {
                Some((last, _, uses)) if *last == id => *uses += 1,
                _ => keys.push((id, key, 1)),
            }
        }
        let facts = self.facts();
        let build = |(id, key, uses): (ProgramId, Arc<ProgramKey>, u32)| {
            let mut state = ProgramState::build(key, facts);
            state.refs = uses;
            (id, state)
        };
        let built: Vec<(ProgramId, ProgramState)> = if keys.len() < PARALLEL {
            keys.into_iter().map(build).collect()
        } else {
            keys.into_par_iter().map(build).collect()
        };
        self.programs.states.reserve(built.len());
        for (id, state) in built {
            for predicate in state.predicates() {
                self.predicates.get_mut(predicate).programs.push(id);
            }
            for name in state.names() {
                self.programs.by_name.entry(*name).or_default().push(id);
            }
            self.deciders.add_program(&state, &self.policies.slots);
            self.programs.states.insert(id, state);
            delta.programs.push(id);
        }
    }

    fn tell_addresses(&mut self, touched: &[AddressIx], delta: &mut Delta) {
        for ix in touched {
            let address = self.pods.address(*ix);
            let told = match (address.owner, address.class) {
                (Some(owner), Some(class)) => {
                    let state = self.pods.get(owner);
                    let set = state.set.map(|(set, _)| self.sets.get(set));
                    Some(Told {
                        class,
                        egress: set.and_then(|set| set.egress),
                        ingress: set.and_then(|set| set.ingress),
                        node: state.node.clone(),
                    })
                }
                _ => None,
            };
            if told != address.told {
                delta.addresses.push((address.ip, told.as_ref().map(Told::identity)));
            }
            if told.is_none() {
                self.pods.forget_address(*ix);
            } else {
                self.pods.address_mut(*ix).told = told;
            }
        }
    }

    fn bury(&mut self) {
        self.policies.bury();
        self.predicates.bury();
        self.namespaces.bury();
    }
}

impl Told {
    pub(crate) fn identity(&self) -> Identity {
        Identity { class: self.class, egress: self.egress, ingress: self.ingress, node: self.node.clone() }
    }
}

/// The pods of the scope's namespaces.
fn pods_in(namespaces: &Namespaces, scope: Scope) -> impl Iterator<Item = PodIx> {
    let (one, many) = match scope {
        Scope::Namespace(namespace) => (Some(namespaces.get(namespace)), None),
        Scope::Namespaces(selector) => (None, Some(namespaces.selected_by(selector))),
    };
    one.into_iter().chain(many.into_iter().flatten()).flat_map(|namespace| namespace.pods.iter().copied())
}

fn answers(state: &PodState, predicates: &Predicates, namespaces: &Namespaces) -> Answers {
    let (mut subjects, mut peers) = (Ids::new(), Ids::new());
    if state.eligible() {
        let selectors = &namespaces.get(state.namespace).selectors;
        let scopes = std::iter::once(Scope::Namespace(state.namespace))
            .chain(selectors.iter().map(|selector| Scope::Namespaces(*selector)));
        predicates.matching(scopes, &state.pod.meta.labels, |id, subject| {
            if subject { subjects.push(id) } else { peers.push(id) }
        });
        subjects.sort_unstable();
        peers.sort_unstable();
    }
    Answers { subjects, peers }
}

fn insert_sorted(ids: &mut Ids, id: PredId) {
    if let Err(at) = ids.binary_search(&id) {
        ids.insert(at, id);
    }
}

fn remove_sorted(ids: &mut Ids, id: PredId) {
    if let Ok(at) = ids.binary_search(&id) {
        ids.remove(at);
    }
}
