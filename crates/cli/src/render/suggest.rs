//! Suggested policies as text.

use podgate_analysis::suggest::{SuggestedPeer, SuggestedPort, SuggestedRule, Suggestion};

use crate::style::{self, BOLD, FAINT};

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
