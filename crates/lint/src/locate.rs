//! Places inside an object that its typed form does not remember, found in the text, and edits of them.
//!
//! Only findings ask: nothing is searched for in input that is fine.

use std::sync::Arc;

use podgate_api::Source;

use crate::finding::Edit;

/// A text whose lines are found without reading those before.
#[derive(Debug)]
pub(crate) struct Lines {
    text: Arc<str>,
    starts: Vec<usize>,
}

impl Lines {
    pub fn new(text: Arc<str>) -> Lines {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    /// A line by its number from 1.
    pub fn line(&self, number: u32) -> Option<&str> {
        self.rest(number)?.lines().next()
    }

    fn rest(&self, number: u32) -> Option<&str> {
        Some(&self.text[*self.starts.get((number as usize).checked_sub(1)?)?..])
    }
}

/// The lines of the document from a place on, with their numbers from 1.
fn lines<'t>(text: &'t Lines, from: &Source) -> impl Iterator<Item = (u32, &'t str)> {
    let first = from.line.max(1);
    let rest = text.rest(first).unwrap_or_default();
    (first..).zip(rest.lines()).take_while(move |(number, line)| *number == first || !line.starts_with("---"))
}

/// Whether two lines are of one document.
pub(crate) fn is_same_document(text: &Lines, from: &Source, line: u32) -> bool {
    lines(text, from)
        .take_while(|(number, _)| *number <= line)
        .last()
        .is_some_and(|(number, _)| number == line)
}

/// The rest of a line behind `key:`, when the line gives that key, and the column of the key.
fn value_of<'t>(line: &'t str, key: &str) -> Option<(u32, &'t str)> {
    let mut rest = line;
    let mut at = 0;
    while let Some(found) = rest.find(key) {
        let begin = at + found;
        let before = line[..begin].trim_end_matches(['"', '\'']);
        let is_start = before.trim_end().is_empty() || before.ends_with([' ', '{', ',', '[', '-', '(']);
        let after = line[begin + key.len()..].trim_start_matches(['"', '\'']);
        if is_start && let Some(value) = after.strip_prefix(':') {
            return Some((line[..begin].chars().count() as u32 + 1, value));
        }
        at = begin + key.len();
        rest = &line[at..];
    }
    None
}

/// The first line at or after a place, in its document, that gives a key.
pub(crate) fn key(text: &Lines, from: &Source, key: &str) -> Option<Source> {
    lines(text, from).find_map(|(number, line)| Some(from.at(number, value_of(line, key)?.0)))
}

/// Whether the document gives the key an empty list, and where. `null` and nothing at all are not one: they are as
/// good as an absent key.
pub(crate) fn empty_list(text: &Lines, from: &Source, key: &str) -> Option<Source> {
    lines(text, from).find_map(|(number, line)| {
        let (column, value) = value_of(line, key)?;
        let inner = value.trim_start().strip_prefix('[')?;
        inner.trim_start().starts_with(']').then(|| from.at(number, column))
    })
}

/// An edit that writes `new` for the first `old` at or after a place, within `reach` lines.
pub(crate) fn replace(text: &Lines, from: &Source, reach: usize, old: &str, new: &str) -> Option<Edit> {
    lines(text, from).take(reach).find_map(|(number, line)| {
        let code = line.split(" #").next().unwrap_or(line);
        let at = find_word(code, old)?;
        Some(Edit {
            file: from.file.to_string(),
            first: number,
            last: number,
            replacement: format!("{}{new}{}", &line[..at], &line[at + old.len()..]),
        })
    })
}

/// An edit that writes another key where `key: value` is the first such entry at or after a place.
pub(crate) fn rename_key(text: &Lines, from: &Source, key: &str, value: &str, new: &str) -> Option<Edit> {
    lines(text, from).take(40).find_map(|(number, line)| {
        let (column, rest) = value_of(line, key)?;
        let word = rest.trim_start().trim_start_matches(['"', '\'']);
        let after = word.strip_prefix(value)?;
        if after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_')) {
            return None;
        }
        let begin = line.char_indices().nth(column as usize - 1)?.0;
        Some(Edit {
            file: from.file.to_string(),
            first: number,
            last: number,
            replacement: format!("{}{new}{}", &line[..begin], &line[begin + key.len()..]),
        })
    })
}

/// Where a word stands for itself and is no part of a longer one.
fn find_word(line: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    let mut at = 0;
    while let Some(found) = line[at..].find(word) {
        let (begin, end) = (at + found, at + found + word.len());
        if !line[..begin].ends_with(part) && !line[end..].starts_with(part) {
            return Some(begin);
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kind: A\n---\nspec:\n  podSelector: {}\n  egress: []\n  # name: no\n  ports:\n  - port: 80 # was 8080\n  \"port\": 8080\n---\ningress: [ ]\n";

    fn text() -> Lines {
        Lines::new(TEXT.into())
    }

    fn at(line: u32) -> Source {
        Source::origin("a.yaml").at(line, 1)
    }

    #[test]
    fn keys_are_found_in_their_document_only() {
        assert_eq!(key(&text(), &at(3), "podSelector"), Some(at(4).at(4, 3)));
        assert_eq!(key(&text(), &at(3), "port"), Some(at(8).at(8, 5)));
        assert_eq!(key(&text(), &at(3), "ingress"), None);
        assert_eq!(key(&text(), &at(3), "pod"), None);
    }

    #[test]
    fn an_empty_list_is_not_an_absent_one() {
        assert_eq!(empty_list(&text(), &at(3), "egress"), Some(at(5).at(5, 3)));
        assert_eq!(empty_list(&text(), &at(11), "ingress"), Some(at(11)));
        assert_eq!(empty_list(&text(), &at(3), "ingress"), None);
        assert_eq!(empty_list(&Lines::new("egress:\n- {}\n".into()), &at(1), "egress"), None);
        assert_eq!(
            empty_list(&Lines::new("{\"egress\": [], \"a\": 1}".into()), &at(1), "egress"),
            Some(at(1).at(1, 3))
        );
    }

    #[test]
    fn an_edit_changes_one_word_and_keeps_the_rest() {
        let edit = replace(&text(), &at(7), 9, "80", "8080").expect("80 is there");
        assert_eq!((edit.first, edit.replacement.as_str()), (8, "  - port: 8080 # was 8080"));
        assert_eq!(replace(&text(), &at(7), 1, "80", "8080"), None);
        assert_eq!(replace(&text(), &at(3), 3, "pod", "x"), None);
    }
}
