#![doc = include_str!("../../../../docs/book/src/checks/metadata-reachable.md")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use podgate_analysis::PodId;
use podgate_policy::{Direction, Reason, RuleRef, Verdict};

use crate::context::Context;
use crate::finding::ObjectRef;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "metadata-reachable",
    severity: Severity::Warning,
    title: "Pods with limited egress reach the cloud's metadata service",
    why: "Who reaches the metadata service of the machine may get its credentials: a request forged through the \
          application is enough.",
    page: include_str!("../../../../docs/book/src/checks/metadata-reachable.md"),
    run,
};

/// Where clouds answer, by family.
const ADDRESSES: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for address in ADDRESSES {
        let address: IpAddr = address.parse().expect("an address written here");
        let mut by_rule: BTreeMap<(String, u32, String), (RuleRef, Vec<PodId>)> = BTreeMap::new();
        for variant in &context.world.variants {
            let workload = context.world.workload(variant.workload);
            let pod = variant.pods[0];
            if workload.hypothesis.is_some()
                || workload.host_network
                || context.is_system(&workload.namespace)
            {
                continue;
            }
            if !context.is_isolated(pod, Direction::Egress) {
                continue;
            }
            let Some(decision) = context.ask_address(pod, address, 6, 80) else { continue };
            if let (Verdict::Allowed, Reason::Rule(rule)) = (decision.verdict, decision.egress.reason)
                && !opens_everything(context, pod)
            {
                let key = (rule.source.file.to_string(), rule.source.line, rule.to_string());
                by_rule.entry(key).or_insert_with(|| (rule, Vec::new())).1.push(pod);
            }
        }
        for (rule, pods) in by_rule.into_values() {
            let names = text::workloads(context.world, pods.iter().copied());
            let length = if address.is_ipv4() { 32 } else { 128 };
            let all = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            let object = ObjectRef {
                kind: rule.policy.kind.clone(),
                namespace: rule.policy.namespace.clone(),
                name: rule.policy.name.clone(),
            };
            let message =
                format!("{rule} lets {} reach the metadata service at {address}", text::list(&names));
            findings.report(&rule.source, object, message).fix(
                "leave the address out",
                format!(
                    "to:\n  - ipBlock:\n      cidr: {all}\n      except:\n        - {address}/{length}\n"
                ),
            );
        }
    }
}

/// Whether a rule lets the pod call anybody on any port: then nothing limits its egress, and overly-broad says so.
fn opens_everything(context: &Context<'_>, pod: PodId) -> bool {
    let mut rules = context
        .policies_of(pod)
        .filter(|(_, p)| p.object.egress_in_force)
        .flat_map(|(_, p)| &p.object.egress);
    rules.any(|rule| rule.peers.is_none() && rule.ports.is_none())
}
