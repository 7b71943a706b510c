//! Suggested policies as manifests in JSON, and as text.

use podgate_analysis::suggest::{SuggestedPeer, SuggestedPolicy, SuggestedPort, SuggestedRule, Suggestion};
use serde_json::{Value, json};

use crate::style::{self, BOLD, FAINT};

/// A list that `kubectl apply` takes.
pub fn manifests(suggestion: &Suggestion) -> Value {
    let items: Vec<Value> = suggestion.policies.iter().map(manifest).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn manifest(policy: &SuggestedPolicy) -> Value {
    let mut spec = json!({"podSelector": selector(&policy.subject)});
    let mut types = Vec::new();
    for (word, kind, peers, rules) in
        [("ingress", "Ingress", "from", &policy.ingress), ("egress", "Egress", "to", &policy.egress)]
    {
        let Some(rules) = rules else { continue };
        types.push(kind);
        if !rules.is_empty() {
            spec[word] = rules.iter().map(|each| rule(each, peers)).collect();
        }
    }
    spec["policyTypes"] = json!(types);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": policy.name, "namespace": policy.namespace},
        "spec": spec,
    })
}

fn selector(labels: &std::collections::BTreeMap<String, String>) -> Value {
    if labels.is_empty() { json!({}) } else { json!({"matchLabels": labels}) }
}

fn rule(rule: &SuggestedRule, word: &str) -> Value {
    let ports: Vec<Value> = rule.ports.iter().map(port).collect();
    let mut out = json!({"ports": ports});
    let peers = match &rule.peer {
        SuggestedPeer::Anyone => return out,
        SuggestedPeer::AnyPod => vec![json!({"namespaceSelector": {}})],
        SuggestedPeer::Pods { namespace: None, labels } => vec![json!({"podSelector": selector(labels)})],
        SuggestedPeer::Pods { namespace: Some(namespace), labels } => vec![json!({
            "namespaceSelector": {"matchLabels": {podgate_api::NAMESPACE_NAME_LABEL: namespace}},
            "podSelector": selector(labels),
        })],
        SuggestedPeer::Outside { networks } => networks
            .iter()
            .map(|(cidr, except)| json!({"ipBlock": {"cidr": cidr, "except": except}}))
            .collect(),
    };
    out[word] = json!(peers);
    out
}

fn port(port: &SuggestedPort) -> Value {
    match port.first == port.last {
        true => json!({"protocol": port.protocol, "port": port.first}),
        false => json!({"protocol": port.protocol, "port": port.first, "endPort": port.last}),
    }
}

/// What each policy allows, a line for each rule.
pub fn text(suggestion: &Suggestion) {
    let mut namespace = "";
    for policy in &suggestion.policies {
        if policy.namespace != namespace {
            namespace = &policy.namespace;
            style::line(&format!("{BOLD}{namespace}{BOLD:#}"));
        }
        let empty = |rules: &Option<Vec<SuggestedRule>>| rules.as_ref().is_some_and(Vec::is_empty);
        let denies = if empty(&policy.ingress) || empty(&policy.egress) {
            "  denies what no other allows"
        } else {
            ""
        };
        style::line(&format!("  {}{FAINT}{denies}{FAINT:#}", policy.name));
        for (word, rules) in [("from", &policy.ingress), ("to", &policy.egress)] {
            for rule in rules.iter().flatten() {
                let ports: Vec<String> = rule.ports.iter().map(port_text).collect();
                style::line(&format!("    {word:4} {} on {}", peer_text(&rule.peer), ports.join(", ")));
                rule.why.iter().for_each(|why| style::line(&format!("         {FAINT}{why}{FAINT:#}")));
            }
        }
    }
    if !suggestion.left_out.is_empty() {
        style::line(&format!("{BOLD}left out{BOLD:#}"));
        suggestion.left_out.iter().for_each(|name| style::line(&format!("  {name}")));
    }
    if !suggestion.notes.is_empty() {
        style::line(&format!("{BOLD}not known{BOLD:#}"));
        suggestion.notes.iter().for_each(|note| style::line(&format!("  {note}")));
    }
}

fn peer_text(peer: &SuggestedPeer) -> String {
    match peer {
        SuggestedPeer::Anyone => "anybody".to_owned(),
        SuggestedPeer::AnyPod => "any pod".to_owned(),
        SuggestedPeer::Outside { .. } => "public addresses".to_owned(),
        SuggestedPeer::Pods { namespace, labels } => {
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let namespace = namespace.as_ref().map(|name| format!("{name}/")).unwrap_or_default();
            format!("{namespace}{}", labels.join(","))
        }
    }
}

fn port_text(port: &SuggestedPort) -> String {
    match port.first == port.last {
        true => format!("{} {}", port.protocol, port.first),
        false => format!("{} {}-{}", port.protocol, port.first, port.last),
    }
}
