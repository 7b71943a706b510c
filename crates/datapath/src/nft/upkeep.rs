//! What has to be there besides elements: the table, its chains and sets, and the rules that lead packets to them.

use std::collections::BTreeMap;
use std::mem;

use super::changes::Changes;
use super::names::{COUNTERS, Names, SUPPRESSED, denied_counter};
use super::netlink::{Kind, Socket, Transaction, attributes, be64, find, text};
use super::rule::Rule;
use super::ruleset;
use super::store::NftStore;
use super::table::Table;
use crate::publish::store::Store;
use crate::publish::words::active_slot;
use crate::{Error, Reason};

const POST_ROUTING: u32 = 4;
const FORWARD: u32 = 2;
/// Just before source NAT, which is at 100.
const PRIORITY: i32 = 99;
/// Where others filter.
const FILTER: i32 = 0;
const BASE: [&str; 2] = ["postrouting", "forward"];

impl NftStore {
    pub(super) fn create(&mut self) -> Result<(), Error> {
        let mut transaction = Transaction::new();
        let table = &self.table;
        table.create(&mut transaction);
        let counters = COUNTERS.into_iter().chain([SUPPRESSED]).map(str::to_owned);
        for counter in counters.chain(Reason::ALL.map(denied_counter)) {
            table.counter(&mut transaction, &counter);
        }
        for (number, (set, key, shape)) in self.fixed.names.sets().into_iter().enumerate() {
            table.set(&mut transaction, &set, key, shape, number as u32 + 1);
        }
        let chains = ruleset::chains(&self.fixed);
        for (chain, _) in &chains {
            table.chain(&mut transaction, chain);
        }
        for (chain, rules) in &chains {
            rules.iter().for_each(|rule| table.rule(&mut transaction, chain, rule));
        }
        self.socket.commit(transaction).map_err(|error| match error {
            Error::Io { source, .. } => Error::Rules { source },
            other => other,
        })?;
        self.created = true;
        self.parts = (chains.len(), self.fixed.names.sets().len());
        Ok(())
    }

    /// Leads all packets to this epoch, if they aren't.
    pub(super) fn attach(&mut self) -> Result<(), Error> {
        if self.attached {
            return Ok(());
        }
        let names = self.names();
        let mut transaction = Transaction::new();
        let table = &self.table;
        table.base_chain(&mut transaction, BASE[0], POST_ROUTING, PRIORITY);
        table.base_chain(&mut transaction, BASE[1], FORWARD, FILTER);
        let dispatch = ruleset::dispatch(names, active_slot(self.generation));
        dispatch.iter().for_each(|(chain, _)| table.chain(&mut transaction, chain));
        let base = BASE.map(str::to_owned).into_iter().zip([ruleset::postrouting(), ruleset::forward(names)]);
        for (chain, rules) in dispatch.into_iter().chain(base) {
            replace(table, &mut transaction, &chain, &rules);
        }
        self.socket.commit(transaction)?;
        self.attached = true;
        self.seen = self.socket.generation()?;
        Ok(())
    }

    /// Removes what other epochs left, after the last packet has left it.
    pub(super) fn sweep(&mut self) -> Result<(), Error> {
        let epoch = self.names().epoch;
        let old = |name: &String| Names::epoch_of(name).is_some_and(|found| found != epoch);
        let chains: Vec<String> =
            names_in(&self.table, &mut self.socket, Kind::GetChain)?.into_iter().filter(old).collect();
        let sets: Vec<String> =
            names_in(&self.table, &mut self.socket, Kind::GetSet)?.into_iter().filter(old).collect();
        if chains.is_empty() && sets.is_empty() {
            return Ok(());
        }
        self.begin_grace();
        self.grace_over(true);
        let mut transaction = Transaction::new();
        chains.iter().for_each(|chain| self.table.empty_chain(&mut transaction, chain));
        chains.iter().for_each(|chain| self.table.delete_chain(&mut transaction, chain));
        sets.iter().for_each(|set| self.table.delete_set(&mut transaction, set));
        self.socket.commit(transaction)
    }

    /// Whether somebody has changed what leads packets here.
    pub(super) fn is_disturbed(&mut self) -> Result<bool, Error> {
        let now = self.socket.generation()?;
        if now == self.seen || !self.attached {
            return Ok(false);
        }
        let expected = ruleset::dispatch(self.names(), active_slot(self.generation));
        let mut rules: Vec<(String, usize)> =
            expected.iter().map(|(chain, rules)| (chain.clone(), rules.len())).collect();
        rules.push((BASE[0].to_owned(), ruleset::postrouting().len()));
        rules.push((BASE[1].to_owned(), ruleset::forward(self.names()).len()));
        for (chain, count) in rules {
            if rules_in(&self.table, &mut self.socket, &chain)? != count {
                return Ok(true);
            }
        }
        let count = |found: &[String]| {
            found.iter().filter(|name| name.starts_with(&self.fixed.names.chain(""))).count()
        };
        let chains = names_in(&self.table, &mut self.socket, Kind::GetChain)?;
        let sets = names_in(&self.table, &mut self.socket, Kind::GetSet)?;
        self.seen = now;
        Ok((count(&chains), count(&sets)) != self.parts)
    }

    /// Makes everything anew, beside what is left of it.
    pub(super) fn restore(&mut self) -> Result<(), Error> {
        self.drain_log()?;
        self.fixed.names.epoch += 1;
        (self.created, self.attached, self.in_guards) = (false, false, None);
        self.changes = Changes::default();
        self.written.fill([0; 2]);
        self.dirty = (0..self.owners.len() as u32).collect();
        self.stretches = Default::default();
        self.dirty_prefixes = [[true; 2]; 2];
        self.contents.clear();
        for (key, content) in mem::take(&mut self.of_row) {
            self.lead(key, content);
        }
        for address in self.unplaced.clone() {
            self.mark(address, true);
        }
        self.flush()?;
        self.attach()?;
        self.sweep()
    }

    /// The counters by name: packets and bytes.
    pub(super) fn counters(&self, socket: &mut Socket) -> Result<BTreeMap<String, (u64, u64)>, Error> {
        let mut counters = BTreeMap::new();
        let mut attrs = self.table.named();
        attrs.u32(3, super::table::COUNTER);
        socket.dump(Kind::GetObject, &attrs, |object| {
            let data = find(object, 4).unwrap_or_default();
            let value = |kind| find(data, kind).and_then(be64).unwrap_or_default();
            if find(object, 1).map(text) == Some(self.table.0.as_str()) {
                let name = find(object, 2).map(text).unwrap_or_default();
                counters.insert(name.to_owned(), (value(2), value(1)));
            }
        })?;
        Ok(counters)
    }
}

pub(super) fn replace(table: &Table, transaction: &mut Transaction, chain: &str, rules: &[Rule]) {
    table.empty_chain(transaction, chain);
    rules.iter().for_each(|rule| table.rule(transaction, chain, rule));
}

/// The names of the chains or sets of a table.
pub(super) fn names_in(table: &Table, socket: &mut Socket, kind: Kind) -> Result<Vec<String>, Error> {
    let name = if kind == Kind::GetChain { 3 } else { 2 };
    let mut found = Vec::new();
    socket.dump(kind, &table.named(), |object| {
        let mut own = (None, None);
        for (kind, value) in attributes(object) {
            match kind {
                1 => own.0 = Some(text(value)),
                kind if kind == name => own.1 = Some(text(value)),
                _ => {}
            }
        }
        if own.0 == Some(table.0.as_str()) {
            found.extend(own.1.map(str::to_owned));
        }
    })?;
    Ok(found)
}

fn rules_in(table: &Table, socket: &mut Socket, chain: &str) -> Result<usize, Error> {
    let mut attrs = table.named();
    attrs.text(2, chain);
    let mut count = 0;
    socket.dump(Kind::GetRule, &attrs, |rule| {
        let is = |kind, name: &str| find(rule, kind).map(text) == Some(name);
        count += usize::from(is(1, &table.0) && is(2, chain));
    })?;
    Ok(count)
}
