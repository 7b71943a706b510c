#![doc = include_str!("../../../../docs/book/src/checks/redundant-rule.md")]

use podgate_policy::Tier;

use crate::context::Context;
use crate::finding::ObjectRef;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "redundant-rule",
    severity: Severity::Info,
    title: "A rule without which nothing would change",
    why: "Other rules allow all that it allows. Who tightens one of them later finds that nothing got tighter.",
    page: include_str!("../../../../docs/book/src/checks/redundant-rule.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in context.redundancies.iter().filter(|policy| policy.needed) {
        for rule in policy
            .rules
            .iter()
            .filter(|rule| rule.matches && !rule.needed && rule.rule.tier == Tier::NetworkPolicy)
        {
            let object = ObjectRef {
                kind: policy.policy.kind.clone(),
                namespace: policy.policy.namespace.clone(),
                name: policy.policy.name.clone(),
            };
            let by: Vec<String> = rule.covered_by.iter().map(ToString::to_string).collect();
            let message = format!(
                "{} allows nothing that {} not allow already",
                rule.rule,
                match by.len() {
                    0 => "other rules do".to_owned(),
                    1 => format!("{} does", by[0]),
                    _ => format!("{} do", text::list(&by)),
                }
            );
            let finding = findings.report(&rule.rule.source, object, message);
            finding.advice("remove it, or the wider rule if this one is what is meant");
            for other in &rule.covered_by {
                finding.related(&other.source, format!("{other} allows it too"));
            }
        }
    }
}
