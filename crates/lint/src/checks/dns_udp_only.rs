#![doc = include_str!("../../../../docs/book/src/checks/dns-udp-only.md")]

use super::dns_egress_blocked::{Missing, report};
use crate::{CheckInfo, Context, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "dns-udp-only",
    severity: Severity::Warning,
    title: "DNS is open over UDP but not over TCP",
    why: "Answers that don't fit one datagram are asked for again over TCP: without it some names fail, and only sometimes.",
    page: include_str!("../../../../docs/book/src/checks/dns-udp-only.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    report(context, findings, Missing::Tcp);
}
