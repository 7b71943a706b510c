#![doc = include_str!("../../../../docs/book/src/checks/cidr-not-canonical.md")]

use super::invalid_object::{Kind, each};
use crate::{CheckInfo, Context, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "cidr-not-canonical",
    severity: Severity::Warning,
    title: "A network that means another one than it seems to",
    why: "The prefix length decides: the rest of the address is masked off without a word, leading zeros are \
          dropped. Enforcers and newer API servers refuse such networks.",
    page: include_str!("../../../../docs/book/src/checks/cidr-not-canonical.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    each(context, findings, Kind::CidrNotCanonical);
}
