//! What the reader promises for every text, shared by the tests and the fuzz target.

use podgate_api::{
    ClusterPeer, ClusterPolicy, ClusterPortMatch, ClusterSubject, LabelSelector, Loaded, NetworkPolicy,
    Object, Peer, PortMatch, Source, load_text,
};

/// Loads `text` and checks every promise.
pub fn hold_for(text: &str) -> Loaded {
    let loaded = load_text("text", text);
    assert_eq!(loaded, load_text("text", text), "loading is deterministic");

    let lines = line_lengths(text);
    let inside = |source: &Source| {
        let length = (source.line as usize).checked_sub(1).and_then(|line| lines.get(line));
        let fits = length.is_some_and(|length| (1..=length + 1).contains(&(source.column as usize)));
        assert!(fits, "{source} lies outside the text {text:?}");
    };
    for diagnostic in &loaded.diagnostics {
        inside(&diagnostic.source);
        assert!(!diagnostic.message.is_empty() && !diagnostic.help.is_empty(), "{diagnostic}");
    }
    for ignore in &loaded.ignores {
        inside(&ignore.source);
        ignore.object.iter().for_each(&inside);
    }
    let valid = !loaded.has_errors();
    for object in &loaded.objects {
        inside(&object.meta().source);
        assert!(!object.meta().name.is_empty());
        if let Object::NetworkPolicy(policy) = object {
            policy_sources(policy, &inside);
            assert!(!valid || is_whole(policy), "a policy lost something without an error in {text:?}");
        }
        match object {
            Object::ConnectivityTest(test) => test.cases.iter().for_each(|case| {
                inside(&case.source);
                assert!(!case.from.is_empty() && !case.to.is_empty());
                let ends = [&case.from, &case.not_from, &case.to, &case.not_to, &case.ports];
                ends.into_iter().flatten().for_each(|written| inside(&written.source));
            }),
            Object::Ingress(ingress) => ingress.backends.iter().for_each(|backend| inside(&backend.source)),
            Object::Route(route) => route.backends.iter().for_each(|backend| inside(&backend.source)),
            Object::Pod(pod) => pod.mentions.iter().for_each(|mention| inside(&mention.source)),
            _ => {}
        }
        if let Object::ClusterPolicy(policy) = object {
            cluster_policy_sources(policy, &inside);
            assert!(!valid || is_known(policy), "a policy is unknown without an error in {text:?}");
        }
    }
    loaded
}

fn policy_sources(policy: &NetworkPolicy, inside: &dyn Fn(&Source)) {
    for rule in policy.ingress.iter().chain(&policy.egress) {
        inside(&rule.source);
        for peer in rule.peers.iter().flatten() {
            match peer {
                Peer::Pods(peer) => {
                    inside(&peer.source);
                    assert!(peer.pods.is_some() || peer.namespaces.is_some());
                }
                Peer::IpBlock(block) => {
                    inside(&block.source);
                    assert_eq!(block.cidr, block.cidr.trunc());
                }
            }
        }
        for port in rule.ports.iter().flatten() {
            inside(&port.source);
            match &port.port {
                PortMatch::All => {}
                PortMatch::Range(first, last) => assert!(1 <= *first && first <= last),
                PortMatch::Named(name) => assert!(!name.is_empty()),
            }
        }
    }
}

fn cluster_policy_sources(policy: &ClusterPolicy, inside: &dyn Fn(&Source)) {
    assert!((0..=ClusterPolicy::NO_PRIORITY).contains(&policy.priority));
    for rule in policy.ingress.iter().chain(&policy.egress) {
        inside(&rule.source);
        for peer in &rule.peers {
            inside(peer.source());
            match peer {
                ClusterPeer::Networks { networks, .. } => {
                    assert!(!networks.is_empty() && networks.iter().all(|n| *n == n.trunc()));
                }
                ClusterPeer::Domains { names, .. } => assert!(!names.is_empty()),
                ClusterPeer::Pods { namespaces, pods, .. } => {
                    assert!(!namespaces.is_invalid() && !pods.is_invalid());
                }
                ClusterPeer::Nodes { nodes, .. } => assert!(!nodes.is_invalid()),
                ClusterPeer::Unknown(_) => {}
            }
        }
        for port in rule.ports.iter().flatten() {
            inside(&port.source);
            match &port.matches {
                ClusterPortMatch::Port(_, PortMatch::Range(first, last)) => {
                    assert!(1 <= *first && first <= last);
                }
                ClusterPortMatch::Port(_, PortMatch::Named(_)) => panic!("a name is not of one protocol"),
                ClusterPortMatch::Named(name) => assert!(!name.is_empty()),
                ClusterPortMatch::Port(_, PortMatch::All) | ClusterPortMatch::Unknown => {}
            }
        }
    }
}

/// Nothing in the policy stands for something unreadable.
fn is_known(policy: &ClusterPolicy) -> bool {
    policy.subject != ClusterSubject::Unknown
        && policy.ingress.iter().chain(&policy.egress).all(|rule| {
            !rule.peers.is_empty()
                && !rule.peers.iter().any(|peer| matches!(peer, ClusterPeer::Unknown(_)))
                && rule.ports.as_ref().is_none_or(|ports| !ports.is_empty())
                && !rule.ports.iter().flatten().any(|port| port.matches == ClusterPortMatch::Unknown)
        })
}

/// No selector and no list of the policy is one that stands for something unreadable.
fn is_whole(policy: &NetworkPolicy) -> bool {
    let valid = |selector: &Option<LabelSelector>| selector.as_ref().is_none_or(|s| !s.is_invalid());
    !policy.pod_selector.is_invalid()
        && policy.ingress.iter().chain(&policy.egress).all(|rule| {
            let peers_valid = rule.peers.iter().flatten().all(|peer| match peer {
                Peer::Pods(peer) => valid(&peer.pods) && valid(&peer.namespaces),
                Peer::IpBlock(_) => true,
            });
            peers_valid
                && rule.peers.as_ref().is_none_or(|peers| !peers.is_empty())
                && rule.ports.as_ref().is_none_or(|ports| !ports.is_empty())
        })
}

/// Characters of each line; `\n`, `\r\n` and `\r` end a line.
fn line_lengths(text: &str) -> Vec<usize> {
    text.replace("\r\n", "\n").split(['\n', '\r']).map(|line| line.chars().count()).collect()
}
