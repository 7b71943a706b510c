//! The book: every link leads somewhere, every page is in the summary, every block marked as runnable runs, and
//! prints what the book says it prints.
//!
//! A block marked `sh,run` is run by `sh` in a copy of the examples. A block marked `text,output` right behind
//! it is what it prints, errors included. `PODGATE_BOOK=write` in the environment writes what is printed into the
//! book instead: read the difference before committing it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Pages of the book, with their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    let mut folders = vec![root().join("docs/book/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 10, "the book is there");
    pages
}

/// A fenced block: its info string, its text and its line.
struct Block {
    info: String,
    text: String,
    line: usize,
    /// No other text stands between it and the block before.
    follows: bool,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    let mut follows = false;
    for (number, line) in page.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (false, Some(info)) => {
                let info = info.trim().to_owned();
                blocks.push(Block { info, text: String::new(), line: number + 1, follows });
                open = true;
            }
            (true, Some(_)) => (open, follows) = (false, true),
            (true, None) => {
                let text = &mut blocks.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            (false, None) => follows &= line.trim().is_empty(),
        }
    }
    assert!(!open, "a block does not end");
    blocks
}

/// Targets of `[text](target)`, code left out.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut code = false;
    for line in page.lines() {
        if line.starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                links.push(rest[..end].to_owned());
            }
        }
    }
    links
}

#[test]
fn every_link_leads_to_a_page() {
    let mut broken = Vec::new();
    for (path, text) in pages() {
        for link in links(&text) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !path.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn every_page_is_in_the_summary() {
    let folder = root().join("docs/book/src");
    let summary = fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> = links(&summary).iter().map(|link| folder.join(link)).collect();
    let missing: Vec<PathBuf> = pages()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| !path.ends_with("SUMMARY.md") && !listed.contains(path))
        .collect();
    assert!(missing.is_empty(), "add them to SUMMARY.md: {missing:?}");
}

#[test]
fn every_command_has_a_page() {
    let help = Command::new(env!("CARGO_BIN_EXE_podgate")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.contains(&"suggest"), "{help}");
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| !root().join(format!("docs/book/src/commands/{name}.md")).exists())
        .collect();
    assert!(missing.is_empty(), "no page for {missing:?}");
}

/// A copy of the examples in a repository of its own, for a page's blocks.
fn workplace(page: &Path) -> PathBuf {
    let name = page.file_stem().unwrap().to_str().unwrap();
    let place = std::env::temp_dir().join(format!("podgate-book-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    let script = format!(
        "cp -r {}/examples . && git init --quiet --initial-branch=main && git add . && \
         git -c user.name=t -c user.email=t@example.org -c commit.gpgsign=false commit --quiet -m examples",
        root().display()
    );
    let made = Command::new("sh").args(["-ec", &script]).current_dir(&place).status().unwrap();
    assert!(made.success());
    place
}

#[test]
fn every_runnable_block_runs_and_prints_what_the_book_says() {
    let bin = Path::new(env!("CARGO_BIN_EXE_podgate")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let write = std::env::var("PODGATE_BOOK").is_ok_and(|what| what == "write");
    let mut ran = 0;
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        let blocks = blocks(&text);
        if !blocks.iter().any(|block| block.info == "sh,run") {
            continue;
        }
        let place = workplace(&page);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut moved = 0;
        for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.info == "sh,run") {
            let script = format!("exec 2>&1\n{}", block.text);
            let output = Command::new("sh")
                .args(["-euc", &script])
                .current_dir(&place)
                .env("PATH", &path)
                .env("HOME", &place)
                .env_remove("KUBECONFIG")
                .output()
                .unwrap();
            ran += 1;
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let name = format!("{}:{}", page.strip_prefix(root()).unwrap().display(), block.line);
            if !output.status.success() {
                wrong.push(format!("{name}: exit code {:?}\n{printed}", output.status.code()));
            }
            let next = blocks.get(at + 1).filter(|next| next.info == "text,output" && next.follows);
            let Some(next) = next.filter(|next| next.text.trim_end() != printed.trim_end()) else { continue };
            if write {
                let first = next.line.checked_add_signed(moved).unwrap();
                let old = next.text.lines().count();
                let new: Vec<String> = printed.trim_end().lines().map(str::to_owned).collect();
                moved += new.len() as isize - old as isize;
                lines.splice(first..first + old, new);
            } else {
                wrong.push(format!("{name}: the book says\n{}\nit prints\n{printed}", next.text));
            }
        }
        if write {
            fs::write(&page, lines.join("\n") + "\n").unwrap();
        }
        fs::remove_dir_all(&place).unwrap();
    }
    assert!(ran > 0, "some blocks are runnable");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
