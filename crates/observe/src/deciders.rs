//! What can decide in the kernel, by the ids that it reports.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use podgate_policy::{Cluster, Decider, DeciderId, Delta, Programs, Row};

/// Every decider that a publication brought.
pub fn of(cluster: &Cluster, delta: &Delta) -> BTreeMap<DeciderId, Decider> {
    let mut all = BTreeMap::new();
    let mut add = |row: &Row| {
        let ids = row.ranges.iter().map(|range| range.outcome.decider);
        for id in ids.chain([row.otherwise.decider]) {
            if let Entry::Vacant(entry) = all.entry(id)
                && let Some(decider) = cluster.decider(id)
            {
                entry.insert(decider);
            }
        }
    };
    for id in &delta.programs {
        let Some(program) = cluster.program(*id) else { continue };
        program.rows().for_each(|(_, row)| add(row));
        program.default_rows().for_each(&mut add);
        program.rows_of_itself().for_each(|(_, row)| add(row));
    }
    for (id, class) in &delta.rows {
        let Some(program) = cluster.program(*id) else { continue };
        if let Some(row) = program.row(*class) {
            add(row);
        }
    }
    all
}
