//! Addresses for pods and nodes whose manifests have none.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use podgate_api::{ClusterPeer, Node, Object, Peer, Pod};

use super::{Family, Rest, WorldOptions};

/// Gives nodes without addresses one of the node network, IPv4 only: what names IPv6 brings its own.
pub(super) fn give_to_nodes(nodes: &mut Vec<Node>, options: &WorldOptions, invented: &mut HashSet<IpAddr>) {
    nodes.reverse();
    nodes.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    nodes.dedup_by(|later, first| later.meta.name == first.meta.name);
    let taken: HashSet<IpAddr> = nodes.iter().flat_map(|node| node.addresses.iter().copied()).collect();
    let mut pool = Pool::new(&options.node_networks, Family::V4);
    for node in nodes.iter_mut().filter(|node| node.addresses.is_empty()) {
        if let Some(ip) = pool.next(&taken) {
            node.addresses.push(ip);
            invented.insert(ip);
        }
    }
}

/// Gives pods without addresses one of each family in use. A pod in the host network has its node's.
pub(super) fn give_to_pods(
    pods: &mut [Pod],
    nodes: &[Node],
    policies: &[Object],
    options: &WorldOptions,
    rest: &mut Rest,
) {
    rest.families = families(pods, nodes, policies);
    let taken: HashSet<IpAddr> = pods.iter().flat_map(|pod| pod.ips.iter().copied()).collect();
    let mut pools: Vec<Pool> =
        rest.families.iter().map(|family| Pool::new(&options.pod_networks, *family)).collect();
    let mut host = Pool::new(&options.node_networks, Family::V4);
    let mut host_taken: HashSet<IpAddr> =
        nodes.iter().flat_map(|node| node.addresses.iter().copied()).collect();
    host_taken.extend(&taken);
    let unknown_node = host.next(&host_taken);
    for pod in pods.iter_mut().filter(|pod| pod.ips.is_empty()) {
        if pod.host_network {
            let node = nodes.iter().find(|node| Some(&node.meta.name) == pod.node.as_ref());
            match (node, unknown_node) {
                (Some(node), _) => pod.ips.clone_from(&node.addresses),
                (None, Some(ip)) => {
                    pod.ips.push(ip);
                    rest.invented.insert(ip);
                }
                (None, None) => {}
            }
            continue;
        }
        for pool in &mut pools {
            if let Some(ip) = pool.next(&taken) {
                pod.ips.push(ip);
                rest.invented.insert(ip);
            }
        }
    }
}

/// IPv4, unless all addresses in the input are IPv6; and IPv6 when the input has any.
fn families(pods: &[Pod], nodes: &[Node], policies: &[Object]) -> Vec<Family> {
    let ips = || pods.iter().flat_map(|pod| &pod.ips).chain(nodes.iter().flat_map(|node| &node.addresses));
    let v6 = ips().any(IpAddr::is_ipv6) || policies.iter().any(names_v6);
    let v4 = !v6 || ips().next().is_none() || ips().any(IpAddr::is_ipv4);
    [v4.then_some(Family::V4), v6.then_some(Family::V6)].into_iter().flatten().collect()
}

fn names_v6(policy: &Object) -> bool {
    let is_v6 = |net: &IpNet| matches!(net, IpNet::V6(_));
    match policy {
        Object::NetworkPolicy(policy) => {
            let rules = policy.ingress.iter().chain(&policy.egress);
            rules.flat_map(|rule| rule.peers.iter().flatten()).any(|peer| match peer {
                Peer::IpBlock(block) => is_v6(&block.cidr),
                Peer::Pods(_) => false,
            })
        }
        Object::ClusterPolicy(policy) => {
            let rules = policy.ingress.iter().chain(&policy.egress);
            rules.flat_map(|rule| &rule.peers).any(|peer| match peer {
                ClusterPeer::Networks { networks, .. } => networks.iter().any(is_v6),
                _ => false,
            })
        }
        _ => false,
    }
}

/// Hands out the addresses of a network in order, leaving its first ten free.
struct Pool {
    network: Option<IpNet>,
    next: u128,
}

impl Pool {
    fn new(networks: &[IpNet], family: Family) -> Pool {
        let network = networks.iter().copied().find(|net| Family::of(net.addr()) == family);
        Pool { network, next: 10 }
    }

    /// The next address; beyond the network's end it goes on: a cluster of that size has more networks.
    fn next(&mut self, taken: &HashSet<IpAddr>) -> Option<IpAddr> {
        let network = self.network?;
        loop {
            let ip = match network.network() {
                IpAddr::V4(base) => {
                    let offset = u32::try_from(self.next).ok()?;
                    IpAddr::V4(Ipv4Addr::from(u32::from(base).checked_add(offset)?))
                }
                IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from(u128::from(base).checked_add(self.next)?)),
            };
            self.next += 1;
            if !taken.contains(&ip) {
                return Some(ip);
            }
        }
    }
}
