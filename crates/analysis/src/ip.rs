//! Sets of addresses of one family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

use crate::world::Family;

/// A set of addresses of one family: sorted, disjoint, not touching, inclusive ranges of address numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpSet {
    family: Family,
    ranges: Vec<(u128, u128)>,
}

/// Addresses that no router of the internet forwards to: private, shared, local, documentation, multicast
/// and reserved ones (the IANA special-purpose registries).
const NOT_PUBLIC: [&str; 26] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

fn last(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX.into(),
        Family::V6 => u128::MAX,
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

impl IpSet {
    /// No address.
    pub fn none(family: Family) -> IpSet {
        IpSet { family, ranges: Vec::new() }
    }

    /// Every address.
    pub fn all(family: Family) -> IpSet {
        IpSet { family, ranges: vec![(0, last(family))] }
    }

    /// The addresses of a network.
    pub fn net(net: IpNet) -> IpSet {
        let range = (number(net.network()), number(net.broadcast()));
        IpSet { family: Family::of(net.addr()), ranges: vec![range] }
    }

    /// One address.
    pub fn address(ip: IpAddr) -> IpSet {
        IpSet { family: Family::of(ip), ranges: vec![(number(ip), number(ip))] }
    }

    /// The addresses that routers of the internet forward to.
    pub fn public(family: Family) -> IpSet {
        let mut set = IpSet::all(family);
        for net in NOT_PUBLIC {
            let net: IpNet = net.parse().expect("a network written here");
            if Family::of(net.addr()) == family {
                set = set.difference(&IpSet::net(net));
            }
        }
        set
    }

    /// From ranges in any order.
    pub fn from_ranges(family: Family, mut ranges: Vec<(u128, u128)>) -> IpSet {
        ranges.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (lo, hi) in ranges {
            match joined.last_mut() {
                Some(last) if lo <= last.1.saturating_add(1) => last.1 = last.1.max(hi),
                _ => joined.push((lo, hi)),
            }
        }
        IpSet { family, ranges: joined }
    }

    /// The first ranges of another set.
    pub fn from_first_ranges(set: &IpSet, most: usize) -> IpSet {
        IpSet { family: set.family, ranges: set.ranges.iter().take(most).copied().collect() }
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the set holds every address of the family.
    pub fn is_all(&self) -> bool {
        self.ranges == [(0, last(self.family))]
    }

    /// Whether the set holds an address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let after = self.ranges.partition_point(|(lo, _)| *lo <= number(ip));
        Family::of(ip) == self.family && after > 0 && number(ip) <= self.ranges[after - 1].1
    }

    /// What is in either set; both are of one family.
    pub fn union(&self, other: &IpSet) -> IpSet {
        debug_assert_eq!(self.family, other.family);
        IpSet::from_ranges(self.family, self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// What is in both sets.
    pub fn intersection(&self, other: &IpSet) -> IpSet {
        let mut ranges = Vec::new();
        if self.family == other.family {
            let (mut i, mut j) = (0, 0);
            while let (Some(a), Some(b)) = (self.ranges.get(i), other.ranges.get(j)) {
                let (lo, hi) = (a.0.max(b.0), a.1.min(b.1));
                if lo <= hi {
                    ranges.push((lo, hi));
                }
                if a.1 < b.1 { i += 1 } else { j += 1 }
            }
        }
        IpSet { family: self.family, ranges }
    }

    /// What is in this set and not in the other.
    pub fn difference(&self, other: &IpSet) -> IpSet {
        if self.family != other.family {
            return self.clone();
        }
        let mut rest = Vec::new();
        let mut next = Some(0);
        for (lo, hi) in &other.ranges {
            if let Some(from) = next.filter(|from| from < lo) {
                rest.push((from, lo - 1));
            }
            next = hi.checked_add(1);
        }
        if let Some(from) = next.filter(|from| *from <= last(self.family)) {
            rest.push((from, last(self.family)));
        }
        self.intersection(&IpSet { family: self.family, ranges: rest })
    }

    /// The ranges: first and last address.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> + '_ {
        self.ranges.iter().map(|(lo, hi)| (self.ip(*lo), self.ip(*hi)))
    }

    /// The fewest networks that hold exactly these addresses.
    pub fn nets(&self) -> Vec<IpNet> {
        let mut nets: Vec<IpNet> = Vec::new();
        for (lo, hi) in self.ranges() {
            match (lo, hi) {
                (IpAddr::V4(lo), IpAddr::V4(hi)) if hi == Ipv4Addr::BROADCAST && lo.is_unspecified() => {
                    nets.push(Ipv4Net::default().into());
                }
                (IpAddr::V4(lo), IpAddr::V4(hi)) => {
                    nets.extend(Ipv4Subnets::new(lo, hi, 0).map(IpNet::from));
                }
                (IpAddr::V6(lo), IpAddr::V6(hi)) if u128::from(hi) == u128::MAX && lo.is_unspecified() => {
                    nets.push(Ipv6Net::default().into());
                }
                (IpAddr::V6(lo), IpAddr::V6(hi)) => {
                    nets.extend(Ipv6Subnets::new(lo, hi, 0).map(IpNet::from));
                }
                _ => unreachable!("a set has addresses of one family"),
            }
        }
        nets
    }

    /// The first address.
    pub fn first(&self) -> Option<IpAddr> {
        self.ranges.first().map(|(lo, _)| self.ip(*lo))
    }

    fn ip(&self, number: u128) -> IpAddr {
        match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(number as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }
}

/// Networks where they are few, otherwise ranges: `10.0.0.0/8`, `0.0.0.0-9.255.255.255`.
impl fmt::Display for IpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (lo, hi)) in self.ranges().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            let one = IpSet { family: self.family, ranges: vec![(number(lo), number(hi))] };
            match one.nets()[..] {
                _ if lo == hi => write!(f, "{lo}")?,
                [net] => write!(f, "{net}")?,
                _ => write!(f, "{lo}-{hi}")?,
            }
        }
        Ok(())
    }
}

/// Disjoint sets by longest matching prefix: what each label's prefixes hold that no longer prefix takes.
pub fn by_longest_prefix<L: Copy + Ord>(
    family: Family,
    prefixes: impl Iterator<Item = (IpNet, L)>,
) -> Vec<(L, IpSet)> {
    let mut nets: Vec<(u128, u128, L)> = prefixes
        .filter(|(net, _)| Family::of(net.addr()) == family)
        .map(|(net, label)| (number(net.network()), number(net.broadcast()), label))
        .collect();
    nets.sort_unstable_by_key(|(lo, hi, _)| (*lo, std::cmp::Reverse(*hi)));
    let mut pieces: Vec<(L, (u128, u128))> = Vec::new();
    // Prefixes are nested or apart, so those that hold the current address are a stack.
    let mut open: Vec<(u128, L)> = Vec::new();
    let mut next: Option<u128> = Some(0);
    let mut close_until = |limit: Option<u128>, open: &mut Vec<(u128, L)>, next: &mut Option<u128>| {
        while let Some((hi, label)) = open.last().copied() {
            if limit.is_some_and(|limit| hi >= limit) {
                break;
            }
            open.pop();
            if let Some(from) = next.filter(|from| *from <= hi) {
                pieces.push((label, (from, hi)));
                *next = hi.checked_add(1);
            }
        }
        if let (Some(limit), Some((_, label)), Some(from)) = (limit, open.last(), *next)
            && from < limit
        {
            pieces.push((*label, (from, limit - 1)));
        }
    };
    for (lo, hi, label) in nets {
        close_until(Some(lo), &mut open, &mut next);
        next = Some(lo);
        open.push((hi, label));
    }
    close_until(None, &mut open, &mut next);
    pieces.sort_unstable();
    let mut sets: Vec<(L, Vec<(u128, u128)>)> = Vec::new();
    for (label, range) in pieces {
        match sets.last_mut() {
            Some((last, ranges)) if *last == label => ranges.push(range),
            _ => sets.push((label, vec![range])),
        }
    }
    sets.into_iter().map(|(label, ranges)| (label, IpSet::from_ranges(family, ranges))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_hole_splits_a_network() {
        let set = IpSet::net(net("10.0.0.0/8")).difference(&IpSet::net(net("10.1.0.0/16")));
        assert_eq!(set.to_string(), "10.0.0.0/16, 10.2.0.0-10.255.255.255");
        assert!(set.contains("10.0.3.4".parse().unwrap()) && !set.contains("10.1.0.0".parse().unwrap()));
        assert_eq!(set.union(&IpSet::net(net("10.1.0.0/16"))), IpSet::net(net("10.0.0.0/8")));
    }

    #[test]
    fn the_ends_of_both_families_are_there() {
        for family in [Family::V4, Family::V6] {
            let all = IpSet::all(family);
            assert!(all.is_all() && all.difference(&all).is_empty());
            assert_eq!(all.nets().len(), 1);
            let public = IpSet::public(family);
            assert_eq!(all.difference(&all.difference(&public)), public);
        }
    }

    #[test]
    fn the_longest_prefix_takes_its_addresses() {
        let prefixes =
            [(net("0.0.0.0/0"), 1), (net("10.0.0.0/8"), 2), (net("10.1.0.0/16"), 1), (net("::/0"), 9)];
        let sets = by_longest_prefix(Family::V4, prefixes.into_iter());
        assert_eq!(sets.len(), 2);
        assert_eq!(sets[0].1.to_string(), "0.0.0.0-9.255.255.255, 10.1.0.0/16, 11.0.0.0-255.255.255.255");
        assert_eq!(sets[1].1.to_string(), "10.0.0.0/16, 10.2.0.0-10.255.255.255");
        let whole = sets[0].1.union(&sets[1].1);
        assert!(whole.is_all());
        assert_eq!(by_longest_prefix(Family::V6, prefixes.into_iter())[0].1.to_string(), "::/0");
    }
}
