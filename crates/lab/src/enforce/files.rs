//! Notices which manifests changed, however an editor writes them.
//!
//! inotify only says when to look; what changed is seen by looking. A file is read once whoever writes it has
//! closed it: half of a file may read well and say less, and an editor or a shell's `>` begins by making it
//! empty. A file that is missing is gone only when it stays missing: many editors move the old version
//! away before they write the new one. Policies must not lapse for that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// How long a file has to be missing to be gone.
const SETTLE: Duration = Duration::from_millis(20);

/// How long a changed file that nobody is known to write has to stay the same to be read. A writer shows in
/// the file before inotify tells of it; what is changed out of inotify's sight has nobody who closes it.
const UNTOUCHED: Duration = Duration::from_millis(100);

/// What happened to a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is new or was written.
    Written(PathBuf),
    /// It is no longer there.
    Gone(PathBuf),
}

/// The manifests of a lab and an eye on them.
#[derive(Debug)]
pub struct Files {
    inputs: Vec<PathBuf>,
    /// Manifests, each with its place in the order of reading.
    known: BTreeMap<PathBuf, Known>,
    inotify: OwnedFd,
    watched: BTreeMap<i32, PathBuf>,
    /// Files that a writer has closed since the last look, as real paths.
    closed: BTreeSet<PathBuf>,
    /// Files that were written to and not closed since, as real paths.
    open: BTreeSet<PathBuf>,
    look_at: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    order: usize,
    /// The path without links.
    real: PathBuf,
    stamp: Stamp,
    /// A change that may not be complete yet, and when it was first seen.
    unread: Option<(Stamp, Instant)>,
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
    pub fn new(inputs: Vec<PathBuf>) -> Result<Files> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(|e| Error::io("watch the manifests", e.into()))?;
        Ok(Files {
            inputs,
            known: BTreeMap::new(),
            inotify,
            watched: BTreeMap::new(),
            closed: BTreeSet::new(),
            open: BTreeSet::new(),
            look_at: Some(Instant::now()),
        })
    }

    /// Readable when something may have changed.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// When to look although nothing was reported.
    pub fn due(&self) -> Option<Instant> {
        self.look_at
    }

    /// Manifests in the order of reading.
    pub fn in_order(&self) -> Vec<&Path> {
        let mut paths: Vec<(usize, &Path)> =
            self.known.iter().map(|(path, known)| (known.order, path.as_path())).collect();
        paths.sort_unstable();
        paths.into_iter().map(|(_, path)| path).collect()
    }

    /// Takes what inotify has to say. `true` when it is time to look.
    pub fn take_events(&mut self, now: Instant) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    self.look_at = Some(now);
                    if event.events().contains(ReadFlags::IGNORED) {
                        self.watched.remove(&event.wd());
                    }
                    if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                        // Who was writing may have closed the file meanwhile.
                        self.open.clear();
                    }
                    if let (Some(dir), Some(name)) = (self.watched.get(&event.wd()), event.file_name()) {
                        let real = dir.join(OsStr::from_bytes(name.to_bytes()));
                        if event.events().contains(ReadFlags::MODIFY) {
                            self.closed.remove(&real);
                            self.open.insert(real);
                        } else {
                            self.open.remove(&real);
                            if event.events().intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
                                self.closed.insert(real);
                            }
                        }
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
    pub fn look(&mut self, now: Instant) -> Vec<Change> {
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
        let mut wait_until = None;
        for (order, (path, real, about)) in walk.files.into_iter().enumerate() {
            present.insert(path.clone());
            let stamp = Stamp::of(&about);
            // Whoever writes anew begins with an empty file, which shows before inotify tells.
            let was_closed = closed.contains(&real) && about.len() > 0;
            if let Some(known) = self.known.get_mut(&path) {
                known.order = order;
                known.missing_since = None;
                if known.stamp == stamp && !was_closed {
                    known.unread = None;
                    continue;
                }
                let is_open = self.open.contains(&real);
                if !was_closed && (is_open || known.may_change_further(stamp, now)) {
                    // Whoever has it open will close it, which is reported.
                    let again = (!is_open).then_some(now + UNTOUCHED);
                    wait_until = wait_until.into_iter().chain(again).min();
                    continue;
                }
            }
            self.known.insert(path.clone(), Known { order, real, stamp, unread: None, missing_since: None });
            changes.push(Change::Written(path));
        }
        self.look_at = wait_until;
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

    /// Whether somebody has begun to write the file again. Asked after reading a file that was reported as
    /// written: what was read may be half of it then. The end of that is reported, too.
    pub fn is_being_written(&mut self, path: &Path) -> bool {
        self.take_events(Instant::now());
        let Some(known) = self.known.get(path) else { return false };
        let is_as_seen = std::fs::metadata(path).is_ok_and(|about| Stamp::of(&about) == known.stamp);
        self.open.contains(&known.real) || !is_as_seen
    }

    /// Watches directories that aren't yet; `true` when there were some.
    fn watch_all(&mut self, dirs: &BTreeSet<PathBuf>) -> bool {
        let mut is_new = false;
        for dir in dirs {
            if self.watched.values().any(|watched| watched == dir) {
                continue;
            }
            let interest = WatchFlags::CLOSE_WRITE
                | WatchFlags::MODIFY
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

impl Known {
    /// Whether a file that nobody is known to have open has kept its stamp for too short a time.
    fn may_change_further(&mut self, stamp: Stamp, now: Instant) -> bool {
        let since = match self.unread {
            Some((seen, since)) if seen == stamp => since,
            _ => now,
        };
        self.unread = Some((stamp, since));
        now.duration_since(since) < UNTOUCHED
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

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
