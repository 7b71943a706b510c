//! Where in a document somebody writes, told by indentation: the text need not be whole YAML.

use std::collections::BTreeSet;

use podgate_analysis::World;
use podgate_api::{LabelSelector, Operator, Requirement};

/// A place in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `kind:` of the document; empty: none yet.
    pub kind: String,
    /// `metadata.namespace` of it; empty: none.
    pub namespace: String,
    /// The fields above, outermost first; entries of lists have none of their own.
    pub path: Vec<String>,
    /// What is written there.
    pub writing: Writing,
    /// What was begun.
    pub word: String,
    /// Where it begins: 0-based column in characters.
    pub from: usize,
    /// Fields that are there beside it.
    pub siblings: BTreeSet<String>,
    /// Labels of namespaces that a selector beside it asks for, as `key=value`.
    beside: Vec<(String, String)>,
}

/// What is written at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writing {
    /// A field's name.
    Key,
    /// A field's value.
    Value(String),
}

/// A line that opens something.
#[derive(Clone, Debug)]
struct Open {
    indent: usize,
    /// The field; `None`: an entry of a list.
    key: Option<String>,
}

impl Place {
    /// The place of a line and a column.
    pub fn find(text: &str, line: usize, column: usize) -> Place {
        let lines: Vec<&str> = text.lines().collect();
        let line = line.min(lines.len());
        let is_end = |line: &&str| line.trim_end() == "---" || line.starts_with("--- ");
        let begin = lines[..line].iter().rposition(is_end).map_or(0, |at| at + 1);
        let end = lines.iter().skip(line + 1).position(is_end).map_or(lines.len(), |at| line + 1 + at);
        let mut open: Vec<Open> = Vec::new();
        for above in &lines[begin..line] {
            push(&mut open, above);
        }
        let current: String = lines.get(line).copied().unwrap_or_default().chars().take(column).collect();
        let (indent, rest, dashes) = begun(&current);
        for at in dashes {
            close(&mut open, at, true);
            open.push(Open { indent: at, key: None });
        }
        close(&mut open, indent, false);
        let (writing, word) =
            match rest.split_once(':').filter(|(_, value)| value.is_empty() || value.starts_with(' ')) {
                Some((key, value)) => {
                    let word = value.rsplit(['[', ',', ' ', '{']).next().unwrap_or_default();
                    (Writing::Value(unquoted(key).to_owned()), word)
                }
                // A list of plain values: each is a value of the field above.
                None => match open.iter().rev().find(|open| open.indent < indent || open.key.is_none()) {
                    Some(Open { key: None, .. }) if is_plain_list(&open) => {
                        (Writing::Value(last_key(&open).unwrap_or_default()), rest)
                    }
                    _ => (Writing::Key, rest),
                },
            };
        let word = word.trim_start_matches(['"', '\'']).to_owned();
        let mut path: Vec<String> = open.iter().filter_map(|open| open.key.clone()).collect();
        if is_plain_list(&open) && writing != Writing::Key {
            path.pop();
        }
        let document = &lines[begin..end];
        let current_line = line - begin;
        let top = |name: &str| {
            document
                .iter()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| unquoted(value.trim()).to_owned())
        };
        Place {
            kind: top("kind").unwrap_or_default(),
            namespace: namespace(document).unwrap_or_default(),
            from: current.chars().count() - word.chars().count(),
            siblings: siblings(document, current_line, indent),
            beside: namespace_labels(document, current_line, &open),
            path,
            writing,
            word,
        }
    }

    /// Whether a selector of namespaces is written here.
    pub fn is_about_namespaces(&self) -> bool {
        let selector = self.path.iter().rev().find(|key| key.ends_with("elector") || *key == "namespaces");
        selector.is_some_and(|key| key != "podSelector")
    }

    /// The namespaces whose pods are meant here.
    pub fn namespaces<'w>(&self, world: &'w World) -> BTreeSet<&'w str> {
        let requirement = |(key, value): &(String, String)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.clone()],
        };
        let selector = LabelSelector::new(self.beside.iter().map(requirement).collect());
        let is_peer = self.path.iter().any(|key| ["from", "to", "subject"].contains(&key.as_str()));
        let is_own =
            self.beside.is_empty() && !self.namespace.is_empty() && (!is_peer || !self.siblings_of_peer());
        let all = world.known_namespaces();
        let wanted = all.filter(|(name, labels)| match (is_own, self.beside.is_empty()) {
            (true, _) => *name == self.namespace,
            (false, true) => true,
            (false, false) => selector.matches(labels),
        });
        wanted.map(|(name, _)| name).collect()
    }

    fn siblings_of_peer(&self) -> bool {
        self.siblings.contains("namespaceSelector")
    }
}

/// The indentation of what a line has after the dashes of lists, that text, and where the dashes are.
fn begun(line: &str) -> (usize, &str, Vec<usize>) {
    let mut indent = line.len() - line.trim_start().len();
    let mut rest = &line[indent..];
    let mut dashes = Vec::new();
    while let Some(after) = rest.strip_prefix('-').filter(|after| after.is_empty() || after.starts_with(' '))
    {
        dashes.push(indent);
        let blank = after.len() - after.trim_start().len();
        indent += 1 + blank.max(1);
        rest = after.trim_start();
    }
    (indent, rest, dashes)
}

fn push(open: &mut Vec<Open>, line: &str) {
    if line.trim().is_empty() || line.trim_start().starts_with('#') {
        return;
    }
    let (indent, rest, dashes) = begun(line);
    for at in dashes {
        close(open, at, true);
        open.push(Open { indent: at, key: None });
    }
    if let Some((key, _)) = rest.split_once(':') {
        close(open, indent, false);
        open.push(Open { indent, key: Some(unquoted(key).to_owned()) });
    }
}

/// Closes what ends before something at an indentation. A list may stand as far left as its field.
fn close(open: &mut Vec<Open>, indent: usize, is_entry: bool) {
    while open.last().is_some_and(|last| {
        last.indent > indent || (last.indent == indent && (last.key.is_none() || !is_entry))
    }) {
        open.pop();
    }
}

fn is_plain_list(open: &[Open]) -> bool {
    open.last().is_some_and(|last| last.key.is_none())
        && last_key(open).is_some_and(|key| ["policyTypes", "values"].contains(&key.as_str()))
}

fn last_key(open: &[Open]) -> Option<String> {
    open.iter().rev().find_map(|open| open.key.clone())
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

fn namespace(document: &[&str]) -> Option<String> {
    let at = document.iter().position(|line| line.starts_with("metadata:"))?;
    let block = document[at + 1..].iter().take_while(|line| line.starts_with(' ') || line.trim().is_empty());
    let value = block.filter_map(|line| line.trim().strip_prefix("namespace:")).next();
    let inline = || document[at].split(['{', ',']).find_map(|part| part.trim().strip_prefix("namespace:"));
    value.or_else(inline).map(|value| unquoted(value.trim_end_matches('}')).to_owned())
}

/// Fields at an indentation, in the block that a line is in.
fn siblings(document: &[&str], line: usize, indent: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut take = |text: &str| -> bool {
        if text.trim().is_empty() || text.trim_start().starts_with('#') {
            return true;
        }
        let (own, rest, dashes) = begun(text);
        if own == indent
            && let Some((key, _)) = rest.split_once(':')
        {
            found.insert(unquoted(key).to_owned());
        }
        // Outside of the block: a lesser indentation, or an entry of a list that begins with it.
        own > indent || (own == indent && dashes.is_empty())
    };
    let starts_entry = document.get(line).is_some_and(|text| !begun(text).2.is_empty());
    if !starts_entry {
        for above in document[..line.min(document.len())].iter().rev() {
            if !take(above) {
                break;
            }
        }
    }
    for below in document.iter().skip(line + 1) {
        let (own, _, dashes) = begun(below);
        if (own == indent && !dashes.is_empty()) || !take(below) {
            break;
        }
    }
    found
}

/// The labels that `namespaceSelector` beside a `podSelector` asks for.
fn namespace_labels(document: &[&str], line: usize, open: &[Open]) -> Vec<(String, String)> {
    let Some(peer) = open.iter().rfind(|open| open.key.as_deref() == Some("podSelector")) else {
        return Vec::new();
    };
    let indent = peer.indent;
    let (mut first, mut last) = (line.min(document.len()), line.min(document.len()));
    let within = |text: &str| text.trim().is_empty() || begun(text).0 >= indent;
    while first > 0 && within(document[first - 1]) {
        first -= 1;
        let (own, _, dashes) = begun(document[first]);
        if own == indent && !dashes.is_empty() {
            break;
        }
    }
    while last + 1 < document.len() && within(document[last + 1]) && begun(document[last + 1]).2.is_empty() {
        last += 1;
    }
    let block = &document[first..(last + 1).min(document.len())];
    let Some(at) = block.iter().position(|text| begun(text).1.starts_with("namespaceSelector:")) else {
        return Vec::new();
    };
    let mut labels = Vec::new();
    let mut is_labels = block[at].contains("matchLabels");
    let inline = block[at].split_once("matchLabels:").map(|(_, rest)| rest).unwrap_or_default();
    for part in inline.split(['{', '}', ',']) {
        if let Some((key, value)) = part.split_once(':') {
            labels.push((unquoted(key).to_owned(), unquoted(value).to_owned()));
        }
    }
    for text in block[at + 1..].iter().take_while(|text| begun(text).0 > indent) {
        match begun(text).1.split_once(':') {
            Some(("matchLabels", _)) => is_labels = true,
            Some(("matchExpressions", _)) => is_labels = false,
            Some((key, value)) if is_labels && !value.trim().is_empty() => {
                labels.push((unquoted(key).to_owned(), unquoted(value).to_owned()));
            }
            _ => {}
        }
    }
    labels
}
