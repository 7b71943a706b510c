//! How findings say things.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use podgate_analysis::{PodId, World};
use podgate_api::{LabelSelector, Operator, PodPeer};

/// `a`, `a and b`, `a, b and c`, `a, b and 4 more`.
pub(crate) fn list<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names[..] {
        [] => "nothing".to_owned(),
        [one] => one.to_owned(),
        [ref most @ .., last] if names.len() <= 4 => format!("{} and {last}", most.join(", ")),
        _ => format!("{} and {} more", names[..3].join(", "), names.len() - 3),
    }
}

/// `1 pod`, `2 pods`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let plural = match what.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{what}s"),
    };
    if number == 1 { format!("1 {what}") } else { format!("{number} {plural}") }
}

/// `is` or `are`, `has` or `have`: what goes with a number.
pub(crate) fn verb<'t>(number: usize, one: &'t str, many: &'t str) -> &'t str {
    if number == 1 { one } else { many }
}

/// The workloads of pods, `namespace/name`, sorted, each once.
pub(crate) fn workloads(world: &World, pods: impl IntoIterator<Item = PodId>) -> Vec<String> {
    let names: BTreeSet<(&str, &str)> = pods
        .into_iter()
        .map(|pod| world.workload(world.pod(pod).workload))
        .map(|workload| (workload.namespace.as_str(), workload.name.as_str()))
        .collect();
    names.into_iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect()
}

/// A selector as `kubectl -l` writes it.
pub(crate) fn selector(selector: &LabelSelector) -> String {
    if selector.is_everything() {
        return "{}".to_owned();
    }
    selector.to_string()
}

/// A selector as YAML below a key, indented by so many spaces.
pub(crate) fn selector_yaml(key: &str, selector: &LabelSelector, indent: usize) -> String {
    let pad = " ".repeat(indent);
    if selector.is_everything() {
        return format!("{pad}{key}: {{}}\n");
    }
    let mut text = format!("{pad}{key}:\n");
    let simple = |operator, values: &[String]| operator == Operator::In && values.len() == 1;
    let all = selector.requirements();
    if all.iter().any(|r| simple(r.operator, &r.values)) {
        let _ = writeln!(text, "{pad}  matchLabels:");
        for requirement in all.iter().filter(|r| simple(r.operator, &r.values)) {
            let _ = writeln!(text, "{pad}    {}: {}", requirement.key, scalar(&requirement.values[0]));
        }
    }
    if all.iter().any(|r| !simple(r.operator, &r.values)) {
        let _ = writeln!(text, "{pad}  matchExpressions:");
        for requirement in all.iter().filter(|r| !simple(r.operator, &r.values)) {
            let operator = match requirement.operator {
                Operator::In => "In",
                Operator::NotIn => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
            };
            let values: Vec<String> = requirement.values.iter().map(|value| scalar(value)).collect();
            let values =
                if values.is_empty() { String::new() } else { format!(", values: [{}]", values.join(", ")) };
            let _ = writeln!(text, "{pad}  - {{key: {}, operator: {operator}{values}}}", requirement.key);
        }
    }
    text
}

/// A text as YAML: in quotes where it would be read as something else.
fn scalar(text: &str) -> String {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if word && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

/// `pods with app=web of namespaces with team=ops`.
pub(crate) fn peer(peer: &PodPeer, own: &str) -> String {
    let pods = match &peer.pods {
        Some(pods) if !pods.is_everything() => format!("pods with {}", selector(pods)),
        _ => "all pods".to_owned(),
    };
    match &peer.namespaces {
        None => format!("{pods} in {own}"),
        Some(namespaces) if namespaces.is_everything() => format!("{pods} in any namespace"),
        Some(namespaces) => match namespace_names(namespaces) {
            Some(names) => format!("{pods} in {}", names.join(" and ")),
            None => format!("{pods} in namespaces with {}", selector(namespaces)),
        },
    }
}

/// The names that a namespace selector asks for, when it asks for names only.
pub(crate) fn namespace_names(selector: &LabelSelector) -> Option<&[String]> {
    match selector.requirements() {
        [only] if only.key == podgate_api::NAMESPACE_NAME_LABEL && only.operator == Operator::In => {
            Some(&only.values)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c", "d"]), "a, b, c and d");
        assert_eq!(list(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
        assert_eq!(count(2, "policy"), "2 policies");
        assert_eq!(count(1, "policy"), "1 policy");
    }

    #[test]
    fn values_that_yaml_would_misread_get_quotes() {
        for (text, expect) in
            [("web", "web"), ("yes", "\"yes\""), ("1", "\"1\""), ("", "\"\""), ("v1.2", "v1.2")]
        {
            assert_eq!(scalar(text), expect);
        }
    }
}
