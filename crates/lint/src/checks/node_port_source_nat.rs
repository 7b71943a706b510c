#![doc = include_str!("../../../../docs/book/src/checks/node-port-source-nat.md")]

use podgate_api::{ExternalTrafficPolicy, Peer, ServiceType};
use podgate_policy::Direction;

use crate::context::{Context, targets, title, word};
use crate::locate;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "node-port-source-nat",
    severity: Severity::Warning,
    title: "A rule for addresses outside, behind a Service that hides them",
    why: "With `externalTrafficPolicy: Cluster` a node may pass the connection on to another node, and then puts its \
          own address in place of the client's. A rule for the clients' addresses denies them.",
    page: include_str!("../../../../docs/book/src/checks/node-port-source-nat.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for (at, rule) in policy.object.ingress.iter().enumerate().filter(|_| policy.object.ingress_in_force)
        {
            let Some(peers) = &rule.peers else { continue };
            let blocks = peers.iter().filter_map(|peer| match peer {
                Peer::IpBlock(block) if block.cidr.prefix_len() > 0 => Some(block),
                _ => None,
            });
            for block in blocks {
                // A block for the nodes is how one allows what they pass on.
                let nodes = context.world.nodes.iter().flat_map(|node| &node.addresses);
                if nodes.clone().any(|ip| block.cidr.contains(ip)) {
                    continue;
                }
                let Some(service) = hidden(context, policy, rule) else { continue };
                let message = format!(
                    "{} {}[{at}] lets {} in, but through Service {} they come from a node's address",
                    policy.name(),
                    word(Direction::Ingress),
                    block.cidr,
                    title(&service.meta),
                );
                let source = context.key_of(&block.source, "cidr");
                let edit = context.text_of(&service.meta.source).and_then(|text| {
                    locate::key(&text, &service.meta.source, "externalTrafficPolicy")
                        .and_then(|at| locate::replace(&text, &at, 1, "Cluster", "Local"))
                });
                // Changing where traffic goes is the user's decision: the edit is shown and not made.
                let yaml = edit.map_or_else(
                    || "externalTrafficPolicy: Local".to_owned(),
                    |edit| edit.replacement.trim().to_owned(),
                );
                findings
                    .report(&source, policy.object_ref(), message)
                    .fix(
                        "keep the clients' addresses: only nodes with a pod answer then",
                        format!("spec:\n  {yaml}\n"),
                    )
                    .related(&service.meta.source, "this Service hides the clients' addresses");
            }
        }
    }
}

/// A Service with a way in from outside that leads to a port of the rule and hides who calls.
fn hidden<'w>(
    context: &Context<'w>,
    policy: &crate::context::Policy<'_>,
    rule: &podgate_api::Rule,
) -> Option<&'w podgate_api::Service> {
    let own = policy.namespace();
    let first = context.services.partition_point(|facts| facts.object.meta.namespace.as_str() < own);
    let of_namespace =
        context.services[first..].iter().take_while(|facts| facts.object.meta.namespace == own);
    let mut hiding = of_namespace.filter(|facts| {
        let service = facts.object;
        matches!(service.kind, ServiceType::NodePort | ServiceType::LoadBalancer)
            && service.external_traffic_policy == ExternalTrafficPolicy::Cluster
            && !service.internal_load_balancer
    });
    let found = hiding.find(|facts| {
        let mut pods = facts.pods.iter().copied().filter(|pod| policy.subjects.binary_search(pod).is_ok());
        pods.any(|pod| {
            let open = context.ports_at(rule.ports.as_deref(), pod);
            facts.object.ports.iter().any(|port| {
                let mut targets = targets(context.world, port, pod).into_iter();
                targets
                    .any(|target| open.contains(podgate_policy::PortKey::new(port.protocol.number(), target)))
            })
        })
    });
    found.map(|facts| facts.object)
}
