//! The engine with pods as they were when their flows were seen.
//!
//! Pods come and go, and addresses are used again. Each end of a flow is a pod of the input, a pod that is made again
//! from what is known of it, or an address that is no pod's; before the engine is asked, whoever had the address
//! then has it again.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podgate_analysis::why::rules::Written;
use podgate_api::{
    ContainerPort, Labels, Meta, NetworkPolicy, Node, Object, ObjectKey, Owner, Pod, PodPhase, PortMatch,
    Service, Workload,
};
use podgate_flow::{Party, Protocol};
use podgate_policy::{Cluster, Decision, Direction, Explanation, PolicyRef, Settings, Verdict};
use rustc_hash::FxHashMap;

use crate::seen::{End, Key, Seen, Tally};

/// Why a flow can't be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unjudged {
    /// The pod is gone, its workload is not in the input, and the record has no labels.
    PodGone,
    /// The address is in the pods' network, and nobody told whose it was.
    UnknownAddress,
    /// The rule that would decide names a port by its name, and the pod's ports are not known.
    UnknownPortNames,
    /// The record has a Service's address, and its pods are judged differently or are not known.
    UnknownBackend,
    /// Only packets from the middle of a connection were seen: who opened it is not clear.
    UnclearBeginning,
    /// One node let it through, and the other was not heard.
    UnknownOutcome,
}

impl Unjudged {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Unjudged::PodGone => {
                "the pod is gone: its workload is not in the input, and the record has no labels"
            }
            Unjudged::UnknownAddress => {
                "the address is in the pods' network, and no pod is known to have had it"
            }
            Unjudged::UnknownPortNames => {
                "a rule names the port by its name, and the ports of a pod that is gone are not known"
            }
            Unjudged::UnknownBackend => {
                "the record has a Service's address rather than a pod's, and its pods are judged differently"
            }
            Unjudged::UnclearBeginning => "its beginning was not seen, so that who opened it is not clear",
            Unjudged::UnknownOutcome => "one node let it through, and the other was not heard",
        }
    }
}

/// Who has to have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The pod of this number.
    Pod(usize),
    /// No pod.
    Nobody,
}

/// See the module.
#[derive(Debug)]
pub struct Judge {
    cluster: Cluster,
    /// Pods of the input that have addresses, by namespace and name, then those that were made again.
    pods: Vec<Pod>,
    /// How many of `pods` are the input's.
    given: usize,
    /// Pods whose ports are not known.
    without_ports: Vec<bool>,
    /// Who has an address in `cluster` now.
    installed: FxHashMap<IpAddr, usize>,
    changed: bool,
    known: Known,
    made: FxHashMap<End, Option<usize>>,
}

/// The input by name.
#[derive(Debug, Default)]
struct Known {
    pods: BTreeMap<(String, String), Pod>,
    workloads: BTreeMap<(String, String, String), Workload>,
    nodes: BTreeMap<String, Node>,
    services: Vec<Service>,
}

impl Judge {
    /// A judge for flows, with the objects of a cluster and the policies to judge by.
    pub fn new(objects: Vec<Object>, settings: Settings, seen: &Seen) -> Judge {
        let mut known = Known::default();
        let mut rest = Vec::new();
        for object in objects {
            match object {
                Object::Pod(pod) => {
                    known.pods.insert((pod.meta.namespace.clone(), pod.meta.name.clone()), pod);
                }
                Object::Workload(workload) => {
                    let meta = &workload.meta;
                    let key = (meta.namespace.clone(), workload.kind.as_str().to_owned(), meta.name.clone());
                    known.workloads.insert(key, workload);
                }
                Object::Node(node) => {
                    known.nodes.insert(node.meta.name.clone(), node);
                }
                Object::Service(service) => known.services.push(service),
                other => rest.push(other),
            }
        }
        // A node has more addresses than its status says: a pod's own node reaches it from any of them.
        for end in seen.flows.keys().chain(seen.unclear.keys()).flat_map(|key| [&key.from, &key.to]) {
            if let Party::Node { node } = &*end.party {
                let known = known.nodes.entry(node.clone()).or_insert_with(|| Node {
                    meta: Meta { name: node.clone(), ..Meta::default() },
                    ..Node::default()
                });
                if !known.addresses.contains(&end.ip) {
                    known.addresses.push(end.ip);
                }
            }
        }
        let mut cluster = Cluster::new(settings);
        cluster.apply_all(rest);
        known.nodes.values().for_each(|node| cluster.apply(Object::Node(node.clone())));
        let mut judge = Judge {
            cluster,
            pods: Vec::new(),
            given: 0,
            without_ports: Vec::new(),
            installed: FxHashMap::default(),
            changed: true,
            known,
            made: FxHashMap::default(),
        };
        let given: Vec<Pod> = judge.known.pods.values().filter(|pod| is_judged(pod)).cloned().collect();
        for pod in given {
            let number = judge.add(pod, true);
            judge.install(number);
        }
        judge.given = judge.pods.len();
        judge
    }

    /// Whether the pod at an end declares a port.
    pub fn serves(objects: &[Object]) -> impl Fn(&End, Protocol, u16) -> bool {
        let mut declared: FxHashMap<(String, String), Vec<ContainerPort>> = FxHashMap::default();
        for object in objects {
            match object {
                Object::Pod(pod) => {
                    declared.insert((pod.meta.namespace.clone(), pod.meta.name.clone()), pod.ports.clone());
                }
                Object::Workload(workload) => {
                    let title = format!("{} {}", workload.kind.as_str(), workload.meta.name);
                    declared
                        .insert((workload.meta.namespace.clone(), title), workload.template.ports.clone());
                }
                _ => {}
            }
        }
        move |end, protocol, port| {
            let Party::Pod { namespace, pod, owner, .. } = &*end.party else { return false };
            let owner = owner.as_ref().map(|owner| format!("{} {}", owner.kind, owner.name));
            let names = [Some(pod.clone()), owner];
            names.into_iter().flatten().filter_map(|name| declared.get(&(namespace.clone(), name))).any(
                |ports| ports.iter().any(|known| known.port == port && known.protocol.number() == protocol.0),
            )
        }
    }

    /// What the policies say to connections.
    ///
    /// # Errors
    /// When what would have to be known for that is not.
    pub fn judge(&mut self, key: &Key, tally: &Tally) -> Result<Decision, Unjudged> {
        let from = self.standing(&key.from, tally)?;
        if let Some(backends) = self.backends(key) {
            return self.judge_backends(key, from, &backends);
        }
        let to = self.standing(&key.to, tally)?;
        self.ask(key, from, to, tally.through_service)
    }

    /// What the policies say to a connection, with every policy and rule that is asked.
    ///
    /// # Errors
    /// As [`Judge::judge`].
    pub fn explain(&mut self, key: &Key, tally: &Tally) -> Result<Explanation, Unjudged> {
        let decision = self.judge(key, tally)?;
        Ok(Explanation { decision, ..self.cluster.explain(&key.connection()) })
    }

    /// The text of a policy that it judges by.
    pub fn written(&self, policy: &PolicyRef) -> Option<Written<'_>> {
        Written::find(&self.cluster, policy)
    }

    fn ask(
        &mut self,
        key: &Key,
        from: Standing,
        to: Standing,
        through_service: bool,
    ) -> Result<Decision, Unjudged> {
        self.ensure(key.from.ip, from);
        self.ensure(key.to.ip, to);
        if self.changed {
            self.cluster.commit();
            self.changed = false;
        }
        if key.from.ip == key.to.ip && through_service {
            return Ok(self.cluster.evaluate_hairpin(key.from.ip, key.protocol.0, key.port));
        }
        let connection = key.connection();
        let decision = self.cluster.evaluate(&connection);
        if decision.verdict == Verdict::Denied
            && let Standing::Pod(number) = to
            && self.without_ports[number]
            && [Direction::Egress, Direction::Ingress].into_iter().any(|direction| {
                let near = self.cluster.near_rules(&connection, direction);
                near.iter().any(|rule| rule.peer && names_ports(rule.policy, direction, rule.index))
            })
        {
            return Err(Unjudged::UnknownPortNames);
        }
        Ok(decision)
    }

    /// The pods behind a Service whose address a record has, with their ports; `None`: it is no Service's.
    fn backends(&self, key: &Key) -> Option<Vec<(usize, u16)>> {
        if matches!(*key.to.party, Party::Pod { .. } | Party::Node { .. }) {
            return None;
        }
        let service = self.known.services.iter().find(|service| service.cluster_ips.contains(&key.to.ip))?;
        let mut found = Vec::new();
        let ports = service
            .ports
            .iter()
            .filter(|port| port.port == key.port && port.protocol.number() == key.protocol.0);
        for port in ports {
            for (number, pod) in self.pods[..self.given].iter().enumerate() {
                let selected = service.selector.as_ref().is_some_and(|selector| {
                    pod.meta.namespace == service.meta.namespace
                        && selector.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value))
                });
                if !selected {
                    continue;
                }
                match &port.target {
                    podgate_api::TargetPort::Number(target) => found.push((number, *target)),
                    podgate_api::TargetPort::Name(name) => {
                        let named = pod
                            .ports
                            .iter()
                            .filter(|known| known.name == *name && known.protocol == port.protocol);
                        found.extend(named.map(|known| (number, known.port)));
                    }
                }
            }
        }
        Some(found)
    }

    fn judge_backends(
        &mut self,
        key: &Key,
        from: Standing,
        backends: &[(usize, u16)],
    ) -> Result<Decision, Unjudged> {
        let mut decided: Option<Decision> = None;
        for (number, port) in backends {
            let family = |ip: &&IpAddr| ip.is_ipv4() == key.to.ip.is_ipv4();
            let Some(ip) = self.pods[*number].ips.iter().find(family).copied() else { continue };
            let one = Key { to: End { party: key.to.party.clone(), ip }, port: *port, ..key.clone() };
            let decision = self.ask(&one, from, Standing::Pod(*number), true)?;
            if decided.as_ref().is_some_and(|known| known.verdict != decision.verdict) {
                return Err(Unjudged::UnknownBackend);
            }
            decided.get_or_insert(decision);
        }
        decided.ok_or(Unjudged::UnknownBackend)
    }

    /// Who had the address of an end.
    fn standing(&mut self, end: &End, tally: &Tally) -> Result<Standing, Unjudged> {
        match &*end.party {
            Party::Node { .. } => Ok(Standing::Nobody),
            Party::Outside { .. } => {
                let in_pods_network = self
                    .known
                    .nodes
                    .values()
                    .any(|node| node.pod_cidrs.iter().any(|net| net.contains(&end.ip)));
                match in_pods_network || (tally.unknown_pod && self.is_private(end.ip)) {
                    true => Err(Unjudged::UnknownAddress),
                    false => Ok(Standing::Nobody),
                }
            }
            Party::Pod { .. } => {
                if let Some(made) = self.made.get(end) {
                    return made.map(Standing::Pod).ok_or(Unjudged::PodGone);
                }
                let standing = self.pod(end);
                if let Ok(Standing::Pod(number)) = standing {
                    self.made.insert(end.clone(), Some(number));
                } else if standing.is_err() {
                    self.made.insert(end.clone(), None);
                }
                standing
            }
        }
    }

    /// Whether the kernel can have meant this end, when it did not know whose an address was.
    fn is_private(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => ip.is_private() || ip.octets()[0] == 100,
            IpAddr::V6(ip) => ip.is_unique_local(),
        }
    }

    /// The pod at an end, made again where the input has none at this address.
    fn pod(&mut self, end: &End) -> Result<Standing, Unjudged> {
        let Party::Pod { namespace, pod: name, owner, node, labels } = &*end.party else {
            return Ok(Standing::Nobody);
        };
        let known = self.known.pods.get(&(namespace.clone(), name.clone()));
        if let Some(known) = known {
            if known.host_network {
                return Ok(Standing::Nobody);
            }
            let given = self.pods[..self.given]
                .binary_search_by(|pod| (&pod.meta.namespace, &pod.meta.name).cmp(&(namespace, name)));
            if let Ok(number) = given
                && self.pods[number].ips.contains(&end.ip)
            {
                return Ok(Standing::Pod(number));
            }
        }
        let workload = owner.as_ref().and_then(|owner| {
            self.known.workloads.get(&(namespace.clone(), owner.kind.clone(), owner.name.clone()))
        });
        let (labels, ports): (Labels, Option<Vec<ContainerPort>>) = match (known, workload) {
            (Some(pod), _) => (pod.meta.labels.clone(), Some(pod.ports.clone())),
            (None, Some(workload)) if workload.template.host_network => return Ok(Standing::Nobody),
            (None, Some(workload)) => {
                (workload.template.labels.clone(), Some(workload.template.ports.clone()))
            }
            (None, None) if labels.is_empty() => return Err(Unjudged::PodGone),
            (None, None) => (labels.clone(), None),
        };
        // One of this name may be there, with another address.
        let name = format!("{name}@{}", end.ip);
        let has_ports = ports.is_some();
        let owner = owner.as_ref().map(|owner| Owner { kind: owner.kind.clone(), name: owner.name.clone() });
        let pod = Pod {
            meta: Meta { name, namespace: namespace.clone(), labels, ..Meta::default() },
            owner,
            node: node.clone(),
            ips: vec![end.ip],
            phase: PodPhase::Running,
            ports: ports.unwrap_or_default(),
            ..Pod::default()
        };
        Ok(Standing::Pod(self.add(pod, has_ports)))
    }

    fn add(&mut self, pod: Pod, has_ports: bool) -> usize {
        self.pods.push(pod);
        self.without_ports.push(!has_ports);
        self.pods.len() - 1
    }

    fn ensure(&mut self, ip: IpAddr, standing: Standing) {
        match (standing, self.installed.get(&ip).copied()) {
            (Standing::Pod(number), Some(there)) if number == there => {}
            (Standing::Pod(number), _) => self.install(number),
            (Standing::Nobody, Some(there)) => self.uninstall(there),
            (Standing::Nobody, None) => {}
        }
    }

    fn install(&mut self, number: usize) {
        for ip in self.pods[number].ips.clone() {
            if let Some(there) = self.installed.get(&ip).copied() {
                self.uninstall(there);
            }
            self.installed.insert(ip, number);
        }
        self.cluster.apply_pod(&self.pods[number]);
        self.changed = true;
    }

    fn uninstall(&mut self, number: usize) {
        let pod = &self.pods[number];
        for ip in &pod.ips {
            if self.installed.get(ip) == Some(&number) {
                self.installed.remove(ip);
            }
        }
        self.cluster.delete(&ObjectKey {
            kind: "Pod",
            namespace: pod.meta.namespace.clone(),
            name: pod.meta.name.clone(),
        });
        self.changed = true;
    }
}

/// Whether policy selects the pod: it has addresses of its own and runs.
fn is_judged(pod: &Pod) -> bool {
    let runs = !matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed);
    runs && !pod.host_network && !pod.ips.is_empty()
}

fn names_ports(policy: &NetworkPolicy, direction: Direction, index: u32) -> bool {
    let rules = match direction {
        Direction::Egress => &policy.egress,
        Direction::Ingress => &policy.ingress,
    };
    let ports = rules.get(index as usize).and_then(|rule| rule.ports.as_ref());
    ports.is_some_and(|ports| ports.iter().any(|port| matches!(port.port, PortMatch::Named(_))))
}

/// The objects without policies that are staged: those are evaluated beside the others, and never decide. A policy's own
/// annotation counts before its namespace's.
pub fn without_staged(mut objects: Vec<Object>) -> Vec<Object> {
    let staged = podgate_api::staged(&objects);
    objects.retain(|object| !staged.contains(&object.key()));
    objects
}
