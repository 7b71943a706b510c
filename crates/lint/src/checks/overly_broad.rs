#![doc = include_str!("../../../../docs/book/src/checks/overly-broad.md")]

use std::collections::BTreeSet;

use podgate_analysis::{PodId, PortSet, WorkloadId};
use podgate_api::{LabelSelector, Peer, Rule};
use podgate_policy::{Direction, PortKey};

use crate::context::{Context, Policy, Scope, data_store, word};
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "overly-broad",
    severity: Severity::Warning,
    title: "A rule that opens to everybody",
    why: "One rule for all sources outweighs every careful rule next to it: policies only add up.",
    page: include_str!("../../../../docs/book/src/checks/overly-broad.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        if context.is_system(policy.namespace()) || policy.subjects.is_empty() {
            continue;
        }
        for (direction, at, rule) in policy.rules_in_force() {
            let Some(whom) = everybody(rule) else { continue };
            match direction {
                Direction::Ingress => ingress(context, findings, policy, at, rule, whom),
                Direction::Egress => egress(context, findings, policy, at, rule, whom),
            }
        }
    }
}

/// Whom a rule means, when it means everybody.
fn everybody(rule: &Rule) -> Option<&'static str> {
    let Some(peers) = &rule.peers else { return Some("anybody") };
    let is_all =
        |selector: &Option<LabelSelector>| selector.as_ref().is_none_or(LabelSelector::is_everything);
    peers.iter().find_map(|peer| match peer {
        Peer::Pods(peer) if peer.namespaces.is_some() && is_all(&peer.namespaces) && is_all(&peer.pods) => {
            Some("every pod of every namespace")
        }
        Peer::IpBlock(block) if block.cidr.prefix_len() == 0 && block.except.is_empty() => {
            Some("every address")
        }
        _ => None,
    })
}

fn ingress(
    context: &Context<'_>,
    findings: &mut Findings<'_>,
    policy: &Policy<'_>,
    at: usize,
    rule: &Rule,
    whom: &str,
) {
    // Pods that are there for everybody: behind a way in from outside, or the cluster's DNS.
    let is_public = |pod: &PodId| {
        // Every port of a pod is more than its way in needs.
        context.dns.is_server(*pod) || (rule.ports.is_some() && context.is_entered(*pod))
    };
    let subjects: Vec<PodId> = policy.subjects.iter().copied().filter(|pod| !is_public(pod)).collect();
    let Some(first) = subjects.first() else { return };
    let ports = |pod: PodId| context.ports_at(rule.ports.as_deref(), pod);
    let store = subjects.iter().find_map(|pod| {
        let declared = &context.world.pod_object(*pod).ports;
        let open = ports(*pod);
        declared.iter().find_map(|port| {
            let what = data_store(port.protocol, port.port)?;
            open.contains(PortKey::new(port.protocol.number(), port.port))
                .then(|| format!("{what} on {} {}", port.protocol, port.port))
        })
    });
    let open = ports(*first);
    if open.is_empty() {
        return;
    }
    let names = text::workloads(context.world, subjects.iter().copied());
    let (all, others) = opened(context, policy, *first, at);
    let on = match &store {
        Some(store) => format!(" ({store})"),
        None if rule.ports.is_none() => " on every port".to_owned(),
        None => format!(" on {open}"),
    };
    let message = format!(
        "{} ingress[{at}] lets {whom} reach {}{on}: {}, where the other rules open to {others}",
        policy.name(),
        text::list(&names),
        text::count(all, "workload"),
    );
    let entered = subjects.iter().all(|pod| context.is_entered(*pod));
    let all_ports = rule.ports.is_none() && !entered;
    let severity = if store.is_some() || all_ports { Severity::Warning } else { Severity::Info };
    findings.report(&rule.source, policy.object_ref(), message).severity(severity).advice(
        "name the pods that need it in `from`; to open to the own namespace only, write `podSelector: {}`",
    );
}

/// How many workloads the rule opens to, and how many the other rules for the pod open to.
fn opened(context: &Context<'_>, policy: &Policy<'_>, subject: PodId, at: usize) -> (usize, usize) {
    let of = |pods: Vec<PodId>| -> BTreeSet<WorkloadId> {
        pods.into_iter().map(|pod| context.world.pod(pod).workload).collect()
    };
    let all = context.select(&Scope::Selected(&LabelSelector::default()), &LabelSelector::default());
    let mut others: BTreeSet<WorkloadId> = BTreeSet::new();
    for (_, other) in context.policies_of(subject).filter(|(_, other)| other.object.ingress_in_force) {
        let is_this = other.object.meta == policy.object.meta;
        let rules = other.object.ingress.iter().enumerate();
        for (_, rule) in rules.filter(|(place, _)| !(is_this && *place == at)) {
            others.extend(of(context.rule_pods(rule.peers.as_deref(), other.namespace())));
        }
    }
    (of(all.to_vec()).len(), others.len())
}

/// Calling anybody is common and often meant; calling anybody on any port deserves a word where other rules of the
/// same policy are careful.
fn egress(
    context: &Context<'_>,
    findings: &mut Findings<'_>,
    policy: &Policy<'_>,
    at: usize,
    rule: &Rule,
    whom: &str,
) {
    let ports = rule.ports.as_deref().map_or_else(PortSet::all, crate::context::numeric);
    let everything = PortSet::protocol(podgate_api::Protocol::Tcp).is_subset(&ports);
    if !everything || rule.ports.as_ref().is_some_and(|ports| ports.is_empty()) {
        return;
    }
    let names = text::workloads(context.world, policy.subjects.iter().copied());
    let message = format!(
        "{} {}[{at}] lets {} call {whom} on every port, the cloud's metadata service too",
        policy.name(),
        word(Direction::Egress),
        text::list(&names),
    );
    findings
        .report(&rule.source, policy.object_ref(), message)
        .severity(Severity::Info)
        .advice("name what the pods call, and DNS; a pod that is taken over can send data anywhere");
}
