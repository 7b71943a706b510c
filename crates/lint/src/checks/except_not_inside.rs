#![doc = include_str!("../../../../docs/book/src/checks/except-not-inside.md")]

use super::invalid_object::{Kind, each};
use crate::{CheckInfo, Context, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "except-not-inside",
    severity: Severity::Error,
    title: "An `except` that is no part of its block",
    why: "The API server refuses a policy whose `except` is not a smaller network inside `cidr`; until it is \
          mended, the whole policy is not applied.",
    page: include_str!("../../../../docs/book/src/checks/except-not-inside.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    each(context, findings, Kind::ExceptNotInside);
}
