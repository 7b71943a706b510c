//! The fewest labels that select exactly some pods.

use std::collections::BTreeMap;

use podgate_api::Labels;

/// Labels that select pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fewest {
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// They select the pods that were meant and no others.
    pub exact: bool,
    /// No labels without a version, a zone or the like were enough: they stop selecting when it changes.
    pub brittle: bool,
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

/// Labels that change with a release or with the place where a pod runs.
const BRITTLE: [&str; 10] = [
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "chart",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "helm.sh/chart",
    "heritage",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "version",
];

/// Whether a label stays the same as long as the workload is itself: no hash, no number of a pod.
pub fn lasts(key: &str) -> bool {
    !FLEETING.contains(&key) && !key.starts_with("statefulset.kubernetes.io/")
}

/// Whether a label changes with a release, or with the place where a pod runs.
pub fn is_brittle(key: &str) -> bool {
    BRITTLE.contains(&key)
}

/// The fewest labels that all of `own` have and none of `others`, the usual ones first; all that last where none are
/// enough. `None` where `own` have no labels in common that last.
pub fn fewest(own: &[&Labels], others: &[&Labels]) -> Option<Fewest> {
    /// More labels than this in one selector help nobody.
    const MOST: usize = 3;
    let candidates = lasting(own);
    if candidates.is_empty() {
        return None;
    }
    let firm: Vec<_> = candidates.iter().copied().filter(|(key, _)| !is_brittle(key)).collect();
    let tells = |labels: &[(&String, &String)]| {
        let has = |other: &&Labels| labels.iter().all(|(key, value)| other.get(*key) == Some(*value));
        !labels.is_empty() && !others.iter().any(has)
    };
    let fewest = |labels: &[(&String, &String)], exact: bool, brittle: bool| Fewest {
        labels: labels.iter().map(|(key, value)| ((*key).clone(), (*value).clone())).collect(),
        exact,
        brittle,
    };
    for (from, brittle) in [(&firm, false), (&candidates, true)] {
        for size in 1..=MOST.min(from.len()) {
            if let Some(labels) = combinations(from, size).into_iter().find(|labels| tells(labels)) {
                return Some(fewest(&labels, true, brittle));
            }
        }
    }
    let all = if tells(&firm) || (!tells(&candidates) && !firm.is_empty()) { &firm } else { &candidates };
    Some(fewest(all, tells(all), all.len() > firm.len()))
}

/// The labels that all pods have in common and that last, the usual ones first.
fn lasting<'a>(pods: &[&'a Labels]) -> Vec<(&'a String, &'a String)> {
    let Some((first, rest)) = pods.split_first() else { return Vec::new() };
    let mut labels: Vec<(&String, &String)> = first
        .iter()
        .filter(|(key, _)| lasts(key))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[track_caller]
    fn check(own: &[&str], others: &[&str], expect: Option<(&str, bool, bool)>) {
        let (own, others): (Vec<_>, Vec<_>) =
            (own.iter().map(|text| labels(text)).collect(), others.iter().map(|text| labels(text)).collect());
        let found = fewest(&own.iter().collect::<Vec<_>>(), &others.iter().collect::<Vec<_>>());
        let expect = expect.map(|(text, exact, brittle)| Fewest { labels: labels(text), exact, brittle });
        assert_eq!(found, expect);
    }

    #[test]
    fn hashes_and_pods_own_numbers_are_never_selected_by() {
        check(
            &["app=web pod-template-hash=1", "app=web pod-template-hash=2"],
            &["app=db"],
            Some(("app=web", true, false)),
        );
        check(&["controller-revision-hash=1 apps.kubernetes.io/pod-index=0"], &[], None);
    }

    #[test]
    fn versions_and_zones_are_the_last_resort_and_said_to_be() {
        let blue = "app=web version=1 topology.kubernetes.io/zone=a track=blue";
        check(&[blue], &["app=web version=2 track=green"], Some(("track=blue", true, false)));
        check(&["app=web version=1"], &["app=web version=2"], Some(("version=1", true, true)));
    }

    #[test]
    fn labels_that_two_workloads_share_are_said_to_be_shared() {
        check(&["app=web tier=front"], &["app=web tier=front"], Some(("app=web tier=front", false, false)));
    }
}
