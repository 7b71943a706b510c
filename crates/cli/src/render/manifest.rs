//! NetworkPolicies as JSON that can be applied.

use podgate_api::{LabelSelector, NetworkPolicy, Operator, Peer, PolicyPort, PortMatch, Rule};
use serde_json::{Map, Value, json};

/// A list that `kubectl apply` takes.
pub fn list(policies: impl Iterator<Item = NetworkPolicy>) -> Value {
    let items: Vec<Value> = policies.map(|policy| manifest(&policy)).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn manifest(policy: &NetworkPolicy) -> Value {
    let mut spec = json!({"podSelector": selector(&policy.pod_selector)});
    let mut types = Vec::new();
    for (word, kind, peers, in_force, rules) in [
        ("ingress", "Ingress", "from", policy.ingress_in_force, &policy.ingress),
        ("egress", "Egress", "to", policy.egress_in_force, &policy.egress),
    ] {
        if !in_force {
            continue;
        }
        types.push(kind);
        if !rules.is_empty() {
            spec[word] = rules.iter().map(|each| rule(each, peers)).collect();
        }
    }
    spec["policyTypes"] = json!(types);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": policy.meta.name, "namespace": policy.meta.namespace},
        "spec": spec,
    })
}

fn selector(selector: &LabelSelector) -> Value {
    let mut labels = Map::new();
    let mut expressions = Vec::new();
    for requirement in selector.requirements() {
        let operator = match requirement.operator {
            Operator::In if requirement.values.len() == 1 => {
                labels.insert(requirement.key.clone(), json!(requirement.values[0]));
                continue;
            }
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
        };
        let mut one = json!({"key": requirement.key, "operator": operator});
        if !requirement.values.is_empty() {
            one["values"] = json!(requirement.values);
        }
        expressions.push(one);
    }
    let mut out = json!({});
    if !labels.is_empty() {
        out["matchLabels"] = Value::Object(labels);
    }
    if !expressions.is_empty() {
        out["matchExpressions"] = json!(expressions);
    }
    out
}

fn rule(rule: &Rule, word: &str) -> Value {
    let mut out = json!({});
    if let Some(peers) = &rule.peers {
        out[word] = peers.iter().map(peer).collect();
    }
    if let Some(ports) = &rule.ports {
        out["ports"] = ports.iter().map(port).collect();
    }
    out
}

fn peer(peer: &Peer) -> Value {
    match peer {
        Peer::Pods(pods) => {
            let mut out = json!({});
            if let Some(namespaces) = &pods.namespaces {
                out["namespaceSelector"] = selector(namespaces);
            }
            if let Some(pods) = &pods.pods {
                out["podSelector"] = selector(pods);
            }
            out
        }
        Peer::IpBlock(block) => match block.except.is_empty() {
            true => json!({"ipBlock": {"cidr": block.cidr}}),
            false => json!({"ipBlock": {"cidr": block.cidr, "except": block.except}}),
        },
    }
}

fn port(port: &PolicyPort) -> Value {
    let protocol = port.protocol.as_str();
    match &port.port {
        PortMatch::All => json!({"protocol": protocol}),
        PortMatch::Range(first, last) if first == last => json!({"protocol": protocol, "port": first}),
        PortMatch::Range(first, last) => json!({"protocol": protocol, "port": first, "endPort": last}),
        PortMatch::Named(name) => json!({"protocol": protocol, "port": name}),
    }
}
