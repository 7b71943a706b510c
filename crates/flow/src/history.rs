//! The last records, in memory: written by one, read by many.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EdgeMinute, Filter, FlowRecord, Timestamp};

/// How much a [`History`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records; about 400 bytes each, names shared.
    pub records: usize,
    /// Totals of an edge in a minute; about 100 bytes each, edges shared.
    pub minutes: usize,
    /// Older ones go.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { records: 50_000, minutes: 100_000, age: Duration::from_secs(3600) }
    }
}

/// Which records somebody wants.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Which ones.
    pub filter: Filter,
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// How many of them.
    pub take: Take,
}

/// How many of the records that fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Take {
    /// All.
    #[default]
    All,
    /// The oldest.
    First(usize),
    /// The newest.
    Last(usize),
}

impl Query {
    /// Whether a record fits, however many fit.
    pub fn accepts(&self, record: &FlowRecord) -> bool {
        self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
            && self.filter.accepts(record)
    }

    /// Leaves as many as are wanted, in order of time.
    pub fn finish<R: AsRef<FlowRecord>>(&self, mut records: Vec<R>) -> Vec<R> {
        records.sort_by_key(|record| (record.as_ref().time, record.as_ref().id));
        match self.take {
            Take::All => {}
            Take::First(count) => records.truncate(count),
            Take::Last(count) => drop(records.drain(..records.len().saturating_sub(count))),
        }
        records
    }
}

/// Flows that are missing somewhere, by where they got lost, since the start. What was sent is what was
/// received and these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Losses {
    /// The kernel's buffer was full.
    pub kernel: u64,
    /// Denials that the kernel counted and didn't report one by one: [`FlowRecord::suppressed`] has them.
    pub suppressed: u64,
    /// They could not be written to disk in time.
    pub disk: u64,
    /// An export's queue was full.
    pub export: u64,
    /// A node was not heard.
    pub nodes: u64,
}

/// What came since somebody last asked.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The records, in the order of their coming.
    pub records: Vec<Arc<FlowRecord>>,
    /// What to ask with the next time.
    pub next: u64,
    /// How many went before they were asked for.
    pub missed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct History {
    inner: Mutex<Inner>,
    came: Condvar,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Inner {
    records: VecDeque<Arc<FlowRecord>>,
    /// The number of the oldest record that is there.
    first: u64,
    losses: Losses,
    /// Finished minutes of totals, in the order of their end.
    minutes: VecDeque<Arc<EdgeMinute>>,
    /// The running minute, as it was told last.
    running: Vec<Arc<EdgeMinute>>,
}

impl History {
    /// A history with nothing in it.
    pub fn new(limits: Limits) -> History {
        History { inner: Mutex::default(), came: Condvar::new(), limits }
    }

    /// How much it keeps.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Adds records in the order of their coming, and lets the oldest go.
    pub fn push(&self, now: Timestamp, records: impl IntoIterator<Item = Arc<FlowRecord>>) {
        let mut inner = self.lock();
        inner.records.extend(records);
        while inner.records.len() > self.limits.records
            || inner.records.front().is_some_and(|oldest| now.since(oldest.time) > self.limits.age)
        {
            inner.records.pop_front();
            inner.first += 1;
        }
        drop(inner);
        self.came.notify_all();
    }

    /// Adds minutes that are over, and lets the oldest go.
    pub fn push_minutes(&self, now: Timestamp, minutes: impl IntoIterator<Item = Arc<EdgeMinute>>) {
        let mut inner = self.lock();
        inner.minutes.extend(minutes);
        while inner.minutes.len() > self.limits.minutes
            || inner.minutes.front().is_some_and(|oldest| now.since(oldest.minute) > self.limits.age)
        {
            inner.minutes.pop_front();
        }
    }

    /// Says how the running minute stands.
    pub fn set_running(&self, minutes: Vec<Arc<EdgeMinute>>) {
        self.lock().running = minutes;
    }

    /// The totals from `since` on and before `until`, by minute; the running one too.
    pub fn minutes(&self, since: Timestamp, until: Timestamp) -> Vec<Arc<EdgeMinute>> {
        let inner = self.lock();
        let all = inner.minutes.iter().chain(&inner.running);
        all.filter(|minute| minute.is_within(since, until)).cloned().collect()
    }

    /// Says what has been lost so far.
    pub fn set_losses(&self, losses: Losses) {
        self.lock().losses = losses;
    }

    /// What has been lost so far.
    pub fn losses(&self) -> Losses {
        self.lock().losses
    }

    /// The number of the next record to come: where a follower starts.
    pub fn next(&self) -> u64 {
        let inner = self.lock();
        inner.first + inner.records.len() as u64
    }

    /// How many records came so far, and how many of them are there.
    pub fn count(&self) -> (u64, usize) {
        let inner = self.lock();
        (inner.first + inner.records.len() as u64, inner.records.len())
    }

    /// The time of the oldest record that is there.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.lock().records.front().map(|record| record.time)
    }

    /// What came since `number`, at most `max` records.
    pub fn since(&self, number: u64, max: usize) -> Batch {
        let inner = self.lock();
        let missed = inner.first.saturating_sub(number);
        let skip = number.saturating_sub(inner.first) as usize;
        let records: Vec<_> = inner.records.iter().skip(skip).take(max).cloned().collect();
        Batch { next: number.max(inner.first) + records.len() as u64, records, missed }
    }

    /// Waits until there is more than `number`, or the time is up.
    pub fn wait(&self, number: u64, patience: Duration) {
        let is_old = |inner: &mut Inner| inner.first + inner.records.len() as u64 <= number;
        drop(self.came.wait_timeout_while(self.lock(), patience, is_old));
    }

    /// Records of the past, in order of time.
    pub fn query(&self, query: &Query) -> Vec<Arc<FlowRecord>> {
        let all: Vec<_> = self.lock().records.iter().cloned().collect();
        query.finish(all.into_iter().filter(|record| query.accepts(record)).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::flow;

    fn history(records: usize) -> History {
        History::new(Limits { records, minutes: 10, age: Duration::from_secs(10) })
    }

    #[test]
    fn a_follower_gets_each_record_once_and_hears_what_it_missed() {
        let history = history(3);
        let start = history.next();
        for time in 0..2 {
            history.push(Timestamp(time), [Arc::new(flow(time))]);
        }
        let batch = history.since(start, 10);
        assert_eq!((batch.records.len(), batch.next, batch.missed), (2, 2, 0));
        for time in 2..9 {
            history.push(Timestamp(time), [Arc::new(flow(time))]);
        }
        let batch = history.since(batch.next, 2);
        assert_eq!((batch.records[0].time, batch.next, batch.missed), (Timestamp(6), 8, 4));
        let batch = history.since(batch.next, 2);
        assert_eq!((batch.records.len(), batch.next, batch.missed), (1, 9, 0));
        assert!(history.since(batch.next, 2).records.is_empty());
    }

    #[test]
    fn the_old_go_by_age_as_well() {
        let history = history(100);
        let second = 1_000_000_000;
        history.push(Timestamp(0), [Arc::new(flow(0)), Arc::new(flow(5 * second))]);
        history.push(Timestamp(12 * second), []);
        assert_eq!(history.count(), (2, 1));
        assert_eq!(history.oldest(), Some(Timestamp(5 * second)));
    }

    #[test]
    fn queries_take_from_either_end_in_order_of_time() {
        let history = history(100);
        history.push(Timestamp(0), [5, 3, 4, 1].map(|time| Arc::new(flow(time))));
        let times = |query: Query| history.query(&query).iter().map(|r| r.time.0).collect::<Vec<_>>();
        assert_eq!(times(Query::default()), [1, 3, 4, 5]);
        assert_eq!(times(Query { take: Take::Last(2), ..Query::default() }), [4, 5]);
        assert_eq!(times(Query { take: Take::First(2), ..Query::default() }), [1, 3]);
        let (since, until) = (Some(Timestamp(3)), Some(Timestamp(5)));
        assert_eq!(times(Query { since, until, ..Query::default() }), [3, 4]);
    }

    #[test]
    fn a_waiter_wakes_when_something_comes() {
        let history = Arc::new(history(10));
        let other = history.clone();
        let waiter = std::thread::spawn(move || {
            while other.next() == 0 {
                other.wait(0, Duration::from_secs(60));
            }
        });
        history.push(Timestamp(0), [Arc::new(flow(0))]);
        waiter.join().unwrap();
    }
}
