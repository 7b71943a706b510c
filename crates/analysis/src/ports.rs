//! Sets of protocols and ports.

use std::fmt;

use podgate_api::Protocol;
use podgate_policy::{PortKey, Row, Verdict};
use rustc_hash::FxHashMap;

/// A set of protocols and ports: sorted, disjoint, not touching, inclusive ranges of [`PortKey`] numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortSet {
    ranges: Vec<(u32, u32)>,
}

impl PortSet {
    /// No port at all.
    pub fn none() -> Self {
        PortSet::default()
    }

    /// Every protocol and port.
    pub fn all() -> Self {
        PortSet { ranges: vec![(0, PortKey::MAX.0)] }
    }

    /// Ports of one IANA protocol, both ends inclusive.
    pub fn range(protocol: u8, first: u16, last: u16) -> Self {
        PortSet { ranges: vec![(PortKey::new(protocol, first).0, PortKey::new(protocol, last).0)] }
    }

    /// One port.
    pub fn port(protocol: Protocol, port: u16) -> Self {
        PortSet::range(protocol.number(), port, port)
    }

    /// Every port of one protocol.
    pub fn protocol(protocol: Protocol) -> Self {
        PortSet::range(protocol.number(), 0, u16::MAX)
    }

    /// Every port of TCP, UDP and SCTP: what Kubernetes policies can name.
    pub fn named_protocols() -> Self {
        Protocol::ALL.into_iter().map(PortSet::protocol).fold(PortSet::none(), |all, one| all.union(&one))
    }

    /// Where a verdict table's row allows.
    pub fn allowed(row: &Row) -> Self {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        let mut push = |lo: u32, hi: u32| match ranges.last_mut() {
            Some(last) if last.1 + 1 == lo => last.1 = hi,
            _ => ranges.push((lo, hi)),
        };
        let otherwise = row.otherwise.verdict == Verdict::Allowed;
        let mut next = 0;
        for range in &row.ranges {
            if otherwise && next < range.lo.0 {
                push(next, range.lo.0 - 1);
            }
            if range.outcome.verdict == Verdict::Allowed {
                push(range.lo.0, range.hi.0);
            }
            next = range.hi.0 + 1;
        }
        if otherwise && next <= PortKey::MAX.0 {
            push(next, PortKey::MAX.0);
        }
        PortSet { ranges }
    }

    /// The ranges, as [`PortKey`] numbers.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the set holds every protocol and port.
    pub fn is_all(&self) -> bool {
        self.ranges == [(0, PortKey::MAX.0)]
    }

    /// Whether the set holds a port.
    pub fn contains(&self, key: PortKey) -> bool {
        let after = self.ranges.partition_point(|(lo, _)| *lo <= key.0);
        after > 0 && key.0 <= self.ranges[after - 1].1
    }

    /// What is in either set.
    pub fn union(&self, other: &PortSet) -> PortSet {
        let mut all: Vec<(u32, u32)> = self.ranges.iter().chain(&other.ranges).copied().collect();
        all.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::with_capacity(all.len());
        for (lo, hi) in all {
            match ranges.last_mut() {
                Some(last) if lo <= last.1.saturating_add(1) => last.1 = last.1.max(hi),
                _ => ranges.push((lo, hi)),
            }
        }
        PortSet { ranges }
    }

    /// What is in both sets.
    pub fn intersection(&self, other: &PortSet) -> PortSet {
        let (mut i, mut j) = (0, 0);
        let mut ranges = Vec::new();
        while let (Some(a), Some(b)) = (self.ranges.get(i), other.ranges.get(j)) {
            let (lo, hi) = (a.0.max(b.0), a.1.min(b.1));
            if lo <= hi {
                ranges.push((lo, hi));
            }
            if a.1 < b.1 { i += 1 } else { j += 1 }
        }
        PortSet { ranges }
    }

    /// What is in this set and not in the other.
    pub fn difference(&self, other: &PortSet) -> PortSet {
        self.intersection(&other.complement())
    }

    /// What is not in the set.
    pub fn complement(&self) -> PortSet {
        let mut ranges = Vec::new();
        let mut next = 0;
        for (lo, hi) in &self.ranges {
            if next < *lo {
                ranges.push((next, lo - 1));
            }
            next = hi + 1;
        }
        if next <= PortKey::MAX.0 {
            ranges.push((next, PortKey::MAX.0));
        }
        PortSet { ranges }
    }

    /// Whether all of this set is in the other.
    pub fn is_subset(&self, other: &PortSet) -> bool {
        self.difference(other).is_empty()
    }

    /// The ports of one protocol, inclusive; `(0, 65535)` for all of them.
    pub fn of(&self, protocol: Protocol) -> Vec<(u16, u16)> {
        let only = self.intersection(&PortSet::protocol(protocol));
        only.ranges.iter().map(|(lo, hi)| (PortKey(*lo).port(), PortKey(*hi).port())).collect()
    }

    /// Whether the set treats every protocol that has no ports in policies (ICMP and the like) alike,
    /// and if so, whether it holds them.
    pub fn others(&self) -> Option<bool> {
        let rest = PortSet::named_protocols().complement();
        let held = self.intersection(&rest);
        if held.is_empty() {
            Some(false)
        } else if held == rest {
            Some(true)
        } else {
            None
        }
    }
}

/// `all`, `none`, `TCP 80,443,8000-8100, UDP 53`, `TCP`, or `all but TCP 80`.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        if self.others() == Some(true) {
            let missing = self.complement();
            f.write_str("all but ")?;
            return write_protocols(&missing, f);
        }
        write_protocols(self, f)
    }
}

fn write_protocols(set: &PortSet, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut first = true;
    let mut separate = |f: &mut fmt::Formatter<'_>| -> fmt::Result {
        if !std::mem::take(&mut first) { f.write_str(", ") } else { Ok(()) }
    };
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let ports = set.of(protocol);
        if ports.is_empty() {
            continue;
        }
        separate(f)?;
        write!(f, "{protocol}")?;
        let mut lead = " ";
        for (lo, hi) in ports {
            match (lo, hi) {
                (0, u16::MAX) => {}
                (lo, hi) if lo == hi => write!(f, "{lead}{lo}")?,
                (lo, hi) => write!(f, "{lead}{lo}-{hi}")?,
            }
            lead = ",";
        }
    }
    let rest = set.intersection(&PortSet::named_protocols().complement());
    if rest.is_empty() {
        return Ok(());
    }
    const ICMP: [(u8, &str); 2] = [(1, "ICMP"), (58, "ICMPv6")];
    let mut known = PortSet::none();
    for (number, name) in ICMP {
        let whole = PortSet::range(number, 0, u16::MAX);
        let held = rest.intersection(&whole);
        known = known.union(&whole);
        if held.is_empty() || set.others() == Some(true) {
            continue;
        }
        separate(f)?;
        f.write_str(name)?;
        if held != whole {
            let types: Vec<String> = held
                .ranges
                .iter()
                .map(|(lo, hi)| match (PortKey(*lo).port(), PortKey(*hi).port()) {
                    (lo, hi) if lo == hi => lo.to_string(),
                    (lo, hi) => format!("{lo}-{hi}"),
                })
                .collect();
            write!(f, " type {}", types.join(","))?;
        }
    }
    if !rest.difference(&known).is_empty() {
        separate(f)?;
        f.write_str("other protocols")?;
    }
    Ok(())
}

/// Number of a set in [`PortSets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortSetId(pub u32);

impl PortSetId {
    /// The empty set.
    pub const NONE: PortSetId = PortSetId(0);
    /// The set of everything.
    pub const ALL: PortSetId = PortSetId(1);
}

/// Each set once, with its intersections remembered: relations of many pairs know few different sets.
#[derive(Clone, Debug)]
pub struct PortSets {
    sets: Vec<PortSet>,
    ids: FxHashMap<PortSet, PortSetId>,
    both: FxHashMap<(PortSetId, PortSetId), PortSetId>,
}

impl Default for PortSets {
    fn default() -> Self {
        let mut sets = PortSets { sets: Vec::new(), ids: FxHashMap::default(), both: FxHashMap::default() };
        sets.id(PortSet::none());
        sets.id(PortSet::all());
        sets
    }
}

impl PortSets {
    /// The number of a set.
    pub fn id(&mut self, set: PortSet) -> PortSetId {
        if let Some(id) = self.ids.get(&set) {
            return *id;
        }
        let id = PortSetId(self.sets.len() as u32);
        self.sets.push(set.clone());
        self.ids.insert(set, id);
        id
    }

    /// The set of a number.
    pub fn get(&self, id: PortSetId) -> &PortSet {
        &self.sets[id.0 as usize]
    }

    /// What is in both sets.
    pub fn intersection(&mut self, a: PortSetId, b: PortSetId) -> PortSetId {
        match (a, b) {
            (PortSetId::NONE, _) | (_, PortSetId::NONE) => return PortSetId::NONE,
            (PortSetId::ALL, other) | (other, PortSetId::ALL) => return other,
            _ if a == b => return a,
            _ => {}
        }
        let pair = (a.min(b), a.max(b));
        if let Some(id) = self.both.get(&pair) {
            return *id;
        }
        let both = self.get(a).intersection(self.get(b));
        let id = self.id(both);
        self.both.insert(pair, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(set: &PortSet, text: &str) {
        assert_eq!(set.to_string(), text);
    }

    #[test]
    fn sets_read_as_people_write_them() {
        check(&PortSet::all(), "all");
        check(&PortSet::none(), "none");
        let web = PortSet::port(Protocol::Tcp, 443).union(&PortSet::port(Protocol::Tcp, 80));
        check(&web, "TCP 80,443");
        check(&web.union(&PortSet::port(Protocol::Udp, 53)), "TCP 80,443, UDP 53");
        check(&PortSet::range(6, 8000, 8100), "TCP 8000-8100");
        check(&PortSet::protocol(Protocol::Sctp), "SCTP");
        check(&PortSet::port(Protocol::Tcp, 80).complement(), "all but TCP 80");
        check(&PortSet::named_protocols(), "TCP, UDP, SCTP");
        check(&PortSet::range(1, 8, 8), "ICMP type 8");
        check(&PortSet::range(1, 0, u16::MAX).difference(&PortSet::range(1, 8, 8)), "ICMP type 0-7,9-65535");
    }

    #[test]
    fn a_set_and_its_complement_share_nothing_and_lack_nothing() {
        for set in
            [PortSet::none(), PortSet::all(), PortSet::range(6, 0, 10), PortSet::range(255, 9, u16::MAX)]
        {
            assert!(set.intersection(&set.complement()).is_empty());
            assert!(set.union(&set.complement()).is_all());
            assert_eq!(set.complement().complement(), set);
        }
    }

    #[test]
    fn numbers_of_sets_intersect_as_the_sets_do() {
        let mut sets = PortSets::default();
        let a = sets.id(PortSet::range(6, 10, 20));
        let b = sets.id(PortSet::range(6, 15, 30));
        let both = sets.intersection(a, b);
        assert_eq!(*sets.get(both), PortSet::range(6, 15, 20));
        assert_eq!(sets.intersection(a, PortSetId::ALL), a);
        assert_eq!(sets.intersection(PortSetId::NONE, b), PortSetId::NONE);
    }
}
