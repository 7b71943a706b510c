//! Who reaches whom, in as few lines as it takes: destinations that the same sources reach on the same
//! ports stand together, and so do those sources.

pub mod names;

use std::collections::BTreeMap;
use std::fmt;

use podgate_api::Protocol;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::ends::{Ports, Resolved};
use crate::ip::IpSet;
use crate::joint::{CellId, End, EndId, Joint};
use crate::ports::PortSet;
use crate::reach::names::{Ends, Namer};
use crate::world::{Family, VariantId, World};

/// Some ends of connections.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Variants whose pods are meant.
    pub variants: FxHashSet<VariantId>,
    /// Addresses outside that are meant, one set a family at most.
    pub addresses: Vec<IpSet>,
}

impl Selection {
    /// What an end of a question is in a world.
    pub fn new(world: &World, end: &Resolved) -> Selection {
        let variants = end.pods.iter().map(|pod| world.variant_of(*pod)).collect();
        Selection { variants, addresses: end.outside.clone() }
    }

    /// The addresses of one family.
    pub fn addresses_of(&self, family: Family) -> Option<&IpSet> {
        self.addresses.iter().find(|set| set.family() == family)
    }

    fn holds(&self, end: &End) -> bool {
        match end {
            End::Pods(variant) => self.variants.contains(variant),
            End::Outside(set) => {
                self.addresses_of(set.family()).is_some_and(|wanted| !wanted.intersection(set).is_empty())
            }
            End::Domain(_) => {
                let of_all = |set: &IpSet| IpSet::public(set.family()).difference(set).is_empty();
                self.addresses.iter().any(of_all)
            }
        }
    }
}

/// The ports in question, which may depend on the destination: a name stands for other numbers there.
#[derive(Clone, Debug, Default)]
pub struct Limit {
    /// For pods; none for those that are not in it.
    pub variants: FxHashMap<VariantId, PortSet>,
    /// For addresses outside.
    pub outside: PortSet,
}

impl Limit {
    /// The ports of a question in a world.
    pub fn new(world: &World, ports: &Ports) -> Limit {
        let mut limit = Limit { variants: FxHashMap::default(), outside: ports.outside.clone() };
        for (pod, set) in &ports.pods {
            let known = limit.variants.entry(world.variant_of(*pod)).or_default();
            *known = known.union(set);
        }
        limit
    }

    pub(crate) fn at(&self, end: &End) -> PortSet {
        match end {
            End::Pods(variant) => self.variants.get(variant).cloned().unwrap_or_default(),
            End::Outside(_) | End::Domain(_) => self.outside.clone(),
        }
    }
}

/// What to ask for; everything by default.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Only from these.
    pub from: Option<Selection>,
    /// Only to these.
    pub to: Option<Selection>,
    /// Only on these ports.
    pub ports: Option<Limit>,
}

/// All connections that policy allows.
#[derive(Debug, Serialize)]
pub struct Reach {
    /// Address families in use: `IPv4`, `IPv6`.
    pub families: Vec<&'static str>,
    /// Connections, each pair of ends and port in one of them only.
    pub connections: Vec<Connections>,
    /// Destinations in question that nobody in question reaches.
    #[serde(skip_serializing_if = "Ends::is_empty")]
    pub unreached: Ends,
}

/// Connections from each of some ends to each of others.
#[derive(Clone, Debug, Serialize)]
pub struct Connections {
    /// Sources.
    pub from: Ends,
    /// Destinations.
    pub to: Ends,
    /// The ports.
    #[serde(flatten)]
    pub ports: NamedPorts,
    /// `IPv4` or `IPv6` where the other family's ports are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<&'static str>,
}

/// A set of ports as answers show it: in words and in numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPorts(pub PortSet);

impl Serialize for NamedPorts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Range {
            protocol: Protocol,
            first: u16,
            last: u16,
        }
        let ranges: Vec<Range> = Protocol::ALL
            .into_iter()
            .flat_map(|protocol| {
                let ranges = self.0.of(protocol).into_iter();
                ranges.map(move |(first, last)| Range { protocol, first: first.max(1), last })
            })
            .collect();
        let mut fields = serializer.serialize_struct("Ports", 2)?;
        fields.serialize_field("ports", &self.0.to_string())?;
        fields.serialize_field("ranges", &ranges)?;
        fields.end()
    }
}

impl fmt::Display for NamedPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

/// What a family is called.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// How connections are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// Each destination is in one group, with all that reach it.
    #[default]
    Destination,
    /// Each source is in one group, with all that it reaches.
    Source,
}

/// Ends that reach others on the same ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Sources, sorted.
    pub from: Vec<EndId>,
    /// Destinations, sorted.
    pub to: Vec<EndId>,
    /// The ports.
    pub cell: CellId,
}

impl Reach {
    /// The answer to a question.
    pub fn new(world: &World, question: &Question, grouping: Grouping) -> Reach {
        let mut joint = Joint::new(world);
        let blocks = blocks(world, &mut joint, question, grouping);
        let namer = Namer::new(world);
        let reached: FxHashSet<EndId> = blocks.iter().flat_map(|block| block.to.iter().copied()).collect();
        let ids = (0..joint.ends.len() as u32).map(EndId);
        let unreached: Vec<EndId> = ids
            .filter(|id| matches!(joint.end(*id), End::Pods(_)) && !reached.contains(id))
            .filter(|id| is_wanted(world, joint.end(*id), &question.to))
            .collect();
        let unreached = namer.name(world, &joint, &unreached, None, None);
        // Sets of ends repeat a lot in wide clusters: each is named once.
        let mut named: FxHashMap<(bool, &[EndId], Option<EndId>), Ends> = FxHashMap::default();
        let mut connections = Vec::with_capacity(blocks.len());
        for block in &blocks {
            let mut name = |is_source: bool, ends, other, selection: &Option<Selection>| {
                let itself = single_pod(world, &joint, other);
                let make = || namer.name(world, &joint, ends, itself, selection.as_ref());
                named.entry((is_source, ends, itself)).or_insert_with(make).clone()
            };
            let from = name(true, &block.from[..], &block.to, &question.from);
            let to = name(false, &block.to[..], &block.from, &question.to);
            for (family, ports) in by_family(&joint, block.cell) {
                let (ports, family) = (NamedPorts(ports), family.map(family_name));
                connections.push(Connections { from: from.clone(), to: to.clone(), ports, family });
            }
        }
        match grouping {
            Grouping::Destination => {
                connections.sort_by(|a, b| (&a.to, &a.from, &a.ports).cmp(&(&b.to, &b.from, &b.ports)))
            }
            Grouping::Source => {
                connections.sort_by(|a, b| (&a.from, &a.to, &a.ports).cmp(&(&b.from, &b.to, &b.ports)))
            }
        }
        Reach { families: world.families.iter().copied().map(family_name).collect(), connections, unreached }
    }
}

/// The ports of a cell: once where the families agree, otherwise for each family that has any.
pub fn by_family(joint: &Joint, cell: CellId) -> Vec<(Option<Family>, PortSet)> {
    let of = |family| joint.family_ports(cell, family);
    let (v4, v6) = (of(Family::V4), of(Family::V6));
    if v4 == v6 {
        return vec![(None, v4.clone())];
    }
    let both = [(Some(Family::V4), v4), (Some(Family::V6), v6)].into_iter();
    both.filter(|(_, ports)| !ports.is_empty()).map(|(family, ports)| (family, ports.clone())).collect()
}

/// The blocks that together are all connections asked for.
pub fn blocks(world: &World, joint: &mut Joint, question: &Question, grouping: Grouping) -> Vec<Block> {
    let chosen = |members: &[EndId], selection: &Option<Selection>| -> Vec<EndId> {
        members.iter().copied().filter(|id| is_wanted(world, joint.end(*id), selection)).collect()
    };
    let senders: Vec<Vec<EndId>> = joint.senders().map(|members| chosen(members, &question.from)).collect();
    let receivers: Vec<Vec<EndId>> = joint.receivers().map(|members| chosen(members, &question.to)).collect();

    // Destinations with equal columns.
    let mut groups: Vec<(Vec<EndId>, Vec<CellId>)> = Vec::new();
    let mut known: FxHashMap<Vec<CellId>, usize> = FxHashMap::default();
    for (receiver, members) in receivers.into_iter().enumerate() {
        if members.is_empty() {
            continue;
        }
        let mut column = joint.column(receiver);
        for (cell, members) in column.iter_mut().zip(&senders) {
            if members.is_empty() {
                *cell = CellId::NONE;
            }
        }
        for (ports, members) in limits(joint, &question.ports, members) {
            let mut column = column.clone();
            if let Some(ports) = ports {
                column.iter_mut().for_each(|cell| *cell = joint.limited(*cell, &ports));
            }
            match known.get(&column) {
                Some(at) => groups[*at].0.extend(members),
                None => {
                    known.insert(column.clone(), groups.len());
                    groups.push((members, column));
                }
            }
        }
    }
    drop(known);
    let mut blocks = Vec::new();
    match grouping {
        Grouping::Destination => {
            for (mut to, column) in groups {
                to.sort_unstable();
                let mut by_cell: BTreeMap<CellId, Vec<EndId>> = BTreeMap::new();
                for (cell, members) in column.iter().zip(&senders) {
                    if *cell != CellId::NONE {
                        by_cell.entry(*cell).or_default().extend(members);
                    }
                }
                blocks.extend(by_cell.into_iter().map(|(cell, from)| Block { from, to: to.clone(), cell }));
            }
        }
        Grouping::Source => {
            let mut rows: BTreeMap<Vec<CellId>, Vec<EndId>> = BTreeMap::new();
            for (sender, members) in
                senders.into_iter().enumerate().filter(|(_, members)| !members.is_empty())
            {
                let row = groups.iter().map(|(_, column)| column[sender]).collect();
                rows.entry(row).or_default().extend(members);
            }
            for (row, from) in rows {
                let mut by_cell: BTreeMap<CellId, Vec<EndId>> = BTreeMap::new();
                for (cell, (members, _)) in row.iter().zip(&groups) {
                    if *cell != CellId::NONE {
                        by_cell.entry(*cell).or_default().extend(members);
                    }
                }
                blocks.extend(by_cell.into_iter().map(|(cell, to)| Block { from: from.clone(), to, cell }));
            }
        }
    }
    join_outside(joint, &mut blocks, grouping);
    for block in &mut blocks {
        block.from.sort_unstable();
        block.to.sort_unstable();
    }
    blocks.retain(|block| {
        let to_itself = block.from == block.to && single_pod(world, joint, &block.to).is_some();
        !block.from.is_empty() && !block.to.is_empty() && !to_itself
    });
    blocks
}

/// Whether an end exists and is selected.
pub(crate) fn is_wanted(world: &World, end: &End, selection: &Option<Selection>) -> bool {
    let exists = match end {
        End::Pods(variant) => world.workload(world.variant(*variant).workload).hypothesis.is_none(),
        End::Outside(_) | End::Domain(_) => true,
    };
    exists && selection.as_ref().is_none_or(|selection| selection.holds(end))
}

/// Addresses outside are one to people, however many ranges policies make of them: what differs only in
/// them is put together.
fn join_outside(joint: &Joint, blocks: &mut Vec<Block>, grouping: Grouping) {
    let mut places: FxHashMap<(Vec<EndId>, CellId), usize> = FxHashMap::default();
    let mut joined: Vec<Block> = Vec::with_capacity(blocks.len());
    for mut block in blocks.drain(..) {
        let (fixed, grouped) = match grouping {
            Grouping::Destination => (&mut block.from, &block.to),
            Grouping::Source => (&mut block.to, &block.from),
        };
        if grouped.iter().any(|end| matches!(joint.end(*end), End::Pods(_))) {
            joined.push(block);
            continue;
        }
        fixed.sort_unstable();
        match places.get(&(fixed.clone(), block.cell)) {
            Some(at) => match grouping {
                Grouping::Destination => joined[*at].to.append(&mut block.to),
                Grouping::Source => joined[*at].from.append(&mut block.from),
            },
            None => {
                places.insert((fixed.clone(), block.cell), joined.len());
                joined.push(block);
            }
        }
    }
    *blocks = joined;
}

/// Destinations by the ports that are in question there; `None`: all.
fn limits(joint: &Joint, limit: &Option<Limit>, members: Vec<EndId>) -> Vec<(Option<PortSet>, Vec<EndId>)> {
    let Some(limit) = limit else { return vec![(None, members)] };
    let mut by_ports: BTreeMap<PortSet, Vec<EndId>> = BTreeMap::new();
    for member in members {
        by_ports.entry(limit.at(joint.end(member))).or_default().push(member);
    }
    by_ports.into_iter().map(|(ports, members)| (Some(ports), members)).collect()
}

/// The only end, when it is a single pod. A pod reaches itself whatever policy says: whether it is among the
/// ends on the other side is of no interest.
pub fn single_pod(world: &World, joint: &Joint, ends: &[EndId]) -> Option<EndId> {
    let [only] = ends else { return None };
    match joint.end(*only) {
        End::Pods(variant) if world.variant(*variant).pods.len() == 1 => Some(*only),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
