#![doc = include_str!("../../../../docs/book/src/checks/namespace-name-label.md")]

use podgate_api::{ClusterPeer, ClusterSubject, LabelSelector, NAMESPACE_NAME_LABEL, Operator, Peer, Source};

use crate::context::{Context, object_ref, title, word};
use crate::finding::ObjectRef;
use crate::locate;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "namespace-name-label",
    severity: Severity::Warning,
    title: "A namespace is selected by a label that it doesn't carry",
    why: "Namespaces have no `name` label unless somebody puts one on them; the API server labels each with \
          `kubernetes.io/metadata.name`. A selector for another key matches nothing, so the rule allows nobody.",
    page: include_str!("../../../../docs/book/src/checks/namespace-name-label.md"),
    run,
};

/// Labels that people take for the namespace's name.
const MISTAKEN: [&str; 9] = [
    "name",
    "namespace",
    "ns",
    "metadata.name",
    "kubernetes.io/name",
    "kubernetes.io/namespace",
    "kubernetes.io/metadata.namespace",
    "kubernetes.io/namespace.name",
    "k8s.io/metadata.name",
];

/// Namespaces that clusters have and manifests leave out.
const WELL_KNOWN: [&str; 14] = [
    "default",
    "kube-system",
    "kube-public",
    "ingress-nginx",
    "nginx-ingress",
    "traefik",
    "monitoring",
    "prometheus",
    "logging",
    "istio-system",
    "cert-manager",
    "argocd",
    "openshift-ingress",
    "openshift-monitoring",
];

/// The key and value that were written where a namespace's name is meant.
pub(super) fn mistaken<'s>(context: &Context<'_>, selector: &'s LabelSelector) -> Option<(&'s str, &'s str)> {
    selector.requirements().iter().filter(|r| r.operator == Operator::In && r.values.len() == 1).find_map(
        |r| {
            let (key, value) = (r.key.as_str(), r.values[0].as_str());
            let carried =
                || context.namespaces().any(|(_, labels)| labels.get(key).is_some_and(|v| v == value));
            let exists =
                || WELL_KNOWN.contains(&value) || context.namespaces().any(|(name, _)| name == value);
            (MISTAKEN.contains(&key) && exists() && !carried()).then_some((key, value))
        },
    )
}

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for (direction, at, rule) in policy.rules_in_force() {
            for peer in rule.peers.iter().flatten() {
                if let Peer::Pods(peer) = peer
                    && let Some(selector) = &peer.namespaces
                {
                    let place = format!("{} {}[{at}]", policy.name(), word(direction));
                    look(context, findings, selector, &peer.source, &place, policy.object_ref());
                }
            }
        }
    }
    for policy in &context.cluster_policies {
        let object = || object_ref(policy.kind.as_str(), &policy.meta);
        if let ClusterSubject::Pods { namespaces, .. } = &policy.subject {
            let place = format!("the subject of {}", title(&policy.meta));
            let source = context.key_of(&policy.meta.source, "subject");
            look(context, findings, namespaces, &source, &place, object());
        }
        let lists = [("ingress", &policy.ingress), ("egress", &policy.egress)];
        for (list, rules) in lists {
            for (at, rule) in rules.iter().enumerate() {
                for peer in &rule.peers {
                    if let ClusterPeer::Pods { namespaces, source, .. } = peer {
                        let place = format!("{} {list}[{at}]", title(&policy.meta));
                        look(context, findings, namespaces, source, &place, object());
                    }
                }
            }
        }
    }
}

fn look(
    context: &Context<'_>,
    findings: &mut Findings<'_>,
    selector: &LabelSelector,
    source: &Source,
    place: &str,
    object: ObjectRef,
) {
    let Some((key, value)) = mistaken(context, selector) else { return };
    let text = context.text_of(source);
    let edit =
        text.as_ref().and_then(|text| locate::rename_key(text, source, key, value, NAMESPACE_NAME_LABEL));
    let source = edit.as_ref().map_or_else(|| context.key_of(source, key), |edit| source.at(edit.first, 0));
    let known = if context.is_declared(value) {
        format!("namespace {value} does not carry {key}={value}")
    } else {
        format!("no namespace here carries {key}={value}")
    };
    findings
        .report(&source, object, format!("{place} selects namespaces with {key}={value}, but {known}"))
        .fix(
            "select the namespace by the label that every namespace has",
            format!("namespaceSelector:\n  matchLabels:\n    {NAMESPACE_NAME_LABEL}: {value}\n"),
        )
        .edit(edit);
}
