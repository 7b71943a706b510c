//! What an ident's word says, and what the tables behind two classes say differently.

use podgate_policy::{ClassId, Family, Kind, PortKey, Program, Row, Verdict};

use super::layout::{CLASS_SHIFT, CLASSES, INGRESS_SHIFT, PROGRAMS};

pub(crate) fn active_slot(generation: u64) -> usize {
    (generation & 1) as usize
}

pub(super) fn other_slot(generation: u64) -> usize {
    active_slot(generation) ^ 1
}

pub(crate) fn egress_of(word: u64) -> u32 {
    word as u32 & (PROGRAMS - 1)
}

pub(crate) fn ingress_of(word: u64) -> u32 {
    (word >> INGRESS_SHIFT) as u32 & (PROGRAMS - 1)
}

pub(crate) fn class_of(word: u64) -> u32 {
    (word >> CLASS_SHIFT) as u32 & (CLASSES - 1)
}

/// Whether judging a class of a family's addresses by its parent's row would allow something that its own row
/// denies.
pub(super) fn allows_more(table: &Program, parent: Option<ClassId>, class: ClassId, family: Family) -> bool {
    let row = |class: ClassId| table.row_towards(class, Kind { pod: false, family });
    // An address without a class is found in the first default row.
    let unknown = Kind { pod: false, family: Family::V4 };
    let (own, instead) = (row(class), parent.map_or(table.default_row(unknown), row));
    let edges = |row: &Row| -> Vec<_> {
        let after = |key: u32| PortKey(key + 1);
        row.ranges.iter().flat_map(|range| [range.lo, after(range.hi.0)]).collect()
    };
    let mut keys = vec![PortKey(0)];
    keys.extend(edges(own));
    keys.extend(edges(instead));
    keys.iter().any(|key| {
        own.outcome(*key).verdict == Verdict::Denied && instead.outcome(*key).verdict == Verdict::Allowed
    })
}
