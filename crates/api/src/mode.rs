//! Which policies decide, and which are only watched.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::{Labels, Object, ObjectKey};

/// The annotation of a policy, or of a namespace for all policies in it, that says its mode.
pub const MODE_ANNOTATION: &str = "podgate.dev/mode";

/// Whether a policy decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It decides.
    #[default]
    Enforced,
    /// It is evaluated beside those that decide, and only told of.
    Staged,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        match text {
            "enforced" => Ok(Mode::Enforced),
            "staged" => Ok(Mode::Staged),
            _ => Err(format!("{MODE_ANNOTATION}: {text:?} is no mode: use enforced or staged")),
        }
    }
}

/// What an object's annotations say; `None`: nothing.
///
/// # Errors
/// When they say what can't be understood. It doesn't stage anything then: a slip must not open a cluster.
pub fn mode_of(annotations: &Labels) -> Option<Result<Mode, String>> {
    annotations.get(MODE_ANNOTATION).map(|text| text.parse())
}

/// The policies among objects that are only watched: by their own annotation, or by their namespace's where they
/// have none.
pub fn staged(objects: &[Object]) -> BTreeSet<ObjectKey> {
    let mode = |object: &Object| mode_of(&object.meta().annotations).map(|mode| mode == Ok(Mode::Staged));
    let namespaces: BTreeSet<&str> = objects
        .iter()
        .filter(|object| matches!(object, Object::Namespace(_)) && mode(object) == Some(true))
        .map(|object| object.meta().name.as_str())
        .collect();
    let is_policy = |object: &&Object| matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_));
    let is_staged = |object: &&Object| {
        mode(object).unwrap_or_else(|| namespaces.contains(object.meta().namespace.as_str()))
    };
    objects.iter().filter(is_policy).filter(is_staged).map(Object::key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_word_stages() {
        let annotated = |text: &str| mode_of(&[(MODE_ANNOTATION.to_owned(), text.to_owned())].into());
        assert_eq!(annotated("staged"), Some(Ok(Mode::Staged)));
        assert_eq!(annotated("enforced"), Some(Ok(Mode::Enforced)));
        assert!(annotated("Staged").unwrap().unwrap_err().contains("\"Staged\""));
        assert_eq!(mode_of(&Labels::default()), None);
    }

    #[test]
    fn a_policy_s_own_word_comes_before_its_namespace_s() {
        let namespace = |name: &str, mode: &str| {
            format!(
                "{{kind: Namespace, apiVersion: v1, metadata: {{name: {name}, annotations: {{podgate.dev/mode: {mode}}}}}}}\n---\n"
            )
        };
        let policy = |namespace: &str, name: &str, annotations: &str| {
            format!(
                "{{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, \
                 metadata: {{name: {name}, namespace: {namespace}, annotations: {{{annotations}}}}}, spec: {{podSelector: {{}}}}}}\n---\n"
            )
        };
        let text = [
            namespace("a", "staged"),
            namespace("b", "enforced"),
            policy("a", "by-namespace", ""),
            policy("a", "not", "podgate.dev/mode: enforced"),
            policy("a", "slip", "podgate.dev/mode: stagd"),
            policy("b", "by-itself", "podgate.dev/mode: staged"),
            policy("b", "plain", ""),
        ];
        let objects = crate::load_text("m.yaml", &text.concat()).objects;
        let names: Vec<String> = staged(&objects).into_iter().map(|key| key.name).collect();
        assert_eq!(names, ["by-namespace", "by-itself"]);
    }
}
