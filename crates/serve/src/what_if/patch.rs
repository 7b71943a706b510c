//! A change of policies as a unified diff of the files they are written in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use podgate_api::{Loaded, Object};

use super::Change;
use crate::policies::{Policy, text_of};
use crate::state::file_text;

/// Lines around what changes.
const CONTEXT: usize = 3;

/// Lines of a file that become others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// Place of the first line that goes.
    at: usize,
    /// How many go.
    gone: usize,
    new: Vec<String>,
}

/// The patch: what is written in a file changes there, and everything else is a new file.
pub fn of(loaded: &Loaded, changes: &[Change]) -> String {
    let read = file_text(loaded);
    let mut files: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
    let mut patch = String::new();
    let mut fresh: Vec<(String, &str)> = Vec::new();
    for change in changes {
        let policy = match &change.old {
            Some(Object::NetworkPolicy(policy)) => Some(Policy::Network(policy)),
            Some(Object::ClusterPolicy(policy)) => Some(Policy::Cluster(policy)),
            _ => None,
        };
        let written = policy.map(|policy| text_of(policy, &read)).filter(|text| !text.file.is_empty());
        match (written, &change.new) {
            (Some(text), new) => {
                let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
                let (old, new) = (lines(&text.yaml), new.as_deref().map(lines).unwrap_or_default());
                let at = text.first_line as usize - 1;
                files.entry(text.file).or_default().extend(pieces(at, &old, new));
            }
            (None, Some(new)) => fresh.push((new_file(loaded, &change.name), new)),
            // It is in no file that could be patched: kubectl deletes it.
            (None, None) => {
                let policy = policy.map(Policy::reference).map(|policy| match policy.namespace.as_str() {
                    "" => format!("{} {}", policy.kind, policy.name),
                    namespace => format!("{} -n {namespace} {}", policy.kind, policy.name),
                });
                writeln!(patch, "# no file: kubectl delete {}", policy.unwrap_or_default())
                    .expect("a string takes all");
            }
        }
    }
    for (file, mut pieces) in files {
        let text = read(&file).unwrap_or_default();
        pieces.sort_by_key(|piece| piece.at);
        patch.push_str(&file_patch(&file, &text, pieces));
    }
    fresh.sort();
    for (file, text) in fresh {
        let lines: Vec<&str> = text.trim_end().lines().collect();
        writeln!(patch, "--- /dev/null\n+++ b/{file}\n@@ -0,0 +1,{} @@", lines.len())
            .expect("a string takes all");
        lines.iter().for_each(|line| writeln!(patch, "+{line}").expect("a string takes all"));
    }
    patch
}

/// What differs of a document that begins at a line: without the lines that stay at its ends.
fn pieces(at: usize, old: &[String], new: Vec<String>) -> Option<Piece> {
    let same_first = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same_first;
    let same_last = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let gone = old.len() - same_first - same_last;
    let new = new[same_first..new.len() - same_last].to_vec();
    (gone > 0 || !new.is_empty()).then_some(Piece { at: at + same_first, gone, new })
}

fn file_patch(file: &str, text: &str, pieces: Vec<Piece>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // A file whose documents are all deleted goes.
    let left = lines.iter().enumerate().any(|(number, line)| {
        let goes = pieces.iter().any(|piece| (piece.at..piece.at + piece.gone).contains(&number));
        !goes && !line.trim().is_empty() && *line != "---" && !line.starts_with('#')
    });
    let path = file.trim_start_matches("./").trim_start_matches('/');
    let added = pieces.iter().any(|piece| !piece.new.is_empty());
    if !left && !added {
        let mut patch = format!("--- a/{path}\n+++ /dev/null\n@@ -1,{} +0,0 @@\n", lines.len());
        lines.iter().for_each(|line| writeln!(patch, "-{line}").expect("a string takes all"));
        return patch;
    }
    let mut patch = format!("--- a/{path}\n+++ b/{path}\n");
    let mut shift: isize = 0;
    let mut rest = &pieces[..];
    while let Some(first) = rest.first() {
        // Pieces whose surroundings touch are one hunk.
        let number = 1 + rest
            .windows(2)
            .take_while(|two| two[1].at - (two[0].at + two[0].gone) <= 2 * CONTEXT)
            .count();
        let (hunk, later) = rest.split_at(number);
        rest = later;
        let begin = first.at.saturating_sub(CONTEXT);
        let end = hunk.last().map_or(begin, |last| (last.at + last.gone + CONTEXT).min(lines.len()));
        let mut body = String::new();
        let (mut at, mut new_lines) = (begin, 0);
        let keep = |body: &mut String, from: usize, to: usize| {
            lines[from..to].iter().for_each(|line| writeln!(body, " {line}").expect("a string takes all"));
            to - from
        };
        for piece in hunk {
            new_lines += keep(&mut body, at, piece.at) + piece.new.len();
            at = piece.at + piece.gone;
            lines[piece.at..at]
                .iter()
                .for_each(|line| writeln!(body, "-{line}").expect("a string takes all"));
            piece.new.iter().for_each(|line| writeln!(body, "+{line}").expect("a string takes all"));
        }
        new_lines += keep(&mut body, at, end);
        let old_lines = end - begin;
        let start = |from: usize, number: usize| if number == 0 { from } else { from + 1 };
        let new_begin = begin.saturating_add_signed(shift);
        writeln!(
            patch,
            "@@ -{},{old_lines} +{},{new_lines} @@",
            start(begin, old_lines),
            start(new_begin, new_lines)
        )
        .expect("a string takes all");
        patch.push_str(&body);
        if end == lines.len() && !text.is_empty() && !text.ends_with('\n') {
            patch.push_str("\\ No newline at end of file\n");
        }
        shift += new_lines as isize - old_lines as isize;
    }
    patch
}

/// Where a new policy is written: next to the others.
fn new_file(loaded: &Loaded, name: &str) -> String {
    let policy = loaded.objects.iter().find_map(|object| match object {
        Object::NetworkPolicy(policy) => Some(policy.meta.source.file.clone()),
        _ => None,
    });
    let dir = policy.as_deref().map(Path::new).filter(|path| loaded.files.iter().any(|file| file == path));
    let dir = dir.and_then(Path::parent).map(|dir| dir.display().to_string()).unwrap_or_default();
    let dir = dir.trim_start_matches("./").trim_start_matches('/');
    if dir.is_empty() || dir == "." { format!("{name}.yaml") } else { format!("{dir}/{name}.yaml") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "a: 1\nb: 2\nc: 3\n---\nd: 4\ne: 5\nf: 6\ng: 7\n";

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn only_what_differs_is_in_the_patch() {
        let piece = pieces(4, &lines("d: 4\ne: 5\nf: 6\ng: 7"), lines("d: 4\ne: 0\nf: 6\ng: 7"));
        assert_eq!(piece, Some(Piece { at: 5, gone: 1, new: lines("e: 0") }));
        assert_eq!(pieces(0, &lines("a\nb"), lines("a\nb")), None);
        assert_eq!(
            pieces(0, &lines("a\na"), lines("a\na\na")),
            Some(Piece { at: 2, gone: 0, new: lines("a") })
        );
    }

    #[test]
    fn patch_applies_what_it_says() {
        let changed = file_patch(
            "./p.yaml",
            FILE,
            vec![
                Piece { at: 1, gone: 1, new: lines("b: 0\nx: 9") },
                Piece { at: 5, gone: 1, new: lines("e: 0") },
            ],
        );
        let hunk = "--- a/p.yaml\n+++ b/p.yaml\n@@ -1,8 +1,9 @@\n a: 1\n-b: 2\n+b: 0\n+x: 9\n c: 3\n ---\n d: 4\n-e: 5\n+e: 0\n f: 6\n g: 7\n";
        assert_eq!(changed, hunk);
        let gone = file_patch("p.yaml", "a: 1\n", vec![Piece { at: 0, gone: 1, new: Vec::new() }]);
        assert_eq!(gone, "--- a/p.yaml\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a: 1\n");
    }
}
