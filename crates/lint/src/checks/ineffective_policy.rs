#![doc = include_str!("../../../../docs/book/src/checks/ineffective-policy.md")]

use podgate_policy::{Direction, PolicyRef};

use crate::context::{Context, Policy};
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "ineffective-policy",
    severity: Severity::Warning,
    title: "A policy that selects pods and changes no verdict",
    why: "It isolates its pods and allows everything again, which is what they would have without it: it looks \
          like protection and is none.",
    page: include_str!("../../../../docs/book/src/checks/ineffective-policy.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (policy, found) in unneeded(context) {
        if !matches!(found, Use::Nothing) || policy.subjects.is_empty() {
            continue;
        }
        let names = text::workloads(context.world, policy.subjects.iter().copied());
        let message = format!(
            "{} selects {} and changes nothing: {} as open as without it",
            policy.name(),
            text::list(&names),
            text::verb(names.len(), "it is", "they are"),
        );
        let source = context.name_of(&policy.object.meta);
        findings
            .report(&source, policy.object_ref(), message)
            .advice("allow only what is meant, or remove the policy so that nobody relies on it");
    }
}

/// Why nothing would change without a policy.
pub(super) enum Use<'r> {
    /// These do the same.
    Covered(&'r [PolicyRef]),
    /// Its pods would be as open without it.
    Nothing,
}

/// NetworkPolicies that select pods and change no verdict, by place.
pub(super) fn unneeded<'c, 'w>(context: &'c Context<'w>) -> Vec<(&'c Policy<'w>, Use<'c>)> {
    let mut found = Vec::new();
    for known in context.redundancies.iter().filter(|policy| policy.selects && !policy.needed) {
        let Some(at) = context.find_policy(&known.policy) else { continue };
        let policy = &context.policies[at];
        let stays = |direction: Direction| {
            let in_force = policy.rules(direction).1;
            let others = |pod| {
                context.policies_of(pod).any(|(other, policy)| other != at && policy.rules(direction).1)
            };
            !in_force || policy.subjects.iter().all(|pod| others(*pod))
        };
        let isolated = stays(Direction::Ingress) && stays(Direction::Egress);
        let covered = isolated && !known.covered_by.is_empty();
        found.push((at, if covered { Use::Covered(&known.covered_by) } else { Use::Nothing }));
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(at, found)| (&context.policies[at], found)).collect()
}
