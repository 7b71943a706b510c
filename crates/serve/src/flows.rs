//! Flows that were seen: filters, pages, time, streams, stories.

pub mod filters;
mod page;
pub mod seen;
pub mod story;
mod timeline;

use std::sync::Arc;

use podgate_archive::Problem;
use podgate_flow::{Filter, FlowRecord, FlowVerdict, Losses, Query, Take, Timestamp};
use podgate_policy::Verdict;

pub use page::page;
pub use timeline::timeline;

use crate::ask::{Ask, Window};
use crate::fault::Fault;
use crate::state::Server;

/// The newest records of an archive that are kept in memory, and the most that one answer is made
/// from.
pub const MOST: usize = 200_000;

/// The records of a window that fit, in order of time.
pub fn records(server: &Server, window: Window, filter: Filter) -> Result<Vec<Arc<FlowRecord>>, Fault> {
    ask(server, Query { filter, since: Some(window.since), until: Some(window.until), take: Take::All })
}

/// The records that are asked for, from the history and, where that doesn't reach, from the archive.
pub fn ask(server: &Server, query: Query) -> Result<Vec<Arc<FlowRecord>>, Fault> {
    let history = server.source.history.as_ref();
    let mut recent = history.map(|history| history.query(&query)).unwrap_or_default();
    let Some(archive) = &server.archive else { return Ok(recent) };
    let (since, until) = (query.since.unwrap_or_default(), query.until.unwrap_or(Timestamp(u64::MAX)));
    let oldest = history.and_then(|history| history.oldest());
    let until = oldest.map_or(until, |oldest| oldest.min(until));
    let most = match query.take {
        Take::Last(count) => count.saturating_sub(recent.len()),
        Take::All | Take::First(_) => MOST,
    };
    if since >= until || most == 0 {
        return Ok(recent);
    }
    let query = Query { until: Some(until), take: Take::Last(most), ..query };
    let mut all = archive.flows(&query).map_err(unreadable)?.found;
    all.append(&mut recent);
    Ok(all)
}

/// An archive that can't be read is no fault of whoever asks.
pub fn unreadable(problem: Problem) -> Fault {
    Fault::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, problem.to_string())
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
