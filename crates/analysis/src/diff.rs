//! What changes between two worlds: connections opened and closed, each with the rule that caused it.
//!
//! ```text
//! old World, new World -> ends matched (workloads by name, address ranges cut to common pieces)
//!                      -> cells that differ, merged as in `reach` -> changes with causes
//! ```

mod causes;
mod ends;

use std::collections::BTreeMap;

use podgate_api::Source;
use rustc_hash::FxHashMap;
use serde::Serialize;

pub use causes::{Cause, Effect, RuleState};
pub use ends::{Change, DiffEnd, DiffEndKind, Matched};

use crate::exposure::{self, Entry};
use crate::ip::IpSet;
use crate::joint::CellId;
use crate::ports::PortSet;
use crate::reach::names::Ends;
use crate::reach::{NamedPorts, family_name};
use crate::world::{Family, World};

/// What changes between two worlds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// Workloads that only the new world has.
    pub workloads_added: Vec<WorkloadChange>,
    /// Workloads that only the old world has.
    pub workloads_removed: Vec<WorkloadChange>,
    /// Connections that are not what they were.
    pub connections: Vec<Changed>,
    /// What the internet reaches now and did not reach before.
    pub exposed: Vec<Exposed>,
}

/// A workload that came or went.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadChange {
    /// `namespace/name[Kind]`.
    pub workload: String,
    /// Where it is written.
    pub source: String,
}

/// Connections that changed alike.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// What happened to them.
    pub kind: ChangeKind,
    /// Sources.
    pub from: Ends,
    /// Destinations.
    pub to: Ends,
    /// Ports before.
    pub before: NamedPorts,
    /// Ports now.
    pub after: NamedPorts,
    /// `IPv4` or `IPv6` where the other family is not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<&'static str>,
    /// One end is a workload that came or went.
    pub workload_changed: bool,
    /// What caused it.
    pub causes: Vec<Cause>,
}

impl Changed {
    /// Ports that are new.
    pub fn opened(&self) -> PortSet {
        self.after.0.difference(&self.before.0)
    }

    /// Ports that are gone.
    pub fn closed(&self) -> PortSet {
        self.before.0.difference(&self.after.0)
    }
}

/// What happened to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// There are more ports, or there were none.
    Opened,
    /// There are fewer ports, or none.
    Closed,
    /// Some ports opened and others closed.
    Changed,
}

/// Something that the internet reaches now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Exposed {
    /// The workload.
    pub workload: String,
    /// The ports of its pods.
    pub ports: String,
    /// What leads there: `Service shop/web (LoadBalancer)`; empty where policy alone let it in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub through: String,
    /// Where that is written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
}

impl Diff {
    /// What changes from one world to another.
    pub fn new(old: &World, new: &World) -> Diff {
        let mut matched = Matched::new(old, new);
        let changes = matched.changes();
        let causes = causes::Finder::new(old, new);
        let mut connections = Vec::new();
        for change in &changes {
            let workload_changed = |ends: &[DiffEnd]| ends.iter().any(DiffEnd::came_or_went);
            for (family, before, after) in by_family(&matched, change) {
                let (opened, closed) = (after.difference(&before), before.difference(&after));
                let kind = match (opened.is_empty(), closed.is_empty()) {
                    (false, true) => ChangeKind::Opened,
                    (true, false) => ChangeKind::Closed,
                    _ => ChangeKind::Changed,
                };
                let (from, to) =
                    (matched.name(&change.from, &change.to), matched.name(&change.to, &change.from));
                connections.push(Changed {
                    kind,
                    from,
                    to,
                    workload_changed: workload_changed(&change.from) || workload_changed(&change.to),
                    causes: causes.of(change, family, &opened, &closed),
                    before: NamedPorts(before),
                    after: NamedPorts(after),
                    family: family.map(family_name),
                });
            }
        }
        connections.sort_by(|a, b| {
            (a.kind, a.workload_changed, &a.to, &a.from, &a.after).cmp(&(
                b.kind,
                b.workload_changed,
                &b.to,
                &b.from,
                &b.after,
            ))
        });
        let exposed = exposed(old, new, &matched, &changes);
        let listed = |world: &World, other: &World| -> Vec<WorkloadChange> {
            ends::only_in(world, other)
                .map(|workload| WorkloadChange {
                    workload: workload.title(),
                    source: place(&workload.source),
                })
                .collect()
        };
        Diff { workloads_added: listed(new, old), workloads_removed: listed(old, new), connections, exposed }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.workloads_added.is_empty()
            && self.workloads_removed.is_empty()
            && self.connections.is_empty()
            && self.exposed.is_empty()
    }
}

/// A place as answers name it: file and line; empty where it has none.
pub fn place(source: &Source) -> String {
    match (&*source.file, source.line) {
        ("", _) => String::new(),
        (file, 0) => file.to_owned(),
        (file, line) => format!("{file}:{line}"),
    }
}

/// Ports before and after: once where the families agree, otherwise for each family in which they differ.
fn by_family(matched: &Matched, change: &Change) -> Vec<(Option<Family>, PortSet, PortSet)> {
    let of = |family| {
        let before = matched.old_joint.family_ports(change.before, family).clone();
        (before, matched.new_joint.family_ports(change.after, family).clone())
    };
    let (v4, v6) = (of(Family::V4), of(Family::V6));
    if v4 == v6 {
        return vec![(None, v4.0, v4.1)];
    }
    let both =
        [(Family::V4, v4), (Family::V6, v6)].into_iter().filter(|(_, (before, after))| before != after);
    both.map(|(family, (before, after))| (Some(family), before, after)).collect()
}

/// What the internet reaches now: entries that lead to pods which policy opens to it, and existing workloads
/// whose policy lets public addresses in where it did not.
fn exposed(old: &World, new: &World, matched: &Matched, changes: &[Change]) -> Vec<Exposed> {
    let mut found: Vec<Exposed> = Vec::new();
    let key = |entry: &Entry| (entry.through.clone(), entry.workload.clone(), entry.ports.clone());
    let open = |world: &World| -> BTreeMap<(String, String, String), Entry> {
        let entries = exposure::entries(world).into_iter().filter(Entry::is_open);
        entries.map(|entry| (key(&entry), entry)).collect()
    };
    let (before, after) = rayon::join(|| open(old), || open(new));
    for (key, entry) in after {
        if !before.contains_key(&key) {
            let Entry { workload, ports, through, source, .. } = entry;
            found.push(Exposed { workload, ports, through, source });
        }
    }
    let public = [IpSet::public(Family::V4), IpSet::public(Family::V6)];
    let mut by_policy: FxHashMap<String, PortSet> = FxHashMap::default();
    for change in changes {
        let is_public = |end: &DiffEnd| match &end.kind {
            DiffEndKind::Outside(set) => public.iter().any(|public| !public.intersection(set).is_empty()),
            _ => false,
        };
        if !change.from.iter().any(is_public) {
            continue;
        }
        let before = matched.old_joint.any_ports(change.before);
        let opened = matched.new_joint.any_ports(change.after).difference(&before);
        for end in change.to.iter().filter(|end| !end.came_or_went() && !opened.is_empty()) {
            if let (DiffEndKind::Pods, Some(variant)) = (&end.kind, end.new_variant()) {
                let title = new.workload(new.variant(variant).workload).title();
                let known = by_policy.entry(title).or_default();
                *known = known.union(&opened);
            }
        }
    }
    // Where something leads there, that says more.
    by_policy.retain(|workload, _| found.iter().all(|exposed| exposed.workload != *workload));
    found.extend(by_policy.into_iter().map(|(workload, ports)| Exposed {
        workload,
        ports: ports.to_string(),
        through: String::new(),
        source: String::new(),
    }));
    found.sort();
    found
}

/// Whether two cells of two relations hold the same ports.
fn same(matched: &Matched, old: CellId, new: CellId) -> bool {
    [Family::V4, Family::V6].into_iter().all(|family| {
        matched.old_joint.family_ports(old, family) == matched.new_joint.family_ports(new, family)
    })
}

#[cfg(test)]
mod tests;
