//! The files of an archive: their names, which of them count, and what becomes of the others.
//!
//! ```text
//! flows-2026-11-23T14.00000017.parquet   a few seconds; or, noted inside, the parts from one number on
//! flows-2026-11-23T14.parquet            the whole hour: takes the place of the parts up to the number noted
//! edges-...                              the same for totals
//! policies-00c0ffee00c0ffee.json.zst     the policies of a version
//! *.tmp                                  being written
//! *.damaged                              could not be read when its hour was put together
//! ```
//!
//! A file is written under a passing name, synced and renamed, so that each one is whole. The merged file takes
//! its name before what it was merged from goes; what it stands for is noted in it, so that nothing counts twice.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use podgate_flow::{PolicyVersion, Timestamp};

use crate::segment::Reader;
use crate::table::Column;
use crate::{Problem, edges, flows};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Series {
    Flows,
    Edges,
}

impl Series {
    pub const ALL: [Series; 2] = [Series::Flows, Series::Edges];

    pub fn name(self) -> &'static str {
        match self {
            Series::Flows => "flows",
            Series::Edges => "edges",
        }
    }

    pub fn schema(self) -> &'static [Column] {
        match self {
            Series::Flows => &flows::SCHEMA,
            Series::Edges => &edges::SCHEMA,
        }
    }

    /// The column with the time.
    pub fn time(self) -> usize {
        match self {
            Series::Flows => flows::TIME,
            Series::Edges => edges::MINUTE,
        }
    }

    pub fn policy_version(self) -> usize {
        match self {
            Series::Flows => flows::POLICY_VERSION,
            Series::Edges => edges::POLICY_VERSION,
        }
    }
}

/// An hour, counted from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hour(pub u64);

const HOUR: u64 = 3_600_000_000_000;

impl Hour {
    pub fn of(time: Timestamp) -> Hour {
        Hour(time.0 / HOUR)
    }

    pub fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(HOUR))
    }

    pub fn end(self) -> Timestamp {
        Timestamp(self.0.saturating_add(1).saturating_mul(HOUR))
    }

    fn parse(text: &str) -> Option<Hour> {
        let time = serde_json::from_value::<Timestamp>(format!("{text}:00:00Z").into()).ok()?;
        Some(Hour::of(time)).filter(|hour| hour.to_string() == text)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start().to_string()[..13])
    }
}

/// A segment by name. The whole hour comes before its parts, as what it holds is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub hour: Hour,
    pub series: Series,
    /// The number of the part; none for the whole hour.
    pub part: Option<u64>,
}

impl Name {
    pub fn parse(name: &str) -> Option<Name> {
        let stem = name.strip_suffix(".parquet")?;
        let (series, rest) = stem.split_once('-')?;
        let series = *Series::ALL.iter().find(|known| known.name() == series)?;
        let (hour, part) = match rest.split_once('.') {
            Some((hour, part)) => (hour, Some(part.parse().ok()?)),
            None => (rest, None),
        };
        Some(Name { hour: Hour::parse(hour)?, series, part })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.series.name(), self.hour)?;
        if let Some(part) = self.part {
            write!(f, ".{part:08}")?;
        }
        f.write_str(".parquet")
    }
}

/// What a segment says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// The first part that is in it.
    pub from: u64,
    /// The last one.
    pub through: u64,
    /// How often it was merged: files of one level are merged into one of the next.
    pub level: u32,
    /// The policies that its rows refer to.
    pub versions: BTreeSet<PolicyVersion>,
}

impl Notes {
    pub fn read(reader: &Reader<'_>) -> Notes {
        let number = |key| reader.note(key).and_then(|text| text.parse().ok());
        let versions = reader.note("podgate.policy_versions").unwrap_or_default();
        Notes {
            from: number("podgate.from").unwrap_or_default(),
            through: number("podgate.through").unwrap_or_default(),
            level: number("podgate.level").unwrap_or_default() as u32,
            versions: versions.split(',').filter_map(|version| version.parse().ok()).collect(),
        }
    }

    pub fn written(&self) -> Vec<(&'static str, String)> {
        let versions: Vec<String> = self.versions.iter().map(ToString::to_string).collect();
        vec![
            ("podgate.from", self.from.to_string()),
            ("podgate.through", self.through.to_string()),
            ("podgate.level", self.level.to_string()),
            ("podgate.policy_versions", versions.join(",")),
        ]
    }
}

/// The names of the segments in a directory, in order, and of damaged ones that were set aside.
pub(crate) fn list(dir: &Path) -> io::Result<(Vec<Name>, Vec<Name>)> {
    let (mut names, mut damaged) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(name) = Name::parse(name) {
            names.push(name);
        } else if let Some(name) = name.strip_suffix(".damaged").and_then(Name::parse) {
            damaged.push(name);
        }
    }
    names.sort();
    damaged.sort();
    Ok((names, damaged))
}

/// A segment that was opened: it can be read even when its name is gone.
pub(crate) struct Opened {
    pub name: Name,
    pub path: PathBuf,
    pub bytes: u64,
    pub notes: Notes,
    pub reader: Reader<'static>,
}

/// Opens one segment; `None`: it is gone.
pub(crate) fn open(dir: &Path, name: Name) -> Option<Result<Opened, Problem>> {
    let path = dir.join(name.to_string());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            return Some(Err(Problem::new(&path, error, "let podgate read it, as its other files")));
        }
    };
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    Some(match Reader::new(file, name.series.schema()) {
        Ok(reader) => Ok(Opened { name, path, bytes, notes: Notes::read(&reader), reader }),
        Err(error) => Err(Problem::damaged(&path, error)),
    })
}

/// What there is of a series between two times.
pub(crate) struct Found {
    pub segments: Vec<Opened>,
    pub problems: Vec<Problem>,
}

/// Opens all segments that may hold something of the time asked for, while others may be merging them.
pub(crate) fn find(dir: &Path, series: Series, since: Timestamp, until: Timestamp) -> Result<Found, Problem> {
    let is_asked =
        |name: &Name| name.series == series && name.hour.end() > since && name.hour.start() < until;
    let names = || {
        let (mut names, mut damaged) =
            list(dir).map_err(|error| Problem::new(dir, error, "name a directory that podgate can read"))?;
        names.retain(is_asked);
        damaged.retain(is_asked);
        Ok((names, damaged))
    };
    let mut listed: (Vec<Name>, Vec<Name>) = names()?;
    loop {
        let (mut segments, mut problems) = (Vec::new(), Vec::new());
        for name in &listed.0 {
            match open(dir, *name) {
                Some(Ok(opened)) => segments.push(opened),
                Some(Err(problem)) => problems.push(problem),
                None => {}
            }
        }
        // A directory that changed meanwhile may have shown neither the merged file nor what went into it.
        let again = names()?;
        if again != listed {
            listed = again;
            continue;
        }
        problems.extend(listed.1.iter().map(|name| Problem::set_aside(dir, name)));
        drop_superseded(&mut segments);
        return Ok(Found { segments, problems });
    }
}

/// Leaves out segments whose rows another one holds too. Returns their names.
pub(crate) fn drop_superseded(segments: &mut Vec<Opened>) -> Vec<Name> {
    let holds = |holder: &Opened, name: Name| {
        (holder.name.series, holder.name.hour) == (name.series, name.hour)
            && name.part.is_some_and(|part| part >= holder.notes.from && part <= holder.notes.through)
            && holder.name != name
    };
    let names: Vec<Name> = segments.iter().map(|segment| segment.name).collect();
    let gone: Vec<Name> =
        names.into_iter().filter(|name| segments.iter().any(|holder| holds(holder, *name))).collect();
    segments.retain(|segment| !gone.contains(&segment.name));
    gone
}

/// Gives a file that was written its name, for good.
pub(crate) fn put(dir: &Path, passing: &Path, name: &Path) -> io::Result<()> {
    fs::rename(passing, name)?;
    File::open(dir)?.sync_all()
}
