//! Suggestions as a stream of manifests, with comments that say where each rule comes from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{SuggestedPeer, SuggestedPolicy, SuggestedPort, SuggestedRule, Suggestion};

impl Suggestion {
    /// The policies as YAML that can be applied as it is.
    pub fn to_yaml(&self) -> String {
        let mut out = String::from(
            "# Policies for the manifests that podgate read: default-deny, and what was seen to be needed.\n",
        );
        out.push_str("# Every rule was checked by the engine. Read the notes before you apply this.\n");
        if !self.left_out.is_empty() {
            out.push_str("#\n# Policies of the input had no part in this, and allow what they allow as long as they are there:\n");
            self.left_out.iter().for_each(|name| comment(&mut out, 0, &format!("  {name}")));
        }
        if !self.notes.is_empty() {
            out.push_str("#\n# What the manifests don't tell:\n");
            self.notes.iter().for_each(|note| comment(&mut out, 0, &format!("- {note}")));
        }
        for policy in &self.policies {
            out.push_str("---\n");
            policy.write(&mut out);
        }
        out
    }
}

impl SuggestedPolicy {
    fn write(&self, out: &mut String) {
        comment(out, 0, &self.about);
        let _ = write!(
            out,
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n",
            scalar(&self.name),
            scalar(&self.namespace)
        );
        match self.subject.is_empty() {
            true => out.push_str("  podSelector: {}\n"),
            false => {
                out.push_str("  podSelector:\n");
                match_labels(out, 4, &self.subject);
            }
        }
        out.push_str("  policyTypes:\n");
        for (word, rules) in [("Ingress", &self.ingress), ("Egress", &self.egress)] {
            if rules.is_some() {
                let _ = writeln!(out, "    - {word}");
            }
        }
        for (word, peers, rules) in [("ingress", "from", &self.ingress), ("egress", "to", &self.egress)] {
            let Some(rules) = rules.as_ref().filter(|rules| !rules.is_empty()) else { continue };
            let _ = writeln!(out, "  {word}:");
            rules.iter().for_each(|rule| rule.write(out, peers));
        }
    }
}

impl SuggestedRule {
    fn write(&self, out: &mut String, peers: &str) {
        self.why.iter().for_each(|why| comment(out, 4, why));
        // The first key of a rule carries the dash.
        let mut lead = "    - ";
        match &self.peer {
            SuggestedPeer::Anyone => {}
            SuggestedPeer::AnyPod => {
                let _ = write!(out, "{lead}{peers}:\n        - namespaceSelector: {{}}\n");
                lead = "      ";
            }
            SuggestedPeer::Pods { namespace, labels } => {
                let _ = writeln!(out, "{lead}{peers}:");
                lead = "      ";
                let mut dash = "        - ";
                if let Some(namespace) = namespace {
                    let _ = writeln!(out, "{dash}namespaceSelector:");
                    let name =
                        BTreeMap::from([(podgate_api::NAMESPACE_NAME_LABEL.to_owned(), namespace.clone())]);
                    match_labels(out, 12, &name);
                    dash = "          ";
                }
                let _ = writeln!(out, "{dash}podSelector:");
                match_labels(out, 12, labels);
            }
            SuggestedPeer::Outside { networks } => {
                let _ = writeln!(out, "{lead}{peers}:");
                lead = "      ";
                for (network, holes) in networks {
                    let _ = writeln!(
                        out,
                        "        - ipBlock:\n            cidr: {}\n            except:",
                        scalar(network)
                    );
                    holes.iter().for_each(|hole| {
                        let _ = writeln!(out, "              - {}", scalar(hole));
                    });
                }
            }
        }
        let _ = writeln!(out, "{lead}ports:");
        self.ports.iter().for_each(|port| port.write(out));
    }
}

impl SuggestedPort {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "        - protocol: {}\n          port: {}", self.protocol, self.first);
        if self.last != self.first {
            let _ = writeln!(out, "          endPort: {}", self.last);
        }
    }
}

fn match_labels(out: &mut String, indent: usize, labels: &BTreeMap<String, String>) {
    let _ = writeln!(out, "{:indent$}matchLabels:", "");
    for (key, value) in labels {
        let _ = writeln!(out, "{:indent$}  {}: {}", "", scalar(key), scalar(value));
    }
}

/// Comments stay comments: a line break in a name would end them.
fn comment(out: &mut String, indent: usize, text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(out, "{:indent$}# {text}", "");
}

/// A string as a YAML scalar: quoted where YAML would read something else than the string.
pub fn scalar(text: &str) -> String {
    const WORDS: [&str; 11] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "~", "nan"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
