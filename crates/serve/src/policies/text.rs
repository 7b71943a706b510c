//! A policy's YAML: its document of the file it is written in, or else what the API server would show.

use std::sync::Arc;

use super::Policy;

/// Lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The text, with a line break at its end.
    pub yaml: String,
    /// The file; empty: none.
    pub file: String,
    /// The line of the file that is the text's first; 0: none.
    pub first_line: u32,
}

/// The text of a policy. `read` finds the texts of files.
pub fn of(policy: Policy<'_>, read: &dyn Fn(&str) -> Option<Arc<str>>) -> Text {
    let source = policy.source();
    let document = read(&source.file).and_then(|text| document(&text, source.line, policy.kind_name()));
    match document {
        Some((first_line, yaml)) => Text { yaml, file: source.file.to_string(), first_line },
        None => Text { yaml: shown(policy), file: String::new(), first_line: 0 },
    }
}

/// The document that a line is in, when it holds one object of a kind and no list of them.
fn document(text: &str, line: u32, kind: &str) -> Option<(u32, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let at = (line as usize).checked_sub(1).filter(|at| *at < lines.len())?;
    let ends =
        |line: &str| line == "---" || line.starts_with("--- ") || line.starts_with("---\t") || line == "...";
    let first = lines[..=at].iter().rposition(|line| ends(line)).map_or(0, |end| end + 1);
    let last = lines[at + 1..].iter().position(|line| ends(line)).map_or(lines.len(), |end| at + 1 + end);
    let own = lines.get(first..last)?;
    let is_kind = |line: &&str| {
        let value = line.strip_prefix("kind:").map(|value| value.split(" #").next().unwrap_or_default());
        value.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == kind)
    };
    own.iter().find(|line| is_kind(line))?;
    let blank = own.iter().take_while(|line| line.trim().is_empty()).count();
    let own = own[blank..].join("\n");
    Some(((first + blank + 1) as u32, own.trim_end().to_owned() + "\n"))
}

/// A policy as the API server would show it.
fn shown(policy: Policy<'_>) -> String {
    match policy {
        Policy::Network(policy) => podgate_analysis::manifest::policy(policy),
        Policy::Cluster(_) => {
            let value = podgate_archive::manifest(&policy.object()).unwrap_or_default();
            serde_saphyr::to_string(&value).unwrap_or_else(|error| format!("# it can't be shown: {error}\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# About all.\n---\n\n# About web.\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy # the first\nmetadata: {name: web}\n--- # next\nkind: Pod\n---\nkind: List\nitems:\n- kind: NetworkPolicy\n";

    #[test]
    fn a_document_has_its_own_lines() {
        let expected = "# About web.\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy # the first\nmetadata: {name: web}\n";
        assert_eq!(document(FILE, 5, "NetworkPolicy"), Some((4, expected.to_owned())));
        assert_eq!(document(FILE, 9, "Pod"), Some((9, "kind: Pod\n".to_owned())));
        assert_eq!(document(FILE, 13, "NetworkPolicy"), None, "it is one of a list");
        assert_eq!(document(FILE, 99, "Pod"), None);
        assert_eq!(document("{\"kind\": \"Pod\"}", 1, "Pod"), None, "JSON is no YAML to edit");
    }
}
