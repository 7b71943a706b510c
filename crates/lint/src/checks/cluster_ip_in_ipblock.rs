#![doc = include_str!("../../../../docs/book/src/checks/cluster-ip-in-ipblock.md")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_api::{IpBlock, Peer, PortMatch, Rule};
use podgate_policy::Direction;

use crate::context::{Context, title, word};
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "cluster-ip-in-ipblock",
    severity: Severity::Warning,
    title: "An ipBlock holds addresses of the cluster itself",
    why: "An ipBlock is for addresses outside. A Service's address is translated to a pod's before policy sees \
          the connection, so the block never matches it; addresses of pods and nodes change with every restart.",
    page: include_str!("../../../../docs/book/src/checks/cluster-ip-in-ipblock.md"),
    run,
};

/// The addresses that installers give to the cluster's DNS Service.
const USUAL_DNS: [&str; 5] = ["10.96.0.10", "10.43.0.10", "172.20.0.10", "10.100.0.10", "10.152.183.10"];

/// What the addresses of the cluster belong to.
enum Owner {
    ClusterIp(String),
    LoadBalancer(String),
    Pod(String),
    Node(String),
}

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    let blocks = context.policies.iter().flat_map(|policy| {
        policy.rules_in_force().flat_map(move |(direction, at, rule)| {
            let peers = rule.peers.iter().flatten();
            peers.filter_map(move |peer| match peer {
                Peer::IpBlock(block) => Some((policy, direction, at, rule, block)),
                Peer::Pods(_) => None,
            })
        })
    });
    let mut blocks = blocks.peekable();
    if blocks.peek().is_none() {
        return;
    }
    let owners = owners(context);
    for (policy, direction, at, rule, block) in blocks {
        let Some((what, advice, severity)) = judge(context, &owners, block, direction, rule) else {
            continue;
        };
        let message =
            format!("{} {}[{at}] names {} in an ipBlock: {what}", policy.name(), word(direction), block.cidr);
        let source = context.key_of(&block.source, "cidr");
        findings.report(&source, policy.object_ref(), message).severity(severity).advice(advice);
    }
}

/// Every address of the cluster that the input tells; those that were made up here don't count.
fn owners(context: &Context<'_>) -> BTreeMap<IpAddr, Owner> {
    let mut owners = BTreeMap::new();
    for pod in context.real_pods() {
        let of = context.world.pod(pod);
        let workload = context.world.workload(of.workload);
        for ip in of.ips.iter().filter(|ip| !context.world.invented.contains(ip)) {
            owners.insert(*ip, Owner::Pod(format!("{}/{}", workload.namespace, of.name)));
        }
    }
    for node in &context.world.nodes {
        for ip in node.addresses.iter().filter(|ip| !context.world.invented.contains(ip)) {
            owners.insert(*ip, Owner::Node(node.meta.name.clone()));
        }
    }
    for facts in &context.services {
        let service = facts.object;
        for ip in &service.load_balancer_ips {
            owners.insert(*ip, Owner::LoadBalancer(title(&service.meta)));
        }
        for ip in &service.cluster_ips {
            owners.insert(*ip, Owner::ClusterIp(title(&service.meta)));
        }
    }
    owners
}

fn judge(
    context: &Context<'_>,
    owners: &BTreeMap<IpAddr, Owner>,
    block: &IpBlock,
    direction: Direction,
    rule: &Rule,
) -> Option<(String, &'static str, Severity)> {
    const BY_LABELS: &str = "select the pods behind it: `namespaceSelector` and `podSelector`, with the port on which they listen";
    let (net, single) = (block.cidr, block.cidr.prefix_len() == block.cidr.max_prefix_len());
    let held = || owners.range(net.network()..=net.broadcast()).map(|(ip, owner)| (*ip, owner));
    if single {
        if let Some((_, owner)) = held().next() {
            return Some(match owner {
                Owner::ClusterIp(name) if direction == Direction::Egress => (
                    format!("that is the ClusterIP of Service {name}, which policy never sees"),
                    BY_LABELS,
                    Severity::Warning,
                ),
                Owner::ClusterIp(name) => (
                    format!("that is the ClusterIP of Service {name}, and no connection comes from it"),
                    BY_LABELS,
                    Severity::Warning,
                ),
                Owner::LoadBalancer(name) => (
                    format!(
                        "that is the load balancer of Service {name}; inside the cluster its pods are the destination"
                    ),
                    BY_LABELS,
                    Severity::Warning,
                ),
                Owner::Pod(name) => (
                    format!("that is pod {name} today, and another one after its next restart"),
                    "select the pod by its labels",
                    Severity::Warning,
                ),
                Owner::Node(name) => (
                    format!("that is node {name}: the rule opens to everything in its host network"),
                    "keep it only where a host process is meant",
                    Severity::Info,
                ),
            });
        }
        let asks_dns = rule.ports.iter().flatten().any(|port| port.port == PortMatch::Range(53, 53));
        let usual = USUAL_DNS.iter().any(|usual| usual.parse() == Ok(net.addr()));
        return (usual && asks_dns && direction == Direction::Egress).then(|| {
            let what =
                "that is where installers put the DNS Service, and policy never sees a Service's address";
            (what.to_owned(), BY_LABELS, Severity::Warning)
        });
    }
    let pod_cidr =
        context.world.nodes.iter().flat_map(|node| &node.pod_cidrs).find(|cidr| contains(cidr, &net));
    if let Some(cidr) = pod_cidr {
        return Some((
            format!("these addresses go to pods (node range {cidr}), to other ones every time"),
            "select the pods by their labels",
            Severity::Info,
        ));
    }
    // A wide block is about a whole network, and holds what it holds by chance.
    let narrow = net.prefix_len() >= if net.addr().is_ipv4() { 12 } else { 48 };
    let mut services = held().filter_map(|(ip, owner)| match owner {
        Owner::ClusterIp(name) => Some((ip, name)),
        _ => None,
    });
    let others = held().any(|(_, owner)| !matches!(owner, Owner::ClusterIp(_)));
    let (ip, name) = services.next().filter(|_| narrow && !others)?;
    Some((
        format!("it holds {ip}, the ClusterIP of Service {name}, which policy never sees"),
        BY_LABELS,
        Severity::Warning,
    ))
}

fn contains(outer: &IpNet, inner: &IpNet) -> bool {
    match (outer, inner) {
        (IpNet::V4(outer), IpNet::V4(inner)) => outer.contains(inner),
        (IpNet::V6(outer), IpNet::V6(inner)) => outer.contains(inner),
        _ => false,
    }
}
