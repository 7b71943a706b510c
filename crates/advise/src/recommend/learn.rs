//! From connections to rules: who may be reached by whom, on which ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_api::Node;
use podgate_flow::{Party, Protocol};
use podgate_policy::Direction;

use super::inventory::{Inventory, WorkloadKey};
use crate::seen::{DNS, End, Key, Tally};

/// The other end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// The pods of a workload.
    Workload(WorkloadKey),
    /// A node, or what shares its addresses.
    Node(String),
    /// A block of addresses that the user named.
    Known(IpNet, String),
    /// An address, by its first DNS name where one is known.
    Outside(Option<String>, IpAddr),
}

/// Ports of one protocol.
pub type Ports = BTreeSet<(Protocol, u16)>;

/// What was learned of one peer.
#[derive(Clone, Debug, Default)]
pub struct Lesson {
    /// The ports that were used.
    pub ports: Ports,
    /// How many connections taught it.
    pub connections: u64,
    /// Addresses that were seen, of nodes and of the outside.
    pub addresses: BTreeSet<IpAddr>,
}

/// What one workload needs.
#[derive(Clone, Debug, Default)]
pub struct Lessons {
    /// By whom it is reached.
    pub ingress: BTreeMap<Peer, Lesson>,
    /// Whom it reaches.
    pub egress: BTreeMap<Peer, Lesson>,
    /// Connections that it opened or that were opened to it.
    pub connections: u64,
}

impl Lessons {
    /// One direction's.
    pub fn of(&self, direction: Direction) -> &BTreeMap<Peer, Lesson> {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    fn of_mut(&mut self, direction: Direction) -> &mut BTreeMap<Peer, Lesson> {
        match direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        }
    }
}

/// Learns from connections that were let through.
#[derive(Debug)]
pub struct Teacher<'a> {
    inventory: &'a Inventory,
    nodes: &'a [Node],
    known_blocks: &'a [(IpNet, String)],
    /// By workload.
    pub lessons: BTreeMap<WorkloadKey, Lessons>,
    /// Connections that no NetworkPolicy can allow by themselves, with why.
    pub unsayable: BTreeSet<String>,
    /// The connections that [`Teacher::unsayable`] is about.
    pub left_out: BTreeSet<Key>,
}

/// A resolved end.
enum Place {
    Workload(WorkloadKey),
    /// What policies can't select, by its address.
    Address(Peer, IpAddr),
}

impl<'a> Teacher<'a> {
    /// Knows nothing yet.
    pub fn new(
        inventory: &'a Inventory,
        nodes: &'a [Node],
        known_blocks: &'a [(IpNet, String)],
    ) -> Teacher<'a> {
        Teacher {
            inventory,
            nodes,
            known_blocks,
            lessons: BTreeMap::new(),
            unsayable: BTreeSet::new(),
            left_out: BTreeSet::new(),
        }
    }

    /// Learns one kind of connection.
    pub fn learn(&mut self, key: &Key, tally: &Tally) {
        let from = self.place(&key.from, None);
        let to = self.place(&key.to, Some(tally));
        if let Some(text) = self.cannot_be_said(key, &from, &to) {
            self.unsayable.insert(text);
            self.left_out.insert(key.clone());
            return;
        }
        // A record with a Service's address: the pods behind it are meant, on their own port.
        let behind = match &to {
            Place::Address(..) => self.inventory.behind(key.to.ip, key.protocol, key.port),
            Place::Workload(_) => None,
        };
        let targets: Vec<(Place, u16)> = match behind {
            Some(behind) => behind.into_iter().map(|(key, port)| (Place::Workload(key), port)).collect(),
            None => vec![(to, key.port)],
        };
        for (to, port) in targets {
            let mut ports: Ports = [(key.protocol, port)].into();
            if key.port == DNS || tally.asked_dns {
                // A resolver that answers by UDP answers long answers by TCP.
                ports.extend([(Protocol::UDP, port), (Protocol::TCP, port)]);
            }
            self.teach(Direction::Egress, &from, &to, &ports, tally.allowed);
            self.teach(Direction::Ingress, &to, &from, &ports, tally.allowed);
        }
    }

    fn teach(
        &mut self,
        direction: Direction,
        subject: &Place,
        other: &Place,
        ports: &Ports,
        connections: u64,
    ) {
        let Place::Workload(subject) = subject else { return };
        if self.inventory.groups.get(subject).is_some_and(|group| group.host_network) {
            return;
        }
        let (peer, ip) = match other {
            Place::Workload(key) => (Peer::Workload(key.clone()), None),
            Place::Address(peer, ip) => (peer.clone(), Some(*ip)),
        };
        let lessons = self.lessons.entry(subject.clone()).or_default();
        lessons.connections += connections;
        let lesson = lessons.of_mut(direction).entry(peer).or_default();
        lesson.ports.extend(ports);
        lesson.connections += connections;
        lesson.addresses.extend(ip);
    }

    fn place(&self, end: &End, tally: Option<&Tally>) -> Place {
        if let Some(key) = self.inventory.workload_of(end) {
            if !self.inventory.groups.get(&key).is_some_and(|group| group.host_network) {
                return Place::Workload(key);
            }
            return Place::Address(Peer::Node(self.node_of(end.ip)), end.ip);
        }
        if let Party::Node { node } = &*end.party {
            return Place::Address(Peer::Node(node.clone()), end.ip);
        }
        if let Some(node) = self.nodes.iter().find(|node| node.addresses.contains(&end.ip)) {
            return Place::Address(Peer::Node(node.meta.name.clone()), end.ip);
        }
        // The smallest block that holds it.
        let blocks = self.known_blocks.iter().filter(|(net, _)| net.contains(&end.ip));
        if let Some((net, name)) = blocks.max_by_key(|(net, _)| net.prefix_len()) {
            return Place::Address(Peer::Known(*net, name.clone()), end.ip);
        }
        let name = match &*end.party {
            Party::Outside { name: Some(name) } => Some(name.clone()),
            _ => tally.and_then(|tally| tally.names.first()).map(|name| name.to_string()),
        };
        Place::Address(Peer::Outside(name, end.ip), end.ip)
    }

    fn node_of(&self, ip: IpAddr) -> String {
        let node = self.nodes.iter().find(|node| node.addresses.contains(&ip));
        node.map_or_else(|| ip.to_string(), |node| node.meta.name.clone())
    }

    /// Why no NetworkPolicy says exactly this.
    fn cannot_be_said(&self, key: &Key, from: &Place, to: &Place) -> Option<String> {
        let says = |place: &Place| match place {
            Place::Workload(key) => key.to_string(),
            Place::Address(Peer::Node(name), _) => format!("node {name}"),
            Place::Address(_, ip) => ip.to_string(),
        };
        let between = || format!("{} to {}", says(from), says(to));
        if !matches!(key.protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP) {
            return Some(format!(
                "{} from {}: a NetworkPolicy can't name it apart from all other traffic",
                key.protocol,
                between()
            ));
        }
        for place in [from, to] {
            if let Place::Workload(key) = place
                && self.inventory.chosen(key).is_none()
            {
                return Some(format!(
                    "{}: {key} has no labels that last, so that no policy can name it",
                    between()
                ));
            }
        }
        None
    }
}
