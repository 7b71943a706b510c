//! The outside host's addresses: enough of them that every rule about networks can be tried.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use podgate_api::{
    ClusterPeer, ClusterPolicy, ClusterPortMatch, NetworkPolicy, Object, Peer, PortMatch, Protocol,
};

use super::{
    FABRIC_OUTSIDE_ADDRESSES, NODE_NETWORKS, OUTSIDE_ADDRESSES, OutsidePlan, POD_NETWORKS, SERVICE_NETWORKS,
};

/// More would make a probe of everything slow without telling more.
const MAX_ADDRESSES: usize = 32;

/// Domain names that have addresses outside.
const MAX_NAMES: usize = 32;

/// Ports on which the outside always answers.
const USUAL_PORTS: [(Protocol, u16); 5] = [
    (Protocol::Tcp, 53),
    (Protocol::Tcp, 80),
    (Protocol::Tcp, 443),
    (Protocol::Udp, 53),
    (Protocol::Udp, 443),
];

/// More ports than this of one range say nothing new: its edges do.
const WHOLE_RANGE: u16 = 4;

/// Never addresses of a host, or used by the lab's own wiring.
const UNUSABLE: [&str; 11] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.1.1/32",
    "224.0.0.0/3",
    "198.51.100.0/29",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "fe80::/10",
    "ff00::/8",
    "2001:db8:ffff::/125",
];

pub(super) fn plan(netns: String, objects: &[Object], service_ips: &[IpAddr]) -> OutsidePlan {
    let policies: Vec<&NetworkPolicy> = objects
        .iter()
        .filter_map(|o| if let Object::NetworkPolicy(policy) = o { Some(policy) } else { None })
        .collect();
    let cluster_policies: Vec<&ClusterPolicy> = objects
        .iter()
        .filter_map(|o| if let Object::ClusterPolicy(policy) = o { Some(policy) } else { None })
        .collect();
    let mut ports: Vec<(Protocol, u16)> = USUAL_PORTS.to_vec();
    ports.extend(named_by(&policies).chain(named_by_cluster(&cluster_policies)).flat_map(edges));
    ports.sort();
    ports.dedup();
    let mut addresses = addresses(&policies, &cluster_policies, service_ips);
    let names = names(&cluster_policies);
    let more: Vec<IpAddr> = names.values().flatten().filter(|ip| !addresses.contains(ip)).copied().collect();
    addresses.extend(more);
    OutsidePlan { netns, addresses, names, listen: ports }
}

fn addresses(
    policies: &[&NetworkPolicy],
    cluster_policies: &[&ClusterPolicy],
    service_ips: &[IpAddr],
) -> Vec<IpAddr> {
    let networks = POD_NETWORKS.iter().chain(&NODE_NETWORKS).chain(&SERVICE_NETWORKS).chain(&UNUSABLE);
    let closed: Vec<IpNet> = networks.filter_map(|net| net.parse().ok()).collect();
    let usable = |ip: &IpAddr| !closed.iter().any(|net| net.contains(ip)) && !service_ips.contains(ip);
    let mut chosen = vec![IpAddr::V4(OUTSIDE_ADDRESSES.0), IpAddr::V6(OUTSIDE_ADDRESSES.1)];
    let blocks = policies
        .iter()
        .flat_map(|p| p.ingress.iter().chain(&p.egress))
        .flat_map(|r| r.peers.iter().flatten());
    for peer in blocks {
        let Peer::IpBlock(block) = peer else { continue };
        represent(&mut chosen, &block.cidr, &block.except, &closed, &usable);
        for (i, except) in block.except.iter().enumerate() {
            // A hole inside a hole is already represented by the outer one, unless it stands alone.
            let others: Vec<IpNet> =
                block.except.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, n)| *n).collect();
            let inner: Vec<IpNet> =
                others.into_iter().filter(|net| except.contains(net) && net != except).collect();
            represent(&mut chosen, except, &inner, &closed, &usable);
        }
    }
    let mut networks: Vec<IpNet> = cluster_policies
        .iter()
        .flat_map(|policy| &policy.egress)
        .flat_map(|rule| &rule.peers)
        .filter_map(
            |peer| if let ClusterPeer::Networks { networks, .. } = peer { Some(networks) } else { None },
        )
        .flatten()
        .copied()
        .collect();
    networks.dedup();
    for network in &networks {
        // What a smaller network inside takes away is as good as a hole: rules treat them differently.
        let inner: Vec<IpNet> =
            networks.iter().filter(|net| network.contains(*net) && *net != network).copied().collect();
        represent(&mut chosen, network, &inner, &closed, &usable);
    }
    chosen.truncate(MAX_ADDRESSES);
    chosen
}

/// Gives an address of each family to each domain name, the same one in every plan unless two names would share it.
fn names(policies: &[&ClusterPolicy]) -> BTreeMap<String, Vec<IpAddr>> {
    let peers = policies.iter().flat_map(|policy| &policy.egress).flat_map(|rule| &rule.peers);
    let named = peers.filter_map(|peer| match peer {
        ClusterPeer::Domains { names, .. } => Some(names),
        _ => None,
    });
    let named: BTreeSet<&String> = named.flatten().collect();
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for name in named.into_iter().take(MAX_NAMES) {
        let sum = name.bytes().fold(0_usize, |sum, byte| (sum * 31 + usize::from(byte)) % MAX_NAMES);
        let free = (0..MAX_NAMES).map(|step| (sum + step) % MAX_NAMES).find(|number| taken.insert(*number));
        let Some(number) = free.and_then(|number| u8::try_from(number).ok()) else { break };
        let v4 = Ipv4Addr::new(192, 0, 2, 10 + number);
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 10 + u16::from(number));
        names.insert(name.clone(), vec![v4.into(), v6.into()]);
    }
    names
}

/// Adds an address inside `net` and outside `holes`, unless one is there already.
fn represent(
    chosen: &mut Vec<IpAddr>,
    net: &IpNet,
    holes: &[IpNet],
    closed: &[IpNet],
    usable: &impl Fn(&IpAddr) -> bool,
) {
    let fits = |ip: &IpAddr| net.contains(ip) && !holes.iter().any(|hole| hole.contains(ip));
    if chosen.iter().any(fits) {
        return;
    }
    // The lowest address that fits lies at the start of the block or right behind one of its holes.
    let near = |net: &IpNet| [10, 1, 2, 0].map(|n| add(net.network(), n));
    let behind = |net: &IpNet| [10, 1, 2].map(|n| add(net.broadcast(), n));
    let mut starts: Vec<IpAddr> = near(net).into_iter().flatten().collect();
    starts.extend(holes.iter().chain(closed).flat_map(behind).flatten());
    if let Some(ip) = starts.into_iter().find(|ip| fits(ip) && usable(ip)) {
        chosen.push(ip);
    }
}

fn add(ip: IpAddr, n: u8) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).checked_add(n.into()).map(|ip| IpAddr::V4(ip.into())),
        IpAddr::V6(ip) => u128::from(ip).checked_add(n.into()).map(|ip| IpAddr::V6(ip.into())),
    }
}

/// The ports of egress rules to blocks.
fn named_by(policies: &[&NetworkPolicy]) -> impl Iterator<Item = (Protocol, PortMatch)> {
    let is_block = |peer: &Peer| matches!(peer, Peer::IpBlock(_));
    policies
        .iter()
        .flat_map(|policy| &policy.egress)
        .filter(move |rule| rule.peers.as_ref().is_none_or(|peers| peers.iter().any(is_block)))
        .flat_map(|rule| rule.ports.iter().flatten())
        .map(|entry| (entry.protocol, entry.port.clone()))
}

/// The ports of egress rules to networks and domains.
fn named_by_cluster(policies: &[&ClusterPolicy]) -> impl Iterator<Item = (Protocol, PortMatch)> {
    let is_outside =
        |peer: &ClusterPeer| matches!(peer, ClusterPeer::Networks { .. } | ClusterPeer::Domains { .. });
    policies
        .iter()
        .flat_map(|policy| &policy.egress)
        .filter(move |rule| rule.peers.iter().any(is_outside))
        .flat_map(|rule| rule.ports.iter().flatten())
        .filter_map(|entry| match &entry.matches {
            ClusterPortMatch::Port(protocol, port) => Some((*protocol, port.clone())),
            ClusterPortMatch::Named(_) | ClusterPortMatch::Unknown => None,
        })
}

/// The ports of an entry that are worth answering on.
fn edges((protocol, port): (Protocol, PortMatch)) -> impl Iterator<Item = (Protocol, u16)> {
    let ports = match port {
        PortMatch::Range(first, last) if last - first < WHOLE_RANGE => (first..=last).collect(),
        PortMatch::Range(first, last) => vec![first, last],
        PortMatch::All | PortMatch::Named(_) => Vec::new(),
    };
    ports.into_iter().map(move |port| (protocol, port))
}

/// The fabric's own addresses can't be the outside's.
pub(super) fn is_wiring(ip: &IpAddr) -> bool {
    *ip == IpAddr::V4(FABRIC_OUTSIDE_ADDRESSES.0) || *ip == IpAddr::V6(FABRIC_OUTSIDE_ADDRESSES.1)
}
