#![doc = include_str!("../../../../docs/book/src/checks/host-network-subject.md")]

use crate::context::Context;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "host-network-subject",
    severity: Severity::Warning,
    title: "A policy selects pods in the host network, in vain",
    why: "A pod with `hostNetwork: true` has its node's address. Policy can't tell it from the node, so that the \
          pod is neither isolated nor named by any selector.",
    page: include_str!("../../../../docs/book/src/checks/host-network-subject.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        // "Everything" is not meant for these pods in particular.
        if policy.hosts.is_empty() || policy.object.pod_selector.is_everything() {
            continue;
        }
        let names = text::workloads(context.world, policy.hosts.iter().copied());
        let rest = if policy.subjects.is_empty() { ", and nothing else" } else { "" };
        let message = format!(
            "{} selects {}{rest}, but {} in the host network: the policy has no effect there",
            policy.name(),
            text::list(&names),
            text::verb(names.len(), "its pods are", "their pods are"),
        );
        let source = context.key_of(&policy.object.meta.source, "podSelector");
        let first = context.world.workload(context.world.pod(policy.hosts[0]).workload);
        findings
            .report(&source, policy.object_ref(), message)
            .advice(
                "take the pods out of the host network, or protect the node's ports with the node's firewall",
            )
            .related(&first.source, "hostNetwork is set here");
    }
}
