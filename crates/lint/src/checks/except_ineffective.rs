#![doc = include_str!("../../../../docs/book/src/checks/except-ineffective.md")]

use podgate_analysis::{IpSet, PodId, PortSet};
use podgate_api::{IpBlock, Peer, Rule};
use podgate_policy::{Connection, Direction, PortKey, Reason, RuleRef};
use rustc_hash::FxHashSet;

use crate::context::{Context, Policy, numeric, word};
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "except-ineffective",
    severity: Severity::Warning,
    title: "Another block or rule allows what `except` leaves out",
    why: "`except` makes a hole in its own block and denies nothing: policies only add up. When another block, rule \
          or policy allows the same addresses, they stay reachable.",
    page: include_str!("../../../../docs/book/src/checks/except-ineffective.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for (direction, at, rule) in policy.rules_in_force() {
            for peer in rule.peers.iter().flatten() {
                let Peer::IpBlock(block) = peer else { continue };
                for hole in &block.except {
                    let Some(by) = reopened(context, policy, direction, rule, block, &IpSet::net(*hole))
                    else {
                        continue;
                    };
                    let message = format!(
                        "{} {}[{at}] excepts {hole} from {}, but {by} allows it all the same",
                        policy.name(),
                        word(direction),
                        block.cidr,
                    );
                    let source = context.key_of(&block.source, "except");
                    findings
                        .report(&source, policy.object_ref(), message)
                        .advice(format!("except {hole} there as well, or narrow that rule; a Deny rule of a ClusterNetworkPolicy denies for good"))
                        .related(&by.source, "this rule allows the addresses");
                }
            }
        }
    }
}

/// The rule that opens all of a hole, on all ports of the rule, for all subjects: where it opens less, somebody
/// meant to make an exception.
fn reopened(
    context: &Context<'_>,
    policy: &Policy<'_>,
    direction: Direction,
    rule: &Rule,
    block: &IpBlock,
    hole: &IpSet,
) -> Option<RuleRef> {
    let ports = rule.ports.as_deref().map_or_else(PortSet::all, numeric);
    if ports.is_empty() {
        return None;
    }
    let inside: Vec<_> = context.outside.iter().filter(|o| !o.ips.intersection(hole).is_empty()).collect();
    let mut programs: FxHashSet<_> = FxHashSet::default();
    let mut witness: Option<PodId> = None;
    for pod in policy.subjects.iter().copied() {
        let Some(identity) = context.identity(pod) else { continue };
        let program = if direction == Direction::Egress { identity.egress } else { identity.ingress };
        if !programs.insert(program) {
            continue;
        }
        let open = |outside: &&crate::context::Outside| {
            ports.is_subset(&context.with_outside(pod, direction, outside))
        };
        if inside.is_empty() || !inside.iter().all(open) {
            return None;
        }
        witness = Some(pod);
    }
    let pod = witness?;
    let address = inside.iter().find_map(|outside| outside.ips.intersection(hole).first())?;
    let key = PortKey(ports.ranges().first()?.0);
    let pod = *context.world.pod(pod).ips.iter().find(|ip| ip.is_ipv4() == block.cidr.addr().is_ipv4())?;
    let (from, to) = if direction == Direction::Egress { (pod, address) } else { (address, pod) };
    let connection = Connection { from, to, protocol: key.protocol(), port: key.port() };
    let decision = context.world.cluster.evaluate(&connection);
    let side = if direction == Direction::Egress { decision.egress } else { decision.ingress };
    match side.reason {
        Reason::Rule(rule) => Some(rule),
        _ => None,
    }
}
