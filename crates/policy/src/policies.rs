//! Policies compiled to predicates and port ranges.

use podgate_api::{LabelSelector, NetworkPolicy, Peer, PolicyPort, PortMatch, Rule};
use smallvec::SmallVec;

use crate::fingerprint;
use crate::paint::{ALL_KEYS, KeyRange};
use crate::predicates::{Ids as PredIds, NameId, NsId, NsSelId, PredId, Predicates, Question, Scope};
use crate::tables::{DeciderId, Direction, PolicyRef, PortKey, RuleRef, Tier};

/// One version of a policy.
#[derive(Clone, Debug)]
pub(crate) struct CompiledPolicy {
    /// Hash of the name and of everything that decides.
    pub version: u64,
    pub object: NetworkPolicy,
    pub namespace: NsId,
    pub subject: PredId,
    /// `Some` where the policy isolates its subjects.
    pub ingress: Option<Box<[CompiledRule]>>,
    pub egress: Option<Box<[CompiledRule]>>,
    /// Peer and block predicates that the rules use, once per use.
    pub held: PredIds,
    pub held_namespaces: SmallVec<[NsSelId; 4]>,
}

/// An allow rule, or the part of it that treats its peers alike.
#[derive(Clone, Debug)]
pub(crate) struct CompiledRule {
    /// Place in the policy's list.
    pub index: u32,
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

    pub fn policy_ref(&self) -> PolicyRef {
        policy_ref(&self.object)
    }

    pub fn rule_ref(&self, direction: Direction, index: u32) -> RuleRef {
        let rules = match direction {
            Direction::Ingress => &self.object.ingress,
            Direction::Egress => &self.object.egress,
        };
        RuleRef {
            policy: self.policy_ref(),
            tier: Tier::NetworkPolicy,
            direction,
            index,
            source: rules[index as usize].source.clone(),
        }
    }
}

fn policy_ref(object: &NetworkPolicy) -> PolicyRef {
    PolicyRef {
        kind: "NetworkPolicy".to_owned(),
        namespace: object.meta.namespace.clone(),
        name: object.meta.name.clone(),
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
    let mut compiler =
        Compiler { ids, namespace, version, held: PredIds::new(), held_namespaces: SmallVec::new() };
    let ingress = object.ingress_in_force.then(|| compiler.rules(Direction::Ingress, &object.ingress));
    let egress = object.egress_in_force.then(|| compiler.rules(Direction::Egress, &object.egress));
    let Compiler { held, held_namespaces, .. } = compiler;
    CompiledPolicy { version, object, namespace, subject, ingress, egress, held, held_namespaces }
}

struct Compiler<'a, I> {
    ids: &'a mut I,
    namespace: NsId,
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
        let mut pods = CompiledRule {
            index,
            decider: fingerprint::rule(self.version, direction, index),
            any: rule.peers.is_none(),
            all_pods: false,
            peers: PredIds::new(),
            ranges,
            named,
        };
        let mut selected = PredIds::new();
        let mut blocks = PredIds::new();
        for peer in rule.peers.iter().flatten() {
            match peer {
                Peer::Pods(peer) => match self.pods(peer.namespaces.as_ref(), peer.pods.as_ref()) {
                    Pods::None => {}
                    Pods::All => pods.all_pods = true,
                    Pods::Selected(id) => selected.push(id),
                },
                Peer::IpBlock(block) => {
                    let mut except = block.except.clone();
                    except.sort_unstable();
                    except.dedup();
                    let id = self.ids.predicates().hold(Question::Block(block.cidr, except.into()));
                    self.held.push(id);
                    blocks.push(id);
                }
            }
        }
        // An address block names no pod, so a port's name means nothing at its addresses. For ingress
        // the name is resolved on the subject, whoever calls.
        let split = direction == Direction::Egress && !pods.named.is_empty() && !blocks.is_empty();
        if split {
            if !pods.ranges.is_empty() {
                out.push(CompiledRule {
                    peers: sorted(blocks),
                    ranges: pods.ranges.clone(),
                    named: [].into(),
                    any: false,
                    all_pods: false,
                    ..pods
                });
            }
        } else {
            selected.extend(blocks);
        }
        pods.peers = sorted(selected);
        if pods.any || pods.all_pods || !pods.peers.is_empty() {
            out.push(pods);
        }
    }

    fn pods(&mut self, namespaces: Option<&LabelSelector>, pods: Option<&LabelSelector>) -> Pods {
        let invalid = |selector: Option<&LabelSelector>| selector.is_some_and(LabelSelector::is_invalid);
        if invalid(namespaces) || invalid(pods) {
            return Pods::None;
        }
        let everything = LabelSelector::default();
        let pods = pods.unwrap_or(&everything);
        let scope = match namespaces {
            None => Scope::Namespace(self.namespace),
            Some(selector) if selector.is_everything() && pods.is_everything() => return Pods::All,
            Some(selector) => {
                let id = self.ids.namespace_selector(selector);
                self.held_namespaces.push(id);
                Scope::Namespaces(id)
            }
        };
        let id = self.ids.predicates().hold(Question::Peer(scope, pods.clone()));
        self.held.push(id);
        Pods::Selected(id)
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

/// What a pod peer selects.
enum Pods {
    None,
    All,
    Selected(PredId),
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
