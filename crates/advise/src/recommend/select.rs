//! The labels that select a workload's pods and nobody else's.

use std::collections::{BTreeMap, BTreeSet};

use podgate_analysis::labels::{fewest, is_brittle, lasts};
use podgate_analysis::suggest::labels_selector;
use podgate_api::{LabelSelector, Labels, Operator, Requirement};

use super::inventory::WorkloadKey;

/// How the pods of a workload are selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The selector.
    pub selector: LabelSelector,
    /// Workloads of the namespace that it selects as well, because no label tells them apart.
    pub shared: BTreeSet<String>,
    /// What a reader should know of it, a line each.
    pub notes: Vec<String>,
}

/// By a workload's own selector where that means exactly its pods, otherwise by the fewest labels that do, otherwise by
/// labels that others have and it has not. `None` where it has no labels that last.
pub(super) fn choose(
    given: Option<&LabelSelector>,
    own: &[&Labels],
    others: &[(&WorkloadKey, &Labels)],
) -> Option<Chosen> {
    let is_firm = |selector: &&LabelSelector| {
        let mut keys = selector.requirements().iter().map(|requirement| requirement.key.as_str());
        keys.all(|key| lasts(key) && !is_brittle(key))
    };
    let means_own = |selector: &&LabelSelector| {
        own.iter().all(|labels| selector.matches(labels))
            && !others.iter().any(|(_, labels)| selector.matches(labels))
    };
    if let Some(selector) = given.filter(is_firm).filter(means_own) {
        return Some(Chosen { selector: selector.clone(), shared: BTreeSet::new(), notes: Vec::new() });
    }
    let all: Vec<&Labels> = others.iter().map(|(_, labels)| *labels).collect();
    let found = fewest(own, &all)?;
    let mut selector = labels_selector(&found.labels);
    let mut brittle = found.brittle;
    if !found.exact {
        let also: Vec<&Labels> = all.into_iter().filter(|labels| selector.matches(labels)).collect();
        let absent = absences(own, &also);
        brittle |= absent.iter().any(|requirement| is_brittle(&requirement.key));
        let mut requirements = selector.requirements().to_vec();
        requirements.extend(absent);
        selector = LabelSelector::new(requirements);
    }
    let shared: BTreeSet<String> = others
        .iter()
        .filter(|(_, labels)| selector.matches(labels))
        .map(|(other, _)| other.to_string())
        .collect();
    let mut notes = Vec::new();
    if !shared.is_empty() {
        let names: Vec<&str> = shared.iter().map(String::as_str).collect();
        notes.push(format!(
            "its labels also select {}: what one may, the other may as well",
            names.join(", ")
        ));
    }
    if brittle {
        notes.push(
            "only labels that change with a release or a zone tell it from others: give it one that lasts"
                .to_owned(),
        );
    }
    Some(Chosen { selector, shared, notes })
}

/// Requirements that all of `own` meet and as few of `others` as can be: labels that `own` lack, or have with other
/// values. Each excludes somebody whom those before it don't; labels that last come first.
fn absences(own: &[&Labels], others: &[&Labels]) -> Vec<Requirement> {
    let mut candidates: BTreeMap<(bool, &String), Requirement> = BTreeMap::new();
    for (key, value) in others.iter().flat_map(|labels| labels.iter()).filter(|(key, _)| lasts(key)) {
        let is_lacking = own.iter().all(|labels| !labels.contains_key(key));
        if !is_lacking && own.iter().any(|labels| labels.get(key) == Some(value)) {
            continue;
        }
        let operator = if is_lacking { Operator::DoesNotExist } else { Operator::NotIn };
        let requirement = candidates.entry((is_brittle(key), key)).or_insert_with(|| Requirement {
            key: key.clone(),
            operator,
            values: Vec::new(),
        });
        if !is_lacking {
            requirement.values.push(value.clone());
        }
    }
    let mut left: Vec<&Labels> = others.to_vec();
    let mut taken = Vec::new();
    for requirement in candidates.into_values() {
        let before = left.len();
        let alone = LabelSelector::new(vec![requirement.clone()]);
        left.retain(|labels| alone.matches(labels));
        if left.len() < before {
            taken.push(requirement);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: &[&str], others: &[&str], selector: &str, shared: usize) -> Chosen {
        let labels = |text: &&str| -> Labels {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let own: Vec<Labels> = own.iter().map(labels).collect();
        let key = |number: usize| WorkloadKey {
            namespace: "shop".to_owned(),
            name: format!("w{number}"),
            kind: "Deployment".to_owned(),
        };
        let others: Vec<(WorkloadKey, Labels)> =
            others.iter().enumerate().map(|(number, text)| (key(number), labels(text))).collect();
        let others: Vec<_> = others.iter().map(|(key, labels)| (key, labels)).collect();
        let chosen = choose(None, &own.iter().collect::<Vec<_>>(), &others).expect("they have labels");
        assert_eq!(chosen.selector.to_string(), selector);
        assert_eq!(chosen.shared.len(), shared, "{chosen:?}");
        chosen
    }

    #[test]
    fn what_others_have_tells_a_workload_that_has_nothing_of_its_own() {
        check(&["tier=b"], &["tier=b app=cart"], "!app, tier=b", 0);
        check(&["tier=b app=x", "tier=b"], &["tier=b app=cart"], "app!=cart, tier=b", 0);
        check(&["tier=b"], &["tier=b app=cart", "tier=b track=blue"], "!app, tier=b, !track", 0);
    }

    #[test]
    fn a_label_that_changes_is_lacked_only_where_no_other_is() {
        check(&["tier=b"], &["tier=b app=cart version=2"], "!app, tier=b", 0);
        let chosen = check(&["tier=b"], &["tier=b version=2"], "tier=b, !version", 0);
        assert!(chosen.notes[0].starts_with("only labels that change with a release"), "{chosen:?}");
        check(&["tier=b"], &["tier=b pod-template-hash=1"], "tier=b", 1);
    }

    #[test]
    fn those_that_nothing_tells_apart_are_named() {
        let chosen = check(&["tier=b"], &["tier=b", "tier=b app=cart"], "!app, tier=b", 1);
        assert_eq!(
            chosen.notes,
            ["its labels also select shop/w0[Deployment]: what one may, the other may as well"]
        );
    }
}
