//! Which rules and policies could go without changing any verdict.
//!
//! For every program and every row of it: what covers each port, and what the verdict would be without one
//! rule or one policy. Rows of "any other pod" and "any other address" count too, so that what is called
//! removable stays so when pods come that no selector names.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use podgate_api::Source;

use crate::cluster::Cluster;
use crate::explain::Effect;
use crate::paint::KeyRange;
use crate::predicates::PolicyIx;
use crate::programs::{ProgramKey, RowSource};
use crate::tables::{Direction, PolicyRef, PortKey, RuleRef, Tier, Verdict};

/// What a policy is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyUse {
    /// The policy.
    pub policy: PolicyRef,
    /// Where it is written.
    pub source: Source,
    /// It selects some pod. Nothing can be said of a policy that doesn't.
    pub selects: bool,
    /// Without it, some verdict would differ. Of policies that make each other removable, the last ones are not
    /// needed: all that are not needed can go together.
    pub needed: bool,
    /// Policies that decide the same where this one does; empty when there is nothing to decide.
    pub covered_by: Vec<PolicyRef>,
    /// Its rules: egress, then ingress, in order.
    pub rules: Vec<RuleUse>,
}

/// What a rule is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleUse {
    /// The rule.
    pub rule: RuleRef,
    /// What it does where it matches.
    pub effect: Effect,
    /// It matches some address and port. A rule that doesn't selects nothing, which is another matter.
    pub matches: bool,
    /// Without it, some verdict would differ; as for [`PolicyUse::needed`], all rules that are not needed can go
    /// together, while their policies stay.
    pub needed: bool,
    /// Rules that decide where this one matches.
    pub covered_by: Vec<RuleRef>,
}

/// A rule by policy, direction and place.
type RuleId = (PolicyIx, Direction, u32);

/// What covers the same rules at some row and port: places in the program's list of rules, in the order asked.
type Cover = SmallVec<[u32; 8]>;

/// A program as far as removals are concerned.
struct Judge {
    rules: Vec<(RuleId, Tier, Effect)>,
    isolating: SmallVec<[PolicyIx; 4]>,
    /// Every different cover.
    covers: Vec<Cover>,
}

/// What is taken away: sets, and one more of each.
#[derive(Clone, Copy)]
struct Removed<'a> {
    rules: &'a FxHashSet<RuleId>,
    rule: Option<RuleId>,
    policies: &'a FxHashSet<PolicyIx>,
    policy: Option<PolicyIx>,
}

impl Removed<'_> {
    fn has(&self, rule: RuleId) -> bool {
        self.rule == Some(rule) || self.rules.contains(&rule) || self.has_policy(rule.0)
    }

    fn has_policy(&self, policy: PolicyIx) -> bool {
        self.policy == Some(policy) || self.policies.contains(&policy)
    }
}

impl Judge {
    fn new(key: &ProgramKey, source: &RowSource<'_>) -> Judge {
        let isolating =
            key.policies.iter().copied().filter(|ix| source.facts.policy(*ix).isolates()).collect();
        let rules: Vec<(RuleId, Tier, Effect)> = source
            .rules()
            .map(|(ix, rule)| ((ix, key.direction, rule.index), source.facts.policy(ix).tier(), rule.effect))
            .collect();
        let mut covers: FxHashSet<Cover> = FxHashSet::default();
        for row in source.rows() {
            covers_of(&row, &mut covers);
        }
        Judge { rules, isolating, covers: covers.into_iter().collect() }
    }

    fn verdict(&self, cover: &Cover, without: Removed<'_>) -> Verdict {
        let mut rules =
            cover.iter().map(|at| &self.rules[*at as usize]).filter(|(id, ..)| !without.has(*id)).peekable();
        let mut passed = false;
        while let Some((_, _, effect)) = rules.next_if(|(_, tier, _)| *tier == Tier::Admin) {
            match effect {
                _ if passed => {}
                Effect::Allow => return Verdict::Allowed,
                Effect::Deny => return Verdict::Denied,
                Effect::Pass => passed = true,
            }
        }
        if self.isolating.iter().any(|ix| !without.has_policy(*ix)) {
            let allowed = rules.next().is_some_and(|(_, tier, _)| *tier == Tier::NetworkPolicy);
            return if allowed { Verdict::Allowed } else { Verdict::Denied };
        }
        match rules.find(|(_, tier, _)| *tier == Tier::Baseline) {
            Some((_, _, Effect::Deny)) => Verdict::Denied,
            _ => Verdict::Allowed,
        }
    }

    /// Whether taking more away changes some verdict. `relevant` tells the covers that may change.
    fn changes(&self, before: Removed<'_>, after: Removed<'_>, relevant: impl Fn(&Cover) -> bool) -> bool {
        let mut relevant = self.covers.iter().filter(|cover| relevant(cover));
        relevant.any(|cover| self.verdict(cover, before) != self.verdict(cover, after))
    }

    fn needs_rule(&self, rule: RuleId, before: Removed<'_>) -> bool {
        let after = Removed { rule: Some(rule), ..before };
        self.changes(before, after, |cover| self.is_in(cover, |id| id == rule))
    }

    fn needs_policy(&self, policy: PolicyIx, before: Removed<'_>) -> bool {
        let after = Removed { policy: Some(policy), ..before };
        // Its isolation may matter where none of its rules does.
        let isolates = self.isolating.contains(&policy);
        self.changes(before, after, |cover| isolates || self.is_in(cover, |id| id.0 == policy))
    }

    fn is_in(&self, cover: &Cover, wanted: impl Fn(RuleId) -> bool) -> bool {
        cover.iter().any(|at| wanted(self.rules[*at as usize].0))
    }
}

/// Cuts a row at the ends of its rules' ranges.
fn covers_of(row: &[(u32, std::borrow::Cow<'_, [KeyRange]>)], covers: &mut FxHashSet<Cover>) {
    let mut starts: Vec<u32> = vec![0];
    for (lo, hi) in row.iter().flat_map(|(_, ranges)| ranges.iter()) {
        starts.push(*lo);
        if *hi < PortKey::MAX.0 {
            starts.push(hi + 1);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    for start in starts {
        let holds = |ranges: &[KeyRange]| ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&start));
        covers.insert(row.iter().filter(|(_, ranges)| holds(ranges)).map(|(at, _)| *at).collect());
    }
}

impl Cluster {
    /// What each policy and rule is good for, in the order in which policies are asked. Of things that make each
    /// other removable the later ones are called not needed.
    pub fn redundancies(&self) -> Vec<PolicyUse> {
        let judges: Vec<Judge> = self.judges();
        let mut of_policy: FxHashMap<PolicyIx, Vec<u32>> = FxHashMap::default();
        for (at, judge) in judges.iter().enumerate() {
            let mut policies: Vec<PolicyIx> = judge.rules.iter().map(|((ix, ..), ..)| *ix).collect();
            policies.extend(&judge.isolating);
            policies.sort_unstable();
            policies.dedup();
            policies.into_iter().for_each(|ix| of_policy.entry(ix).or_default().push(at as u32));
        }
        let mut order: Vec<PolicyIx> = (0..self.policies.slots.len() as PolicyIx)
            .filter(|ix| self.policies.slots[*ix as usize].is_some())
            .collect();
        order.sort_by(|a, b| self.policies.get(*a).rank().cmp(&self.policies.get(*b).rank()));

        let judges_of =
            |ix: PolicyIx| of_policy.get(&ix).into_iter().flatten().map(|at| &judges[*at as usize]);
        let no_rules = FxHashSet::default();
        let mut idle_policies: FxHashSet<PolicyIx> = FxHashSet::default();
        for ix in order.iter().rev().copied().filter(|ix| of_policy.contains_key(ix)) {
            let before = Removed { rules: &no_rules, rule: None, policies: &idle_policies, policy: None };
            if !judges_of(ix).any(|judge| judge.needs_policy(ix, before)) {
                idle_policies.insert(ix);
            }
        }
        let no_policies = FxHashSet::default();
        let mut idle_rules: FxHashSet<RuleId> = FxHashSet::default();
        for ix in order.iter().rev().copied().filter(|ix| of_policy.contains_key(ix)) {
            for rule in self.rule_ids(ix).into_iter().rev() {
                let before = Removed { rules: &idle_rules, rule: None, policies: &no_policies, policy: None };
                if !judges_of(ix).any(|judge| judge.needs_rule(rule, before)) {
                    idle_rules.insert(rule);
                }
            }
        }
        order
            .iter()
            .map(|ix| {
                let policy = self.policies.get(*ix);
                let rules = self.rule_ids(*ix).into_iter().map(|rule| {
                    let needed = !idle_rules.contains(&rule);
                    let covered =
                        if needed { Vec::new() } else { covered_by(rule, judges_of(*ix), &idle_rules) };
                    RuleUse {
                        rule: policy.rule_ref(rule.1, rule.2),
                        effect: policy.parts(rule.1, rule.2).next().map_or(Effect::Allow, |part| part.effect),
                        matches: judges_of(*ix).any(|judge| {
                            judge.covers.iter().any(|cover| judge.is_in(cover, |id| id == rule))
                        }),
                        needed,
                        covered_by: covered
                            .into_iter()
                            .map(|(ix, direction, index)| self.policies.get(ix).rule_ref(direction, index))
                            .collect(),
                    }
                });
                let rules: Vec<RuleUse> = rules.collect();
                let needed = !idle_policies.contains(ix);
                let mut covering: Vec<PolicyRef> = Vec::new();
                if !needed {
                    let others =
                        rules.iter().flat_map(|rule| &rule.covered_by).map(|rule| rule.policy.clone());
                    let isolating = judges_of(*ix).flat_map(|judge| &judge.isolating);
                    covering.extend(others);
                    covering.extend(isolating.map(|ix| self.policies.get(*ix).policy_ref()));
                    covering.sort();
                    covering.dedup();
                    covering.retain(|other| *other != policy.policy_ref());
                }
                PolicyUse {
                    policy: policy.policy_ref(),
                    source: policy.object.meta().source.clone(),
                    selects: of_policy.contains_key(ix),
                    needed,
                    covered_by: covering,
                    rules,
                }
            })
            .collect()
    }

    fn judges(&self) -> Vec<Judge> {
        let facts = self.facts();
        let mut keys: Vec<&ProgramKey> = self.programs.states.values().map(|state| &*state.key).collect();
        keys.sort_unstable_by(|a, b| {
            (a.direction, &a.policies, &a.named).cmp(&(b.direction, &b.policies, &b.named))
        });
        keys.into_par_iter().map(|key| Judge::new(key, &RowSource::new(key, facts))).collect()
    }

    fn rule_ids(&self, ix: PolicyIx) -> Vec<RuleId> {
        let policy = self.policies.get(ix);
        let of = |direction| {
            let asked = policy.rules(direction).is_some();
            let count = if asked { policy.rule_refs(direction).count() as u32 } else { 0 };
            (0..count).map(move |index| (ix, direction, index))
        };
        of(Direction::Egress).chain(of(Direction::Ingress)).collect()
    }
}

/// The rules that are asked where a rule matches, and that stay: a few of them, in a stable order.
fn covered_by<'a>(
    rule: RuleId,
    judges: impl Iterator<Item = &'a Judge>,
    idle: &FxHashSet<RuleId>,
) -> Vec<RuleId> {
    const FEW: usize = 4;
    let mut others: Vec<RuleId> = Vec::new();
    for judge in judges {
        for cover in judge.covers.iter().filter(|cover| judge.is_in(cover, |id| id == rule)) {
            let ids = cover.iter().map(|at| judge.rules[*at as usize].0);
            others.extend(ids.filter(|id| *id != rule && !idle.contains(id)));
        }
    }
    others.sort_unstable();
    others.dedup();
    others.truncate(FEW);
    others
}
