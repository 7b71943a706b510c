//! The verdicts between two resolved ends: what is alike is judged once.
//!
//! ```text
//! Resolved -> units (variants, address ranges outside) -> roles (units alike to policy) -> cells (role x role)
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use podgate_policy::{ClassId, Cluster, Kind, PortKey, ProgramId, Programs};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::ends::{Ports, Resolved};
use crate::ip::{IpSet, by_longest_prefix};
use crate::ports::{PortSet, PortSetId, PortSets};
use crate::world::{Family, PodId, VariantId, World};

/// Pods of one variant, or addresses outside of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What it is.
    pub kind: UnitKind,
    /// Stands for all of its addresses; the first.
    pub ip: IpAddr,
    /// What the addresses are to policy.
    pub stand: Stand,
    /// The nodes that have the address, for host-network pods and for single addresses: one, unless the input
    /// gives an address twice.
    pub is_node: Vec<Arc<str>>,
    /// The node on which the pods run, where that matters.
    pub on_node: Option<Arc<str>>,
}

/// What a [`Unit`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// Pods of one variant: all of them, or some.
    Pods(VariantId, Vec<PodId>),
    /// Addresses that are no pod's.
    Outside(IpSet),
}

/// What an address is to policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stand {
    /// As the other end.
    pub class: ClassId,
    /// Judges connections from it.
    pub egress: Option<ProgramId>,
    /// Judges connections to it.
    pub ingress: Option<ProgramId>,
    /// Whether it is a pod's, and its family.
    pub kind: Kind,
}

impl Stand {
    /// What an address is to a cluster's policies.
    pub fn of(cluster: &Cluster, ip: IpAddr) -> Option<Stand> {
        let kind = |pod| Kind { pod, family: Family::of(ip) };
        match cluster.identity(ip) {
            Some(identity) => Some(Stand {
                class: identity.class,
                egress: identity.egress,
                ingress: identity.ingress,
                kind: kind(true),
            }),
            None => {
                Some(Stand { class: cluster.class_of(ip)?, egress: None, ingress: None, kind: kind(false) })
            }
        }
    }
}

/// Units alike to policy: none of the questions asked here tells them apart.
#[derive(Clone, Debug)]
pub struct Role {
    /// The units.
    pub units: Vec<Unit>,
    /// The ports in question at them, as a destination.
    pub asked: PortSetId,
}

/// The verdicts between two ends in one address family.
#[derive(Debug)]
pub struct Judged {
    /// The family.
    pub family: Family,
    /// Sources.
    pub from: Vec<Role>,
    /// Destinations.
    pub to: Vec<Role>,
    /// What is allowed of what was asked, destination by destination: `allowed[to][from]`. `None`: there is no
    /// such connection, both are the same single pod and others are in question.
    pub allowed: Vec<Vec<Option<PortSetId>>>,
    /// The sets that the ids stand for.
    pub sets: PortSets,
}

/// Reads verdict tables as port sets, each row once.
#[derive(Debug, Default)]
pub struct Tables {
    rows: FxHashMap<(ProgramId, ClassId, Kind), PortSetId>,
}

impl Tables {
    /// The ports on which one address reaches another by policy.
    pub fn allowed(&mut self, cluster: &Cluster, sets: &mut PortSets, from: Stand, to: Stand) -> PortSetId {
        let ingress = self.side(cluster, sets, to.ingress, from);
        if ingress == PortSetId::NONE {
            return ingress;
        }
        let egress = self.side(cluster, sets, from.egress, to);
        sets.intersection(egress, ingress)
    }

    /// What the program of one side allows towards the other end.
    pub fn side(
        &mut self,
        cluster: &Cluster,
        sets: &mut PortSets,
        program: Option<ProgramId>,
        other: Stand,
    ) -> PortSetId {
        let Some(id) = program else { return PortSetId::ALL };
        *self.rows.entry((id, other.class, other.kind)).or_insert_with(|| match cluster.program(id) {
            None => PortSetId::ALL,
            Some(program) => sets.id(PortSet::allowed(program.row_towards(other.class, other.kind))),
        })
    }
}

impl Judged {
    /// Judges every connection between two ends, family by family; those without any are left out. A pod's
    /// connection to itself counts where there is no other.
    pub fn all(
        world: &World,
        families: &[Family],
        from: &Resolved,
        to: &Resolved,
        ports: &Ports,
    ) -> Vec<Judged> {
        for itself in [false, true] {
            let judged = families.iter().map(|family| Judged::new(world, *family, from, to, ports, itself));
            let judged: Vec<Judged> = judged.filter(|judged| !judged.is_empty()).collect();
            if !judged.is_empty() {
                return judged;
            }
        }
        Vec::new()
    }

    fn new(
        world: &World,
        family: Family,
        from: &Resolved,
        to: &Resolved,
        ports: &Ports,
        itself: bool,
    ) -> Judged {
        let mut sets = PortSets::default();
        let mut sources = units(world, family, from);
        let mut targets = units(world, family, to);
        place(world, &mut sources, &targets);
        place(world, &mut targets, &sources);
        // Echo requests are another protocol in each family.
        let echo = PortSet::range(1, 0, u16::MAX).union(&PortSet::range(58, 0, u16::MAX));
        let other_echo = PortSet::range(if family == Family::V4 { 58 } else { 1 }, 0, u16::MAX);
        let asked = |unit: &Unit| {
            let set = match &unit.kind {
                UnitKind::Pods(_, pods) => ports.at(pods[0]),
                UnitKind::Outside(_) => ports.outside.clone(),
            };
            if set.is_subset(&echo) { set.difference(&other_echo) } else { set }
        };
        let targets: Vec<(Unit, PortSetId)> = targets
            .into_iter()
            .flat_map(|unit| split_by_ports(world, unit, ports))
            .map(|unit| {
                let id = sets.id(asked(&unit));
                (unit, id)
            })
            .filter(|(_, asked)| *asked != PortSetId::NONE)
            .collect();
        let sources = roles(sources.into_iter().map(|unit| (unit, PortSetId::NONE)), |stand| Stand {
            ingress: None,
            ..stand
        });
        let targets = roles(targets.into_iter(), |stand| Stand { egress: None, ..stand });
        let mut tables = Tables::default();
        let mut allowed = Vec::with_capacity(targets.len());
        for target in &targets {
            let column = sources.iter().map(|source| {
                let (a, b) = (&source.units[0], &target.units[0]);
                let any = match relation(source, target) {
                    Between::Nothing if !itself => return None,
                    // Through a Service a pod's connection to itself is seen, by cluster-scoped policies.
                    Between::Nothing if to.service.is_some() => hairpin(world, &mut sets, a.stand),
                    // A pod reaches itself, and a node its pods, whatever policies say.
                    Between::Nothing | Between::OneAddress | Between::OwnNode => PortSetId::ALL,
                    Between::Policy => tables.allowed(&world.cluster, &mut sets, a.stand, b.stand),
                };
                Some(sets.intersection(any, target.asked))
            });
            allowed.push(column.collect());
        }
        Judged { family, from: sources, to: targets, allowed, sets }
    }

    /// Leaves out connections between a node and its own pods, which no policy can forbid, where there are
    /// others: who says `all` means those that policy decides.
    pub fn leave_out_own_nodes(&mut self) {
        let own =
            |from: usize, to: usize| matches!(relation(&self.from[from], &self.to[to]), Between::OwnNode);
        let own: Vec<(usize, usize)> =
            self.cells().map(|(from, to, _)| (from, to)).filter(|(from, to)| own(*from, *to)).collect();
        if own.len() == self.cells().count() {
            return;
        }
        for (from, to) in own {
            self.allowed[to][from] = None;
        }
    }

    /// Whether there is any connection to judge.
    pub fn is_empty(&self) -> bool {
        self.allowed.iter().flatten().flatten().next().is_none()
    }

    /// All cells: source, destination, what is allowed.
    pub fn cells(&self) -> impl Iterator<Item = (usize, usize, PortSetId)> + '_ {
        self.allowed.iter().enumerate().flat_map(|(to, column)| {
            column.iter().enumerate().filter_map(move |(from, id)| Some((from, to, (*id)?)))
        })
    }

    /// Two addresses of a cell that make a connection which policy or an always-rule judges.
    pub fn example(&self, from: usize, to: usize) -> (&Unit, IpAddr, &Unit, IpAddr) {
        example(&self.from[from], &self.to[to])
    }
}

/// What a pod may send to itself through a Service.
fn hairpin(world: &World, sets: &mut PortSets, pod: Stand) -> PortSetId {
    let row =
        |program: Option<ProgramId>| world.cluster.program(program?)?.itself(pod.class, pod.kind.family);
    [pod.egress, pod.ingress].into_iter().fold(PortSetId::ALL, |all, program| match row(program) {
        Some(row) => {
            let side = sets.id(PortSet::allowed(row));
            sets.intersection(all, side)
        }
        None => all,
    })
}

enum Between {
    /// One and the same pod.
    Nothing,
    /// Two pods that claim one address.
    OneAddress,
    /// A node and a pod on it.
    OwnNode,
    Policy,
}

fn relation(from: &Role, to: &Role) -> Between {
    let (a, b) = (&from.units[0], &to.units[0]);
    let own = |node: &Unit, pod: &Unit| pod.on_node.as_ref().is_some_and(|name| node.is_node.contains(name));
    if own(a, b) || own(b, a) {
        return Between::OwnNode;
    }
    if from.units.len() == 1 && to.units.len() == 1 && a.ip == b.ip && a.is_single() && b.is_single() {
        // Pods that claim one address are one to policy.
        return if a.kind == b.kind { Between::Nothing } else { Between::OneAddress };
    }
    Between::Policy
}

/// Two units and addresses of them that differ, where there are any.
fn example<'a>(from: &'a Role, to: &'a Role) -> (&'a Unit, IpAddr, &'a Unit, IpAddr) {
    for a in &from.units {
        for b in &to.units {
            if a.ip != b.ip {
                return (a, a.ip, b, b.ip);
            }
        }
    }
    let (a, b) = (&from.units[0], &to.units[0]);
    (a, a.ip, b, b.ip)
}

impl Unit {
    /// One pod, or one address.
    fn is_single(&self) -> bool {
        match &self.kind {
            UnitKind::Pods(_, pods) => pods.len() == 1,
            UnitKind::Outside(set) => set.ranges().eq([(self.ip, self.ip)]),
        }
    }
}

/// The parts of an end that policy may tell apart, in one family.
fn units(world: &World, family: Family, end: &Resolved) -> Vec<Unit> {
    let mut units = Vec::new();
    for (variant, pods) in end.variants(world) {
        let host = world.workload(world.variant(variant).workload).host_network;
        let first = address(world, pods[0], family);
        let (Some(ip), Some(identity)) = (first, world.variant(variant).identity(family)) else { continue };
        let stand = Stand {
            class: identity.class,
            egress: identity.egress,
            ingress: identity.ingress,
            kind: Kind { pod: !host, family },
        };
        if !host {
            units.push(Unit {
                kind: UnitKind::Pods(variant, pods),
                ip,
                stand,
                is_node: Vec::new(),
                on_node: None,
            });
            continue;
        }
        // Each pod of the host network is its node.
        for pod in pods {
            let Some(ip) = address(world, pod, family) else { continue };
            units.push(Unit {
                kind: UnitKind::Pods(variant, vec![pod]),
                ip,
                stand,
                is_node: nodes_at(world, ip),
                on_node: None,
            });
        }
    }
    let wanted = end.outside(family);
    if wanted.is_empty() {
        return units;
    }
    let mut pieces = by_longest_prefix(family, world.cluster.prefixes());
    pieces.sort_by(|a, b| a.1.cmp(&b.1));
    for (class, piece) in pieces {
        let set = piece.intersection(&wanted);
        let Some(ip) = first_outside(world, &set) else { continue };
        let is_node = if set.ranges().eq([(ip, ip)]) { nodes_at(world, ip) } else { Vec::new() };
        let kind = Kind { pod: false, family };
        let stand = Stand { class, egress: None, ingress: None, kind };
        units.push(Unit { kind: UnitKind::Outside(set), ip, stand, is_node, on_node: None });
    }
    units
}

fn address(world: &World, pod: PodId, family: Family) -> Option<IpAddr> {
    world.pod(pod).ips.iter().copied().find(|ip| Family::of(*ip) == family)
}

fn nodes_at(world: &World, ip: IpAddr) -> Vec<Arc<str>> {
    let nodes = world.nodes.iter().filter(|node| node.addresses.contains(&ip));
    nodes.map(|node| node.meta.name.as_str().into()).collect()
}

/// The first address of a set that is no pod's.
pub fn first_outside(world: &World, set: &IpSet) -> Option<IpAddr> {
    for (first, last) in set.ranges() {
        let mut next = Some(first);
        while let Some(ip) = next.filter(|ip| *ip <= last) {
            if world.cluster.pod_at(ip).is_none() {
                return Some(ip);
            }
            next = following(ip);
        }
    }
    None
}

fn following(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(IpAddr::V4(u32::from(ip).checked_add(1)?.into())),
        IpAddr::V6(ip) => Some(IpAddr::V6(u128::from(ip).checked_add(1)?.into())),
    }
}

/// Splits pods by the nodes that are among `others`: a node and its pods always reach each other.
fn place(world: &World, units: &mut Vec<Unit>, others: &[Unit]) {
    let nodes: FxHashSet<&str> =
        others.iter().flat_map(|unit| unit.is_node.iter().map(|name| &**name)).collect();
    if nodes.is_empty() {
        return;
    }
    let mut split = Vec::with_capacity(units.len());
    for unit in units.drain(..) {
        let UnitKind::Pods(variant, pods) = &unit.kind else {
            split.push(unit);
            continue;
        };
        if !unit.stand.kind.pod {
            split.push(unit);
            continue;
        }
        let mut by_node: Vec<(Option<Arc<str>>, Vec<PodId>)> = Vec::new();
        for pod in pods {
            // Where pods claim one address, the engine knows whose it is.
            let ip = address(world, *pod, Family::of(unit.ip));
            let node = ip.and_then(|ip| world.cluster.identity(ip)?.node);
            let node = node.filter(|node| nodes.contains(&**node));
            match by_node.iter_mut().find(|(known, _)| *known == node) {
                Some((_, pods)) => pods.push(*pod),
                None => by_node.push((node, vec![*pod])),
            }
        }
        for (on_node, pods) in by_node {
            let Some(ip) = address(world, pods[0], Family::of(unit.ip)) else { continue };
            split.push(Unit { kind: UnitKind::Pods(*variant, pods), ip, on_node, ..unit.clone() });
        }
    }
    *units = split;
}

/// Pods of one variant are alike to the policies there are; the ports in question may differ.
fn split_by_ports(world: &World, unit: Unit, ports: &Ports) -> Vec<Unit> {
    let UnitKind::Pods(variant, pods) = &unit.kind else { return vec![unit] };
    let mut groups: Vec<(PortSet, Vec<PodId>)> = Vec::new();
    for pod in pods {
        let asked = ports.at(*pod);
        match groups.iter_mut().find(|(known, _)| *known == asked) {
            Some((_, pods)) => pods.push(*pod),
            None => groups.push((asked, vec![*pod])),
        }
    }
    if groups.len() < 2 {
        return vec![unit];
    }
    let part = |pods: Vec<PodId>| {
        let ip = address(world, pods[0], Family::of(unit.ip))?;
        Some(Unit { kind: UnitKind::Pods(*variant, pods), ip, ..unit.clone() })
    };
    groups.into_iter().filter_map(|(_, pods)| part(pods)).collect()
}

/// Units that the verdict does not tell apart, in the order of their first.
fn roles(units: impl Iterator<Item = (Unit, PortSetId)>, as_role: impl Fn(Stand) -> Stand) -> Vec<Role> {
    type Key = (Stand, Vec<Arc<str>>, Option<Arc<str>>, PortSetId);
    let mut known: FxHashMap<Key, usize> = FxHashMap::default();
    let mut roles: Vec<Role> = Vec::new();
    for (unit, asked) in units {
        let key = (as_role(unit.stand), unit.is_node.clone(), unit.on_node.clone(), asked);
        let at = *known.entry(key).or_insert_with(|| {
            roles.push(Role { units: Vec::new(), asked });
            roles.len() - 1
        });
        roles[at].units.push(unit);
    }
    roles
}

/// The key of a port set's first port that a person would think of.
pub fn telling_port(world: &World, unit: &Unit, set: &PortSet) -> Option<PortKey> {
    if let UnitKind::Pods(_, pods) = &unit.kind {
        let declared = pods.iter().flat_map(|pod| &world.pod_object(*pod).ports);
        let mut keys = declared.map(|port| PortKey::new(port.protocol.number(), port.port));
        if let Some(key) = keys.find(|key| set.contains(*key)) {
            return Some(key);
        }
    }
    const USUAL: [(u8, u16); 4] = [(6, 443), (6, 80), (17, 53), (6, 1)];
    let usual = USUAL.into_iter().map(|(protocol, port)| PortKey::new(protocol, port));
    let mut usual = usual.filter(|key| set.contains(*key));
    usual.next().or_else(|| set.ranges().first().map(|(lo, _)| PortKey(*lo)))
}
