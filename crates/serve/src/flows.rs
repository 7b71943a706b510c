//! Flows that were seen: filters, pages, time, streams, stories.

pub mod filters;
mod page;
pub mod seen;
pub mod story;
mod timeline;

use std::sync::Arc;

use podgate_archive::Reader;
use podgate_flow::{Filter, FlowRecord, FlowVerdict, Losses, Query, Take, Timestamp};
use podgate_policy::Verdict;

pub use page::page;
pub use timeline::timeline;

use crate::ask::{Ask, Window};
use crate::fault::Fault;
use crate::state::Server;

/// More records of an archive than this are not looked at for one answer: the newest are.
const MOST: usize = 200_000;

/// The records of a window that fit, in order of time.
pub fn records(server: &Server, window: Window, filter: Filter) -> Result<Vec<Arc<FlowRecord>>, Fault> {
    let query = Query { filter, since: Some(window.since), until: Some(window.until), take: Take::All };
    let history = server.source.history.as_ref();
    let mut recent = history.map(|history| history.query(&query)).unwrap_or_default();
    let Some(archive) = &server.source.archive else { return Ok(recent) };
    let oldest = history.and_then(|history| history.oldest());
    let until = oldest.map_or(window.until, |oldest| oldest.min(window.until));
    if window.since >= until {
        return Ok(recent);
    }
    let query = Query { until: Some(until), take: Take::Last(MOST), ..query };
    let read = Reader::open(archive).and_then(|reader| reader.flows(&query));
    let found = read
        .map_err(|problem| Fault::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, problem.to_string()))?;
    let mut all: Vec<Arc<FlowRecord>> = found.found.into_iter().map(Arc::new).collect();
    all.append(&mut recent);
    Ok(all)
}

/// What is missing so far.
pub fn losses(server: &Server) -> Losses {
    server.source.history.as_ref().map(|history| history.losses()).unwrap_or_default()
}

/// Refuses what needs flows where none are known.
pub fn watched(ask: &Ask) -> Result<(), Fault> {
    match ask.server.is_watched() {
        true => Ok(()),
        false => Err(Fault::missing(
            "no flows are known here: serve them with `podgate ui --server`, `--flows` or `--input-file`",
        )),
    }
}

/// How many connections a record stands for.
pub fn count(record: &FlowRecord) -> u64 {
    match record.verdict {
        FlowVerdict::Denied => 1 + record.suppressed,
        FlowVerdict::Allowed | FlowVerdict::Unknown => 1,
    }
}

/// Whether staged policies would deny what was let through.
pub fn is_staged_denial(record: &FlowRecord) -> bool {
    record.verdict == FlowVerdict::Allowed
        && record.staged.as_deref().is_some_and(|staged| staged.verdict == Verdict::Denied)
}

/// The newest of some records.
pub fn newest(records: &[Arc<FlowRecord>]) -> Option<Timestamp> {
    records.last().map(|record| record.time)
}
