//! The fewest labels that select exactly one workload's pods.

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::Labels;

use crate::world::{PodId, WorkloadId, World};

/// Labels that select pods, and which.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub labels: BTreeMap<String, String>,
    /// All pods that they select.
    pub pods: BTreeSet<PodId>,
    /// They select pods of other workloads as well, because those have the same labels.
    pub shared: bool,
}

/// Labels that people use to say what a pod is, the best first.
const USUAL: [&str; 6] =
    ["app.kubernetes.io/name", "app", "k8s-app", "name", "app.kubernetes.io/component", "component"];

/// Labels that change with each rollout or pod.
const FLEETING: [&str; 9] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
];

/// The fewest labels that select the workload's pods and no others of its namespace, the usual ones first; all
/// of its labels where none are enough. `None` where it has no labels that last.
pub(super) fn choose(world: &World, id: WorkloadId) -> Option<Chosen> {
    /// More labels than this in one selector help nobody.
    const MOST: usize = 3;
    let workload = world.workload(id);
    let own: BTreeSet<PodId> = workload.pods.iter().copied().collect();
    let others = in_namespace(world, &workload.namespace);
    let candidates = lasting(world, id);
    if candidates.is_empty() {
        return None;
    }
    let select = |labels: &[(&String, &String)]| -> BTreeSet<PodId> {
        let matches = |pod: &&PodId| {
            let have = &world.pod_object(**pod).meta.labels;
            labels.iter().all(|(key, value)| have.get(*key) == Some(*value))
        };
        others.iter().filter(matches).copied().collect()
    };
    let chosen = |labels: &[(&String, &String)], pods: BTreeSet<PodId>, shared: bool| Chosen {
        labels: labels.iter().map(|(key, value)| ((*key).clone(), (*value).clone())).collect(),
        pods,
        shared,
    };
    for size in 1..=MOST.min(candidates.len()) {
        for labels in combinations(&candidates, size) {
            let pods = select(&labels);
            if pods == own {
                return Some(chosen(&labels, pods, false));
            }
        }
    }
    let pods = select(&candidates);
    let shared = pods != own;
    Some(chosen(&candidates, pods, shared))
}

/// Pods of a namespace that policies can select.
fn in_namespace(world: &World, namespace: &str) -> Vec<PodId> {
    let selectable = |workload: &&crate::world::Workload| {
        workload.hypothesis.is_none() && !workload.host_network && workload.namespace == namespace
    };
    world.workloads.iter().filter(selectable).flat_map(|workload| workload.pods.iter().copied()).collect()
}

/// The labels that all pods of a workload have in common and that last, the usual ones first.
fn lasting(world: &World, id: WorkloadId) -> Vec<(&String, &String)> {
    let mut pods = world.workload(id).pods.iter().map(|pod| &world.pod_object(*pod).meta.labels);
    let Some(first) = pods.next() else { return Vec::new() };
    let rest: Vec<&Labels> = pods.collect();
    let mut labels: Vec<(&String, &String)> = first
        .iter()
        .filter(|(key, _)| {
            !FLEETING.contains(&key.as_str()) && !key.starts_with("statefulset.kubernetes.io/")
        })
        .filter(|(key, value)| rest.iter().all(|labels| labels.get(*key) == Some(*value)))
        .collect();
    let rank = |key: &str| USUAL.iter().position(|usual| *usual == key).unwrap_or(USUAL.len());
    labels.sort_by(|a, b| (rank(a.0), a.0).cmp(&(rank(b.0), b.0)));
    labels
}

/// All ways to take `size` of `items`, those of the first items first.
fn combinations<T: Copy>(items: &[T], size: usize) -> Vec<Vec<T>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in items.iter().enumerate() {
        for mut rest in combinations(&items[at + 1..], size - 1) {
            rest.insert(0, *first);
            all.push(rest);
        }
    }
    all
}
