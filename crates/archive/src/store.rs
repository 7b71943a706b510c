//! The files on the disk as their writer knows them: parts come, hours are put together, old ones go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parquet::errors::Result as Parquet;
use podgate_api::Object;
use podgate_flow::{PolicyVersion, Timestamp};
use rustix::fs::{FlockOperation, flock};

use crate::directory::{self, Hour, Name, Notes, Opened, Series, put};
use crate::segment::{Effort, Writer};
use crate::table::Table;
use crate::{Caps, Problem, edges, flows, policies};

/// So many parts of a level become one of the next.
const FAN_IN: usize = 32;
/// Rows of a row group. Compression gains little beyond, and readers skip by row group.
const GROUP_ROWS: usize = 131_072;
/// How long after an hour what belongs to it may still come: a minute of totals, halves that wait.
const LATE: Duration = Duration::from_secs(90);
/// How many problems are remembered.
const PROBLEMS: usize = 32;

/// See the module.
pub(crate) struct Store {
    dir: PathBuf,
    caps: Caps,
    catalog: Mutex<Catalog>,
    /// Held as long as the store lives: two writers would delete each other's parts.
    _lock: File,
}

#[derive(Default)]
struct Catalog {
    segments: BTreeMap<Name, Entry>,
    next_part: u64,
    /// Versions that records to come may refer to, with the time they came.
    remembered: BTreeMap<PolicyVersion, Timestamp>,
    policy_bytes: u64,
    problems: VecDeque<Problem>,
}

#[derive(Clone)]
struct Entry {
    bytes: u64,
    notes: Notes,
    /// When it was written; segments of earlier runs count as old.
    written: Timestamp,
    /// Can't be read: it is never merged, and goes when it is old.
    damaged: bool,
}

/// What is on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub bytes: u64,
    pub segments: usize,
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// Opens a directory, makes it when it isn't there, and clears up what an earlier run left unfinished.
    pub fn open(dir: &Path, caps: Caps) -> Result<Store, Problem> {
        let unusable = |error: &dyn std::fmt::Display| {
            Problem::new(dir, error, "name a directory that podgate can write to")
        };
        fs::create_dir_all(dir).map_err(|error| unusable(&error))?;
        let lock = File::create(dir.join("lock")).map_err(|error| unusable(&error))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Problem::new(
                dir,
                "another podgate writes here",
                "end it, or name a directory of its own for each",
            )
        })?;
        let store = Store { dir: dir.to_owned(), caps, catalog: Mutex::default(), _lock: lock };
        store.recover().map_err(|error| unusable(&error))?;
        Ok(store)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn recover(&self) -> std::io::Result<()> {
        let mut catalog = self.catalog();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path)?;
                let what = "was being written when podgate was stopped, and is removed";
                let advice = "rows of its last seconds are lost, unless it was being merged from others";
                catalog.note(Problem::new(&path, what, advice));
            }
        }
        let mut segments: Vec<Opened> = Vec::new();
        for name in directory::list(&self.dir)?.0 {
            catalog.next_part = catalog.next_part.max(name.part.map_or(0, |part| part + 1));
            match directory::open(&self.dir, name) {
                Some(Ok(opened)) => segments.push(opened),
                Some(Err(problem)) => {
                    catalog.note(problem);
                    let bytes = fs::metadata(self.path(name)).map_or(0, |metadata| metadata.len());
                    catalog.segments.insert(
                        name,
                        Entry { bytes, notes: Notes::default(), written: Timestamp(0), damaged: true },
                    );
                }
                None => {}
            }
        }
        for name in directory::drop_superseded(&mut segments) {
            fs::remove_file(self.path(name))?;
        }
        for segment in segments {
            catalog.next_part = catalog.next_part.max(segment.notes.through + 1);
            let Opened { name, bytes, notes, .. } = segment;
            catalog.segments.insert(name, Entry { bytes, notes, written: Timestamp(0), damaged: false });
        }
        Ok(())
    }

    fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: Name) -> PathBuf {
        self.dir.join(name.to_string())
    }

    /// Writes a table as a part of an hour.
    pub fn write(&self, now: Timestamp, series: Series, hour: Hour, table: &Table) -> Result<(), Problem> {
        let part = {
            let mut catalog = self.catalog();
            catalog.next_part += 1;
            catalog.next_part - 1
        };
        let name = Name { hour, series, part: Some(part) };
        let versions = versions(table, series);
        let notes = Notes { from: part, through: part, level: 0, versions };
        let write = |writer: &mut Writer<'_>| writer.write(table, 0..table.rows());
        let bytes = self.write_file(name, &notes, Effort::Short, write)?;
        let entry = Entry { bytes, notes, written: now, damaged: false };
        self.catalog().segments.insert(name, entry);
        Ok(())
    }

    fn write_file(
        &self,
        name: Name,
        notes: &Notes,
        effort: Effort,
        write: impl FnOnce(&mut Writer<'_>) -> Parquet<()>,
    ) -> Result<u64, Problem> {
        let path = self.path(name);
        let passing = path.with_extension("tmp");
        let written = || -> Parquet<u64> {
            let mut writer = Writer::create(&passing, name.series.schema(), effort)?;
            write(&mut writer)?;
            writer.finish(&notes.written())?;
            let bytes = fs::metadata(&passing)?.len();
            put(&self.dir, &passing, &path)?;
            Ok(bytes)
        };
        written().map_err(|error| {
            // What is left of it takes room that may be what was missing.
            drop(fs::remove_file(&passing));
            Problem::unwritten(&path, error)
        })
    }

    /// Writes the policies of a version.
    pub fn remember(
        &self,
        now: Timestamp,
        version: PolicyVersion,
        objects: &[Object],
    ) -> Result<(), Problem> {
        policies::remember(&self.dir, version, objects)?;
        self.catalog().remembered.insert(version, now);
        Ok(())
    }

    /// Does one thing that makes the directory tidier. Returns whether there was anything to do.
    pub fn tidy(&self, now: Timestamp) -> Result<bool, Problem> {
        let job = self.catalog().job(now);
        match job {
            Some(job) => self.merge(now, job).map(|()| true),
            None => self.prune(now).map(|()| false),
        }
    }

    fn merge(&self, now: Timestamp, job: Job) -> Result<(), Problem> {
        let mut notes = Notes { from: u64::MAX, level: job.level, ..Notes::default() };
        let mut sources = Vec::new();
        for name in job.sources {
            match directory::open(&self.dir, name) {
                Some(Ok(opened)) => sources.push(opened),
                Some(Err(problem)) => self.set_aside(name, problem),
                None => drop(self.catalog().segments.remove(&name)),
            }
        }
        for source in &sources {
            notes.from = notes.from.min(source.notes.from);
            notes.through = notes.through.max(source.notes.through);
            notes.versions.extend(&source.notes.versions);
        }
        let Some(last) = sources.last() else { return Ok(()) };
        let name = Name { part: if job.whole { None } else { last.name.part }, ..last.name };
        let series = name.series;
        let mut damaged = None;
        let written = self.write_file(name, &notes, Effort::Lasting, |writer| {
            let mut table = Table::new(series.schema());
            for source in &sources {
                for group in 0..source.reader.groups() {
                    let next = source.reader.read(group);
                    table.append(next.inspect_err(|error| {
                        damaged = Some((source.name, Problem::damaged(&source.path, error)));
                    })?);
                    if table.rows() >= rows_at_once(series) {
                        write_sorted(
                            writer,
                            series,
                            std::mem::replace(&mut table, Table::new(series.schema())),
                        )?;
                    }
                }
            }
            write_sorted(writer, series, table)
        });
        // What can't be read must not count as merged: the others are merged without it the next time.
        if let Some((name, problem)) = damaged {
            self.set_aside(name, problem);
            return Ok(());
        }
        let bytes = written?;
        let mut catalog = self.catalog();
        for source in &sources {
            catalog.segments.remove(&source.name);
            if source.name != name {
                fs::remove_file(&source.path).map_err(|error| Problem::unwritten(&source.path, error))?;
            }
        }
        catalog.segments.insert(name, Entry { bytes, notes, written: now, damaged: false });
        Ok(())
    }

    /// Keeps a segment that can't be read out of the way of those that can.
    fn set_aside(&self, name: Name, problem: Problem) {
        let aside = self.dir.join(format!("{name}.damaged"));
        let mut catalog = self.catalog();
        if fs::rename(self.path(name), &aside).is_ok() {
            catalog.segments.remove(&name);
        } else if let Some(entry) = catalog.segments.get_mut(&name) {
            entry.damaged = true;
        }
        catalog.note(problem);
    }

    /// Deletes what is beyond the caps: whole hours, the oldest first; of the last hour its oldest parts.
    fn prune(&self, now: Timestamp) -> Result<(), Problem> {
        let unreadable = |error| Problem::new(&self.dir, error, "let podgate read and delete in it");
        let mut catalog = self.catalog();
        while let Some(oldest) = catalog.segments.keys().map(|name| name.hour).min() {
            let newest = catalog.segments.keys().map(|name| name.hour).max();
            let is_old = now.since(oldest.end()) > self.caps.age;
            if !is_old && catalog.bytes() <= self.caps.bytes {
                break;
            }
            let mut going: Vec<Name> =
                catalog.segments.keys().filter(|name| name.hour == oldest).copied().collect();
            if !is_old && newest == Some(oldest) {
                going.sort_by_key(|name| name.part);
                going.truncate(1);
            }
            for name in going {
                let path = self.path(name);
                fs::remove_file(&path).map_err(|error| Problem::unwritten(&path, error))?;
                catalog.segments.remove(&name);
            }
        }
        for name in directory::list(&self.dir).map_err(unreadable)?.1 {
            if now.since(name.hour.end()) > self.caps.age {
                let path = self.dir.join(format!("{name}.damaged"));
                fs::remove_file(&path).map_err(|error| Problem::unwritten(&path, error))?;
            }
        }
        catalog.remembered.retain(|_, came| now.since(*came) < Duration::from_secs(3600));
        let mut wanted: BTreeSet<PolicyVersion> = catalog.remembered.keys().copied().collect();
        wanted.extend(catalog.segments.values().flat_map(|entry| &entry.notes.versions));
        // A segment that can't be read may refer to any of them.
        if catalog.segments.values().all(|entry| !entry.damaged) {
            catalog.policy_bytes = policies::retain(&self.dir, &wanted).map_err(unreadable)?;
        }
        Ok(())
    }

    /// What is on the disk.
    pub fn sizes(&self) -> Sizes {
        let catalog = self.catalog();
        Sizes {
            bytes: catalog.bytes(),
            segments: catalog.segments.len(),
            oldest: catalog.segments.keys().map(|name| name.hour.start()).min(),
        }
    }

    /// The files of hours that are put together, oldest first.
    pub fn whole(&self) -> Vec<(PathBuf, u64)> {
        let catalog = self.catalog();
        let whole = catalog.segments.iter().filter(|(name, entry)| name.part.is_none() && !entry.damaged);
        whole.map(|(name, entry)| (self.path(*name), entry.bytes)).collect()
    }

    /// The last things that went wrong, oldest first.
    pub fn problems(&self) -> Vec<Problem> {
        self.catalog().problems.iter().cloned().collect()
    }

    pub fn note(&self, problem: Problem) {
        self.catalog().note(problem);
    }
}

/// Segments to be merged into one.
struct Job {
    sources: Vec<Name>,
    level: u32,
    /// Their hour is over.
    whole: bool,
}

impl Catalog {
    fn bytes(&self) -> u64 {
        self.policy_bytes + self.segments.values().map(|entry| entry.bytes).sum::<u64>()
    }

    fn note(&mut self, problem: Problem) {
        // The same thing going wrong again and again must not hide another one.
        self.problems.retain(|known| *known != problem);
        self.problems.push_back(problem);
        if self.problems.len() > PROBLEMS {
            self.problems.pop_front();
        }
    }

    /// What to merge next, the oldest first.
    fn job(&self, now: Timestamp) -> Option<Job> {
        let mut hours: BTreeMap<(Hour, Series), Vec<(Name, &Entry)>> = BTreeMap::new();
        for (name, entry) in self.segments.iter().filter(|(_, entry)| !entry.damaged) {
            hours.entry((name.hour, name.series)).or_default().push((*name, entry));
        }
        for ((hour, _), segments) in hours {
            let newest = segments.iter().map(|(_, entry)| entry.written).max().unwrap_or_default();
            let is_over = now > hour.end().after(LATE) && now.since(newest) > LATE;
            if is_over && segments.iter().any(|(name, _)| name.part.is_some()) {
                let sources = segments.iter().map(|(name, _)| *name).collect();
                return Some(Job { sources, level: 0, whole: true });
            }
            // Parts are in the order of their numbers, so older ones, of higher levels, come first.
            let parts: Vec<_> = segments.iter().filter(|(name, _)| name.part.is_some()).collect();
            let full =
                parts.chunk_by(|a, b| a.1.notes.level == b.1.notes.level).find(|run| run.len() >= FAN_IN);
            if let Some(run) = full {
                let sources = run.iter().map(|(name, _)| *name).collect();
                return Some(Job { sources, level: run[0].1.notes.level + 1, whole: false });
            }
        }
        None
    }
}

/// How many rows are sorted together, and so are in memory at once.
fn rows_at_once(series: Series) -> usize {
    match series {
        Series::Flows => GROUP_ROWS,
        // An edge's minutes of the whole hour, where there are not too many.
        Series::Edges => 16 * GROUP_ROWS,
    }
}

fn write_sorted(writer: &mut Writer<'_>, series: Series, mut table: Table) -> Parquet<()> {
    let (order, most): (&[usize], usize) = match series {
        // They came nearly in this order.
        Series::Flows => (&[flows::TIME], usize::MAX),
        Series::Edges => (&edges::ORDER, 4 * GROUP_ROWS),
    };
    table.sort_by(order);
    let rows = table.rows();
    for start in (0..rows).step_by(most) {
        writer.write(&table, start..rows.min(start.saturating_add(most)))?;
    }
    Ok(())
}

/// The policies that rows of a table refer to.
fn versions(table: &Table, series: Series) -> BTreeSet<PolicyVersion> {
    table.distinct(series.policy_version()).filter_map(|version| version.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
