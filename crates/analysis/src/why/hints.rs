//! Usual mistakes, told where they explain an answer.

use podgate_api::{NetworkPolicy, Peer, PolicyPort, PortMatch, Protocol, Service};
use podgate_policy::{Connection, Direction, Explanation, PolicyTrace, PortKey, Reason, Verdict};

use super::chain::list_name;
use super::change::place;
use super::judge::{Unit, UnitKind};
use super::rules::{Written, is_about, subject_slip};
use crate::ends::{PortSpec, Ports, Resolved};
use crate::world::{Family, PodId, World};

impl World {
    /// The hints for one connection.
    pub(super) fn hints(
        &self,
        explanation: &Explanation,
        from: &Unit,
        to: &Unit,
        connection: &Connection,
        end: &Resolved,
        ports: &Ports,
    ) -> Vec<String> {
        let mut hints = Vec::new();
        let key = PortKey::new(connection.protocol, connection.port);
        if explanation.decision.verdict == Verdict::Denied {
            self.almost_selected(explanation, from, to, key, &mut hints);
            self.service_ports_in_rules(explanation, to, key, &mut hints);
            self.isolation_by_default(explanation, &mut hints);
            self.other_nodes(explanation, from, to, &mut hints);
        }
        self.rules_not_in_force(explanation, from, to, &mut hints);
        if end.service.is_some() && !ports.translations.is_empty() {
            self.no_names(explanation, from, &mut hints);
        }
        hints
    }

    /// Policies with rules that miss the pod by a slip in their own selector.
    fn almost_selected(
        &self,
        explanation: &Explanation,
        from: &Unit,
        to: &Unit,
        key: PortKey,
        hints: &mut Vec<String>,
    ) {
        let (source, target) = (self.other(from), self.other(to));
        let sides = [
            (Direction::Egress, from, &target, &explanation.decision.egress),
            (Direction::Ingress, to, &source, &explanation.decision.ingress),
        ];
        for (direction, unit, other, side) in sides {
            let (Reason::Isolated(_), UnitKind::Pods(_, pods)) = (&side.reason, &unit.kind) else { continue };
            let (pod, name) = (self.pod_object(pods[0]), self.pod_name(pods[0]));
            let mut found: Vec<String> = Vec::new();
            for policy in self.cluster.policies() {
                let own = &policy.meta.namespace;
                let mut rules = rules_of(policy, direction).iter();
                if *own != pod.meta.namespace || !rules.any(|rule| is_about(own, rule, other, key, &target)) {
                    continue;
                }
                if let Some(slip) = subject_slip(&policy.pod_selector, pod, &name) {
                    found.push(format!(
                        "an {} rule of {}/{} ({}) is about this, but the policy only almost selects {name}: {slip}",
                        list_name(direction),
                        policy.meta.namespace,
                        policy.meta.name,
                        place(&policy.meta.source)
                    ));
                }
            }
            found.sort();
            hints.extend(found.into_iter().take(2));
        }
    }

    /// A rule that names the Service's port: policy sees the pod's.
    fn service_ports_in_rules(
        &self,
        explanation: &Explanation,
        to: &Unit,
        key: PortKey,
        hints: &mut Vec<String>,
    ) {
        let UnitKind::Pods(_, pods) = &to.kind else { return };
        let services = self.services_of(pods[0]);
        for (direction, traces) in
            [(Direction::Egress, &explanation.egress), (Direction::Ingress, &explanation.ingress)]
        {
            for trace in traces {
                let Some(Written::Network(policy)) = Written::find(&self.cluster, &trace.policy) else {
                    continue;
                };
                for rule in trace.rules.iter().filter(|rule| rule.peer && !rule.port) {
                    let index = rule.rule.index as usize;
                    let Some(written) = rules_of(policy, direction).get(index) else { continue };
                    for entry in written.ports.iter().flatten() {
                        let PortMatch::Range(first, last) = entry.port else { continue };
                        let hit = services.iter().find_map(|service| {
                            let leads = service.ports.iter().find(|port| {
                                port.protocol == entry.protocol
                                    && (first..=last).contains(&port.port)
                                    && self
                                        .targets(pods[0], port)
                                        .iter()
                                        .any(|target| PortKey::new(port.protocol.number(), *target) == key)
                            })?;
                            Some((service, leads.port))
                        });
                        if let Some((service, port)) = hit {
                            hints.push(format!(
                                "{}/{} {}[{index}] ({}) names port {port}, which is the port of Service {}/{}; policy sees \
                                 the pods' port {}",
                                policy.meta.namespace,
                                policy.meta.name,
                                list_name(direction),
                                place(&written.source),
                                service.meta.namespace,
                                service.meta.name,
                                key.port()
                            ));
                        }
                    }
                }
            }
        }
    }

    fn services_of(&self, pod: PodId) -> Vec<&Service> {
        let object = self.pod_object(pod);
        let selects = |service: &&Service| {
            service.meta.namespace == object.meta.namespace
                && service.selector.as_ref().is_some_and(|selector| {
                    selector.iter().all(|(key, value)| object.meta.labels.get(key) == Some(value))
                })
        };
        self.services.iter().filter(selects).collect()
    }

    /// A policy that isolates for ingress although it has egress rules only: the default of `policyTypes`.
    fn isolation_by_default(&self, explanation: &Explanation, hints: &mut Vec<String>) {
        let Reason::Isolated(policies) = &explanation.decision.ingress.reason else { return };
        for policy in policies {
            let Some(Written::Network(policy)) = Written::find(&self.cluster, policy) else { continue };
            if policy.ingress.is_empty() && !policy.egress.is_empty() {
                hints.push(format!(
                    "{}/{} ({}) has egress rules only, and isolates for ingress as well: policyTypes names Ingress, \
                     which is also its default; write `policyTypes: [Egress]` where that was not meant",
                    policy.meta.namespace,
                    policy.meta.name,
                    place(&policy.meta.source)
                ));
            }
        }
    }

    /// Rules that decide nothing because `policyTypes` does not name their direction.
    fn rules_not_in_force(&self, explanation: &Explanation, from: &Unit, to: &Unit, hints: &mut Vec<String>) {
        let sides = [
            (Direction::Egress, from, &explanation.decision.egress),
            (Direction::Ingress, to, &explanation.decision.ingress),
        ];
        for (direction, unit, side) in sides {
            if !unit.stand.kind.pod || matches!(side.reason, Reason::OwnNode | Reason::Itself) {
                continue;
            }
            let UnitKind::Pods(_, pods) = &unit.kind else { continue };
            let pod = self.pod_object(pods[0]);
            let mut found: Vec<&NetworkPolicy> = self
                .cluster
                .policies()
                .filter(|policy| {
                    let in_force = match direction {
                        Direction::Ingress => policy.ingress_in_force,
                        Direction::Egress => policy.egress_in_force,
                    };
                    policy.meta.namespace == pod.meta.namespace
                        && !in_force
                        && !rules_of(policy, direction).is_empty()
                        && policy.pod_selector.matches(&pod.meta.labels)
                })
                .collect();
            found.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
            for policy in found {
                let list = list_name(direction);
                let word = if direction == Direction::Ingress { "Ingress" } else { "Egress" };
                hints.push(format!(
                    "the {list} rules of {}/{} ({}) decide nothing: its policyTypes does not name {word}",
                    policy.meta.namespace,
                    policy.meta.name,
                    place(&policy.meta.source)
                ));
            }
        }
    }

    /// Why there is no change to suggest.
    pub(super) fn no_change(&self, from: &Unit, to: &Unit) -> String {
        for unit in [from, to] {
            if let UnitKind::Pods(_, pods) = &unit.kind
                && !unit.stand.kind.pod
                && self.invented.contains(&unit.ip)
            {
                return format!(
                    "{} has its node's address, which the manifests don't tell: a rule for it needs an ipBlock with it",
                    self.pod_name(pods[0])
                );
            }
        }
        "no small change allows it without denying something else: the pod has no label of its own to select it by".to_owned()
    }

    /// A node reaches its own pods only.
    fn other_nodes(&self, explanation: &Explanation, from: &Unit, to: &Unit, hints: &mut Vec<String>) {
        let UnitKind::Pods(_, pods) = &to.kind else { return };
        if let Some(node) = from.is_node.first()
            && explanation.decision.ingress.verdict == Verdict::Denied
        {
            let runs = match self.pod_object(pods[0]).node.as_deref() {
                Some(other) => format!("runs on {other}"),
                None => "has no node in its manifest".to_owned(),
            };
            hints.push(format!(
                "node {node} always reaches the pods that run on it; {} {runs}",
                self.pod_name(pods[0])
            ));
        }
    }

    /// The Service's name has to be resolved before anything can be sent to it.
    fn no_names(&self, explanation: &Explanation, from: &Unit, hints: &mut Vec<String>) {
        if from.stand.egress.is_none() {
            return;
        }
        let UnitKind::Pods(_, pods) = &from.kind else { return };
        let servers: Vec<PodId> = self.dns_pods();
        let name = self.pod_name(pods[0]);
        if servers.is_empty() {
            if !explanation.egress.iter().any(|trace| self.may_ask_dns(trace)) {
                hints.push(format!(
                    "{name} can't look the Service's name up: no egress rule allows UDP/53 to anything, so DNS fails first"
                ));
            }
            return;
        }
        let family = Family::of(from.ip);
        let reached = servers.iter().any(|pod| {
            let ips = self.pod(*pod).ips.iter().filter(|ip| Family::of(**ip) == family);
            ips.copied().any(|ip| {
                let ports = self.dns_ports(*pod);
                ports.into_iter().any(|port| {
                    let asked = Connection { from: from.ip, to: ip, protocol: Protocol::Udp.number(), port };
                    self.cluster.evaluate(&asked).verdict == Verdict::Allowed
                })
            })
        });
        if !reached {
            hints.push(format!(
                "{name} can't look the Service's name up: it does not reach {} on UDP/53, so DNS fails first",
                self.pod_name(servers[0])
            ));
        }
    }

    /// Pods that answer DNS by what everybody calls them.
    fn dns_pods(&self) -> Vec<PodId> {
        let dns = self.workloads.iter().filter(|workload| {
            workload.hypothesis.is_none()
                && workload.namespace == "kube-system"
                && workload.labels.get("k8s-app").is_some_and(|app| app == "kube-dns")
        });
        dns.flat_map(|workload| workload.pods.iter().copied()).collect()
    }

    fn dns_ports(&self, pod: PodId) -> Vec<u16> {
        let declared = self.pod_object(pod).ports.iter();
        let mut ports: Vec<u16> =
            declared.filter(|port| port.protocol == Protocol::Udp).map(|port| port.port).collect();
        ports.push(53);
        ports
    }

    /// Whether a policy has an egress rule that could be about DNS.
    fn may_ask_dns(&self, trace: &PolicyTrace) -> bool {
        let Some(text) = Written::find(&self.cluster, &trace.policy) else { return false };
        match text {
            Written::Network(policy) => policy.egress.iter().any(|rule| {
                let ports = rule.ports.as_ref().is_none_or(|ports| ports.iter().any(may_be_dns));
                // DNS is in no namespace that has policies for its own pods alone.
                let peers = rule.peers.as_ref().is_none_or(|peers| {
                    peers.iter().any(|peer| !matches!(peer, Peer::Pods(pods) if pods.namespaces.is_none()))
                });
                ports && (peers || policy.meta.namespace == "kube-system")
            }),
            Written::Cluster(_) => true,
        }
    }

    /// The question names a port that no pod declares, and a Service's port of that number.
    pub(super) fn undeclared_port(
        &self,
        to: &Resolved,
        ports: &Ports,
        spec: Option<&PortSpec>,
    ) -> Option<String> {
        let Some(PortSpec::Range { protocol, first, last }) = spec else { return None };
        if to.service.is_some() || first != last || to.pods.is_empty() || !ports.translations.is_empty() {
            return None;
        }
        let declares = |pod: &PodId| {
            let declared = &self.pod_object(*pod).ports;
            declared.is_empty()
                || declared.iter().any(|port| port.protocol == *protocol && port.port == *first)
        };
        if to.pods.iter().any(declares) {
            return None;
        }
        let pod = to.pods[0];
        self.services_of(pod).into_iter().find_map(|service| {
            let port = service.ports.iter().find(|port| port.protocol == *protocol && port.port == *first)?;
            let targets: Vec<String> = self.targets(pod, port).iter().map(ToString::to_string).collect();
            Some(format!(
                "no pod of {} declares {protocol}/{first}; it is the port of Service {}/{}, which leads to the pods' {}: \
                 ask for that, or for {}/svc/{} {first}",
                to.title,
                service.meta.namespace,
                service.meta.name,
                targets.join(", "),
                service.meta.namespace,
                service.meta.name
            ))
        })
    }
}

fn may_be_dns(port: &PolicyPort) -> bool {
    port.protocol == Protocol::Udp
        && match &port.port {
            PortMatch::All | PortMatch::Named(_) => true,
            PortMatch::Range(first, last) => (*first..=*last).contains(&53),
        }
}

fn rules_of(policy: &NetworkPolicy, direction: Direction) -> &[podgate_api::Rule] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}
