//! Objects as the manifests that a user would write: JSON, one object in each file.

mod cluster_policy;

use podgate_api::{
    ExternalTrafficPolicy, IpBlock, LabelSelector, NetworkPolicy, Object, Operator, Peer, Pod, PodPeer,
    PolicyPort, PortMatch, Rule, Service, ServiceType, TargetPort,
};
use serde_json::{Map, Value, json};

/// A file name for an object, and its text. `None` for kinds that the tests' generators never make.
pub fn manifest(object: &Object) -> Option<(String, String)> {
    let key = object.key();
    let value = match object {
        Object::Namespace(_) => head(object, "v1"),
        Object::Node(node) => {
            let mut value = head(object, "v1");
            let addresses = node.addresses.iter().map(|ip| json!({"type": "InternalIP", "address": ip}));
            value["status"] = json!({"addresses": addresses.collect::<Vec<_>>()});
            value
        }
        Object::Pod(pod) => with_pod(head(object, "v1"), pod),
        Object::Service(service) => with_service(head(object, "v1"), service),
        Object::NetworkPolicy(policy) => with_policy(head(object, "networking.k8s.io/v1"), policy),
        Object::ClusterPolicy(policy) => cluster_policy::manifest(policy, |version| head(object, version)),
        _ => return None,
    };
    let name = format!("{}-{}-{}.json", key.kind.to_lowercase(), key.namespace, key.name);
    Some((name, format!("{value:#}\n")))
}

fn head(object: &Object, version: &str) -> Value {
    let meta = object.meta();
    let mut metadata = json!({"name": meta.name, "labels": meta.labels});
    let mut set = |key: &str, value: &str| {
        if !value.is_empty() {
            metadata[key] = json!(value);
        }
    };
    set("namespace", &meta.namespace);
    set("uid", &meta.uid);
    set("creationTimestamp", &meta.created);
    if meta.terminating {
        set("deletionTimestamp", "2026-01-02T00:00:00Z");
    }
    json!({"apiVersion": version, "kind": object.key().kind, "metadata": metadata})
}

fn with_pod(mut value: Value, pod: &Pod) -> Value {
    let ports = pod.ports.iter().map(|port| {
        let mut entry = json!({"containerPort": port.port, "protocol": port.protocol.as_str()});
        if !port.name.is_empty() {
            entry["name"] = json!(port.name);
        }
        entry
    });
    // A name is unique within a container, not within a pod.
    let containers: Vec<Value> = ports
        .enumerate()
        .map(|(i, port)| json!({"name": format!("c{i}"), "image": "i", "ports": [port]}))
        .collect();
    let idle = || vec![json!({"name": "idle", "image": "i"})];
    value["spec"] = json!({"containers": if containers.is_empty() { idle() } else { containers }});
    if pod.host_network {
        value["spec"]["hostNetwork"] = json!(true);
    }
    if let Some(node) = &pod.node {
        value["spec"]["nodeName"] = json!(node);
    }
    value["status"] = json!({"phase": format!("{:?}", pod.phase)});
    value
}

fn with_service(mut value: Value, service: &Service) -> Value {
    let ports = service.ports.iter().map(|port| {
        let target = match &port.target {
            TargetPort::Number(number) => json!(number),
            TargetPort::Name(name) => json!(name),
        };
        let mut entry = json!({"protocol": port.protocol.as_str(), "port": port.port, "targetPort": target});
        if !port.name.is_empty() {
            entry["name"] = json!(port.name);
        }
        entry
    });
    let kind = match service.kind {
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName => "ExternalName",
    };
    value["spec"] = json!({"type": kind, "ports": ports.collect::<Vec<_>>()});
    if let Some(selector) = &service.selector {
        value["spec"]["selector"] = json!(selector);
    }
    if service.headless {
        value["spec"]["clusterIP"] = json!("None");
    }
    if service.external_traffic_policy == ExternalTrafficPolicy::Local {
        value["spec"]["externalTrafficPolicy"] = json!("Local");
    }
    value
}

fn with_policy(mut value: Value, policy: &NetworkPolicy) -> Value {
    let types = [("Ingress", policy.ingress_in_force), ("Egress", policy.egress_in_force)];
    let types: Vec<&str> = types.iter().filter(|(_, in_force)| *in_force).map(|(name, _)| *name).collect();
    let rules =
        |rules: &[Rule], peers: &str| rules.iter().map(|rule| with_rule(rule, peers)).collect::<Vec<_>>();
    value["spec"] = json!({
        "podSelector": selector(&policy.pod_selector),
        "policyTypes": types,
        "ingress": rules(&policy.ingress, "from"),
        "egress": rules(&policy.egress, "to"),
    });
    value
}

fn with_rule(rule: &Rule, peers: &str) -> Value {
    let mut value = Map::new();
    if let Some(entries) = &rule.peers {
        value.insert(peers.to_owned(), entries.iter().map(peer).collect());
    }
    if let Some(entries) = &rule.ports {
        value.insert("ports".to_owned(), entries.iter().map(port).collect());
    }
    Value::Object(value)
}

fn peer(peer: &Peer) -> Value {
    match peer {
        Peer::IpBlock(IpBlock { cidr, except, .. }) => json!({"ipBlock": {"cidr": cidr, "except": except}}),
        Peer::Pods(PodPeer { namespaces, pods, .. }) => {
            let mut value = Map::new();
            let both = [("namespaceSelector", namespaces), ("podSelector", pods)];
            for (key, wanted) in both {
                value.extend(wanted.as_ref().map(|wanted| (key.to_owned(), selector(wanted))));
            }
            Value::Object(value)
        }
    }
}

fn port(entry: &PolicyPort) -> Value {
    let protocol = entry.protocol.as_str();
    match &entry.port {
        PortMatch::All => json!({"protocol": protocol}),
        PortMatch::Named(name) => json!({"protocol": protocol, "port": name}),
        PortMatch::Range(first, last) if first == last => json!({"protocol": protocol, "port": first}),
        PortMatch::Range(first, last) => json!({"protocol": protocol, "port": first, "endPort": last}),
    }
}

/// An invalid selector becomes one with an operator that doesn't exist.
fn selector(selector: &LabelSelector) -> Value {
    if selector.is_invalid() {
        return json!({"matchExpressions": [{"key": "app", "operator": "Resembles", "values": ["x"]}]});
    }
    let requirements = selector.requirements().iter().map(|requirement| {
        let operator = match requirement.operator {
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
        };
        json!({"key": requirement.key, "operator": operator, "values": requirement.values})
    });
    json!({"matchExpressions": requirements.collect::<Vec<_>>()})
}
