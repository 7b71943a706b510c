//! Policies as manifests, so that what was in force can be read back, applied and compared.

use podgate_api::{
    ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPort, ClusterPortMatch, ClusterRule,
    ClusterSubject, ClusterTier, LabelSelector, Meta, NetworkPolicy, Object, Operator, Peer, PolicyPort,
    PortMatch, Rule,
};
use serde_json::{Map, Value, json};

/// A policy as the API server would show it; `None` for other objects.
pub fn manifest(object: &Object) -> Option<Value> {
    match object {
        Object::NetworkPolicy(policy) => Some(network_policy(policy)),
        Object::ClusterPolicy(policy) => Some(cluster_policy(policy)),
        _ => None,
    }
}

/// The policies among these objects as a `List`.
pub(crate) fn list(objects: &[Object]) -> Value {
    let items: Vec<Value> = objects.iter().filter_map(manifest).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// What stands for something that could not be read when the policy came. No reader takes it, so that it
/// fails closed the next time as well.
const UNREADABLE: &str = "podgate.dev/unreadable";

fn metadata(meta: &Meta) -> Value {
    let mut value = Map::new();
    value.insert("name".to_owned(), meta.name.clone().into());
    for (key, text) in
        [("namespace", &meta.namespace), ("uid", &meta.uid), ("creationTimestamp", &meta.created)]
    {
        if !text.is_empty() {
            value.insert(key.to_owned(), text.clone().into());
        }
    }
    for (key, labels) in [("labels", &meta.labels), ("annotations", &meta.annotations)] {
        if !labels.is_empty() {
            value.insert(key.to_owned(), json!(labels));
        }
    }
    value.into()
}

fn selector(selector: &LabelSelector) -> Value {
    if selector.is_invalid() {
        return json!({"matchExpressions": [{"key": UNREADABLE, "operator": "Unreadable"}]});
    }
    let (mut labels, mut expressions) = (Map::new(), Vec::new());
    for requirement in selector.requirements() {
        let operator = match (requirement.operator, requirement.values.as_slice()) {
            (Operator::In, [value]) if !labels.contains_key(&requirement.key) => {
                labels.insert(requirement.key.clone(), value.clone().into());
                continue;
            }
            (Operator::In, _) => "In",
            (Operator::NotIn, _) => "NotIn",
            (Operator::Exists, _) => "Exists",
            (Operator::DoesNotExist, _) => "DoesNotExist",
        };
        let mut expression = json!({"key": requirement.key, "operator": operator});
        if !requirement.values.is_empty() {
            expression["values"] = json!(requirement.values);
        }
        expressions.push(expression);
    }
    let mut value = json!({});
    if !labels.is_empty() {
        value["matchLabels"] = labels.into();
    }
    if !expressions.is_empty() {
        value["matchExpressions"] = expressions.into();
    }
    value
}

fn network_policy(policy: &NetworkPolicy) -> Value {
    let types: Vec<&str> = [("Ingress", policy.ingress_in_force), ("Egress", policy.egress_in_force)]
        .into_iter()
        .filter_map(|(word, in_force)| in_force.then_some(word))
        .collect();
    let mut spec = json!({"podSelector": selector(&policy.pod_selector), "policyTypes": types});
    for (key, ends, rules) in [("ingress", "from", &policy.ingress), ("egress", "to", &policy.egress)] {
        if !rules.is_empty() {
            spec[key] = rules.iter().map(|rule| network_rule(rule, ends)).collect();
        }
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(&policy.meta), "spec": spec
    })
}

fn network_rule(rule: &Rule, ends: &str) -> Value {
    let mut value = json!({});
    if let Some(peers) = &rule.peers {
        value[ends] = match peers.is_empty() {
            true => json!([{ UNREADABLE: true }]),
            false => peers.iter().map(network_peer).collect(),
        };
    }
    if let Some(ports) = &rule.ports {
        value["ports"] = match ports.is_empty() {
            true => json!([{ "protocol": UNREADABLE }]),
            false => ports.iter().map(network_port).collect(),
        };
    }
    value
}

fn network_peer(peer: &Peer) -> Value {
    match peer {
        Peer::Pods(peer) => {
            let mut value = json!({});
            if let Some(namespaces) = &peer.namespaces {
                value["namespaceSelector"] = selector(namespaces);
            }
            if let Some(pods) = &peer.pods {
                value["podSelector"] = selector(pods);
            }
            value
        }
        Peer::IpBlock(block) => {
            let mut value = json!({"cidr": block.cidr.to_string()});
            if !block.except.is_empty() {
                value["except"] = block.except.iter().map(ToString::to_string).collect();
            }
            json!({ "ipBlock": value })
        }
    }
}

fn network_port(port: &PolicyPort) -> Value {
    let mut value = json!({"protocol": port.protocol});
    match &port.port {
        PortMatch::All => {}
        PortMatch::Named(name) => value["port"] = name.clone().into(),
        PortMatch::Range(from, to) => {
            value["port"] = (*from).into();
            if from != to {
                value["endPort"] = (*to).into();
            }
        }
    }
    value
}

/// All three kinds are written as the newest one says the same: only subjects, peers and ports have other
/// names in the first version of the API.
fn cluster_policy(policy: &ClusterPolicy) -> Value {
    let is_first = policy.kind != ClusterPolicyKind::ClusterNetworkPolicy;
    let mut spec = json!({"subject": cluster_subject(&policy.subject)});
    if policy.kind != ClusterPolicyKind::BaselineAdminNetworkPolicy {
        spec["priority"] = policy.priority.into();
    }
    if !is_first {
        spec["tier"] = match policy.tier {
            ClusterTier::Admin => "Admin",
            ClusterTier::Baseline => "Baseline",
        }
        .into();
    }
    for (key, ends, rules) in [("ingress", "from", &policy.ingress), ("egress", "to", &policy.egress)] {
        if !rules.is_empty() {
            spec[key] = rules.iter().map(|rule| cluster_rule(rule, ends, is_first)).collect();
        }
    }
    let version = if is_first { "v1alpha1" } else { "v1alpha2" };
    json!({
        "apiVersion": format!("policy.networking.k8s.io/{version}"),
        "kind": policy.kind.as_str(),
        "metadata": metadata(&policy.meta),
        "spec": spec,
    })
}

fn cluster_pods(namespaces: &LabelSelector, pods: &LabelSelector) -> Value {
    match !pods.is_invalid() && pods.requirements().is_empty() {
        true => json!({"namespaces": selector(namespaces)}),
        false => json!({"pods": {"namespaceSelector": selector(namespaces), "podSelector": selector(pods)}}),
    }
}

fn cluster_subject(subject: &ClusterSubject) -> Value {
    match subject {
        ClusterSubject::Pods { namespaces, pods } => cluster_pods(namespaces, pods),
        ClusterSubject::Unknown => json!({ UNREADABLE: true }),
    }
}

fn cluster_rule(rule: &ClusterRule, ends: &str, is_first: bool) -> Value {
    let action = match rule.action.as_str() {
        "Accept" if is_first => "Allow",
        action => action,
    };
    let peers: Vec<Value> = rule.peers.iter().map(cluster_peer).collect();
    let mut value = json!({"action": action});
    value[ends] = peers.into();
    if !rule.name.is_empty() {
        value["name"] = rule.name.clone().into();
    }
    if let Some(ports) = &rule.ports {
        let key = if is_first { "ports" } else { "protocols" };
        value[key] = ports.iter().map(|port| cluster_port(port, is_first)).collect();
    }
    value
}

fn cluster_peer(peer: &ClusterPeer) -> Value {
    match peer {
        ClusterPeer::Pods { namespaces, pods, .. } => cluster_pods(namespaces, pods),
        ClusterPeer::Nodes { nodes, .. } => json!({"nodes": selector(nodes)}),
        ClusterPeer::Networks { networks, .. } => {
            json!({"networks": networks.iter().map(ToString::to_string).collect::<Vec<_>>()})
        }
        ClusterPeer::Domains { names, .. } => json!({"domainNames": names}),
        ClusterPeer::Unknown(_) => json!({ UNREADABLE: true }),
    }
}

fn cluster_port(port: &ClusterPort, is_first: bool) -> Value {
    match &port.matches {
        ClusterPortMatch::Named(name) if is_first => json!({"namedPort": name}),
        ClusterPortMatch::Named(name) => json!({"destinationNamedPort": name}),
        ClusterPortMatch::Unknown => json!({ UNREADABLE: true }),
        ClusterPortMatch::Port(protocol, ports) if is_first => match ports {
            PortMatch::Range(from, to) if from == to => {
                json!({"portNumber": {"protocol": protocol, "port": from}})
            }
            PortMatch::Range(from, to) => {
                json!({"portRange": {"protocol": protocol, "start": from, "end": to}})
            }
            _ => json!({"portRange": {"protocol": protocol, "start": 1, "end": 65535}}),
        },
        ClusterPortMatch::Port(protocol, ports) => {
            let matches = match ports {
                PortMatch::Range(from, to) if from == to => {
                    json!({"destinationPort": {"number": from}})
                }
                PortMatch::Range(from, to) => {
                    json!({"destinationPort": {"range": {"start": from, "end": to}}})
                }
                _ => json!({"destinationPort": {"range": {"start": 1, "end": 65535}}}),
            };
            json!({ protocol.as_str().to_ascii_lowercase(): matches })
        }
    }
}
