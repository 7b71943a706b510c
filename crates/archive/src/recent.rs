//! The newest records of an archive, kept in memory: a file is read once, however often somebody asks.
//!
//! ```text
//! directory --names, stamps--> new files? --no--> what was kept
//!                                  | yes
//!                                  v
//!                      their rows are read; of a file that was merged from others that are kept, none
//! ```
//!
//! Files don't change once they have their names, so a name with the same stamp holds what it held before.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use podgate_flow::{FlowRecord, Query, Take, Timestamp};

use crate::Problem;
use crate::directory::{Name, Notes, Opened, Series, list, open};
use crate::reader::{Found, flows, records, times};

/// The newest records of an archive that another process may be writing.
#[derive(Debug)]
pub struct Recent {
    dir: PathBuf,
    most: usize,
    kept: Mutex<Kept>,
}

/// Records that are kept, in order of time.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The records.
    pub records: Vec<Arc<FlowRecord>>,
    /// From then on all are here; 0: there are no others.
    pub since: Timestamp,
    /// Files that could not be read.
    pub problems: Vec<Problem>,
    /// Rows of files that were read because of the last change.
    pub read: usize,
}

#[derive(Debug, Default)]
struct Kept {
    listed: Listed,
    files: BTreeMap<Name, KeptFile>,
    newest: Arc<Newest>,
}

/// What a directory has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Listed {
    files: BTreeMap<Name, Stamp>,
    damaged: Vec<Name>,
}

/// What tells a file from another one of its name: its number, its length, and when it was changed in any way.
type Stamp = (u64, u64, i64, i64);

#[derive(Debug)]
struct KeptFile {
    stamp: Stamp,
    notes: Notes,
    groups: Vec<KeptGroup>,
    trouble: Option<Problem>,
}

#[derive(Debug)]
struct KeptGroup {
    first: Timestamp,
    last: Timestamp,
    rows: usize,
    /// `None`: nobody needed them so far.
    records: Option<Vec<Arc<FlowRecord>>>,
}

/// The directory changed while it was read.
struct Changed;

impl Recent {
    /// The newest records of the archive in a directory, so many of them. Those of a row group that is needed stay too.
    pub fn new(dir: impl Into<PathBuf>, most: usize) -> Recent {
        Recent { dir: dir.into(), most, kept: Mutex::default() }
    }

    /// The newest records as the files are now.
    ///
    /// # Errors
    /// When the directory can't be listed.
    pub fn newest(&self) -> Result<Arc<Newest>, Problem> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = 0;
        loop {
            let listed = self.list()?;
            if listed == kept.listed {
                return Ok(kept.newest.clone());
            }
            if let Ok(newest) = self.take_up(&mut kept, &listed, &mut read) {
                kept.newest = Arc::new(newest);
                kept.listed = listed;
            }
        }
    }

    /// Records of the past, in order of time; from the files where what is kept doesn't reach.
    ///
    /// # Errors
    /// When the directory can't be listed.
    pub fn flows(&self, query: &Query) -> Result<Found<Arc<FlowRecord>>, Problem> {
        let newest = self.newest()?;
        let (since, until) = (query.since.unwrap_or_default(), query.until.unwrap_or(Timestamp(u64::MAX)));
        let [begin, end] =
            [since, until].map(|time| newest.records.partition_point(|record| record.time < time));
        let within = newest.records.get(begin..end).unwrap_or_default();
        let mut found: Vec<_> = within.iter().filter(|record| query.accepts(record)).cloned().collect();
        let mut problems = newest.problems.clone();
        let left = match query.take {
            Take::Last(count) => Take::Last(count.saturating_sub(found.len())),
            other => other,
        };
        if since < newest.since.min(until) && left != Take::Last(0) {
            let query = Query { until: Some(newest.since.min(until)), take: left, ..query.clone() };
            let older = flows(&self.dir, &query)?;
            problems.extend(older.problems.into_iter().filter(|problem| !newest.problems.contains(problem)));
            found.splice(0..0, older.found.into_iter().map(Arc::new));
        }
        Ok(Found { found: query.finish(found), problems })
    }

    fn list(&self) -> Result<Listed, Problem> {
        let unusable =
            |error: io::Error| Problem::new(&self.dir, error, "name a directory that podgate can read");
        loop {
            let (names, damaged) = list(&self.dir).map_err(unusable)?;
            let of_flows = |names: Vec<Name>| names.into_iter().filter(|name| name.series == Series::Flows);
            let stamp = |name: Name| {
                let meta = std::fs::metadata(self.dir.join(name.to_string()))?;
                Ok((name, (meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec())))
            };
            let files: io::Result<_> = of_flows(names).map(stamp).collect();
            match files {
                Ok(files) => return Ok(Listed { files, damaged: of_flows(damaged).collect() }),
                // Merged meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unusable(error)),
            }
        }
    }

    /// Reads what is new. Fails where a file went meanwhile; what was read stays.
    fn take_up(&self, kept: &mut Kept, listed: &Listed, read: &mut usize) -> Result<Newest, Changed> {
        let mut opened = BTreeMap::new();
        for (name, stamp) in &listed.files {
            if kept.files.get(name).is_some_and(|file| file.stamp == *stamp) {
                continue;
            }
            let mut file = match open(&self.dir, *name).ok_or(Changed)? {
                Ok(segment) => {
                    let file = KeptFile::new(&segment, *stamp);
                    opened.insert(*name, segment);
                    file
                }
                Err(problem) => {
                    // It holds no part.
                    let notes = Notes { from: u64::MAX, ..Notes::default() };
                    KeptFile { stamp: *stamp, notes, groups: Vec::new(), trouble: Some(problem) }
                }
            };
            file.adopt(*name, &mut kept.files);
            kept.files.insert(*name, file);
        }
        kept.files.retain(|name, _| listed.files.contains_key(name));
        let superseded: Vec<Name> =
            kept.files.keys().copied().filter(|name| is_held(&kept.files, *name)).collect();
        for name in &superseded {
            kept.files
                .get_mut(name)
                .into_iter()
                .flat_map(|file| &mut file.groups)
                .for_each(|group| group.records = None);
        }
        let since = self.load(kept, &superseded, &opened, read)?;
        Ok(self.sum_up(kept, &superseded, listed, since, *read))
    }

    /// Loads row groups, the newest first, until there are as many records as are kept. Returns from when on all are
    /// there.
    fn load(
        &self,
        kept: &mut Kept,
        superseded: &[Name],
        opened: &BTreeMap<Name, Opened>,
        read: &mut usize,
    ) -> Result<Timestamp, Changed> {
        let files = kept.files.iter().filter(|(name, _)| !superseded.contains(name));
        let mut groups: Vec<_> = files
            .flat_map(|(name, file)| {
                file.groups
                    .iter()
                    .enumerate()
                    .map(|(at, group)| (group.last, group.first, group.rows, *name, at))
            })
            .collect();
        groups.sort_by_key(|group| std::cmp::Reverse(*group));
        for (at, (last, _, _, name, number)) in groups.iter().enumerate() {
            let newer = groups[..at].iter().filter(|(_, first, ..)| first > last);
            if newer.map(|(_, _, rows, ..)| rows).sum::<usize>() >= self.most {
                return Ok(Timestamp(last.0.saturating_add(1)));
            }
            let Some(file) = kept.files.get_mut(name) else { continue };
            if file.groups[*number].records.is_some() {
                continue;
            }
            let again;
            let segment = match opened.get(name) {
                Some(segment) => segment,
                None => match open(&self.dir, *name).ok_or(Changed)? {
                    Ok(segment) => {
                        again = segment;
                        &again
                    }
                    Err(problem) => {
                        file.trouble = Some(problem);
                        continue;
                    }
                },
            };
            let found = records(segment, *number).unwrap_or_else(|problem| {
                file.trouble = Some(problem);
                Vec::new()
            });
            *read += found.len();
            file.groups[*number].records = Some(found);
        }
        Ok(Timestamp(0))
    }

    fn sum_up(
        &self,
        kept: &mut Kept,
        superseded: &[Name],
        listed: &Listed,
        mut since: Timestamp,
        read: usize,
    ) -> Newest {
        let loaded =
            kept.files.values().flat_map(|file| &file.groups).filter_map(|group| group.records.as_ref());
        let mut records: Vec<_> = loaded.flatten().filter(|record| record.time >= since).cloned().collect();
        records.sort_by_key(|record| (record.time, record.id));
        if let Some(mut cut) = records.len().checked_sub(self.most).filter(|cut| *cut > 0) {
            // All of one time, or none.
            while cut > 0 && records[cut - 1].time == records[cut].time {
                cut -= 1;
            }
            if cut > 0 {
                since = records[cut].time;
                records.drain(..cut);
            }
        }
        for group in kept.files.values_mut().flat_map(|file| &mut file.groups) {
            if group.last < since {
                group.records = None;
            }
        }
        let troubled = kept.files.iter().filter(|(name, _)| !superseded.contains(name));
        let mut problems: Vec<Problem> = troubled.filter_map(|(_, file)| file.trouble.clone()).collect();
        problems.extend(listed.damaged.iter().map(|name| Problem::set_aside(&self.dir, name)));
        Newest { records, since, problems, read }
    }
}

impl KeptFile {
    fn new(segment: &Opened, stamp: Stamp) -> KeptFile {
        let group = |number| {
            let (first, last) = times(segment, number);
            KeptGroup { first, last, rows: segment.reader.rows(number), records: None }
        };
        let groups = (0..segment.reader.groups()).map(group).collect();
        KeptFile { stamp, notes: segment.notes.clone(), groups, trouble: None }
    }

    /// Takes the records of files that this one was merged from, where all of them are kept.
    fn adopt(&mut self, name: Name, files: &mut BTreeMap<Name, KeptFile>) {
        let is_in = |(other, file): &(&Name, &KeptFile)| match other.part {
            Some(part) => (self.notes.from..=self.notes.through).contains(&part),
            None => **other == name && file.notes.through <= self.notes.through,
        };
        let of_the_hour =
            files.iter().filter(|(other, _)| (other.series, other.hour) == (name.series, name.hour));
        let merged: Vec<Name> = of_the_hour
            .filter(is_in)
            .map(|(other, _)| *other)
            .filter(|other| !is_held(files, *other))
            .collect();
        let groups = || merged.iter().filter_map(|name| files.get(name)).flat_map(|file| &file.groups);
        let rows: usize = self.groups.iter().map(|group| group.rows).sum();
        let is_whole = groups().all(|group| group.records.is_some())
            && groups().map(|group| group.rows).sum::<usize>() == rows
            && rows > 0;
        if !is_whole {
            return;
        }
        let mut all = Vec::with_capacity(rows);
        for file in merged {
            let groups = files.get_mut(&file).into_iter().flat_map(|file| &mut file.groups);
            groups.filter_map(|group| group.records.take()).for_each(|records| all.extend(records));
        }
        let first = self.groups.iter().map(|group| group.first).min().unwrap_or_default();
        let last = self.groups.iter().map(|group| group.last).max().unwrap_or_default();
        self.groups = vec![KeptGroup { first, last, rows, records: Some(all) }];
    }
}

/// Whether another file holds what a part holds.
fn is_held(files: &BTreeMap<Name, KeptFile>, name: Name) -> bool {
    let Some(part) = name.part else { return false };
    files.iter().any(|(other, file)| {
        (other.series, other.hour) == (name.series, name.hour)
            && (file.notes.from..=file.notes.through).contains(&part)
            && *other != name
    })
}

#[cfg(test)]
mod tests;
