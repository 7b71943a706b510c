#![doc = include_str!("../../../../docs/book/src/checks/port-not-open.md")]

use podgate_api::PortMatch;
use podgate_policy::Direction;

use super::destinations::Destinations;
use super::service_port_not_target_port::mistaken;
use crate::context::{Context, numeric, port_text, word};
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "port-not-open",
    severity: Severity::Info,
    title: "A rule allows a port that no destination pod declares",
    why: "Containers need not declare their ports, so this may be right. More often the application moved to \
          another port and the rule was forgotten: what should be open is closed, and what is open is unwatched.",
    page: include_str!("../../../../docs/book/src/checks/port-not-open.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for policy in &context.policies {
        for (direction, at, rule) in policy.rules_in_force() {
            if rule.ports.is_none() || (direction == Direction::Egress && rule.peers.is_none()) {
                continue;
            }
            let destinations = Destinations::of(context, policy, direction, rule);
            // Pods that declare nothing may listen on anything.
            let silent = |pod| context.listens(pod).is_empty();
            if destinations.pods(context).next().is_none() || destinations.pods(context).any(silent) {
                continue;
            }
            for port in rule.ports.iter().flatten() {
                let PortMatch::Range(..) = port.port else { continue };
                let keys = numeric(std::slice::from_ref(port));
                let is_open = |pod| !context.listens(pod).intersection(&keys).is_empty();
                if destinations.pods(context).any(is_open) || mistaken(context, &destinations, port).is_some()
                {
                    continue;
                }
                let names = text::workloads(context.world, destinations.pods(context));
                let first = destinations.pods(context).next().expect("there is a destination");
                let message = format!(
                    "{} {}[{at}] allows {}, on which {}",
                    policy.name(),
                    word(direction),
                    port_text(port),
                    match &names[..] {
                        [one] => format!("{one} does not listen: it declares {}", context.listens(first)),
                        _ => format!("none of {} declares to listen", text::list(&names)),
                    },
                );
                findings
                    .report(&port.source, policy.object_ref(), message)
                    .advice("name the port on which the pods listen, or declare it on the container");
            }
        }
    }
}
