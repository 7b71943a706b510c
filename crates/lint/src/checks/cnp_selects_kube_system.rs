#![doc = include_str!("../../../../docs/book/src/checks/cnp-selects-kube-system.md")]

use podgate_analysis::PodId;
use podgate_api::{Action, ClusterPolicy, ClusterSubject, Labels, NAMESPACE_NAME_LABEL, Protocol};
use podgate_policy::{Decision, Reason, Side, Verdict};

use crate::context::{Context, object_ref};
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "cnp-selects-kube-system",
    severity: Severity::Warning,
    title: "A cluster-scoped policy closes the cluster's own services",
    why: "`namespaces: {}` is every namespace, kube-system with the cluster's DNS as well: one broad Deny stops \
          name resolution and more for everybody.",
    page: include_str!("../../../../docs/book/src/checks/cnp-selects-kube-system.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.cluster_policies {
        let denies = policy.ingress.iter().chain(&policy.egress).any(|rule| rule.action == Action::Deny);
        let Some(namespace) = system_namespace(context, policy).filter(|_| denies) else { continue };
        let Some(what) = closed(context, policy, namespace) else { continue };
        let message = format!("{} selects pods of {namespace} and {what}", policy.meta.name);
        let source = context.key_of(&policy.meta.source, "subject");
        findings.report(&source, object_ref(policy.kind.as_str(), &policy.meta), message).fix(
            "leave the system's namespaces out",
            format!(
                "subject:\n  namespaces:\n    matchExpressions:\n      - {{key: kubernetes.io/metadata.name, operator: NotIn, values: [{namespace}]}}\n"
            ),
        );
    }
}

/// The system namespace whose pods the policy is about; it is there also where the input leaves it out.
fn system_namespace<'s>(context: &'s Context<'_>, policy: &ClusterPolicy) -> Option<&'s str> {
    let ClusterSubject::Pods { namespaces, .. } = &policy.subject else { return None };
    context.settings.system_namespaces.iter().map(String::as_str).find(|name| {
        let known = context.namespaces().find(|(known, _)| known == name);
        let own = Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), (*name).to_owned())]);
        namespaces.matches(known.map_or(&own, |(_, labels)| labels))
    })
}

/// What the policy closes that everybody needs, as the engine answers.
fn closed(context: &Context<'_>, policy: &ClusterPolicy, namespace: &str) -> Option<&'static str> {
    let stranger = context.stranger()?;
    let by_this = |reason: &Reason| matches!(reason, Reason::Rule(rule) if rule.policy.kind == policy.kind.as_str() && rule.policy.name == policy.meta.name);
    let denied = |side: &Side| side.verdict == Verdict::Denied && by_this(&side.reason);
    let asks = |from: PodId, side: fn(&Decision) -> &Side| {
        context.dns.servers.iter().any(|server| {
            let port = server.udp.first().copied().unwrap_or(53);
            context
                .ask(from, server.pod, Protocol::Udp.number(), port)
                .is_some_and(|found| denied(side(&found)))
        })
    };
    if asks(stranger, |decision| &decision.ingress) {
        return Some("denies DNS queries of other namespaces");
    }
    let newcomer = context.newcomer(namespace)?;
    asks(newcomer, |decision| &decision.egress).then_some("denies their own DNS queries")
}
