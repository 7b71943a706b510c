#![doc = include_str!("../../../../docs/book/src/checks/redundant-policy.md")]

use super::ineffective_policy::{Use, unneeded};
use crate::text;
use crate::{CheckInfo, Context, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "redundant-policy",
    severity: Severity::Info,
    title: "A policy without which nothing would change, because others do the same",
    why: "What it allows and what it closes, other policies allow and close. Who changes it later changes nothing.",
    page: include_str!("../../../../docs/book/src/checks/redundant-policy.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (policy, found) in unneeded(context) {
        let Use::Covered(by) = found else { continue };
        let names: Vec<String> = by.iter().map(ToString::to_string).collect();
        let message = format!(
            "{} could go: all that it allows and closes, {} {} too",
            policy.name(),
            text::list(&names),
            text::verb(names.len(), "does", "do"),
        );
        let source = context.name_of(&policy.object.meta);
        let finding = findings.report(&source, policy.object_ref(), message);
        finding.advice("remove it, or narrow the others if it says what is meant");
        for other in by {
            if let Some(known) = context.find_policy(other).map(|at| &context.policies[at]) {
                finding.related(&known.object.meta.source, format!("{other} covers it"));
            }
        }
    }
}
