//! [`Store`] on sets of nftables: what the publisher wrote, and what of it the kernel has.
//!
//! The publisher writes the slot that no packet reads, and rows that nothing leads to. So writes are kept here until
//! [`NftStore::flush`], which may take as many transactions as it likes; the flip is one of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_policy::Direction;
use rustc_hash::FxHashMap;

use super::changes::Changes;
use super::intervals::{Content, Stretch, flatten};
use super::log::Log;
use super::names::{Names, View};
use super::netlink::{Socket, Transaction};
use super::resolve;
use super::ruleset::{self, ALLOWS_ALL, Fixed};
use super::table::{Element, Table};
use super::upkeep::replace;
use crate::publish::grace::Grace;
use crate::publish::layout::{LOCAL, POD, RawRange, RawRow, RowKey};
use crate::publish::store::{Contents, Store};
use crate::publish::words::{active_slot, class_of, egress_of, ingress_of};
use crate::{Error, Event, UnknownPods};

/// What an index belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Address(IpAddr),
    Prefix(IpNet),
}

/// A table in the kernel: its number, and how many rows lead to it.
#[derive(Debug)]
pub(super) struct Shared {
    number: u32,
    uses: u32,
}

/// What guards are to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guarded {
    strict: bool,
    cidrs: Vec<IpNet>,
    any_unplaced: bool,
}

#[derive(Debug)]
pub(super) struct NftStore {
    pub(super) table: Table,
    pub(super) socket: Socket,
    /// `None` once it was given to a successor.
    pub(super) log: Option<Log>,
    /// Events of packets that were judged by a state that is gone.
    pub(super) events: Vec<Event>,
    pub(super) fixed: Fixed,
    grace: Grace,
    pub(super) generation: u64,
    addresses: FxHashMap<IpAddr, u32>,
    prefixes: BTreeMap<IpNet, u32>,
    pub(super) owners: Vec<Option<Owner>>,
    words: Vec<[u64; 2]>,
    /// What the kernel has of `words`.
    pub(super) written: Vec<[u64; 2]>,
    pub(super) dirty: Vec<u32>,
    /// By family and slot.
    pub(super) dirty_prefixes: [[bool; 2]; 2],
    pub(super) stretches: [[Vec<Stretch>; 2]; 2],
    pub(super) rows: FxHashMap<RowKey, RawRow>,
    pub(super) ranges: Vec<RawRange>,
    pub(super) contents: FxHashMap<Content, Shared>,
    pub(super) of_row: FxHashMap<RowKey, Content>,
    next_table: u32,
    pub(super) unplaced: BTreeSet<IpAddr>,
    guarded: Guarded,
    pub(super) in_guards: Option<Guarded>,
    pub(super) changes: Changes,
    pub(super) created: bool,
    /// How many chains and sets were created.
    pub(super) parts: (usize, usize),
    pub(super) attached: bool,
    /// Others' and own changes to nftables that are known of.
    pub(super) seen: u32,
    failed: Option<Error>,
}

impl NftStore {
    /// Nothing of it is in the kernel before the first flush.
    pub(super) fn new(
        table: Table,
        socket: Socket,
        log: Log,
        fixed: Fixed,
        cidrs: &[IpNet],
        unknown_pods: UnknownPods,
    ) -> Result<NftStore, Error> {
        let strict = unknown_pods == UnknownPods::Closed;
        Ok(NftStore {
            table,
            socket,
            log: Some(log),
            events: Vec::new(),
            fixed,
            grace: Grace::start()?,
            generation: 0,
            addresses: FxHashMap::default(),
            prefixes: BTreeMap::new(),
            owners: Vec::new(),
            words: Vec::new(),
            written: Vec::new(),
            dirty: Vec::new(),
            dirty_prefixes: [[false; 2]; 2],
            stretches: Default::default(),
            rows: FxHashMap::default(),
            ranges: Vec::new(),
            contents: FxHashMap::default(),
            of_row: FxHashMap::default(),
            next_table: ALLOWS_ALL + 1,
            unplaced: BTreeSet::new(),
            guarded: Guarded { strict, cidrs: cidrs.to_vec(), any_unplaced: false },
            in_guards: None,
            changes: Changes::default(),
            created: false,
            parts: (0, 0),
            attached: false,
            seen: 0,
            failed: None,
        })
    }

    pub(super) fn names(&self) -> Names {
        self.fixed.names
    }

    /// The first error of writes that couldn't tell.
    pub(super) fn take_error(&mut self) -> Option<Error> {
        self.failed.take()
    }

    pub(super) fn set_unknown_pods(&mut self, unknown_pods: UnknownPods) {
        self.guarded.strict = unknown_pods == UnknownPods::Closed;
    }

    pub(super) fn set_pod_cidrs(&mut self, cidrs: &[IpNet]) {
        self.guarded.cidrs = cidrs.to_vec();
    }

    // === From words to elements ===

    fn note(&mut self, index: u32) {
        self.dirty.push(index);
    }

    /// Queues what the kernel lacks of an index.
    fn write_index(&mut self, index: u32) {
        let at = index as usize;
        let Some(Owner::Address(address)) = self.owners[at] else { return };
        let (key, v4) = (octets(address), address.is_ipv4());
        let names = self.names();
        for slot in [0, 1] {
            let (old, new) = (self.written[at][slot], self.words[at][slot]);
            if old == new {
                continue;
            }
            let class = |word: u64| (word != 0).then(|| class_of(word));
            let program = |id: u32| (id != 0).then_some(id);
            let maps = [
                (names.class(v4, slot), class(old), class(new)),
                (names.egress(v4, slot), program(egress_of(old)), program(egress_of(new))),
                (names.ingress(v4, slot), program(ingress_of(old)), program(ingress_of(new))),
            ];
            for (map, old, new) in maps {
                if old == new {
                    continue;
                }
                if let Some(old) = old {
                    self.changes.remove(map.clone(), Element::entry(key.clone(), old));
                }
                if let Some(new) = new {
                    self.changes.add(map, Element::entry(key.clone(), new));
                }
            }
        }
        let is_local = |words: [u64; 2]| words.iter().any(|word| word & LOCAL != 0);
        let (before, after) = (is_local(self.written[at]), is_local(self.words[at]));
        if before != after {
            let element = Element::key([key.clone(), key].concat());
            let (before, after) = (before.then(|| element.clone()), after.then_some(element));
            self.changes.change(&names.selves(v4), before, after);
        }
        self.written[at] = self.words[at];
    }

    fn stretches_of(&self, v4: bool, slot: usize) -> Vec<Stretch> {
        let mut prefixes: Vec<Stretch> = self
            .prefixes
            .iter()
            .filter(|(net, _)| matches!(net, IpNet::V4(_)) == v4)
            .map(|(net, index)| {
                let class = class_of(self.words[*index as usize][slot]);
                Stretch { first: number(net.network()), last: number(net.broadcast()), class }
            })
            .collect();
        prefixes.sort_by_key(|stretch| (stretch.first, std::cmp::Reverse(stretch.last)));
        flatten(prefixes.into_iter())
    }

    fn write_prefixes(&mut self, v4: bool, slot: usize) {
        let wanted = self.stretches_of(v4, slot);
        let has = mem::replace(&mut self.stretches[usize::from(v4)][slot], wanted.clone());
        let set = self.names().prefix(v4, slot);
        let lacks = |list: &[Stretch], stretch: &Stretch| list.binary_search(stretch).is_err();
        for stretch in has.iter().filter(|stretch| lacks(&wanted, stretch)) {
            elements_of(*stretch, v4)
                .into_iter()
                .for_each(|element| self.changes.remove(set.clone(), element));
        }
        for stretch in wanted.iter().filter(|stretch| lacks(&has, stretch)) {
            elements_of(*stretch, v4).into_iter().for_each(|element| self.changes.add(set.clone(), element));
        }
    }

    /// Has the kernel hold all that was written. No packet looks for it yet, except for what guards hold.
    pub(super) fn flush(&mut self) -> Result<usize, Error> {
        if !self.created {
            self.create()?;
        }
        for index in mem::take(&mut self.dirty) {
            self.write_index(index);
        }
        for v4 in [false, true] {
            for slot in [0, 1] {
                if mem::take(&mut self.dirty_prefixes[usize::from(v4)][slot]) {
                    self.write_prefixes(v4, slot);
                }
            }
        }
        let count = mem::take(&mut self.changes).commit(&self.table, &mut self.socket)?;
        self.guarded.any_unplaced = !self.unplaced.is_empty();
        if self.in_guards.as_ref() != Some(&self.guarded) {
            self.write_guards()?;
        }
        Ok(count)
    }

    fn write_guards(&mut self) -> Result<(), Error> {
        let mut transaction = Transaction::new();
        let names = self.names();
        for view in View::all() {
            let cidrs: Vec<(Vec<u8>, Vec<u8>)> = self
                .guarded
                .cidrs
                .iter()
                .filter(|net| self.guarded.strict && matches!(net, IpNet::V4(_)) == view.v4)
                .map(|net| (octets(net.network()), octets(net.netmask())))
                .collect();
            let chain = names.guard(view);
            self.table.empty_chain(&mut transaction, &chain);
            for rule in ruleset::guard(names, view, &cidrs, self.guarded.any_unplaced) {
                self.table.rule(&mut transaction, &chain, &rule);
            }
        }
        self.socket.commit(transaction)?;
        self.in_guards = Some(self.guarded.clone());
        Ok(())
    }

    /// Hands over events while what they were judged by is known.
    pub(super) fn drain_log(&mut self) -> Result<(), Error> {
        let Some(mut log) = self.log.take() else { return Ok(()) };
        let (mut events, mut unknown) = (Vec::new(), 0);
        let drained = log.drain(|what, packet| match resolve::event(self, what, packet) {
            Some(event) => events.push(event),
            None => unknown += 1,
        });
        log.lost += unknown;
        self.log = Some(log);
        self.events.append(&mut events);
        drained
    }

    // === What an address is ===

    pub(super) fn epoch(&self) -> u32 {
        self.names().epoch
    }

    /// The word of an address in a slot: its own, or that of the longest prefix.
    pub(super) fn word_of(&self, address: IpAddr, slot: usize) -> u64 {
        let own = self.addresses.get(&address).map_or(0, |index| self.words[*index as usize][slot]);
        if own != 0 {
            return own;
        }
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = (0..=bits).rev().find_map(|length| {
            let net = IpNet::new(address, length).ok()?.trunc();
            self.prefixes.get(&net).map(|index| self.words[*index as usize][slot]).filter(|word| *word != 0)
        });
        prefix.unwrap_or(0) & !(POD | LOCAL)
    }

    pub(super) fn lead(&mut self, key: RowKey, content: Content) {
        let number = self.share(&content);
        let rows = self.names().rows();
        let entry = |number| Element::entry(row_key(key), number);
        let before = self.of_row.insert(key, content);
        let before = before.map(|content| (self.number(&content), content));
        self.changes.change(&rows, before.as_ref().map(|(number, _)| entry(*number)), Some(entry(number)));
        if let Some((_, content)) = before {
            self.unshare(&content);
        }
    }

    fn number(&self, content: &Content) -> u32 {
        self.contents.get(content).map_or(ALLOWS_ALL, |shared| shared.number)
    }

    /// The number of a table with this content; makes it when there is none.
    fn share(&mut self, content: &Content) -> u32 {
        if content.otherwise && content.contrary.is_empty() {
            return ALLOWS_ALL;
        }
        if let Some(shared) = self.contents.get_mut(content) {
            shared.uses += 1;
            return shared.number;
        }
        // Numbers are never used again.
        let number = self.next_table;
        self.next_table += 1;
        self.contents.insert(content.clone(), Shared { number, uses: 1 });
        for (set, element) in self.elements_of_table(number, content) {
            self.changes.change(&set, None, Some(element));
        }
        number
    }

    fn unshare(&mut self, content: &Content) {
        let Some(shared) = self.contents.get_mut(content) else { return };
        shared.uses -= 1;
        if shared.uses == 0 {
            let number = shared.number;
            self.contents.remove(content);
            for (set, element) in self.elements_of_table(number, content) {
                self.changes.change(&set, Some(element), None);
            }
        }
    }

    fn elements_of_table(&self, number: u32, content: &Content) -> Vec<(String, Element)> {
        let names = self.names();
        let mut elements = Vec::new();
        for ports in &content.contrary {
            match ports.singles().filter(|_| !content.otherwise) {
                Some(few) => elements.extend(few.map(|port| {
                    let [key, _] = port.keys(number);
                    (names.open(), Element::key(key))
                })),
                None => {
                    let set = if content.otherwise { names.shut() } else { names.open_ranges() };
                    let [key, last] = ports.keys(number);
                    elements.push((set, Element { last: Some(last), ..Element::key(key) }));
                }
            }
        }
        if content.otherwise {
            elements.push((names.else_open(), Element::key([[0; 4], number.to_ne_bytes()].concat())));
        }
        elements
    }

    pub(super) fn mark(&mut self, address: IpAddr, on: bool) {
        let element = Element::key(octets(address));
        let (before, after) = if on { (None, Some(element)) } else { (Some(element), None) };
        self.changes.change(&self.names().unplaced(address.is_ipv4()), before, after);
    }

    fn own(&mut self, index: u32, owner: Owner) {
        let at = index as usize;
        if self.owners.len() <= at {
            self.owners.resize(at + 1, None);
            self.words.resize(at + 1, [0; 2]);
            self.written.resize(at + 1, [0; 2]);
        }
        self.owners[at] = Some(owner);
    }

    fn prefix_changed(&mut self, prefix: IpNet) {
        self.dirty_prefixes[usize::from(matches!(prefix, IpNet::V4(_)))] = [true; 2];
    }

    /// Whether a row's program denies, and who says so.
    pub(super) fn outcome(&self, key: RowKey, port_key: u32) -> Option<(bool, u64)> {
        let row = self.rows.get(&key)?;
        let ranges = self.ranges.get(row.offset as usize..)?.get(..usize::from(row.length))?;
        let hit = ranges.iter().find(|range| range.lo <= port_key && port_key <= range.hi);
        Some(hit.map_or((row.allowed == 1, row.decider), |range| (range.allowed == 1, range.decider)))
    }
}

impl Store for NftStore {
    fn put_address(&mut self, address: IpAddr, index: u32) -> Result<bool, Error> {
        self.own(index, Owner::Address(address));
        self.addresses.insert(address, index);
        self.note(index);
        Ok(true)
    }

    fn delete_address(&mut self, address: IpAddr) -> Result<(), Error> {
        if let Some(index) = self.addresses.remove(&address) {
            self.write_index(index);
            self.owners[index as usize] = None;
        }
        Ok(())
    }

    fn put_prefix(&mut self, prefix: IpNet, index: u32) -> Result<bool, Error> {
        self.own(index, Owner::Prefix(prefix));
        self.prefixes.insert(prefix, index);
        self.prefix_changed(prefix);
        Ok(true)
    }

    fn delete_prefix(&mut self, prefix: IpNet) -> Result<(), Error> {
        if let Some(index) = self.prefixes.remove(&prefix) {
            self.owners[index as usize] = None;
            self.prefix_changed(prefix);
        }
        Ok(())
    }

    fn put_row(&mut self, key: RowKey, row: RawRow) -> Result<bool, Error> {
        let ranges = &self.ranges[row.offset as usize..][..usize::from(row.length)];
        let content = Content::new(row.allowed == 1, ranges);
        self.rows.insert(key, row);
        self.lead(key, content);
        Ok(true)
    }

    fn delete_row(&mut self, key: RowKey) -> Result<(), Error> {
        self.rows.remove(&key);
        if let Some(content) = self.of_row.remove(&key) {
            let entry = Element::entry(row_key(key), self.number(&content));
            self.changes.change(&self.names().rows(), Some(entry), None);
            self.unshare(&content);
        }
        Ok(())
    }

    fn write_ranges(&mut self, at: u32, ranges: &[RawRange]) {
        let (start, end) = (at as usize, at as usize + ranges.len());
        if self.ranges.len() < end {
            self.ranges.resize(end, RawRange { lo: 0, hi: 0, decider: 0, allowed: 0, pad: 0 });
        }
        self.ranges[start..end].copy_from_slice(ranges);
    }

    fn word(&self, index: u32, slot: usize) -> u64 {
        self.words.get(index as usize).map_or(0, |words| words[slot])
    }

    fn set_word(&mut self, index: u32, slot: usize, word: u64) {
        let at = index as usize;
        if self.owners.len() <= at {
            self.owners.resize(at + 1, None);
            self.words.resize(at + 1, [0; 2]);
            self.written.resize(at + 1, [0; 2]);
        }
        if mem::replace(&mut self.words[at][slot], word) == word {
            return;
        }
        match self.owners[at] {
            Some(Owner::Prefix(prefix)) => {
                let v4 = matches!(prefix, IpNet::V4(_));
                self.dirty_prefixes[usize::from(v4)][slot] = true;
            }
            _ => self.note(index),
        }
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn flip(&mut self, generation: u64) {
        self.generation = generation;
        let flipped = self.flush().and_then(|_| {
            if !self.attached {
                return Ok(());
            }
            let mut transaction = Transaction::new();
            for (chain, rules) in ruleset::dispatch(self.names(), active_slot(generation)) {
                replace(&self.table, &mut transaction, &chain, &rules);
            }
            self.socket.commit(transaction)
        });
        if let Err(error) = flipped {
            self.failed.get_or_insert(error);
        }
    }

    fn add_marks(&mut self, addresses: &mut dyn Iterator<Item = IpAddr>) {
        for address in addresses {
            if self.unplaced.insert(address) {
                self.mark(address, true);
            }
        }
    }

    fn replace_marks(&mut self, addresses: &mut dyn Iterator<Item = IpAddr>) {
        let wanted: BTreeSet<IpAddr> = addresses.collect();
        let has = mem::replace(&mut self.unplaced, wanted.clone());
        has.difference(&wanted).for_each(|address| self.mark(*address, false));
        wanted.difference(&has).for_each(|address| self.mark(*address, true));
    }

    fn begin_grace(&mut self) {
        self.grace.begin();
    }

    fn grace_over(&mut self, wait: bool) -> bool {
        let over = self.grace.is_over(wait);
        if over && let Err(error) = self.drain_log() {
            // The state before the flip goes now, and with it what its events mean.
            self.failed.get_or_insert(error);
        }
        over
    }

    /// Nothing: each epoch starts with sets of its own.
    fn contents(&self) -> Result<Contents, Error> {
        Ok(Contents::default())
    }
}

/// See [`super::table::Key::Row`].
fn row_key(key: RowKey) -> Vec<u8> {
    [&[0; 4][..], &key.to_bytes()].concat()
}

/// A range is an element where it begins and one behind its end.
fn elements_of(stretch: Stretch, v4: bool) -> Vec<Element> {
    let key = |number: u128| {
        if v4 { (number as u32).to_be_bytes().to_vec() } else { number.to_be_bytes().to_vec() }
    };
    let mut elements = vec![Element::entry(key(stretch.first), stretch.class)];
    let limit = if v4 { u128::from(u32::MAX) } else { u128::MAX };
    if stretch.last < limit {
        elements.push(Element { is_end: true, ..Element::key(key(stretch.last + 1)) });
    }
    elements
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// Where a direction's program is in a word.
pub(super) fn program_of(word: u64, direction: Direction) -> u32 {
    match direction {
        Direction::Egress => egress_of(word),
        Direction::Ingress => ingress_of(word),
    }
}
