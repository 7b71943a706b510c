//! Asking pods the questions that changed, and forgetting those that nobody asks any more.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cluster::Cluster;
use crate::namespaces::Namespaces;
use crate::parallel::map;
use crate::pods::{Answers, PodIx, PodState, Pods};
use crate::predicates::{Ids, PredId, Predicates, Question, Scope};
use crate::programs::NamedPorts;
use crate::tables::Direction;

/// A pod's answers to all selectors.
struct Asked {
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
                let mut names = self.pods.ports(state).filter_map(|(name, ..)| self.names.find(name));
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
                let state = pods.get(pod);
                let labels = pods.labels(state);
                if state.dirty || !state.eligible() || !selector.matches_by(|key| labels.get(key)) {
                    return;
                }
                pods.answer(pod, |answers| {
                    insert_sorted(if subject { &mut answers.subjects } else { &mut answers.peers }, id);
                });
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
        let ask = |ix: &PodIx| ask(pods_ref, *ix, predicates, namespaces);
        let all: Vec<Asked> = map(&dirty, ask);
        let mut regroup = Vec::new();
        for (ix, answers) in dirty.into_iter().zip(all) {
            let named = self.named_ports(ix, Direction::Egress);
            let named_subject = self.named_ports(ix, Direction::Ingress);
            let named = self.hold_named(&named);
            self.pods.get_mut(ix).dirty = false;
            let before = self.pods.answers(ix);
            if before.subjects != answers.subjects || before.named_subject != named_subject {
                regroup.push(ix);
            }
            let is_same =
                before.peers == answers.peers && before.named == named && regroup.last() != Some(&ix);
            let released = before.named.clone();
            if !is_same {
                self.pods.answer(ix, |before| {
                    let (Asked { subjects, peers }, set) = (answers, before.set);
                    *before = Answers { subjects, peers, named, named_subject, set };
                });
            }
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
        for (name, protocol, number) in self.pods.ports(state) {
            if let Some(name) = self.names.find(name)
                && self.names.used(name, protocol, direction)
            {
                ports.push((name, protocol, number));
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
                    self.pods.answer(*pod, |answers| remove_sorted(&mut answers.subjects, *id));
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
            let mut forget = |pod: PodIx| {
                if pods.answers(pod).peers.binary_search(&id).is_ok() {
                    pods.answer(pod, |answers| remove_sorted(&mut answers.peers, id));
                }
            };
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

fn ask(pods: &Pods, ix: PodIx, predicates: &Predicates, namespaces: &Namespaces) -> Asked {
    let (mut subjects, mut peers) = (Ids::new(), Ids::new());
    let state = pods.get(ix);
    if state.eligible() {
        let selectors = &namespaces.get(state.namespace).selectors;
        let scopes = std::iter::once(Scope::Namespace(state.namespace))
            .chain(selectors.iter().map(|selector| Scope::Namespaces(*selector)));
        predicates.matching(scopes, pods.labels(state), |id, subject| {
            if subject { subjects.push(id) } else { peers.push(id) }
        });
        subjects.sort_unstable();
        peers.sort_unstable();
    }
    Asked { subjects, peers }
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
