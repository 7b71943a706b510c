//! Cluster-scoped policies, each in the words of its kind and version.

use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPort, ClusterPortMatch, ClusterRule,
    ClusterSubject, ClusterTier, LabelSelector, PortMatch,
};
use serde_json::{Value, json};

use super::selector;

/// The policy; `head` makes a manifest without a spec.
pub(super) fn manifest(policy: &ClusterPolicy, head: impl FnOnce(&str) -> Value) -> Value {
    let version = match policy.kind {
        ClusterPolicyKind::ClusterNetworkPolicy if policy.priority % 2 == 1 => "v1beta1",
        ClusterPolicyKind::ClusterNetworkPolicy => "v1alpha2",
        _ => "v1alpha1",
    };
    let mut value = head(&format!("policy.networking.k8s.io/{version}"));
    let subject = match &policy.subject {
        ClusterSubject::Pods { namespaces, pods } => pods_of_namespaces(namespaces, pods),
        ClusterSubject::Unknown => unknown(),
    };
    let rules =
        |rules: &[ClusterRule], peers| rules.iter().map(|r| rule(policy.kind, r, peers)).collect::<Vec<_>>();
    value["spec"] = json!({
        "subject": subject,
        "ingress": rules(&policy.ingress, "from"),
        "egress": rules(&policy.egress, "to"),
    });
    if policy.kind != ClusterPolicyKind::BaselineAdminNetworkPolicy {
        value["spec"]["priority"] = json!(policy.priority);
    }
    if policy.kind == ClusterPolicyKind::ClusterNetworkPolicy {
        let tier = match policy.tier {
            ClusterTier::Admin => "Admin",
            ClusterTier::Baseline => "Baseline",
        };
        value["spec"]["tier"] = json!(tier);
    }
    value
}

/// A field that no version has.
fn unknown() -> Value {
    json!({"moods": {}})
}

fn pods_of_namespaces(namespaces: &LabelSelector, pods: &LabelSelector) -> Value {
    match pods.is_everything() {
        true => json!({"namespaces": selector(namespaces)}),
        false => json!({"pods": {"namespaceSelector": selector(namespaces), "podSelector": selector(pods)}}),
    }
}

fn rule(kind: ClusterPolicyKind, rule: &ClusterRule, peers: &str) -> Value {
    let is_new = kind == ClusterPolicyKind::ClusterNetworkPolicy;
    let action = match rule.action {
        Action::Accept if !is_new => "Allow",
        action => action.as_str(),
    };
    let mut value = json!({"action": action});
    value[peers] = rule.peers.iter().map(peer).collect();
    if !rule.name.is_empty() {
        value["name"] = json!(rule.name);
    }
    if let Some(ports) = &rule.ports {
        let (field, write): (&str, fn(&ClusterPort) -> Value) =
            if is_new { ("protocols", protocol_entry) } else { ("ports", port_entry) };
        value[field] = ports.iter().map(write).collect();
    }
    value
}

fn peer(peer: &ClusterPeer) -> Value {
    match peer {
        ClusterPeer::Pods { namespaces, pods, .. } => pods_of_namespaces(namespaces, pods),
        ClusterPeer::Nodes { nodes, .. } => json!({"nodes": selector(nodes)}),
        ClusterPeer::Networks { networks, .. } => json!({"networks": networks}),
        ClusterPeer::Domains { names, .. } => json!({"domainNames": names}),
        ClusterPeer::Unknown(_) => unknown(),
    }
}

/// v1alpha2 and later.
fn protocol_entry(port: &ClusterPort) -> Value {
    let (protocol, port) = match &port.matches {
        ClusterPortMatch::Named(name) => return json!({"destinationNamedPort": name}),
        ClusterPortMatch::Unknown => return unknown(),
        ClusterPortMatch::Port(protocol, port) => (protocol, port),
    };
    let (first, last) = bounds(port);
    let port = match first == last {
        true => json!({"number": first}),
        false => json!({"range": {"start": first, "end": last}}),
    };
    json!({protocol.as_str().to_lowercase(): {"destinationPort": port}})
}

/// v1alpha1.
fn port_entry(port: &ClusterPort) -> Value {
    let (protocol, port) = match &port.matches {
        ClusterPortMatch::Named(name) => return json!({"namedPort": name}),
        ClusterPortMatch::Unknown => return unknown(),
        ClusterPortMatch::Port(protocol, port) => (protocol.as_str(), port),
    };
    let (first, last) = bounds(port);
    match first == last {
        true => json!({"portNumber": {"protocol": protocol, "port": first}}),
        false => json!({"portRange": {"protocol": protocol, "start": first, "end": last}}),
    }
}

/// There are no words for all ports of a protocol but the range of all that a packet may have.
fn bounds(port: &PortMatch) -> (u16, u16) {
    match port {
        PortMatch::Range(first, last) => (*first, *last),
        PortMatch::All => (1, u16::MAX),
        PortMatch::Named(_) => unreachable!("names are entries of their own"),
    }
}
