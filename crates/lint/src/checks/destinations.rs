//! The pods that a rule lets others connect to, on which its ports are to be understood.

use std::sync::Arc;

use podgate_analysis::PodId;
use podgate_api::{LabelSelector, Peer, Rule};
use podgate_policy::Direction;

use crate::context::{Context, Policy, Scope};

/// Real pods at which the ports of a rule are: the subjects of an ingress rule, the peers of an egress rule. A
/// pod may come more than once, pods in the host network are left out.
pub(super) struct Destinations(Vec<Arc<[PodId]>>);

impl Destinations {
    pub fn of(context: &Context<'_>, policy: &Policy<'_>, direction: Direction, rule: &Rule) -> Destinations {
        Destinations(match (direction, &rule.peers) {
            (Direction::Ingress, _) => vec![policy.subjects.clone()],
            (Direction::Egress, None) => {
                vec![context.select(&Scope::Selected(&LabelSelector::default()), &LabelSelector::default())]
            }
            (Direction::Egress, Some(peers)) => peers
                .iter()
                .filter_map(|peer| match peer {
                    Peer::Pods(peer) => Some(context.peer_pods(peer, policy.namespace())),
                    Peer::IpBlock(_) => None,
                })
                .collect(),
        })
    }

    pub fn pods<'d>(&'d self, context: &'d Context<'_>) -> impl Iterator<Item = PodId> + 'd {
        self.0.iter().flat_map(|list| list.iter().copied()).filter(|pod| !context.is_host(*pod))
    }
}
