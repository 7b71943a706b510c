//! Findings that a user does not want to hear of: `# podgate.dev/ignore: id[, id…][, reason]`.

use memchr::memmem;

use crate::Source;
use crate::split::lines;

/// What a comment starts with, and the annotation's name.
const MARK: &str = "podgate.dev/ignore";

/// A comment that silences findings about what is on its line or on the line below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignore {
    /// Where the comment starts.
    pub source: Source,
    /// Where the object starts that the comment is in or above of; nothing when its document has none.
    pub object: Option<Source>,
    /// Ids of the checks.
    pub ids: Vec<String>,
    /// Why; empty when it is not said.
    pub reason: String,
}

/// Reads `id[, id…][, reason]`, as a comment or the annotation `podgate.dev/ignore` has it: leading words in
/// kebab-case with at least one `-` are ids, as those of all checks are, and the rest is the reason.
pub fn parse_ignore(text: &str) -> (Vec<String>, String) {
    let mut ids = Vec::new();
    let mut rest = text.trim();
    loop {
        let end = rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let word = &rest[..end];
        if !is_id(word) {
            break;
        }
        ids.push(word.to_owned());
        rest = rest[end..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    (ids, rest.to_owned())
}

fn is_id(word: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    word.contains('-') && word.split('-').all(is_part)
}

/// The comments of a YAML document that starts at line `first_line` of its file. `objects` are the places of
/// its objects, in order.
pub(crate) fn comments(
    text: &str,
    first_line: u32,
    objects: &[Source],
    at: impl Fn(u32, u32) -> Source,
) -> Vec<Ignore> {
    let mut found = Vec::new();
    for (_, line, number) in lines(text) {
        let Some(mark) = memmem::find(line.as_bytes(), MARK.as_bytes()) else { continue };
        let Some(hash) = comment_of(&line[..mark]) else { continue };
        let rest = line[mark + MARK.len()..].trim_start();
        let Some(rest) = rest.strip_prefix(':') else { continue };
        let (ids, reason) = parse_ignore(rest);
        let number = first_line.saturating_add(number - 1);
        let column = u32::try_from(line[..hash].chars().count() + 1).unwrap_or(u32::MAX);
        let object = object_at(text, first_line, number, objects);
        found.push(Ignore { source: at(number, column), object, ids, reason });
    }
    found
}

/// Whether any text holds what such a comment holds.
pub(crate) fn is_mentioned(text: &str) -> bool {
    memmem::find(text.as_bytes(), MARK.as_bytes()).is_some()
}

/// Where the comment starts whose first word follows this text.
fn comment_of(before: &str) -> Option<usize> {
    let hash = before.trim_end().strip_suffix('#')?;
    (hash.is_empty() || hash.ends_with(char::is_whitespace)).then_some(hash.len())
}

/// The object that a line is in; lines of comments above an object are that object's.
fn object_at(text: &str, first_line: u32, line: u32, objects: &[Source]) -> Option<Source> {
    let next = objects.partition_point(|object| object.line <= line);
    let only_comments = |until: u32| {
        let (from, to) = (line - first_line + 1, until - first_line + 1);
        lines(text)
            .skip_while(|(_, _, number)| *number < from)
            .take_while(|(_, _, number)| *number < to)
            .all(|(_, line, _)| line.trim().is_empty() || line.trim_start().starts_with('#'))
    };
    if let Some(object) = objects.get(next)
        && (next == 0 || only_comments(object.line))
    {
        return Some(object.clone());
    }
    objects.get(next.checked_sub(1)?).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_ids_are_told_from_the_reason() {
        for (text, ids, reason) in [
            ("overly-broad", &["overly-broad"][..], ""),
            (" overly-broad, dns-udp-only ", &["overly-broad", "dns-udp-only"], ""),
            ("overly-broad, legacy until June, promised", &["overly-broad"], "legacy until June, promised"),
            ("overly-broad because of reasons", &["overly-broad"], "because of reasons"),
            ("overly-broad dns-udp-only: x", &["overly-broad"], "dns-udp-only: x"),
            ("overly-broad,dns-udp-only,why", &["overly-broad", "dns-udp-only"], "why"),
            ("Overly-Broad", &[], "Overly-Broad"),
            ("-a b-", &[], "-a b-"),
            ("", &[], ""),
        ] {
            assert_eq!(
                parse_ignore(text),
                (ids.iter().map(ToString::to_string).collect(), reason.to_owned())
            );
        }
    }
}
