//! Services as nftables rules, one table for each node, with the meaning that kube-proxy gives them.
//!
//! ```text
//! prerouting, output  ->  cluster IP or node port?  ->  DNAT to one of the backends, at random
//! input, forward, output  ->  Service without endpoints?  ->  reject
//! postrouting  ->  marked, hairpin or leaving the cluster?  ->  SNAT to the node
//! ```

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use podgate_api::Protocol;

use crate::command::{in_parallel, nft};
use crate::error::Result;
use crate::netns;
use crate::plan::{
    NODE_NETWORKS, NodePlan, POD_NETWORKS, Plan, PodPlan, SERVICE_NETWORKS, ServicePlan, ServicePortPlan,
};

/// The table's name in every node.
pub const TABLE: &str = "podgate-lab-services";

/// The packet mark that asks for SNAT to the node, as kube-proxy's default.
const MASQUERADE_MARK: &str = "0x4000";

/// Applies each node's rules, atomically for each node. Those that are the same in `in_force`, a plan
/// whose rules are known to be there, are left alone: while the kernel swaps rules for translation, it may
/// lose the first packet of a connection.
///
/// # Errors
/// When nft or the kernel refuses the rules.
pub fn apply(plan: &Plan, in_force: Option<&Plan>) -> Result<()> {
    let is_new = |(i, node): &(usize, &NodePlan)| {
        let same = in_force.filter(|old| old.nodes.get(*i).is_some_and(|n| n.netns == node.netns));
        same.is_none_or(|old| ruleset(old, *i) != ruleset(plan, *i))
    };
    let nodes: Vec<(usize, &NodePlan)> = plan.nodes.iter().enumerate().filter(is_new).collect();
    in_parallel(&nodes, |(i, node)| nft(&node.netns, &ruleset(plan, *i)))
}

/// Whether the kernel tracks SCTP, without which it can't translate SCTP Services. Asks in the first
/// node's namespace, after [`apply`].
///
/// # Errors
/// When the namespace can't be entered.
pub fn tracks_sctp(plan: &Plan) -> Result<bool> {
    let file = "/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established";
    netns::run(&plan.nodes[0].netns, || std::path::Path::new(file).exists())
}

/// The nft script that replaces a node's table.
pub fn ruleset(plan: &Plan, node: usize) -> String {
    let pods = plan.pods_by_index();
    let tables = [Family::V4, Family::V6].map(|family| Rules::new(plan, node, family, &pods));
    let mut script = format!("table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n");
    for rules in &tables {
        script.push_str(&rules.sets);
        script.push_str(&rules.chains);
    }
    let hook = |name: &str, kind: &str, hook: &str, priority: i32, rules: &dyn Fn(&Rules) -> String| {
        let body: String = tables.iter().map(rules).collect();
        format!("\tchain {name} {{\n\t\ttype {kind} hook {hook} priority {priority};\n{body}\t}}\n")
    };
    script.push_str(&hook("prerouting", "nat", "prerouting", -100, &|r| r.translate.clone()));
    script.push_str(&hook("output", "nat", "output", -100, &|r| r.translate.clone()));
    script.push_str(&hook("postrouting", "nat", "postrouting", 100, &|r| r.masquerade.clone()));
    for name in ["input", "forward", "output"] {
        script.push_str(&hook(&format!("reject-{name}"), "filter", name, 0, &|r| r.reject.clone()));
    }
    script.push_str("}\n");
    script
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(self, ips: &[IpAddr]) -> Option<&IpAddr> {
        ips.iter().find(|ip| ip.is_ipv6() == (self == Family::V6))
    }

    /// One family's entry of a pair of constants.
    fn pick<'a>(self, pair: &[&'a str; 2]) -> &'a str {
        pair[usize::from(self == Family::V6)]
    }

    fn ip(self) -> &'static str {
        if self == Family::V6 { "ip6" } else { "ip" }
    }

    fn address_type(self) -> &'static str {
        if self == Family::V6 { "ipv6_addr" } else { "ipv4_addr" }
    }

    fn suffix(self) -> &'static str {
        if self == Family::V6 { "6" } else { "4" }
    }
}

/// One address family's part of a node's table.
#[derive(Default)]
struct Rules {
    sets: String,
    chains: String,
    translate: String,
    masquerade: String,
    reject: String,
}

/// Verdict maps and sets, filled while walking the Services.
#[derive(Default)]
struct Elements {
    /// `address . protocol . port : goto chain`
    cluster: Vec<String>,
    /// `protocol . port : goto chain`
    node: Vec<String>,
    /// `address . protocol . port`
    cluster_rejects: Vec<String>,
    /// `protocol . port`
    node_rejects: Vec<String>,
}

impl Rules {
    fn new(plan: &Plan, node: usize, family: Family, pods: &BTreeMap<u32, &PodPlan>) -> Rules {
        let mut rules = Rules::default();
        let mut elements = Elements::default();
        let ports = plan.services.iter().flat_map(|s| s.ports.iter().map(move |port| (s, port)));
        for (number, (service, port)) in ports.enumerate() {
            rules.add(number, service, port, node, family, pods, &mut elements);
        }
        rules.close(&plan.nodes[node], family, plan, elements);
        rules
    }

    #[expect(clippy::too_many_arguments, reason = "one call; a struct would only repeat the names")]
    fn add(
        &mut self,
        number: usize,
        service: &ServicePlan,
        port: &ServicePortPlan,
        node: usize,
        family: Family,
        pods: &BTreeMap<u32, &PodPlan>,
        elements: &mut Elements,
    ) {
        let Some(ip) = family.of(&service.cluster_ips) else { return };
        let protocol = word(port.protocol);
        let place = |pod: &u32, number: &u16| {
            let pod = pods.get(pod)?;
            Some((pod.node, *family.of(&pod.ips)?, *number))
        };
        let backends: Vec<_> = port.backends.iter().filter_map(|(pod, number)| place(pod, number)).collect();
        let cluster = format!("{ip} . {protocol} . {}", port.port);
        if backends.is_empty() {
            elements.cluster_rejects.push(cluster);
            elements.node_rejects.extend(port.node_port.map(|number| format!("{protocol} . {number}")));
            return;
        }
        let suffix = family.suffix();
        let chain = format!("service{suffix}-{number}");
        let title = format!("{}/{} {}/{protocol}", service.namespace, service.name, port.port);
        self.chain(&chain, &title, &[balance(&backends, protocol, family)]);
        elements.cluster.push(format!("{cluster} : goto {chain}"));
        let Some(node_port) = port.node_port else { return };
        let local: Vec<_> = backends.iter().filter(|(at, ..)| *at == node).copied().collect();
        let external = format!("node-port{suffix}-{number}");
        let mark = format!("meta mark set meta mark | {MASQUERADE_MARK}");
        if service.external_local {
            // Inside the cluster a node port is as good as the cluster IP, whatever the policy.
            let from_pods = format!("{} saddr {} goto {chain}", family.ip(), family.pick(&POD_NETWORKS));
            let from_node = format!("fib saddr type local {mark} goto {chain}");
            let from_outside =
                if local.is_empty() { "drop".to_owned() } else { balance(&local, protocol, family) };
            self.chain(&external, &title, &[from_pods, from_node, from_outside]);
        } else {
            self.chain(&external, &title, &[format!("{mark} goto {chain}")]);
        }
        elements.node.push(format!("{protocol} . {node_port} : goto {external}"));
    }

    fn chain(&mut self, name: &str, title: &str, rules: &[String]) {
        let body: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
        // Writing to a String can't fail.
        let _ = write!(self.chains, "\tchain {name} {{\n\t\t# {title}\n{body}\t}}\n");
    }

    fn close(&mut self, node: &NodePlan, family: Family, plan: &Plan, elements: Elements) {
        let (ip, suffix, address) = (family.ip(), family.suffix(), family.address_type());
        let Some(own) = family.of(&node.addresses) else { return };
        // Pods of every node: one that asks another node for a node port may be given itself.
        let own_pods = plan.pods.iter().filter(|pod| !pod.host_network);
        let hairpin: Vec<String> =
            own_pods.filter_map(|pod| family.of(&pod.ips)).map(|pod| format!("{pod} . {pod}")).collect();
        let with_address = format!("{address} . inet_proto . inet_service");
        self.set(
            "map",
            &format!("cluster-ips{suffix}"),
            &format!("{with_address} : verdict"),
            &elements.cluster,
        );
        self.set(
            "map",
            &format!("node-ports{suffix}"),
            "inet_proto . inet_service : verdict",
            &elements.node,
        );
        self.set("set", &format!("no-endpoints{suffix}"), &with_address, &elements.cluster_rejects);
        let no_node_endpoints = format!("no-node-endpoints{suffix}");
        self.set("set", &no_node_endpoints, "inet_proto . inet_service", &elements.node_rejects);
        self.set("set", &format!("hairpin{suffix}"), &format!("{address} . {address}"), &hairpin);
        self.translate = format!(
            "\t\t{ip} daddr . meta l4proto . th dport vmap @cluster-ips{suffix}\n\
             \t\t{ip} daddr {own} meta l4proto . th dport vmap @node-ports{suffix}\n"
        );
        self.reject = format!(
            "\t\tct state new {ip} daddr . meta l4proto . th dport @no-endpoints{suffix} reject\n\
             \t\tct state new {ip} daddr {own} meta l4proto . th dport @{no_node_endpoints} reject\n"
        );
        let inside =
            [POD_NETWORKS, NODE_NETWORKS, SERVICE_NETWORKS].map(|pair| family.pick(&pair)).join(", ");
        self.masquerade = format!(
            "\t\t{ip} version {version} meta mark & {MASQUERADE_MARK} != 0 meta mark set meta mark ^ {MASQUERADE_MARK} snat {ip} to {own}\n\
             \t\tct status dnat {ip} saddr . {ip} daddr @hairpin{suffix} snat {ip} to {own}\n\
             \t\t{ip} saddr {pods} {ip} daddr != {{ {inside} }} snat {ip} to {own}\n",
            version = family.suffix(),
            pods = family.pick(&POD_NETWORKS),
        );
    }

    fn set(&mut self, kind: &str, name: &str, of: &str, elements: &[String]) {
        let elements = match elements {
            [] => String::new(),
            some => format!(" elements = {{ {} }};", some.join(", ")),
        };
        let _ = writeln!(self.sets, "\t{kind} {name} {{ type {of};{elements} }}");
    }
}

/// DNAT to one of the backends at random.
fn balance(backends: &[(usize, IpAddr, u16)], protocol: &str, family: Family) -> String {
    let ip = family.ip();
    let prefix = format!("meta l4proto {protocol} dnat {ip} to");
    if let [(_, ip, port)] = backends {
        return match ip {
            IpAddr::V4(ip) => format!("{prefix} {ip}:{port}"),
            IpAddr::V6(ip) => format!("{prefix} [{ip}]:{port}"),
        };
    }
    let choices: Vec<String> =
        backends.iter().enumerate().map(|(i, (_, ip, port))| format!("{i} : {ip} . {port}")).collect();
    format!("{prefix} numgen random mod {} map {{ {} }}", backends.len(), choices.join(", "))
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}
