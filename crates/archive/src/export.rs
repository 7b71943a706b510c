//! Copies of flows and totals for other systems. Each export reads the history on a thread of its own: the
//! history is its queue, and what went from there before it could be sent is counted as lost.

mod clickhouse;
mod http;
mod otlp;
mod s3;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use podgate_flow::{EdgeMinute, FlowRecord, History};

pub use clickhouse::{ClickHouse, DDL};
pub use http::{Failure, Secret};
pub use otlp::Otlp;
pub use s3::{Bucket, Upload, UploadState};

/// Where records and minutes go.
pub trait Sink: Send {
    /// Sends records. Returns how many of them the other side refused for good.
    fn flows(&mut self, records: &[Arc<FlowRecord>]) -> Result<u64, Failure>;

    /// Sends minutes. Returns how many of them the other side refused for good.
    fn edges(&mut self, minutes: &[Arc<EdgeMinute>]) -> Result<u64, Failure>;
}

/// Records or minutes in one request.
const BATCH: usize = 8_192;
/// Minutes that wait; a node has a few hundred a minute.
const EDGES_WAITING: usize = 131_072;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How an export is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportState {
    /// Records that were taken.
    pub flows: u64,
    /// Records that were not sent in time, or refused.
    pub flows_lost: u64,
    /// Minutes that were taken.
    pub edges: u64,
    /// Minutes that were not sent in time, or refused.
    pub edges_lost: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Why the last one did; none when the last one was taken.
    pub trouble: Option<String>,
}

/// A thread that sends what comes into a history to a [`Sink`].
pub struct Export {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    edges: VecDeque<Arc<EdgeMinute>>,
    state: ExportState,
    stop: bool,
}

impl Export {
    /// Starts to send what comes into the history from now on.
    pub fn start(history: Arc<History>, sink: impl Sink + 'static) -> std::io::Result<Export> {
        let shared = Arc::new(Shared::default());
        let mine = shared.clone();
        let next = history.next();
        let work = move || Worker { shared: mine, history, sink, next, wait: FIRST_WAIT }.run();
        let thread = std::thread::Builder::new().name("export".to_owned()).spawn(work)?;
        Ok(Export { shared, thread: Some(thread) })
    }

    /// Hands minutes over. Never waits: what doesn't fit into the queue pushes the oldest out, and is counted.
    pub fn append_edges(&self, minutes: &[Arc<EdgeMinute>]) {
        let mut inner = self.shared.lock();
        inner.edges.extend(minutes.iter().cloned());
        let over = inner.edges.len().saturating_sub(EDGES_WAITING);
        inner.edges.drain(..over);
        inner.state.edges_lost += over as u64;
        drop(inner);
        self.shared.wake.notify_all();
    }

    /// How it is doing.
    pub fn state(&self) -> ExportState {
        self.shared.lock().state.clone()
    }
}

impl Drop for Export {
    /// Ends when the request that is under way has ended.
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A sink that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker<S> {
    shared: Arc<Shared>,
    history: Arc<History>,
    sink: S,
    /// The next record of the history.
    next: u64,
    /// After the next failure.
    wait: Duration,
}

impl<S: Sink> Worker<S> {
    fn run(mut self) {
        while !self.shared.lock().stop {
            let sent_flows = self.send_flows();
            let sent_edges = self.send_edges();
            if !sent_flows && !sent_edges {
                self.history.wait(self.next, Duration::from_millis(250));
            }
        }
    }

    fn send_flows(&mut self) -> bool {
        let batch = self.history.since(self.next, BATCH);
        self.shared.lock().state.flows_lost += batch.missed;
        self.next = batch.next - batch.records.len() as u64;
        if batch.records.is_empty() {
            return false;
        }
        let sent = self.sink.flows(&batch.records);
        if let Some(refused) = self.settle(sent, batch.records.len()) {
            let mut inner = self.shared.lock();
            inner.state.flows += batch.records.len() as u64 - refused;
            inner.state.flows_lost += refused;
            self.next = batch.next;
        }
        true
    }

    fn send_edges(&mut self) -> bool {
        let minutes: Vec<_> = self.shared.lock().edges.iter().take(BATCH).cloned().collect();
        let Some(last) = minutes.last() else { return false };
        let sent = self.sink.edges(&minutes);
        if let Some(refused) = self.settle(sent, minutes.len()) {
            let mut inner = self.shared.lock();
            inner.state.edges += minutes.len() as u64 - refused;
            inner.state.edges_lost += refused;
            // Some of them may have been pushed out, and counted as lost, while they were sent.
            if let Some(at) = inner.edges.iter().position(|minute| Arc::ptr_eq(minute, last)) {
                inner.edges.drain(..=at);
            }
        }
        true
    }

    /// How many the other side refused; `None`: to be tried again, after a while.
    fn settle(&mut self, sent: Result<u64, Failure>, count: usize) -> Option<u64> {
        let failure = match sent {
            Ok(refused) => {
                self.wait = FIRST_WAIT;
                self.shared.lock().state.trouble = None;
                return Some(refused.min(count as u64));
            }
            Err(failure) => failure,
        };
        let mut inner = self.shared.lock();
        inner.state.failures += 1;
        if !failure.is_passing {
            inner.state.trouble = Some(format!("{failure}: {count} are given up"));
            return Some(count as u64);
        }
        let wait = failure.retry_after.unwrap_or(self.wait).min(LONGEST_WAIT);
        inner.state.trouble = Some(format!("{failure}: tried again after {wait:?}"));
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        let stopped = self.shared.wake.wait_timeout_while(inner, wait, |inner| !inner.stop);
        drop(stopped);
        None
    }
}

#[cfg(test)]
mod tests;
