//! What an ident's word says, and what the tables behind two classes say differently.

use podgate_policy::{ClassId, PortKey, Program, Row, Verdict};

use super::layout::{CLASS_SHIFT, CLASSES, INGRESS_SHIFT, PROGRAMS};

pub(super) fn active_slot(generation: u64) -> usize {
    (generation & 1) as usize
}

pub(super) fn other_slot(generation: u64) -> usize {
    active_slot(generation) ^ 1
}

pub(super) fn egress_of(word: u64) -> u32 {
    word as u32 & (PROGRAMS - 1)
}

pub(super) fn ingress_of(word: u64) -> u32 {
    (word >> INGRESS_SHIFT) as u32 & (PROGRAMS - 1)
}

pub(super) fn class_of(word: u64) -> u32 {
    (word >> CLASS_SHIFT) as u32 & (CLASSES - 1)
}

/// Whether judging a class by its parent's row would allow something that its own row denies.
pub(super) fn allows_more(table: &Program, parent: Option<ClassId>, class: ClassId) -> bool {
    let row = |class: Option<ClassId>| class.and_then(|c| table.row(c)).unwrap_or(table.default_row(false));
    let (own, instead) = (row(Some(class)), row(parent));
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
