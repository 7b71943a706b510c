//! Other people's programs in tests: they read our files and take our exports.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use podgate_flow::Query;

use crate::fixture::{minutes, records};
use crate::{Archive, Caps};

/// Runs a script of `tests/python`, with the packages that it needs.
fn command(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python =
        Command::new(root.join("../../scripts/archive-python")).stderr(Stdio::inherit()).output().unwrap();
    assert!(python.status.success(), "scripts/archive-python failed: its message is above");
    let python = PathBuf::from(String::from_utf8(python.stdout).unwrap().trim());
    let mut command = Command::new(python);
    command.arg(root.join("tests/python").join(script));
    command
}

/// A server that ends with the test.
pub(crate) struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    pub fn start(script: &str) -> Server {
        let mut child = command(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Server { child, input, output: BufReader::new(output) }
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the server ended: its message is above");
        line.trim().to_owned()
    }

    /// Ends a line of its input.
    pub fn enter(&mut self) {
        self.input.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn duckdb_pandas_and_arrow_read_the_files_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let caps = Caps { age: std::time::Duration::from_secs(1 << 40), ..Caps::default() };
    let archive = Archive::open(dir.path(), caps).unwrap();
    let (records, minutes) = (records(3000), minutes(30, 5));
    archive.append(&records[..1000]);
    archive.flush();
    archive.append(&records[1000..]);
    archive.append_edges(&minutes);
    archive.flush();
    assert_eq!(archive.flows(&Query::default()).unwrap().found.len(), 3000);
    drop(archive);

    let output = command("read.py").arg(dir.path()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "read.py failed: its message is above");
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let egress = records.iter().filter(|record| record.egress.is_some()).count();
    assert_eq!(seen["duckdb_flows"], serde_json::json!([3000, 3000, egress]));
    let first = records[0].id.to_string();
    assert_eq!(seen["duckdb_first"], serde_json::json!(["2026-11-23T14:00:00.000000", first]));
    assert_eq!(seen["duckdb_within"], 2000);
    assert_eq!(
        seen["duckdb_verdicts"],
        serde_json::json!({"allowed": 1000, "denied": 1000, "unknown": 1000})
    );
    let labels = seen["duckdb_labels"].as_array().unwrap();
    assert_eq!(labels.len(), 5, "{labels:?}");
    let bytes: u64 = minutes.iter().map(|minute| minute.totals.bytes).sum();
    assert_eq!(seen["duckdb_bytes"], bytes);
    assert_eq!(seen["pandas_bytes"], bytes);
    assert_eq!(seen["pandas_flows"], 3000);
    assert_eq!(seen["pandas_first"], "2026-11-23T14:00:00+00:00");
    let suppressed: u64 = records.iter().map(|record| record.suppressed).sum();
    assert_eq!(seen["pandas_suppressed"], suppressed);
    assert_eq!(seen["arrow_denied"], 1000);
    for (reader, column, wanted) in [
        ("duckdb_types", "id", "UUID"),
        ("duckdb_types", "time", "TIMESTAMP WITH TIME ZONE"),
        ("duckdb_types", "verdict", "VARCHAR"),
        ("duckdb_types", "source_port", "USMALLINT"),
        ("duckdb_types", "source_labels", "JSON"),
        ("duckdb_types", "reply", "BOOLEAN"),
        ("duckdb_types", "egress_rule", "UINTEGER"),
        ("duckdb_edge_types", "bytes", "UBIGINT"),
        ("duckdb_edge_types", "minute", "TIMESTAMP WITH TIME ZONE"),
        ("pandas_types", "time", "datetime64[us, UTC]"),
        ("pandas_types", "source_port", "uint16"),
        ("pandas_types", "suppressed", "uint64"),
        ("pandas_types", "cut", "bool"),
    ] {
        assert_eq!(seen[reader][column], wanted, "{reader} {column}");
    }
}
