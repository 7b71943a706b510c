#![doc = include_str!("../../../../docs/book/src/checks/selects-nothing.md")]

use std::collections::BTreeSet;

use podgate_analysis::PodId;
use podgate_api::{LabelSelector, Operator, Peer, PodPeer};

use super::{namespace_name_label, peer_and_or_split, wrong_namespace};
use crate::context::{Context, Policy, word};
use crate::near::nearest;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "selects-nothing",
    severity: Severity::Warning,
    title: "A selector that no pod or namespace answers to",
    why: "A policy without subjects protects nobody, and a peer without pods allows nobody; both look as if they \
          worked. Most often a label is misspelt or was renamed.",
    page: include_str!("../../../../docs/book/src/checks/selects-nothing.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        subject(context, findings, policy);
        for (direction, at, rule) in policy.rules_in_force() {
            for peer in rule.peers.iter().flatten() {
                if let Peer::Pods(peer) = peer
                    && !peer_and_or_split::is_half(context, policy, rule, peer)
                {
                    let place = format!("{} {}[{at}]", policy.name(), word(direction));
                    peer_pods(context, findings, policy, &place, peer);
                }
            }
        }
    }
}

fn subject(context: &Context<'_>, findings: &mut Findings<'_>, policy: &Policy<'_>) {
    let (selector, own) = (&policy.object.pod_selector, policy.namespace());
    let here = context.pods_in(own);
    let selects = !policy.subjects.is_empty() || !policy.hosts.is_empty();
    if selects || here.is_empty() || selector.is_everything() || selector.is_invalid() {
        return;
    }
    let slip = slip(context, selector, here);
    if slip.is_none() && !wrong_namespace::elsewhere(context, policy).is_empty() {
        return;
    }
    let message = format!("{} selects no pod: none in {own} has {}", policy.name(), text::selector(selector));
    let source = context.key_of(&policy.object.meta.source, "podSelector");
    tell(findings, context, &source, policy, message, selector, here, slip);
}

fn peer_pods(
    context: &Context<'_>,
    findings: &mut Findings<'_>,
    policy: &Policy<'_>,
    place: &str,
    peer: &PodPeer,
) {
    let own = policy.namespace();
    let namespaces: Vec<&str> = match &peer.namespaces {
        None => vec![own],
        Some(selector) => context.namespaces_with(selector),
    };
    if namespaces.is_empty() {
        no_namespace(context, findings, policy, place, peer);
        return;
    }
    let Some(selector) = peer.pods.as_ref().filter(|s| !s.is_everything() && !s.is_invalid()) else { return };
    let selected = context.peer_pods(peer, own);
    if selected.iter().any(|pod| !context.is_host(*pod)) {
        return;
    }
    let source = context.key_of(&peer.source, "podSelector");
    if let Some(first) = selected.first() {
        let names = text::workloads(context.world, selected.iter().copied());
        let message = format!(
            "{place} names {}, but {} of {} share their node's addresses: no selector matches them",
            text::peer(peer, own),
            text::verb(names.len(), "the pods", "all pods"),
            text::list(&names),
        );
        let workload = context.world.workload(context.world.pod(*first).workload);
        findings
            .report(&source, policy.object_ref(), message)
            .advice("name the nodes' addresses in an `ipBlock`, or take the pods out of the host network")
            .related(&workload.source, "hostNetwork pods come from here");
        return;
    }
    let candidates: Vec<PodId> = namespaces.iter().flat_map(|name| context.pods_in(name)).copied().collect();
    // Everybody knows the cluster's DNS, also where the input leaves it out.
    let is_dns = context.dns.hypothetical
        && selector.requirements().iter().any(|r| r.values.iter().any(|v| v.contains("dns")));
    if candidates.is_empty() || is_dns {
        return;
    }
    let slip = slip(context, selector, &candidates);
    let message = format!("{place} allows nobody by this peer: there are no {}", text::peer(peer, own));
    tell(findings, context, &source, policy, message, selector, &candidates, slip);
}

/// No namespace answers to the peer: a mistake only where the input shows what was meant.
fn no_namespace(
    context: &Context<'_>,
    findings: &mut Findings<'_>,
    policy: &Policy<'_>,
    place: &str,
    peer: &PodPeer,
) {
    let Some(selector) = peer.namespaces.as_ref().filter(|s| !s.is_invalid()) else { return };
    if namespace_name_label::mistaken(context, selector).is_some() {
        return;
    }
    let by_name = selector.requirements().iter().any(|r| r.key == podgate_api::NAMESPACE_NAME_LABEL);
    let slip =
        selector.requirements().iter().filter(|r| r.operator == Operator::In).find_map(|requirement| {
            let [value] = &requirement.values[..] else { return None };
            let known: BTreeSet<&str> = context
                .namespaces()
                .filter_map(|(_, labels)| labels.get(&requirement.key).map(String::as_str))
                .collect();
            Some((value.clone(), nearest(value, known)?.to_owned()))
        });
    // A namespace that the input lacks may well exist; one with such labels is expected where labels are shown.
    let shows_labels = context.world.namespaces.len() > 1
        && context.namespaces().all(|(name, _)| context.is_declared(name) || context.is_system(name));
    if slip.is_none() && (by_name || !shows_labels) {
        return;
    }
    let source = context.key_of(&peer.source, "namespaceSelector");
    let message =
        format!("{place} allows nobody by this peer: no namespace has {}", text::selector(selector));
    let finding = findings.report(&source, policy.object_ref(), message);
    match slip {
        Some((written, meant)) => {
            finding.message.push_str(&format!("; did you mean {meant}?"));
            finding.advice(format!("write `{meant}` for `{written}`"));
        }
        None => {
            finding.severity(Severity::Info).advice("label the namespace that was meant, or remove the peer");
        }
    }
}

/// A label that was probably meant: as written, as it is on pods.
type Slip = (String, String);

fn slip(context: &Context<'_>, selector: &LabelSelector, pods: &[PodId]) -> Option<Slip> {
    for requirement in selector.requirements().iter().filter(|r| r.operator == Operator::In) {
        let [value] = &requirement.values[..] else { continue };
        let labels = || pods.iter().map(|pod| &context.world.pod_object(*pod).meta.labels);
        let values: BTreeSet<&str> =
            labels().filter_map(|l| l.get(&requirement.key).map(String::as_str)).collect();
        if values.contains(value.as_str()) {
            continue;
        }
        let written = format!("{}={value}", requirement.key);
        if let Some(near) = nearest(value, values) {
            return Some((written, format!("{}={near}", requirement.key)));
        }
        let keys: BTreeSet<&str> =
            labels().flatten().filter(|(_, v)| *v == value).map(|(key, _)| key.as_str()).collect();
        let same_word = keys.iter().find(|key| tail(key) == tail(&requirement.key)).copied();
        if let Some(near) = same_word.or_else(|| nearest(&requirement.key, keys)) {
            return Some((written, format!("{near}={value}")));
        }
    }
    None
}

/// The part of a label's key behind its prefix.
fn tail(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

#[expect(clippy::too_many_arguments, reason = "two calls, and each part is of the sentence")]
fn tell(
    findings: &mut Findings<'_>,
    context: &Context<'_>,
    source: &podgate_api::Source,
    policy: &Policy<'_>,
    message: String,
    selector: &LabelSelector,
    candidates: &[PodId],
    slip: Option<Slip>,
) {
    let has_key =
        |key: &str| candidates.iter().any(|pod| context.world.pod_object(*pod).meta.labels.contains_key(key));
    // Labels of a kind that no pod here has are somebody else's: pods that an operator makes, for one.
    let known = selector.requirements().iter().all(|requirement| has_key(&requirement.key));
    let finding = findings.report(source, policy.object_ref(), message);
    match slip {
        Some((written, meant)) => {
            finding.message.push_str(&format!("; did you mean {meant}?"));
            finding.advice(format!(
                "write `{}` for `{}`",
                meant.replace('=', ": "),
                written.replace('=', ": ")
            ));
        }
        None => {
            finding.severity(if known { Severity::Warning } else { Severity::Info });
            finding.advice("give the pods these labels, or remove what names them");
        }
    }
}
