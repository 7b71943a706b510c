//! The tiers of cluster-scoped policies: cases 33 to 36.

use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterPortMatch, ClusterRule, ClusterSubject,
    ClusterTier, LabelSelector, Pod, PortMatch,
};

use super::{Answer, Asked, Side, Why, World, fits, holds};

/// Whether something is so; `Unreadable` where nobody can tell, and the rule must fail closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
    Unreadable,
}

impl World {
    /// What the policies of one tier say; `None`: nothing, go on.
    pub(super) fn ask_tier(&self, tier: ClusterTier, asked: &Asked<'_>) -> Option<Answer> {
        let mut policies: Vec<&ClusterPolicy> =
            self.cluster_policies.values().filter(|policy| policy.tier == tier).collect();
        // Case 35: a tie is broken by name, the kind's first.
        policies.sort_by_key(|policy| (policy.priority, policy.kind.as_str(), &policy.meta.name));
        for policy in policies {
            let rules = match asked.side {
                Side::Egress => &policy.egress,
                Side::Ingress => &policy.ingress,
            };
            for (index, rule) in rules.iter().enumerate() {
                let allowed = match self.rule_says(policy, rule, asked) {
                    None => continue,
                    // Out of the whole tier.
                    Some(Action::Pass) => return None,
                    Some(Action::Accept) => true,
                    Some(Action::Deny) => false,
                };
                let why = Why::Rule {
                    kind: policy.kind.as_str(),
                    namespace: String::new(),
                    name: policy.meta.name.clone(),
                    tier: Some(tier),
                    index,
                    source: rule.source.clone(),
                };
                return Some(Answer { allowed, why });
            }
        }
        None
    }

    /// What one rule says; `None`: the connection is none of its business.
    fn rule_says(&self, policy: &ClusterPolicy, rule: &ClusterRule, asked: &Asked<'_>) -> Option<Action> {
        let known = match self.is_subject(policy, asked.subject) {
            Known::Yes if is_unreadable(rule) => Known::Unreadable,
            Known::Yes => match rule.peers.iter().any(|peer| self.is_meant(peer, rule, asked)) {
                true => Known::Yes,
                false => Known::No,
            },
            other => other,
        };
        match (known, rule.action) {
            (Known::No, _) => None,
            (Known::Yes, action) => Some(action),
            // Case 34. What a Pass rule would have passed on may be denied further on.
            (Known::Unreadable, Action::Accept) => None,
            (Known::Unreadable, Action::Deny | Action::Pass) => Some(Action::Deny),
        }
    }

    fn is_subject(&self, policy: &ClusterPolicy, pod: &Pod) -> Known {
        match &policy.subject {
            ClusterSubject::Unknown => Known::Unreadable,
            ClusterSubject::Pods { namespaces, pods } if namespaces.is_invalid() || pods.is_invalid() => {
                Known::Unreadable
            }
            ClusterSubject::Pods { namespaces, pods } => match self.is_selected(namespaces, pods, pod) {
                true => Known::Yes,
                false => Known::No,
            },
        }
    }

    fn is_selected(&self, namespaces: &LabelSelector, pods: &LabelSelector, pod: &Pod) -> bool {
        fits(namespaces, &self.namespace_labels(&pod.meta.namespace)) && fits(pods, &pod.meta.labels)
    }

    /// Whether the other end is this peer, and the port one of the rule's.
    fn is_meant(&self, peer: &ClusterPeer, rule: &ClusterRule, asked: &Asked<'_>) -> bool {
        let other_pod = self.pod_at(asked.other);
        let (is_other, named_ports_of) = match peer {
            ClusterPeer::Pods { namespaces, pods, .. } => {
                (other_pod.is_some_and(|pod| self.is_selected(namespaces, pods, pod)), other_pod)
            }
            // Case 36: by address, whoever has it; and addresses have no port names.
            ClusterPeer::Networks { networks, .. } => {
                (networks.iter().any(|network| holds(network, asked.other)), None)
            }
            ClusterPeer::Nodes { nodes, .. } => {
                let has_address = |node: &&podgate_api::Node| node.addresses.contains(&asked.other);
                let is_selected = |node: &podgate_api::Node| fits(nodes, &node.meta.labels);
                (self.nodes.values().filter(has_address).any(is_selected), None)
            }
            ClusterPeer::Domains { names, .. } => {
                let known = self.names.iter().filter(|(_, addresses)| addresses.contains(&asked.other));
                let mut known = known.map(|(name, _)| name);
                (known.any(|name| names.iter().any(|asked| is_named(asked, name))), None)
            }
            // The whole rule is unreadable then.
            ClusterPeer::Unknown(_) => (false, None),
        };
        let destination = match asked.side {
            Side::Egress => named_ports_of,
            Side::Ingress => Some(asked.subject),
        };
        is_other
            && match &rule.ports {
                None => true,
                Some(ports) => ports.iter().any(|port| port_matches(port, destination, asked)),
            }
    }
}

/// Whether a name is the one that a rule names, label by label from the right; `*` is one or more of them.
fn is_named(asked: &str, name: &str) -> bool {
    let (mut asked, mut name) = (asked.rsplit('.'), name.rsplit('.'));
    loop {
        match (asked.next(), name.next()) {
            (Some("*"), Some(_)) => return true,
            (Some(wanted), Some(label)) if wanted == label => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Case 34, and case 5 for selectors.
fn is_unreadable(rule: &ClusterRule) -> bool {
    let peer = |peer: &ClusterPeer| match peer {
        ClusterPeer::Unknown(_) => true,
        ClusterPeer::Pods { namespaces, pods, .. } => namespaces.is_invalid() || pods.is_invalid(),
        ClusterPeer::Nodes { nodes, .. } => nodes.is_invalid(),
        ClusterPeer::Networks { .. } | ClusterPeer::Domains { .. } => false,
    };
    let port = |port: &ClusterPort| port.matches == ClusterPortMatch::Unknown;
    rule.peers.iter().any(peer) || rule.ports.iter().flatten().any(port)
}

fn port_matches(port: &ClusterPort, destination: Option<&Pod>, asked: &Asked<'_>) -> bool {
    let (protocol, number) = (asked.question.protocol, asked.question.port);
    match &port.matches {
        ClusterPortMatch::Port(wanted, _) if wanted.number() != protocol => false,
        ClusterPortMatch::Port(_, PortMatch::All) => true,
        ClusterPortMatch::Port(_, PortMatch::Range(first, last)) => *first <= number && number <= *last,
        ClusterPortMatch::Port(_, PortMatch::Named(_)) => unreachable!("names are entries of their own"),
        // Case 37: the name alone, whatever the protocol.
        ClusterPortMatch::Named(name) => destination.is_some_and(|pod| {
            pod.ports
                .iter()
                .any(|port| port.name == *name && port.protocol.number() == protocol && port.port == number)
        }),
        ClusterPortMatch::Unknown => false,
    }
}
