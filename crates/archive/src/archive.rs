//! Flows and totals on their way to the disk: a queue, a thread that writes, a thread that tidies up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use podgate_api::Object;
use podgate_flow::{EdgeMinute, FlowRecord, PolicyVersion, Query, Timestamp};

use crate::directory::{Hour, Series};
use crate::reader::{self, Found};
use crate::store::{Sizes, Store};
use crate::{Problem, edges, flows};

/// How much an archive keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Bytes of all files together. The newest hour stays, as far as it fits.
    pub bytes: u64,
    /// Hours that ended longer ago go.
    pub age: Duration,
}

impl Default for Caps {
    fn default() -> Self {
        Caps { bytes: 4 << 30, age: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// What doesn't fit into the queue of rows to write is lost, and counted.
const QUEUE_ROWS: usize = 262_144;
/// The most that kill -9 takes with it, besides what the disk itself takes its time for.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// So many rows are written at once, sooner than that.
const PART_ROWS: usize = 65_536;
/// How often the second thread looks for something to do.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// See the module.
pub struct Archive {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    store: Store,
    waiting: AtomicUsize,
    flows: Counted,
    edges: Counted,
    stop: AtomicBool,
}

#[derive(Default)]
struct Counted {
    written: AtomicU64,
    lost: AtomicU64,
}

enum Order {
    Flows(Vec<Arc<FlowRecord>>),
    Edges(Vec<Arc<EdgeMinute>>),
    Policies(PolicyVersion, Vec<Object>),
    /// Says when all orders before it are done.
    Flush(std::sync::mpsc::SyncSender<()>),
    Stop,
}

/// How an archive is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Records written since it was opened.
    pub flows: u64,
    /// Records that the queue had no room for, or the disk.
    pub flows_lost: u64,
    /// Minutes of edges written since it was opened.
    pub edges: u64,
    /// Minutes that the queue had no room for, or the disk.
    pub edges_lost: u64,
    /// Records and minutes that wait to be written.
    pub waiting: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// How many segments there are.
    pub segments: usize,
    /// The beginning of the oldest hour.
    pub oldest: Option<Timestamp>,
    /// The last things that went wrong, oldest first.
    pub problems: Vec<Problem>,
}

impl Archive {
    /// Opens a directory, makes it when it isn't there, and starts to write.
    pub fn open(dir: impl AsRef<Path>, caps: Caps) -> Result<Archive, Problem> {
        let store = Store::open(dir.as_ref(), caps)?;
        let shared = Arc::new(Shared {
            store,
            waiting: AtomicUsize::new(0),
            flows: Counted::default(),
            edges: Counted::default(),
            stop: AtomicBool::new(false),
        });
        let (orders, receiver) = channel();
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| {
                Problem::new(
                    dir.as_ref(),
                    format_args!("no thread to write with: {error}"),
                    "allow more threads",
                )
            })
        };
        let (to_write, to_tidy) = (shared.clone(), shared.clone());
        let writer = thread("archive", Box::new(move || write(&to_write, &receiver)))?;
        // Dropped on an error of the second thread, it ends the first.
        let mut archive = Archive { shared, orders, threads: vec![writer] };
        archive.threads.push(thread("archive-tidy", Box::new(move || tidy(&to_tidy)))?);
        Ok(archive)
    }

    /// Hands records over. Never waits for the disk: what doesn't fit into the queue is lost, and counted.
    pub fn append(&self, records: &[Arc<FlowRecord>]) {
        let fit = self.reserve(records.len(), &self.shared.flows);
        self.order(fit, || Order::Flows(records[..fit].to_vec()));
    }

    /// Hands minutes over, as [`Archive::append`] does.
    pub fn append_edges(&self, minutes: &[Arc<EdgeMinute>]) {
        let fit = self.reserve(minutes.len(), &self.shared.edges);
        self.order(fit, || Order::Edges(minutes[..fit].to_vec()));
    }

    /// Keeps the policies of a version as long as some record refers to them; objects of other kinds are left out.
    pub fn remember_policies(&self, version: PolicyVersion, objects: &[Object]) {
        let policies = objects
            .iter()
            .filter(|object| matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_)));
        self.order(1, || Order::Policies(version, policies.cloned().collect()));
    }

    fn reserve(&self, rows: usize, counted: &Counted) -> usize {
        let waiting = self.shared.waiting.fetch_add(rows, Ordering::Relaxed);
        let fit = rows.min(QUEUE_ROWS.saturating_sub(waiting));
        if fit < rows {
            self.shared.waiting.fetch_sub(rows - fit, Ordering::Relaxed);
            counted.lost.fetch_add((rows - fit) as u64, Ordering::Relaxed);
        }
        fit
    }

    fn order(&self, rows: usize, order: impl FnOnce() -> Order) {
        // The writer ends only when the archive is dropped.
        if rows > 0 {
            drop(self.orders.send(order()));
        }
    }

    /// Waits until what was handed over before is on the disk, or given up and counted.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.orders.send(Order::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Records of the past, in order of time, as far as they are on the disk: see [`Archive::flush`].
    pub fn flows(&self, query: &Query) -> Result<Found<FlowRecord>, Problem> {
        reader::flows(self.shared.store.dir(), query)
    }

    /// Minutes that overlap the time from `since` on and before `until`, in order of time.
    pub fn edges(&self, since: Timestamp, until: Timestamp) -> Result<Found<EdgeMinute>, Problem> {
        reader::edges(self.shared.store.dir(), since, until)
    }

    /// The policies of a version; `None`: nobody remembers them.
    pub fn policies(&self, version: PolicyVersion) -> Result<Option<Vec<Object>>, Problem> {
        crate::policies::read(self.shared.store.dir(), version)
    }

    /// The files of hours that are over, with their sizes, oldest first.
    pub fn whole_hours(&self) -> Vec<(PathBuf, u64)> {
        self.shared.store.whole()
    }

    /// How it is doing.
    pub fn state(&self) -> State {
        let Sizes { bytes, segments, oldest } = self.shared.store.sizes();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        State {
            flows: count(&self.shared.flows.written),
            flows_lost: count(&self.shared.flows.lost),
            edges: count(&self.shared.edges.written),
            edges_lost: count(&self.shared.edges.lost),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            bytes,
            segments,
            oldest,
            problems: self.shared.store.problems(),
        }
    }
}

impl Drop for Archive {
    /// Writes what is waiting.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(self.orders.send(Order::Stop));
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_nanos() as u64)
}

#[derive(Default)]
struct Pending {
    flows: Vec<Arc<FlowRecord>>,
    edges: Vec<Arc<EdgeMinute>>,
    since: Option<Instant>,
}

fn write(shared: &Shared, orders: &Receiver<Order>) {
    let mut pending = Pending::default();
    loop {
        let wait = pending.since.map_or(FLUSH_EVERY, |since| FLUSH_EVERY.saturating_sub(since.elapsed()));
        let (mut flush, mut told, mut stop) = (false, None, false);
        match orders.recv_timeout(wait) {
            Ok(Order::Flows(records)) => pending.flows.extend(records),
            Ok(Order::Edges(minutes)) => pending.edges.extend(minutes),
            Ok(Order::Policies(version, objects)) => {
                if let Err(problem) = shared.store.remember(now(), version, &objects) {
                    shared.store.note(problem);
                }
            }
            Ok(Order::Flush(done)) => (flush, told) = (true, Some(done)),
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => (flush, stop) = (true, true),
            Err(RecvTimeoutError::Timeout) => flush = true,
        }
        if pending.since.is_none() && !(pending.flows.is_empty() && pending.edges.is_empty()) {
            pending.since = Some(Instant::now());
        }
        let is_due = pending.since.is_some_and(|since| since.elapsed() >= FLUSH_EVERY);
        if flush || is_due || pending.flows.len() + pending.edges.len() >= PART_ROWS {
            let hour = |record: &Arc<FlowRecord>| Hour::of(record.time);
            put(shared, Series::Flows, &shared.flows, &mut pending.flows, hour, flows::rows);
            let hour = |minute: &Arc<EdgeMinute>| Hour::of(minute.minute);
            put(shared, Series::Edges, &shared.edges, &mut pending.edges, hour, edges::rows);
            pending.since = None;
        }
        if let Some(told) = told {
            // Whoever asked may have gone.
            let _ = told.send(());
        }
        if stop {
            return;
        }
    }
}

fn put<R>(
    shared: &Shared,
    series: Series,
    counted: &Counted,
    pending: &mut Vec<R>,
    hour: impl Fn(&R) -> Hour,
    rows: impl Fn(&[R]) -> crate::table::Table,
) {
    let mut hours: BTreeMap<Hour, Vec<R>> = BTreeMap::new();
    for record in pending.drain(..) {
        hours.entry(hour(&record)).or_default().push(record);
    }
    for (hour, records) in hours {
        let mut table = rows(&records);
        table.sort_by(&[series.time()]);
        let count = match shared.store.write(now(), series, hour, &table) {
            Ok(()) => &counted.written,
            Err(problem) => {
                shared.store.note(problem);
                &counted.lost
            }
        };
        count.fetch_add(records.len() as u64, Ordering::Relaxed);
        shared.waiting.fetch_sub(records.len(), Ordering::Relaxed);
    }
}

fn tidy(shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        match shared.store.tidy(now()) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(problem) => shared.store.note(problem),
        }
        std::thread::park_timeout(TIDY_EVERY);
    }
}

#[cfg(test)]
mod tests;
