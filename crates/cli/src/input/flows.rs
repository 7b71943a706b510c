//! Flows that were seen: from a server, from an archive on disk, or from files; the same for all commands that read
//! them.

pub mod server;
mod time;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use podgate_advise::why::PolicyArchive;
use podgate_advise::{Collector, Judge, Lost, Seen, second};
use podgate_api::Object;
use podgate_archive::Reader;
use podgate_flow::{EdgeMinute, FlowRecord, PolicyVersion, Take};
use podgate_hubble::choice::query;
use podgate_hubble::client::Address;
use podgate_hubble::proto::podgate::v1::{GetRecordsRequest, Losses};
use podgate_hubble::{Heard, ReadError, read_lines};

use crate::outcome::{Failure, INTERRUPTED};
use crate::render::observe::nodes;
use crate::style;

/// Where a command takes flows from, and of which time.
#[derive(Clone, Debug, Args)]
pub struct FlowArguments {
    /// The newest: of all nodes together.
    #[arg(long, value_name = "COUNT", help_heading = "Flows")]
    last: Option<u64>,
    /// From this time on: 5m, 1h30m, 2026-01-31T10:00:00Z, 2026-01-31.
    #[arg(long, value_name = "TIME", value_parser = time::time, help_heading = "Flows")]
    since: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = time::time, help_heading = "Flows")]
    until: Option<Timestamp>,
    /// Read flows from a file instead of a server: what `podgate observe -o record` or `-o jsonpb`, `podgate lab watch
    /// -o json` or `hubble observe -o jsonpb` wrote; `-` for standard input. May be given several times.
    #[arg(long = "input-file", value_name = "PATH", help_heading = "Flows")]
    pub input_files: Vec<PathBuf>,
    /// Read flows from an archive on disk: the directory in which an agent or a lab keeps them.
    #[arg(long = "flows", value_name = "DIR", conflicts_with = "input_files", help_heading = "Flows")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    server: server::Server,
}

/// In which order flows are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By their time.
    OfTime,
    /// As they are found, which takes no memory.
    Any,
}

/// What is missing, beside what was handed over.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    /// Ctrl-C ended the reading.
    pub interrupted: bool,
    /// Flows that got lost.
    pub losses: Losses,
    /// Files of an archive that can't be read.
    pub files: u64,
}

impl FlowArguments {
    /// All that a server has since then.
    pub fn of_server(address: Address, since: Timestamp) -> FlowArguments {
        let server = server::Server::at(address);
        FlowArguments {
            last: None,
            since: Some(since),
            until: None,
            input_files: Vec::new(),
            dir: None,
            server,
        }
    }

    /// The same, from a while ago on when nothing says from when on. Files and archives are taken
    /// as they are.
    pub fn or_since(&self, ago: &str) -> FlowArguments {
        let is_elsewhere = !self.input_files.is_empty() || self.dir.is_some();
        let is_open = self.since.is_none() && self.last.is_none() && !is_elsewhere;
        let since = if is_open { time::time(ago).ok() } else { self.since };
        FlowArguments { since, ..self.clone() }
    }

    /// What is asked, without filters.
    pub fn request(&self) -> GetRecordsRequest {
        GetRecordsRequest {
            number: self.last.unwrap_or_default(),
            since: self.since.map(time::to_proto),
            until: self.until.map(time::to_proto),
            ..GetRecordsRequest::default()
        }
    }

    /// Reads all flows. `objects` say which ports pods declare.
    pub fn seen(&self, objects: &[Object]) -> Result<Seen, Failure> {
        let mut collector = Collector::new();
        let missing = self.each(|record| collector.take(record))?;
        collector.lose(missing.lost());
        let seen = collector.settle(Judge::serves(objects));
        self.say_what_is_not_reached(&seen);
        Ok(seen)
    }

    /// Hands every flow on, in any order. Fails where there is none.
    pub fn each(&self, mut take: impl FnMut(&FlowRecord)) -> Result<Missing, Failure> {
        let mut flows = 0_u64;
        let missing = self.hear(self.request(), Order::Any, |record| {
            flows += 1;
            take(record);
            true
        })?;
        if missing.interrupted {
            let message = "interrupted before all flows were read".to_owned();
            return Err(Failure { message, code: INTERRUPTED });
        }
        if flows == 0 {
            let of_that_time =
                if self.since.is_some() || self.until.is_some() { " of that time" } else { "" };
            return Err(Failure::bad(match (&self.dir, self.input_files.is_empty()) {
                (Some(dir), _) => format!("no flow{of_that_time} in the archive {}", dir.display()),
                (None, true) => format!(
                    "the server has no flow{of_that_time}: an archive on disk goes further back (--flows DIR)"
                ),
                (None, false) => {
                    let names: Vec<String> =
                        self.input_files.iter().map(|path| path.display().to_string()).collect();
                    format!(
                        "no flow{of_that_time} in {}: record some first, for example with `podgate observe --all -o \
                         record > flows.json`",
                        names.join(", ")
                    )
                }
            }));
        }
        Ok(missing)
    }

    /// Hands over what was asked for until `take` returns false, and says on standard error which nodes and files can't
    /// be read.
    pub fn hear(
        &self,
        request: GetRecordsRequest,
        order: Order,
        mut take: impl FnMut(&FlowRecord) -> bool,
    ) -> Result<Missing, Failure> {
        let mut missing = Missing::default();
        if let Some(dir) = &self.dir {
            let query = query(&request, "").map_err(|error| Failure::bad(error.to_string()))?;
            let reader = self.archive()?.unwrap_or_else(|| unreachable!("a directory is named"));
            let is_streamed = order == Order::Any && query.take == Take::All;
            let problems = match is_streamed {
                true => reader.0.each_flow(&query, |record| take(&record)),
                false => reader.0.flows(&query).map(|read| {
                    let _ = read.found.iter().all(&mut take);
                    read.problems
                }),
            };
            let problems = problems
                .map_err(|error| Failure::bad(format!("read flows from {}: {error}", dir.display())))?;
            for problem in &problems {
                style::warning(&problem.to_string());
            }
            missing.files = problems.len() as u64;
            return Ok(missing);
        }
        if !self.input_files.is_empty() {
            self.hear_files(&request, order, &mut missing, take)?;
            return Ok(missing);
        }
        let read = self.server.connect()?.read(request, |heard| match heard {
            Heard::Record(record) => take(&record),
            other => missing.hear(other),
        });
        match read {
            Ok(()) => {}
            Err(ReadError::Interrupted) => missing.interrupted = true,
            Err(error) => return Err(server::failed(error)),
        }
        Ok(missing)
    }

    fn hear_files(
        &self,
        request: &GetRecordsRequest,
        order: Order,
        missing: &mut Missing,
        mut take: impl FnMut(&FlowRecord) -> bool,
    ) -> Result<(), Failure> {
        let query = query(request, "").map_err(|error| Failure::bad(error.to_string()))?;
        let is_streamed = order == Order::Any && query.take == Take::All;
        let mut kept: Vec<Box<FlowRecord>> = Vec::new();
        for path in &self.input_files {
            let is_stdin = path == Path::new("-");
            let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
            let failed = |error: std::io::Error| Failure::bad(format!("read flows from {name}: {error}"));
            let file: Box<dyn BufRead> = match is_stdin {
                true => Box::new(std::io::stdin().lock()),
                false => Box::new(BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?)),
            };
            let cut_short = read_lines(file, |heard| match heard {
                Heard::Record(record) if !query.accepts(&record) => true,
                Heard::Record(record) if is_streamed => take(&record),
                Heard::Record(record) => {
                    kept.push(record);
                    true
                }
                other => missing.hear(other),
            });
            let cut_short = cut_short.map_err(|error| match error {
                ReadError::Line { line, why } => Failure::bad(format!(
                    "{name}:{line}: no flow: {why}; `podgate observe -o record` and `hubble observe -o jsonpb` write one a line"
                )),
                ReadError::System(error) => failed(error),
                error => Failure::bad(format!("{name}: {error}")),
            })?;
            // Whoever wrote it was stopped in the middle of a line.
            if let Some(line) = cut_short {
                style::warning(&format!("{name}:{line}: the last line is not whole and is left out"));
            }
        }
        let _ = query.finish(kept).iter().all(|record| take(record));
        Ok(())
    }

    /// The archive that is named, for what else it has.
    pub fn archive(&self) -> Result<Option<Archived>, Failure> {
        let reader = self.dir.as_ref().map(Reader::open).transpose();
        reader.map(|reader| reader.map(Archived)).map_err(|error| Failure::bad(error.to_string()))
    }

    /// The exact totals of the time that is asked for, where an archive has them: of so many flows, nobody knows them.
    pub fn minutes(&self) -> Result<Vec<EdgeMinute>, Failure> {
        let Some(Archived(reader)) = self.archive()? else { return Ok(Vec::new()) };
        if self.last.is_some() {
            return Ok(Vec::new());
        }
        let since = self.since.map(nanoseconds).unwrap_or_default();
        let until = self.until.map_or(podgate_flow::Timestamp(u64::MAX), nanoseconds);
        let read = reader.edges(since, until).map_err(|problem| Failure::bad(problem.to_string()))?;
        for problem in &read.problems {
            style::warning(&problem.to_string());
        }
        Ok(read.found)
    }

    /// Nothing was seen for a while at the beginning of the time that was asked for: nothing happened, or nobody knows
    /// any more.
    fn say_what_is_not_reached(&self, seen: &Seen) {
        let (Some(since), Some(window)) = (self.since, seen.window) else { return };
        let since = nanoseconds(since);
        if self.input_files.is_empty() && window.first.since(since).as_secs() >= 60 {
            let why = match &self.dir {
                Some(_) => "nothing happened, or it is not on this disk",
                None => {
                    "nothing happened, or the server doesn't keep it that long; an archive does (--flows DIR)"
                }
            };
            style::note(&format!("no flow from {} to {}: {why}", second(since), second(window.first)));
        }
    }
}

/// A time as records have it; what was before 1970 is 1970.
fn nanoseconds(time: Timestamp) -> podgate_flow::Timestamp {
    podgate_flow::Timestamp(time.as_nanosecond().try_into().unwrap_or(0))
}

impl Missing {
    /// The same for advice from flows.
    pub fn lost(&self) -> Lost {
        let losses = &self.losses;
        Lost {
            flows: losses.kernel + losses.reader,
            since_start: losses.since_start,
            nodes: losses.nodes,
            files: self.files,
            ..Lost::default()
        }
    }

    fn hear(&mut self, heard: Heard) -> bool {
        match heard {
            Heard::Record(_) => {}
            Heard::Losses(more) => {
                let sum = &mut self.losses;
                sum.since_start |= more.since_start;
                sum.kernel += more.kernel;
                sum.suppressed += more.suppressed;
                sum.disk += more.disk;
                sum.export += more.export;
                sum.nodes += more.nodes;
                sum.reader += more.reader;
            }
            Heard::Nodes(status) => {
                if let Some(text) = nodes(&status) {
                    style::warning(&text);
                }
            }
        }
        true
    }
}

/// An archive, for those who ask it for policies.
#[derive(Debug)]
pub struct Archived(pub Reader);

impl PolicyArchive for Archived {
    fn policies(&self, version: PolicyVersion) -> Option<Vec<Object>> {
        self.0.policies(version).unwrap_or_else(|problem| {
            style::warning(&problem.to_string());
            None
        })
    }
}
