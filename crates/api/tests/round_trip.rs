//! Any valid policy that is written out, as JSON or as YAML, is read back as it was.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use podgate_api::{
    IpBlock, LabelSelector, Meta, NetworkPolicy, Object, Operator, Peer, PodPeer, PolicyPort, PortMatch,
    Protocol, Requirement, Rule, Source, load_text,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn source() -> Source {
    Source::origin("")
}

fn text() -> impl Strategy<Value = String> {
    // Words that YAML takes for something else are among them.
    prop_oneof![
        "[a-z][a-z0-9]{0,4}",
        prop::sample::select(vec!["yes", "null", "1", "1.0", "0x1", "on", "y", "1e3"])
            .prop_map(str::to_owned)
    ]
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let operators = vec![Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist];
    let key = prop_oneof!["[a-z]{1,3}", "[a-z]{1,3}\\.io/[a-z]{1,3}"];
    (key, prop::sample::select(operators), prop::collection::vec(text(), 1..3)).prop_map(
        |(key, operator, values)| {
            let values = if matches!(operator, Operator::In | Operator::NotIn) { values } else { Vec::new() };
            Requirement { key, operator, values }
        },
    )
}

fn selector() -> impl Strategy<Value = LabelSelector> {
    prop::collection::vec(requirement(), 0..3).prop_map(LabelSelector::new)
}

fn network() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u32>(), 0_u8..=31).prop_map(|(bits, length)| (IpAddr::V4(Ipv4Addr::from(bits)), length));
    // Never an IPv4-mapped address: those are read as IPv4.
    let v6 = (any::<u128>(), 0_u8..=127)
        .prop_map(|(bits, length)| (IpAddr::V6(Ipv6Addr::from(bits | 1 << 127)), length));
    prop_oneof![v4, v6].prop_map(|(ip, length)| IpNet::new(ip, length).expect("a length in range").trunc())
}

fn peer() -> impl Strategy<Value = Peer> {
    let pods = (prop::option::of(selector()), prop::option::of(selector()), selector()).prop_map(
        |(namespaces, pods, other)| {
            let pods = if namespaces.is_none() { Some(pods.unwrap_or(other)) } else { pods };
            Peer::Pods(PodPeer { namespaces, pods, source: source() })
        },
    );
    let block = (network(), any::<bool>()).prop_map(|(cidr, cut)| {
        let hole = IpNet::new(cidr.addr(), cidr.prefix_len() + 1).expect("a length in range");
        Peer::IpBlock(IpBlock { cidr, except: if cut { vec![hole] } else { Vec::new() }, source: source() })
    });
    prop_oneof![pods, block]
}

fn port() -> impl Strategy<Value = PolicyPort> {
    let range = (1_u16..=65535, 1_u16..=65535).prop_map(|(a, b)| PortMatch::Range(a.min(b), a.max(b)));
    let matched = prop_oneof![Just(PortMatch::All), range, "[a-z]{1,5}".prop_map(PortMatch::Named)];
    (prop::sample::select(Protocol::ALL.to_vec()), matched).prop_map(|(protocol, port)| PolicyPort {
        protocol,
        port,
        source: source(),
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let peers = prop::option::of(prop::collection::vec(peer(), 1..4));
    let ports = prop::option::of(prop::collection::vec(port(), 1..4));
    (peers, ports).prop_map(|(peers, ports)| Rule { peers, ports, source: source() })
}

prop_compose! {
    fn policy()(
        pod_selector in selector(),
        force in prop::sample::select(vec![(true, false), (false, true), (true, true)]),
        ingress in prop::collection::vec(rule(), 0..3),
        egress in prop::collection::vec(rule(), 0..3),
    ) -> NetworkPolicy {
        NetworkPolicy {
            meta: Meta { name: "p".to_owned(), namespace: "n".to_owned(), ..Meta::default() },
            pod_selector, ingress_in_force: force.0, egress_in_force: force.1, ingress, egress,
        }
    }
}

// === writing ===

fn selector_value(selector: &LabelSelector) -> Value {
    let requirements = selector.requirements().iter().map(|r| {
        let operator = match r.operator {
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
        };
        json!({"key": r.key, "operator": operator, "values": r.values})
    });
    json!({"matchExpressions": requirements.collect::<Vec<_>>()})
}

fn peer_value(peer: &Peer) -> Value {
    match peer {
        Peer::IpBlock(block) => json!({"ipBlock": {"cidr": block.cidr, "except": block.except}}),
        Peer::Pods(peer) => {
            let mut value = Map::new();
            value.extend(peer.namespaces.iter().map(|s| ("namespaceSelector".to_owned(), selector_value(s))));
            value.extend(peer.pods.iter().map(|s| ("podSelector".to_owned(), selector_value(s))));
            Value::Object(value)
        }
    }
}

fn port_value(port: &PolicyPort) -> Value {
    match &port.port {
        PortMatch::All => json!({"protocol": port.protocol}),
        PortMatch::Range(first, last) if first == last => json!({"protocol": port.protocol, "port": first}),
        PortMatch::Range(first, last) => json!({"protocol": port.protocol, "port": first, "endPort": last}),
        PortMatch::Named(name) => json!({"protocol": port.protocol, "port": name}),
    }
}

fn rules_value(rules: &[Rule], peers: &str) -> Value {
    let rule = |rule: &Rule| {
        let list = |values: Option<Vec<Value>>| values.map_or(Value::Null, Value::Array);
        json!({
            peers: list(rule.peers.as_ref().map(|peers| peers.iter().map(peer_value).collect())),
            "ports": list(rule.ports.as_ref().map(|ports| ports.iter().map(port_value).collect())),
        })
    };
    rules.iter().map(rule).collect()
}

fn policy_value(policy: &NetworkPolicy) -> Value {
    let types = [(policy.ingress_in_force, "Ingress"), (policy.egress_in_force, "Egress")];
    let types: Vec<&str> = types.into_iter().filter(|(force, _)| *force).map(|(_, name)| name).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": policy.meta.name, "namespace": policy.meta.namespace},
        "spec": {
            "podSelector": selector_value(&policy.pod_selector),
            "policyTypes": types,
            "ingress": rules_value(&policy.ingress, "from"),
            "egress": rules_value(&policy.egress, "to"),
        },
    })
}

/// Block style, with all text quoted.
fn yaml(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let _ = write!(out, "\n{pad}{key}:");
                yaml(value, indent + 2, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(out, "\n{pad}-");
                yaml(item, indent + 2, out);
            }
        }
        other => {
            let _ = write!(out, " {other}");
        }
    }
}

// === reading ===

fn without_sources(mut policy: NetworkPolicy) -> NetworkPolicy {
    policy.meta.source = source();
    for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
        rule.source = source();
        for peer in rule.peers.iter_mut().flatten() {
            match peer {
                Peer::Pods(peer) => peer.source = source(),
                Peer::IpBlock(block) => block.source = source(),
            }
        }
        for port in rule.ports.iter_mut().flatten() {
            port.source = source();
        }
    }
    policy
}

#[track_caller]
fn reads_back(name: &str, text: &str, expect: &NetworkPolicy) {
    let loaded = load_text(name, text);
    assert_eq!(loaded.diagnostics, [], "{text}");
    match loaded.objects.into_iter().next() {
        Some(Object::NetworkPolicy(policy)) => assert_eq!(&without_sources(policy), expect, "{text}"),
        other => panic!("no policy but {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_valid_policy_is_read_back_from_json_and_yaml(policy in policy()) {
        let value = policy_value(&policy);
        reads_back("p.json", &value.to_string(), &policy);
        reads_back("p.json", &serde_json::to_string_pretty(&value).expect("JSON"), &policy);
        reads_back("p.yaml", &value.to_string(), &policy);
        let mut text = "---".to_owned();
        yaml(&value, 0, &mut text);
        reads_back("p.yaml", &text, &policy);
        reads_back("p.yaml", &text.replace('\n', "\r\n"), &policy);
    }
}
