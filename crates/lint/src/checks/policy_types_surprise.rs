#![doc = include_str!("../../../../docs/book/src/checks/policy-types-surprise.md")]

use podgate_policy::{Direction, Programs};

use crate::context::{Context, Policy, word};
use crate::locate;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "policy-types-surprise",
    severity: Severity::Warning,
    title: "`policyTypes` and the rules don't say the same",
    why: "`policyTypes` decides which directions a policy closes. Rules of a direction that it leaves out are \
          ignored; a direction that it names without rules is closed completely.",
    page: include_str!("../../../../docs/book/src/checks/policy-types-surprise.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for direction in [Direction::Ingress, Direction::Egress] {
            let (rules, in_force) = policy.rules(direction);
            if !rules.is_empty() && !in_force {
                ignored(context, findings, policy, direction);
            } else if rules.is_empty() && !in_force {
                empty_list(context, findings, policy, direction);
            } else if rules.is_empty() && in_force {
                closed(context, findings, policy, direction);
            }
        }
    }
}

fn kind(direction: Direction) -> &'static str {
    if direction == Direction::Ingress { "Ingress" } else { "Egress" }
}

/// What `policyTypes` says, and what it would say with a direction more.
fn types(policy: &Policy<'_>, more: Direction) -> String {
    let has = |direction| policy.rules(direction).1 || more == direction;
    let types: Vec<&str> =
        [Direction::Ingress, Direction::Egress].into_iter().filter(|d| has(*d)).map(kind).collect();
    format!("policyTypes: [{}]\n", types.join(", "))
}

fn ignored(context: &Context<'_>, findings: &mut Findings<'_>, policy: &Policy<'_>, direction: Direction) {
    let count = policy.rules(direction).0.len();
    let message = format!(
        "{} has {} that {} ignored: `policyTypes` leaves out {}",
        policy.name(),
        text::count(count, &format!("{} rule", word(direction))),
        text::verb(count, "is", "are"),
        kind(direction),
    );
    let source = context.key_of(&policy.object.meta.source, word(direction));
    findings.report(&source, policy.object_ref(), message).fix(
        format!(
            "name the direction, which closes it but for the rules, or remove the {} rules",
            word(direction)
        ),
        types(policy, direction),
    );
}

fn empty_list(context: &Context<'_>, findings: &mut Findings<'_>, policy: &Policy<'_>, direction: Direction) {
    let start = &policy.object.meta.source;
    let Some(text) = context.text_of(start) else { return };
    let Some(source) = locate::empty_list(&text, start, word(direction)) else { return };
    let message = format!(
        "{} says `{}: []`, which closes nothing: without {} in `policyTypes` the list is ignored",
        policy.name(),
        word(direction),
        kind(direction),
    );
    findings
        .report(&source, policy.object_ref(), message)
        .fix(format!("to deny all {}, name it", word(direction)), types(policy, direction));
}

/// A policy with rules for one direction that closes the other one completely, and nothing opens it again.
fn closed(context: &Context<'_>, findings: &mut Findings<'_>, policy: &Policy<'_>, direction: Direction) {
    let other = if direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress };
    let (rules, in_force) = policy.rules(other);
    // Pods that call nobody are rare; pods that nobody calls are every worker.
    if direction != Direction::Egress || rules.is_empty() || !in_force || policy.subjects.is_empty() {
        return;
    }
    let is_alone = |pod| {
        !context.policies_of(pod).any(|(_, other)| {
            let is_other = other.object.meta != policy.object.meta && other.object.egress_in_force;
            is_other && (!other.object.egress.is_empty() || other.object.pod_selector.is_everything())
        })
    };
    let opens_nothing = |pod| {
        let egress = context.identity(pod).and_then(|identity| identity.egress);
        egress.and_then(|id| context.world.cluster.program(id)).is_some_and(|program| {
            let mut rows = program.rows().map(|(_, row)| row).chain(program.default_rows());
            rows.all(|row| podgate_analysis::PortSet::allowed(row).is_empty())
        })
    };
    let lone: Vec<_> =
        policy.subjects.iter().copied().filter(|pod| is_alone(*pod) && opens_nothing(*pod)).collect();
    if lone.is_empty() {
        return;
    }
    let names = text::workloads(context.world, lone.iter().copied());
    let message = format!(
        "{} has rules for {} only and names Egress too: {} may call nobody, not even DNS",
        policy.name(),
        word(other),
        text::list(&names),
    );
    let source = context.key_of(&policy.object.meta.source, "policyTypes");
    findings.report(&source, policy.object_ref(), message).fix(
        "name only the direction that the rules are for, unless the pods shall call nobody",
        format!("policyTypes: [{}]\n", kind(other)),
    );
}
