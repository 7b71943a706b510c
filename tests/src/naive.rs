//! A second opinion on network policies: straight loops over the objects, written from the Kubernetes API
//! text and the project's list of cases, sharing nothing with the engine but the object types.
//!
//! Nothing is prepared, grouped or remembered: each question reads all objects again. Slow, and
//! short enough to be compared with the specification line by line.

mod cluster_policies;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_api::{
    ClusterPolicy, ClusterTier, LabelSelector, Labels, NAMESPACE_NAME_LABEL, NetworkPolicy, Node, Object,
    ObjectKey, Operator, Peer, Pod, PodPhase, PolicyPort, PortMatch, Rule, Source,
};

/// All objects, by name.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// ICMP echo reaches isolated pods.
    pub icmp_echo: bool,
    namespaces: BTreeMap<String, Labels>,
    nodes: BTreeMap<String, Node>,
    pods: BTreeMap<(String, String), Pod>,
    policies: BTreeMap<(String, String), NetworkPolicy>,
    /// By kind and name.
    cluster_policies: BTreeMap<(&'static str, String), ClusterPolicy>,
    /// What DNS has told.
    names: BTreeMap<String, Vec<IpAddr>>,
}

/// A question: may a connection between these addresses be made?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who connects.
    pub from: IpAddr,
    /// Who is connected to.
    pub to: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// Destination port; the type of ICMP and ICMPv6; 0 for other protocols without ports.
    pub port: u16,
}

/// The answer for one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The connection may be made, as far as this direction is concerned.
    pub allowed: bool,
    /// What decides.
    pub why: Why,
}

/// What decides a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The address that policy would have to protect is no pod's.
    NotAPod,
    /// A pod talks to its own address.
    Itself,
    /// A pod and a node it runs on.
    OwnNode,
    /// No NetworkPolicy is in force for the pod in this direction, and no cluster-scoped rule decides.
    NotIsolated,
    /// The first rule that decides it.
    Rule {
        /// The policy's kind.
        kind: &'static str,
        /// The policy's namespace; empty for a cluster-scoped one.
        namespace: String,
        /// The policy's name.
        name: String,
        /// The tier of a cluster-scoped policy.
        tier: Option<ClusterTier>,
        /// The rule's place in its list.
        index: usize,
        /// Where it is written.
        source: Source,
    },
    /// The setting for ICMP echo.
    IcmpEcho,
    /// The policies (namespace, name) that are in force, none of which allows it.
    Isolated(Vec<(String, String)>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Egress,
    Ingress,
}

/// A question to one side.
struct Asked<'a> {
    side: Side,
    /// The pod whose policies are asked.
    subject: &'a Pod,
    /// The other end.
    other: IpAddr,
    question: &'a Question,
    /// Back from a Service that the pod itself is behind.
    is_hairpin: bool,
}

impl World {
    /// The world that these objects make.
    pub fn of(objects: &[Object]) -> Self {
        let mut world = World::default();
        for object in objects {
            world.apply(object.clone());
        }
        world
    }

    /// An object is there, or has changed.
    pub fn apply(&mut self, object: Object) {
        let key = (object.meta().namespace.clone(), object.meta().name.clone());
        match object {
            Object::Namespace(o) => {
                self.namespaces.insert(o.meta.name, o.meta.labels);
            }
            Object::Node(o) => {
                self.nodes.insert(o.meta.name.clone(), o);
            }
            Object::Pod(o) => {
                self.pods.insert(key, o);
            }
            Object::NetworkPolicy(o) => {
                self.policies.insert(key, o);
            }
            Object::ClusterPolicy(o) => {
                self.cluster_policies.insert((o.kind.as_str(), o.meta.name.clone()), o);
            }
            _ => {}
        }
    }

    /// An object is gone.
    pub fn delete(&mut self, key: &ObjectKey) {
        let name = (key.namespace.clone(), key.name.clone());
        match key.kind {
            "Namespace" => {
                self.namespaces.remove(&key.name);
            }
            "Node" => {
                self.nodes.remove(&key.name);
            }
            "Pod" => {
                self.pods.remove(&name);
            }
            "NetworkPolicy" => {
                self.policies.remove(&name);
            }
            kind => {
                self.cluster_policies.remove(&(kind, key.name.clone()));
            }
        }
    }

    /// A name has these addresses from now on.
    pub fn bind(&mut self, name: &str, addresses: &[IpAddr]) {
        self.names.insert(name.to_owned(), addresses.to_vec());
    }

    /// What DNS has told.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[IpAddr])> {
        self.names.iter().map(|(name, addresses)| (name.as_str(), addresses.as_slice()))
    }

    /// The objects, as a fresh reader would get them.
    pub fn objects(&self) -> Vec<Object> {
        let namespaces = self.namespaces.iter().map(|(name, labels)| {
            let mut namespace = podgate_api::Namespace::default();
            namespace.meta.name = name.clone();
            namespace.meta.labels = labels.clone();
            Object::Namespace(namespace)
        });
        namespaces
            .chain(self.nodes.values().cloned().map(Object::Node))
            .chain(self.pods.values().cloned().map(Object::Pod))
            .chain(self.policies.values().cloned().map(Object::NetworkPolicy))
            .chain(self.cluster_policies.values().cloned().map(Object::ClusterPolicy))
            .collect()
    }

    /// The answer for the source's egress and the destination's ingress.
    pub fn answer(&self, question: &Question) -> (Answer, Answer) {
        let both = |why: Why| {
            let answer = Answer { allowed: true, why };
            (answer.clone(), answer)
        };
        // Case 20: not seen by policy.
        if question.from == question.to {
            return both(Why::Itself);
        }
        // Case 19: every address of the node the pod runs on, both ways.
        if self.runs_on(question.to, question.from) || self.runs_on(question.from, question.to) {
            return both(Why::OwnNode);
        }
        (self.side(Side::Egress, question, false), self.side(Side::Ingress, question, false))
    }

    /// The same for a connection that a pod makes to itself through a Service: case 20. Cluster-scoped policies
    /// see it; a NetworkPolicy that would isolate the pod lets it through.
    pub fn answer_hairpin(&self, pod: IpAddr, protocol: u8, port: u16) -> (Answer, Answer) {
        let question = Question { from: pod, to: pod, protocol, port };
        (self.side(Side::Egress, &question, true), self.side(Side::Ingress, &question, true))
    }

    /// The tiers in their order; the first one that decides has the last word.
    fn side(&self, side: Side, question: &Question, is_hairpin: bool) -> Answer {
        let (subject, other) = match side {
            Side::Egress => (question.from, question.to),
            Side::Ingress => (question.to, question.from),
        };
        let Some(subject) = self.pod_at(subject) else {
            return Answer { allowed: true, why: Why::NotAPod };
        };
        let asked = Asked { side, subject, other, question, is_hairpin };
        self.ask_tier(ClusterTier::Admin, &asked)
            .or_else(|| self.ask_network_policies(&asked))
            .or_else(|| self.ask_tier(ClusterTier::Baseline, &asked))
            .unwrap_or(Answer { allowed: true, why: Why::NotIsolated })
    }

    /// `None` when no policy isolates the pod in this direction.
    fn ask_network_policies(&self, asked: &Asked<'_>) -> Option<Answer> {
        let yes = |why| Some(Answer { allowed: true, why });
        let policies: Vec<&NetworkPolicy> = self
            .policies
            .values()
            .filter(|policy| in_force(policy, asked.side) && selects(policy, asked.subject))
            .collect();
        if policies.is_empty() {
            return None;
        }
        if asked.is_hairpin {
            return yes(Why::Itself);
        }
        for policy in &policies {
            for (index, rule) in rules(policy, asked.side).iter().enumerate() {
                if self.rule_allows(policy, rule, asked) {
                    return yes(Why::Rule {
                        kind: "NetworkPolicy",
                        namespace: policy.meta.namespace.clone(),
                        name: policy.meta.name.clone(),
                        tier: None,
                        index,
                        source: rule.source.clone(),
                    });
                }
            }
        }
        // Case 21: echo requests are types 8 of ICMP and 128 of ICMPv6; replies follow them anyway.
        if self.icmp_echo && matches!((asked.question.protocol, asked.question.port), (1, 8) | (58, 128)) {
            return yes(Why::IcmpEcho);
        }
        let isolating = |p: &&NetworkPolicy| (p.meta.namespace.clone(), p.meta.name.clone());
        Some(Answer { allowed: false, why: Why::Isolated(policies.iter().map(isolating).collect()) })
    }

    /// Cases 6 and 27: the pod that policy sees at an address. One that runs, and isn't about to end, goes
    /// before one that is newer; names end a tie, so that there is one answer.
    fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        self.pods
            .values()
            .filter(|pod| !pod.host_network)
            .filter(|pod| !matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed))
            .filter(|pod| pod.ips.contains(&address))
            .max_by_key(|pod| {
                let runs = !matches!(pod.phase, PodPhase::Pending);
                (runs, !pod.meta.terminating, &pod.meta.created, &pod.meta.namespace, &pod.meta.name)
            })
    }

    /// Whether every pod that policy may select can be reached at some address.
    pub fn every_pod_has_an_address(&self) -> bool {
        let ended = |pod: &Pod| matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed);
        let owns = |pod: &Pod, ip: &IpAddr| self.pod_at(*ip).is_some_and(|owner| std::ptr::eq(owner, pod));
        self.pods.values().all(|pod| pod.host_network || ended(pod) || pod.ips.iter().any(|ip| owns(pod, ip)))
    }

    /// Whether there is a pod at `pod`, on a node that has the address `node`.
    fn runs_on(&self, pod: IpAddr, node: IpAddr) -> bool {
        let Some(name) = self.pod_at(pod).and_then(|pod| pod.node.as_ref()) else { return false };
        self.nodes.get(name).is_some_and(|found| found.addresses.contains(&node))
    }

    fn rule_allows(&self, policy: &NetworkPolicy, rule: &Rule, asked: &Asked<'_>) -> bool {
        let Asked { side, subject, other, question, .. } = *asked;
        // Case 12: names are resolved on the destination pod.
        let destination = match side {
            Side::Ingress => Some(subject),
            Side::Egress => self.pod_at(other),
        };
        let Some(peers) = &rule.peers else {
            // Case 7: any source, any destination.
            return ports_match(rule, destination, question);
        };
        peers.iter().any(|peer| match peer {
            Peer::Pods(peer) => {
                let Some(pod) = self.pod_at(other) else { return false };
                // Case 2.
                let namespace_fits = match &peer.namespaces {
                    Some(selector) => fits(selector, &self.namespace_labels(&pod.meta.namespace)),
                    None => pod.meta.namespace == policy.meta.namespace,
                };
                let pod_fits = match &peer.pods {
                    Some(selector) => fits(selector, &pod.meta.labels),
                    None => peer.namespaces.is_some(),
                };
                namespace_fits && pod_fits && ports_match(rule, destination, question)
            }
            Peer::IpBlock(block) => {
                // Case 12: a block names addresses, and addresses have no port names.
                let destination = match side {
                    Side::Ingress => Some(subject),
                    Side::Egress => None,
                };
                holds(&block.cidr, other)
                    && !block.except.iter().any(|hole| holds(hole, other))
                    && ports_match(rule, destination, question)
            }
        })
    }

    /// Case 3: a namespace that nobody described still has its name.
    fn namespace_labels(&self, name: &str) -> Labels {
        let mut labels = self.namespaces.get(name).cloned().unwrap_or_default();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
        labels
    }
}

fn in_force(policy: &NetworkPolicy, side: Side) -> bool {
    match side {
        Side::Egress => policy.egress_in_force,
        Side::Ingress => policy.ingress_in_force,
    }
}

fn rules(policy: &NetworkPolicy, side: Side) -> &[Rule] {
    match side {
        Side::Egress => &policy.egress,
        Side::Ingress => &policy.ingress,
    }
}

/// Case 5: an unreadable selector of subjects selects all of them.
fn selects(policy: &NetworkPolicy, pod: &Pod) -> bool {
    policy.meta.namespace == pod.meta.namespace
        && (policy.pod_selector.is_invalid() || fits(&policy.pod_selector, &pod.meta.labels))
}

/// Case 1; and case 5: an unreadable selector of peers matches nothing.
fn fits(selector: &LabelSelector, labels: &Labels) -> bool {
    if selector.is_invalid() {
        return false;
    }
    selector.requirements().iter().all(|requirement| {
        let value = labels.get(&requirement.key);
        match requirement.operator {
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::In => match value {
                Some(value) => requirement.values.contains(value),
                None => false,
            },
            Operator::NotIn => match value {
                Some(value) => !requirement.values.contains(value),
                None => true,
            },
        }
    })
}

/// Cases 7, 10 to 13, 21.
fn ports_match(rule: &Rule, destination: Option<&Pod>, question: &Question) -> bool {
    let Some(ports) = &rule.ports else { return true };
    ports.iter().any(|entry| port_matches(entry, destination, question))
}

fn port_matches(entry: &PolicyPort, destination: Option<&Pod>, question: &Question) -> bool {
    if entry.protocol.number() != question.protocol {
        return false;
    }
    match &entry.port {
        PortMatch::All => true,
        PortMatch::Range(first, last) => *first <= question.port && question.port <= *last,
        PortMatch::Named(name) => destination.is_some_and(|pod| {
            pod.ports.iter().any(|port| {
                port.name == *name && port.protocol == entry.protocol && port.port == question.port
            })
        }),
    }
}

/// Case 17: a block says nothing of the other family.
fn holds(block: &IpNet, address: IpAddr) -> bool {
    let same_prefix = |a: u128, b: u128, shift: u32| a.checked_shr(shift) == b.checked_shr(shift);
    match (block, address) {
        (IpNet::V4(block), IpAddr::V4(address)) => {
            let (a, b) = (u32::from(block.addr()), u32::from(address));
            same_prefix(a.into(), b.into(), 32 - u32::from(block.prefix_len()))
        }
        (IpNet::V6(block), IpAddr::V6(address)) => {
            let shift = 128 - u32::from(block.prefix_len());
            same_prefix(block.addr().into(), address.into(), shift)
        }
        _ => false,
    }
}
