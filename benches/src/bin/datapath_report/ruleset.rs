//! The same policies as an nftables ruleset, the way an enforcer without classes would write them.
//!
//! ```text
//! postrouting -- verdict map by pod address --> chain of all pods under the same policies
//!     a rule for each peer and protocol: address in a named set, port in a set: return; else drop
//! ```
//!
//! Written for speed: one map look-up per direction, equal sets and chains kept once, no chain per
//! policy. IPv4 only, and no names of ports: the benchmark has none.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use podgate_api::{
    LabelSelector, Labels, NetworkPolicy, Object, Peer, Pod, PolicyPort, PortMatch, Protocol, Rule,
};
use podgate_policy::Direction;

/// Which packets are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The first ones of connections: a changed policy leaves live connections alone.
    First,
    /// All; replies by mirrored rules.
    All,
}

/// nft scripts. Only what is hooked asks for connection tracking, and sees packets.
pub struct Ruleset {
    pub load: String,
    pub hook: String,
    pub unhook: String,
}

/// Keeps connection tracking on and does nothing else.
pub fn conntrack() -> Ruleset {
    Ruleset {
        load: String::new(),
        hook: "table inet pgb {\n chain unhooked {\n  ct state new\n }\n}\n".into(),
        unhook: "delete table inet pgb\n".into(),
    }
}

struct World<'a> {
    pods: Vec<&'a Pod>,
    by_namespace: HashMap<&'a str, Vec<&'a Pod>>,
    namespaces: HashMap<&'a str, &'a Labels>,
    policies: Vec<&'a NetworkPolicy>,
    /// Addresses by selectors of namespaces and of pods.
    selected: HashMap<(&'a LabelSelector, Option<&'a LabelSelector>), Vec<Ipv4Addr>>,
    /// Names of sets by their elements.
    sets: HashMap<Vec<Ipv4Addr>, usize>,
    text: String,
}

/// The ruleset, in a table of its own.
pub fn ruleset(objects: &[Object], judge: Judge, table: &str) -> Ruleset {
    let mut world = World::new(objects);
    let (mut chains, mut maps) = (String::new(), String::new());
    world.direction(Direction::Egress, false, &mut chains, &mut maps);
    world.direction(Direction::Ingress, false, &mut chains, &mut maps);
    let first = match judge {
        Judge::First => "ct state established,related accept",
        Judge::All => "ct state related accept\n  ct direction reply goto replies",
    };
    if judge == Judge::All {
        world.direction(Direction::Egress, true, &mut chains, &mut maps);
        world.direction(Direction::Ingress, true, &mut chains, &mut maps);
        maps.push_str(
            " chain replies {\n  ip daddr vmap @egress_replies\n  ip saddr vmap @ingress_replies\n }\n",
        );
    }
    Ruleset {
        load: format!("table inet {table} {{\n{}{chains}{maps}}}\n", world.text),
        hook: format!(
            "table inet {table} {{\n chain postrouting {{\n  type filter hook postrouting priority 95;\n  \
             {first}\n  ip saddr vmap @egress\n  ip daddr vmap @ingress\n }}\n}}\n"
        ),
        unhook: format!("flush chain inet {table} postrouting\ndelete chain inet {table} postrouting\n"),
    }
}

impl<'a> World<'a> {
    fn new(objects: &'a [Object]) -> Self {
        let mut world = World {
            pods: Vec::new(),
            by_namespace: HashMap::new(),
            namespaces: HashMap::new(),
            policies: Vec::new(),
            selected: HashMap::new(),
            sets: HashMap::new(),
            text: String::new(),
        };
        for object in objects {
            match object {
                Object::Namespace(namespace) => {
                    world.namespaces.insert(&namespace.meta.name, &namespace.meta.labels);
                }
                Object::Pod(pod) => {
                    world.pods.push(pod);
                    world.by_namespace.entry(&pod.meta.namespace).or_default().push(pod);
                }
                Object::NetworkPolicy(policy) => world.policies.push(policy),
                _ => {}
            }
        }
        world
    }

    fn direction(&mut self, direction: Direction, replies: bool, chains: &mut String, maps: &mut String) {
        let mut of_namespace: HashMap<&str, Vec<&'a NetworkPolicy>> = HashMap::new();
        for policy in self.policies.iter().filter(|policy| in_force(policy, direction)) {
            of_namespace.entry(&policy.meta.namespace).or_default().push(policy);
        }
        let name = match direction {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        };
        let name = if replies { format!("{name}_replies") } else { name.to_owned() };
        let mut known: HashMap<Vec<*const NetworkPolicy>, usize> = HashMap::new();
        let mut elements = Vec::new();
        for pod in self.pods.clone() {
            let candidates = of_namespace.get(pod.meta.namespace.as_str()).map_or(&[][..], Vec::as_slice);
            let selecting: Vec<&'a NetworkPolicy> = candidates
                .iter()
                .filter(|policy| policy.pod_selector.matches(&pod.meta.labels))
                .copied()
                .collect();
            if selecting.is_empty() {
                continue;
            }
            let key = selecting.iter().map(|policy| std::ptr::from_ref(*policy)).collect();
            let next = known.len();
            let chain = *known.entry(key).or_insert(next);
            if chain == next {
                self.chain(&format!("{name}_{chain}"), &selecting, direction, replies, chains);
            }
            elements.extend(addresses(pod).map(|address| format!("{address} : jump {name}_{chain}")));
        }
        _ = writeln!(
            maps,
            " map {name} {{\n  type ipv4_addr : verdict\n  elements = {{ {} }}\n }}",
            elements.join(", ")
        );
    }

    fn chain(
        &mut self,
        name: &str,
        policies: &[&'a NetworkPolicy],
        direction: Direction,
        replies: bool,
        chains: &mut String,
    ) {
        _ = writeln!(chains, " chain {name} {{");
        for policy in policies {
            let rules = match direction {
                Direction::Egress => &policy.egress,
                Direction::Ingress => &policy.ingress,
            };
            for rule in rules {
                for peer in self.peers(&policy.meta.namespace, rule, direction, replies) {
                    for port in ports(rule.ports.as_deref(), replies) {
                        _ = writeln!(chains, "  {peer}{port}return");
                    }
                }
            }
        }
        _ = writeln!(chains, "  drop\n }}");
    }

    /// Matches of the other end's address, each with a blank after it.
    fn peers(
        &mut self,
        namespace: &'a str,
        rule: &'a Rule,
        direction: Direction,
        replies: bool,
    ) -> Vec<String> {
        let Some(peers) = &rule.peers else { return vec![String::new()] };
        let field = match (direction == Direction::Ingress) != replies {
            true => "ip saddr",
            false => "ip daddr",
        };
        let mut matches = Vec::new();
        for peer in peers {
            match peer {
                Peer::IpBlock(block) => {
                    let mut text = format!("{field} {} ", block.cidr);
                    block.except.iter().for_each(|hole| _ = write!(text, "{field} != {hole} "));
                    matches.push(text);
                }
                Peer::Pods(peer) => {
                    let found = match &peer.namespaces {
                        Some(namespaces) => self.selected(namespaces, peer.pods.as_ref()),
                        None => self.of(namespace, peer.pods.as_ref()),
                    };
                    if !found.is_empty() {
                        matches.push(format!("{field} @set_{} ", self.set(found)));
                    }
                }
            }
        }
        matches
    }

    fn of(&self, namespace: &str, selector: Option<&LabelSelector>) -> Vec<Ipv4Addr> {
        let pods = self.by_namespace.get(namespace).map_or(&[][..], Vec::as_slice);
        pods.iter()
            .filter(|pod| selector.is_none_or(|selector| selector.matches(&pod.meta.labels)))
            .flat_map(|pod| addresses(pod))
            .collect()
    }

    fn selected(&mut self, namespaces: &'a LabelSelector, pods: Option<&'a LabelSelector>) -> Vec<Ipv4Addr> {
        if let Some(found) = self.selected.get(&(namespaces, pods)) {
            return found.clone();
        }
        let mut names: Vec<&str> = self
            .namespaces
            .iter()
            .filter(|(_, labels)| namespaces.matches(labels))
            .map(|(name, _)| *name)
            .collect();
        names.sort_unstable();
        let found: Vec<Ipv4Addr> = names.iter().flat_map(|name| self.of(name, pods)).collect();
        self.selected.insert((namespaces, pods), found.clone());
        found
    }

    fn set(&mut self, elements: Vec<Ipv4Addr>) -> usize {
        if let Some(number) = self.sets.get(&elements) {
            return *number;
        }
        let number = self.sets.len();
        let list: Vec<String> = elements.iter().map(Ipv4Addr::to_string).collect();
        _ = writeln!(
            self.text,
            " set set_{number} {{\n  type ipv4_addr\n  elements = {{ {} }}\n }}",
            list.join(", ")
        );
        self.sets.insert(elements, number);
        number
    }
}

fn in_force(policy: &NetworkPolicy, direction: Direction) -> bool {
    match direction {
        Direction::Egress => policy.egress_in_force,
        Direction::Ingress => policy.ingress_in_force,
    }
}

fn addresses(pod: &Pod) -> impl Iterator<Item = Ipv4Addr> {
    pod.ips.iter().filter_map(|ip| match ip {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    })
}

/// Matches of the destination's port, each with a blank after it.
fn ports(ports: Option<&[PolicyPort]>, replies: bool) -> Vec<String> {
    let Some(ports) = ports else { return vec![String::new()] };
    let field = if replies { "sport" } else { "dport" };
    let mut matches = Vec::new();
    for protocol in Protocol::ALL {
        let name = protocol.as_str().to_ascii_lowercase();
        let of_protocol: Vec<&PortMatch> =
            ports.iter().filter(|port| port.protocol == protocol).map(|port| &port.port).collect();
        let ranges: Vec<String> = of_protocol
            .iter()
            .filter_map(|port| match port {
                PortMatch::Range(lo, hi) if lo == hi => Some(lo.to_string()),
                PortMatch::Range(lo, hi) => Some(format!("{lo}-{hi}")),
                _ => None,
            })
            .collect();
        match ranges.as_slice() {
            [] if of_protocol.contains(&&PortMatch::All) => matches.push(format!("meta l4proto {name} ")),
            [] => {}
            [one] => matches.push(format!("{name} {field} {one} ")),
            many => matches.push(format!("{name} {field} {{ {} }} ", many.join(", "))),
        }
    }
    matches
}
