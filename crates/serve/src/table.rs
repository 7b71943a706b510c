//! Who may connect to whom on which ports, by workload: the engine's relation with the pods of a workload together,
//! and addresses outside together where policy treats them alike.
//!
//! ```text
//! Joint: ends x ends -> cells           ends of a party, as sets of senders and receivers
//!                          \-> Table: parties -> row and column -> verdict
//! ```

use std::collections::BTreeMap;

use podgate_analysis::joint::{CellId, End, EndId, Joint};
use podgate_analysis::reach::names::{Namer, joined};
use podgate_analysis::{Family, IpSet, PortSet, WorkloadId, World};
use podgate_policy::{PortKey, Verdict};
use rustc_hash::FxHashMap;

/// What a row or a column of the table stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// All pods of a workload.
    Workload(WorkloadId),
    /// Addresses that are no pod's, one set a family, and what they are called.
    Outside(Vec<IpSet>, String),
    /// Whatever addresses a name has.
    Domain(String),
}

/// The ports of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// By family: IPv4, IPv6. Where only one is in use they are the same.
    pub families: [PortSet; 2],
    /// Not for all pods of both ends.
    pub partly: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Table {
    /// Workloads in the world's order, then what is outside, then domain names.
    pub parties: Vec<Party>,
    /// The row of each party; `None`: it never connects.
    pub rows: Vec<Option<u32>>,
    /// The column of each party.
    pub columns: Vec<u32>,
    /// Port sets; the first is none.
    pub ports: Vec<Ports>,
    /// By row and column, a place in `ports`.
    pub cells: Vec<Vec<u32>>,
    /// The place of the party that the internet is, where there is one.
    pub internet: Option<usize>,
}

impl Table {
    /// The table of a world.
    pub fn new(world: &World) -> Table {
        let mut joint = Joint::new(world);
        let mut relation = relation(&mut joint);
        let mut ends: Vec<(Party, Vec<EndId>)> = Vec::new();
        for (number, workload) in world.workloads.iter().enumerate() {
            let of = workload.variants.iter().map(|variant| EndId(variant.0)).collect();
            ends.push((Party::Workload(WorkloadId(number as u32)), of));
        }
        let namer = Namer::new(world);
        let mut internet = None;
        for group in outside(&joint, &relation) {
            let sets = group.iter().filter_map(|end| match joint.end(*end) {
                End::Outside(set) => Some(set.clone()),
                _ => None,
            });
            let sets = joined(sets.collect());
            let size = public_size(&sets);
            if size > 0.0 && internet.is_none_or(|(_, largest)| size > largest) {
                internet = Some((ends.len(), size));
            }
            let name = namer.addresses(&sets).join(", ");
            ends.push((Party::Outside(sets, name), group));
        }
        for (number, end) in joint.ends.iter().enumerate() {
            if let End::Domain(name) = end {
                ends.push((Party::Domain(name.clone()), vec![EndId(number as u32)]));
            }
        }
        let mut builder = Builder::new(&joint);
        let mut table = Table {
            parties: Vec::with_capacity(ends.len()),
            rows: Vec::with_capacity(ends.len()),
            columns: Vec::with_capacity(ends.len()),
            ports: Vec::new(),
            cells: Vec::new(),
            internet: internet.map(|(at, _)| at),
        };
        let (mut rows, mut across) = (Sets::default(), Sets::default());
        for (party, ends) in ends {
            let row = rows.id(ends.iter().map(|end| joint.sender_of(*end)).collect());
            table.columns.push(across.id(ends.iter().map(|end| joint.receiver_of(*end)).collect()));
            table.rows.push(if matches!(party, Party::Domain(_)) { None } else { Some(row) });
            table.parties.push(party);
        }
        let mut last_use = vec![0; relation.len()];
        for (at, row) in rows.sets.iter().enumerate() {
            row.iter().for_each(|sender| last_use[*sender] = at);
        }
        for (at, row) in rows.sets.iter().enumerate() {
            table.cells.push(across.sets.iter().map(|to| builder.cell(&relation, row, to)).collect());
            // The two together would be twice as large: a hundred megabytes each for five thousand workloads.
            for sender in row.iter().filter(|sender| last_use[**sender] == at) {
                relation[*sender] = Vec::new();
            }
        }
        table.ports = builder.ports;
        table
    }

    /// The ports on which a party may connect to another.
    pub fn between(&self, from: usize, to: usize) -> &Ports {
        &self.ports[self.cell(from, to) as usize]
    }

    /// The same, as a place in `ports`.
    pub fn cell(&self, from: usize, to: usize) -> u32 {
        match self.rows[from] {
            Some(row) => self.cells[row as usize][self.columns[to] as usize],
            None => 0,
        }
    }

    /// What policy says of one port; `None` where it says different things to different pods or families.
    pub fn expected(&self, from: usize, to: usize, key: PortKey) -> Option<Verdict> {
        let ports = self.between(from, to);
        match ports.families.each_ref().map(|set| set.contains(key)) {
            _ if ports.partly => None,
            [true, true] => Some(Verdict::Allowed),
            [false, false] => Some(Verdict::Denied),
            _ => None,
        }
    }
}

impl Ports {
    /// The ports of either family.
    pub fn any(&self) -> PortSet {
        self.families[0].union(&self.families[1])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.families.iter().all(PortSet::is_empty)
    }

    /// In a few words; empty: none.
    pub fn text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let partly = if self.partly { "some pods: " } else { "" };
        match &self.families {
            [v4, v6] if v4 == v6 => format!("{partly}{v4}"),
            [v4, v6] => format!("{partly}{v4} (IPv4), {v6} (IPv6)"),
        }
    }
}

/// What each group of senders reaches of each group of receivers.
fn relation(joint: &mut Joint) -> Vec<Vec<CellId>> {
    // The joint relation has columns, and rows are wanted: a few columns at once fill a line of the processor's cache.
    const AT_ONCE: usize = 16;
    let receivers = joint.receivers().len();
    let mut rows = vec![Vec::with_capacity(receivers); joint.senders().len()];
    for first in (0..receivers).step_by(AT_ONCE) {
        let last = receivers.min(first + AT_ONCE);
        let columns: Vec<Vec<CellId>> = (first..last).map(|at| joint.column(at)).collect();
        for (sender, row) in rows.iter_mut().enumerate() {
            row.extend(columns.iter().map(|column| column[sender]));
        }
    }
    rows
}

/// Addresses outside, alike ones together, in the order of the first of them.
fn outside(joint: &Joint, relation: &[Vec<CellId>]) -> Vec<Vec<EndId>> {
    let mut groups: Vec<Vec<EndId>> = Vec::new();
    let mut known: FxHashMap<(&[CellId], Vec<CellId>), usize> = FxHashMap::default();
    for (number, end) in joint.ends.iter().enumerate() {
        if !matches!(end, End::Outside(_)) {
            continue;
        }
        let id = EndId(number as u32);
        let receiver = joint.receiver_of(id);
        let column = relation.iter().map(|row| row[receiver]).collect();
        let group = *known.entry((&relation[joint.sender_of(id)][..], column)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(id);
    }
    groups
}

/// How much of the internet is in some sets, IPv6 counting as much as IPv4.
fn public_size(sets: &[IpSet]) -> f64 {
    let size = |set: &IpSet| {
        let number = |ip: std::net::IpAddr| match ip {
            std::net::IpAddr::V4(ip) => f64::from(ip.to_bits()) / 2f64.powi(32),
            std::net::IpAddr::V6(ip) => ip.to_bits() as f64 / 2f64.powi(128),
        };
        set.ranges().map(|(first, last)| number(last) - number(first) + f64::MIN_POSITIVE).sum::<f64>()
    };
    let public = [IpSet::public(Family::V4), IpSet::public(Family::V6)];
    let of = |set: &IpSet| {
        public
            .iter()
            .filter(|public| public.family() == set.family())
            .map(|public| size(&public.intersection(set)))
            .sum::<f64>()
    };
    sets.iter().map(of).sum()
}

/// Numbers for sets of numbers.
#[derive(Default)]
struct Sets {
    sets: Vec<Vec<usize>>,
    known: FxHashMap<Vec<usize>, u32>,
}

impl Sets {
    fn id(&mut self, mut set: Vec<usize>) -> u32 {
        set.sort_unstable();
        set.dedup();
        *self.known.entry(set.clone()).or_insert_with(|| {
            self.sets.push(set);
            self.sets.len() as u32 - 1
        })
    }
}

struct Builder<'a> {
    joint: &'a Joint,
    ports: Vec<Ports>,
    of_cells: BTreeMap<Vec<CellId>, u32>,
    /// By cell.
    of_cell: Vec<Option<u32>>,
    of_ports: FxHashMap<Ports, u32>,
}

impl<'a> Builder<'a> {
    fn new(joint: &'a Joint) -> Builder<'a> {
        let mut builder = Builder {
            joint,
            ports: Vec::new(),
            of_cells: BTreeMap::new(),
            of_cell: Vec::new(),
            of_ports: FxHashMap::default(),
        };
        builder.intern(Ports { families: [PortSet::none(), PortSet::none()], partly: false });
        builder
    }

    fn intern(&mut self, ports: Ports) -> u32 {
        *self.of_ports.entry(ports.clone()).or_insert_with(|| {
            self.ports.push(ports);
            self.ports.len() as u32 - 1
        })
    }

    fn cell(&mut self, relation: &[Vec<CellId>], row: &[usize], column: &[usize]) -> u32 {
        if let ([row], [column]) = (row, column) {
            let cell = relation[*row][*column];
            let at = cell.0 as usize;
            if let Some(Some(known)) = self.of_cell.get(at) {
                return *known;
            }
            let made = self.intern(Ports { families: self.families(cell), partly: false });
            self.of_cell.resize(self.of_cell.len().max(at + 1), None);
            self.of_cell[at] = Some(made);
            return made;
        }
        let mut cells: Vec<CellId> =
            row.iter().flat_map(|from| column.iter().map(|to| relation[*from][*to])).collect();
        cells.sort_unstable();
        cells.dedup();
        if let Some(known) = self.of_cells.get(&cells) {
            return *known;
        }
        let all = cells.iter().map(|cell| self.families(*cell));
        let families = all
            .reduce(|a, b| [a[0].union(&b[0]), a[1].union(&b[1])])
            .unwrap_or_else(|| [PortSet::none(), PortSet::none()]);
        let made = self.intern(Ports { families, partly: cells.len() > 1 });
        self.of_cells.insert(cells, made);
        made
    }

    fn families(&self, cell: CellId) -> [PortSet; 2] {
        [Family::V4, Family::V6].map(|family| self.joint.family_ports(cell, family).clone())
    }
}
