#![doc = include_str!("../../../../docs/book/src/checks/service-port-not-target-port.md")]

use std::collections::BTreeSet;

use podgate_analysis::PodId;
use podgate_api::{PolicyPort, PortMatch};
use podgate_policy::PortKey;

use super::destinations::Destinations;
use crate::context::{Context, targets, title, word};
use crate::locate;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "service-port-not-target-port",
    severity: Severity::Warning,
    title: "A rule names the port of a Service, not that of its pods",
    why: "Policy sees a connection after the Service has chosen a pod: the destination is the pod's address and \
          the Service's targetPort. A rule for the Service's own port lets nobody in.",
    page: include_str!("../../../../docs/book/src/checks/service-port-not-target-port.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for (direction, at, rule) in policy.rules_in_force() {
            let destinations = Destinations::of(context, policy, direction, rule);
            for port in rule.ports.iter().flatten() {
                let Some(number) = mistaken(context, &destinations, port) else { continue };
                let found = translations(context, destinations.pods(context), port, number);
                let meant: BTreeSet<u16> = found.iter().map(|(_, target)| *target).collect();
                let pods = destinations.pods(context).filter(|pod| {
                    context.services_of(*pod).any(|facts| {
                        facts.object.ports.iter().any(|p| p.port == number && p.protocol == port.protocol)
                    })
                });
                let names = text::workloads(context.world, pods);
                let numbers: Vec<String> = meant.iter().map(u16::to_string).collect();
                let (service, _) = &found[0];
                let service = context.services[*service].object;
                let message = format!(
                    "{} {}[{at}] allows {} {number}, the port of Service {}, but {} {} on {}",
                    policy.name(),
                    word(direction),
                    port.protocol,
                    title(&service.meta),
                    text::list(&names),
                    text::verb(names.len(), "listens", "listen"),
                    text::list(&numbers),
                );
                let others = rule.ports.iter().flatten().any(|other| {
                    matches!(other.port, PortMatch::Range(lo, hi) if meant.iter().all(|t| (lo..=hi).contains(t)))
                        && other.protocol == port.protocol
                });
                let one = (meant.len() == 1 && !others).then(|| meant.first().copied()).flatten();
                let finding = findings.report(&port.source, policy.object_ref(), message);
                match one {
                    Some(target) => {
                        let edit = context.text_of(&port.source).and_then(|text| {
                            locate::replace(&text, &port.source, 4, &number.to_string(), &target.to_string())
                        });
                        finding
                            .fix(
                                "name the port on which the pods listen",
                                format!("ports:\n  - protocol: {}\n    port: {target}\n", port.protocol),
                            )
                            .edit(edit);
                    }
                    None => {
                        finding.advice("name the ports on which the pods listen");
                    }
                }
                finding.related(&service.meta.source, "the Service translates the port");
            }
        }
    }
}

/// The number of an entry on which no destination listens, while a Service takes it for another.
pub(super) fn mistaken(context: &Context<'_>, destinations: &Destinations, port: &PolicyPort) -> Option<u16> {
    let PortMatch::Range(number, last) = port.port else { return None };
    if number != last {
        return None;
    }
    let key = PortKey::new(port.protocol.number(), number);
    if destinations.pods(context).any(|pod| context.listens(pod).contains(key)) {
        return None;
    }
    (!translations(context, destinations.pods(context), port, number).is_empty()).then_some(number)
}

/// Services that take connections on a port and lead them to another, with that.
fn translations(
    context: &Context<'_>,
    pods: impl Iterator<Item = PodId>,
    port: &PolicyPort,
    number: u16,
) -> Vec<(usize, u16)> {
    let mut found: BTreeSet<(usize, u16)> = BTreeSet::new();
    for pod in pods {
        for at in &context.services_of[pod.0 as usize] {
            let service = context.services[*at as usize].object;
            for entry in service.ports.iter().filter(|p| p.port == number && p.protocol == port.protocol) {
                found.extend(
                    targets(context.world, entry, pod).into_iter().map(|target| (*at as usize, target)),
                );
            }
        }
    }
    found.into_iter().collect()
}
