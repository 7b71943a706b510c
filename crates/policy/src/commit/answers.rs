//! Asking pods the questions that changed, and forgetting those that nobody asks any more.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cluster::Cluster;
use crate::namespaces::Namespaces;
use crate::parallel::map;
use crate::pods::{PodIx, PodState};
use crate::predicates::{Ids, PredId, Predicates, Question, Scope};
use crate::programs::NamedPorts;
use crate::tables::Direction;

/// A pod's answers to all predicates.
struct Answers {
    subjects: Ids,
    peers: Ids,
}

/// From this many new selectors of one scope on, asking everything of its pods once, through the index,
/// beats asking each selector of each pod.
const MANY_SELECTORS: u32 = 16;

impl Cluster {
    /// Marks the pods for which a change of a namespace or of a port name changes answers.
    pub(super) fn mark_pods_to_ask(&mut self) {
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
    pub(super) fn answer_fresh_predicates(&mut self) -> Vec<PodIx> {
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
    pub(super) fn ask_dirty_pods(&mut self) -> Vec<PodIx> {
        let mut dirty = std::mem::take(&mut self.pods.dirty);
        dirty.retain(|ix| self.pods.exists(*ix) && self.pods.get(*ix).dirty);
        dirty.sort_unstable();
        dirty.dedup();
        let Cluster { pods, predicates, namespaces, .. } = self;
        let (pods_ref, predicates, namespaces) = (&*pods, &*predicates, &*namespaces);
        let ask = |ix: &PodIx| answers(pods_ref.get(*ix), predicates, namespaces);
        let all: Vec<Answers> = map(&dirty, ask);
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

    /// Takes subjects that went out of use from their pods, and returns those.
    pub(super) fn forget_dead_subjects(&mut self) -> Vec<PodIx> {
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
    pub(super) fn forget_dead_peers(&mut self) {
        for at in 0..self.predicates.dead.len() {
            let id = self.predicates.dead[at];
            let scope = match self.predicates.get(id).question {
                Question::Peer(scope, _) => Some(scope),
                Question::Block(..) | Question::Nodes(_) | Question::Domain(_) => None,
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
    pub(super) fn forget_dead_names(&mut self) {
        for at in 0..self.predicates.dead.len() {
            let id = self.predicates.dead[at];
            if let Question::NamedPort(name, protocol, _) = self.predicates.get(id).question {
                self.classes.forget(id, &mut self.predicates);
                self.classes.remove_named(name, protocol, id);
            }
        }
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
