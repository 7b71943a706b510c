//! Flows from files: a JSON value a line, as podgate's own commands write them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use podgate_advise::{Collector, Judge, Seen};
use podgate_api::Object;
use podgate_flow::FlowRecord;
use podgate_lab::enforce::Reply;

use crate::outcome::Failure;
use crate::style;

/// Where a command takes flows from.
#[derive(Debug, Args)]
pub struct FlowArguments {
    /// Flows that were seen: a file with a JSON value a line, as `podgate lab watch -o json` writes them; `-` for
    /// standard input. May be given several times.
    #[arg(long = "input-file", value_name = "PATH", required = true, help_heading = "Flows")]
    pub input_files: Vec<PathBuf>,
}

/// A line of a file.
pub enum Line {
    /// A record.
    Flow(Box<FlowRecord>),
    /// So many flows never became records.
    Lost(u64),
    /// Something else that was written on purpose.
    Other,
}

impl FlowArguments {
    /// Reads all flows. `objects` say which ports pods declare.
    pub fn read(&self, objects: &[Object]) -> Result<Seen, Failure> {
        let mut collector = Collector::new();
        self.each(|line| match line {
            Line::Flow(record) => collector.take(&record),
            Line::Lost(count) => collector.lose(count),
            Line::Other => {}
        })?;
        Ok(collector.settle(Judge::serves(objects)))
    }

    /// Hands every line on, in the order of the files.
    pub fn each(&self, mut take: impl FnMut(Line)) -> Result<(), Failure> {
        let mut flows = 0;
        for path in &self.input_files {
            for_lines(path, |line| {
                flows += u64::from(matches!(line, Line::Flow(_)));
                take(line);
            })?;
        }
        if flows == 0 {
            let names: Vec<String> = self.input_files.iter().map(|path| path.display().to_string()).collect();
            return Err(Failure::bad(format!(
                "no flow in {}: record some first, for example with `podgate lab watch -o json > flows.json`",
                names.join(", ")
            )));
        }
        Ok(())
    }
}

fn for_lines(path: &Path, mut take: impl FnMut(Line)) -> Result<(), Failure> {
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |error: std::io::Error| Failure::bad(format!("read flows from {name}: {error}"));
    let file: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).map_err(failed)?),
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut text = String::new();
    for number in 1_u64.. {
        text.clear();
        if reader.read_line(&mut text).map_err(failed)? == 0 {
            break;
        }
        match parse(text.trim()) {
            Ok(line) => take(line),
            // Whoever wrote it was stopped in the middle of a line.
            Err(_) if !text.ends_with('\n') => {
                style::warning(&format!("{name}:{number}: the last line is not whole and is left out"));
            }
            Err(error) => {
                return Err(Failure::bad(format!(
                    "{name}:{number}: no flow: {error}; `podgate lab watch -o json` writes one a line"
                )));
            }
        }
    }
    Ok(())
}

/// Reads a line as podgate's watchers write it, or a record alone.
fn parse(line: &str) -> Result<Line, String> {
    if line.is_empty() {
        return Ok(Line::Other);
    }
    const OURS: [&str; 3] = ["{\"lost\":", "{\"notice\":", "{\"error\":"];
    let wrapped = line.starts_with("{\"flow\":");
    let own = match wrapped || OURS.iter().any(|start| line.starts_with(start)) {
        true => serde_json::from_str(line).map(|reply| match reply {
            Reply::Flow(record) => Line::Flow(Box::new(std::sync::Arc::unwrap_or_clone(record))),
            Reply::Lost(lost) => Line::Lost(lost.count),
            _ => Line::Other,
        }),
        false => serde_json::from_str(line).map(Line::Flow),
    };
    own.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"time":"2026-11-23T10:00:00.000000Z","node":"n1","verdict":"allowed","protocol":"TCP","source":{"ip":"10.0.0.1","port":40000,"kind":"outside"},"destination":{"ip":"10.0.0.2","port":80,"kind":"outside"}}"#;

    #[test]
    fn records_are_read_bare_and_as_watchers_print_them() {
        for text in [RECORD.to_owned(), format!("{{\"flow\":{RECORD}}}")] {
            match parse(&text) {
                Ok(Line::Flow(record)) => assert_eq!(record.destination.port, 80),
                _ => panic!("{text} is a flow"),
            }
        }
        assert!(matches!(parse(r#"{"lost":{"count":7,"by":"kernel"}}"#), Ok(Line::Lost(7))));
        assert!(matches!(parse(""), Ok(Line::Other)));
        assert!(parse("{\"flow\":{\"time\":7}}").is_err());
        assert!(parse("shop/web -> shop/db").is_err());
    }
}
