//! Reads an archive, whether or not somebody writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;
use podgate_api::Object;
use podgate_flow::{EdgeMinute, FlowRecord, PolicyVersion, Query, Take, Timestamp};

use crate::directory::{Found as There, Opened, Series, find};
use crate::edges::Minutes;
use crate::flows::Records;
use crate::table::Table;
use crate::{Problem, policies};

/// What was found, and which files could not say what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// In order of time.
    pub found: Vec<T>,
    /// Files that could not be read.
    pub problems: Vec<Problem>,
}

/// An archive that another process may be writing.
#[derive(Clone, Debug)]
pub struct Reader {
    dir: PathBuf,
}

impl Reader {
    /// The archive in a directory.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Reader, Problem> {
        let dir = dir.into();
        match dir.is_dir() {
            true => Ok(Reader { dir }),
            false => Err(Problem::new(&dir, "is no directory", "name the directory of an archive")),
        }
    }

    /// Records of the past, in order of time.
    pub fn flows(&self, query: &Query) -> Result<Found<FlowRecord>, Problem> {
        flows(&self.dir, query)
    }

    /// Hands over all records of the past that a query accepts, hour by hour, an hour's in no order, until `take` returns
    /// false. Returns the files that could not say what they hold.
    pub fn each_flow(
        &self,
        query: &Query,
        mut take: impl FnMut(FlowRecord) -> bool,
    ) -> Result<Vec<Problem>, Problem> {
        let there = Range::of(query).find(&self.dir)?;
        let mut problems = there.problems;
        for group in groups(&there.segments, Range::of(query)) {
            match accepted(&group, query) {
                Ok(records) => {
                    if !records.into_iter().all(&mut take) {
                        break;
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        Ok(problems)
    }

    /// Minutes that overlap the time from `since` on and before `until`, in order of time.
    pub fn edges(&self, since: Timestamp, until: Timestamp) -> Result<Found<EdgeMinute>, Problem> {
        edges(&self.dir, since, until)
    }

    /// The policies of a version; `None`: nobody remembers them.
    pub fn policies(&self, version: PolicyVersion) -> Result<Option<Vec<Object>>, Problem> {
        policies::read(&self.dir, version)
    }
}

/// A row group with the times in it.
struct Group<'a> {
    segment: &'a Opened,
    group: usize,
    first: Timestamp,
    last: Timestamp,
}

/// A time, from its beginning on and before its end.
#[derive(Clone, Copy)]
struct Range {
    since: Timestamp,
    until: Timestamp,
}

impl Range {
    fn of(query: &Query) -> Range {
        let until = query.until.unwrap_or(Timestamp(u64::MAX));
        Range { since: query.since.unwrap_or_default(), until }
    }

    fn find(self, dir: &Path) -> Result<There, Problem> {
        find(dir, Series::Flows, self.since, self.until)
    }

    /// Whether a time of which a file says the microsecond may lie in it.
    fn may_have(self, micros: u64) -> bool {
        (self.since.0 / 1000..self.until.0.div_ceil(1000)).contains(&micros)
    }
}

pub(crate) fn flows(dir: &Path, query: &Query) -> Result<Found<FlowRecord>, Problem> {
    let range = Range::of(query);
    let there = range.find(dir)?;
    let mut groups = groups(&there.segments, range);
    if let Take::Last(_) = query.take {
        groups.sort_by_key(|group| std::cmp::Reverse(group.last));
    }
    let mut problems = there.problems;
    let mut found: Vec<Ordered> = Vec::new();
    for group in groups {
        if is_enough(query, &found, &group) {
            break;
        }
        match accepted(&group, query) {
            Ok(records) => found.extend(records.into_iter().map(Ordered)),
            Err(problem) => problems.push(problem),
        }
        // What is more than is wanted would only take memory.
        if !matches!(query.take, Take::All) {
            found = query.finish(found);
        }
    }
    let found = query.finish(found).into_iter().map(|Ordered(record)| record).collect();
    Ok(Found { found, problems })
}

/// The records of a row group that a query accepts.
fn accepted(group: &Group<'_>, query: &Query) -> Result<Vec<FlowRecord>, Problem> {
    let range = Range::of(query);
    let mut records = Records::default();
    read(group, |table| {
        let mut found = Vec::new();
        for row in 0..table.rows() {
            if range.may_have(table.value(Series::Flows.time(), row).unwrap_or_default() as u64) {
                let record = records.read(table, row)?;
                if query.accepts(&record) {
                    found.push(record);
                }
            }
        }
        Ok(found)
    })
}

/// A record as [`Query::finish`] takes them.
struct Ordered(FlowRecord);

impl AsRef<FlowRecord> for Ordered {
    fn as_ref(&self) -> &FlowRecord {
        &self.0
    }
}

/// Whether no record of a row group, nor of those that come after it, could be among those wanted.
fn is_enough(query: &Query, found: &[Ordered], group: &Group<'_>) -> bool {
    match query.take {
        Take::All => false,
        Take::First(count) => {
            found.len() >= count && found.last().is_none_or(|Ordered(last)| group.first > last.time)
        }
        Take::Last(count) => {
            found.len() >= count && found.first().is_none_or(|Ordered(first)| group.last < first.time)
        }
    }
}

pub(crate) fn edges(dir: &Path, since: Timestamp, until: Timestamp) -> Result<Found<EdgeMinute>, Problem> {
    const MINUTE: u64 = 60_000_000_000;
    // A minute that began before may reach into the time asked for.
    let range = Range { since: Timestamp(since.0.saturating_sub(MINUTE - 1)), until };
    let there = find(dir, Series::Edges, range.since, until)?;
    let (mut found, mut problems) = (Vec::new(), there.problems);
    for group in groups(&there.segments, range) {
        let mut minutes = Minutes::default();
        let read = read(&group, |table| {
            let may = |row: &usize| {
                range.may_have(table.value(Series::Edges.time(), *row).unwrap_or_default() as u64)
            };
            let read = (0..table.rows()).filter(may).map(|row| minutes.read(table, row));
            // Minutes begin with a microsecond: what is read back is exact.
            let is_in = |minute: &EdgeMinute| (range.since..range.until).contains(&minute.minute);
            read.filter(|minute| minute.as_ref().map_or(true, is_in)).collect::<Result<Vec<_>, _>>()
        });
        match read {
            Ok(minutes) => found.extend(minutes),
            Err(problem) => problems.push(problem),
        }
    }
    found.sort_by(|a, b| (a.minute, &a.node, &a.edge).cmp(&(b.minute, &b.node, &b.edge)));
    Ok(Found { found, problems })
}

/// The row groups that reach into a time, in the order of their beginning.
fn groups(segments: &[Opened], range: Range) -> Vec<Group<'_>> {
    let all =
        segments.iter().flat_map(|segment| (0..segment.reader.groups()).map(move |group| (segment, group)));
    let timed = all.map(|(segment, group)| {
        let (first, last) = times(segment, group);
        Group { segment, group, first, last }
    });
    let mut groups: Vec<_> =
        timed.filter(|group| group.last >= range.since && group.first < range.until).collect();
    groups.sort_by_key(|group| group.first);
    groups
}

/// The times that a row group reaches from and to.
pub(crate) fn times(segment: &Opened, group: usize) -> (Timestamp, Timestamp) {
    match segment.reader.times(group, segment.name.series.time()) {
        // A microsecond in a file stands for the thousand nanoseconds from it on.
        Some((first, last)) => (Timestamp(first as u64 * 1000), Timestamp(last as u64 * 1000 + 999)),
        None => (segment.name.hour.start(), segment.name.hour.end()),
    }
}

/// All records of a row group, as they come.
pub(crate) fn records(segment: &Opened, group: usize) -> Result<Vec<Arc<FlowRecord>>, Problem> {
    let (first, last) = times(segment, group);
    let mut records = Records::default();
    read(&Group { segment, group, first, last }, |table| {
        (0..table.rows()).map(|row| records.read(table, row).map(Arc::new)).collect()
    })
}

fn read<T>(
    group: &Group<'_>,
    rows: impl FnOnce(&Table) -> Result<Vec<T>, String>,
) -> Result<Vec<T>, Problem> {
    let table = group.segment.reader.read(group.group);
    let read = table.and_then(|table| rows(&table).map_err(ParquetError::General));
    read.map_err(|error| Problem::damaged(&group.segment.path, error))
}
