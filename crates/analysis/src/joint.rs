//! Both address families in one relation, so that an answer says things once.
//!
//! ```text
//! Relation (IPv4) + Relation (IPv6) -> ends (variants, address ranges outside) -> cells: ports by family
//! ```

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::ip::IpSet;
use crate::ports::{PortSet, PortSetId, PortSets};
use crate::relation::{PartyId, PartyKind, Relation};
use crate::world::{Family, VariantId, World};

/// Place of an end in [`Joint::ends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndId(pub u32);

/// One end of connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Pods of one workload that policy can't tell apart.
    Pods(VariantId),
    /// Addresses of one family that are no pod's and that policy can't tell apart.
    Outside(IpSet),
    /// Whatever addresses a domain name has; a destination only, and in no set of addresses.
    Domain(String),
}

/// The ports on which one end reaches another, by family: IPv4, then IPv6. Where the two have addresses of
/// one family in common only, its ports stand for both.
pub type Ports = [PortSetId; 2];

/// Number of [`Ports`] in a [`Joint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellId(pub u32);

impl CellId {
    /// Nothing is allowed.
    pub const NONE: CellId = CellId(0);
}

/// Who reaches whom on which ports, in all families of a world.
#[derive(Debug)]
pub struct Joint {
    /// Variants in the world's order, then what is outside, in the order of families and addresses.
    pub ends: Vec<End>,
    /// The port sets in use.
    pub sets: PortSets,
    relations: Vec<Relation>,
    /// The numbers that each relation's port sets have in `sets`.
    known: Vec<Vec<Option<PortSetId>>>,
    /// By family's slot and relation: the party of an end.
    parties: Vec<[Option<PartyId>; 2]>,
    senders: Vec<Group>,
    receivers: Vec<Group>,
    sender_of: Vec<u32>,
    receiver_of: Vec<u32>,
    cells: Vec<Ports>,
    cell_ids: FxHashMap<Ports, CellId>,
}

/// Ends that are alike in one role.
#[derive(Debug)]
struct Group {
    /// The group of each relation.
    roles: [Option<u32>; 2],
    outside: bool,
    members: Vec<EndId>,
}

fn slot(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

impl Joint {
    /// The relation of a world, in all its families.
    pub fn new(world: &World) -> Joint {
        Joint::of_families(world, &world.families)
    }

    /// The relation of a world in some families.
    pub fn of_families(world: &World, families: &[Family]) -> Joint {
        let relations: Vec<Relation> = families.iter().map(|family| Relation::new(world, *family)).collect();
        let mut ends: Vec<End> = Vec::new();
        let mut parties: Vec<[Option<PartyId>; 2]> = Vec::new();
        let mut at: BTreeMap<VariantId, usize> = BTreeMap::new();
        let mut domains: BTreeMap<&str, usize> = BTreeMap::new();
        for number in 0..world.variants.len() as u32 {
            at.insert(VariantId(number), ends.len());
            ends.push(End::Pods(VariantId(number)));
            parties.push([None, None]);
        }
        for relation in &relations {
            for (number, party) in relation.parties.iter().enumerate() {
                let mut place = [None, None];
                place[slot(relation.family)] = Some(PartyId(number as u32));
                match &party.kind {
                    PartyKind::Pods(variant) => {
                        parties[at[variant]][slot(relation.family)] = place[slot(relation.family)];
                    }
                    PartyKind::Outside(set) => {
                        ends.push(End::Outside(set.clone()));
                        parties.push(place);
                    }
                    PartyKind::Domain(name) => match domains.get(name.as_str()) {
                        Some(at) => parties[*at][slot(relation.family)] = place[slot(relation.family)],
                        None => {
                            domains.insert(name, ends.len());
                            ends.push(End::Domain(name.clone()));
                            parties.push(place);
                        }
                    },
                }
            }
        }
        let known = vec![Vec::new(); relations.len()];
        let mut joint = Joint {
            ends,
            sets: PortSets::default(),
            relations,
            known,
            parties,
            senders: Vec::new(),
            receivers: Vec::new(),
            sender_of: Vec::new(),
            receiver_of: Vec::new(),
            cells: vec![[PortSetId::NONE; 2]],
            cell_ids: FxHashMap::default(),
        };
        joint.cell_ids.insert([PortSetId::NONE; 2], CellId::NONE);
        joint.group();
        joint
    }

    fn group(&mut self) {
        let (mut sends, mut receives) = (Vec::new(), Vec::new());
        for relation in &self.relations {
            sends.push(places(relation.parties.len(), relation.senders()));
            receives.push(places(relation.parties.len(), relation.receivers()));
        }
        let roles = |parties: &[Option<PartyId>; 2], of: &[Vec<Option<u32>>]| {
            let mut roles = [None, None];
            for (relation, places) in self.relations.iter().zip(of) {
                let slot = slot(relation.family);
                roles[slot] = parties[slot].and_then(|party| places[party.0 as usize]);
            }
            roles
        };
        let (mut senders, mut receivers) = (Groups::default(), Groups::default());
        let mut sender_of = Vec::with_capacity(self.ends.len());
        let mut receiver_of = Vec::with_capacity(self.ends.len());
        for (number, (parties, end)) in self.parties.iter().zip(&self.ends).enumerate() {
            let outside = !matches!(end, End::Pods(_));
            sender_of.push(senders.add(roles(parties, &sends), outside, EndId(number as u32)));
            receiver_of.push(receivers.add(roles(parties, &receives), outside, EndId(number as u32)));
        }
        self.sender_of = sender_of;
        self.receiver_of = receiver_of;
        self.senders = senders.groups;
        self.receivers = receivers.groups;
    }

    /// Ends that are alike as sources, in an order of their own.
    pub fn senders(&self) -> impl ExactSizeIterator<Item = &[EndId]> {
        self.senders.iter().map(|group| &group.members[..])
    }

    /// Ends that are alike as destinations.
    pub fn receivers(&self) -> impl ExactSizeIterator<Item = &[EndId]> {
        self.receivers.iter().map(|group| &group.members[..])
    }

    /// The place of an end's group in [`Joint::senders`].
    pub fn sender_of(&self, end: EndId) -> usize {
        self.sender_of[end.0 as usize] as usize
    }

    /// The place of an end's group in [`Joint::receivers`].
    pub fn receiver_of(&self, end: EndId) -> usize {
        self.receiver_of[end.0 as usize] as usize
    }

    /// The end of a number.
    pub fn end(&self, id: EndId) -> &End {
        &self.ends[id.0 as usize]
    }

    /// The ports of a number.
    pub fn ports(&self, id: CellId) -> Ports {
        self.cells[id.0 as usize]
    }

    /// What each group of senders reaches of one group of receivers, in the order of [`Joint::senders`].
    /// Addresses outside don't reach each other here: that is not the cluster's business.
    pub fn column(&mut self, receiver: usize) -> Vec<CellId> {
        let Group { roles, outside, .. } = self.receivers[receiver];
        let columns: Vec<(usize, Option<Vec<PortSetId>>)> = self
            .relations
            .iter_mut()
            .map(|relation| {
                (slot(relation.family), roles[slot(relation.family)].map(|at| relation.column(at as usize)))
            })
            .collect();
        let mut last: ([Option<PortSetId>; 2], CellId) = ([None, None], CellId::NONE);
        let mut column = Vec::with_capacity(self.senders.len());
        for sender in 0..self.senders.len() {
            if outside && self.senders[sender].outside {
                column.push(CellId::NONE);
                continue;
            }
            let mut ports = [None, None];
            for (relation, (slot, cells)) in columns.iter().enumerate() {
                let (Some(cells), Some(role)) = (cells, self.senders[sender].roles[*slot]) else { continue };
                ports[*slot] = Some(self.translate(relation, cells[role as usize]));
            }
            if ports != last.0 {
                let cell = match ports {
                    [None, None] => CellId::NONE,
                    [Some(only), None] | [None, Some(only)] => self.cell_id([only, only]),
                    [Some(v4), Some(v6)] => self.cell_id([v4, v6]),
                };
                last = (ports, cell);
            }
            column.push(last.1);
        }
        column
    }

    /// The ports of a cell number in one family.
    pub fn family_ports(&self, cell: CellId, family: Family) -> &PortSet {
        self.sets.get(self.ports(cell)[slot(family)])
    }

    /// The ports of a cell number in any family.
    pub fn any_ports(&self, cell: CellId) -> PortSet {
        match self.ports(cell) {
            [v4, v6] if v4 == v6 => self.sets.get(v4).clone(),
            [v4, v6] => self.sets.get(v4).union(self.sets.get(v6)),
        }
    }

    /// A cell's number with only some ports.
    pub fn limited(&mut self, cell: CellId, ports: &PortSet) -> CellId {
        let limited = self.ports(cell).map(|id| {
            let both = self.sets.get(id).intersection(ports);
            self.sets.id(both)
        });
        self.cell_id(limited)
    }

    /// The number of the ports; nothing allowed in any family is [`CellId::NONE`].
    fn cell_id(&mut self, ports: Ports) -> CellId {
        *self.cell_ids.entry(ports).or_insert_with(|| {
            self.cells.push(ports);
            CellId(self.cells.len() as u32 - 1)
        })
    }

    fn translate(&mut self, relation: usize, id: PortSetId) -> PortSetId {
        let known = &mut self.known[relation];
        let at = id.0 as usize;
        if known.len() <= at {
            known.resize(at + 1, None);
        }
        *known[at].get_or_insert_with(|| self.sets.id(self.relations[relation].sets.get(id).clone()))
    }
}

/// For each party, the place of its group, if it is in any.
fn places<'a>(parties: usize, groups: impl Iterator<Item = &'a [PartyId]>) -> Vec<Option<u32>> {
    let mut places = vec![None; parties];
    for (place, members) in groups.enumerate() {
        for member in members {
            places[member.0 as usize] = Some(place as u32);
        }
    }
    places
}

#[derive(Default)]
struct Groups {
    groups: Vec<Group>,
    ids: FxHashMap<([Option<u32>; 2], bool), u32>,
}

impl Groups {
    fn add(&mut self, roles: [Option<u32>; 2], outside: bool, end: EndId) -> u32 {
        let at = *self.ids.entry((roles, outside)).or_insert_with(|| {
            self.groups.push(Group { roles, outside, members: Vec::new() });
            self.groups.len() as u32 - 1
        });
        self.groups[at as usize].members.push(end);
        at
    }
}
