//! From sets of subjects to programs, and from new classes to their rows.

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use crate::cluster::Cluster;
use crate::parallel::{PARALLEL, map};
use crate::pods::PodIx;
use crate::predicates::{Ids, PolicyIx, PredId, SetId};
use crate::programs::{Facts, NamedPorts, ProgramKey, ProgramState};
use crate::tables::{ClassId, Delta, Direction, ProgramId};

impl Cluster {
    /// Puts pods into the sets of their subjects, and gives sets whose policies changed their
    /// programs. Returns the programs that must be built.
    pub(super) fn regroup_subjects(&mut self, mut pods: Vec<PodIx>) -> Vec<(ProgramId, Arc<ProgramKey>)> {
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
            let answers = self.pods.answers(ix);
            if answers.subjects.is_empty() {
                continue;
            }
            let set = self.sets.find(&answers.subjects, &answers.named_subject).unwrap_or_else(|| {
                let set = self.sets.insert(answers.subjects.clone(), answers.named_subject.clone());
                for predicate in &answers.subjects {
                    self.predicates.get_mut(*predicate).sets.push(set);
                }
                affected.push(set);
                set
            });
            let pods = &mut self.sets.get_mut(set).pods;
            pods.push(ix);
            let at = pods.len() as u32 - 1;
            self.pods.answer(ix, |answers| answers.set = Some((set, at)));
        }
        affected.sort_unstable();
        affected.dedup();
        affected.retain(|set| self.sets.slots[*set as usize].is_some());
        let keys = map(&affected, |set| self.program_keys(*set));
        for (set, keys) in affected.into_iter().zip(keys) {
            self.choose_programs(set, keys, &mut fresh);
        }
        fresh
    }

    /// What the two programs of a set are made of: egress, ingress; `None` where nothing isolates.
    fn program_keys(&self, set: SetId) -> [Option<ProgramKey>; 2] {
        let set = self.sets.get(set);
        let mut policies: Ids = Ids::new();
        for subject in &set.subjects {
            policies.extend_from_slice(&self.predicates.get(*subject).policies);
        }
        policies.sort_unstable_by(|a, b| self.policies.get(*a).rank().cmp(&self.policies.get(*b).rank()));
        [Direction::Egress, Direction::Ingress].map(|direction| {
            let asked: Ids = policies
                .iter()
                .copied()
                .filter(|ix| self.policies.get(*ix).rules(direction).is_some())
                .collect();
            if asked.is_empty() {
                return None;
            }
            let named = match direction {
                Direction::Egress => [].into(),
                Direction::Ingress => self.named_of(&asked, &set.named),
            };
            Some(ProgramKey { direction, policies: asked, named })
        })
    }

    /// Finds or makes the two programs of a set.
    fn choose_programs(
        &mut self,
        set: SetId,
        keys: [Option<ProgramKey>; 2],
        fresh: &mut Vec<(ProgramId, Arc<ProgramKey>)>,
    ) {
        let [egress, ingress] = keys.map(|key| key.map(|key| self.use_program(key, fresh)));
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

    pub(super) fn remove_unused_programs(&mut self, delta: &mut Delta) {
        for id in std::mem::take(&mut self.programs.released) {
            if self.programs.states.get(&id).is_none_or(|state| state.refs > 0) {
                continue;
            }
            let Some(state) = self.programs.states.remove(&id) else { continue };
            // Another program may have taken its place, see `remake_programs`.
            if self.programs.by_key.get(&state.key) == Some(&id) {
                self.programs.by_key.remove(&state.key);
            }
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

    /// The programs in force for which a class may need a row, sorted.
    pub(super) fn programs_asking(&self, class: ClassId) -> Vec<ProgramId> {
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

    /// Has the programs that ask these predicates made anew, under other ids.
    pub(super) fn remake_programs(&mut self, asking: &[PredId]) {
        let mut programs: Vec<ProgramId> =
            asking.iter().flat_map(|id| self.predicates.get(*id).programs.iter().copied()).collect();
        programs.sort_unstable();
        programs.dedup();
        for id in programs {
            let Some(state) = self.programs.states.get(&id) else { continue };
            self.programs.by_key.remove(&state.key);
            let subjects = state.key.policies.iter().map(|ix| self.policies.get(*ix).subject);
            let subjects: Vec<PredId> = subjects.collect();
            self.policies.changed_subjects.extend(subjects);
        }
    }

    /// Gives the programs in force the rows of new classes.
    pub(super) fn add_rows(&mut self, fresh: &[ClassId], delta: &mut Delta) {
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

    pub(super) fn build_programs(&mut self, fresh: Vec<(ProgramId, Arc<ProgramKey>)>, delta: &mut Delta) {
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
            let mut state = Box::new(ProgramState::build(key, facts));
            state.refs = uses;
            (id, state)
        };
        let built: Vec<(ProgramId, Box<ProgramState>)> = if keys.len() < PARALLEL {
            keys.into_iter().map(build).collect()
        } else {
            keys.into_par_iter().map(build).collect()
        };
        self.programs.states.reserve(built.len());
        self.deciders.reserve(built.len());
        for (id, state) in built {
            for predicate in state.predicates() {
                self.predicates.get_mut(predicate).programs.push(id);
            }
            for name in state.names() {
                self.programs.by_name.entry(*name).or_default().push(id);
            }
            self.deciders.add_program(&state);
            self.programs.states.insert(id, state);
            delta.programs.push(id);
        }
    }
}
