//! The two ends of a question, and its port, as people write them.
//!
//! ```text
//! "shop/svc/db"  --End::parse-->  End  --World::resolve-->        Resolved: pods, addresses outside
//! "5432"         --PortSpec::parse-->  --World::resolve_ports-->  Ports: a port set for each pod
//! ```

mod near;
mod port;
mod resolve;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_api::{LabelSelector, Operator, Requirement};

pub use near::nearest;
pub use port::{PortSpec, Ports, Translation};
pub use resolve::Resolved;

/// One end of connections, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The text.
    pub text: String,
    /// What it says.
    pub kind: EndKind,
    /// Where names without a namespace are looked for; `None`: in all namespaces.
    pub default_namespace: Option<String>,
}

/// What an [`End`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// `namespace/name`, `namespace/KIND/name`, or the same without the namespace.
    Named {
        /// The namespace, when written.
        namespace: Option<String>,
        /// The kind, when written.
        kind: Option<NamedKind>,
        /// The name.
        name: String,
    },
    /// `namespace/*`: every pod of it.
    Namespace(String),
    /// A label selector, in one namespace or in all.
    Selected {
        /// The namespace, when written.
        namespace: Option<String>,
        /// The selector.
        selector: LabelSelector,
    },
    /// An address.
    Address(IpAddr),
    /// A network, host bits cleared.
    Network(IpNet),
    /// `internet`: every address that routers of the internet forward to.
    Internet,
    /// `all`: every pod, and every address that is no pod's.
    All,
}

/// A kind before a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedKind {
    /// `pod`.
    Pod,
    /// `svc`.
    Service,
    /// Anything that makes pods: the kind as the API spells it, or as it was written when podgate doesn't know it.
    Workload(String),
}

/// Why an end or a port means nothing: what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct EndError {
    /// What is wrong.
    pub message: String,
    /// What to do next; may be empty.
    pub help: String,
}

impl EndError {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        EndError { message: message.into(), help: help.into() }
    }
}

impl fmt::Display for EndError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

const FORMS: &str = "write namespace/pod, namespace/KIND/name (deploy, sts, ds, job, cronjob, rs, rc, pod, svc), namespace/*, \
                     a label selector such as app=web or shop/app=web, an address, a CIDR, `internet` or `all`";

/// What people write for a kind, and the kind.
const KINDS: [(&str, &[&str]); 7] = [
    ("Deployment", &["deploy", "deployment", "deployments"]),
    ("StatefulSet", &["sts", "statefulset", "statefulsets"]),
    ("DaemonSet", &["ds", "daemonset", "daemonsets"]),
    ("Job", &["job", "jobs"]),
    ("CronJob", &["cj", "cronjob", "cronjobs"]),
    ("ReplicaSet", &["rs", "replicaset", "replicasets"]),
    ("ReplicationController", &["rc", "replicationcontroller", "replicationcontrollers"]),
];

impl NamedKind {
    /// The kind that a word stands for; `None` when it is none that podgate knows.
    pub fn parse(text: &str) -> Option<NamedKind> {
        let word = text.to_ascii_lowercase();
        match word.as_str() {
            "po" | "pod" | "pods" => return Some(NamedKind::Pod),
            "svc" | "service" | "services" => return Some(NamedKind::Service),
            _ => {}
        }
        let known = KINDS.iter().find(|(_, words)| words.contains(&word.as_str()));
        known.map(|(kind, _)| NamedKind::Workload((*kind).to_owned()))
    }

    /// The kind as the API spells it.
    pub fn as_str(&self) -> &str {
        match self {
            NamedKind::Pod => "Pod",
            NamedKind::Service => "Service",
            NamedKind::Workload(kind) => kind,
        }
    }

    /// The shortest word for a kind: what a text suggests to write.
    pub fn short(kind: &str) -> String {
        match kind {
            "Pod" => "pod".to_owned(),
            "Service" => "svc".to_owned(),
            kind => {
                let known = KINDS.iter().find(|(known, _)| *known == kind);
                known.map_or_else(|| kind.to_ascii_lowercase(), |(_, words)| words[0].to_owned())
            }
        }
    }
}

impl End {
    /// Reads an end. `default_namespace` is that of names which say none; without it they are looked for in
    /// all namespaces.
    ///
    /// # Errors
    /// When the text has none of the forms of an end.
    pub fn parse(text: &str, default_namespace: Option<&str>) -> Result<End, EndError> {
        let text = text.trim();
        Ok(End {
            text: text.to_owned(),
            kind: EndKind::parse(text)?,
            default_namespace: default_namespace.map(str::to_owned),
        })
    }
}

impl EndKind {
    fn parse(text: &str) -> Result<EndKind, EndError> {
        match text {
            "" => return Err(EndError::new("an end is empty", FORMS)),
            "internet" => return Ok(EndKind::Internet),
            "all" => return Ok(EndKind::All),
            "*" | "*/*" | "any" => {
                return Err(EndError::new(
                    format!("{text} is no end"),
                    "write `all` for every pod and every address, or namespace/* for the pods of one namespace",
                ));
            }
            _ => {}
        }
        if let Some(kind) = address(text)? {
            return Ok(kind);
        }
        let (namespace, rest) = match text.split_once('/') {
            Some((first, rest)) if !first.contains(['.', '=', '!', ',', '(', ' ']) => (Some(first), rest),
            _ => (None, text),
        };
        if rest.contains(['=', '!', '(']) {
            let namespace = namespace.map(|name| dns_name(name, "namespace", text)).transpose()?;
            return Ok(EndKind::Selected { namespace, selector: selector(rest)? });
        }
        let segments: Vec<&str> = text.split('/').collect();
        match segments[..] {
            [name] => Ok(EndKind::Named { namespace: None, kind: None, name: dns_name(name, "name", text)? }),
            [namespace, "*"] => Ok(EndKind::Namespace(dns_name(namespace, "namespace", text)?)),
            [namespace, name] => Ok(EndKind::Named {
                namespace: Some(dns_name(namespace, "namespace", text)?),
                kind: None,
                name: dns_name(name, "name", text)?,
            }),
            [namespace, kind, name] => Ok(EndKind::Named {
                namespace: Some(dns_name(namespace, "namespace", text)?),
                kind: Some(NamedKind::parse(kind).unwrap_or_else(|| NamedKind::Workload(kind.to_owned()))),
                name: dns_name(name, "name", text)?,
            }),
            _ => Err(EndError::new(format!("{text} has too many slashes for an end"), FORMS)),
        }
    }
}

/// An address or a network; an error for what wants to be one.
fn address(text: &str) -> Result<Option<EndKind>, EndError> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Some(EndKind::Address(ip)));
    }
    if let Ok(net) = text.parse::<IpNet>() {
        let net = net.trunc();
        return Ok(Some(match net.prefix_len() == net.max_prefix_len() {
            true => EndKind::Address(net.addr()),
            false => EndKind::Network(net),
        }));
    }
    let before = text.split('/').next().unwrap_or_default();
    let numeric = before.contains('.') && before.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numeric || (before.contains(':') && !before.contains('=')) {
        return Err(EndError::new(
            format!("{text} is neither an address nor a CIDR"),
            "write an address such as 10.0.0.5 or fd00::5, or a CIDR such as 10.0.0.0/8",
        ));
    }
    Ok(None)
}

/// A name as the API server accepts it for objects.
fn dns_name(name: &str, what: &str, text: &str) -> Result<String, EndError> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if name.chars().all(inside) && edge(name.chars().next()) && edge(name.chars().last()) {
        return Ok(name.to_owned());
    }
    let message = match name {
        "" => format!("{text} has an empty {what}"),
        _ => format!("{name} in {text} can't be a {what}"),
    };
    Err(EndError::new(message, FORMS))
}

/// A label selector as `kubectl -l` reads it: `app=web,tier!=db,env in (a, b),!legacy,track`.
fn selector(text: &str) -> Result<LabelSelector, EndError> {
    let mut requirements = Vec::new();
    for part in split_outside_parentheses(text) {
        requirements.push(requirement(part.trim()).ok_or_else(|| {
            EndError::new(
                format!("{} in the label selector {text} can't be read", quoted(part.trim())),
                "write key=value, key!=value, key in (a,b), key notin (a,b), key or !key, with commas between",
            )
        })?);
    }
    Ok(LabelSelector::new(requirements))
}

fn quoted(text: &str) -> String {
    if text.is_empty() { "an empty part".to_owned() } else { format!("`{text}`") }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth <= 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    let build = |key: &str, operator: Operator, values: Vec<&str>| {
        let key = key.trim();
        let values: Vec<String> = values.into_iter().map(|value| value.trim().to_owned()).collect();
        (label_key(key) && values.iter().all(|value| label_value(value))).then(|| Requirement {
            key: key.to_owned(),
            operator,
            values,
        })
    };
    if let Some((key, value)) = part.split_once("!=") {
        return build(key, Operator::NotIn, vec![value]);
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return build(key, Operator::In, vec![value]);
    }
    if let Some((head, values)) = part.split_once('(') {
        let values: Vec<&str> = values.trim().strip_suffix(')')?.split(',').collect();
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next()?, words.next()?);
        let operator = match operator {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            _ => return None,
        };
        return if words.next().is_none() { build(key, operator, values) } else { None };
    }
    match part.strip_prefix('!') {
        Some(key) => build(key, Operator::DoesNotExist, Vec::new()),
        None => build(part, Operator::Exists, Vec::new()),
    }
}

fn label_value(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(inside) && edge(text.chars().next()) && edge(text.chars().last())
}

fn label_key(text: &str) -> bool {
    let (prefix, name) = text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let prefix_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    !name.is_empty()
        && label_value(name)
        && prefix.is_none_or(|p| !p.is_empty() && p.chars().all(prefix_inside))
}

#[cfg(test)]
mod tests;
