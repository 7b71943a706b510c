//! What was seen between places.

use std::collections::BTreeMap;
use std::sync::Arc;

use podgate_flow::{FlowRecord, FlowVerdict, PolicyVersion, Protocol, Timestamp};
use podgate_policy::Verdict;

use super::{count, is_staged_denial};
use crate::ask::Window;
use crate::model::Seen;
use crate::places::Namer;
use crate::state::Server;

/// What was seen from one place to another.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    /// All together.
    pub seen: Seen,
    /// By protocol and the destination's port.
    pub ports: BTreeMap<(Protocol, u16), OnPort>,
}

/// What was seen on one port.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnPort {
    /// Connections let through.
    pub allowed: u64,
    /// Connections denied.
    pub denied: u64,
    /// The last: when, what it was, and under which policies.
    pub last: Option<(Timestamp, Verdict, PolicyVersion)>,
}

/// Pairs of places by their numbers.
pub type Pairs = BTreeMap<(usize, usize), Pair>;

/// Sums records up, and the kernel's totals where they are kept.
pub fn pairs(server: &Server, window: Window, records: &[Arc<FlowRecord>], namer: &mut Namer<'_>) -> Pairs {
    let mut pairs = Pairs::new();
    for record in records {
        let key = (namer.endpoint(&record.source), namer.endpoint(&record.destination));
        let pair = pairs.entry(key).or_default();
        let port = pair.ports.entry((record.protocol, record.destination.port)).or_default();
        let verdict = match record.verdict {
            FlowVerdict::Allowed => {
                pair.seen.allowed += 1;
                port.allowed += 1;
                Verdict::Allowed
            }
            FlowVerdict::Denied => {
                pair.seen.denied += count(record);
                port.denied += count(record);
                Verdict::Denied
            }
            FlowVerdict::Unknown => continue,
        };
        pair.seen.staged += u64::from(is_staged_denial(record));
        pair.seen.last = pair.seen.last.max(Some(record.time));
        // A connection that a change cut, or the answer to one, tells of policies that were.
        if !record.cut && !record.reply {
            port.last = Some((record.time, verdict, record.policy_version));
        }
    }
    let Some(history) = &server.source.history else { return pairs };
    let mut totals: BTreeMap<(usize, usize), Seen> = BTreeMap::new();
    for minute in history.minutes(window.since, window.until) {
        let edge = &minute.edge;
        let total = totals.entry((namer.edge(&edge.source), namer.edge(&edge.destination))).or_default();
        total.bytes += minute.totals.bytes + minute.totals.reply_bytes;
        match edge.verdict {
            Verdict::Allowed => total.allowed += minute.totals.connections,
            Verdict::Denied => total.denied += minute.totals.connections,
        }
        total.last = total.last.max(Some(minute.minute));
    }
    // The two count the same connections: records go first where many come, and totals come late.
    for (key, total) in totals {
        let seen = &mut pairs.entry(key).or_default().seen;
        seen.bytes = total.bytes;
        seen.allowed = seen.allowed.max(total.allowed);
        seen.denied = seen.denied.max(total.denied);
        seen.last = seen.last.max(total.last);
    }
    pairs
}
