//! From what the engine says to what sets of ranges hold: prefixes without overlap, and boxes of ports.

use podgate_policy::PortKey;

use crate::publish::layout::RawRange;

/// Addresses of one class, first and last, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Stretch {
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) class: u32,
}

/// What the longest prefix says, for every address. `prefixes` are sorted by first address, then the widest first.
pub(super) fn flatten(prefixes: impl Iterator<Item = Stretch>) -> Vec<Stretch> {
    let mut flat: Vec<Stretch> = Vec::new();
    let mut around: Vec<Stretch> = Vec::new();
    // The first address that nothing was said of yet; none after the last one of all.
    let mut next = Some(0);
    let mut say = |first: Option<u128>, last: u128, class: u32| match first {
        Some(first) if first <= last => match flat.last_mut() {
            Some(before) if before.class == class && before.last + 1 == first => before.last = last,
            _ => flat.push(Stretch { first, last, class }),
        },
        _ => {}
    };
    for prefix in prefixes {
        while let Some(outer) = around.pop_if(|outer| outer.last < prefix.first) {
            say(next, outer.last, outer.class);
            next = next.max(outer.last.checked_add(1));
        }
        if let Some(outer) = around.last()
            && let Some(before) = prefix.first.checked_sub(1)
        {
            say(next, before, outer.class);
        }
        next = Some(prefix.first);
        around.push(prefix);
    }
    while let Some(outer) = around.pop() {
        say(next, outer.last, outer.class);
        match outer.last.checked_add(1) {
            Some(after) => next = next.max(Some(after)),
            None => break,
        }
    }
    flat
}

/// Protocols and ports, first and last of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ports {
    pub(super) protocols: (u8, u8),
    pub(super) ports: (u16, u16),
}

/// What a verdict table allows, without who decided: what it says of ports that it doesn't name, and the ports
/// for which it says the contrary.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Content {
    pub(super) otherwise: bool,
    pub(super) contrary: Vec<Ports>,
}

impl Content {
    pub(super) fn new(otherwise: bool, ranges: &[RawRange]) -> Content {
        let mut joined: Vec<(u32, u32)> = Vec::new();
        for range in ranges.iter().filter(|range| (range.allowed == 1) != otherwise) {
            match joined.last_mut() {
                Some((_, last)) if *last + 1 == range.lo => *last = range.hi,
                _ => joined.push((range.lo, range.hi)),
            }
        }
        Content { otherwise, contrary: joined.into_iter().flat_map(|(lo, hi)| boxes(lo, hi)).collect() }
    }
}

/// Splits a range of port keys where its protocols aren't whole.
fn boxes(lo: u32, hi: u32) -> Vec<Ports> {
    let (lo, hi) = (PortKey(lo), PortKey(hi));
    let (mut first, mut last) = (u16::from(lo.protocol()), u16::from(hi.protocol()));
    let one = |protocol: u8, ports| Ports { protocols: (protocol, protocol), ports };
    if first == last {
        return vec![one(lo.protocol(), (lo.port(), hi.port()))];
    }
    let mut boxes = Vec::new();
    if lo.port() > 0 {
        boxes.push(one(lo.protocol(), (lo.port(), u16::MAX)));
        first += 1;
    }
    if hi.port() < u16::MAX {
        boxes.push(one(hi.protocol(), (0, hi.port())));
        last -= 1;
    }
    if first <= last {
        boxes.push(Ports { protocols: (first as u8, last as u8), ports: (0, u16::MAX) });
    }
    boxes
}

impl Ports {
    /// So many ports of one protocol are better looked up one by one than as a range.
    const FEW: u16 = 16;

    /// The single ports, when they are few.
    pub(super) fn singles(self) -> Option<impl Iterator<Item = Ports>> {
        let (first, last) = self.ports;
        let few = self.protocols.0 == self.protocols.1 && last - first < Self::FEW;
        few.then(|| (first..=last).map(move |port| Ports { ports: (port, port), ..self }))
    }

    /// The two keys in sets of ports: nothing, table, protocol, port, each of four bytes.
    pub(super) fn keys(self, table: u32) -> [Vec<u8>; 2] {
        let key = |protocol: u8, port: u16, is_last: bool| {
            let port = match self.protocols {
                // There the key begins with the message's type, and its code is masked.
                (1, 1) | (58, 58) => match (u8::try_from(port), is_last) {
                    (Ok(kind), _) => [kind, 0],
                    (Err(_), true) => [u8::MAX, u8::MAX],
                    // Types end at 255: no packet has this key.
                    (Err(_), false) => [u8::MAX, 1],
                },
                _ => port.to_be_bytes(),
            };
            [&[0; 4][..], &table.to_ne_bytes(), &[protocol, 0, 0, 0], &port, &[0, 0]].concat()
        };
        [key(self.protocols.0, self.ports.0, false), key(self.protocols.1, self.ports.1, true)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(first: u128, bits: u32, class: u32) -> Stretch {
        let last = first | ((1u128 << bits) - 1);
        Stretch { first: first & !((1u128 << bits) - 1), last, class }
    }

    proptest! {
        #[test]
        fn the_longest_prefix_decides(
            list in proptest::collection::btree_map((0u128..256, 0u32..=8), 1u32..5, 0..20),
        ) {
            let mut prefixes: Vec<Stretch> =
                list.into_iter().map(|((first, bits), class)| prefix(first, bits, class)).collect();
            prefixes.sort_by_key(|p| (p.first, std::cmp::Reverse(p.last)));
            prefixes.dedup_by_key(|p| (p.first, p.last));
            let flat = flatten(prefixes.iter().copied());
            for pair in flat.windows(2) {
                prop_assert!(pair[0].last < pair[1].first);
                prop_assert!(pair[0].class != pair[1].class || pair[0].last + 1 < pair[1].first, "joined");
            }
            for address in 0u128..256 {
                let holds = |p: &&Stretch| p.first <= address && address <= p.last;
                let longest = prefixes.iter().filter(holds).min_by_key(|p| p.last - p.first);
                let found = flat.iter().find(holds);
                prop_assert_eq!(found.map(|f| f.class), longest.map(|l| l.class), "{}", address);
            }
        }

        #[test]
        fn boxes_hold_the_range_and_nothing_else(a in 0u32..=PortKey::MAX.0, b in 0u32..=PortKey::MAX.0, c: u32) {
            let (lo, hi) = (a.min(b), a.max(b));
            let boxes = boxes(lo, hi);
            for key in [lo, hi, lo.saturating_sub(1), (hi + 1) & PortKey::MAX.0, c & PortKey::MAX.0] {
                let (protocol, port) = (PortKey(key).protocol(), PortKey(key).port());
                let holds = |b: &&Ports| {
                    (b.protocols.0..=b.protocols.1).contains(&protocol)
                        && (b.ports.0..=b.ports.1).contains(&port)
                };
                let found = boxes.iter().filter(holds).count();
                prop_assert_eq!(found, usize::from(lo <= key && key <= hi), "{:x} in {:x}..={:x}", key, lo, hi);
            }
        }
    }

    #[test]
    fn the_last_address_of_all_is_no_edge() {
        let all = Stretch { first: 0, last: u128::MAX, class: 1 };
        let last = Stretch { first: u128::MAX, last: u128::MAX, class: 2 };
        let flat = flatten([all, last].into_iter());
        assert_eq!(flat, [Stretch { last: u128::MAX - 1, ..all }, last]);
    }
}
