//! The rule that came nearest to allowing a connection that isolation denied: in words, without the text of files.

use std::net::IpAddr;

use podgate_api::{
    LabelSelector, NAMESPACE_NAME_LABEL, NetworkPolicy, Operator, Peer, PodPeer, PolicyPort, PortMatch, Rule,
};
use podgate_policy::{Cluster, Connection, Direction, NearRule, PolicyRef, Reason};

use crate::{NearMiss, Protocol};

/// The rule that almost allows a connection in one direction; `None` where it is not isolation that denies, or where
/// no rule is about anything like it. The answer is the same for all connections between the same classes on the
/// same port, up to the names and addresses in its words.
pub fn nearest(cluster: &Cluster, connection: &Connection, direction: Direction) -> Option<NearMiss> {
    let decision = cluster.evaluate(connection);
    let (side, other) = match direction {
        Direction::Egress => (decision.egress, connection.to),
        Direction::Ingress => (decision.ingress, connection.from),
    };
    if !matches!(side.reason, Reason::Isolated(_)) {
        return None;
    }
    let other = Other::new(cluster, other);
    let misses = cluster.near_rules(connection, direction).into_iter().filter_map(|near| {
        let miss = miss(&near, direction, connection, &other)?;
        Some((miss, near))
    });
    // Rules come by policy name and place: the first of those that are equally near.
    let (miss, near) = misses.min_by_key(|(miss, _)| miss.distance)?;
    Some(NearMiss {
        policy: policy_ref(near.policy),
        list: direction,
        rule: near.index,
        but: miss.reasons.join("; "),
    })
}

/// Farther off than this, a peer is somebody else.
const FAR: u32 = 5;
/// The same for a rule that names no ports.
const SLIP: u32 = 2;

/// How far off a rule is, and why.
#[derive(Debug, Default)]
struct Miss {
    distance: u32,
    reasons: Vec<String>,
}

impl Miss {
    fn new(distance: u32, reason: String) -> Miss {
        Miss { distance, reasons: vec![reason] }
    }

    fn add(&mut self, distance: u32, reason: String) {
        self.distance += distance;
        self.reasons.push(reason);
    }
}

/// The other end, as rules look at it.
struct Other<'a> {
    ip: IpAddr,
    pod: Option<podgate_policy::PodView<'a>>,
    namespace: Option<podgate_policy::NamespaceView<'a>>,
    title: String,
}

impl<'a> Other<'a> {
    fn new(cluster: &'a Cluster, ip: IpAddr) -> Other<'a> {
        let pod = cluster.pod_at(ip);
        let title = pod.map_or_else(|| ip.to_string(), |pod| format!("{}/{}", pod.namespace(), pod.name()));
        Other { ip, pod, namespace: pod.and_then(|pod| cluster.namespace(pod.namespace())), title }
    }
}

fn miss(near: &NearRule, direction: Direction, connection: &Connection, other: &Other) -> Option<Miss> {
    let rule = rules(near.policy, direction).get(near.index as usize)?;
    match (near.peer, near.port) {
        (false, false) => None,
        (true, true) => {
            let reason =
                "its peer and its port match, but not together: a port's name means nothing at a block";
            Some(Miss::new(1, reason.to_owned()))
        }
        (true, false) => {
            let protocol = Protocol(connection.protocol);
            let asked = match protocol {
                Protocol::TCP | Protocol::UDP | Protocol::SCTP => format!("{protocol}/{}", connection.port),
                _ => protocol.to_string(),
            };
            let mut miss = Miss::new(0, "the peer matches".to_owned());
            miss.add(
                2,
                match ports(rule).as_str() {
                    "" => format!("its ports can't be read, and this is {asked}"),
                    written => format!("its ports are {written}, not {asked}"),
                },
            );
            Some(miss)
        }
        (false, true) => {
            let own = &near.policy.meta.namespace;
            let peers = rule.peers.iter().flatten().map(|peer| peer_miss(own, peer, other));
            let mut miss = peers.min_by_key(|miss| miss.distance)?;
            if rule.ports.is_some() {
                miss.reasons.insert(0, "the port matches".to_owned());
            }
            // A rule for any port is about this connection only where its peer is nearly this one.
            (miss.distance <= if rule.ports.is_some() { FAR } else { SLIP }).then_some(miss)
        }
    }
}

fn rules(policy: &NetworkPolicy, direction: Direction) -> &[Rule] {
    match direction {
        Direction::Egress => &policy.egress,
        Direction::Ingress => &policy.ingress,
    }
}

fn policy_ref(policy: &NetworkPolicy) -> PolicyRef {
    PolicyRef {
        kind: "NetworkPolicy".to_owned(),
        namespace: policy.meta.namespace.clone(),
        name: policy.meta.name.clone(),
    }
}

fn ports(rule: &Rule) -> String {
    const MOST: usize = 4;
    let ports = rule.ports.as_deref().unwrap_or_default();
    let mut texts: Vec<String> = ports.iter().take(MOST).map(port).collect();
    if ports.len() > MOST {
        texts.push(format!("{} more", ports.len() - MOST));
    }
    texts.join(", ")
}

fn port(port: &PolicyPort) -> String {
    let protocol = port.protocol;
    match &port.port {
        PortMatch::All => protocol.to_string(),
        PortMatch::Range(first, last) if first == last => format!("{protocol}/{first}"),
        PortMatch::Range(first, last) => format!("{protocol}/{first}-{last}"),
        PortMatch::Named(name) => format!("{protocol}/{name}"),
    }
}

fn peer_miss(own: &str, peer: &Peer, other: &Other) -> Miss {
    match peer {
        Peer::Pods(peer) => pods_miss(own, peer, other),
        Peer::IpBlock(block) => match block.except.iter().find(|hole| hole.contains(&other.ip)) {
            Some(hole) if block.cidr.contains(&other.ip) => {
                Miss::new(2, format!("its block {} leaves out {hole}, which holds {}", block.cidr, other.ip))
            }
            _ => Miss::new(FAR, format!("its block {} does not hold {}", block.cidr, other.ip)),
        },
    }
}

fn pods_miss(own: &str, peer: &PodPeer, other: &Other) -> Miss {
    let (Some(pod), Some(namespace)) = (other.pod, other.namespace) else {
        return Miss::new(FAR + 4, format!("it means pods, and {} is no pod's address", other.ip));
    };
    let mut miss = Miss::default();
    match &peer.namespaces {
        None if own != pod.namespace() => {
            miss.add(
                3,
                format!("it means pods of its own namespace {own}, and {} is not in it", other.title),
            );
        }
        None => {}
        Some(selector) => {
            let is_name = |key: &str, operator| key == NAMESPACE_NAME_LABEL && operator == Operator::In;
            labels_miss(
                selector,
                |key| namespace.labels.get(key),
                &mut miss,
                |requirement, has| match is_name(&requirement.key, requirement.operator) {
                    true => format!(
                        "it means namespace {}, and {} is in {}",
                        requirement.values.join(" or "),
                        other.title,
                        namespace.name
                    ),
                    false => format!("it wants a namespace with {requirement}, and {} {has}", namespace.name),
                },
            );
        }
    }
    if let Some(selector) = &peer.pods {
        let labels = pod.labels();
        labels_miss(
            selector,
            |key| labels.get(key),
            &mut miss,
            |requirement, has| format!("it wants pods with {requirement}, and {} {has}", other.title),
        );
    }
    miss
}

/// What labels lack for a selector: a value that differs is nearer than a label that is not there.
fn labels_miss<'l>(
    selector: &LabelSelector,
    value_of: impl Fn(&str) -> Option<&'l str>,
    miss: &mut Miss,
    say: impl Fn(&podgate_api::Requirement, String) -> String,
) {
    if selector.is_invalid() {
        miss.add(FAR + 4, "its selector can't be read".to_owned());
    }
    for requirement in selector.requirements() {
        let value = value_of(&requirement.key);
        if requirement.matches(value) {
            continue;
        }
        let (distance, has) = match value {
            Some(value) => (1, format!("has {}={value}", requirement.key)),
            None => (2, format!("has no label {}", requirement.key)),
        };
        miss.add(distance, say(requirement, has));
    }
}

#[cfg(test)]
mod tests {
    use podgate_policy::Settings;

    use super::*;

    const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: tools, labels: {team: ops}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080, name: http}]}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: frnt, namespace: shop, labels: {app: frnt}}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, labels: {app: front}}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.3}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: tools, labels: {app: front}}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.4}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: back}}}]
      ports: [{port: 9090}]
    - from: [{podSelector: {matchLabels: {app: front}}}]
      ports: [{port: 8080}, {port: 8443, endPort: 8450}]
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
      ports: [{port: 7070}]
    - from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.8/29]}}]
      ports: [{port: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: back, namespace: tools}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - to: [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {matchLabels: {app: other}}}]
      ports: [{port: 9090}, {port: http}]
";

    fn cluster() -> Cluster {
        let mut cluster = Cluster::new(Settings::default());
        let read = podgate_api::load_text("objects.yaml", OBJECTS);
        assert!(read.diagnostics.is_empty(), "{:?}", read.diagnostics);
        cluster.apply_all(read.objects);
        cluster.commit();
        cluster
    }

    #[track_caller]
    fn check(from: &str, to: &str, protocol: u8, port: u16, expect: Option<(&str, u32, &str)>) {
        let cluster = cluster();
        let connection = Connection { from: from.parse().unwrap(), to: to.parse().unwrap(), protocol, port };
        let found = nearest(&cluster, &connection, Direction::Ingress);
        let found = found.as_ref().map(|miss| (miss.policy.name.as_str(), miss.rule, miss.but.as_str()));
        assert_eq!(found, expect);
    }

    #[test]
    fn the_peer_matches_and_the_port_does_not() {
        let but = "the peer matches; its ports are TCP/8080, TCP/8443-8450, not TCP/80";
        check("10.0.0.3", "10.0.0.1", 6, 80, Some(("web", 1, but)));
        let but = "the peer matches; its ports are TCP/8080, TCP/8443-8450, not UDP/8080";
        check("10.0.0.3", "10.0.0.1", 17, 8080, Some(("web", 1, but)));
    }

    #[test]
    fn the_port_matches_and_the_peer_does_not() {
        let but = "the port matches; it wants pods with app=front, and shop/frnt has app=frnt";
        check("10.0.0.2", "10.0.0.1", 6, 8080, Some(("web", 1, but)));
        let but = "the port matches; it means pods of its own namespace shop, and tools/agent is not in it";
        check("10.0.0.4", "10.0.0.1", 6, 8080, Some(("web", 1, but)));
        let but = "the port matches; it means namespace monitoring, and tools/agent is in tools";
        check("10.0.0.4", "10.0.0.1", 6, 7070, Some(("web", 2, but)));
    }

    #[test]
    fn addresses_miss_blocks_by_holes_and_by_distance() {
        let but = "the port matches; its block 192.0.2.0/24 leaves out 192.0.2.8/29, which holds 192.0.2.9";
        check("192.0.2.9", "10.0.0.1", 6, 8080, Some(("web", 3, but)));
        let but = "the port matches; its block 192.0.2.0/24 does not hold 203.0.113.1";
        check("203.0.113.1", "10.0.0.1", 6, 8080, Some(("web", 3, but)));
    }

    #[test]
    fn a_named_port_at_a_block_matches_peer_and_port_but_not_together() {
        let cluster = cluster();
        let (from, to) = ("10.0.0.4".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let connection = Connection { from, to, protocol: 6, port: 8080 };
        let found = nearest(&cluster, &connection, Direction::Egress).expect("a rule that is near");
        assert_eq!(
            found.but,
            "its peer and its port match, but not together: a port's name means nothing at a block"
        );
        assert_eq!((found.policy.to_string().as_str(), found.rule), ("tools/back", 0));
    }

    #[test]
    fn nothing_is_near_where_no_rule_is_about_it_or_isolation_does_not_deny() {
        check("10.0.0.2", "10.0.0.1", 6, 22, None);
        check("10.0.0.1", "10.0.0.2", 6, 22, None);
        check("10.0.0.3", "10.0.0.1", 6, 8080, None);
        check("10.0.0.1", "203.0.113.1", 6, 443, None);
    }
}
