#![doc = include_str!("../../../../docs/book/src/checks/dns-tcp-only.md")]

use super::dns_egress_blocked::{Missing, report};
use crate::{CheckInfo, Context, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "dns-tcp-only",
    severity: Severity::Warning,
    title: "DNS is open over TCP but not over UDP",
    why: "Resolvers ask over UDP first: every lookup waits for a timeout, and most programs never try TCP.",
    page: include_str!("../../../../docs/book/src/checks/dns-tcp-only.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    report(context, findings, Missing::Udp);
}
