//! Copies of the node's flows for other systems: OpenTelemetry, ClickHouse, S3-compatible storage.

use std::sync::Arc;

use podgate_archive::Archive;
use podgate_archive::export::{Bucket, ClickHouse, Export, ExportState, Failure, Otlp, Sink, Upload};
use podgate_flow::{EdgeMinute, FlowRecord, History};

use crate::error::Error;
use crate::options::{ClickHouseOptions, ExportOptions};

/// What is sent elsewhere while the agent runs.
#[derive(Default)]
pub(crate) struct Exports {
    /// Where to, as metrics and messages call it.
    streams: Vec<(&'static str, Export)>,
    upload: Option<Upload>,
}

/// How one of them is doing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) to: &'static str,
    /// Records, minutes or files that were taken.
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    /// Requests that failed, where they are counted.
    pub(crate) failures: u64,
    pub(crate) trouble: Option<String>,
}

impl Exports {
    /// Sends what comes into the history from now on, and the archive's hours.
    pub(crate) fn start(
        options: &ExportOptions,
        node: &str,
        history: &Arc<History>,
        archive: Option<&Arc<Archive>>,
    ) -> Result<Exports, Error> {
        let mut exports = Exports::default();
        if let Some(otlp) = &options.otlp {
            let sink = Otlp::new(otlp.endpoint.as_str(), otlp.headers.clone(), &options.cluster);
            exports.add("otlp", history, sink)?;
        }
        if let Some(clickhouse) = &options.clickhouse {
            exports.add("clickhouse", history, Tables::new(clickhouse))?;
        }
        if let Some(bucket) = &options.s3 {
            let archive = archive.ok_or(Error::NothingToUpload)?;
            let prefix = match bucket.prefix.trim_matches('/') {
                "" => node.to_owned(),
                prefix => format!("{prefix}/{node}"),
            };
            let bucket = Bucket { prefix, ..bucket.clone() };
            exports.upload = Some(Upload::start(archive.clone(), bucket).map_err(Error::Start)?);
        }
        Ok(exports)
    }

    fn add(
        &mut self,
        to: &'static str,
        history: &Arc<History>,
        sink: impl Sink + 'static,
    ) -> Result<(), Error> {
        self.streams.push((to, Export::start(history.clone(), sink).map_err(Error::Start)?));
        Ok(())
    }

    /// Hands over minutes that ended; records are in the history.
    pub(crate) fn append_edges(&self, minutes: &[Arc<EdgeMinute>]) {
        if !minutes.is_empty() {
            self.streams.iter().for_each(|(_, export)| export.append_edges(minutes));
        }
    }

    pub(crate) fn progress(&self) -> Vec<Progress> {
        let streams = self.streams.iter().map(|(to, export)| {
            let ExportState { flows, flows_lost, edges, edges_lost, failures, trouble } = export.state();
            Progress { to, sent: flows + edges, lost: flows_lost + edges_lost, failures, trouble }
        });
        let uploads = self.upload.iter().map(|upload| {
            let state = upload.state();
            Progress { to: "s3", sent: state.uploaded, lost: 0, failures: 0, trouble: state.trouble }
        });
        streams.chain(uploads).collect()
    }
}

/// A database whose tables are made first, if that is wanted.
struct Tables {
    database: ClickHouse,
    are_there: bool,
}

impl Tables {
    fn new(options: &ClickHouseOptions) -> Tables {
        let ClickHouseOptions { url, database, user, password, create } = options;
        Tables {
            database: ClickHouse::new(url.as_str(), database, user, password.clone()),
            are_there: !create,
        }
    }

    fn ready(&mut self) -> Result<&mut ClickHouse, Failure> {
        if !self.are_there {
            // Without its tables no row is refused for good: somebody may still make them, or allow it.
            self.database.create().map_err(|failure| Failure { is_passing: true, ..failure })?;
            self.are_there = true;
        }
        Ok(&mut self.database)
    }
}

impl Sink for Tables {
    fn flows(&mut self, records: &[Arc<FlowRecord>]) -> Result<u64, Failure> {
        self.ready()?.flows(records)
    }

    fn edges(&mut self, minutes: &[Arc<EdgeMinute>]) -> Result<u64, Failure> {
        self.ready()?.edges(minutes)
    }
}

#[cfg(test)]
mod tests;
