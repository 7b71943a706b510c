//! Policies compiled to predicates and port ranges.

mod cluster_scoped;
mod table;

use ipnet::IpNet;
use podgate_api::{
    Action, ClusterPolicy, ClusterTier, LabelSelector, Meta, NetworkPolicy, Peer, PolicyPort, PortMatch,
    Rule, Source,
};
use smallvec::SmallVec;

use crate::explain::Effect;
use crate::fingerprint;
use crate::paint::{ALL_KEYS, KeyRange};
use crate::predicates::{Ids as PredIds, NameId, NsId, NsSelId, PredId, Predicates, Question, Scope};
use crate::tables::{DeciderId, Direction, PolicyRef, PortKey, RuleRef, Tier};

pub(crate) use cluster_scoped::compile_cluster_scoped;
pub(crate) use table::Policies;

/// A policy as it was written.
#[expect(clippy::large_enum_variant, reason = "nearly all policies are the large variant")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PolicyObject {
    Namespaced(NetworkPolicy),
    ClusterScoped(Box<ClusterPolicy>),
}

/// What no two policies share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PolicyKey<'a> {
    pub kind: &'static str,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl PolicyObject {
    pub fn meta(&self) -> &Meta {
        match self {
            PolicyObject::Namespaced(policy) => &policy.meta,
            PolicyObject::ClusterScoped(policy) => &policy.meta,
        }
    }

    pub fn key(&self) -> PolicyKey<'_> {
        let kind = match self {
            PolicyObject::Namespaced(_) => "NetworkPolicy",
            PolicyObject::ClusterScoped(policy) => policy.kind.as_str(),
        };
        PolicyKey { kind, namespace: &self.meta().namespace, name: &self.meta().name }
    }
}

/// One version of a policy.
#[derive(Clone, Debug)]
pub(crate) struct CompiledPolicy {
    /// Hash of the name and of everything that decides.
    pub version: u64,
    pub object: PolicyObject,
    /// `None` for a cluster-scoped policy.
    pub namespace: Option<NsId>,
    pub subject: PredId,
    /// `Some` where the policy has a say: it isolates its subjects, or has rules that decide.
    pub ingress: Option<Box<[CompiledRule]>>,
    pub egress: Option<Box<[CompiledRule]>>,
    /// Peer and block predicates that the rules use, once per use.
    pub held: PredIds,
    pub held_namespaces: SmallVec<[NsSelId; 4]>,
}

/// A rule, or the part of it that treats its peers alike.
#[derive(Clone, Debug)]
pub(crate) struct CompiledRule {
    /// Place in the policy's list.
    pub index: u32,
    pub effect: Effect,
    pub decider: DeciderId,
    /// Any address at all.
    pub any: bool,
    /// Every pod of every namespace.
    pub all_pods: bool,
    /// Any of these.
    pub peers: PredIds,
    /// Sorted, disjoint.
    pub ranges: Ranges,
    /// Names to be resolved on the destination pod.
    pub named: Box<[(NameId, u8)]>,
}

/// Sorted, disjoint key ranges.
pub(crate) type Ranges = SmallVec<[KeyRange; 2]>;

/// Key ranges, and the port names that go with them.
type Ports = (Ranges, Box<[(NameId, u8)]>);

/// Where the compiler gets ids from.
pub(crate) trait Ids {
    fn predicates(&mut self) -> &mut Predicates;
    fn namespace_selector(&mut self, selector: &LabelSelector) -> NsSelId;
    fn port_name(&mut self, name: &str) -> NameId;
}

impl CompiledPolicy {
    pub fn rules(&self, direction: Direction) -> Option<&[CompiledRule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// The parts of one rule.
    pub fn parts(&self, direction: Direction, index: u32) -> impl Iterator<Item = &CompiledRule> {
        self.rules(direction).unwrap_or_default().iter().filter(move |rule| rule.index == index)
    }

    /// How many rules it has in a direction, parts counted.
    pub fn parts_of(&self, direction: Direction) -> u32 {
        self.rules(direction).map_or(0, |rules| rules.len() as u32)
    }

    pub fn tier(&self) -> Tier {
        match &self.object {
            PolicyObject::Namespaced(_) => Tier::NetworkPolicy,
            PolicyObject::ClusterScoped(policy) => match policy.tier {
                ClusterTier::Admin => Tier::Admin,
                ClusterTier::Baseline => Tier::Baseline,
            },
        }
    }

    /// Whether its subjects are denied what no rule allows.
    pub fn isolates(&self) -> bool {
        matches!(self.object, PolicyObject::Namespaced(_))
    }

    /// The priority that was written.
    pub fn priority(&self) -> Option<i32> {
        match &self.object {
            PolicyObject::Namespaced(_) => None,
            PolicyObject::ClusterScoped(policy) => {
                Some(policy.priority).filter(|priority| *priority != ClusterPolicy::NO_PRIORITY)
            }
        }
    }

    /// The order in which policies are asked, and named where the order doesn't matter.
    pub fn rank(&self) -> (Tier, i32, PolicyKey<'_>) {
        let priority = match &self.object {
            PolicyObject::Namespaced(_) => 0,
            PolicyObject::ClusterScoped(policy) => policy.priority,
        };
        (self.tier(), priority, self.object.key())
    }

    pub fn policy_ref(&self) -> PolicyRef {
        let PolicyKey { kind, namespace, name } = self.object.key();
        PolicyRef { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub fn rule_ref(&self, direction: Direction, index: u32) -> RuleRef {
        let (name, _, source) = self.written_rule(direction, index);
        RuleRef {
            policy: self.policy_ref(),
            tier: self.tier(),
            direction,
            index,
            name: name.to_owned(),
            source: source.clone(),
        }
    }

    /// The rules of a direction as they were written, with what they do where they match.
    pub fn rule_refs(&self, direction: Direction) -> impl Iterator<Item = (RuleRef, Effect)> {
        (0..self.written_rules(direction))
            .map(move |index| (self.rule_ref(direction, index), self.written_rule(direction, index).1))
    }

    fn written_rules(&self, direction: Direction) -> u32 {
        let rules = match (&self.object, direction) {
            (PolicyObject::Namespaced(policy), Direction::Ingress) => policy.ingress.len(),
            (PolicyObject::Namespaced(policy), Direction::Egress) => policy.egress.len(),
            (PolicyObject::ClusterScoped(policy), Direction::Ingress) => policy.ingress.len(),
            (PolicyObject::ClusterScoped(policy), Direction::Egress) => policy.egress.len(),
        };
        rules as u32
    }

    fn written_rule(&self, direction: Direction, index: u32) -> (&str, Effect, &Source) {
        let at = index as usize;
        match (&self.object, direction) {
            (PolicyObject::Namespaced(policy), Direction::Ingress) => {
                ("", Effect::Allow, &policy.ingress[at].source)
            }
            (PolicyObject::Namespaced(policy), Direction::Egress) => {
                ("", Effect::Allow, &policy.egress[at].source)
            }
            (PolicyObject::ClusterScoped(policy), direction) => {
                let rule = match direction {
                    Direction::Ingress => &policy.ingress[at],
                    Direction::Egress => &policy.egress[at],
                };
                (&rule.name, Effect::of(rule.action), &rule.source)
            }
        }
    }
}

impl Effect {
    fn of(action: Action) -> Effect {
        match action {
            Action::Accept => Effect::Allow,
            Action::Deny => Effect::Deny,
            Action::Pass => Effect::Pass,
        }
    }
}

/// Compiles a policy of the namespace, taking predicates into use; `version` is its fingerprint.
pub(crate) fn compile(
    object: NetworkPolicy,
    version: u64,
    namespace: NsId,
    ids: &mut impl Ids,
) -> CompiledPolicy {
    // A subject selector that can't be read isolates the whole namespace: fail closed.
    let subject =
        if object.pod_selector.is_invalid() { LabelSelector::default() } else { object.pod_selector.clone() };
    let subject = ids.predicates().hold(Question::Subject(Scope::Namespace(namespace), subject));
    let mut compiler = Compiler {
        ids,
        namespace: Some(namespace),
        version,
        held: PredIds::new(),
        held_namespaces: SmallVec::new(),
    };
    let ingress = object.ingress_in_force.then(|| compiler.rules(Direction::Ingress, &object.ingress));
    let egress = object.egress_in_force.then(|| compiler.rules(Direction::Egress, &object.egress));
    let Compiler { held, held_namespaces, .. } = compiler;
    let object = PolicyObject::Namespaced(object);
    CompiledPolicy {
        version,
        object,
        namespace: Some(namespace),
        subject,
        ingress,
        egress,
        held,
        held_namespaces,
    }
}

struct Compiler<'a, I> {
    ids: &'a mut I,
    /// Where pod selectors without a namespace selector look.
    namespace: Option<NsId>,
    version: u64,
    held: PredIds,
    held_namespaces: SmallVec<[NsSelId; 4]>,
}

impl<I: Ids> Compiler<'_, I> {
    fn rules(&mut self, direction: Direction, rules: &[Rule]) -> Box<[CompiledRule]> {
        let mut compiled = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            self.rule(direction, index as u32, rule, &mut compiled);
        }
        compiled.into()
    }

    fn rule(&mut self, direction: Direction, index: u32, rule: &Rule, out: &mut Vec<CompiledRule>) {
        let (ranges, named) = self.ports(rule.ports.as_deref());
        if ranges.is_empty() && named.is_empty() {
            return;
        }
        let mut peers = Peers { any: rule.peers.is_none(), ..Peers::default() };
        for peer in rule.peers.iter().flatten() {
            match peer {
                Peer::Pods(peer) => self.pods(peer.namespaces.as_ref(), peer.pods.as_ref(), &mut peers),
                Peer::IpBlock(block) => self.block(block.cidr, &block.except, &mut peers),
            }
        }
        let decider = fingerprint::rule(self.version, direction, index);
        push(direction, index, Effect::Allow, decider, peers, (ranges, named), out);
    }

    fn block(&mut self, cidr: IpNet, except: &[IpNet], peers: &mut Peers) {
        let mut except = except.to_vec();
        except.sort_unstable();
        except.dedup();
        peers.blocks.push(self.hold(Question::Block(cidr, except.into())));
    }

    fn hold(&mut self, question: Question) -> PredId {
        let id = self.ids.predicates().hold(question);
        self.held.push(id);
        id
    }

    fn pods(&mut self, namespaces: Option<&LabelSelector>, pods: Option<&LabelSelector>, peers: &mut Peers) {
        let invalid = |selector: Option<&LabelSelector>| selector.is_some_and(LabelSelector::is_invalid);
        if invalid(namespaces) || invalid(pods) {
            return;
        }
        let everything = LabelSelector::default();
        let pods = pods.unwrap_or(&everything);
        let scope = match (namespaces, self.namespace) {
            (None, Some(namespace)) => Scope::Namespace(namespace),
            (None, None) => return,
            (Some(selector), _) if selector.is_everything() && pods.is_everything() => {
                peers.all_pods = true;
                return;
            }
            (Some(selector), _) => self.namespaces(selector),
        };
        peers.pods.push(self.hold(Question::Peer(scope, pods.clone())));
    }

    fn namespaces(&mut self, selector: &LabelSelector) -> Scope {
        let id = self.ids.namespace_selector(selector);
        self.held_namespaces.push(id);
        Scope::Namespaces(id)
    }

    fn ports(&mut self, ports: Option<&[PolicyPort]>) -> Ports {
        let Some(ports) = ports else { return (Ranges::from_slice(&[ALL_KEYS]), [].into()) };
        let mut ranges = Ranges::new();
        let mut named = Vec::new();
        for port in ports {
            let protocol = port.protocol.number();
            match &port.port {
                PortMatch::All => ranges.push(key_range(protocol, 0, u16::MAX)),
                PortMatch::Range(lo, hi) => ranges.push(key_range(protocol, *lo, *hi)),
                PortMatch::Named(name) => named.push((self.ids.port_name(name), protocol)),
            }
        }
        named.sort_unstable();
        named.dedup();
        (merged(ranges), named.into())
    }
}

/// The peers of a rule.
#[derive(Default)]
struct Peers {
    any: bool,
    all_pods: bool,
    /// Predicates about pods.
    pods: PredIds,
    /// Predicates about addresses.
    blocks: PredIds,
}

/// Adds a rule, in two parts where its peers are not alike. A rule that matches nothing is left out.
fn push(
    direction: Direction,
    index: u32,
    effect: Effect,
    decider: DeciderId,
    peers: Peers,
    (ranges, named): Ports,
    out: &mut Vec<CompiledRule>,
) {
    let Peers { any, all_pods, mut pods, blocks } = peers;
    let mut add = |any: bool, all_pods: bool, peers: PredIds, ranges: Ranges, named: Box<[(NameId, u8)]>| {
        let matches_port = !ranges.is_empty() || !named.is_empty();
        if matches_port && (any || all_pods || !peers.is_empty()) {
            let peers = sorted(peers);
            out.push(CompiledRule { index, effect, decider, any, all_pods, peers, ranges, named });
        }
    };
    // An address block names no pod, so a port's name means nothing at its addresses. For ingress
    // the name is resolved on the subject, whoever calls.
    if direction == Direction::Egress && !named.is_empty() && !blocks.is_empty() {
        add(false, false, blocks, ranges.clone(), [].into());
    } else {
        pods.extend(blocks);
    }
    add(any, all_pods, pods, ranges, named);
}

pub(crate) fn key_range(protocol: u8, lo: u16, hi: u16) -> KeyRange {
    (PortKey::new(protocol, lo).0, PortKey::new(protocol, hi).0)
}

/// Sorted, overlapping and touching ranges joined.
pub(crate) fn merged(mut ranges: Ranges) -> Ranges {
    if ranges.len() < 2 {
        return ranges;
    }
    ranges.sort_unstable();
    let mut joined = Ranges::with_capacity(ranges.len());
    for (lo, hi) in ranges {
        match joined.last_mut() {
            Some(last) if lo <= last.1.saturating_add(1) => last.1 = last.1.max(hi),
            _ => joined.push((lo, hi)),
        }
    }
    joined
}

fn sorted(mut ids: PredIds) -> PredIds {
    ids.sort_unstable();
    ids.dedup();
    ids
}
