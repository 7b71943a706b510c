//! Cuts a text into YAML documents before any of them is parsed, so that a broken one can't hide the
//! others and all can be parsed at the same time.

/// A part of a text that starts with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk<'t> {
    pub text: &'t str,
    /// 1-based line of its first line.
    pub line: u32,
}

/// Cuts before each line that is a document marker (`---`). Such a line can't belong to a block scalar,
/// a quoted text or a bracket: YAML forbids it at column 0 there.
pub(crate) fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut found = Vec::new();
    let (mut start, mut start_line) = (0, 1_u32);
    // Directives (`%YAML 1.2`) belong to the document that follows them.
    let (mut directives_only, mut content) = (false, false);
    for (at, line, number) in lines(text) {
        if at > start && is_marker(line) && (content || !directives_only) {
            found.push(Chunk { text: &text[start..at], line: start_line });
            (start, start_line) = (at, number);
            (directives_only, content) = (false, false);
        } else if line.starts_with('%') && !content {
            directives_only = true;
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            content = true;
        }
    }
    found.push(Chunk { text: &text[start..], line: start_line });
    found
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Lines without their ends, with byte offset and 1-based number. `\n`, `\r\n` and `\r` end a line.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str, u32)> {
    let bytes = text.as_bytes();
    let (mut at, mut number) = (0, 0_u32);
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        let end = bytes[at..].iter().position(|b| matches!(b, b'\n' | b'\r')).map_or(bytes.len(), |n| at + n);
        at = end + if bytes[end..].starts_with(b"\r\n") { 2 } else { 1 };
        number = number.saturating_add(1);
        Some((start, &text[start..end], number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[(&str, u32)]) {
        let found: Vec<(&str, u32)> = chunks(text).into_iter().map(|c| (c.text, c.line)).collect();
        assert_eq!(found, expect);
        assert_eq!(found.iter().map(|(text, _)| *text).collect::<String>(), text);
    }

    #[test]
    fn a_text_without_markers_is_one_chunk() {
        check("a: 1\n", &[("a: 1\n", 1)]);
        check("", &[("", 1)]);
    }

    #[test]
    fn each_marker_line_starts_a_chunk_that_knows_its_line() {
        check("---\na: 1\n--- # b\nb: 2\n---", &[("---\na: 1\n", 1), ("--- # b\nb: 2\n", 3), ("---", 5)]);
        check("a\r\n---\r\nb\r---\rc", &[("a\r\n", 1), ("---\r\nb\r", 2), ("---\rc", 4)]);
    }

    #[test]
    fn what_only_looks_like_a_marker_does_not_cut() {
        check("a: |\n  ---\nb: ----\n----\n---x\n", &[("a: |\n  ---\nb: ----\n----\n---x\n", 1)]);
    }

    #[test]
    fn directives_stay_with_their_document() {
        check(
            "# c\n%YAML 1.2\n---\na: 1\n---\nb: 2\n",
            &[("# c\n%YAML 1.2\n---\na: 1\n", 1), ("---\nb: 2\n", 5)],
        );
    }
}
