//! Turns one state of the kernel's tables into the next, so that no packet sees a mixture.
//!
//! ```text
//! write new rows and keys -> write the other slot of changed idents -> flip the generation
//!      (no packet finds them)        (no packet reads it)             (every packet from here on)
//! ... when no packet is left that began before the flip:
//! copy the slot in force to the other -> remove what is left over -> ... -> use its ids again
//! ```
//!
//! One address of a family changes without a flip: its word alone is the whole difference, and writing it is
//! one step for every packet. So the commonest change, of one pod, waits for nothing.

mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use podgate_policy::{ClassId, Delta, Family, Identity, ProgramId, Programs};
use prefix_trie::joint::JointPrefixMap;
use rustc_hash::{FxHashMap, FxHashSet};

use super::alloc::Ids;
use super::layout::{CLASS_SHIFT, CLOSED, INGRESS_SHIFT, LOCAL, POD};
use super::store::Store;
use super::tables::{Forgotten, Leftovers, Tables};
use super::words::{active_slot, allows_more, other_slot};
use crate::{Error, PublishReport};

/// How much the tables may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) addresses: u32,
    pub(crate) prefixes: u32,
    pub(crate) rows: u32,
    pub(crate) ranges: u32,
    /// Idents: more than addresses and prefixes, as some wait to be used again.
    pub(crate) idents: u32,
}

/// What an address is to the kernel of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    class: ClassId,
    /// `None` also for pods of other nodes.
    egress: Option<ProgramId>,
    ingress: Option<ProgramId>,
    local: bool,
}

impl Wanted {
    fn programs(&self) -> impl Iterator<Item = ProgramId> {
        self.egress.into_iter().chain(self.ingress)
    }
}

#[derive(Debug)]
struct Address {
    index: u32,
    /// The word in force; 0: no packet finds the address.
    word: u64,
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Prefix {
    index: u32,
    word: u64,
    wanted: Option<ClassId>,
}

/// What a flip has left to do.
#[derive(Debug, Default)]
struct Flipped {
    /// Idents whose slots differ, with the word in force.
    copies: Vec<(u32, u64)>,
    prefixes: Vec<IpNet>,
}

/// So many leftovers are removed in any case.
const MANY_LEFTOVERS: usize = 8192;

/// The work of one publication.
#[derive(Debug, Default)]
struct Step {
    /// The state before isn't known entirely, or everything is looked at.
    full: bool,
    touched: FxHashSet<IpAddr>,
    prefixes_touched: BTreeSet<IpNet>,
    released: Vec<Wanted>,
    released_classes: Vec<ClassId>,
    leftovers: Leftovers,
    flipped: Flipped,
    writes: usize,
}

#[derive(Debug)]
pub(crate) struct Publisher<S> {
    store: S,
    node: String,
    limits: Limits,
    /// The kernel's state isn't known.
    stale: bool,
    tables: Tables,
    addresses: FxHashMap<IpAddr, Address>,
    prefixes: JointPrefixMap<IpNet, Prefix>,
    indexes: Ids,
    unplaced: FxHashMap<IpAddr, Wanted>,
    /// The kernel may have marks of addresses without room.
    marked: bool,
    unplaced_prefixes: BTreeMap<IpNet, ClassId>,
    /// Programs for which a prefix without room would allow more than it should.
    blocked: FxHashSet<ProgramId>,
    closed: BTreeSet<IpAddr>,
    flipped: Option<Flipped>,
    leftovers: Leftovers,
    /// Leftovers that will be removed when no packet is left that found them.
    ripening: Option<Leftovers>,
    removed: Option<Leftovers>,
    /// How long nothing has to be published before leftovers are removed: nothing new can be inserted for a
    /// while then.
    quiet: Duration,
    published: Instant,
}

impl<S: Store> Publisher<S> {
    /// Around empty tables, or around those that another process left.
    pub(crate) fn new(store: S, node: String, limits: Limits) -> Self {
        Publisher {
            store,
            node,
            limits,
            stale: true,
            tables: Tables::new(limits.rows, limits.ranges),
            addresses: FxHashMap::default(),
            prefixes: JointPrefixMap::new(),
            indexes: Ids::new(0, limits.idents),
            unplaced: FxHashMap::default(),
            marked: false,
            unplaced_prefixes: BTreeMap::new(),
            blocked: FxHashSet::default(),
            closed: BTreeSet::new(),
            flipped: None,
            leftovers: Leftovers::default(),
            ripening: None,
            removed: None,
            quiet: Duration::ZERO,
            published: Instant::now(),
        }
    }

    /// Lets leftovers wait until nothing has been published for a while.
    pub(crate) fn set_quiet(&mut self, quiet: Duration) {
        self.quiet = quiet;
    }

    pub(crate) fn store(&self) -> &S {
        &self.store
    }

    pub(crate) fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Whether the kernel holds what was published last.
    pub(crate) fn is_current(&self) -> bool {
        !self.stale
    }

    pub(crate) fn publish(
        &mut self,
        programs: &dyn Programs,
        delta: &Delta,
        full: bool,
    ) -> Result<PublishReport, Error> {
        if self.stale {
            if !full {
                return Err(Error::NeedsFull);
            }
            self.adopt()?;
        }
        self.stale = true;
        let report = self.publish_known(programs, delta, full)?;
        self.stale = false;
        self.published = Instant::now();
        Ok(report)
    }

    fn publish_known(
        &mut self,
        programs: &dyn Programs,
        delta: &Delta,
        full: bool,
    ) -> Result<PublishReport, Error> {
        if !self.finish_flip(true)? || !self.finish_removal(true) {
            return Err(no_grace());
        }
        let mut step = Step { full, ..Step::default() };
        let forgotten = full.then(|| self.forget(&mut step));
        self.add_rows(programs, delta, &mut step)?;
        self.want_addresses(delta, &mut step)?;
        self.install(programs, &mut step)?;
        self.want_prefixes(delta, &mut step)?;
        self.block(programs, &mut step);
        self.write_words(&mut step)?;
        self.write_prefix_words(&mut step);
        self.flip(&mut step);
        self.release(delta, forgotten, &mut step);
        self.leftovers.append(std::mem::take(&mut step.leftovers));
        let mut unplaced: Vec<IpAddr> = self.unplaced.keys().copied().collect();
        unplaced.sort_unstable();
        Ok(PublishReport {
            closed: self.closed.iter().copied().collect(),
            unplaced,
            unplaced_prefixes: self.unplaced_prefixes.keys().copied().collect(),
            writes: step.writes,
        })
    }

    fn forget(&mut self, step: &mut Step) -> Forgotten {
        for (address, entry) in &mut self.addresses {
            entry.wanted = None;
            step.touched.insert(*address);
        }
        for (prefix, entry) in self.prefixes.iter_mut() {
            entry.wanted = None;
            step.prefixes_touched.insert(prefix);
        }
        self.unplaced.clear();
        self.unplaced_prefixes.clear();
        self.blocked.clear();
        self.closed.clear();
        self.tables.forget()
    }

    fn add_rows(&mut self, programs: &dyn Programs, delta: &Delta, step: &mut Step) -> Result<(), Error> {
        for (program, class) in &delta.rows {
            if !self.tables.is_installed(*program) {
                continue;
            }
            let Some(table) = programs.program(*program) else { continue };
            step.writes += 1;
            if !self.tables.add_row(&mut self.store, *program, *class, table, &mut step.leftovers)? {
                self.touch_users(*program, step);
            }
        }
        Ok(())
    }

    fn want_addresses(&mut self, delta: &Delta, step: &mut Step) -> Result<(), Error> {
        for (address, identity) in &delta.addresses {
            let wanted = identity.as_ref().map(|identity| self.wanted(identity));
            if let Some(wanted) = &wanted {
                self.use_class(wanted.class)?;
                for program in wanted.programs() {
                    self.tables.use_program(program);
                }
            }
            step.released.extend(self.unplaced.remove(address));
            match (self.addresses.get_mut(address), wanted) {
                (Some(entry), wanted) => {
                    step.released.extend(std::mem::replace(&mut entry.wanted, wanted));
                    step.touched.insert(*address);
                }
                (None, Some(wanted)) => {
                    // `write_words` gives it a place.
                    self.unplaced.insert(*address, wanted);
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn wanted(&self, identity: &Identity) -> Wanted {
        let local = identity.node.as_deref().is_none_or(|node| node == self.node);
        let here = |program: Option<ProgramId>| program.filter(|_| local);
        Wanted {
            class: identity.class,
            egress: here(identity.egress),
            ingress: here(identity.ingress),
            local,
        }
    }

    fn use_class(&mut self, class: ClassId) -> Result<u32, Error> {
        if let Some(id) = self.tables.use_class(class) {
            return Ok(id);
        }
        self.reclaim()?;
        self.tables.use_class(class).ok_or_else(|| Error::Settings("more classes than ids".into()))
    }

    /// Installs the programs that are new here, and those that found no room before.
    fn install(&mut self, programs: &dyn Programs, step: &mut Step) -> Result<(), Error> {
        for program in self.tables.failed() {
            let Some(table) = programs.program(program) else { continue };
            let mut done = self.tables.install(&mut self.store, program, table, &mut step.leftovers)?;
            if !done && self.reclaim()? {
                done = self.tables.install(&mut self.store, program, table, &mut step.leftovers)?;
            }
            if done {
                step.writes += Tables::rows_of(table);
                self.touch_users(program, step);
            }
        }
        Ok(())
    }

    fn touch_users(&self, program: ProgramId, step: &mut Step) {
        // Those that are new in this step are touched anyway; only a program that was in use before can
        // have others.
        if self.closed.is_empty() && self.tables.is_installed(program) {
            return;
        }
        for (address, entry) in &self.addresses {
            if entry.wanted.as_ref().is_some_and(|wanted| wanted.programs().any(|used| used == program)) {
                step.touched.insert(*address);
            }
        }
    }

    fn want_prefixes(&mut self, delta: &Delta, step: &mut Step) -> Result<(), Error> {
        for (prefix, class) in &delta.prefixes {
            let prefix = prefix.trunc();
            if let Some(class) = class {
                self.use_class(*class)?;
            }
            step.released_classes.extend(self.unplaced_prefixes.remove(&prefix));
            match (self.prefixes.get_mut(&prefix), class) {
                (Some(entry), class) => {
                    step.released_classes.extend(std::mem::replace(&mut entry.wanted, *class));
                    step.prefixes_touched.insert(prefix);
                }
                (None, Some(class)) => _ = self.unplaced_prefixes.insert(prefix, *class),
                (None, None) => {}
            }
        }
        let mut waiting: Vec<(IpNet, ClassId)> =
            self.unplaced_prefixes.iter().map(|(prefix, class)| (*prefix, *class)).collect();
        // Short ones first: they say the most, and a prefix starts out as what is around it.
        waiting.sort_by_key(|(prefix, _)| prefix.prefix_len());
        for (prefix, class) in waiting {
            if self.place_prefix(prefix, class)? {
                self.unplaced_prefixes.remove(&prefix);
                step.prefixes_touched.insert(prefix);
            }
        }
        Ok(())
    }

    /// Inserts a prefix that says what its parent says, until the flip.
    fn place_prefix(&mut self, prefix: IpNet, class: ClassId) -> Result<bool, Error> {
        if self.prefixes.len() >= self.limits.prefixes as usize {
            return Ok(false);
        }
        let Some(index) = self.take_index()? else { return Ok(false) };
        let word = self.prefixes.get_lpm(&prefix).map_or(0, |(_, parent)| parent.word);
        self.store.set_word(index, 0, word);
        self.store.set_word(index, 1, word);
        if !self.store.put_prefix(prefix, index)? {
            self.indexes.give_back(index);
            return Ok(false);
        }
        self.prefixes.insert(prefix, Prefix { index, word, wanted: Some(class) });
        Ok(true)
    }

    fn take_index(&mut self) -> Result<Option<u32>, Error> {
        if let Some(index) = self.indexes.take() {
            return Ok(Some(index));
        }
        self.reclaim()?;
        Ok(self.indexes.take())
    }

    /// Finds the programs for which a prefix without room would be judged by a row that allows more.
    fn block(&mut self, programs: &dyn Programs, step: &mut Step) {
        let mut blocked = FxHashSet::default();
        for (prefix, class) in &self.unplaced_prefixes {
            let parent = self.prefixes.cover_values(prefix).filter_map(|entry| entry.wanted).last();
            let family = Family::of(prefix.addr());
            for id in self.tables.installed() {
                if programs.program(id).is_none_or(|table| allows_more(table, parent, *class, family)) {
                    blocked.insert(id);
                }
            }
        }
        if blocked != self.blocked {
            let before = std::mem::replace(&mut self.blocked, blocked);
            for (address, entry) in &self.addresses {
                let programs = || entry.wanted.iter().flat_map(Wanted::programs);
                if programs().any(|id| before.contains(&id) != self.blocked.contains(&id)) {
                    step.touched.insert(*address);
                }
            }
        }
    }

    fn write_words(&mut self, step: &mut Step) -> Result<(), Error> {
        let waiting: Vec<IpAddr> = self.unplaced.keys().copied().collect();
        for address in waiting {
            if self.place_address(address)? {
                step.touched.insert(address);
            }
        }
        // Marks that go away stay until no packet is left that can miss the address.
        if !self.unplaced.is_empty() {
            self.store.add_marks(&mut self.unplaced.keys().copied());
            self.marked = true;
        }
        let generation = self.store.generation();
        let (active, other) = (active_slot(generation), other_slot(generation));
        let at_once = self.is_one_word(step);
        step.writes += step.touched.len();
        for address in &step.touched {
            let Some(entry) = self.addresses.get(address) else { continue };
            let (word, closed) = entry.wanted.as_ref().map_or((0, false), |wanted| self.word(wanted));
            if closed {
                self.closed.insert(*address);
            } else {
                self.closed.remove(address);
            }
            if !(at_once && self.store.put_word(entry.index, active, word)) {
                step.flipped.copies.push((entry.index, word));
            }
            self.store.set_word(entry.index, other, word);
            if word == 0 {
                step.leftovers.addresses.push(*address);
            }
            if let Some(entry) = self.addresses.get_mut(address) {
                entry.word = word;
            }
        }
        Ok(())
    }

    /// Whether no packet can see more than one of the words that change.
    fn is_one_word(&self, step: &Step) -> bool {
        let of_family = |v4: bool| step.touched.iter().filter(|address| address.is_ipv4() == v4).count();
        !step.full
            && step.prefixes_touched.is_empty()
            && !self.marked
            && of_family(true) <= 1
            && of_family(false) <= 1
    }

    /// Inserts an address that says nothing until its word is in force.
    fn place_address(&mut self, address: IpAddr) -> Result<bool, Error> {
        if self.addresses.len() >= self.limits.addresses as usize && !self.reclaim()? {
            return Ok(false);
        }
        if self.addresses.len() >= self.limits.addresses as usize {
            return Ok(false);
        }
        let Some(index) = self.take_index()? else { return Ok(false) };
        self.store.set_word(index, 0, 0);
        self.store.set_word(index, 1, 0);
        if !self.store.put_address(address, index)? {
            self.indexes.give_back(index);
            return Ok(false);
        }
        let wanted = self.unplaced.remove(&address);
        self.addresses.insert(address, Address { index, word: 0, wanted });
        Ok(true)
    }

    fn word(&self, wanted: &Wanted) -> (u64, bool) {
        let mut closed = false;
        let mut id = |program: Option<ProgramId>| {
            let Some(program) = program else { return 0 };
            let id = if self.blocked.contains(&program) { CLOSED } else { self.tables.program(program) };
            closed |= id == CLOSED;
            u64::from(id)
        };
        let programs = id(wanted.egress) | id(wanted.ingress) << INGRESS_SHIFT;
        // Every address that is wanted uses its class.
        let class = u64::from(self.tables.class(wanted.class).unwrap_or_default());
        let local = if wanted.local { LOCAL } else { 0 };
        (POD | local | class << CLASS_SHIFT | programs, closed)
    }

    fn write_prefix_words(&mut self, step: &mut Step) {
        let other = other_slot(self.store.generation());
        step.writes += step.prefixes_touched.len();
        let mut words = Vec::with_capacity(step.prefixes_touched.len());
        for prefix in &step.prefixes_touched {
            // The longest prefix that stays, itself or one around it.
            let class = self.prefixes.cover_values(prefix).filter_map(|entry| entry.wanted).last();
            let class = class.and_then(|class| self.tables.class(class)).unwrap_or_default();
            words.push((*prefix, u64::from(class) << CLASS_SHIFT));
        }
        for (prefix, word) in words {
            let Some(entry) = self.prefixes.get_mut(&prefix) else { continue };
            entry.word = word;
            self.store.set_word(entry.index, other, word);
            step.flipped.copies.push((entry.index, word));
            if entry.wanted.is_none() {
                step.flipped.prefixes.push(prefix);
                step.leftovers.indexes.push(entry.index);
            }
        }
        for prefix in &step.flipped.prefixes {
            self.prefixes.remove(prefix);
        }
    }

    fn flip(&mut self, step: &mut Step) {
        if step.flipped.copies.is_empty() && !self.marked {
            return;
        }
        let generation = self.store.generation();
        self.store.flip(generation.wrapping_add(1));
        self.flipped = Some(std::mem::take(&mut step.flipped));
        self.store.begin_grace();
    }

    /// Drops the uses that only the state before had.
    fn release(&mut self, delta: &Delta, forgotten: Option<Forgotten>, step: &mut Step) {
        let leftovers = &mut step.leftovers;
        if let Some(forgotten) = forgotten {
            self.tables.drop_forgotten(forgotten, leftovers);
        }
        for wanted in step.released.drain(..) {
            wanted.programs().for_each(|program| self.tables.release_program(program, leftovers));
            self.tables.release_class(wanted.class, leftovers);
        }
        for (program, class) in &delta.rows_gone {
            self.tables.remove_row(*program, *class, leftovers);
        }
        for class in step.released_classes.drain(..) {
            self.tables.release_class(class, leftovers);
        }
    }
}

fn no_grace() -> Error {
    Error::io("wait for a grace period", std::io::ErrorKind::Other)
}
