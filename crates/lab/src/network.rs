//! The lab's links, addresses and routes.
//!
//! ```text
//!   pod eth0 --veth-- pg<index>   node   eth0 --veth-- n<i>  br0   fabric   out0 --veth-- eth0  outside
//!   /32, /128                     routes, NAT                bridge, router
//! ```
//!
//! Pods have a /32 and a /128 and send everything to a gateway that exists only as a neighbour entry, so
//! that pods of one node also pass the node's routing, as with routed CNIs. Interfaces are addressed from
//! the plan, so no step waits for ARP, neighbour discovery or duplicate address detection.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use crate::command::{in_parallel, ip_batch};
use crate::error::{Error, Result};
use crate::netns;
use crate::plan::{
    FABRIC_ADDRESSES, FABRIC_OUTSIDE_ADDRESSES, NodePlan, OUTSIDE_ADDRESSES, POD_NETWORKS, Plan, PodPlan,
    SERVICE_NETWORKS,
};

/// The pods' gateways: link-local, the same in every pod.
const GATEWAY_V4: &str = "169.254.1.1";
const GATEWAY_V6: &str = "fe80::1";
/// The node's end of every pod's veth pair; each pair is a link of its own, so the address may repeat.
const GATEWAY_MAC: &str = "ee:ee:ee:ee:ee:ee";

/// The outside host's `eth0`, and the fabric's end of that link.
const OUTSIDE_MAC: &str = "02:f0:00:00:02:01";
const FABRIC_OUTSIDE_MAC: &str = "02:f0:00:00:02:00";

/// A new namespace starts with the host's own settings, whatever they are: these must not depend on it.
const EVERYWHERE: [(&str, &str); 6] = [
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
];
const ROUTERS: [(&str, &str); 5] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
];

/// Makes the kernel's state that of `new`, whatever it was: `old` is the plan of which every part that
/// still exists is known to be complete. Returns the nodes' namespaces that had to be created.
///
/// # Errors
/// When the kernel refuses a step; the error names the namespace and the command. Calling again repairs.
pub fn reconcile(old: Option<&Plan>, new: &Plan) -> Result<Vec<String>> {
    remove_stale(old, new)?;
    let fresh = create_namespaces(new)?;
    let renewed = connect_fabric(old, new, &fresh)?;
    let nodes: Vec<(usize, &NodePlan)> = new.nodes.iter().enumerate().collect();
    in_parallel(&nodes, |(i, node)| ip_batch(&node.netns, &node_routes(new, *i)))?;
    connect_pods(old, new, &fresh, &renewed)?;
    Ok(new.nodes.iter().map(|node| node.netns.clone()).filter(|name| fresh.contains(name)).collect())
}

/// Removes all namespaces of a lab.
///
/// # Errors
/// When one can't be removed.
pub fn remove_all(lab: &str) -> Result<()> {
    namespaces(lab).iter().try_for_each(|name| netns::delete(name))
}

/// Names of the namespaces that a lab has left on this machine, whatever its plan says, sorted. Those of
/// lab `a-b` are none of lab `a`.
pub fn namespaces(lab: &str) -> Vec<String> {
    let prefix = format!("pg-{lab}-");
    let numbered = |rest: &str| {
        let digits = rest.strip_prefix(['n', 'p']).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let is_own = |rest: &str| rest == "net" || rest == "out" || numbered(rest);
    let mut names = netns::list(&prefix);
    names.retain(|name| name.strip_prefix(&prefix).is_some_and(is_own));
    names
}

fn remove_stale(old: Option<&Plan>, new: &Plan) -> Result<()> {
    let wanted: BTreeSet<&str> = new.netns_names().into_iter().collect();
    for pod in old.iter().flat_map(|plan| &plan.pods).filter(|pod| !pod.host_network) {
        let stays = new.pod(pod.index).is_some_and(|p| same_link(p, pod));
        let node = old.and_then(|plan| plan.nodes.get(pod.node)).filter(|node| netns::exists(&node.netns));
        if let (false, Some(node)) = (stays, node)
            && links(&node.netns)?.contains(&pod.veth())
        {
            // Deleting the namespace would do it too, but at some later moment.
            ip_batch(&node.netns, &[format!("link del {}", pod.veth())])?;
        }
        if !stays {
            netns::delete(&pod.netns)?;
        }
    }
    let stale = namespaces(&new.lab);
    stale.iter().filter(|name| !wanted.contains(name.as_str())).try_for_each(|name| netns::delete(name))
}

fn same_link(a: &PodPlan, b: &PodPlan) -> bool {
    (a.index, a.node, a.host_network, &a.ips) == (b.index, b.node, b.host_network, &b.ips)
}

/// Creates what is missing, and says which these were.
fn create_namespaces(plan: &Plan) -> Result<BTreeSet<String>> {
    let missing: Vec<&str> = plan.netns_names().into_iter().filter(|name| !netns::exists(name)).collect();
    let routers: BTreeSet<&str> =
        plan.nodes.iter().map(|n| n.netns.as_str()).chain([plan.fabric_netns.as_str()]).collect();
    in_parallel(&missing, |name| create_namespace(name, routers.contains(name)))?;
    Ok(missing.into_iter().map(str::to_owned).collect())
}

/// Creates a namespace, in place of one that a crash left, with settings that don't depend on the host's. A
/// router forwards packets.
///
/// # Errors
/// When the kernel refuses it.
pub fn create_namespace(name: &str, is_router: bool) -> Result<()> {
    netns::delete(name)?;
    netns::create(name)?;
    let routing: &[_] = if is_router { &ROUTERS } else { &[] };
    let settings: Vec<_> = EVERYWHERE.iter().chain(routing).collect();
    netns::run(name, || set(&settings))?
        .map_err(|(key, error)| Error::io(format!("set net/{key} in network namespace {name}"), error))
}

/// Removes what is left of a veth pair whose other end was in a namespace that has lost its name: open
/// sockets keep such a namespace, and its interfaces, alive.
fn remove_eth0(name: &str) -> Result<()> {
    if !links(name)?.contains("eth0") {
        return Ok(());
    }
    match ip_batch(name, &["link del eth0".to_owned()]) {
        // The kernel may have been about to remove it with its other end.
        Err(_) if !links(name)?.contains("eth0") => Ok(()),
        other => other,
    }
}

/// Writes sysctls of the calling thread's network namespace.
fn set(settings: &[&(&'static str, &str)]) -> std::result::Result<(), (&'static str, std::io::Error)> {
    settings.iter().try_for_each(|(key, value)| {
        fs::write(format!("/proc/sys/net/{key}"), value).map_err(|error| (*key, error))
    })
}

/// Names of the interfaces in a namespace.
fn links(name: &str) -> Result<BTreeSet<String>> {
    let text = netns::run(name, || fs::read_to_string("/proc/thread-self/net/dev"))?
        .map_err(|error| Error::io(format!("list interfaces of network namespace {name}"), error))?;
    Ok(text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect())
}

// === fabric and outside ===

/// Returns the namespaces whose `eth0` is new. With its address a node has lost the routes to its pods.
fn connect_fabric(old: Option<&Plan>, new: &Plan, fresh: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let ports = || {
        let nodes = new.nodes.iter().enumerate().map(|(i, node)| (format!("n{i}"), node.netns.as_str()));
        nodes.chain([("out0".to_owned(), new.outside.netns.as_str())])
    };
    let before = links(&new.fabric_netns)?;
    let mut connected: BTreeSet<String> = BTreeSet::new();
    for (port, peer) in ports() {
        if before.contains(&port) && !fresh.contains(peer) && links(peer)?.contains("eth0") {
            connected.insert(port);
        } else if !fresh.contains(peer) {
            remove_eth0(peer)?;
        }
    }
    let present = links(&new.fabric_netns)?;
    let mut lines = vec!["link set lo up".to_owned()];
    if !present.contains("br0") {
        // A fixed address: a bridge takes over that of its lowest port, which may come and go.
        lines.push("link add br0 address 02:f0:00:00:00:01 type bridge".to_owned());
    }
    lines.push("link set br0 up".to_owned());
    for (port, peer) in ports() {
        if !connected.contains(&port) {
            if present.contains(&port) {
                lines.push(format!("link del {port}"));
            }
            // A namespace that is made anew keeps its address, so no neighbour has to forget it.
            let mac = if port == "out0" { OUTSIDE_MAC.to_owned() } else { node_mac(&port) };
            let own = if port == "out0" { format!("address {FABRIC_OUTSIDE_MAC} ") } else { String::new() };
            lines.push(format!("link add {port} {own}type veth peer name eth0 address {mac} netns {peer}"));
        }
        let master = if port == "out0" { "" } else { "master br0 " };
        lines.push(format!("link set {port} {master}up"));
    }
    for port in present.iter().filter_map(|name| Some((name, name.strip_prefix('n')?.parse::<usize>().ok()?)))
    {
        if port.1 >= new.nodes.len() {
            lines.push(format!("link del {}", port.0));
        }
    }
    lines.extend(addresses("br0", [FABRIC_ADDRESSES.0.into(), FABRIC_ADDRESSES.1.into()], [24, 64]));
    let outside = [FABRIC_OUTSIDE_ADDRESSES.0.into(), FABRIC_OUTSIDE_ADDRESSES.1.into()];
    lines.extend(addresses("out0", outside, [24, 64]));
    lines.push(format!("route replace 0.0.0.0/0 via {}", OUTSIDE_ADDRESSES.0));
    lines.push(format!("route replace ::/0 via {}", OUTSIDE_ADDRESSES.1));
    for network in SERVICE_NETWORKS.iter().chain(&POD_NETWORKS) {
        lines.push(format!("route replace unreachable {network}"));
    }
    let routes = |plan: &Plan| plan.nodes.iter().flat_map(routes_to).collect::<BTreeSet<_>>();
    lines.extend(changed_routes(
        old.map(routes).unwrap_or_default(),
        &routes(new),
        fresh.contains(&new.fabric_netns),
    ));
    ip_batch(&new.fabric_netns, &lines)?;
    let fresh_outside = fresh.contains(&new.outside.netns);
    ip_batch(&new.outside.netns, &outside_lines(old.filter(|_| !fresh_outside), new))?;
    Ok(ports().filter(|(port, _)| !connected.contains(port)).map(|(_, peer)| peer.to_owned()).collect())
}

fn outside_lines(old: Option<&Plan>, new: &Plan) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned(), "link set eth0 up".to_owned()];
    lines.extend(addresses("eth0", [OUTSIDE_ADDRESSES.0.into(), OUTSIDE_ADDRESSES.1.into()], [24, 64]));
    lines.push(format!("route replace 0.0.0.0/0 via {}", FABRIC_OUTSIDE_ADDRESSES.0));
    lines.push(format!("route replace ::/0 via {}", FABRIC_OUTSIDE_ADDRESSES.1));
    let extra = |plan: &Plan| plan.outside.addresses.iter().skip(2).copied().collect::<BTreeSet<IpAddr>>();
    let (before, after) = (old.map(extra).unwrap_or_default(), extra(new));
    lines.extend(before.difference(&after).map(|ip| format!("addr del {ip}/{} dev lo", host_len(ip))));
    lines.extend(after.iter().map(|ip| format!("addr replace {ip}/{} dev lo{}", host_len(ip), nodad(ip))));
    lines
}

fn addresses(dev: &str, ips: [IpAddr; 2], lens: [u8; 2]) -> impl Iterator<Item = String> {
    ips.into_iter().zip(lens).map(move |(ip, len)| format!("addr replace {ip}/{len} dev {dev}{}", nodad(&ip)))
}

fn nodad(ip: &IpAddr) -> &'static str {
    if ip.is_ipv6() { " nodad" } else { "" }
}

fn host_len(ip: &IpAddr) -> u8 {
    if ip.is_ipv6() { 128 } else { 32 }
}

/// Routes to a node's pods, as seen from the fabric and from other nodes: destination and gateway.
fn routes_to(node: &NodePlan) -> Vec<(String, IpAddr)> {
    let via = |v6: bool| if v6 { node.v6() } else { node.v4() };
    node.pod_cidrs.iter().map(|cidr| (cidr.to_string(), via(cidr.addr().is_ipv6()))).collect()
}

fn changed_routes(
    before: BTreeSet<(String, IpAddr)>,
    after: &BTreeSet<(String, IpAddr)>,
    fresh: bool,
) -> Vec<String> {
    let kept: BTreeSet<&String> = after.iter().map(|(to, _)| to).collect();
    let gone = before.iter().filter(|(to, _)| !fresh && !kept.contains(to));
    let gone = gone.map(|(to, via)| format!("route del {to} via {via}"));
    gone.chain(after.iter().map(|(to, via)| format!("route replace {to} via {via}"))).collect()
}

// === nodes ===

fn node_routes(plan: &Plan, index: usize) -> Vec<String> {
    let node = &plan.nodes[index];
    let mut lines = vec!["link set lo up".to_owned(), "link set eth0 up".to_owned()];
    lines.extend(addresses("eth0", [node.v4(), node.v6()], [24, 64]));
    lines.push(format!("route replace 0.0.0.0/0 via {}", FABRIC_ADDRESSES.0));
    lines.push(format!("route replace ::/0 via {}", FABRIC_ADDRESSES.1));
    // An address that no pod has must not travel in circles between node and fabric. A cluster IP must
    // have a route: the node's own packets are routed before they are translated.
    lines.extend(POD_NETWORKS.iter().map(|network| format!("route replace unreachable {network}")));
    for other in plan.nodes.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, other)| other) {
        lines.extend(routes_to(other).iter().map(|(to, via)| format!("route replace {to} via {via}")));
    }
    lines
}

// === pods ===

fn connect_pods(
    old: Option<&Plan>,
    new: &Plan,
    fresh: &BTreeSet<String>,
    renewed: &BTreeSet<String>,
) -> Result<()> {
    let node_links = || new.nodes.iter().map(|node| links(&node.netns)).collect::<Result<Vec<_>>>();
    let present = node_links()?;
    let mut todo: Vec<&PodPlan> = Vec::new();
    for pod in new.pods.iter().filter(|pod| !pod.host_network) {
        let known = old.and_then(|plan| plan.pod(pod.index)).is_some_and(|p| same_link(p, pod))
            && !renewed.contains(&new.nodes[pod.node].netns);
        let linked = present[pod.node].contains(&pod.veth()) && !fresh.contains(&pod.netns);
        if !(known && linked && links(&pod.netns)?.contains("eth0")) {
            todo.push(pod);
        }
    }
    if todo.is_empty() {
        return Ok(());
    }
    in_parallel(&todo, |pod| if fresh.contains(&pod.netns) { Ok(()) } else { remove_eth0(&pod.netns) })?;
    let present = node_links()?;
    let mut by_node: Vec<Vec<String>> = vec![Vec::new(); new.nodes.len()];
    for pod in &todo {
        if present[pod.node].contains(&pod.veth()) {
            by_node[pod.node].push(format!("link del {}", pod.veth()));
        }
        by_node[pod.node].extend(node_end(pod, &new.nodes[pod.node]));
    }
    let batches: Vec<(&NodePlan, Vec<String>)> = new.nodes.iter().zip(by_node).collect();
    in_parallel(&batches, |(node, lines)| ip_batch(&node.netns, lines))?;
    in_parallel(&todo, |pod| ip_batch(&pod.netns, &pod_end(pod)))
}

fn node_end(pod: &PodPlan, node: &NodePlan) -> Vec<String> {
    let (veth, mac, peer) = (pod.veth(), mac(pod.index), &pod.netns);
    let mut lines = vec![
        format!("link add {veth} address {GATEWAY_MAC} type veth peer name eth0 address {mac} netns {peer}"),
        format!("link set {veth} up"),
    ];
    for (ip, src) in pod.ips.iter().zip(&node.addresses) {
        lines.push(format!("neigh replace {ip} lladdr {mac} dev {veth} nud permanent"));
        lines.push(format!("route replace {ip}/{} dev {veth} src {src}", host_len(ip)));
    }
    lines
}

fn pod_end(pod: &PodPlan) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned(), "link set eth0 up".to_owned()];
    lines
        .extend(pod.ips.iter().map(|ip| format!("addr replace {ip}/{} dev eth0{}", host_len(ip), nodad(ip))));
    lines.extend([
        format!("neigh replace {GATEWAY_V4} lladdr {GATEWAY_MAC} dev eth0 nud permanent"),
        format!("neigh replace {GATEWAY_V6} lladdr {GATEWAY_MAC} dev eth0 nud permanent"),
        format!("route replace {GATEWAY_V4}/32 dev eth0 scope link"),
        format!("route replace 0.0.0.0/0 via {GATEWAY_V4} dev eth0"),
        format!("route replace ::/0 via {GATEWAY_V6} dev eth0"),
    ]);
    lines
}

/// The address of a node's `eth0`, made of the number of its port on the fabric.
fn node_mac(port: &str) -> String {
    let number: u8 = port.trim_start_matches('n').parse().unwrap_or(u8::MAX);
    format!("02:f0:00:00:01:{number:02x}")
}

/// A locally administered address made of the pod's index.
fn mac(index: u32) -> String {
    let [a, b, c, d] = index.to_be_bytes();
    format!("02:be:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
