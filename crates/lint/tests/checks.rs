//! Every check on manifests that it must blame and on manifests at which it must stay silent.
//!
//! `checks/ID/*.yaml`: a line with `# finding: ID` (or `# finding: ID: part of the message`) is blamed by that check, and
//! no other line of the file is. A file without such a line says `# silent`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use podgate_analysis::WorldOptions;
use podgate_api::load_text;
use podgate_lint::{CHECKS, Context, Finding, Settings, prepare, run, world};

fn check(text: &str) -> Vec<Finding> {
    let mut loaded = load_text("case.yaml", text);
    let diagnostics = prepare(&mut loaded);
    let world = world(loaded.objects, WorldOptions::default());
    let texts = |name: &str| (name == "case.yaml").then(|| Arc::from(text));
    let settings = Settings::default();
    run(&Context::new(&world, &diagnostics, &texts, &settings))
}

/// Line, check, part of the message.
type Expected = (u32, String, String);

fn expectations(text: &str) -> Vec<Expected> {
    let mut all = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for part in line.split("# finding: ").skip(1) {
            let (id, message) = part.split_once(": ").unwrap_or((part, ""));
            all.push((at as u32 + 1, id.trim().to_owned(), message.trim().to_owned()));
        }
    }
    all
}

fn cases(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    paths.sort();
    paths
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks")
}

/// What a file gets wrong.
fn judge(id: &str, path: &Path, text: &str) -> Vec<String> {
    let expected = expectations(text);
    let silent = text.lines().any(|line| line.trim() == "# silent");
    let mut wrong = Vec::new();
    if silent != expected.is_empty() {
        wrong.push("a file has lines to blame, or says `# silent`".to_owned());
    }
    let mut relevant: BTreeSet<&str> = expected.iter().map(|(_, id, _)| id.as_str()).collect();
    relevant.insert(id);
    let findings = check(text);
    let mut found: Vec<&Finding> = findings.iter().filter(|f| relevant.contains(f.check)).collect();
    for (line, id, message) in &expected {
        let at = found
            .iter()
            .position(|f| f.source.line == *line && f.check == *id && f.message.contains(message));
        match at {
            Some(at) => drop(found.remove(at)),
            None => wrong.push(format!("line {line}: no finding of {id} that says {message:?}")),
        }
    }
    for finding in found {
        wrong.push(format!("line {}: {}: {}", finding.source.line, finding.check, finding.message));
    }
    for finding in findings.iter().filter(|finding| finding.check == id) {
        if let Some(edit) = finding.fix.as_ref().and_then(|fix| fix.edit.as_ref()) {
            let mut lines: Vec<&str> = text.lines().collect();
            lines[edit.first as usize - 1] = &edit.replacement;
            assert_eq!(edit.first, edit.last, "edits of one line");
            let after = check(&(lines.join("\n") + "\n"));
            let count = |all: &[Finding]| all.iter().filter(|f| f.check == id).count();
            let errors = |all: &[Finding]| all.iter().filter(|f| f.check == "invalid-object").count();
            if count(&after) >= count(&findings) || errors(&after) > errors(&findings) {
                wrong.push(format!("the fix of line {} mends nothing: {}", edit.first, edit.replacement));
            }
        }
    }
    wrong.iter().map(|what| format!("{}: {what}", path.display())).collect()
}

#[test]
fn checks_blame_the_lines_that_they_should_and_no_others() {
    let mut wrong = Vec::new();
    for directory in cases(&root()) {
        let id = directory.file_name().expect("a name").to_string_lossy().into_owned();
        for path in cases(&directory) {
            let text = fs::read_to_string(&path).expect("a readable case");
            wrong.extend(judge(&id, path.strip_prefix(root()).expect("below"), &text));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_check_has_a_case_that_fires_and_one_that_is_silent() {
    let known: BTreeSet<String> = CHECKS.iter().map(|info| info.id.to_owned()).collect();
    let tried: BTreeSet<String> = cases(&root())
        .iter()
        .map(|directory| directory.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(known, tried);
    for info in CHECKS {
        let texts: Vec<String> = cases(&root().join(info.id))
            .iter()
            .map(|path| fs::read_to_string(path).expect("a readable case"))
            .collect();
        let fires = |text: &String| expectations(text).iter().any(|(_, id, _)| id == info.id);
        assert!(texts.iter().any(fires), "{} never fires", info.id);
        assert!(!texts.iter().all(fires), "{} is never silent", info.id);
    }
}

#[test]
fn every_check_has_a_page_and_every_page_a_check() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/checks");
    let pages: BTreeSet<String> = cases(&book)
        .iter()
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| name != "index")
        .collect();
    let ids: BTreeSet<String> = CHECKS.iter().map(|info| info.id.to_owned()).collect();
    assert_eq!(ids, pages);
    let index = fs::read_to_string(book.join("index.md")).expect("the chapter's first page");
    for info in CHECKS {
        assert!(info.page.starts_with(&format!("# {}\n", info.id)), "{}", info.id);
        let row = format!("| [{0}]({0}.md) | {1} | {2} |", info.id, info.title, info.severity);
        assert!(index.contains(&row), "the index lacks {row}");
    }
}

#[test]
fn fingerprints_survive_lines_that_move() {
    let text = fs::read_to_string(root().join("peer-and-or-split/fires.yaml")).expect("a readable case");
    let prints = |text: &str| check(text).into_iter().map(|f| f.fingerprint).collect::<Vec<String>>();
    let before = prints(&text);
    assert_eq!(before, prints(&format!("# a comment\n\n{text}")));
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), before.len(), "each has its own");
}
