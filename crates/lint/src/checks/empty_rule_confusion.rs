#![doc = include_str!("../../../../docs/book/src/checks/empty-rule-confusion.md")]

use podgate_policy::Direction;

use crate::context::{Context, Policy, word};
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "empty-rule-confusion",
    severity: Severity::Warning,
    title: "An empty rule and an empty list are opposites",
    why: "`- {}` is a rule that allows everything, so that the rules next to it say nothing; an empty list has no \
          rule and allows nothing.",
    page: include_str!("../../../../docs/book/src/checks/empty-rule-confusion.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for direction in [Direction::Ingress, Direction::Egress] {
            let (rules, in_force) = policy.rules(direction);
            let all = rules.iter().position(|rule| rule.peers.is_none() && rule.ports.is_none());
            if let Some(at) = all.filter(|_| in_force && rules.len() > 1) {
                let message = format!(
                    "{} {}[{at}] allows everything, so that {} next to it {} nothing",
                    policy.name(),
                    word(direction),
                    text::count(rules.len() - 1, "rule"),
                    text::verb(rules.len() - 1, "says", "say"),
                );
                findings
                    .report(&rules[at].source, policy.object_ref(), message)
                    .advice("remove the empty rule, or the others if everything is meant");
            }
        }
        denies_by_mistake(context, findings, policy);
    }
}

/// A policy whose name says that it allows, and that has no rule at all.
fn denies_by_mistake(context: &Context<'_>, findings: &mut Findings<'_>, policy: &Policy<'_>) {
    let object = policy.object;
    let name = object.meta.name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let says = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
    let has_rules = !object.ingress.is_empty() || !object.egress.is_empty();
    if has_rules
        || !says(&["allow", "accept", "permit", "open"])
        || says(&["deny", "no", "none", "nothing", "not", "block", "only"])
    {
        return;
    }
    let directions: Vec<&str> = [Direction::Ingress, Direction::Egress]
        .into_iter()
        .filter(|direction| policy.rules(*direction).1)
        .map(word)
        .collect();
    let message = format!(
        "{} denies all {}: a policy without rules allows nothing",
        policy.name(),
        directions.join(" and ")
    );
    let source = context.name_of(&object.meta);
    let yaml: String = directions.iter().map(|list| format!("{list}:\n  - {{}}\n")).collect();
    findings
        .report(&source, policy.object_ref(), message)
        .fix("to allow everything, write one empty rule; to deny, name the policy for it", yaml);
}
