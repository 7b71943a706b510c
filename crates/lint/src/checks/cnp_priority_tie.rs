#![doc = include_str!("../../../../docs/book/src/checks/cnp-priority-tie.md")]

use podgate_api::{ClusterPolicy, ClusterSubject};

use crate::context::{Context, Scope, object_ref};
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "cnp-priority-tie",
    severity: Severity::Warning,
    title: "Two cluster-scoped policies of one tier and priority",
    why: "The API leaves open which of the two is asked first: where one accepts what the other denies, clusters \
          differ. podgate takes them by name.",
    page: include_str!("../../../../docs/book/src/checks/cnp-priority-tie.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (at, policy) in context.cluster_policies.iter().enumerate() {
        for earlier in &context.cluster_policies[..at] {
            if (earlier.tier, earlier.priority) != (policy.tier, policy.priority)
                || !meet(context, earlier, policy)
            {
                continue;
            }
            let message = format!(
                "{} and {} both have priority {} of the {:?} tier and subjects in common",
                earlier.meta.name, policy.meta.name, policy.priority, policy.tier,
            );
            let source = context.key_of(&policy.meta.source, "priority");
            findings
                .report(&source, object_ref(policy.kind.as_str(), &policy.meta), message)
                .advice("give the one that shall be asked first a lower number")
                .related(&context.key_of(&earlier.meta.source, "priority"), "the other one");
        }
    }
}

/// Whether both say something different about some pod: in one direction, with different actions.
fn meet(context: &Context<'_>, a: &ClusterPolicy, b: &ClusterPolicy) -> bool {
    let differ = |a: &[podgate_api::ClusterRule], b: &[podgate_api::ClusterRule]| {
        a.iter().any(|a| b.iter().any(|b| a.action != b.action))
    };
    if !differ(&a.ingress, &b.ingress) && !differ(&a.egress, &b.egress) {
        return false;
    }
    if a.subject == b.subject {
        return true;
    }
    let (
        ClusterSubject::Pods { namespaces: na, pods: pa },
        ClusterSubject::Pods { namespaces: nb, pods: pb },
    ) = (&a.subject, &b.subject)
    else {
        return true;
    };
    let (of_a, of_b) = (context.select(&Scope::Selected(na), pa), context.select(&Scope::Selected(nb), pb));
    of_a.iter().any(|pod| of_b.binary_search(pod).is_ok())
}
