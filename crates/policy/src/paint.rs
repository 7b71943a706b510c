//! From the rules that match a class to its row: an ordered list of port ranges, painted first come,
//! first served.

use crate::tables::{Outcome, PortKey, PortRange, Row};

/// Inclusive range of [`PortKey`] numbers.
pub(crate) type KeyRange = (u32, u32);

/// Every protocol and port.
pub(crate) const ALL_KEYS: KeyRange = (0, PortKey::MAX.0);

/// What a rule does where it matches first in its tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// Decide finally.
    Decide(Outcome),
    /// Leave the tier undecided.
    Pass,
}

/// A rule's ranges and what it does there.
pub(crate) type Layer<'a> = (&'a [KeyRange], Stroke);

/// Paints the row that these tiers make. Each tier is a list of rules in the order in which they are
/// asked; what no tier decides gets `otherwise`.
///
/// Time is O((n + m) log m) for n rules with m range edges: each elementary interval is painted once
/// in a tier, and painted ones are skipped over.
pub(crate) fn paint(tiers: &[Vec<Layer<'_>>], otherwise: Outcome) -> Row {
    if let Some(row) = paint_plain(tiers, otherwise) {
        return row;
    }
    let mut starts: Vec<u32> = vec![0];
    for (ranges, _) in tiers.iter().flatten() {
        for (lo, hi) in *ranges {
            starts.push(*lo);
            if *hi < PortKey::MAX.0 {
                starts.push(hi + 1);
            }
        }
    }
    starts.sort_unstable();
    starts.dedup();

    let mut cells: Vec<Option<Outcome>> = vec![None; starts.len()];
    for tier in tiers {
        paint_tier(tier, &starts, &mut cells);
    }
    collect(&starts, &cells, otherwise)
}

/// The commonest case without any bookkeeping: the first rule to be asked covers everything, or there
/// is no rule at all.
fn paint_plain(tiers: &[Vec<Layer<'_>>], otherwise: Outcome) -> Option<Row> {
    let Some((ranges, stroke)) = tiers.iter().flatten().next() else {
        return Some(Row { ranges: [].into(), otherwise });
    };
    match stroke {
        Stroke::Decide(outcome) if *ranges == [ALL_KEYS] => {
            Some(Row { ranges: [].into(), otherwise: *outcome })
        }
        _ => None,
    }
}

fn paint_tier(tier: &[Layer<'_>], starts: &[u32], cells: &mut [Option<Outcome>]) {
    // next[i] leads to the first cell at or after i that this tier may still paint.
    let mut next: Vec<u32> = (0..=cells.len() as u32).collect();
    for (i, cell) in cells.iter().enumerate() {
        if cell.is_some() {
            next[i] = i as u32 + 1;
        }
    }
    for (ranges, stroke) in tier {
        for (lo, hi) in *ranges {
            let first = starts.partition_point(|start| start < lo) as u32;
            let mut i = find(&mut next, first);
            while (i as usize) < cells.len() && starts[i as usize] <= *hi {
                if let Stroke::Decide(outcome) = stroke {
                    cells[i as usize] = Some(*outcome);
                }
                next[i as usize] = i + 1;
                i = find(&mut next, i + 1);
            }
        }
    }
}

/// Follows `next` to its end, halving the path on the way.
fn find(next: &mut [u32], mut i: u32) -> u32 {
    while next[i as usize] != i {
        next[i as usize] = next[next[i as usize] as usize];
        i = next[i as usize];
    }
    i
}

fn collect(starts: &[u32], cells: &[Option<Outcome>], otherwise: Outcome) -> Row {
    let mut ranges: Vec<PortRange> = Vec::new();
    for (i, cell) in cells.iter().enumerate() {
        let Some(outcome) = cell.filter(|outcome| *outcome != otherwise) else { continue };
        let lo = PortKey(starts[i]);
        let hi = PortKey(starts.get(i + 1).map_or(PortKey::MAX.0, |next| next - 1));
        match ranges.last_mut() {
            Some(last) if last.outcome == outcome && last.hi.0 + 1 == lo.0 => last.hi = hi,
            _ => ranges.push(PortRange { lo, hi, outcome }),
        }
    }
    match ranges[..] {
        [PortRange { lo: PortKey(0), hi: PortKey::MAX, outcome }] => {
            Row { ranges: [].into(), otherwise: outcome }
        }
        _ => Row { ranges: ranges.into(), otherwise },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{DeciderId, Verdict};

    fn outcome(verdict: Verdict, decider: u64) -> Outcome {
        Outcome { verdict, decider: DeciderId(decider) }
    }

    fn allow(decider: u64) -> Stroke {
        Stroke::Decide(outcome(Verdict::Allowed, decider))
    }

    fn deny(decider: u64) -> Stroke {
        Stroke::Decide(outcome(Verdict::Denied, decider))
    }

    /// Each expectation is (first key, last key, decider); gaps belong to decider 99.
    #[track_caller]
    fn check(tiers: &[&[(&[KeyRange], Stroke)]], expected: &[(u32, u32, u64)]) {
        let tiers: Vec<Vec<Layer<'_>>> = tiers.iter().map(|tier| tier.to_vec()).collect();
        let row = paint(&tiers, outcome(Verdict::Denied, 99));
        let mut got: Vec<(u32, u32, u64)> =
            row.ranges.iter().map(|r| (r.lo.0, r.hi.0, r.outcome.decider.0)).collect();
        if row.otherwise.decider.0 != 99 {
            got.push((0, PortKey::MAX.0, row.otherwise.decider.0));
        }
        assert_eq!(got, expected);
    }

    #[test]
    fn no_rules_leave_the_fallback() {
        check(&[&[]], &[]);
    }

    #[test]
    fn a_rule_without_ports_covers_everything() {
        check(&[&[(&[ALL_KEYS], allow(1))]], &[(0, PortKey::MAX.0, 1)]);
    }

    #[test]
    fn the_first_rule_keeps_what_it_painted() {
        check(
            &[&[(&[(10, 20)], allow(1)), (&[(15, 30)], allow(2)), (&[(0, 40)], allow(3))]],
            &[(0, 9, 3), (10, 20, 1), (21, 30, 2), (31, 40, 3)],
        );
    }

    #[test]
    fn neighbours_with_one_outcome_merge() {
        check(&[&[(&[(10, 20), (21, 30)], allow(1))]], &[(10, 30, 1)]);
    }

    #[test]
    fn pass_leaves_the_tier_but_not_the_next() {
        check(
            &[&[(&[(10, 20)], Stroke::Pass), (&[(0, 100)], deny(1))], &[(&[(0, 100)], allow(2))]],
            &[(0, 9, 1), (10, 20, 2), (21, 100, 1)],
        );
    }

    #[test]
    fn the_last_key_can_be_painted() {
        check(&[&[(&[(PortKey::MAX.0, PortKey::MAX.0)], allow(1))]], &[(PortKey::MAX.0, PortKey::MAX.0, 1)]);
    }
}
