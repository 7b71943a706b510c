//! Pods that don't exist yet, one for each group of pods that policies can tell apart by their selectors.

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::{
    ClusterPeer, LabelSelector, Labels, Meta, NAMESPACE_NAME_LABEL, Namespace, Object, Operator, Peer, Pod,
    Rule,
};

use super::{Hypothesis, HypothesisNamespaces};

/// Hypothetical pods, with the namespaces that have to be made for them. Names are in brackets, which no
/// real name can have.
pub(super) fn pods(
    namespaces: &[Namespace],
    pods: &[Pod],
    policies: &[Object],
) -> Vec<(Hypothesis, Option<Namespace>, Pod)> {
    let mut wanted: BTreeSet<Hypothesis> = BTreeSet::new();
    wanted.insert(Hypothesis { namespaces: HypothesisNamespaces::Any, pods: None });
    let declared = namespaces.iter().map(|namespace| namespace.meta.name.clone());
    let mentioned = pods.iter().map(|pod| pod.meta.namespace.clone());
    for name in declared.chain(mentioned).collect::<BTreeSet<String>>() {
        wanted.insert(Hypothesis { namespaces: HypothesisNamespaces::Named(name), pods: None });
    }
    for policy in policies {
        match policy {
            Object::NetworkPolicy(policy) => {
                for rule in policy.ingress.iter().chain(&policy.egress) {
                    of_rule(rule, &policy.meta.namespace, &mut wanted);
                }
            }
            Object::ClusterPolicy(policy) => {
                for rule in policy.ingress.iter().chain(&policy.egress) {
                    for peer in &rule.peers {
                        if let ClusterPeer::Pods { namespaces, pods, .. } = peer {
                            want(selected(namespaces), pods, &mut wanted);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let known: BTreeMap<&str, &Labels> =
        namespaces.iter().map(|namespace| (namespace.meta.name.as_str(), &namespace.meta.labels)).collect();
    wanted.into_iter().filter_map(|hypothesis| make(hypothesis, &known)).collect()
}

fn of_rule(rule: &Rule, own: &str, wanted: &mut BTreeSet<Hypothesis>) {
    let everything = LabelSelector::default();
    for peer in rule.peers.iter().flatten() {
        if let Peer::Pods(peer) = peer {
            let namespaces = match &peer.namespaces {
                None => HypothesisNamespaces::Named(own.to_owned()),
                Some(selector) => selected(selector),
            };
            want(namespaces, peer.pods.as_ref().unwrap_or(&everything), wanted);
        }
    }
}

fn want(namespaces: HypothesisNamespaces, pods: &LabelSelector, wanted: &mut BTreeSet<Hypothesis>) {
    let pods = (!pods.is_everything()).then(|| pods.clone());
    wanted.insert(Hypothesis { namespaces, pods });
}

/// A selector for one namespace by its name is that namespace.
fn selected(selector: &LabelSelector) -> HypothesisNamespaces {
    match selector.requirements() {
        [] if !selector.is_invalid() => HypothesisNamespaces::Any,
        [only]
            if only.key == NAMESPACE_NAME_LABEL
                && only.operator == Operator::In
                && only.values.len() == 1 =>
        {
            HypothesisNamespaces::Named(only.values[0].clone())
        }
        _ => HypothesisNamespaces::Selected(selector.clone()),
    }
}

fn make(
    hypothesis: Hypothesis,
    known: &BTreeMap<&str, &Labels>,
) -> Option<(Hypothesis, Option<Namespace>, Pod)> {
    let (namespace, made) = match &hypothesis.namespaces {
        HypothesisNamespaces::Named(name) => (name.clone(), None),
        HypothesisNamespaces::Any => {
            let name = "[any namespace]".to_owned();
            (name.clone(), Some(new_namespace(name, Labels::new())))
        }
        HypothesisNamespaces::Selected(selector) => {
            let labels = example(selector)?;
            if labels.contains_key(NAMESPACE_NAME_LABEL) {
                // Several names at once: those namespaces have hypothetical pods of their own.
                return None;
            }
            let name = format!("[namespaces with {selector}]");
            (name.clone(), (!known.contains_key(name.as_str())).then(|| new_namespace(name, labels)))
        }
    };
    let (name, labels) = match &hypothesis.pods {
        None => ("[any pod]".to_owned(), Labels::new()),
        Some(selector) => (format!("[pods with {selector}]"), example(selector)?),
    };
    let pod = Pod { meta: Meta { name, namespace, labels, ..Meta::default() }, ..Pod::default() };
    Some((hypothesis, made, pod))
}

fn new_namespace(name: String, labels: Labels) -> Namespace {
    Namespace { meta: Meta { name, labels, ..Meta::default() } }
}

/// Labels that the selector selects; `None` when there are none, or it can't be read.
fn example(selector: &LabelSelector) -> Option<Labels> {
    let mut labels = Labels::new();
    for requirement in selector.requirements() {
        match requirement.operator {
            Operator::In => {
                labels.insert(requirement.key.clone(), requirement.values.first()?.clone());
            }
            Operator::Exists => {
                labels.entry(requirement.key.clone()).or_insert_with(|| "any".to_owned());
            }
            Operator::NotIn | Operator::DoesNotExist => {}
        }
    }
    selector.matches(&labels).then_some(labels)
}
