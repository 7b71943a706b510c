#![doc = include_str!("../../../../docs/book/src/checks/cnp-pass-all.md")]

use podgate_api::{Action, ClusterPeer, ClusterPolicy, ClusterRule, ClusterSubject};

use crate::context::{Context, object_ref};
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "cnp-pass-all",
    severity: Severity::Warning,
    title: "A Pass rule for everything ends its tier",
    why: "Pass leaves the whole tier, not only the policy: every rule behind it, in this policy and in those of \
          higher numbers, is never asked for these pods.",
    page: include_str!("../../../../docs/book/src/checks/cnp-pass-all.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.cluster_policies {
        for (list, rules) in [("ingress", &policy.ingress), ("egress", &policy.egress)] {
            let Some(at) = rules.iter().position(passes_all) else { continue };
            let behind = behind(context, policy, list, rules.len() - at - 1);
            if behind.is_empty() {
                continue;
            }
            let message = format!(
                "{} {list}[{at}] passes everything, so that {} {} never asked for its subjects",
                policy.meta.name,
                text::list(&behind),
                text::verb(behind.len(), "is", "are"),
            );
            findings
                .report(&rules[at].source, object_ref(policy.kind.as_str(), &policy.meta), message)
                .advice("put the rules that shall decide before it, or narrow what it passes");
        }
    }
}

fn passes_all(rule: &ClusterRule) -> bool {
    rule.action == Action::Pass
        && rule.ports.is_none()
        && rule.peers.iter().any(|peer| match peer {
            ClusterPeer::Pods { namespaces, pods, .. } => namespaces.is_everything() && pods.is_everything(),
            ClusterPeer::Networks { networks, .. } => networks.iter().any(|net| net.prefix_len() == 0),
            _ => false,
        })
}

/// What is asked after the rule and never gets its turn.
fn behind(context: &Context<'_>, policy: &ClusterPolicy, list: &str, own: usize) -> Vec<String> {
    let mut found = Vec::new();
    if own > 0 {
        found.push(format!("{} behind it", text::count(own, "rule")));
    }
    for other in &context.cluster_policies {
        let rules = if list == "ingress" { &other.ingress } else { &other.egress };
        let later = other.tier == policy.tier && other.priority > policy.priority && !rules.is_empty();
        if later && is_within(&other.subject, &policy.subject) {
            found.push(other.meta.name.clone());
        }
    }
    found
}

/// Whether all subjects of one are surely subjects of the other.
fn is_within(inner: &ClusterSubject, outer: &ClusterSubject) -> bool {
    let is_all = |subject: &ClusterSubject| matches!(subject, ClusterSubject::Pods { namespaces, pods } if namespaces.is_everything() && pods.is_everything());
    inner == outer || is_all(outer)
}
