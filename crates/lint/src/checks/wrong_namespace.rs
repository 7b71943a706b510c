#![doc = include_str!("../../../../docs/book/src/checks/wrong-namespace.md")]

use std::collections::BTreeSet;

use podgate_api::LabelSelector;

use crate::context::{Context, Policy, Scope};
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "wrong-namespace",
    severity: Severity::Warning,
    title: "The pods that a policy selects are in another namespace",
    why: "A NetworkPolicy selects pods of its own namespace only. Applied next to the wrong one it protects \
          nothing, without any error.",
    page: include_str!("../../../../docs/book/src/checks/wrong-namespace.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        let elsewhere = elsewhere(context, policy);
        if elsewhere.is_empty() {
            continue;
        }
        let selector = text::selector(&policy.object.pod_selector);
        let message = format!(
            "{} selects no pod: pods with {selector} are in {}, not in {}",
            policy.name(),
            text::list(&elsewhere),
            policy.namespace(),
        );
        let source = context.name_of(&policy.object.meta);
        let finding = findings.report(&source, policy.object_ref(), message);
        match &elsewhere[..] {
            [one] => {
                finding.fix("move the policy to the pods", format!("metadata:\n  namespace: {one}\n"));
            }
            _ => {
                finding.advice("write the policy once in each of these namespaces");
            }
        }
    }
}

/// Where the pods are that a policy without subjects was meant for.
pub(super) fn elsewhere<'w>(context: &Context<'w>, policy: &Policy<'_>) -> Vec<&'w str> {
    let selector = &policy.object.pod_selector;
    let selects = !policy.subjects.is_empty() || !policy.hosts.is_empty();
    if selects || selector.is_everything() || selector.is_invalid() {
        return Vec::new();
    }
    // What the selector does not ask for, everybody answers.
    let asks = selector
        .requirements()
        .iter()
        .any(|r| !r.values.is_empty() && r.operator == podgate_api::Operator::In);
    if !asks {
        return Vec::new();
    }
    let everywhere = LabelSelector::default();
    let pods = context.select(&Scope::Selected(&everywhere), selector);
    let names: BTreeSet<&str> = pods
        .iter()
        .filter(|pod| !context.is_host(**pod))
        .map(|pod| context.world.workload(context.world.pod(*pod).workload).namespace.as_str())
        .collect();
    names.into_iter().collect()
}
