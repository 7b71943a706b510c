//! Connections over time.

use podgate_flow::{FlowVerdict, Timestamp};

use super::{count, filters, is_staged_denial, newest, records, watched};
use crate::ask::Ask;
use crate::fault::Fault;
use crate::model::{Bucket, Timeline};

const SECOND: u64 = 1_000_000_000;

/// Lengths of buckets that people can read off a clock, in seconds.
const LENGTHS: [u64; 17] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/// Answers /timeline.
pub fn timeline(ask: &Ask) -> Result<Timeline, Fault> {
    watched(ask)?;
    let window = ask.window()?;
    let filter = filters::parse(ask.parameters()).map_err(Fault::bad)?;
    let records = records(&ask.server, window, filter)?;
    let first = match window.since {
        Timestamp(0) => records.first().map_or(ask.now, |record| record.time),
        since => since,
    };
    // A window that is open runs to now, or to the last record where the clocks differ.
    let last = match window.until {
        Timestamp(u64::MAX) => newest(&records).map_or(ask.now, |newest| newest.max(ask.now)),
        until => until,
    };
    let wanted = ask.number("buckets");
    let span = last.0.saturating_sub(first.0).div_ceil(SECOND).max(1);
    let least = span.div_ceil(wanted);
    let seconds =
        LENGTHS.into_iter().find(|length| *length >= least).unwrap_or_else(|| least.next_multiple_of(86_400));
    let step = seconds * SECOND;
    let begin = first.0 - first.0 % step;
    let number = (last.0 - begin).div_ceil(step).max(1) as usize;
    let mut buckets = vec![Bucket::default(); number];
    for record in &records {
        let at = (record.time.0.saturating_sub(begin) / step) as usize;
        let bucket = &mut buckets[at.min(number - 1)];
        match record.verdict {
            FlowVerdict::Allowed => bucket.allowed += 1,
            FlowVerdict::Denied => bucket.denied += count(record),
            FlowVerdict::Unknown => {}
        }
        bucket.staged += u64::from(is_staged_denial(record));
    }
    Ok(Timeline { since: Timestamp(begin), seconds, buckets })
}
