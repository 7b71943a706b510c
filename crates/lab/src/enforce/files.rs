//! Notices which manifests changed, however an editor writes them.
//!
//! inotify only says when to look; what changed is seen by looking. A file is read once whoever writes it has
//! closed it, or has left it alone for a moment; a file that is missing is gone only when it stays
//! missing: many editors move the old version away before they write the new one, and policies must not
//! lapse for that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// How long a file has to be missing to be gone, and untouched to be read without having been closed.
const SETTLE: Duration = Duration::from_millis(20);

/// What happened to a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It is new or was written.
    Written(PathBuf),
    /// It is no longer there.
    Gone(PathBuf),
}

/// The manifests of a lab and an eye on them.
#[derive(Debug)]
pub(super) struct Files {
    inputs: Vec<PathBuf>,
    /// Manifests, each with its place in the order of reading.
    known: BTreeMap<PathBuf, Known>,
    inotify: OwnedFd,
    watched: BTreeMap<i32, PathBuf>,
    /// Files that a writer has closed since the last look, as real paths.
    closed: BTreeSet<PathBuf>,
    look_at: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    order: usize,
    stamp: Stamp,
    missing_since: Option<Instant>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a walk finds.
#[derive(Default)]
struct Walk {
    files: Vec<(PathBuf, PathBuf, std::fs::Metadata)>,
    dirs: BTreeSet<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Files {
    /// Finds the manifests of these files and directories, by the rules of [`podgate_api::Input::Path`],
    /// and begins to watch them. All of them are reported as written by the first look.
    pub(super) fn new(inputs: Vec<PathBuf>) -> Result<Files> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(|e| Error::io("watch the manifests", e.into()))?;
        Ok(Files {
            inputs,
            known: BTreeMap::new(),
            inotify,
            watched: BTreeMap::new(),
            closed: BTreeSet::new(),
            look_at: Some(Instant::now()),
        })
    }

    /// Readable when something may have changed.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// When to look although nothing was reported.
    pub(super) fn due(&self) -> Option<Instant> {
        self.look_at
    }

    /// Manifests in the order of reading.
    pub(super) fn in_order(&self) -> Vec<&Path> {
        let mut paths: Vec<(usize, &Path)> =
            self.known.iter().map(|(path, known)| (known.order, path.as_path())).collect();
        paths.sort_unstable();
        paths.into_iter().map(|(_, path)| path).collect()
    }

    /// Takes what inotify has to say. `true` when it is time to look.
    pub(super) fn take_events(&mut self, now: Instant) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    self.look_at = Some(now);
                    if event.events().contains(ReadFlags::IGNORED) {
                        self.watched.remove(&event.wd());
                    }
                    let wrote = ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO;
                    if let (Some(dir), Some(name)) = (self.watched.get(&event.wd()), event.file_name())
                        && event.events().intersects(wrote)
                    {
                        self.closed.insert(dir.join(OsStr::from_bytes(name.to_bytes())));
                    }
                }
                Err(Errno::INTR) => {}
                // Nothing more to read; other failures come again at the next wait.
                Err(_) => break,
            }
        }
        self.look_at.is_some_and(|at| at <= now)
    }

    /// Looks at all manifests and tells what changed, in the order of reading.
    pub(super) fn look(&mut self, now: Instant) -> Vec<Change> {
        self.look_at = None;
        let mut walk = Walk::default();
        // A directory that appears between walking and watching would be missed: watch, then walk again.
        loop {
            walk.all(&self.inputs);
            if !self.watch_all(&walk.dirs) {
                break;
            }
            walk = Walk::default();
        }
        let closed = std::mem::take(&mut self.closed);
        let mut changes = Vec::new();
        let mut present = BTreeSet::new();
        for (order, (path, real, about)) in walk.files.into_iter().enumerate() {
            present.insert(path.clone());
            let stamp = Stamp::of(&about);
            let is_same = match self.known.get_mut(&path) {
                Some(known) => {
                    known.order = order;
                    known.missing_since = None;
                    known.stamp == stamp
                }
                None => false,
            };
            let was_closed = closed.contains(&real);
            if is_same && !was_closed {
                continue;
            }
            if !was_closed && self.known.contains_key(&path) && is_fresh(&about) {
                self.look_again(now + SETTLE);
                continue;
            }
            self.known.insert(path.clone(), Known { order, stamp, missing_since: None });
            changes.push(Change::Written(path));
        }
        let mut gone = Vec::new();
        for (path, known) in self.known.iter_mut().filter(|(path, _)| !present.contains(*path)) {
            let since = *known.missing_since.get_or_insert(now);
            if now.duration_since(since) >= SETTLE {
                gone.push(path.clone());
            } else {
                let at = since + SETTLE;
                self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
            }
        }
        for path in gone {
            self.known.remove(&path);
            changes.push(Change::Gone(path));
        }
        changes
    }

    fn look_again(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Watches directories that aren't yet; `true` when there were some.
    fn watch_all(&mut self, dirs: &BTreeSet<PathBuf>) -> bool {
        let mut is_new = false;
        for dir in dirs {
            if self.watched.values().any(|watched| watched == dir) {
                continue;
            }
            let interest = WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::MOVED_FROM
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            // A directory that is already gone again has nothing to watch.
            if let Ok(number) = inotify::add_watch(&self.inotify, dir, interest) {
                is_new |= self.watched.insert(number, dir.clone()).is_none();
            }
        }
        is_new
    }
}

impl Walk {
    fn all(&mut self, inputs: &[PathBuf]) {
        for input in inputs {
            match std::fs::metadata(input) {
                Ok(about) if about.is_dir() => self.directory(input),
                Ok(about) => {
                    self.parent(input);
                    self.file(input.clone(), about);
                }
                // It may come back.
                Err(_) => self.parent(input),
            }
        }
    }

    fn directory(&mut self, dir: &Path) {
        let Ok(real) = std::fs::canonicalize(dir) else { return };
        if !self.seen.insert(real.clone()) {
            return;
        }
        self.dirs.insert(real);
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            let is_hidden = path.file_name().is_none_or(|name| name.as_bytes().starts_with(b"."));
            if is_hidden {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(about) if about.is_dir() => self.directory(&path),
                Ok(about) if about.is_file() && is_manifest(&path) => self.file(path, about),
                _ => {}
            }
        }
    }

    fn file(&mut self, path: PathBuf, about: std::fs::Metadata) {
        let Ok(real) = std::fs::canonicalize(&path) else { return };
        if self.seen.insert(real.clone()) {
            // A link is written where it leads to.
            self.parent(&real);
            self.files.push((path, real, about));
        }
    }

    fn parent(&mut self, path: &Path) {
        if let Some(parent) = path.parent()
            && let Ok(real) =
                std::fs::canonicalize(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
        {
            self.dirs.insert(real);
        }
    }
}

impl Stamp {
    fn of(about: &std::fs::Metadata) -> Stamp {
        Stamp {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

/// Whether somebody may still be writing.
fn is_fresh(about: &std::fs::Metadata) -> bool {
    about.modified().is_ok_and(|at| SystemTime::now().duration_since(at).unwrap_or_default() < SETTLE)
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
