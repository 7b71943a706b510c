#![doc = include_str!("../../../../docs/book/src/checks/cnp-shadowed.md")]

use std::collections::BTreeSet;

use podgate_api::{ClusterPeer, ClusterPortMatch, ClusterSubject, PortMatch};
use podgate_policy::{Decider, DeciderId, Direction, Effect, ProgramId, Programs, Reason, RuleRef, Tier};

use crate::context::{Context, Scope};
use crate::finding::ObjectRef;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "cnp-shadowed",
    severity: Severity::Warning,
    title: "A cluster-scoped rule that never decides",
    why: "Cluster-scoped rules are asked in order and the first that matches decides. A rule behind one that \
          matches all of its traffic is never asked, or says what would happen anyway.",
    page: include_str!("../../../../docs/book/src/checks/cnp-shadowed.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.cluster_policies.is_empty() {
        return;
    }
    let deciding = deciding(context);
    for policy in &context.redundancies {
        // Pass never decides; it is asked for what it lets others decide.
        let rules = policy
            .rules
            .iter()
            .filter(|rule| rule.rule.tier != Tier::NetworkPolicy && rule.effect != Effect::Pass);
        for rule in rules.filter(|rule| rule.matches && !deciding.contains(&key(&rule.rule))) {
            let object = ObjectRef {
                kind: policy.policy.kind.clone(),
                namespace: String::new(),
                name: policy.policy.name.clone(),
            };
            let by = earlier(context, &rule.rule);
            let message = match &by {
                Some(by) => {
                    format!("{} never decides: {by} comes first and matches all of its traffic", rule.rule)
                }
                None => format!("{} never decides: rules before it match all of its traffic", rule.rule),
            };
            let finding = findings.report(&rule.rule.source, object, message);
            finding.advice("put it before the rule that hides it, or remove it");
            if let Some(by) = by {
                finding.related(&by.source, format!("{by} is asked first"));
            }
        }
    }
}

type Key = (String, String, Direction, u32);

fn key(rule: &RuleRef) -> Key {
    (rule.policy.kind.clone(), rule.policy.name.clone(), rule.direction, rule.index)
}

/// All rules that decide something, somewhere.
fn deciding(context: &Context<'_>) -> BTreeSet<Key> {
    let cluster = &context.world.cluster;
    let identities = context.world.variants.iter().flat_map(|variant| &variant.identities);
    let programs: BTreeSet<ProgramId> =
        identities.flat_map(|(_, identity)| [identity.egress, identity.ingress]).flatten().collect();
    let mut deciders: BTreeSet<DeciderId> = BTreeSet::new();
    for program in programs.into_iter().filter_map(|id| cluster.program(id)) {
        for row in program.rows().map(|(_, row)| row).chain(program.default_rows()) {
            deciders.extend(row.ranges.iter().map(|range| range.outcome.decider));
            deciders.insert(row.otherwise.decider);
        }
    }
    let found = deciders.into_iter().filter_map(|id| cluster.decider(id));
    found
        .filter_map(|decider| if let Decider::Rule(rule) = decider { Some(key(&rule)) } else { None })
        .collect()
}

/// A rule that decides where this one matches, for some pair of pods.
fn earlier(context: &Context<'_>, rule: &RuleRef) -> Option<RuleRef> {
    let policy = context
        .cluster_policies
        .iter()
        .find(|policy| policy.kind.as_str() == rule.policy.kind && policy.meta.name == rule.policy.name)?;
    let ClusterSubject::Pods { namespaces, pods } = &policy.subject else { return None };
    let rules = if rule.direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
    let written = rules.get(rule.index as usize)?;
    let subject = *context.select(&Scope::Selected(namespaces), pods).first()?;
    let other = written.peers.iter().find_map(|peer| match peer {
        ClusterPeer::Pods { namespaces, pods, .. } => {
            context.select(&Scope::Selected(namespaces), pods).iter().copied().find(|pod| *pod != subject)
        }
        _ => None,
    })?;
    let (protocol, port) = match written.ports.iter().flatten().next().map(|port| &port.matches) {
        Some(ClusterPortMatch::Port(protocol, PortMatch::Range(first, _))) => (protocol.number(), *first),
        Some(ClusterPortMatch::Port(protocol, _)) => (protocol.number(), 80),
        _ => (6, 80),
    };
    let (from, to) = if rule.direction == Direction::Ingress { (other, subject) } else { (subject, other) };
    let decision = context.ask(from, to, protocol, port)?;
    let side = if rule.direction == Direction::Ingress { decision.ingress } else { decision.egress };
    match side.reason {
        Reason::Rule(by) => Some(by),
        _ => None,
    }
}
