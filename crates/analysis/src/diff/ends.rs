//! The ends of two worlds side by side, and what changed between them.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::same;
use crate::ip::IpSet;
use crate::joint::{CellId, End, EndId, Joint};
use crate::reach::names::{Ends, Namer, joined};
use crate::world::{VariantId, Workload, World};

/// An end in both worlds, or in one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiffEnd {
    /// What it is.
    pub kind: DiffEndKind,
    /// In the old world.
    pub old: Option<EndId>,
    /// In the new world.
    pub new: Option<EndId>,
}

/// What an end is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiffEndKind {
    /// Pods.
    Pods,
    /// Addresses that are alike in both worlds.
    Outside(IpSet),
    /// A domain name.
    Domain(String),
}

impl DiffEnd {
    /// Whether it is a workload that only one of the worlds has.
    pub fn came_or_went(&self) -> bool {
        self.kind == DiffEndKind::Pods && (self.old.is_none() || self.new.is_none())
    }

    /// The variant in the old world. Ends of pods have the numbers of their variants.
    pub fn old_variant(&self) -> Option<VariantId> {
        self.old.filter(|_| self.kind == DiffEndKind::Pods).map(|end| VariantId(end.0))
    }

    /// The variant in the new world.
    pub fn new_variant(&self) -> Option<VariantId> {
        self.new.filter(|_| self.kind == DiffEndKind::Pods).map(|end| VariantId(end.0))
    }
}

/// Connections between ends that changed alike.
#[derive(Clone, Debug)]
pub struct Change {
    /// Sources.
    pub from: Vec<DiffEnd>,
    /// Destinations.
    pub to: Vec<DiffEnd>,
    /// The ports before, by the old relation's numbers.
    pub before: CellId,
    /// The ports now, by the new relation's numbers.
    pub after: CellId,
}

/// Two worlds side by side.
#[derive(Debug)]
pub struct Matched<'a> {
    /// The old world.
    pub old: &'a World,
    /// The new world.
    pub new: &'a World,
    /// The old relation.
    pub old_joint: Joint,
    /// The new relation.
    pub new_joint: Joint,
    /// All ends.
    pub ends: Vec<DiffEnd>,
    namers: [Namer; 2],
}

type Key<'a> = (&'a str, &'a str, &'a str);

fn key(workload: &Workload) -> Key<'_> {
    (&workload.namespace, &workload.name, &workload.kind)
}

fn real(world: &World) -> impl Iterator<Item = &Workload> {
    world.workloads.iter().filter(|workload| workload.hypothesis.is_none())
}

/// Workloads that one world has and the other lacks.
pub fn only_in<'a>(world: &'a World, other: &World) -> impl Iterator<Item = &'a Workload> + use<'a> {
    let others: BTreeSet<(String, String, String)> = real(other)
        .map(|workload| (workload.namespace.clone(), workload.name.clone(), workload.kind.clone()))
        .collect();
    real(world).filter(move |workload| {
        let (namespace, name, kind) = key(workload);
        !others.contains(&(namespace.to_owned(), name.to_owned(), kind.to_owned()))
    })
}

impl<'a> Matched<'a> {
    /// Matches the ends of two worlds.
    pub fn new(old: &'a World, new: &'a World) -> Matched<'a> {
        let (old_joint, new_joint) = rayon::join(|| Joint::new(old), || Joint::new(new));
        let mut ends = pods(old, new);
        ends.extend(outside(&old_joint, &new_joint));
        Matched { old, new, old_joint, new_joint, ends, namers: [Namer::new(old), Namer::new(new)] }
    }

    /// All changes, merged as far as they go: destinations with equal columns, then sources by change.
    pub fn changes(&mut self) -> Vec<Change> {
        let senders = groups(&self.ends, |end| {
            (end.old.map(|id| self.old_joint.sender_of(id)), end.new.map(|id| self.new_joint.sender_of(id)))
        });
        let receivers = groups(&self.ends, |end| {
            (
                end.old.map(|id| self.old_joint.receiver_of(id)),
                end.new.map(|id| self.new_joint.receiver_of(id)),
            )
        });
        // Pairs of cells by number; 0 is no change.
        let mut pairs: Vec<(CellId, CellId)> = vec![(CellId::NONE, CellId::NONE)];
        let mut numbers: FxHashMap<(CellId, CellId), u32> = FxHashMap::default();
        let mut by_column: FxHashMap<Vec<u32>, usize> = FxHashMap::default();
        let mut merged: Vec<(Vec<DiffEnd>, Vec<u32>)> = Vec::new();
        for ((old, new, is_pod), members) in &receivers {
            let before = old.map(|at| self.old_joint.column(at));
            let after = new.map(|at| self.new_joint.column(at));
            let mut column = Vec::with_capacity(senders.len());
            for ((old, new, sender_is_pod), _) in senders.keys().zip(senders.values()) {
                if !is_pod && !sender_is_pod {
                    column.push(0);
                    continue;
                }
                let cell = |cells: &Option<Vec<CellId>>, at: &Option<usize>| match (cells, at) {
                    (Some(cells), Some(at)) => cells[*at],
                    _ => CellId::NONE,
                };
                let pair = (cell(&before, old), cell(&after, new));
                let number = match numbers.get(&pair) {
                    Some(number) => *number,
                    None => {
                        let number = if same(self, pair.0, pair.1) {
                            0
                        } else {
                            pairs.push(pair);
                            pairs.len() as u32 - 1
                        };
                        numbers.insert(pair, number);
                        number
                    }
                };
                column.push(number);
            }
            if column.iter().all(|number| *number == 0) {
                continue;
            }
            match by_column.get(&column) {
                Some(at) => merged[*at].0.extend(members.iter().cloned()),
                None => {
                    by_column.insert(column.clone(), merged.len());
                    merged.push((members.clone(), column));
                }
            }
        }
        let mut changes: Vec<Change> = Vec::new();
        for (mut to, column) in merged {
            to.sort_unstable();
            let mut by_number: BTreeMap<u32, Vec<DiffEnd>> = BTreeMap::new();
            for (number, members) in column.iter().zip(senders.values()) {
                if *number != 0 {
                    by_number.entry(*number).or_default().extend(members.iter().cloned());
                }
            }
            for (number, mut from) in by_number {
                from.sort_unstable();
                let (before, after) = pairs[number as usize];
                changes.push(Change { from, to: to.clone(), before, after });
            }
        }
        changes.retain(|change| change.from != change.to || !self.is_single_pod(&change.to));
        join_outside(changes)
    }

    fn is_single_pod(&self, ends: &[DiffEnd]) -> bool {
        let single = |world: &World, variant: Option<VariantId>| {
            variant.is_none_or(|variant| world.variant(variant).pods.len() == 1)
        };
        match ends {
            [only] => {
                only.kind == DiffEndKind::Pods
                    && single(self.old, only.old_variant())
                    && single(self.new, only.new_variant())
            }
            _ => false,
        }
    }

    /// Names ends: by the new world where they are in it, otherwise by the old one. It makes no difference
    /// whether `others` is among them when it is a single pod.
    pub fn name(&self, ends: &[DiffEnd], others: &[DiffEnd]) -> Ends {
        let itself = if self.is_single_pod(others) { others.first() } else { None };
        let mut new: Vec<VariantId> = ends.iter().filter_map(DiffEnd::new_variant).collect();
        new.sort_unstable();
        new.dedup();
        let mut names = self.namers[1].pods(self.new, &new, itself.and_then(DiffEnd::new_variant));
        let gone = ends.iter().filter(|end| end.new.is_none()).filter_map(DiffEnd::old_variant);
        let mut gone: Vec<VariantId> = gone.collect();
        gone.sort_unstable();
        gone.dedup();
        let gone = self.namers[0].pods(self.old, &gone, None);
        names.workloads.extend(gone.workloads);
        names.workloads.sort();
        names.namespaces.extend(gone.namespaces);
        names.namespaces.sort();
        let (mut sets, mut domains) = (Vec::new(), Vec::new());
        for end in ends {
            match &end.kind {
                DiffEndKind::Pods => {}
                DiffEndKind::Outside(set) => sets.push(set.clone()),
                DiffEndKind::Domain(name) => domains.push(name.clone()),
            }
        }
        self.namers[1].add_outside(&mut names, &joined(sets), domains);
        names
    }
}

/// The place of a group in the old and in the new world, and whether it is of pods.
type GroupKey = (Option<usize>, Option<usize>, bool);

fn groups(
    ends: &[DiffEnd],
    place: impl Fn(&DiffEnd) -> (Option<usize>, Option<usize>),
) -> BTreeMap<GroupKey, Vec<DiffEnd>> {
    let mut groups: BTreeMap<GroupKey, Vec<DiffEnd>> = BTreeMap::new();
    for end in ends {
        let (old, new) = place(end);
        groups.entry((old, new, end.kind == DiffEndKind::Pods)).or_default().push(end.clone());
    }
    groups
}

/// Workloads are matched by namespace, name and kind; their variants by the names of pods, and where those
/// are all new (as in a live cluster) each with each.
fn pods(old: &World, new: &World) -> Vec<DiffEnd> {
    let before: BTreeMap<Key<'_>, &Workload> = real(old).map(|workload| (key(workload), workload)).collect();
    let end = |old: Option<VariantId>, new: Option<VariantId>| DiffEnd {
        kind: DiffEndKind::Pods,
        old: old.map(|variant| EndId(variant.0)),
        new: new.map(|variant| EndId(variant.0)),
    };
    let mut ends: BTreeSet<DiffEnd> = BTreeSet::new();
    let mut found: BTreeSet<Key<'_>> = BTreeSet::new();
    for workload in real(new) {
        let Some(earlier) = before.get(&key(workload)) else {
            ends.extend(workload.variants.iter().map(|variant| end(None, Some(*variant))));
            continue;
        };
        found.insert(key(workload));
        let names = |world: &World, workload: &Workload| -> BTreeMap<String, VariantId> {
            let of = |variant: &VariantId| {
                let pods = world.variant(*variant).pods.iter();
                pods.map(|pod| (world.pod(*pod).name.to_string(), *variant)).collect::<Vec<_>>()
            };
            workload.variants.iter().flat_map(of).collect()
        };
        let (then, now) = (names(old, earlier), names(new, workload));
        let matched: Vec<DiffEnd> = now
            .iter()
            .filter_map(|(name, variant)| Some(end(Some(*then.get(name)?), Some(*variant))))
            .collect();
        let covers = |world_variants: &[VariantId], of: fn(&DiffEnd) -> Option<VariantId>| {
            world_variants.iter().all(|variant| matched.iter().any(|end| of(end) == Some(*variant)))
        };
        let all = covers(&earlier.variants, DiffEnd::old_variant)
            && covers(&workload.variants, DiffEnd::new_variant);
        if all {
            ends.extend(matched);
        } else {
            for then in &earlier.variants {
                ends.extend(workload.variants.iter().map(|now| end(Some(*then), Some(*now))));
            }
        }
    }
    for workload in real(old).filter(|workload| !found.contains(&key(workload))) {
        ends.extend(workload.variants.iter().map(|variant| end(Some(*variant), None)));
    }
    ends.into_iter().collect()
}

/// Address ranges are cut until each is in one range of the old world and one of the new.
fn outside(old: &Joint, new: &Joint) -> Vec<DiffEnd> {
    let ids = |joint: &Joint| -> Vec<(EndId, End)> {
        joint.ends.iter().cloned().enumerate().map(|(id, end)| (EndId(id as u32), end)).collect()
    };
    let (old, new) = (ids(old), ids(new));
    let mut ends = Vec::new();
    for (new_id, end) in &new {
        match end {
            End::Pods(_) => {}
            End::Outside(now) => {
                for (old_id, then) in &old {
                    let End::Outside(then) = then else { continue };
                    let both = then.intersection(now);
                    if then.family() == now.family() && !both.is_empty() {
                        let kind = DiffEndKind::Outside(both);
                        ends.push(DiffEnd { kind, old: Some(*old_id), new: Some(*new_id) });
                    }
                }
                if !old
                    .iter()
                    .any(|(_, end)| matches!(end, End::Outside(set) if set.family() == now.family()))
                {
                    ends.push(DiffEnd {
                        kind: DiffEndKind::Outside(now.clone()),
                        old: None,
                        new: Some(*new_id),
                    });
                }
            }
            End::Domain(name) => {
                let then = old.iter().find(|(_, then)| then == end).map(|(id, _)| *id);
                ends.push(DiffEnd { kind: DiffEndKind::Domain(name.clone()), old: then, new: Some(*new_id) });
            }
        }
    }
    for (old_id, end) in &old {
        let kind = match end {
            End::Domain(name) if !new.iter().any(|(_, now)| now == end) => DiffEndKind::Domain(name.clone()),
            End::Outside(set)
                if !new
                    .iter()
                    .any(|(_, now)| matches!(now, End::Outside(now) if now.family() == set.family())) =>
            {
                DiffEndKind::Outside(set.clone())
            }
            _ => continue,
        };
        ends.push(DiffEnd { kind, old: Some(*old_id), new: None });
    }
    ends
}

/// Changes that differ only in the addresses or names outside are one.
fn join_outside(changes: Vec<Change>) -> Vec<Change> {
    let mut places: BTreeMap<(Vec<DiffEnd>, CellId, CellId), usize> = BTreeMap::new();
    let mut joined: Vec<Change> = Vec::with_capacity(changes.len());
    for mut change in changes {
        if change.to.iter().any(|end| end.kind == DiffEndKind::Pods) {
            joined.push(change);
            continue;
        }
        let key = (change.from.clone(), change.before, change.after);
        match places.get(&key) {
            Some(at) => joined[*at].to.append(&mut change.to),
            None => {
                places.insert(key, joined.len());
                joined.push(change);
            }
        }
    }
    joined
}
