#![doc = include_str!("../../../../docs/book/src/checks/named-port-missing.md")]

use std::collections::BTreeSet;

use podgate_api::{Peer, PortMatch};
use podgate_policy::Direction;

use super::destinations::Destinations;
use crate::context::{Context, word};
use crate::near::nearest;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "named-port-missing",
    severity: Severity::Warning,
    title: "A rule names a port that no destination pod has",
    why: "A port's name is looked up on the destination pod, among the ports that its containers declare. A pod \
          without a port of that name and protocol is not reachable by the rule.",
    page: include_str!("../../../../docs/book/src/checks/named-port-missing.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for (direction, at, rule) in policy.rules_in_force() {
            for port in rule.ports.iter().flatten() {
                let PortMatch::Named(name) = &port.port else { continue };
                let destinations = Destinations::of(context, policy, direction, rule);
                let place = format!("{} {}[{at}]", policy.name(), word(direction));
                if destinations.pods(context).next().is_none() {
                    let blocks =
                        |peers: &Vec<Peer>| peers.iter().all(|peer| matches!(peer, Peer::IpBlock(_)));
                    if direction == Direction::Egress && rule.peers.as_ref().is_some_and(blocks) {
                        let message =
                            format!("{place} names port {name} of addresses: only pods have named ports");
                        findings
                            .report(&port.source, policy.object_ref(), message)
                            .advice("write the port's number");
                    }
                    continue;
                }
                if destinations.pods(context).any(|pod| !context.port_at(port, pod).is_empty()) {
                    continue;
                }
                let declared =
                    || destinations.pods(context).flat_map(|pod| &context.world.pod_object(pod).ports);
                let names = text::workloads(context.world, destinations.pods(context));
                let lacking = match &names[..] {
                    [one] => format!("{one} has no {} port of that name", port.protocol),
                    _ => format!("none of {} has a {} port of that name", text::list(&names), port.protocol),
                };
                let message = format!("{place} allows port {name}, but {lacking}");
                let other = declared().find(|p| p.name == *name);
                let known: BTreeSet<&str> = declared()
                    .filter(|p| p.protocol == port.protocol && !p.name.is_empty())
                    .map(|p| p.name.as_str())
                    .collect();
                let finding = findings.report(&port.source, policy.object_ref(), message);
                if let Some(other) = other {
                    finding.message.push_str(&format!("; its {name} is a {} port", other.protocol));
                    finding.fix(
                        "name the port's protocol",
                        format!("ports:\n  - protocol: {}\n    port: {name}\n", other.protocol),
                    );
                } else if let Some(near) = nearest(name, known.iter().copied()) {
                    finding.message.push_str(&format!("; did you mean {near}?"));
                    finding.advice(format!("write `port: {near}`"));
                } else if known.is_empty() {
                    finding.advice("give the container's port this name, or write its number");
                } else {
                    let known: Vec<&str> = known.into_iter().collect();
                    finding.advice(format!("its named {} ports: {}", port.protocol, text::list(&known)));
                }
            }
        }
    }
}
