//! Why a connection changed: the rule that allows it now, the one that went, the isolation that came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podgate_api::{ClusterPeer, ClusterPolicy, NetworkPolicy, Peer, Source};
use podgate_policy::{Connection, Decision, Direction, PolicyRef, PortKey, Reason, RuleRef, Verdict};
use serde::Serialize;

use super::ends::{Change, DiffEnd, DiffEndKind};
use super::place;
use crate::ip::IpSet;
use crate::ports::PortSet;
use crate::world::{Family, VariantId, World};

/// Something that opened or closed connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What it does.
    pub effect: Effect,
    /// At the source (`egress`) or at the destination (`ingress`).
    pub direction: Direction,
    /// The policies.
    pub policies: Vec<String>,
    /// The rule's 0-based place, where it is one rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Where it is written: in the old input for what is gone, in the new one for everything else.
    pub sources: Vec<String>,
    /// What became of it between the two worlds.
    pub state: RuleState,
}

/// What a [`Cause`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// This rule allows it.
    RuleAllows,
    /// This rule denied it, and doesn't any more.
    RuleDenied,
    /// These policies isolated the pod, and none does any more.
    NoLongerIsolated,
    /// This rule denies it.
    RuleDenies,
    /// This rule allowed it, and doesn't any more.
    RuleAllowed,
    /// These policies isolate the pod now, and no rule of theirs allows it.
    Isolated,
}

/// What became of a policy between the two worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleState {
    /// It is new.
    New,
    /// It says something else now.
    Changed,
    /// It is gone.
    Gone,
    /// It is what it was: labels, namespaces or addresses changed.
    Unchanged,
}

/// More samples than this of one side of a change are not looked at: they rarely tell more.
const MOST_SAMPLES: usize = 6;

/// Finds causes.
pub struct Finder<'a> {
    old: &'a World,
    new: &'a World,
    before: Policies,
    after: Policies,
}

/// Policies without the places where they are written.
struct Policies {
    network: BTreeMap<(String, String), (NetworkPolicy, Source)>,
    cluster: BTreeMap<(String, String), (ClusterPolicy, Source)>,
}

impl Policies {
    fn new(world: &World) -> Policies {
        let network = world.cluster.policies().map(|policy| {
            let mut bare = policy.clone();
            bare.meta = Default::default();
            for rule in bare.ingress.iter_mut().chain(&mut bare.egress) {
                rule.source = Source::default();
                for peer in rule.peers.iter_mut().flatten() {
                    match peer {
                        Peer::Pods(peer) => peer.source = Source::default(),
                        Peer::IpBlock(block) => block.source = Source::default(),
                    }
                }
                rule.ports.iter_mut().flatten().for_each(|port| port.source = Source::default());
            }
            let meta = &policy.meta;
            ((meta.namespace.clone(), meta.name.clone()), (bare, meta.source.clone()))
        });
        let cluster = world.cluster.cluster_policies().map(|policy| {
            let key = (policy.kind.as_str().to_owned(), policy.meta.name.clone());
            (key, (bare(policy), policy.meta.source.clone()))
        });
        Policies { network: network.collect(), cluster: cluster.collect() }
    }

    fn source(&self, policy: &PolicyRef) -> Option<&Source> {
        let network = || self.network.get(&(policy.namespace.clone(), policy.name.clone())).map(|(_, s)| s);
        let cluster = self.cluster.get(&(policy.kind.clone(), policy.name.clone())).map(|(_, s)| s);
        if policy.kind == "NetworkPolicy" { network() } else { cluster }
    }

    /// What became of a policy from here to the other world.
    fn became(&self, policy: &PolicyRef, other: &Policies, otherwise: RuleState) -> RuleState {
        let same = if policy.kind == "NetworkPolicy" {
            let key = (policy.namespace.clone(), policy.name.clone());
            other
                .network
                .get(&key)
                .map(|(now, _)| self.network.get(&key).is_some_and(|(then, _)| then == now))
        } else {
            let key = (policy.kind.clone(), policy.name.clone());
            other
                .cluster
                .get(&key)
                .map(|(now, _)| self.cluster.get(&key).is_some_and(|(then, _)| then == now))
        };
        match same {
            Some(true) => RuleState::Unchanged,
            Some(false) => RuleState::Changed,
            None => otherwise,
        }
    }
}

/// A policy without its name and places.
fn bare(policy: &ClusterPolicy) -> ClusterPolicy {
    let mut bare = policy.clone();
    bare.meta = Default::default();
    for rule in bare.ingress.iter_mut().chain(&mut bare.egress) {
        rule.source = Source::default();
        for peer in &mut rule.peers {
            match peer {
                ClusterPeer::Pods { source, .. }
                | ClusterPeer::Nodes { source, .. }
                | ClusterPeer::Networks { source, .. }
                | ClusterPeer::Domains { source, .. }
                | ClusterPeer::Unknown(source) => *source = Source::default(),
            }
        }
        rule.ports.iter_mut().flatten().for_each(|port| port.source = Source::default());
    }
    bare
}

impl<'a> Finder<'a> {
    /// For changes from one world to another.
    pub fn new(old: &'a World, new: &'a World) -> Finder<'a> {
        Finder { old, new, before: Policies::new(old), after: Policies::new(new) }
    }

    /// The causes of a change, by asking the engine about samples of it.
    pub fn of(
        &self,
        change: &Change,
        family: Option<Family>,
        opened: &PortSet,
        closed: &PortSet,
    ) -> Vec<Cause> {
        let mut causes: BTreeSet<Cause> = BTreeSet::new();
        let families = family.map_or(vec![Family::V4, Family::V6], |family| vec![family]);
        let ports: Vec<u32> = [opened, closed].into_iter().flat_map(samples).collect();
        for from in change.from.iter().take(MOST_SAMPLES) {
            for to in change.to.iter().take(MOST_SAMPLES) {
                for family in &families {
                    for port in &ports {
                        self.of_sample(from, to, *family, PortKey(*port), &mut causes);
                    }
                }
            }
        }
        causes.into_iter().collect()
    }

    fn of_sample(
        &self,
        from: &DiffEnd,
        to: &DiffEnd,
        family: Family,
        key: PortKey,
        causes: &mut BTreeSet<Cause>,
    ) {
        let decide = |world: &World, from: Option<IpAddr>, to: Option<IpAddr>| -> Option<Decision> {
            let connection = Connection { from: from?, to: to?, protocol: key.protocol(), port: key.port() };
            Some(world.cluster.evaluate(&connection))
        };
        let ends = |world: &World, variant: fn(&DiffEnd) -> Option<VariantId>| {
            (address(world, from, variant(from), family, 0), address(world, to, variant(to), family, 1))
        };
        let (then_from, then_to) = ends(self.old, DiffEnd::old_variant);
        let (now_from, now_to) = ends(self.new, DiffEnd::new_variant);
        let then = decide(self.old, then_from, then_to);
        let now = decide(self.new, now_from, now_to);
        let verdict = |decision: &Option<Decision>| decision.as_ref().map(|decision| decision.verdict);
        match (verdict(&then), verdict(&now)) {
            (then, now) if then == now => {}
            (None | Some(Verdict::Denied), Some(Verdict::Allowed)) => {
                self.opened(then.as_ref(), now.as_ref(), causes);
            }
            (Some(Verdict::Allowed), None | Some(Verdict::Denied)) => {
                self.closed(then.as_ref(), now.as_ref(), causes);
            }
            _ => {}
        }
    }

    fn opened(&self, then: Option<&Decision>, now: Option<&Decision>, causes: &mut BTreeSet<Cause>) {
        let Some(now) = now else { return };
        let sides = [
            (Direction::Egress, then.map(|then| &then.egress), &now.egress),
            (Direction::Ingress, then.map(|then| &then.ingress), &now.ingress),
        ];
        for (direction, then, now) in sides {
            if then.is_some_and(|then| then.verdict == Verdict::Allowed) {
                continue;
            }
            causes.insert(match (&now.reason, then.map(|then| &then.reason)) {
                (Reason::Rule(rule), _) => {
                    let state = self.after.became(&rule.policy, &self.before, RuleState::New);
                    of_rule(Effect::RuleAllows, rule, state)
                }
                (_, Some(Reason::Isolated(policies))) => {
                    let was = &self.before;
                    isolation(
                        Effect::NoLongerIsolated,
                        direction,
                        policies,
                        was,
                        &self.after,
                        RuleState::Gone,
                    )
                }
                (_, Some(Reason::Rule(rule))) => {
                    let state = self.before.became(&rule.policy, &self.after, RuleState::Gone);
                    of_rule(Effect::RuleDenied, rule, state)
                }
                _ => continue,
            });
        }
    }

    fn closed(&self, then: Option<&Decision>, now: Option<&Decision>, causes: &mut BTreeSet<Cause>) {
        let Some(then) = then else { return };
        let sides = [
            (Direction::Egress, &then.egress, now.map(|now| &now.egress)),
            (Direction::Ingress, &then.ingress, now.map(|now| &now.ingress)),
        ];
        for (direction, then, now) in sides {
            let Some(now) = now else { continue };
            if now.verdict == Verdict::Allowed {
                continue;
            }
            causes.insert(match (&now.reason, &then.reason) {
                (Reason::Rule(rule), _) => {
                    let state = self.after.became(&rule.policy, &self.before, RuleState::New);
                    of_rule(Effect::RuleDenies, rule, state)
                }
                (_, Reason::Rule(rule)) => {
                    let state = self.before.became(&rule.policy, &self.after, RuleState::Gone);
                    of_rule(Effect::RuleAllowed, rule, state)
                }
                (Reason::Isolated(policies), _) => {
                    let is = &self.after;
                    isolation(Effect::Isolated, direction, policies, is, &self.before, RuleState::New)
                }
                _ => continue,
            });
        }
    }
}

fn of_rule(effect: Effect, rule: &RuleRef, state: RuleState) -> Cause {
    Cause {
        effect,
        direction: rule.direction,
        policies: vec![rule.policy.to_string()],
        rule: Some(rule.index),
        sources: vec![place(&rule.source)],
        state,
    }
}

/// Of the policies that isolate, those that changed are the cause; all of them where none did.
fn isolation(
    effect: Effect,
    direction: Direction,
    policies: &[PolicyRef],
    here: &Policies,
    other: &Policies,
    otherwise: RuleState,
) -> Cause {
    let states: Vec<(&PolicyRef, RuleState)> =
        policies.iter().map(|policy| (policy, here.became(policy, other, otherwise))).collect();
    let state = [otherwise, RuleState::Changed, RuleState::Unchanged]
        .into_iter()
        .find(|state| states.iter().any(|(_, found)| found == state))
        .unwrap_or(RuleState::Unchanged);
    let chosen: Vec<&PolicyRef> =
        states.iter().filter(|(_, found)| *found == state).map(|(policy, _)| *policy).collect();
    Cause {
        effect,
        direction,
        policies: chosen.iter().map(|policy| policy.to_string()).collect(),
        rule: None,
        sources: chosen.iter().filter_map(|policy| here.source(policy)).map(place).collect(),
        state,
    }
}

/// The first port of each range, and TCP's and UDP's where a range holds all of them.
fn samples(ports: &PortSet) -> Vec<u32> {
    let mut keys: Vec<u32> = Vec::new();
    for (lo, hi) in ports.ranges().iter().take(MOST_SAMPLES) {
        let usual = [PortKey::new(6, 80).0, PortKey::new(17, 53).0];
        let held: Vec<u32> = usual.into_iter().filter(|key| (lo..=hi).contains(&key)).collect();
        if held.is_empty() { keys.push((*lo).max(lo | 1).min(*hi)) } else { keys.extend(held) }
    }
    keys
}

/// An address of an end: the first of a variant's pods, or the second for the other end of one variant.
fn address(
    world: &World,
    end: &DiffEnd,
    variant: Option<VariantId>,
    family: Family,
    which: usize,
) -> Option<IpAddr> {
    match &end.kind {
        DiffEndKind::Pods => {
            let pods = &world.variant(variant?).pods;
            let pod = pods.get(which).or(pods.first())?;
            world.pod(*pod).ips.iter().copied().find(|ip| Family::of(*ip) == family)
        }
        DiffEndKind::Outside(set) if set.family() == family => {
            let public = IpSet::public(family).intersection(set);
            let mut candidates = public.ranges().chain(set.ranges()).flat_map(|(lo, hi)| [lo, hi]);
            candidates.find(|ip| world.cluster.pod_at(*ip).is_none()).or(set.first())
        }
        DiffEndKind::Outside(_) | DiffEndKind::Domain(_) => None,
    }
}
