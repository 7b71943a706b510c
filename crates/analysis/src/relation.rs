//! Who reaches whom on which ports, for one address family, without ever making a line for each pair.
//!
//! ```text
//! parties (variants of workloads, address ranges outside) -> senders (class, egress program)
//!                                                        \-> receivers (class, ingress program)
//! allowed(sender, receiver) = sender's egress row of the receiver's class AND the other way round
//! ```

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use podgate_policy::{ClassId, Kind, Program, ProgramId, Programs};
use rustc_hash::FxHashMap;

use crate::ip::{IpSet, by_longest_prefix};
use crate::ports::{PortSet, PortSetId, PortSets};
use crate::world::{Family, VariantId, World};

/// Place of a party in [`Relation::parties`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartyId(pub u32);

/// One end of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What it is.
    pub kind: PartyKind,
    /// Its class, as the other end of a connection; `None` for a domain name.
    pub class: Option<ClassId>,
    /// Judges connections it makes; `None`: allowed.
    pub egress: Option<ProgramId>,
    /// Judges connections made to it; `None`: allowed.
    pub ingress: Option<ProgramId>,
}

/// What a party is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartyKind {
    /// Pods of one workload that policy can't tell apart.
    Pods(VariantId),
    /// Addresses that are no pod's and that policy can't tell apart.
    Outside(IpSet),
    /// Addresses that DNS answers with for a name that some rule names: unknown so far. Only a destination.
    Domain(String),
}

/// Who reaches whom on which ports in one address family.
#[derive(Debug)]
pub struct Relation {
    /// The family.
    pub family: Family,
    /// All ends: variants in the world's order, then what is outside in the order of addresses.
    pub parties: Vec<Party>,
    /// The port sets that [`PortSetId`]s stand for.
    pub sets: PortSets,
    /// For each party, its place among `senders` and `receivers`.
    roles: Vec<(Option<u32>, u32)>,
    /// Parties alike as a source.
    senders: Vec<Role>,
    /// Parties alike as a destination.
    receivers: Vec<Role>,
    /// Places in `senders` by number of the class.
    senders_of_class: Vec<Vec<u32>>,
    /// What the senders' programs allow by default, to any address and to any pod's.
    egress_defaults: Vec<(PortSetId, PortSetId)>,
    /// What they allow otherwise, by number of the class: place in `egress_defaults`, and ports.
    egress_of_class: Vec<Vec<(u32, PortSetId)>>,
    /// For each of `senders`, the place of its program in `egress_defaults`.
    egress_of_sender: Vec<Option<u32>>,
    /// What programs allow, by place of the class in `classes`.
    tables: FxHashMap<ProgramId, Table>,
    /// Numbers of the classes in use.
    classes: FxHashMap<ClassId, u32>,
}

/// What a set of parties is as a source, or as a destination.
#[derive(Debug)]
struct Role {
    class: u32,
    program: Option<ProgramId>,
    pod: bool,
    members: Vec<PartyId>,
}

/// What a program allows, by class.
#[derive(Debug)]
struct Table {
    any: PortSetId,
    pod: PortSetId,
    /// Sorted by class number.
    own: Vec<(u32, PortSetId)>,
}

impl Table {
    fn get(&self, class: u32, pod: bool) -> PortSetId {
        match self.own.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(at) => self.own[at].1,
            Err(_) if pod => self.pod,
            Err(_) => self.any,
        }
    }
}

impl Relation {
    /// The relation of a family.
    pub fn new(world: &World, family: Family) -> Relation {
        let mut parties: Vec<Party> = Vec::new();
        for (number, variant) in world.variants.iter().enumerate() {
            if let Some(identity) = variant.identity(family) {
                parties.push(Party {
                    kind: PartyKind::Pods(VariantId(number as u32)),
                    class: Some(identity.class),
                    egress: identity.egress,
                    ingress: identity.ingress,
                });
            }
        }
        let mut outside = by_longest_prefix(family, world.cluster.prefixes());
        outside.sort_by(|a, b| a.1.cmp(&b.1));
        for (class, set) in outside {
            parties.push(Party {
                kind: PartyKind::Outside(set),
                class: Some(class),
                egress: None,
                ingress: None,
            });
        }
        for name in world.cluster.domain_names() {
            let kind = PartyKind::Domain(name.to_owned());
            parties.push(Party { kind, class: None, egress: None, ingress: None });
        }
        let mut relation = Relation {
            family,
            parties,
            sets: PortSets::default(),
            roles: Vec::new(),
            senders: Vec::new(),
            receivers: Vec::new(),
            senders_of_class: Vec::new(),
            egress_defaults: Vec::new(),
            egress_of_class: Vec::new(),
            egress_of_sender: Vec::new(),
            tables: FxHashMap::default(),
            classes: FxHashMap::default(),
        };
        relation.assign_roles(world);
        relation.fill_tables(world);
        relation.index();
        relation
    }

    fn assign_roles(&mut self, world: &World) {
        let mut senders: FxHashMap<(u32, Option<ProgramId>, bool), u32> = FxHashMap::default();
        let mut receivers: FxHashMap<(u32, Option<ProgramId>, bool), u32> = FxHashMap::default();
        let mut next = 0;
        for (number, party) in self.parties.iter().enumerate() {
            let pod = match party.kind {
                PartyKind::Pods(variant) => !world.workload(world.variant(variant).workload).host_network,
                PartyKind::Outside(_) | PartyKind::Domain(_) => false,
            };
            let class = match party.class {
                Some(class) => *self.classes.entry(class).or_insert_with(|| {
                    next += 1;
                    next - 1
                }),
                None => {
                    next += 1;
                    next - 1
                }
            };
            let role = |roles: &mut Vec<Role>, known: &mut FxHashMap<_, u32>, program| {
                let at = *known.entry((class, program, pod)).or_insert_with(|| {
                    roles.push(Role { class, program, pod, members: Vec::new() });
                    roles.len() as u32 - 1
                });
                roles[at as usize].members.push(PartyId(number as u32));
                at
            };
            let sender = match party.kind {
                PartyKind::Domain(_) => None,
                _ => Some(role(&mut self.senders, &mut senders, party.egress)),
            };
            let receiver = role(&mut self.receivers, &mut receivers, party.ingress);
            self.roles.push((sender, receiver));
        }
    }

    fn fill_tables(&mut self, world: &World) {
        let programs = self.senders.iter().chain(&self.receivers).filter_map(|role| role.program);
        let mut programs: Vec<ProgramId> = programs.collect();
        programs.sort_unstable();
        programs.dedup();
        for id in programs {
            let Some(program) = world.cluster.program(id) else { continue };
            let mut table = self.table(program);
            for (party, (_, receiver)) in self.parties.iter().zip(&self.roles) {
                if let PartyKind::Domain(name) = &party.kind
                    && let Some(row) = world.cluster.row_of_domain(id, name, &everywhere(self.family))
                {
                    let class = self.receivers[*receiver as usize].class;
                    table.own.push((class, self.sets.id(PortSet::allowed(&row))));
                }
            }
            table.own.sort_unstable();
            self.tables.insert(id, table);
        }
    }

    /// Turns the tables round, so that a column is read off without a search for each of its cells.
    fn index(&mut self) {
        let mut places: FxHashMap<ProgramId, u32> = FxHashMap::default();
        for (place, sender) in self.senders.iter().enumerate() {
            at(&mut self.senders_of_class, sender.class).push(place as u32);
            let table = sender.program.and_then(|program| Some((program, self.tables.get(&program)?)));
            self.egress_of_sender.push(table.map(|(program, table)| {
                *places.entry(program).or_insert_with(|| {
                    let number = self.egress_defaults.len() as u32;
                    self.egress_defaults.push((table.any, table.pod));
                    for (class, id) in &table.own {
                        at(&mut self.egress_of_class, *class).push((number, *id));
                    }
                    number
                })
            }));
        }
    }

    fn table(&mut self, program: &Program) -> Table {
        // Rows are shared by many classes: each is turned into a set once.
        let mut made: FxHashMap<*const podgate_policy::Row, PortSetId> = FxHashMap::default();
        let mut own: Vec<(u32, PortSetId)> = Vec::new();
        for (class, row) in program.rows() {
            if let Some(class) = self.classes.get(&class) {
                let id = *made.entry(row).or_insert_with(|| self.sets.id(PortSet::allowed(row)));
                own.push((*class, id));
            }
        }
        let family = self.family;
        let [any, pod] = [false, true].map(|pod| program.default_row(Kind { pod, family }));
        let (any, pod) = (self.sets.id(PortSet::allowed(any)), self.sets.id(PortSet::allowed(pod)));
        Table { any, pod, own }
    }

    /// The party of a number.
    pub fn party(&self, id: PartyId) -> &Party {
        &self.parties[id.0 as usize]
    }

    /// The ports on which one party reaches another; nothing comes from a domain name.
    pub fn ports(&mut self, from: PartyId, to: PartyId) -> PortSetId {
        match (self.roles[from.0 as usize].0, self.roles[to.0 as usize].1) {
            (Some(sender), receiver) => self.between(sender, receiver),
            (None, _) => PortSetId::NONE,
        }
    }

    fn between(&mut self, sender: u32, receiver: u32) -> PortSetId {
        let (from, to) = (&self.senders[sender as usize], &self.receivers[receiver as usize]);
        let ingress = self.side(to.program, from);
        if ingress == PortSetId::NONE {
            return ingress;
        }
        let egress = self.side(from.program, to);
        self.sets.intersection(egress, ingress)
    }

    /// What the program of one side allows towards the other.
    fn side(&self, program: Option<ProgramId>, other: &Role) -> PortSetId {
        match program.and_then(|program| self.tables.get(&program)) {
            None => PortSetId::ALL,
            Some(table) => table.get(other.class, other.pod),
        }
    }

    /// Parties that are alike as a source: their numbers, which go into [`Relation::column`].
    pub fn senders(&self) -> impl ExactSizeIterator<Item = &[PartyId]> {
        self.senders.iter().map(|role| &role.members[..])
    }

    /// Parties that are alike as a destination.
    pub fn receivers(&self) -> impl ExactSizeIterator<Item = &[PartyId]> {
        self.receivers.iter().map(|role| &role.members[..])
    }

    /// What each group of senders reaches of one group of receivers, in the order of [`Relation::senders`].
    pub fn column(&mut self, receiver: usize) -> Vec<PortSetId> {
        let to = &self.receivers[receiver];
        let mut column = match to.program.and_then(|program| self.tables.get(&program)) {
            None => vec![PortSetId::ALL; self.senders.len()],
            Some(table) => {
                let default = |from: &Role| if from.pod { table.pod } else { table.any };
                let mut column: Vec<PortSetId> = self.senders.iter().map(default).collect();
                for (class, id) in &table.own {
                    for sender in self.senders_of_class.get(*class as usize).into_iter().flatten() {
                        column[*sender as usize] = *id;
                    }
                }
                column
            }
        };
        let default = |table: &(PortSetId, PortSetId)| if to.pod { table.1 } else { table.0 };
        let mut egress: Vec<PortSetId> = self.egress_defaults.iter().map(default).collect();
        for (program, id) in self.egress_of_class.get(to.class as usize).into_iter().flatten() {
            egress[*program as usize] = *id;
        }
        for (program, cell) in self.egress_of_sender.iter().zip(&mut column) {
            let Some(program) = program.filter(|_| *cell != PortSetId::NONE) else { continue };
            let egress = egress[program as usize];
            *cell = self.sets.intersection(egress, *cell);
        }
        column
    }
}

/// The list of a class.
fn at<T>(lists: &mut Vec<Vec<T>>, class: u32) -> &mut Vec<T> {
    let place = class as usize;
    if lists.len() <= place {
        lists.resize_with(place + 1, Vec::new);
    }
    &mut lists[place]
}

/// Every address of a family.
fn everywhere(family: Family) -> IpNet {
    match family {
        Family::V4 => Ipv4Net::default().into(),
        Family::V6 => Ipv6Net::default().into(),
    }
}

#[cfg(test)]
mod tests;
