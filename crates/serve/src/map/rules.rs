//! Which edges rules make, told without making them: there may be millions, of which a few are drawn.
//!
//! ```text
//! Table: rows, columns -> kinds of senders, kinds of receivers -> whether a kind reaches another
//! ```
//!
//! Parties that are alike are of one kind, and kinds are compared once.

use std::collections::{BTreeMap, BTreeSet};

use podgate_analysis::{PortSet, World};
use rustc_hash::FxHashMap;

use super::protection;
use crate::table::{Party, Table};

/// What a node is as one end of connections: the rows, or the columns, of the parties that it stands for, and whether
/// rules of theirs tell those they are connected with from most others.
type Kind = Vec<(u32, bool)>;

/// The kinds that a node is of.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    /// As a sender; `None`: it never connects.
    pub sender: Option<usize>,
    /// As a receiver.
    pub receiver: usize,
}

/// See the module.
pub struct Rules<'a> {
    table: &'a Table,
    /// By party: some policy has a say about connections to it, and from it.
    pub protected: Vec<(bool, bool)>,
    /// By party: a rule that names it, or that it has, tells those it is connected with from most others.
    selective: Vec<(bool, bool)>,
    senders: Kinder,
    receivers: Kinder,
    /// By kind of senders, a bit for each kind of receivers.
    reach: Vec<Vec<u64>>,
}

#[derive(Default)]
struct Kinder {
    kinds: Vec<Kind>,
    known: FxHashMap<Kind, usize>,
}

impl Kinder {
    fn number(&mut self, mut kind: Kind) -> usize {
        kind.sort_unstable();
        kind.dedup();
        *self.known.entry(kind).or_insert_with_key(|kind| {
            self.kinds.push(kind.clone());
            self.kinds.len() - 1
        })
    }
}

impl<'a> Rules<'a> {
    /// The rules of a table, before nodes are told to it.
    pub fn new(world: &World, table: &'a Table) -> Rules<'a> {
        let protected: Vec<(bool, bool)> = table
            .parties
            .iter()
            .map(|party| match party {
                Party::Workload(id) => protection(world, id.0 as usize),
                _ => (false, false),
            })
            .collect();
        let selective = selective(table, &protected);
        let (senders, receivers) = (Kinder::default(), Kinder::default());
        Rules { table, protected, selective, senders, receivers, reach: Vec::new() }
    }

    /// The kinds of a node that stands for some parties.
    pub fn kinds(&mut self, parties: &[usize]) -> Kinds {
        let rows = parties.iter().filter_map(|at| Some((self.table.rows[*at]?, self.selective[*at].1)));
        let columns = parties.iter().map(|at| (self.table.columns[*at], self.selective[*at].0));
        let (rows, columns): (Kind, Kind) = (rows.collect(), columns.collect());
        Kinds {
            sender: (!rows.is_empty()).then(|| self.senders.number(rows)),
            receiver: self.receivers.number(columns),
        }
    }

    /// Compares all kinds.
    pub fn compare(&mut self) {
        let words = self.receivers.kinds.len().div_ceil(64);
        let of_sender = |sender: &Kind| {
            let mut reached = vec![0; words];
            for (row, from) in sender {
                let cells = &self.table.cells[*row as usize];
                for (at, receiver) in self.receivers.kinds.iter().enumerate() {
                    if receiver.iter().any(|(column, to)| (*from || *to) && cells[*column as usize] != 0) {
                        reached[at / 64] |= 1 << (at % 64);
                    }
                }
            }
            reached
        };
        self.reach = self.senders.kinds.iter().map(of_sender).collect();
    }

    /// The cells between two kinds where something is allowed and a rule means these two, rather than nearly everybody.
    fn meant(&self, sender: &[(u32, bool)], receiver: &[(u32, bool)]) -> impl Iterator<Item = u32> {
        sender.iter().flat_map(move |(row, from)| {
            let row = &self.table.cells[*row as usize];
            let meant = receiver.iter().filter(move |(_, to)| *from || *to);
            meant.map(|(column, _)| row[*column as usize]).filter(|cell| *cell != 0)
        })
    }

    /// How many kinds of receivers there are.
    pub fn receivers(&self) -> usize {
        self.receivers.kinds.len()
    }

    /// How many kinds of senders there are.
    pub fn senders(&self) -> usize {
        self.senders.kinds.len()
    }

    /// Whether rules make edges from one kind to another.
    pub fn is_open(&self, sender: usize, receiver: usize) -> bool {
        self.reach[sender][receiver / 64] & (1 << (receiver % 64)) != 0
    }

    /// The kinds that a kind reaches.
    pub fn reached(&self, sender: usize) -> impl Iterator<Item = usize> {
        self.reach[sender].iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                // The lowest bit is taken away.
                left &= left.checked_sub(1)?;
                Some(at * 64 + bit as usize)
            })
        })
    }
}

/// Whose rules tell those they are connected with from most others: inwards, and outwards.
fn selective(table: &Table, protected: &[(bool, bool)]) -> Vec<(bool, bool)> {
    let workloads: Vec<usize> =
        (0..table.parties.len()).filter(|at| matches!(table.parties[*at], Party::Workload(_))).collect();
    // Counted by row and column: parties that are alike are counted once.
    let mut of_row = vec![0; table.cells.len()];
    let mut of_column = vec![0; table.cells.first().map_or(0, Vec::len)];
    for at in &workloads {
        if let Some(row) = table.rows[*at] {
            of_row[row as usize] += 1;
        }
        of_column[table.columns[*at] as usize] += 1;
    }
    let mut inward = vec![0; of_column.len()];
    let mut outward = vec![0; of_row.len()];
    for (row, cells) in table.cells.iter().enumerate() {
        for (column, _) in cells.iter().enumerate().filter(|(_, cell)| **cell != 0) {
            inward[column] += of_row[row];
            outward[row] += of_column[column];
        }
    }
    let few = (workloads.len() * 3 / 10).max(20);
    let selective = protected.iter().enumerate().map(|(at, protected)| {
        let outward = table.rows[at].map_or(0, |row| outward[row as usize]);
        (protected.0 && inward[table.columns[at] as usize] <= few, protected.1 && outward <= few)
    });
    selective.collect()
}

/// Puts what rules allow on edges into words, the same words once.
pub struct Words<'a> {
    rules: &'a Rules<'a>,
    known: BTreeMap<Vec<u32>, String>,
}

impl<'a> Words<'a> {
    /// For some rules.
    pub fn new(rules: &'a Rules<'a>) -> Words<'a> {
        Words { rules, known: BTreeMap::new() }
    }

    /// The ports that rules allow from one kind to another.
    pub fn between(&mut self, sender: usize, receiver: usize) -> String {
        let Rules { table, senders, receivers, .. } = self.rules;
        let cells: BTreeSet<u32> =
            self.rules.meant(&senders.kinds[sender], &receivers.kinds[receiver]).collect();
        let cells: Vec<u32> = cells.into_iter().collect();
        let make = |cells: &Vec<u32>| match cells[..] {
            [only] => table.ports[only as usize].text(),
            // Workloads of a namespace with ports of their own: together, whoever they are.
            _ => {
                let ports = cells.iter().map(|cell| table.ports[*cell as usize].any());
                ports.reduce(|all, more| all.union(&more)).unwrap_or_else(PortSet::none).to_string()
            }
        };
        self.known.entry(cells).or_insert_with_key(make).clone()
    }
}
