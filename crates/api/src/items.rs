//! Cuts a large `List` into runs of items, so that they are read at the same time and no tree of the whole
//! list is ever built.
//!
//! Where to cut is guessed quickly, and never trusted: each run has to be read as items and nothing else. A
//! cut at a wrong place leaves a bracket or a quote open in its run, so that reading it fails; the list is
//! then read as a whole, which is also how it gets its diagnostics.

use memchr::{memchr, memchr_iter, memchr2, memmem, memrchr};

use crate::decode::list_kind;
use crate::json::{parse_items, parse_json};
use crate::split::Chunk;
use crate::tree::{Node, NodeKind, Parsed, parse_yaml};

/// Runs are about this long: long enough to be worth a task, short enough for their trees to stay in caches.
pub(crate) const RUN: usize = 256 * 1024;

/// A list whose items can be read apart from each other.
pub(crate) struct List<'t> {
    /// What items that name no `apiVersion` and kind are.
    pub implied: Option<(String, String)>,
    pub runs: Vec<Run<'t>>,
    pub syntax: Syntax,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    Json,
    Yaml,
}

/// Some items, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run<'t> {
    /// JSON: values with commas between them and perhaps after the last. YAML: a block sequence.
    pub text: &'t str,
    /// 1-based place of the text's first character.
    pub line: u32,
    pub column: u32,
}

/// The list that a document of at least two runs is. A document that is none, or that has something unusual
/// about it, is left to be read as a whole.
pub(crate) fn list<'t>(chunk: Chunk<'t>, run: usize) -> Option<List<'t>> {
    // Lone carriage returns would be counted as lines elsewhere.
    if chunk.text.len() < 2 * run || memchr(b'\r', chunk.text.as_bytes()).is_some() {
        return None;
    }
    let body = chunk.text.trim_start();
    if body.starts_with('{') {
        json_list(chunk, chunk.text.len() - body.len(), run)
    } else {
        yaml_list(chunk, run)
    }
}

/// The head of the list: all of its document but the items.
fn implied(head: &Parsed<'_>) -> Option<Option<(String, String)>> {
    let [Node { kind: NodeKind::Mapping(entries), .. }] = &head.documents[..] else { return None };
    if head.broken || !head.faults.is_empty() {
        return None;
    }
    let text = |name: &str| {
        let entry = entries.iter().find(|entry| entry.key == name)?;
        match &entry.value.kind {
            NodeKind::Scalar { text, .. } => Some(text.as_ref()),
            _ => None,
        }
    };
    let (version, kind) = (text("apiVersion")?, text("kind")?);
    let item = list_kind(version, kind)?;
    Some((!item.is_empty()).then(|| (version.to_owned(), item.to_owned())))
}

/// Follows the place of a text's bytes.
struct Place<'t> {
    bytes: &'t [u8],
    at: usize,
    line: u32,
    column: u32,
}

impl Place<'_> {
    fn advance(&mut self, to: usize) -> (u32, u32) {
        let passed = &self.bytes[self.at..to];
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let characters = |bytes: &[u8]| count(bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count());
        match memrchr(b'\n', passed) {
            Some(last) => {
                self.line = self.line.saturating_add(count(memchr_iter(b'\n', passed).count()));
                self.column = 1 + characters(&passed[last + 1..]);
            }
            None => self.column = self.column.saturating_add(characters(passed)),
        }
        self.at = to;
        (self.line, self.column)
    }
}

fn runs<'t>(chunk: Chunk<'t>, cuts: &[usize]) -> Vec<Run<'t>> {
    let mut place = Place { bytes: chunk.text.as_bytes(), at: 0, line: chunk.line, column: 1 };
    let run = |pair: &[usize]| {
        let (line, column) = place.advance(pair[0]);
        Run { text: &chunk.text[pair[0]..pair[1]], line, column }
    };
    cuts.windows(2).map(run).collect()
}

impl<'t> Run<'t> {
    /// The items; nothing when there is anything to say about the text, or when it was cut at a wrong place.
    pub fn items(&self, syntax: Syntax) -> Option<Vec<Node<'t>>> {
        if syntax == Syntax::Json {
            return parse_items(self.text, self.line, self.column);
        }
        let mut parsed = parse_yaml(self.text, self.line);
        match (&parsed.faults[..], parsed.documents.pop()?.kind) {
            ([], NodeKind::Sequence(items)) if parsed.documents.is_empty() => Some(items),
            _ => None,
        }
    }
}

// === JSON ===

fn json_list<'t>(chunk: Chunk<'t>, start: usize, run: usize) -> Option<List<'t>> {
    let text = chunk.text;
    let bytes = text.as_bytes();
    let mut at = space(bytes, start + 1);
    let mut items = None;
    // The members of the outermost object.
    loop {
        let key_end = string_end(bytes, at)?;
        let key = &bytes[at + 1..key_end - 1];
        at = space(bytes, key_end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        at = space(bytes, at + 1);
        if key == b"items" && bytes.get(at) == Some(&b'[') && items.is_none() {
            let cuts = json_cuts(bytes, at, run)?;
            let close = *cuts.last()?;
            items = Some((at, cuts));
            at = close + 1;
        } else {
            at = value_end(bytes, at)?;
        }
        at = space(bytes, at);
        match bytes.get(at)? {
            b',' => at = space(bytes, at + 1),
            b'}' => break,
            _ => return None,
        }
    }
    if space(bytes, at + 1) != bytes.len() {
        return None;
    }
    let (open, cuts) = items?;
    let close = *cuts.last()?;
    let head = format!("{}{}", &text[start..=open], &text[close..]);
    let implied = implied(&parse_json(&head, 1))?;
    Some(List { implied, runs: runs(chunk, &cuts), syntax: Syntax::Json })
}

/// Where runs of the array at `open` start, and last the place of the array's closing bracket.
fn json_cuts(bytes: &[u8], open: usize, run: usize) -> Option<Vec<usize>> {
    let mut at = space(bytes, open + 1);
    if bytes.get(at) == Some(&b']') {
        return None;
    }
    let mut cuts = vec![at];
    let mut finder = None;
    let mut is_first = true;
    loop {
        let end = value_end(bytes, at)?;
        at = space(bytes, end);
        match bytes.get(at)? {
            b',' => at = space(bytes, at + 1),
            b']' => {
                cuts.push(at);
                return Some(cuts);
            }
            _ => return None,
        }
        if at - cuts.last()? >= run {
            cuts.push(at);
        }
        // A line break is never part of a JSON string: what stands between the first two items of an
        // indented list is likely to stand between all items and nowhere else.
        if is_first && bytes[end..at].contains(&b'\n') && bytes.get(at) == Some(&b'{') {
            finder = Some((memmem::Finder::new(&bytes[end - 1..=at]), at - end + 1));
        }
        is_first = false;
        if let Some((finder, length)) = &finder {
            while let Some(found) = bytes.get(cuts.last()? + run..).and_then(|rest| finder.find(rest)) {
                at = cuts.last()? + run + found + length;
                cuts.push(at);
            }
        }
    }
}

fn space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The byte behind the string that starts at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The byte behind the value that starts at `at`. Kinds of brackets are not compared: reading does.
fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => return string_end(bytes, at),
        b'{' | b'[' => {}
        _ => {
            while !matches!(bytes.get(at)?, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r') {
                at += 1;
            }
            return Some(at);
        }
    }
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

// === YAML ===

/// A list as `kubectl` writes it: plain keys at the left edge, items below `items:` that start with `- ` at the
/// left edge as well.
fn yaml_list<'t>(chunk: Chunk<'t>, run: usize) -> Option<List<'t>> {
    let text = chunk.text;
    let bytes = text.as_bytes();
    let open = if text.starts_with("items:\n") { 0 } else { memmem::find(bytes, b"\nitems:\n")? + 1 };
    let begin = open + "items:\n".len();
    // Whatever comes before may not be a list of its own, nor directives.
    let before = &text[..open];
    let starts_plainly = before.starts_with("---\n") || !before.starts_with(['-', '%']);
    if before.contains("\n- ") || !starts_plainly {
        return None;
    }
    if !bytes[begin..].starts_with(b"- ") {
        return None;
    }
    let finder = memmem::Finder::new(b"\n- ");
    let mut cuts = vec![begin];
    while let Some(found) = bytes.get(cuts.last()? + run..).and_then(|rest| finder.find(rest)) {
        cuts.push(cuts.last()? + run + found + 1);
    }
    // The last run ends where a line starts at the left edge with something else.
    let mut end = *cuts.last()?;
    end = loop {
        let Some(next) = memchr(b'\n', &bytes[end..]).map(|found| end + found + 1) else { break bytes.len() };
        if bytes.get(next).is_none_or(|byte| !matches!(byte, b' ' | b'-' | b'\n' | b'#')) {
            break next;
        }
        end = next;
    };
    let head = format!("{before}items:\n{}", &text[end..]);
    let implied = implied(&parse_yaml(&head, 1))?;
    cuts.push(end);
    Some(List { implied, runs: runs(chunk, &cuts), syntax: Syntax::Yaml })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runs of a list, when it is cut.
    #[track_caller]
    fn check(text: &str, run: usize, expect: Option<&[(&str, u32, u32)]>) {
        let found = list(Chunk { text, line: 1 }, run);
        let runs: Option<Vec<(&str, u32, u32)>> =
            found.map(|list| list.runs.iter().map(|run| (run.text, run.line, run.column)).collect());
        assert_eq!(runs.as_deref(), expect, "{text}");
    }

    #[test]
    fn compact_lists_are_cut_between_items() {
        check(
            r#"{"apiVersion":"v1","items":[{"a":"},{"},{"b":[1,2]},{"é":3}, {"d":4}],"kind":"List"}"#,
            16,
            Some(&[(r#"{"a":"},{"},{"b":[1,2]},"#, 1, 29), (r#"{"é":3}, {"d":4}"#, 1, 53)]),
        );
    }

    #[test]
    fn indented_lists_are_cut_between_items() {
        let text = "{\n \"kind\": \"List\",\n \"apiVersion\": \"v1\",\n \"items\": [\n  {\"a\": [\n   {\n   },\n   {\n   }]\n  },\n  {\"b\": 1\n  },\n  {\"c\": 1\n  }\n ]\n}\n";
        check(
            text,
            20,
            Some(&[
                ("{\"a\": [\n   {\n   },\n   {\n   }]\n  },\n  ", 5, 3),
                ("{\"b\": 1\n  },\n  {\"c\": 1\n  }\n ", 11, 3),
            ]),
        );
    }

    #[test]
    fn yaml_lists_are_cut_between_items() {
        let text = "---\n# a\napiVersion: v1\nitems:\n- a: 1\n  b:\n  - 2\n- c: |\n\n    - x\n# e\n- d\nkind: List\n";
        check(
            text,
            12,
            Some(&[("- a: 1\n  b:\n  - 2\n", 5, 1), ("- c: |\n\n    - x\n# e\n", 8, 1), ("- d\n", 12, 1)]),
        );
    }

    #[test]
    fn what_is_no_plain_list_is_read_as_a_whole() {
        for text in [
            r#"{"apiVersion":"v1","items":[],"kind":"List"}"#,
            r#"{"apiVersion":"v1","items":[1,2,3,4],"kind":"Pod"}"#,
            r#"{"apiVersion":"example.com/v1","items":[1,2,3,4],"kind":"List"}"#,
            r#"{"apiVersion":"v1","items":[1,2,3,4],"items":[1,2,3,4],"kind":"List"}"#,
            r#"{"apiVersion":"v1","items":[1,2,3,4],"kind":"List"} {}"#,
            r#"{"apiVersion":"v1","items":[1,2,3,4"#,
            r#"[{"apiVersion":"v1","items":[1,2,3,4],"kind":"List"}]"#,
            "apiVersion: v1\nkind: Pod\nitems:\n- a\n- b\n- c\n- d\n",
            "apiVersion: v1\nkind: List\nitems: [a, b, c, d]\n",
            "apiVersion: v1\nkind: List\nitems:\n  - a\n  - b\n  - c\n",
            "- a\nitems:\n- a\n- b\n- c\n- d\nkind: List\napiVersion: v1\n",
            "apiVersion: v1\r\nkind: List\r\nitems:\r\n- a\r\n- b\r\n- c\r\n",
        ] {
            check(text, 2, None);
        }
    }
}
