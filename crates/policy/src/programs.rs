//! From compiled policies and classes to verdict tables.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::classes::Classes;
use crate::explain::Effect;
use crate::fingerprint;
use crate::paint::{self, KeyRange, Layer, Stroke};
use crate::policies::{CompiledPolicy, CompiledRule, key_range, merged};
use crate::predicates::{Ids, NameId, PolicyIx, PredId, Predicates, Question};
use crate::program::Program;
use crate::tables::{
    ClassId, Decider, DeciderId, Direction, Family, Kind, Outcome, PolicyRef, Row, Tier, Verdict,
};

/// Ports that pods call by name: name, protocol, number. Sorted.
pub(crate) type NamedPorts = Box<[(NameId, u8, u16)]>;

/// What makes a program: equal keys share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProgramKey {
    pub direction: Direction,
    /// The policies that have a say, in the order in which they are asked: see [`CompiledPolicy::rank`].
    pub policies: Ids,
    /// Ingress only: what the subjects call by the names that the policies use.
    pub named: NamedPorts,
}

/// A program and how to add rows to it.
#[derive(Clone, Debug)]
pub(crate) struct ProgramState {
    pub key: Arc<ProgramKey>,
    /// Sets of subjects that use it.
    pub refs: u32,
    isolation: Option<Isolation>,
    pub program: Program,
    plan: Plan,
    pool: Pool,
}

/// What denies the subjects what no rule allows.
#[derive(Clone, Debug)]
struct Isolation {
    decider: DeciderId,
    /// The NetworkPolicies of the program's key, in its order.
    policies: Arc<[Arc<CompiledPolicy>]>,
}

/// The program's rows by what makes them: the rules in ascending order, then the port names resolved.
#[derive(Clone, Debug, Default)]
struct Pool {
    signatures: SmallVec<[Signature; 1]>,
    /// Places in `signatures`, once there are too many to try one by one.
    table: HashTable<u32>,
}

type Signature = SmallVec<[u32; 4]>;

/// What the pods of one class call by names: name, protocol, number.
type Named = SmallVec<[(NameId, u8, u16); 4]>;

impl Pool {
    /// How many signatures are tried one by one.
    const FEW: usize = 8;

    fn find(&self, signature: &[u32]) -> Option<u32> {
        if self.signatures.len() <= Self::FEW {
            return self.signatures.iter().position(|known| known[..] == *signature).map(|at| at as u32);
        }
        let same = |at: &u32| self.signatures[*at as usize][..] == *signature;
        self.table.find(FxBuildHasher.hash_one(signature), same).copied()
    }

    /// Adds a signature that isn't there, for the next row.
    fn add(&mut self, signature: &[u32]) {
        self.signatures.push(SmallVec::from_slice(signature));
        if self.signatures.len() <= Self::FEW {
            return;
        }
        let first = if self.table.is_empty() { 0 } else { self.signatures.len() - 1 };
        for at in first..self.signatures.len() {
            let hash_of = |at: &u32| FxBuildHasher.hash_one(&self.signatures[*at as usize][..]);
            self.table.insert_unique(hash_of(&(at as u32)), at as u32, hash_of);
        }
    }
}

/// A program's rules, sorted by what makes them match. Numbers are places in `rules`.
#[derive(Clone, Debug, Default)]
struct Plan {
    /// In the order in which they are asked: policy, place in that policy's compiled rules.
    rules: SmallVec<[(PolicyIx, u32); 2]>,
    /// How many of `rules` are those of the Admin tier.
    before_network_policies: u32,
    /// Some of `rules` are not those of NetworkPolicies.
    cluster_scoped: bool,
    /// Rules that match any address.
    any: Ids,
    /// Rules that match any address or any pod's.
    any_pod: Ids,
    /// Rules by the predicate that makes them match. Sorted.
    by_predicate: SmallVec<[(PredId, u32); 2]>,
    /// Places in `by_predicate` where the usual answer is yes, with the kinds of addresses: see
    /// [`Predicate::usual`](crate::predicates::Predicate::usual).
    usual: Box<[(u32, u8)]>,
    /// Port names that egress rules use.
    names: Vec<(NameId, u8)>,
}

/// Places in [`Plan::by_predicate`] where an address answers unusually.
type Questions = SmallVec<[u32; 8]>;

/// Rules that match, in the order in which they are asked: places in [`Plan::rules`].
type Matching = SmallVec<[u32; 16]>;

/// What programs are made from.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub policies: &'a [Option<Arc<CompiledPolicy>>],
    pub predicates: &'a Predicates,
    pub classes: &'a Classes,
    pub icmp_echo: bool,
}

impl<'a> Facts<'a> {
    pub fn policy(&self, ix: PolicyIx) -> &'a CompiledPolicy {
        self.policies[ix as usize].as_deref().expect("a policy that a program uses")
    }
}

impl ProgramState {
    /// Makes the program with the rows of all classes that its rules tell apart.
    pub fn build(key: Arc<ProgramKey>, facts: Facts<'_>) -> ProgramState {
        let plan = Plan::new(&key, facts, Scope::Deciding);
        let isolating = key.policies.iter().filter_map(|ix| facts.policies[*ix as usize].as_ref());
        let isolating: Arc<[Arc<CompiledPolicy>]> =
            isolating.filter(|policy| policy.isolates()).cloned().collect();
        let isolation = (!isolating.is_empty()).then(|| Isolation {
            decider: fingerprint::isolation(
                key.direction,
                isolating.iter().map(|policy| policy.object.meta()),
            ),
            policies: isolating,
        });
        let decider = isolation.as_ref().map(|isolation| isolation.decider);
        let maker = RowMaker { key: &key, plan: &plan, isolation: decider, facts };
        let mut program = maker.defaults();
        let mut pool = Pool::default();
        for (class, questions) in plan.asked(facts) {
            maker.add_row(&mut program, &mut pool, class, &questions);
        }
        ProgramState { refs: 0, isolation, program, plan, pool, key }
    }

    /// Adds the row of a class made after the program; `false` when the default row serves it.
    pub fn add_class(&mut self, class: ClassId, facts: Facts<'_>) -> bool {
        let mut questions = Questions::new();
        for predicate in facts.classes.key(class) {
            questions.extend(self.plan.places(*predicate));
        }
        if questions.is_empty() && self.plan.named_ports(class, facts).is_empty() {
            return false;
        }
        let isolation = self.isolation.as_ref().map(|isolation| isolation.decider);
        let maker = RowMaker { key: &self.key, plan: &self.plan, isolation, facts };
        maker.add_row(&mut self.program, &mut self.pool, class, &questions);
        true
    }

    /// The row of an address of this kind that answers exactly these predicates unusually.
    pub fn row_of(&self, unusual: &[PredId], kind: Kind, facts: Facts<'_>) -> Row {
        let questions: Questions = unusual.iter().flat_map(|id| self.plan.places(*id)).collect();
        let isolation = self.isolation.as_ref().map(|isolation| isolation.decider);
        let rules = self.plan.rules_at(kind, &questions);
        RowMaker { key: &self.key, plan: &self.plan, isolation, facts }.row(&rules, &[])
    }

    /// The predicates whose classes need rows, each once.
    pub fn predicates(&self) -> impl Iterator<Item = PredId> {
        let mut last = None;
        self.plan.by_predicate.iter().map(|(p, _)| *p).filter(move |p| last.replace(*p) != Some(*p))
    }

    /// The port names whose classes need rows.
    pub fn names(&self) -> &[(NameId, u8)] {
        &self.plan.names
    }
}

/// Which rules a plan holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those that can decide.
    Deciding,
    /// Those of the Baseline tier as well where NetworkPolicies come before it.
    All,
}

impl Plan {
    fn new(key: &ProgramKey, facts: Facts<'_>, scope: Scope) -> Plan {
        let mut plan = Plan::default();
        let isolated = key.policies.iter().any(|ix| facts.policy(*ix).isolates());
        for ix in &key.policies {
            // NetworkPolicies decide finally: nobody asks the tier behind them.
            let tier = facts.policy(*ix).tier();
            if tier == Tier::Baseline && isolated && scope == Scope::Deciding {
                break;
            }
            plan.cluster_scoped |= tier != Tier::NetworkPolicy;
            plan.before_network_policies +=
                u32::from(tier == Tier::Admin) * facts.policy(*ix).parts_of(key.direction);
            let rules = facts.policy(*ix).rules(key.direction).unwrap_or_default();
            for (i, rule) in rules.iter().enumerate() {
                let at = plan.rules.len() as u32;
                plan.rules.push((*ix, i as u32));
                if rule.any {
                    plan.any.push(at);
                }
                if rule.any || rule.all_pods {
                    plan.any_pod.push(at);
                }
                plan.by_predicate.extend(rule.peers.iter().map(|predicate| (*predicate, at)));
                if key.direction == Direction::Egress {
                    plan.names.extend(&rule.named);
                }
            }
        }
        plan.by_predicate.sort_unstable();
        if facts.predicates.has_usual() {
            let kinds = plan.by_predicate.iter().map(|(id, _)| facts.predicates.get(*id).usual);
            let places = kinds.enumerate().filter(|(_, kinds)| *kinds != 0);
            plan.usual = places.map(|(at, kinds)| (at as u32, kinds)).collect();
        }
        plan.names.sort_unstable();
        plan.names.dedup();
        plan
    }

    fn rule<'a>(&self, at: u32, direction: Direction, facts: Facts<'a>) -> &'a CompiledRule {
        let (policy, rule) = self.rules[at as usize];
        &facts.policy(policy).rules(direction).unwrap_or_default()[rule as usize]
    }

    /// The places of a predicate's rules.
    fn places(&self, id: PredId) -> std::ops::Range<u32> {
        let first = self.by_predicate.partition_point(|(p, _)| *p < id);
        let rules = self.by_predicate[first..].iter().take_while(|(p, _)| *p == id).count();
        first as u32..(first + rules) as u32
    }

    /// Every class that answers some predicate unusually, or whose port names matter, with the questions
    /// that it answers so.
    fn asked(&self, facts: Facts<'_>) -> Vec<(ClassId, Questions)> {
        let mut pairs: Vec<(ClassId, u32)> = Vec::new();
        for (at, (predicate, _)) in self.by_predicate.iter().enumerate() {
            let classes = &facts.predicates.get(*predicate).classes;
            pairs.extend(classes.iter().map(|class| (*class, at as u32)));
        }
        for (name, protocol) in &self.names {
            let named = facts.classes.with_name(*name, *protocol, facts.predicates);
            pairs.extend(named.map(|class| (class, u32::MAX)));
        }
        pairs.sort_unstable();
        let mut asked: Vec<(ClassId, Questions)> = Vec::new();
        for (class, at) in pairs {
            match asked.last_mut() {
                Some((last, questions)) if *last == class => questions.push(at),
                _ => asked.push((class, Questions::from_iter([at]))),
            }
        }
        for (_, questions) in &mut asked {
            questions.retain(|at| *at != u32::MAX);
        }
        asked
    }

    /// The rules that match addresses of a kind which answer these questions unusually.
    fn rules_at(&self, kind: Kind, questions: &[u32]) -> Matching {
        let mut rules = Matching::from_slice(if kind.pod { &self.any_pod } else { &self.any });
        let rule = |at: u32| self.by_predicate[at as usize].1;
        if self.usual.is_empty() {
            rules.extend(questions.iter().map(|at| rule(*at)));
        } else {
            let usual = |at: u32| {
                let found = self.usual.binary_search_by_key(&at, |(at, _)| *at);
                found.is_ok_and(|found| self.usual[found].1 & kind.bit() != 0)
            };
            let mut refused: FxHashSet<u32> = FxHashSet::default();
            for at in questions {
                if usual(*at) {
                    refused.insert(*at);
                } else {
                    rules.push(rule(*at));
                }
            }
            let granted = self.usual.iter().filter(|(_, kinds)| kinds & kind.bit() != 0);
            rules.extend(granted.filter(|(at, _)| !refused.contains(at)).map(|(at, _)| rule(*at)));
        }
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// What the class's pods call by the names that egress rules use.
    fn named_ports(&self, class: ClassId, facts: Facts<'_>) -> Named {
        let mut ports = SmallVec::new();
        if self.names.is_empty() {
            return ports;
        }
        for predicate in facts.classes.key(class) {
            if let Question::NamedPort(name, protocol, number) = facts.predicates.get(*predicate).question
                && self.names.binary_search(&(name, protocol)).is_ok()
            {
                ports.push((name, protocol, number));
            }
        }
        ports
    }
}

struct RowMaker<'a> {
    key: &'a ProgramKey,
    plan: &'a Plan,
    isolation: Option<DeciderId>,
    facts: Facts<'a>,
}

impl RowMaker<'_> {
    /// A program with default rows and no others.
    fn defaults(&self) -> Program {
        let rules_of = |pod, family| self.plan.rules_at(Kind { pod, family }, &[]);
        let [any, pod] = [false, true].map(|pod| rules_of(pod, Family::V4));
        let default_any = self.row(&any, &[]);
        let default_pod = if any == pod { default_any.clone() } else { self.row(&pod, &[]) };
        let mut program = Program::new(default_any, default_pod);
        // Only usual answers tell the families apart.
        let mut pod_v6 = pod.clone();
        if !self.plan.usual.is_empty() {
            let any_v6 = rules_of(false, Family::V6);
            pod_v6 = rules_of(true, Family::V6);
            if any_v6 != any || pod_v6 != pod {
                program.set_default_v6(self.row(&any_v6, &[]), self.row(&pod_v6, &[]));
            }
        }
        if self.plan.cluster_scoped {
            program.set_itself(Family::V4, self.row_of_itself(&pod, &[]));
            program.set_itself(Family::V6, self.row_of_itself(&pod_v6, &[]));
        }
        program
    }

    /// Gives the class the row of what it answers.
    fn add_row(&self, program: &mut Program, pool: &mut Pool, class: ClassId, questions: &[u32]) {
        let kind = self.facts.classes.kind(class);
        let rules = self.plan.rules_at(kind, questions);
        let named = self.plan.named_ports(class, self.facts);
        let mut signature = rules.clone();
        for (name, protocol, number) in &named {
            signature.extend([u32::MAX, *name, u32::from(*protocol) << 16 | u32::from(*number)]);
        }
        if kind.pod && self.plan.cluster_scoped {
            program.set_itself_of(class, self.row_of_itself(&rules, &named));
        }
        let at = pool.find(&signature).unwrap_or_else(|| {
            pool.add(&signature);
            program.add_to_pool(self.row(&rules, &named))
        });
        program.set_row(class, at);
    }

    /// As [`RowMaker::row`], for a pod's connections to itself. No NetworkPolicy forbids those.
    fn row_of_itself(&self, rules: &[u32], named: &[(NameId, u8, u16)]) -> Row {
        let asked =
            |at: &u32| self.facts.policy(self.plan.rules[*at as usize].0).tier() != Tier::NetworkPolicy;
        let rules: SmallVec<[u32; 8]> = rules.iter().copied().filter(asked).collect();
        let otherwise = Outcome { verdict: Verdict::Allowed, decider: DeciderId::NOT_ISOLATED };
        self.paint(&rules, named, otherwise)
    }

    /// The row that these rules make, in ascending order, with the destination's port names.
    fn row(&self, rules: &[u32], named: &[(NameId, u8, u16)]) -> Row {
        let otherwise = match self.isolation {
            Some(decider) => Outcome { verdict: Verdict::Denied, decider },
            None => Outcome { verdict: Verdict::Allowed, decider: DeciderId::NOT_ISOLATED },
        };
        self.paint(rules, named, otherwise)
    }

    fn paint(&self, rules: &[u32], named: &[(NameId, u8, u16)], otherwise: Outcome) -> Row {
        let named = match self.key.direction {
            Direction::Ingress => &self.key.named,
            Direction::Egress => named,
        };
        let strokes: Vec<(Cow<'_, [KeyRange]>, Stroke)> = rules
            .iter()
            .map(|at| {
                let rule = self.plan.rule(*at, self.key.direction, self.facts);
                let decide = |verdict| Stroke::Decide(Outcome { verdict, decider: rule.decider });
                let stroke = match rule.effect {
                    Effect::Allow => decide(Verdict::Allowed),
                    Effect::Deny => decide(Verdict::Denied),
                    Effect::Pass => Stroke::Pass,
                };
                (rule.resolved(named), stroke)
            })
            .collect();
        let admin = rules.partition_point(|at| *at < self.plan.before_network_policies);
        let mut tiers: [Vec<Layer<'_>>; 2] = [Vec::new(), Vec::with_capacity(strokes.len() - admin + 1)];
        for (at, stroke) in strokes.iter().enumerate() {
            tiers[usize::from(at >= admin)].push((&stroke.0[..], stroke.1));
        }
        const ECHO: [KeyRange; 2] = [(1 << 16 | 8, 1 << 16 | 8), (58 << 16 | 128, 58 << 16 | 128)];
        if self.facts.icmp_echo && otherwise.verdict == Verdict::Denied {
            let echo = Outcome { verdict: Verdict::Allowed, decider: DeciderId::ICMP_ECHO };
            tiers[1].push((&ECHO, Stroke::Decide(echo)));
        }
        paint::paint(&tiers, otherwise)
    }
}

impl CompiledRule {
    /// The rule's ranges with those of its port names, by what the destination calls its ports.
    fn resolved(&self, named: &[(NameId, u8, u16)]) -> Cow<'_, [KeyRange]> {
        if self.named.is_empty() {
            return (&self.ranges[..]).into();
        }
        let resolved = named
            .iter()
            .filter(|(name, protocol, _)| self.named.contains(&(*name, *protocol)))
            .map(|(_, protocol, number)| key_range(*protocol, *number, *number));
        merged(self.ranges.iter().copied().chain(resolved).collect()).into_vec().into()
    }
}

/// A rule's place in the program's list, with its ranges at one row.
type RowRule<'a> = (u32, Cow<'a, [KeyRange]>);

/// A program's rules and which of them meet at some row, those of all tiers.
pub(crate) struct RowSource<'a> {
    pub facts: Facts<'a>,
    key: &'a ProgramKey,
    plan: Plan,
}

impl<'a> RowSource<'a> {
    pub fn new(key: &'a ProgramKey, facts: Facts<'a>) -> Self {
        RowSource { facts, key, plan: Plan::new(key, facts, Scope::All) }
    }

    /// All rules in the order in which they are asked.
    pub fn rules(&self) -> impl Iterator<Item = (PolicyIx, &'a CompiledRule)> {
        let rules = self.plan.rules.iter().enumerate();
        rules.map(|(at, (policy, _))| (*policy, self.plan.rule(at as u32, self.key.direction, self.facts)))
    }

    /// The rules of each row: of any address, of any pod, and of the classes that rules tell apart. Rows of
    /// equal rules and port names come once.
    pub fn rows(&self) -> Vec<Vec<RowRule<'a>>> {
        let mut rows: FxHashSet<(Signature, Named)> = FxHashSet::default();
        rows.insert((Signature::from_slice(&self.plan.any), Named::new()));
        rows.insert((Signature::from_slice(&self.plan.any_pod), Named::new()));
        let mut usual = Kind::ALL.map(|kind| (kind, self.facts.classes.count(kind)));
        for (class, questions) in self.plan.asked(self.facts) {
            let kind = self.facts.classes.kind(class);
            let rules = self.plan.rules_at(kind, &questions);
            rows.insert((Signature::from_slice(&rules), self.plan.named_ports(class, self.facts)));
            usual.iter_mut().filter(|(of, _)| *of == kind).for_each(|(_, classes)| *classes -= 1);
        }
        for (kind, _) in usual.iter().filter(|(_, classes)| *classes > 0) {
            rows.insert((Signature::from_slice(&self.plan.rules_at(*kind, &[])), Named::new()));
        }
        let row = |(rules, named): (Signature, Named)| {
            let named = match self.key.direction {
                Direction::Ingress => &self.key.named[..],
                Direction::Egress => &named,
            };
            let rule = |at: u32| (at, self.plan.rule(at, self.key.direction, self.facts).resolved(named));
            rules.into_iter().map(rule).collect()
        };
        rows.into_iter().map(row).collect()
    }
}

/// Names of deciders, also of those that a policy change took away a moment ago: events made under
/// the old policy are still on their way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deciders {
    known: FxHashMap<DeciderId, Known>,
    retired: VecDeque<DeciderId>,
}

#[derive(Clone, Debug)]
struct Known {
    /// Rules or programs in force that use it.
    uses: u32,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Rule(Arc<CompiledPolicy>, Direction, u32),
    Isolation(Direction, Arc<[Arc<CompiledPolicy>]>),
}

impl Deciders {
    /// How many deciders that are out of force keep their names.
    const RETIRED: usize = 100_000;

    /// Makes room for this many more rules.
    pub fn reserve(&mut self, rules: usize) {
        self.known.reserve(rules);
    }

    pub fn add_policy(&mut self, policy: &Arc<CompiledPolicy>) {
        for direction in [Direction::Egress, Direction::Ingress] {
            for rule in policy.rules(direction).unwrap_or_default() {
                self.add(rule.decider, What::Rule(policy.clone(), direction, rule.index));
            }
        }
    }

    pub fn remove_policy(&mut self, policy: &CompiledPolicy) {
        for direction in [Direction::Egress, Direction::Ingress] {
            for rule in policy.rules(direction).unwrap_or_default() {
                self.remove(rule.decider);
            }
        }
    }

    pub fn add_program(&mut self, program: &ProgramState) {
        if let Some(isolation) = &program.isolation {
            self.add(isolation.decider, What::Isolation(program.key.direction, isolation.policies.clone()));
        }
    }

    pub fn remove_program(&mut self, program: &ProgramState) {
        if let Some(isolation) = &program.isolation {
            self.remove(isolation.decider);
        }
    }

    fn add(&mut self, id: DeciderId, what: What) {
        match self.known.entry(id) {
            Entry::Occupied(mut known) => {
                // The newest wins: an edit that only moved a policy in its file moved its rules, too.
                known.get_mut().what = what;
                known.get_mut().uses += 1;
            }
            Entry::Vacant(place) => {
                place.insert(Known { uses: 1, what });
            }
        }
    }

    fn remove(&mut self, id: DeciderId) {
        let Some(known) = self.known.get_mut(&id) else { return };
        known.uses -= 1;
        if known.uses > 0 {
            return;
        }
        self.retired.push_back(id);
        if self.retired.len() > Self::RETIRED
            && let Some(oldest) = self.retired.pop_front()
            && self.known.get(&oldest).is_some_and(|known| known.uses == 0)
        {
            self.known.remove(&oldest);
        }
    }

    pub fn get(&self, id: DeciderId) -> Option<Decider> {
        match id {
            DeciderId::NOT_ISOLATED => return Some(Decider::NotIsolated),
            DeciderId::ICMP_ECHO => return Some(Decider::IcmpEcho),
            _ => {}
        }
        Some(match &self.known.get(&id)?.what {
            What::Rule(policy, direction, index) => Decider::Rule(policy.rule_ref(*direction, *index)),
            What::Isolation(direction, policies) => {
                let mut policies: Vec<PolicyRef> =
                    policies.iter().map(|policy| policy.policy_ref()).collect();
                policies.sort();
                Decider::Isolation { direction: *direction, policies }
            }
        })
    }
}
