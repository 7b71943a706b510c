#![doc = include_str!("../../../../docs/book/src/checks/other-side-missing.md")]

use std::collections::BTreeMap;

use podgate_analysis::{PodId, PortSet};
use podgate_api::{Peer, PodPeer, Rule};
use podgate_policy::{ClassId, Direction, PortKey, ProgramId, Reason, Verdict};

use crate::context::{Context, Policy, word};
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "other-side-missing",
    severity: Severity::Warning,
    title: "One side allows a connection and the other denies it",
    why: "A connection needs both: egress of the source and ingress of the destination. A rule on one side alone \
          allows nothing where the other side is isolated.",
    page: include_str!("../../../../docs/book/src/checks/other-side-missing.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for (direction, at, rule) in policy.rules_in_force() {
            for peer in rule.peers.iter().flatten() {
                if let Peer::Pods(peer) = peer {
                    look(context, findings, policy, direction, at, rule, peer);
                }
            }
        }
    }
}

fn look(
    context: &Context<'_>,
    findings: &mut Findings<'_>,
    policy: &Policy<'_>,
    direction: Direction,
    at: usize,
    rule: &Rule,
    peer: &PodPeer,
) {
    let others = context.peer_pods(peer, policy.namespace());
    let (subjects, others) = (alike(context, &policy.subjects), alike(context, &others));
    let Some((subject, other, port)) = denied(context, direction, rule, &subjects, &others) else { return };
    let (from, to) = if direction == Direction::Egress { (subject, other) } else { (other, subject) };
    let Some(decision) = context.ask(from, to, port.protocol(), port.port()) else { return };
    let (own, far) = match direction {
        Direction::Egress => (decision.egress, decision.ingress),
        Direction::Ingress => (decision.ingress, decision.egress),
    };
    let named = context.peer_pods(peer, policy.namespace());
    let peers = text::workloads(context.world, named.iter().copied().filter(|pod| !context.is_host(*pod)));
    let (towards, kind) = match direction {
        Direction::Egress => ("to", "ingress"),
        Direction::Ingress => ("from", "egress"),
    };
    let place = format!("{} {}[{at}]", policy.name(), word(direction));
    let reason = if far.verdict == Verdict::Denied { &far.reason } else { &own.reason };
    let closed = match reason {
        Reason::Isolated(policies) => {
            let names: Vec<String> = policies.iter().map(|p| p.to_string()).collect();
            format!("closed by {}", text::list(&names))
        }
        other => format!("denied by {other}"),
    };
    let names = text::list(&peers);
    let message = if far.verdict == Verdict::Denied {
        let whose = text::verb(peers.len(), "its", "their");
        format!(
            "{place} allows connections {towards} {names}, but {whose} {kind} does not let them through: {closed}"
        )
    } else {
        format!("{place} allows connections {towards} {names} in vain: {closed}")
    };
    let finding = findings.report(&peer.source, policy.object_ref(), message);
    if far.verdict == Verdict::Denied {
        finding.fix(
            format!("allow the other side too, at {}", text::list(&peers)),
            other_half(context, policy, direction, rule, subject, other),
        );
    } else {
        finding.advice("change the rule that denies, or remove this one: it allows nothing");
    }
    if let Reason::Isolated(policies) = reason {
        for name in policies {
            let found = context.find_policy(name).map(|at| &context.policies[at]);
            if let Some(found) = found {
                finding.related(&found.object.meta.source, format!("{name} isolates"));
            }
        }
    }
}

/// One pod of each kind that policy can tell apart, those in the host network left out.
fn alike(context: &Context<'_>, pods: &[PodId]) -> Vec<PodId> {
    let mut kinds: BTreeMap<(ClassId, Option<ProgramId>, Option<ProgramId>), PodId> = BTreeMap::new();
    for pod in pods.iter().copied().filter(|pod| !context.is_host(*pod)) {
        if let Some(identity) = context.identity(pod) {
            kinds.entry((identity.class, identity.egress, identity.ingress)).or_insert(pod);
        }
    }
    let mut found: Vec<PodId> = kinds.into_values().collect();
    found.sort_unstable();
    found
}

/// A pair and a port for which the rule is in vain, when it is so for all of its pairs.
fn denied(
    context: &Context<'_>,
    direction: Direction,
    rule: &Rule,
    subjects: &[PodId],
    others: &[PodId],
) -> Option<(PodId, PodId, PortKey)> {
    let mut witness = None;
    for subject in subjects {
        for other in others.iter().filter(|other| *other != subject) {
            let (from, to) =
                if direction == Direction::Egress { (*subject, *other) } else { (*other, *subject) };
            let listens = context.listens(to);
            let ports = context.ports_at(rule.ports.as_deref(), to);
            // Wrong ports are another mistake: what nobody listens on need not be open on both sides.
            let ports = if listens.is_empty() { ports } else { ports.intersection(listens) };
            if ports.is_empty() {
                continue;
            }
            if !context.reaches(from, to).intersection(&ports).is_empty() {
                return None;
            }
            let key =
                ports.intersection(&PortSet::named_protocols()).ranges().first().map(|(lo, _)| PortKey(*lo));
            witness = witness.or(key.map(|key| (*subject, *other, key)));
        }
    }
    witness
}

/// The rule that the other side lacks, as a policy of its own.
fn other_half(
    context: &Context<'_>,
    policy: &Policy<'_>,
    direction: Direction,
    rule: &Rule,
    subject: PodId,
    other: PodId,
) -> String {
    let world = context.world;
    let home = |pod: PodId| &world.workload(world.pod(pod).workload).namespace;
    let labels = |pod: PodId| {
        let labels = &world.pod_object(pod).meta.labels;
        let known = ["app.kubernetes.io/name", "app", "name", "k8s-app"];
        let found = known.iter().find_map(|key| labels.get_key_value(*key)).or_else(|| labels.iter().next());
        found.map_or_else(|| "{}".to_owned(), |(key, value)| format!("{{matchLabels: {{{key}: {value}}}}}"))
    };
    let (list, peers, kind) = match direction {
        Direction::Egress => ("ingress", "from", "Ingress"),
        Direction::Ingress => ("egress", "to", "Egress"),
    };
    let namespace = if home(other) == home(subject) {
        String::new()
    } else {
        format!(
            "namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {}}}}}\n          ",
            home(subject)
        )
    };
    let to = if direction == Direction::Egress { other } else { subject };
    let ports = rule.ports.iter().flatten().fold(String::new(), |text, port| {
        context.port_at(port, to).ranges().iter().fold(text, |text, (lo, hi)| {
            let end = if lo == hi { String::new() } else { format!(", endPort: {}", PortKey(*hi).port()) };
            let first = PortKey(*lo).port();
            // Every port of a protocol needs no number.
            let number = if first == 0 { String::new() } else { format!(", port: {first}{end}") };
            format!("{text}        - {{protocol: {}{number}}}\n", port.protocol)
        })
    });
    let ports = if ports.is_empty() { ports } else { format!("      ports:\n{ports}") };
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {}-{list}
  namespace: {}
spec:
  podSelector: {}
  policyTypes: [{kind}]
  {list}:
    - {peers}:
        - {namespace}podSelector: {}
{ports}",
        policy.object.meta.name,
        home(other),
        labels(other),
        labels(subject),
    )
}
