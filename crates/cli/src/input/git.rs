//! Manifests as they are at a git ref, read with the `git` command: the working tree is never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use podgate_api::{Diagnostic, Input, LoadOptions, Loaded, Severity, Source, is_manifest, load_with};

use crate::outcome::Failure;

/// Reads what is at `paths` (as they would be named today; the current directory when there are none) at a
/// git ref. Sources are named `REF:path`, with the path from the repository's root. A path that did not exist
/// at the ref is a warning: what is new today was nothing then.
pub fn load_at(reference: &str, paths: &[PathBuf], options: &LoadOptions) -> Result<Loaded, Failure> {
    if reference.starts_with('-') || reference.is_empty() {
        return Err(Failure::bad(format!("--git {reference}: a git ref is a branch, a tag or a commit")));
    }
    let here = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &here[..] } else { paths };
    let mut inputs = Vec::new();
    let mut files = Vec::new();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        if path == Path::new("-") {
            return Err(Failure::bad("`-` with --git: standard input has no history, name paths"));
        }
        let place = Place::of(path)?;
        let tree = place.resolve(reference)?;
        let blobs = Listing { place: &place, tree: &tree, found: &mut found, reference }.blobs()?;
        let blobs: Vec<(PathBuf, String)> =
            blobs.into_iter().filter(|(path, _)| seen.insert((place.root.clone(), path.clone()))).collect();
        let names: Vec<&str> = blobs.iter().map(|(_, id)| id.as_str()).collect();
        for ((path, _), content) in blobs.iter().zip(place.contents(&names)?) {
            let name = format!("{reference}:{}", path.display());
            match String::from_utf8(content) {
                Ok(text) => {
                    files.push(PathBuf::from(&name));
                    inputs.push(Input::Text { name, text });
                }
                Err(_) => found.push(Diagnostic {
                    severity: Severity::Error,
                    source: Source::origin(&name),
                    field: String::new(),
                    message: "the text is not UTF-8".to_owned(),
                    help: "save the file as UTF-8".to_owned(),
                }),
            }
        }
    }
    let mut loaded = load_with(&inputs, options);
    loaded.files = files;
    found.append(&mut loaded.diagnostics);
    loaded.diagnostics = found;
    Ok(loaded)
}

/// A path inside a repository.
struct Place {
    /// The repository's working tree.
    root: PathBuf,
    /// The path from there; empty for all of it.
    path: PathBuf,
}

impl Place {
    fn of(path: &Path) -> Result<Place, Failure> {
        // What is gone today may well have been there at the ref: the nearest directory that exists tells
        // the repository.
        let mut base = match path.is_relative() {
            true => std::env::current_dir()
                .map_err(|error| Failure::bad(format!("find the current directory: {error}")))?
                .join(path),
            false => path.to_owned(),
        };
        base = without_dots(&base);
        let mut rest = Vec::new();
        while !base.is_dir() {
            let Some(name) = base.file_name().map(OsStr::to_owned) else { break };
            rest.push(name);
            base.pop();
        }
        let base =
            base.canonicalize().map_err(|error| Failure::bad(format!("{}: {error}", base.display())))?;
        let root = git(&base, &["rev-parse", "--show-toplevel"]).map_err(|error| match error {
            GitError::Missing(failure) => failure,
            GitError::Said(text) if text.contains("not a git repository") => Failure::bad(format!(
                "--git: {} is in no git repository: name paths in one, or leave --git out",
                path.display()
            )),
            GitError::Said(text) => Failure::bad(format!("--git: {}: {text}", path.display())),
        })?;
        let root = PathBuf::from(root.trim_end_matches('\n'));
        let root = root.canonicalize().unwrap_or(root);
        let mut inside = base.strip_prefix(&root).map(Path::to_owned).unwrap_or_default();
        inside.extend(rest.iter().rev());
        Ok(Place { root, path: inside })
    }

    /// The id of the tree at a ref.
    fn resolve(&self, reference: &str) -> Result<String, Failure> {
        let tree = format!("{reference}^{{tree}}");
        match git(&self.root, &["rev-parse", "--verify", "--quiet", &tree]) {
            Ok(id) => Ok(id.trim().to_owned()),
            Err(GitError::Missing(failure)) => Err(failure),
            Err(GitError::Said(_)) => Err(Failure::bad(self.unknown(reference))),
        }
    }

    fn unknown(&self, reference: &str) -> String {
        let shallow = git(&self.root, &["rev-parse", "--is-shallow-repository"])
            .is_ok_and(|answer| answer.trim() == "true");
        let help = match reference.split_once('/') {
            _ if shallow => {
                "this clone is shallow: fetch the ref first, or clone with full history (`fetch-depth: 0`)"
                    .to_owned()
            }
            Some((remote, branch)) if !branch.is_empty() => {
                format!("`git fetch {remote} {branch}` gets it if it exists there")
            }
            _ => "`git branch --all` and `git tag` list what there is".to_owned(),
        };
        format!(
            "--git {reference}: no such commit, branch or tag in the repository {}: {help}",
            self.root.display()
        )
    }

    /// What `git ls-tree` lists below a tree: mode, kind, id, path.
    fn list(&self, tree: &str, path: &Path) -> Result<Vec<Entry>, Failure> {
        let mut arguments = vec!["ls-tree", "-r", "-z", "--full-tree", tree];
        let path = path.to_str().ok_or_else(|| {
            Failure::bad(format!("--git: {}: the path is not UTF-8: rename it", path.display()))
        })?;
        if !path.is_empty() {
            arguments.extend(["--", path]);
        }
        let listed = self.git(&arguments)?;
        Ok(listed.split('\0').filter_map(Entry::parse).collect())
    }

    /// What an object in a tree is, with links followed inside the tree: its id and kind.
    fn follow(&self, tree: &str, path: &Path) -> Result<Option<(String, String)>, Failure> {
        let question = format!("{tree}:{}\n", path.display());
        let answer = self.ask(&["cat-file", "--batch-check", "--follow-symlinks"], question.into_bytes())?;
        let answer = String::from_utf8_lossy(&answer);
        let mut words = answer.split_whitespace();
        Ok(match (words.next(), words.next()) {
            (Some(id), Some(kind @ ("blob" | "tree"))) => Some((id.to_owned(), kind.to_owned())),
            _ => None,
        })
    }

    /// The contents of blobs.
    fn contents(&self, ids: &[&str]) -> Result<Vec<Vec<u8>>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.ask(&["cat-file", "--batch"], (ids.join("\n") + "\n").into_bytes())?;
        let mut reader = BufReader::new(answer.as_slice());
        let broken = || {
            Failure::bad(format!(
                "--git: git could not read an object of {}: `git fsck` tells why",
                self.root.display()
            ))
        };
        let mut contents = Vec::with_capacity(ids.len());
        for _ in ids {
            let mut head = String::new();
            reader.read_line(&mut head).map_err(|_| broken())?;
            let size =
                head.split_whitespace().nth(2).and_then(|size| size.parse().ok()).ok_or_else(broken)?;
            let mut content = vec![0; size];
            reader.read_exact(&mut content).map_err(|_| broken())?;
            // A line feed ends each object.
            reader.read_exact(&mut [0]).map_err(|_| broken())?;
            contents.push(content);
        }
        Ok(contents)
    }

    fn git(&self, arguments: &[&str]) -> Result<String, Failure> {
        git(&self.root, arguments).map_err(|error| self.failure(error))
    }

    fn failure(&self, error: GitError) -> Failure {
        match error {
            GitError::Missing(failure) => failure,
            GitError::Said(text) => {
                Failure::bad(format!("--git: repository {}: {text}", self.root.display()))
            }
        }
    }

    /// Runs git with a text on its standard input, written while its output is read.
    fn ask(&self, arguments: &[&str], question: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let mut child = command(&self.root, arguments).stdin(Stdio::piped()).spawn().map_err(missing)?;
        let mut stdin = child.stdin.take();
        let writer = std::thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(&question)));
        let output = child.wait_with_output().map_err(missing)?;
        // Git says itself why it stopped reading.
        let _ = writer.join();
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(self.failure(GitError::Said(first_line(&output.stderr)))),
        }
    }
}

/// A line of `git ls-tree`.
struct Entry {
    mode: String,
    id: String,
    path: PathBuf,
}

impl Entry {
    fn parse(line: &str) -> Option<Entry> {
        let (about, path) = line.split_once('\t')?;
        let mut words = about.split(' ');
        let (mode, _kind, id) = (words.next()?, words.next()?, words.next()?);
        Some(Entry { mode: mode.to_owned(), id: id.to_owned(), path: PathBuf::from(path) })
    }
}

/// Finds the manifests of a place at a ref, as the reader of directories does.
struct Listing<'a> {
    place: &'a Place,
    tree: &'a str,
    reference: &'a str,
    found: &'a mut Vec<Diagnostic>,
}

impl Listing<'_> {
    fn blobs(&mut self) -> Result<BTreeMap<PathBuf, String>, Failure> {
        let start = self.place.path.clone();
        let entries = self.place.list(self.tree, &start)?;
        if entries.is_empty() {
            self.warn(&start, "not there at this ref", "it counts as empty");
        }
        let mut blobs = BTreeMap::new();
        let mut trees = BTreeSet::new();
        self.take(entries, &start, Path::new(""), &mut trees, &mut blobs)?;
        Ok(blobs)
    }

    /// Adds the manifests among `entries`, whose paths are below `prefix`.
    fn take(
        &mut self,
        entries: Vec<Entry>,
        start: &Path,
        prefix: &Path,
        trees: &mut BTreeSet<String>,
        blobs: &mut BTreeMap<PathBuf, String>,
    ) -> Result<(), Failure> {
        for entry in entries {
            let path = prefix.join(&entry.path);
            let below = path.strip_prefix(start).unwrap_or(&path);
            let named = below.as_os_str().is_empty();
            let hidden = below.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
            if hidden && !named {
                continue;
            }
            match entry.mode.as_str() {
                "160000" => self.warn(&path, "a git submodule, which is not read", "name a path inside it"),
                "120000" => match self.place.follow(self.tree, &path)? {
                    Some((id, kind)) if kind == "blob" && (named || is_manifest(&path)) => {
                        blobs.insert(path, id);
                    }
                    // A link to a directory above itself would go round for ever.
                    Some((id, kind)) if kind == "tree" && trees.insert(id.clone()) => {
                        let inside = self.place.list(&id, Path::new(""))?;
                        self.take(inside, start, &path, trees, blobs)?;
                    }
                    Some(_) => {}
                    None if named || is_manifest(&path) => {
                        self.warn(&path, "a link that leads out of the repository", "it is not read");
                    }
                    None => {}
                },
                _ if named || is_manifest(&path) => {
                    blobs.insert(path, entry.id);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn warn(&mut self, path: &Path, message: &str, help: &str) {
        self.found.push(Diagnostic {
            severity: Severity::Warning,
            source: Source::origin(&format!("{}:{}", self.reference, path.display())),
            field: String::new(),
            message: message.to_owned(),
            help: help.to_owned(),
        });
    }
}

enum GitError {
    /// There is no git to ask.
    Missing(Failure),
    /// What git said.
    Said(String),
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, GitError> {
    let output = command(directory, arguments).output().map_err(|error| GitError::Missing(missing(error)))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(GitError::Said(first_line(&output.stderr))),
    }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    // Messages are compared and shown: one language. Reading needs no lock.
    command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
    command.arg("-C").arg(directory).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn missing(error: std::io::Error) -> Failure {
    Failure::bad(format!("--git needs the git command, which can't be run: {error}"))
}

fn first_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("git failed and did not say why");
    line.trim_start_matches("fatal: ").to_owned()
}

/// `a/./b/../c` is `a/c`: the path need not exist, so the file system can't be asked.
fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests;
