//! Label selectors as text: `app=web,tier in (front, back),!canary`.

use std::fmt;
use std::str::FromStr;

use crate::Party;

/// A label selector: every requirement has to hold. Keys may say where a label comes from: `k8s:app`, `any:app`,
/// `reserved:world`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelTerms {
    written: String,
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    source: Source,
    key: String,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Any,
    Kubernetes,
    Reserved,
    /// None that anything here has.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// The label under which a pod's namespace is known among its labels.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";

impl LabelTerms {
    /// Whether a party has such labels.
    pub fn accept(&self, party: &Party) -> bool {
        self.requirements.iter().all(|wanted| {
            let value = value(party, wanted.source, &wanted.key);
            match &wanted.test {
                Test::Exists => value.is_some(),
                Test::Missing => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
                Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
            }
        })
    }
}

fn value<'a>(party: &'a Party, source: Source, key: &str) -> Option<&'a str> {
    let reserved = match party {
        Party::Pod { namespace, labels, .. } => {
            let own = match key {
                NAMESPACE => Some(namespace),
                _ => labels.get(key),
            };
            return own.filter(|_| matches!(source, Source::Any | Source::Kubernetes)).map(String::as_str);
        }
        Party::Node { .. } => "host",
        Party::Outside { .. } => "world",
    };
    (key == reserved && matches!(source, Source::Any | Source::Reserved)).then_some("")
}

/// As it was written.
impl fmt::Display for LabelTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for LabelTerms {
    type Err = String;

    fn from_str(text: &str) -> Result<LabelTerms, String> {
        let requirement =
            |part: &str| requirement(part.trim()).map_err(|why| format!("label selector {text:?}: {why}"));
        let requirements = parts(text).into_iter().map(requirement).collect::<Result<_, _>>()?;
        Ok(LabelTerms { written: text.to_owned(), requirements })
    }
}

/// The text between commas, but for those between brackets.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .collect()
}

fn requirement(text: &str) -> Result<Requirement, String> {
    if let Some(key) = text.strip_prefix('!') {
        return with(key, Test::Missing);
    }
    if let Some((key, value)) = text.split_once("!=") {
        return with(key, Test::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return with(key, Test::In(vec![value.trim().to_owned()]));
    }
    let Some((key, rest)) = text.split_once(char::is_whitespace) else { return with(text, Test::Exists) };
    let rest = rest.trim();
    let (word, list) = rest.split_once('(').ok_or_else(|| unreadable(text))?;
    let list = list.strip_suffix(')').ok_or_else(|| unreadable(text))?;
    let values = list.split(',').map(|value| value.trim().to_owned()).collect();
    match word.trim() {
        "in" => with(key, Test::In(values)),
        "notin" => with(key, Test::NotIn(values)),
        _ => Err(unreadable(text)),
    }
}

fn with(key: &str, test: Test) -> Result<Requirement, String> {
    let key = key.trim();
    let (source, key) = match key.split_once(':') {
        None => (Source::Any, key),
        Some(("any", key)) => (Source::Any, key),
        Some(("k8s", key)) => (Source::Kubernetes, key),
        Some(("reserved", key)) => (Source::Reserved, key),
        Some((_, key)) => (Source::Other, key),
    };
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(format!("{key:?} is no label's key"));
    }
    Ok(Requirement { source, key: key.to_owned(), test })
}

fn unreadable(text: &str) -> String {
    format!(
        "{text:?} can't be read: write key=value, key!=value, key, !key, key in (a, b) or key notin (a, b)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_kubectl_reads_them() {
        let labels = [("app", "web"), ("example.com/tier", "front")];
        let pod = Party::Pod {
            namespace: "shop".into(),
            pod: "web-0".into(),
            owner: None,
            node: None,
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        };
        for (selector, fits) in [
            ("app=web", true),
            ("app==web", true),
            ("k8s:app=web", true),
            ("any:app = web", true),
            ("reserved:app=web", false),
            ("container:app=web", false),
            ("app!=web", false),
            ("app!=db", true),
            ("none!=web", true),
            ("app", true),
            ("!app", false),
            ("!none", true),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("app in (db, web),example.com/tier=front", true),
            ("app in (db, web),example.com/tier=back", false),
            ("k8s:io.kubernetes.pod.namespace=shop", true),
            ("reserved:world", false),
        ] {
            assert_eq!(selector.parse::<LabelTerms>().unwrap().accept(&pod), fits, "{selector}");
        }
        let world: LabelTerms = "reserved:world".parse().unwrap();
        assert!(world.accept(&Party::Outside { name: None }));
        assert!(!world.accept(&Party::Node { node: "n".into() }));
    }

    #[test]
    fn what_is_no_selector_is_said_to_be_none() {
        for text in ["", "=a", "app within (a)", "app in a", "a b=c", "!"] {
            let error = text.parse::<LabelTerms>().unwrap_err();
            assert!(error.contains("label selector"), "{text}: {error}");
        }
    }
}
