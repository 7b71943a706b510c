//! Who reaches whom on which ports, for one address family, without ever making a line for each pair.
//!
//! ```text
//! parties (variants of workloads, address ranges outside) -> senders (class, egress program)
//!                                                        \-> receivers (class, ingress program)
//! allowed(sender, receiver) = sender's egress row of the receiver's class AND the other way round
//! ```

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use podgate_policy::{ClassId, Program, ProgramId, Programs};
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
        let mut outside =
            by_longest_prefix(family, world.cluster.prefixes().map(|(net, class)| (net, class)));
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
            tables: FxHashMap::default(),
            classes: FxHashMap::default(),
        };
        relation.assign_roles(world);
        for (place, sender) in relation.senders.iter().enumerate() {
            let class = sender.class as usize;
            if relation.senders_of_class.len() <= class {
                relation.senders_of_class.resize(class + 1, Vec::new());
            }
            relation.senders_of_class[class].push(place as u32);
        }
        relation.fill_tables(world);
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
        let any = self.sets.id(PortSet::allowed(program.default_row(false)));
        let pod = self.sets.id(PortSet::allowed(program.default_row(true)));
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
        // Senders are many and their programs few: each is asked about this receiver once.
        let mut asked: FxHashMap<ProgramId, PortSetId> = FxHashMap::default();
        for (from, cell) in self.senders.iter().zip(&mut column) {
            let Some(program) = from.program.filter(|_| *cell != PortSetId::NONE) else { continue };
            let egress = *asked.entry(program).or_insert_with(|| {
                let table = self.tables.get(&program);
                table.map_or(PortSetId::ALL, |table| table.get(to.class, to.pod))
            });
            *cell = self.sets.intersection(egress, *cell);
        }
        column
    }
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
