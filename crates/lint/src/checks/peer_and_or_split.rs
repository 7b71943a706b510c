#![doc = include_str!("../../../../docs/book/src/checks/peer-and-or-split.md")]

use podgate_api::{Peer, PodPeer, Rule, Source};
use podgate_policy::Direction;

use crate::context::{Context, Policy, word};
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "peer-and-or-split",
    severity: Severity::Warning,
    title: "Two list items where one AND peer seems meant",
    why: "Each `-` begins a peer of its own and peers are alternatives: one dash too many turns \"these pods of \
          that namespace\" into \"every pod of that namespace, or these pods here\".",
    page: include_str!("../../../../docs/book/src/checks/peer-and-or-split.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for (direction, at, rule) in policy.rules_in_force() {
            let peers = rule.peers.as_deref().unwrap_or_default();
            for pair in peers.windows(2) {
                let [Peer::Pods(first), Peer::Pods(second)] = pair else { continue };
                let (Some((namespaces, pods)), in_order) = (split(first, second), first.pods.is_none())
                else {
                    continue;
                };
                if is_meant_as_one(context, policy, namespaces, pods, in_order) {
                    tell(context, findings, policy, direction, at, namespaces, pods, &second.source);
                }
            }
        }
    }
}

/// Whether a peer is one of two that seem meant as one: what it selects alone means nothing.
pub(super) fn is_half(context: &Context<'_>, policy: &Policy<'_>, rule: &Rule, peer: &PodPeer) -> bool {
    let peers = rule.peers.as_deref().unwrap_or_default();
    peers.windows(2).any(|pair| {
        let [Peer::Pods(first), Peer::Pods(second)] = pair else { return false };
        let is_of_pair = std::ptr::eq(first, peer) || std::ptr::eq(second, peer);
        is_of_pair
            && split(first, second).is_some_and(|(namespaces, pods)| {
                is_meant_as_one(context, policy, namespaces, pods, first.pods.is_none())
            })
    })
}

/// A peer with a namespace selector only, and one with a pod selector only.
fn split<'p>(first: &'p PodPeer, second: &'p PodPeer) -> Option<(&'p PodPeer, &'p PodPeer)> {
    let is_namespaces = |peer: &PodPeer| peer.namespaces.is_some() && peer.pods.is_none();
    let is_pods = |peer: &PodPeer| {
        peer.namespaces.is_none() && peer.pods.as_ref().is_some_and(|pods| !pods.is_everything())
    };
    if is_namespaces(first) && is_pods(second) {
        Some((first, second))
    } else if is_pods(first) && is_namespaces(second) {
        Some((second, first))
    } else {
        None
    }
}

fn together(namespaces: &PodPeer, pods: &PodPeer) -> PodPeer {
    PodPeer {
        namespaces: namespaces.namespaces.clone(),
        pods: pods.pods.clone(),
        source: namespaces.source.clone(),
    }
}

fn is_meant_as_one(
    context: &Context<'_>,
    policy: &Policy<'_>,
    namespaces: &PodPeer,
    pods: &PodPeer,
    in_order: bool,
) -> bool {
    let own = policy.namespace();
    let both = context.peer_pods(&together(namespaces, pods), own);
    let here = context.peer_pods(pods, own);
    let there = context.peer_pods(namespaces, own);
    // With everything of the own namespace in the first peer, the second one says nothing.
    let holds_own = namespaces.namespaces.as_ref().is_some_and(|s| context.namespaces_with(s).contains(&own));
    if !both.is_empty() && (here.is_empty() || holds_own) {
        return there.len() > both.len();
    }
    // A namespace or pods that the input lacks: the shape alone speaks, and only where the pods are not here.
    in_order && here.is_empty() && there.is_empty() && !holds_own && is_unknown(context, namespaces)
}

/// Nothing is known of the namespaces that a peer selects.
fn is_unknown(context: &Context<'_>, peer: &PodPeer) -> bool {
    let Some(selector) = &peer.namespaces else { return false };
    context.namespaces_with(selector).iter().all(|name| context.pods_in(name).is_empty())
}

#[expect(clippy::too_many_arguments, reason = "one call, and each says its part of the sentence")]
fn tell(
    context: &Context<'_>,
    findings: &mut Findings<'_>,
    policy: &Policy<'_>,
    direction: Direction,
    at: usize,
    namespaces: &PodPeer,
    pods: &PodPeer,
    source: &Source,
) {
    let own = policy.namespace();
    let opened = text::workloads(context.world, context.peer_pods(namespaces, own).iter().copied());
    let meant =
        text::workloads(context.world, context.peer_pods(&together(namespaces, pods), own).iter().copied());
    let mut message = format!(
        "{} {}[{at}] allows {}, or {}",
        policy.name(),
        word(direction),
        text::peer(namespaces, own),
        text::peer(pods, own),
    );
    if !opened.is_empty() {
        message.push_str(&format!(
            ": {} where {} seems meant",
            text::count(opened.len(), "workload"),
            if meant.is_empty() { "none".to_owned() } else { format!("only {}", text::list(&meant)) }
        ));
    }
    let list = if direction == Direction::Ingress { "from" } else { "to" };
    let selectors = |peer: &PodPeer| {
        let namespaces = peer.namespaces.as_ref().map(|s| text::selector_yaml("namespaceSelector", s, 4));
        let pods = peer.pods.as_ref().map(|s| text::selector_yaml("podSelector", s, 4));
        namespaces.unwrap_or_default() + &pods.unwrap_or_default()
    };
    let one = selectors(&together(namespaces, pods));
    findings
        .report(source, policy.object_ref(), message)
        .fix("write both selectors in one list item", format!("{list}:\n  - {}", one.trim_start()));
}
