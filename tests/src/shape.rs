//! Random clusters that a lab can be made of: the addresses in their policies are those of a lab.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPortMatch, ClusterRule,
    ExternalTrafficPolicy, Labels, Meta, Object, Peer, PortMatch, Protocol, Rule, Service, ServicePort,
    ServiceType, TargetPort,
};
use podgate_bench::{Rng, random_small};

/// [`random_small`] with blocks around a lab's pods and nodes, and with Services. At least one pod has a
/// network of its own.
pub fn random_lab(seed: u64) -> Vec<Object> {
    let mut rng = Rng::new(seed ^ 0x1ab);
    let mut objects = random_small(seed);
    if let Some(Object::Pod(pod)) = objects.iter_mut().find(|object| matches!(object, Object::Pod(_))) {
        pod.host_network = false;
        pod.phase = podgate_api::PodPhase::Running;
    }
    for object in &mut objects {
        match object {
            Object::NetworkPolicy(policy) => {
                let rules = policy.ingress.iter_mut().chain(&mut policy.egress);
                rules.for_each(|rule| move_blocks(rule, &mut rng));
            }
            Object::ClusterPolicy(policy) => {
                policy.egress.iter_mut().for_each(|rule| move_networks(rule, &mut rng));
                in_words(policy);
            }
            _ => {}
        }
    }
    let mut keys = BTreeSet::new();
    objects.retain(|object| keys.insert(object.key()));
    let labels = [("app", "x"), ("app", "y"), ("tier", "x"), ("tier", "a")];
    for (i, (key, value)) in labels.into_iter().enumerate() {
        if rng.percent(50) {
            let namespace = if rng.percent(50) { "a" } else { "b" };
            objects.push(Object::Service(service(&mut rng, namespace, i, key, value)));
        }
    }
    objects
}

fn service(rng: &mut Rng, namespace: &str, number: usize, key: &str, value: &str) -> Service {
    let target = match rng.percent(50) {
        true => TargetPort::Name(rng.pick(&["http", "p"]).to_string()),
        false => TargetPort::Number(*rng.pick(&[80, 8080])),
    };
    let protocol = if rng.percent(70) { Protocol::Tcp } else { Protocol::Udp };
    Service {
        meta: Meta { name: format!("service-{number}"), namespace: namespace.to_owned(), ..Meta::default() },
        selector: Some(Labels::from([(key.to_owned(), value.to_owned())])),
        kind: if rng.percent(40) { ServiceType::NodePort } else { ServiceType::ClusterIp },
        headless: false,
        cluster_ips: Vec::new(),
        ports: vec![ServicePort { name: "main".to_owned(), protocol, port: 7000, target, node_port: None }],
        external_traffic_policy: match rng.percent(30) {
            true => ExternalTrafficPolicy::Local,
            false => ExternalTrafficPolicy::Cluster,
        },
        ..Service::default()
    }
}

/// Small blocks move to the pods of one node, or to the nodes themselves; those that hold more than that
/// stay as they are.
fn move_blocks(rule: &mut Rule, rng: &mut Rng) {
    for peer in rule.peers.iter_mut().flatten() {
        let Peer::IpBlock(block) = peer else { continue };
        let near = rng.below(5);
        block.cidr = moved(&block.cidr, near);
        for hole in &mut block.except {
            *hole = moved(hole, near);
        }
    }
}

fn move_networks(rule: &mut ClusterRule, rng: &mut Rng) {
    for peer in &mut rule.peers {
        let ClusterPeer::Networks { networks, .. } = peer else { continue };
        for network in networks.iter_mut() {
            *network = moved(network, rng.below(5));
        }
        networks.sort();
        networks.dedup();
    }
}

/// What a kind has no words for becomes something that it has words for.
fn in_words(policy: &mut ClusterPolicy) {
    if policy.kind == ClusterPolicyKind::BaselineAdminNetworkPolicy {
        policy.meta.name = "default".to_owned();
        for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
            rule.peers.retain(|peer| !matches!(peer, ClusterPeer::Domains { .. }));
            if rule.action == Action::Pass {
                rule.action = Action::Accept;
            }
        }
    }
    let has_names = |peer: &ClusterPeer| matches!(peer, ClusterPeer::Pods { .. } | ClusterPeer::Unknown(_));
    for rule in policy.egress.iter_mut().filter(|rule| !rule.peers.iter().all(has_names)) {
        for port in rule.ports.iter_mut().flatten() {
            if matches!(port.matches, ClusterPortMatch::Named(_)) {
                port.matches = ClusterPortMatch::Port(Protocol::Tcp, PortMatch::Range(8080, 8080));
            }
        }
    }
}

fn moved(block: &IpNet, near: usize) -> IpNet {
    let third = if near < 3 { near as u8 } else { 0 };
    match block {
        // Around nodes, which a lab numbers from 10.
        IpNet::V4(net) if net.prefix_len() >= 24 && net.network().octets()[0] == 172 => {
            let last = 10 + net.network().octets()[3];
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, last), net.prefix_len()).trunc())
        }
        IpNet::V6(net) if net.prefix_len() >= 64 && net.network().segments()[0] == 0xfd01 => {
            let last = 10 + net.network().segments()[7];
            let base = Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, last);
            IpNet::V6(Ipv6Net::new_assert(base, net.prefix_len()).trunc())
        }
        IpNet::V4(net) if net.prefix_len() >= 24 => {
            let last = net.network().octets()[3];
            let base = match near {
                4 => Ipv4Addr::new(172, 30, 0, last),
                _ => Ipv4Addr::new(10, 244, third, last),
            };
            IpNet::V4(Ipv4Net::new_assert(base, net.prefix_len()))
        }
        // An IPv4-mapped block in a manifest is read as one of IPv4.
        IpNet::V6(net) if net.network().to_ipv4_mapped().is_some() => {
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, third, 0), 24))
        }
        IpNet::V6(net) if net.prefix_len() >= 64 && net.network().segments()[0] == 0xfd00 => {
            let last = net.network().segments()[7];
            let base = match near {
                4 => Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, last),
                _ => Ipv6Addr::new(0xfd00, 0x10, 0x244, third.into(), 0, 0, 0, last),
            };
            IpNet::V6(Ipv6Net::new_assert(base, net.prefix_len()))
        }
        other => *other,
    }
}
