//! Which names have which addresses, and until when.
//!
//! ```text
//! Answer --learn--> name -> address -> until --expire--> Changes (to the engine, to flow records)
//!                                       ^ keep: packets of this address were seen
//! ```
//!
//! Time is an argument, since boot; so is who asks for which names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::message::Answer;

/// How long answers count, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingLimits {
    /// No answer counts for less than that, whatever its TTL.
    pub floor: Duration,
    /// No answer counts for longer.
    pub ceiling: Duration,
    /// So much longer than its TTL counts an answer: clients are slow, and keep answers themselves.
    pub grace: Duration,
    /// So long after its last packet an address stays, whatever its answer's TTL: connections outlive answers.
    pub idle: Duration,
    /// Addresses of one name; a further one takes the place of the one that ends first.
    pub per_name: usize,
    /// Pairs of name and address that rules ask for; further ones are refused.
    pub wanted: usize,
    /// Pairs that no rule asks for, for the names of flows and for rules to come; the one that ends first makes room.
    pub others: usize,
}

impl Default for BindingLimits {
    fn default() -> Self {
        BindingLimits {
            floor: Duration::from_secs(5),
            ceiling: Duration::from_secs(7 * 24 * 3600),
            grace: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            per_name: 256,
            wanted: 8192,
            others: 8192,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Bindings {
    limits: BindingLimits,
    names: BTreeMap<Arc<str>, Name>,
    by_address: BTreeMap<IpAddr, BTreeSet<Arc<str>>>,
    /// When which pair ends: those that no rule asks for, and those that rules ask for.
    due: [BTreeSet<(Duration, Arc<str>, IpAddr)>; 2],
    /// What differs since changes were taken.
    changed_names: BTreeSet<Arc<str>>,
    changed_addresses: BTreeSet<IpAddr>,
    counts: BindingCounts,
}

/// What went over the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingCounts {
    /// Addresses of names that rules ask for which found no room.
    pub refused: u64,
    /// Addresses of such names that made room for others of the same name.
    pub replaced: u64,
    /// Addresses of other names that made room.
    pub crowded_out: u64,
}

/// What became different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names with all addresses that they have now, by name.
    pub names: Vec<(Arc<str>, Vec<IpAddr>)>,
    /// Addresses with all names that they have now, by address.
    pub addresses: Vec<(IpAddr, Arc<[Box<str>]>)>,
}

#[derive(Debug, Default)]
struct Name {
    until: BTreeMap<IpAddr, Duration>,
    /// A rule asks for it.
    is_wanted: bool,
}

impl Bindings {
    /// No name has an address.
    pub fn new(limits: BindingLimits) -> Bindings {
        Bindings {
            limits,
            names: BTreeMap::new(),
            by_address: BTreeMap::new(),
            due: Default::default(),
            changed_names: BTreeSet::new(),
            changed_addresses: BTreeSet::new(),
            counts: BindingCounts::default(),
        }
    }

    /// Replaces the limits. What is there already stays as it is.
    pub fn set_limits(&mut self, limits: BindingLimits) {
        self.limits = limits;
    }

    /// The limits.
    pub fn limits(&self) -> BindingLimits {
        self.limits
    }

    /// Takes an answer. `is_wanted` says whether a rule asks for a name.
    pub fn learn(&mut self, answer: &Answer, now: Duration, is_wanted: impl Fn(&str) -> bool) {
        for name in &answer.names {
            let is_wanted = is_wanted(name);
            for (ip, ttl) in &answer.addresses {
                let kept = (*ttl).clamp(self.limits.floor, self.limits.ceiling) + self.limits.grace;
                self.bind(name, *ip, now + kept, is_wanted);
            }
        }
    }

    /// Says that an address has this name at least until then: what a predecessor knew, or an answer told.
    pub fn bind(&mut self, name: &str, ip: IpAddr, until: Duration, is_wanted: bool) {
        if self.names.get(name).is_some_and(|known| known.is_wanted != is_wanted) {
            self.set_wanted(name, is_wanted);
        }
        if let Some(before) = self.names.get(name).and_then(|known| known.until.get(&ip)).copied() {
            self.extend(name, ip, before, until);
        } else if self.make_room(name, is_wanted) {
            let name: Arc<str> = match self.names.get_key_value(name) {
                Some((name, _)) => name.clone(),
                None => name.into(),
            };
            let known =
                self.names.entry(name.clone()).or_insert_with(|| Name { is_wanted, ..Name::default() });
            known.until.insert(ip, until);
            self.due[usize::from(is_wanted)].insert((until, name.clone(), ip));
            self.by_address.entry(ip).or_default().insert(name.clone());
            self.changed_names.insert(name);
            self.changed_addresses.insert(ip);
        }
    }

    /// Has room for one more address of a name, if need be by letting another go.
    fn make_room(&mut self, name: &str, is_wanted: bool) -> bool {
        let limits = self.limits;
        let of_name =
            self.names.get(name).map(|known| &known.until).filter(|ips| ips.len() >= limits.per_name);
        if let Some((until, ip)) = of_name.and_then(|ips| ips.iter().map(|(ip, until)| (*until, *ip)).min()) {
            self.remove(name, ip, until);
            self.counts.replaced += u64::from(is_wanted);
            self.counts.crowded_out += u64::from(!is_wanted);
        }
        let is_room =
            self.due[usize::from(is_wanted)].len() < if is_wanted { limits.wanted } else { limits.others };
        if is_room {
            return true;
        }
        if is_wanted {
            self.counts.refused += 1;
            return false;
        }
        let Some((until, name, ip)) = self.due[0].first().cloned() else { return false };
        self.remove(&name, ip, until);
        self.counts.crowded_out += 1;
        true
    }

    fn extend(&mut self, name: &str, ip: IpAddr, before: Duration, until: Duration) {
        if until <= before {
            return;
        }
        let Some((name, _)) = self.names.get_key_value(name) else { return };
        let name = name.clone();
        let Some(known) = self.names.get_mut(&name) else { return };
        known.until.insert(ip, until);
        let due = &mut self.due[usize::from(known.is_wanted)];
        due.remove(&(before, name.clone(), ip));
        due.insert((until, name, ip));
    }

    fn remove(&mut self, name: &str, ip: IpAddr, until: Duration) {
        let Some((name, _)) = self.names.get_key_value(name) else { return };
        let name = name.clone();
        let Some(known) = self.names.get_mut(&name) else { return };
        known.until.remove(&ip);
        self.due[usize::from(known.is_wanted)].remove(&(until, name.clone(), ip));
        if known.until.is_empty() {
            self.names.remove(&name);
        }
        if let Some(names) = self.by_address.get_mut(&ip) {
            names.remove(&name);
            if names.is_empty() {
                self.by_address.remove(&ip);
            }
        }
        self.changed_names.insert(name);
        self.changed_addresses.insert(ip);
    }

    /// Packets of an address were seen: what names it has, it keeps for a while.
    pub fn keep(&mut self, ip: IpAddr, now: Duration) {
        let Some(names) = self.by_address.get(&ip) else { return };
        let until = now + self.limits.idle;
        // Each second would be work for nothing.
        let is_near = |before: Duration| before < now + self.limits.idle / 2;
        let near = names.iter().filter_map(|name| {
            let before = self.names.get(name)?.until.get(&ip)?;
            is_near(*before).then(|| (name.clone(), *before))
        });
        for (name, before) in near.collect::<Vec<_>>() {
            self.extend(&name, ip, before, until);
        }
    }

    /// Lets go of what has ended.
    pub fn expire(&mut self, now: Duration) {
        for wanted in 0..2 {
            while let Some((until, name, ip)) = self.due[wanted].first().filter(|(until, ..)| *until <= now) {
                let (until, name, ip) = (*until, name.clone(), *ip);
                self.remove(&name, ip, until);
            }
        }
    }

    /// Says that rules changed, and which names they ask for now.
    pub fn review(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let turned: Vec<(Arc<str>, bool)> = self
            .names
            .iter()
            .map(|(name, known)| (name.clone(), known.is_wanted, is_wanted(name)))
            .filter(|(_, before, after)| before != after)
            .map(|(name, _, after)| (name, after))
            .collect();
        for (name, is_wanted) in turned {
            self.set_wanted(&name, is_wanted);
        }
    }

    fn set_wanted(&mut self, name: &str, is_wanted: bool) {
        let Some((name, _)) = self.names.get_key_value(name) else { return };
        let name = name.clone();
        let Some(known) = self.names.get_mut(&name) else { return };
        known.is_wanted = is_wanted;
        for (ip, until) in &known.until {
            let pair = (*until, name.clone(), *ip);
            self.due[usize::from(!is_wanted)].remove(&pair);
            self.due[usize::from(is_wanted)].insert(pair);
        }
    }

    /// What became different since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        let names = std::mem::take(&mut self.changed_names).into_iter().map(|name| {
            let addresses = self.names.get(&name).map(|known| known.until.keys().copied().collect());
            (name, addresses.unwrap_or_default())
        });
        let addresses = std::mem::take(&mut self.changed_addresses).into_iter().map(|ip| {
            let names = self.by_address.get(&ip).into_iter().flatten().map(|name| Box::from(&**name));
            (ip, names.collect())
        });
        Changes { names: names.collect(), addresses: addresses.collect() }
    }

    /// All names with their addresses, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, Vec<IpAddr>)> {
        self.names.iter().map(|(name, known)| (&**name, known.until.keys().copied().collect()))
    }

    /// All pairs that rules ask for, with when they end: what a successor should know.
    pub fn wanted(&self) -> impl Iterator<Item = (&str, IpAddr, Duration)> {
        self.due[1].iter().map(|(until, name, ip)| (&**name, *ip, *until))
    }

    /// How many pairs there are that rules ask for, and others.
    pub fn len(&self) -> (usize, usize) {
        (self.due[1].len(), self.due[0].len())
    }

    /// Whether no name has an address.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What went over the limits.
    pub fn counts(&self) -> BindingCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests;
