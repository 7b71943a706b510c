//! NetworkPolicies and parts of them as YAML.

use std::fmt::Write as _;

use podgate_api::{
    IpBlock, LabelSelector, NetworkPolicy, Operator, Peer, PolicyPort, PortMatch, Protocol, Rule,
};

/// Lines of YAML; each is indented by the caller.
pub type Lines = Vec<String>;

/// A NetworkPolicy with what people should read beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The policy.
    pub policy: NetworkPolicy,
    /// Above the whole, a line each.
    pub about: Vec<String>,
    /// Above each ingress rule.
    pub ingress: Vec<Vec<String>>,
    /// Above each egress rule.
    pub egress: Vec<Vec<String>>,
}

impl Document {
    /// As a document that `kubectl apply` takes, with comments.
    pub fn to_yaml(&self) -> String {
        let mut lines: Lines = self.about.iter().map(|text| comment(text)).collect();
        lines.extend(policy_lines(&self.policy, &self.ingress, &self.egress));
        joined(&lines)
    }
}

/// Comments stay comments: a line break in a name would end them.
pub fn comment(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {text}").trim_end().to_owned()
}

/// A NetworkPolicy as a document that `kubectl apply` takes. Only the directions in force are written.
pub fn policy(policy: &NetworkPolicy) -> String {
    joined(&policy_lines(policy, &[], &[]))
}

fn policy_lines(policy: &NetworkPolicy, ingress: &[Vec<String>], egress: &[Vec<String>]) -> Lines {
    let mut lines: Lines = vec![
        "apiVersion: networking.k8s.io/v1".to_owned(),
        "kind: NetworkPolicy".to_owned(),
        "metadata:".to_owned(),
        format!("  name: {}", scalar(&policy.meta.name)),
        format!("  namespace: {}", scalar(&policy.meta.namespace)),
        "spec:".to_owned(),
    ];
    lines.extend(indented(2, field("podSelector", selector(&policy.pod_selector))));
    let types: Vec<&str> = [(policy.ingress_in_force, "Ingress"), (policy.egress_in_force, "Egress")]
        .into_iter()
        .filter_map(|(in_force, name)| in_force.then_some(name))
        .collect();
    lines.push(format!("  policyTypes: [{}]", types.join(", ")));
    for (in_force, name, peers, rules, comments) in [
        (policy.ingress_in_force, "ingress", "from", &policy.ingress, ingress),
        (policy.egress_in_force, "egress", "to", &policy.egress, egress),
    ] {
        if !in_force || rules.is_empty() {
            continue;
        }
        lines.push(format!("  {name}:"));
        for (at, one) in rules.iter().enumerate() {
            let above = comments.get(at).into_iter().flatten().map(|text| comment(text)).collect();
            lines.extend(indented(2, above));
            lines.extend(indented(2, item(rule(one, peers))));
        }
    }
    lines
}

/// A rule; `list` is `from` or `to`.
pub fn rule(rule: &Rule, list: &str) -> Lines {
    let mut lines = Lines::new();
    if let Some(peers) = &rule.peers {
        lines.push(format!("{list}:"));
        peers.iter().for_each(|one| lines.extend(item(peer(one))));
    }
    if let Some(ports) = &rule.ports {
        lines.push("ports:".to_owned());
        ports.iter().for_each(|one| lines.extend(item(port(one))));
    }
    if lines.is_empty() { vec!["{}".to_owned()] } else { lines }
}

/// A peer.
pub fn peer(peer: &Peer) -> Lines {
    match peer {
        Peer::Pods(peer) => {
            let mut lines = Lines::new();
            if let Some(namespaces) = &peer.namespaces {
                lines.extend(field("namespaceSelector", selector(namespaces)));
            }
            if let Some(pods) = &peer.pods {
                lines.extend(field("podSelector", selector(pods)));
            }
            lines
        }
        Peer::IpBlock(IpBlock { cidr, except, .. }) => {
            let mut lines = vec!["ipBlock:".to_owned(), format!("  cidr: {}", scalar(&cidr.to_string()))];
            if !except.is_empty() {
                lines.push("  except:".to_owned());
                lines.extend(except.iter().map(|net| format!("  - {}", scalar(&net.to_string()))));
            }
            lines
        }
    }
}

/// An entry of `ports`.
pub fn port(port: &PolicyPort) -> Lines {
    let mut lines = vec![format!("protocol: {}", port.protocol)];
    match &port.port {
        PortMatch::All => {}
        PortMatch::Range(first, last) => {
            lines.push(format!("port: {first}"));
            if first != last {
                lines.push(format!("endPort: {last}"));
            }
        }
        PortMatch::Named(name) => lines.push(format!("port: {}", scalar(name))),
    }
    lines
}

/// A selector's own lines; empty for the one that selects everything.
fn selector(selector: &LabelSelector) -> Lines {
    let single = |r: &&podgate_api::Requirement| r.operator == Operator::In && r.values.len() == 1;
    let mut lines = Lines::new();
    let labels: Vec<_> = selector.requirements().iter().filter(single).collect();
    if !labels.is_empty() {
        lines.push("matchLabels:".to_owned());
        lines.extend(labels.iter().map(|r| format!("  {}: {}", scalar(&r.key), scalar(&r.values[0]))));
    }
    let others: Vec<_> = selector.requirements().iter().filter(|r| !single(r)).collect();
    if !others.is_empty() {
        lines.push("matchExpressions:".to_owned());
        for requirement in others {
            let operator = match requirement.operator {
                Operator::In => "In",
                Operator::NotIn => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
            };
            lines.push(format!("- key: {}", scalar(&requirement.key)));
            lines.push(format!("  operator: {operator}"));
            if !requirement.values.is_empty() {
                let values: Vec<String> = requirement.values.iter().map(|value| scalar(value)).collect();
                lines.push(format!("  values: [{}]", values.join(", ")));
            }
        }
    }
    lines
}

/// `name:` with the lines below it, or `name: {}`.
fn field(name: &str, lines: Lines) -> Lines {
    if lines.is_empty() {
        return vec![format!("{name}: {{}}")];
    }
    let mut all = vec![format!("{name}:")];
    all.extend(indented(2, lines));
    all
}

/// Lines as an item of a list.
pub fn item(lines: Lines) -> Lines {
    let lead = |at: usize| if at == 0 { "- " } else { "  " };
    lines.into_iter().enumerate().map(|(at, line)| format!("{}{line}", lead(at))).collect()
}

fn indented(by: usize, lines: Lines) -> Lines {
    lines.into_iter().map(|line| format!("{:by$}{line}", "")).collect()
}

/// Lines as a text, with a line feed after each.
pub fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A string as YAML writes it: quoted where a reader would take it for something else.
pub fn scalar(text: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan"];
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let is_block = text.contains('/') && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/'));
    if (is_word && !WORDS.contains(&text.to_ascii_lowercase().as_str())) || is_block {
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

/// Entries of `ports` that match exactly a set; `None`: no list of ports does, because the set holds
/// protocols that policies can't name.
pub fn ports_of(set: &crate::ports::PortSet) -> Option<Vec<PolicyPort>> {
    let mut entries = Vec::new();
    for protocol in Protocol::ALL {
        for (first, last) in set.of(protocol) {
            let port = match (first, last) {
                (0 | 1, u16::MAX) => PortMatch::All,
                (first, last) => PortMatch::Range(first.max(1), last),
            };
            entries.push(PolicyPort { protocol, port, source: podgate_api::Source::default() });
        }
    }
    let named = crate::ports::PortSet::named_protocols();
    set.is_subset(&named).then_some(entries)
}

#[cfg(test)]
mod tests {
    use podgate_api::{Object, load_text};

    use super::*;

    #[test]
    fn text_that_yaml_would_take_for_something_else_is_quoted() {
        for (text, expected) in [
            ("web", "web"),
            ("app.kubernetes.io/name", "app.kubernetes.io/name"),
            ("true", "\"true\""),
            ("No", "\"No\""),
            ("1.0", "\"1.0\""),
            ("7", "\"7\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "\"::/0\""),
            ("a\nb", "\"a\\u000Ab\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }

    #[test]
    fn what_is_written_reads_as_it_was() {
        let text = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: "on", namespace: shop}
spec:
  podSelector: {matchLabels: {app: web, version: "1"}, matchExpressions: [{key: tier, operator: NotIn, values: [db, "no"]}]}
  policyTypes: [Egress, Ingress]
  ingress:
  - {}
  - from:
    - {podSelector: {}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}
    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
    - ipBlock: {cidr: "fd00::/8"}
    ports: [{port: http}, {port: 80, endPort: 90, protocol: UDP}, {protocol: SCTP}]
  egress:
  - ports: [{port: 53, protocol: UDP}]
"#;
        let read = |text: &str| {
            let loaded = load_text("p.yaml", text);
            assert!(loaded.diagnostics.is_empty(), "{:?}\n{text}", loaded.diagnostics);
            match loaded.objects.into_iter().next() {
                Some(Object::NetworkPolicy(policy)) => policy,
                other => panic!("{other:?}"),
            }
        };
        let first = read(text);
        let written = policy(&first);
        let second = read(&written);
        assert_eq!(policy(&second), written);
        assert_eq!(first.pod_selector, second.pod_selector);
        assert_eq!(
            (first.ingress_in_force, first.egress_in_force),
            (second.ingress_in_force, second.egress_in_force)
        );
        let shape = |policy: &NetworkPolicy| format!("{:?} {:?}", policy.ingress, policy.egress);
        let without_places = |text: String| {
            text.split("Source {")
                .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(without_places(shape(&first)), without_places(shape(&second)));
    }
}
