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
    let mut found: Vec<Ignore> = Vec::new();
    // Comments since the last line with content, of which the next such line tells whose they are.
    let mut pending = 0;
    for (_, line, number) in lines(text) {
        let number = first_line.saturating_add(number - 1);
        let code = line.trim_start();
        let is_content = !code.is_empty() && !code.starts_with('#');
        if is_content {
            assign(&mut found, pending, objects, Some(number));
        }
        if let Some(mark) = memmem::find(line.as_bytes(), MARK.as_bytes())
            && let Some(hash) = comment_of(&line[..mark])
            && let Some(rest) = line[mark + MARK.len()..].trim_start().strip_prefix(':')
        {
            let (ids, reason) = parse_ignore(rest);
            let column = u32::try_from(line[..hash].chars().count() + 1).unwrap_or(u32::MAX);
            found.push(Ignore { source: at(number, column), object: None, ids, reason });
            if is_content {
                assign(&mut found, pending, objects, None);
            }
        }
        if is_content {
            pending = found.len();
        }
    }
    assign(&mut found, pending, objects, None);
    found
}

/// Gives comments from `first` on the object that starts on the `next` line, or else the one they are in.
fn assign(found: &mut [Ignore], first: usize, objects: &[Source], next: Option<u32>) {
    let starting = next.and_then(|next| objects.get(objects.partition_point(|object| object.line < next)));
    let starting = starting.filter(|object| Some(object.line) == next);
    for ignore in found[first..].iter_mut().filter(|ignore| ignore.object.is_none()) {
        let after = objects.partition_point(|object| object.line <= ignore.source.line);
        let within = || objects.get(after.saturating_sub(1));
        ignore.object = starting.or_else(within).cloned();
    }
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
