//! Verdict tables in the kernel: which programs are there, under which kernel ids, and where.
//!
//! Only programs of this node's pods are installed. Ids that packets may still carry go to
//! [`Leftovers`] and come back through [`Tables::recycle`].

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use podgate_policy::{ClassId, Family, Kind, Outcome, Program, ProgramId, Row, Verdict};
use rustc_hash::{FxHashMap, FxHashSet};

use super::alloc::{Ids, Stretches};
use super::layout::{
    CLASSES, CLOSED, DEFAULT_ANY, DEFAULT_POD, DEFAULT_V6, FIRST_CLASS, FIRST_PROGRAM, ITSELF, PROGRAMS,
    RawRange, RawRow, RowKey,
};
use super::store::Store;
use crate::Error;

/// What no packet can find after the next flip, to be removed and used again later.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    pub(crate) rows: FxHashSet<RowKey>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) indexes: Vec<u32>,
    pub(crate) programs: Vec<u32>,
    pub(crate) classes: Vec<u32>,
    pub(crate) stretches: Vec<(u32, u32)>,
}

impl Leftovers {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.addresses.is_empty()
            && self.indexes.is_empty()
            && self.programs.is_empty()
            && self.classes.is_empty()
            && self.stretches.is_empty()
    }

    /// How many entries of the kernel's tables they are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.addresses.len() + self.indexes.len()
    }

    pub(crate) fn append(&mut self, mut other: Leftovers) {
        self.rows.extend(other.rows.drain());
        self.addresses.append(&mut other.addresses);
        self.indexes.append(&mut other.indexes);
        self.programs.append(&mut other.programs);
        self.classes.append(&mut other.classes);
        self.stretches.append(&mut other.stretches);
    }
}

type Ranges = Arc<[RawRange]>;

#[derive(Debug)]
struct Used {
    uses: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Installed(Installed),
    /// No room: its pods are closed.
    Failed,
}

#[derive(Debug)]
struct Installed {
    id: u32,
    /// By the kernel's class: the default rows.
    defaults: Vec<(u32, Ranges)>,
    rows: FxHashMap<ClassId, Ranges>,
    /// Rows for pods that reach themselves.
    itself: FxHashMap<ClassId, Ranges>,
}

/// What a class's row is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    /// Connections with an address of the class.
    Others,
    /// Connections of a pod of the class with itself.
    Itself,
}

impl Towards {
    /// The kernel's class in the row's key.
    fn key(self, class: u32) -> u32 {
        match self {
            Towards::Others => class,
            Towards::Itself => class | ITSELF,
        }
    }
}

/// Programs of an earlier state, kept until a full publication has replaced them.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    programs: Vec<Installed>,
    classes: FxHashMap<ClassId, (u32, u32)>,
    foreign: Leftovers,
}

#[derive(Debug)]
pub(crate) struct Tables {
    programs: FxHashMap<ProgramId, Used>,
    failed: BTreeSet<ProgramId>,
    /// Kernel id and uses.
    classes: FxHashMap<ClassId, (u32, u32)>,
    /// Start and uses.
    shared: FxHashMap<Ranges, (u32, u32)>,
    program_ids: Ids,
    class_ids: Ids,
    stretches: Stretches,
    rows: u32,
    rows_limit: u32,
    ranges: u32,
    ranges_limit: u32,
    /// Ranges of the state that is being replaced: they share the table with the new ones.
    replaced_ranges: u32,
    foreign: Leftovers,
}

impl Tables {
    /// Empty tables with room for so many rows and ranges, twice: once for what is in force, once for
    /// what replaces it.
    pub(crate) fn new(rows_limit: u32, ranges_limit: u32) -> Self {
        Tables {
            programs: FxHashMap::default(),
            failed: BTreeSet::new(),
            classes: FxHashMap::default(),
            shared: FxHashMap::default(),
            program_ids: Ids::new(FIRST_PROGRAM, PROGRAMS),
            class_ids: Ids::new(FIRST_CLASS, CLASSES),
            stretches: Stretches::new(2 * ranges_limit),
            rows: 0,
            rows_limit,
            ranges: 0,
            ranges_limit,
            replaced_ranges: 0,
            foreign: Leftovers::default(),
        }
    }

    /// As [`Tables::new`], around what another process left: `programs` and `classes` are in idents.
    pub(crate) fn adopt(
        rows_limit: u32,
        ranges_limit: u32,
        rows: &[(RowKey, RawRow)],
        mut programs: BTreeSet<u32>,
        mut classes: BTreeSet<u32>,
    ) -> Self {
        let mut stretches = BTreeMap::new();
        for (key, row) in rows {
            programs.insert(key.program);
            classes.insert(key.class & !ITSELF);
            if row.length > 0 {
                stretches.insert(row.offset, u32::from(row.length));
            }
        }
        programs.retain(|id| *id >= FIRST_PROGRAM);
        classes.retain(|id| *id >= FIRST_CLASS);
        let mut new = Tables::new(rows_limit, ranges_limit);
        new.program_ids = Ids::with_used(FIRST_PROGRAM, PROGRAMS, &programs);
        new.class_ids = Ids::with_used(FIRST_CLASS, CLASSES, &classes);
        new.stretches = Stretches::with_used(2 * ranges_limit, &stretches);
        new.foreign = Leftovers {
            rows: rows.iter().map(|(key, _)| *key).collect(),
            programs: programs.into_iter().collect(),
            classes: classes.into_iter().collect(),
            stretches: stretches.into_iter().collect(),
            ..Leftovers::default()
        };
        new
    }

    /// Starts a full publication: every program is new again, the old ones stay until
    /// [`Tables::drop_forgotten`].
    pub(crate) fn forget(&mut self) -> Forgotten {
        self.failed.clear();
        self.rows = 0;
        self.replaced_ranges = self.ranges;
        let programs = mem::take(&mut self.programs)
            .into_values()
            .filter_map(|used| match used.state {
                State::Installed(installed) => Some(installed),
                State::Failed => None,
            })
            .collect();
        Forgotten { programs, classes: mem::take(&mut self.classes), foreign: mem::take(&mut self.foreign) }
    }

    pub(crate) fn drop_forgotten(&mut self, forgotten: Forgotten, leftovers: &mut Leftovers) {
        self.replaced_ranges = 0;
        for installed in forgotten.programs {
            for (class, ranges) in installed.defaults {
                leftovers.rows.insert(RowKey { program: installed.id, class });
                self.release_ranges(&ranges, leftovers);
            }
            let others = installed.rows.into_iter().map(|row| (Towards::Others, row));
            let itself = installed.itself.into_iter().map(|row| (Towards::Itself, row));
            for (towards, (class, ranges)) in others.chain(itself) {
                // A class that has a row is in `classes`.
                if let Some((id, _)) = forgotten.classes.get(&class) {
                    leftovers.rows.insert(RowKey { program: installed.id, class: towards.key(*id) });
                }
                self.release_ranges(&ranges, leftovers);
            }
            leftovers.programs.push(installed.id);
        }
        leftovers.classes.extend(forgotten.classes.into_values().map(|(id, _)| id));
        leftovers.append(forgotten.foreign);
    }

    /// The kernel's id of a class; counts one use. `None`: no id is free.
    pub(crate) fn use_class(&mut self, class: ClassId) -> Option<u32> {
        if let Some((id, uses)) = self.classes.get_mut(&class) {
            *uses += 1;
            return Some(*id);
        }
        let id = self.class_ids.take()?;
        self.classes.insert(class, (id, 1));
        Some(id)
    }

    pub(crate) fn class(&self, class: ClassId) -> Option<u32> {
        self.classes.get(&class).map(|(id, _)| *id)
    }

    pub(crate) fn release_class(&mut self, class: ClassId, leftovers: &mut Leftovers) {
        let Some((id, uses)) = self.classes.get_mut(&class) else { return };
        *uses -= 1;
        if *uses == 0 {
            leftovers.classes.push(*id);
            self.classes.remove(&class);
        }
    }

    /// The kernel's id of a program in use, or [`CLOSED`].
    pub(crate) fn program(&self, program: ProgramId) -> u32 {
        match self.programs.get(&program) {
            Some(Used { state: State::Installed(installed), .. }) => installed.id,
            _ => CLOSED,
        }
    }

    pub(crate) fn is_installed(&self, program: ProgramId) -> bool {
        matches!(self.programs.get(&program), Some(Used { state: State::Installed(_), .. }))
    }

    pub(crate) fn installed(&self) -> impl Iterator<Item = ProgramId> {
        self.programs
            .iter()
            .filter(|(_, used)| matches!(used.state, State::Installed(_)))
            .map(|(program, _)| *program)
    }

    pub(crate) fn failed(&self) -> Vec<ProgramId> {
        self.failed.iter().copied().collect()
    }

    /// Counts one use more. `true`: the program isn't installed yet, see [`Tables::install`].
    pub(crate) fn use_program(&mut self, program: ProgramId) -> bool {
        let used = self.programs.entry(program).or_insert(Used { uses: 0, state: State::Failed });
        used.uses += 1;
        if used.uses == 1 {
            self.failed.insert(program);
        }
        used.uses == 1
    }

    pub(crate) fn release_program(&mut self, program: ProgramId, leftovers: &mut Leftovers) {
        let Some(used) = self.programs.get_mut(&program) else { return };
        used.uses -= 1;
        if used.uses > 0 {
            return;
        }
        self.failed.remove(&program);
        if let Some(Used { state: State::Installed(installed), .. }) = self.programs.remove(&program) {
            self.uninstall(installed, leftovers);
        }
    }

    /// Writes all rows of a program in use. `false`: no room; what was written is in `leftovers`.
    pub(crate) fn install(
        &mut self,
        store: &mut impl Store,
        program: ProgramId,
        table: &Program,
        leftovers: &mut Leftovers,
    ) -> Result<bool, Error> {
        let rows = table.rows();
        if self.rows as usize + Self::rows_of(table) > self.rows_limit as usize {
            return Ok(false);
        }
        let Some(id) = self.program_ids.take() else { return Ok(false) };
        let mut installed =
            Installed { id, defaults: Vec::new(), rows: FxHashMap::default(), itself: FxHashMap::default() };
        let mut whole = true;
        for (class, row) in defaults(table) {
            match self.put_row(store, RowKey { program: id, class }, row, leftovers)? {
                Some(ranges) => installed.defaults.push((class, ranges)),
                None => whole = false,
            }
        }
        for (class, row) in rows {
            if !whole {
                break;
            }
            match self.put_class_row(store, id, (class, Towards::Others), row, leftovers)? {
                Some(ranges) => _ = installed.rows.insert(class, ranges),
                None => whole = false,
            }
        }
        for (class, row) in table.rows_of_itself() {
            if !whole {
                break;
            }
            match self.put_class_row(store, id, (class, Towards::Itself), row, leftovers)? {
                Some(ranges) => _ = installed.itself.insert(class, ranges),
                None => whole = false,
            }
        }
        if !whole {
            self.uninstall(installed, leftovers);
            return Ok(false);
        }
        self.failed.remove(&program);
        if let Some(used) = self.programs.get_mut(&program) {
            used.state = State::Installed(installed);
        }
        Ok(true)
    }

    /// How many rows a program takes.
    pub(crate) fn rows_of(table: &Program) -> usize {
        table.rows().len() + table.rows_of_itself().count() + defaults(table).count()
    }

    /// Adds the rows of one class to an installed program: towards the class, and where the program has one, of
    /// its pods towards themselves. `false`: no room, and the program counts as
    /// failed from now on.
    pub(crate) fn add_row(
        &mut self,
        store: &mut impl Store,
        program: ProgramId,
        class: ClassId,
        table: &Program,
        leftovers: &mut Leftovers,
    ) -> Result<bool, Error> {
        let Some(Used { state: State::Installed(installed), .. }) = self.programs.get(&program) else {
            return Ok(true);
        };
        let id = installed.id;
        let rows = table.row(class).map(|row| (Towards::Others, row));
        let itself = table.row_of_itself(class).map(|row| (Towards::Itself, row));
        let rows = rows.into_iter().chain(itself);
        let mut whole = true;
        for (towards, row) in rows {
            let Some(ranges) = self.put_class_row(store, id, (class, towards), row, leftovers)? else {
                whole = false;
                break;
            };
            let before = match self.programs.get_mut(&program).map(|used| &mut used.state) {
                Some(State::Installed(installed)) => installed.of(towards).insert(class, ranges),
                _ => None,
            };
            if let Some(before) = before {
                self.release_ranges(&before, leftovers);
                self.release_class(class, leftovers);
                self.rows -= 1;
            }
        }
        if whole {
            return Ok(true);
        }
        self.failed.insert(program);
        let state = self.programs.get_mut(&program).map(|used| mem::replace(&mut used.state, State::Failed));
        if let Some(State::Installed(installed)) = state {
            self.uninstall(installed, leftovers);
        }
        Ok(false)
    }

    pub(crate) fn remove_row(&mut self, program: ProgramId, class: ClassId, leftovers: &mut Leftovers) {
        let Some(Used { state: State::Installed(installed), .. }) = self.programs.get_mut(&program) else {
            return;
        };
        let id = installed.id;
        let gone =
            [Towards::Others, Towards::Itself].map(|towards| (towards, installed.of(towards).remove(&class)));
        for (towards, ranges) in gone {
            if let Some(ranges) = ranges {
                self.drop_row(id, (class, towards), &ranges, leftovers);
            }
        }
    }

    /// Makes what was left over usable again, once no packet can find it any more.
    pub(crate) fn recycle(&mut self, leftovers: &Leftovers) {
        leftovers.programs.iter().for_each(|id| self.program_ids.give_back(*id));
        leftovers.classes.iter().for_each(|id| self.class_ids.give_back(*id));
        leftovers.stretches.iter().for_each(|(start, length)| self.stretches.give_back(*start, *length));
    }

    fn put_class_row(
        &mut self,
        store: &mut impl Store,
        program: u32,
        (class, towards): (ClassId, Towards),
        row: &Row,
        leftovers: &mut Leftovers,
    ) -> Result<Option<Ranges>, Error> {
        let Some(id) = self.use_class(class) else { return Ok(None) };
        let placed = self.put_row(store, RowKey { program, class: towards.key(id) }, row, leftovers)?;
        if placed.is_none() {
            self.release_class(class, leftovers);
        }
        Ok(placed)
    }

    fn put_row(
        &mut self,
        store: &mut impl Store,
        key: RowKey,
        row: &Row,
        leftovers: &mut Leftovers,
    ) -> Result<Option<Ranges>, Error> {
        if self.rows >= self.rows_limit {
            return Ok(None);
        }
        let ranges: Ranges =
            row.ranges.iter().map(|range| raw_range(range.lo.0, range.hi.0, range.outcome)).collect();
        let Some(offset) = self.place_ranges(store, &ranges) else { return Ok(None) };
        let raw = RawRow {
            offset,
            // `place_ranges` refuses more than fit.
            length: ranges.len() as u16,
            allowed: u8::from(row.otherwise.verdict == Verdict::Allowed),
            pad: 0,
            decider: row.otherwise.decider.0,
        };
        if !store.put_row(key, raw)? {
            self.release_ranges(&ranges, leftovers);
            return Ok(None);
        }
        self.rows += 1;
        leftovers.rows.remove(&key);
        Ok(Some(ranges))
    }

    fn place_ranges(&mut self, store: &mut impl Store, ranges: &Ranges) -> Option<u32> {
        if ranges.is_empty() {
            return Some(0);
        }
        if let Some((start, uses)) = self.shared.get_mut(ranges) {
            *uses += 1;
            return Some(*start);
        }
        let length = u32::from(u16::try_from(ranges.len()).ok()?);
        if self.ranges + length > self.replaced_ranges + self.ranges_limit {
            return None;
        }
        let start = self.stretches.take(length)?;
        store.write_ranges(start, ranges);
        self.ranges += length;
        self.shared.insert(ranges.clone(), (start, 1));
        Some(start)
    }

    fn release_ranges(&mut self, ranges: &Ranges, leftovers: &mut Leftovers) {
        let Some((start, uses)) = self.shared.get_mut(ranges) else { return };
        *uses -= 1;
        if *uses == 0 {
            let length = ranges.len() as u32;
            leftovers.stretches.push((*start, length));
            self.ranges -= length;
            self.shared.remove(ranges);
        }
    }

    fn uninstall(&mut self, installed: Installed, leftovers: &mut Leftovers) {
        for (class, ranges) in installed.defaults {
            self.release_ranges(&ranges, leftovers);
            leftovers.rows.insert(RowKey { program: installed.id, class });
            self.rows -= 1;
        }
        for (class, ranges) in installed.rows {
            self.drop_row(installed.id, (class, Towards::Others), &ranges, leftovers);
        }
        for (class, ranges) in installed.itself {
            self.drop_row(installed.id, (class, Towards::Itself), &ranges, leftovers);
        }
        leftovers.programs.push(installed.id);
    }

    fn drop_row(
        &mut self,
        program: u32,
        (class, towards): (ClassId, Towards),
        ranges: &Ranges,
        leftovers: &mut Leftovers,
    ) {
        self.release_ranges(ranges, leftovers);
        if let Some(id) = self.class(class) {
            leftovers.rows.insert(RowKey { program, class: towards.key(id) });
        }
        self.release_class(class, leftovers);
        self.rows -= 1;
    }
}

impl Installed {
    fn of(&mut self, towards: Towards) -> &mut FxHashMap<ClassId, Ranges> {
        match towards {
            Towards::Others => &mut self.rows,
            Towards::Itself => &mut self.itself,
        }
    }
}

/// A program's default rows, with the classes that stand for them.
fn defaults(table: &Program) -> impl Iterator<Item = (u32, &Row)> {
    let others = Kind::ALL.into_iter().map(|kind| (default_class(kind), table.default_row(kind)));
    let itself = Family::ALL.into_iter().filter_map(|family| {
        let class = default_class(Kind { pod: true, family });
        Some((Towards::Itself.key(class), table.default_row_of_itself(family)?))
    });
    others.chain(itself)
}

fn default_class(kind: Kind) -> u32 {
    let v6 = if kind.family == Family::V6 { DEFAULT_V6 } else { 0 };
    v6 | if kind.pod { DEFAULT_POD } else { DEFAULT_ANY }
}

fn raw_range(lo: u32, hi: u32, outcome: Outcome) -> RawRange {
    RawRange {
        lo,
        hi,
        decider: outcome.decider.0,
        allowed: u32::from(outcome.verdict == Verdict::Allowed),
        pad: 0,
    }
}
