#![doc = include_str!("../../../../docs/book/src/checks/duplicate-policy.md")]

use super::invalid_object::{Kind, each};
use crate::{CheckInfo, Context, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "duplicate-policy",
    severity: Severity::Warning,
    title: "Two policies of one name",
    why: "A cluster keeps one policy of a name: whichever is applied last replaces the other, so that half of what \
          was written is not in force, and which half depends on the order.",
    page: include_str!("../../../../docs/book/src/checks/duplicate-policy.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    each(context, findings, Kind::Duplicate);
}
