//! The relation as a table: sources down, destinations across.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::joint::{CellId, End, EndId, Joint};
use crate::reach::names::{Ends, Namer};
use crate::reach::{NamedPorts, Question, by_family, family_name, is_wanted, single_pod};
use crate::world::World;

/// A table of verdicts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Matrix {
    /// The lines.
    pub sources: Vec<Ends>,
    /// The columns.
    pub destinations: Vec<Ends>,
    /// The port sets in the table; the first is none.
    pub verdicts: Vec<Verdict>,
    /// For each source and destination a place in `verdicts`; `null` where there is nothing to
    /// say: for a pod and itself, and between addresses outside.
    pub cells: Vec<Vec<Option<usize>>>,
}

/// Ports on which connections are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The ports.
    #[serde(flatten)]
    pub ports: NamedPorts,
    /// IPv6 ports, where they are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<NamedPorts>,
}

impl Verdict {
    fn new(joint: &Joint, cell: CellId) -> Verdict {
        let by_family = by_family(joint, cell);
        let of = |name: &str| {
            let mut found =
                by_family.iter().filter(|(family, _)| family.is_some_and(|f| family_name(f) == name));
            found.next().map(|(_, ports)| ports.clone()).unwrap_or_default()
        };
        match &by_family[..] {
            [(None, ports)] => Verdict { ports: NamedPorts(ports.clone()), ipv6: None },
            _ => Verdict { ports: NamedPorts(of("IPv4")), ipv6: Some(NamedPorts(of("IPv6"))) },
        }
    }
}

impl Matrix {
    /// The table of a question. Addresses outside are told apart only where policy does; with `grouped`,
    /// workloads too.
    pub fn new(world: &World, question: &Question, grouped: bool) -> Matrix {
        let mut joint = Joint::new(world);
        let namer = Namer::new(world);
        let wanted = |selection| -> Vec<EndId> {
            let ids = (0..joint.ends.len() as u32).map(EndId);
            ids.filter(|id| is_wanted(world, joint.end(*id), selection)).collect()
        };
        let sources: Vec<EndId> = wanted(&question.from)
            .into_iter()
            .filter(|id| !matches!(joint.end(*id), End::Domain(_)))
            .collect();
        let destinations = wanted(&question.to);
        // Columns by destination, with the ports in question only.
        let mut of_receiver: FxHashMap<usize, Vec<CellId>> = FxHashMap::default();
        let mut columns: Vec<Vec<CellId>> = Vec::with_capacity(destinations.len());
        for to in &destinations {
            let receiver = joint.receiver_of(*to);
            let column = &*of_receiver.entry(receiver).or_insert_with(|| joint.column(receiver));
            let mut cells: Vec<CellId> = sources.iter().map(|from| column[joint.sender_of(*from)]).collect();
            if let Some(limit) = &question.ports {
                let ports = limit.at(joint.end(*to));
                cells.iter_mut().for_each(|cell| *cell = joint.limited(*cell, &ports));
            }
            columns.push(cells);
        }
        let joins = |id: EndId| grouped || !matches!(joint.end(id), End::Pods(_));
        let across = grouped_by(&destinations, |at| joins(destinations[at]).then(|| columns[at].clone()));
        let rows: Vec<Vec<CellId>> = (0..sources.len())
            .map(|from| across.iter().map(|group| columns[group[0]][from]).collect())
            .collect();
        let down = grouped_by(&sources, |at| joins(sources[at]).then(|| rows[at].clone()));
        let name = |ends: &[EndId], group: &[usize], selection: &Option<_>| {
            let ends: Vec<EndId> = group.iter().map(|at| ends[*at]).collect();
            namer.name(world, &joint, &ends, None, selection.as_ref())
        };
        let mut verdicts: Vec<Verdict> = vec![Verdict::new(&joint, CellId::NONE)];
        let mut places: BTreeMap<CellId, usize> = BTreeMap::from([(CellId::NONE, 0)]);
        let mut cells = Vec::with_capacity(down.len());
        for from in &down {
            let line = across.iter().map(|to| {
                let (source, destination) = (sources[from[0]], destinations[to[0]]);
                let itself = from.len() == 1 && to.len() == 1 && source == destination;
                let outside =
                    [source, destination].iter().all(|end| !matches!(joint.end(*end), End::Pods(_)));
                if outside || (itself && single_pod(world, &joint, &[source]).is_some()) {
                    return None;
                }
                let cell = columns[to[0]][from[0]];
                Some(*places.entry(cell).or_insert_with(|| {
                    verdicts.push(Verdict::new(&joint, cell));
                    verdicts.len() - 1
                }))
            });
            cells.push(line.collect());
        }
        Matrix {
            sources: down.iter().map(|group| name(&sources, group, &question.from)).collect(),
            destinations: across.iter().map(|group| name(&destinations, group, &question.to)).collect(),
            verdicts,
            cells,
        }
    }
}

/// Places of ends, those with equal keys together, in the order of the first of them. No key: alone.
fn grouped_by<K: Eq + std::hash::Hash>(ends: &[EndId], key: impl Fn(usize) -> Option<K>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known: FxHashMap<K, usize> = FxHashMap::default();
    for at in 0..ends.len() {
        match key(at) {
            None => groups.push(vec![at]),
            Some(key) => {
                let group = *known.entry(key).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[group].push(at);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use podgate_api::load_text;

    use super::*;
    use crate::world::WorldOptions;

    const CLUSTER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: a}}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: shop, labels: {app: b}}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c, namespace: shop, labels: {app: c}}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: shop}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress: [{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 80}]}]
";

    fn table(grouped: bool) -> Vec<String> {
        let world = World::new(load_text("test.yaml", CLUSTER).objects, &WorldOptions::default());
        let matrix = Matrix::new(&world, &Question::default(), grouped);
        let head: Vec<String> = matrix.destinations.iter().map(|ends| ends.text(9)).collect();
        let lines = matrix.sources.iter().zip(&matrix.cells).map(|(source, cells)| {
            let cell = |cell: &Option<usize>| match cell {
                None => "-".to_owned(),
                Some(at) => matrix.verdicts[*at].ports.to_string(),
            };
            format!("{}: {}", source.text(9), cells.iter().map(cell).collect::<Vec<_>>().join(" | "))
        });
        std::iter::once(head.join(" | ")).chain(lines).collect()
    }

    #[test]
    fn each_workload_has_a_line_and_a_column() {
        assert_eq!(
            table(false),
            [
                "shop/a[Pod] | shop/b[Pod] | shop/c[Pod] | anywhere",
                "shop/a[Pod]: - | all | all | all",
                "shop/b[Pod]: TCP 80 | - | all | all",
                "shop/c[Pod]: none | all | - | all",
                "anywhere: none | all | all | -",
            ]
        );
    }

    #[test]
    fn what_is_alike_can_stand_together() {
        assert_eq!(
            table(true),
            [
                "shop/a[Pod] | shop/b[Pod], shop/c[Pod] | anywhere",
                "shop/a[Pod], shop/c[Pod]: none | all | all",
                "shop/b[Pod]: TCP 80 | all | all",
                "anywhere: none | all | -",
            ]
        );
    }
}
