//! Makes one record out of the reports of two nodes.
//!
//! A connection between pods of two nodes is judged twice: its egress where it starts, its ingress where it
//! ends. Each node reports its own half; people want one line.

use std::collections::VecDeque;
use std::time::Duration;

use podgate_policy::Verdict;
use rustc_hash::FxHashMap;

use crate::observation::{ConnectionKey, Half, Would};
use crate::record::{Decision, FlowRecord, FlowVerdict, Staged};
use crate::{FlowId, Names, Observation, PolicyVersion, Timestamp};

/// How long a half waits for the other one. Every node's events are read every 10 ms, so the other half is
/// normally there in 20; a half whose other end is lost is shown alone after this time, with an unknown verdict.
pub const JOIN_WAIT: Duration = Duration::from_millis(200);

/// Joins the halves of connections. Bounded by the events of one [`JOIN_WAIT`].
#[derive(Debug, Default)]
pub struct Joiner {
    waiting: FxHashMap<ConnectionKey, Waiting>,
    /// Connections that were shown as denied before both halves were there: a late allowed half of
    /// theirs must not look like a connection that was made.
    denied: FxHashMap<ConnectionKey, Denied>,
    /// Deadlines in the order they were set; one whose connection was dealt with means nothing.
    deadlines: VecDeque<(Timestamp, ConnectionKey)>,
    /// The policies in force, for records from now on.
    version: PolicyVersion,
    /// Of the next record.
    number: u32,
}

#[derive(Debug)]
struct Waiting {
    until: Timestamp,
    half: Observation,
}

#[derive(Debug)]
struct Denied {
    until: Timestamp,
    /// The direction that denied was egress; else it was ingress.
    at_egress: bool,
}

impl Joiner {
    /// A joiner with nothing waiting.
    pub fn new() -> Self {
        Joiner::default()
    }

    /// Says which policies are in force from now on.
    pub fn set_policy_version(&mut self, version: PolicyVersion) {
        self.version = version;
    }

    /// Takes one node's report. A denial goes out at once, an allowed connection as soon as both
    /// directions are known.
    pub fn observe(&mut self, now: Timestamp, half: Observation, names: &Names, out: &mut Vec<FlowRecord>) {
        let key = half.connection();
        let until = now.after(JOIN_WAIT);
        if half.verdict() == Verdict::Allowed && self.is_rest_of_denied(&key, &half) {
            return;
        }
        let denied_at_egress = half.egress.is_some_and(|h| h.verdict == Verdict::Denied);
        let is_denied = half.verdict() == Verdict::Denied;
        let joined = match self.waiting.remove(&key) {
            Some(first) => join(first.half, half),
            None => half,
        };
        if is_denied {
            self.denied.insert(key, Denied { until, at_egress: denied_at_egress });
            self.deadlines.push_back((until, key));
            out.push(self.record(joined, names));
        } else if is_whole(&joined, names) {
            out.push(self.record(joined, names));
        } else {
            self.deadlines.push_back((until, key));
            self.waiting.insert(key, Waiting { until, half: joined });
        }
    }

    /// Whether an allowed half is the other direction of a connection that was shown as denied. The same
    /// direction allowing afterwards is news: policy has changed in between.
    fn is_rest_of_denied(&self, key: &ConnectionKey, half: &Observation) -> bool {
        self.denied.get(key).is_some_and(|denied| match denied.at_egress {
            true => half.egress.is_none(),
            false => half.ingress.is_none(),
        })
    }

    /// Sends out what waited in vain.
    pub fn expire(&mut self, now: Timestamp, names: &Names, out: &mut Vec<FlowRecord>) {
        while let Some((deadline, key)) = self.deadlines.front().copied() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_front();
            if self.denied.get(&key).is_some_and(|denied| denied.until <= now) {
                self.denied.remove(&key);
            }
            // A half that arrived later has a later deadline of its own in the queue.
            if self.waiting.get(&key).is_some_and(|waiting| waiting.until <= now)
                && let Some(alone) = self.waiting.remove(&key)
            {
                out.push(self.record(alone.half, names));
            }
        }
    }

    /// How many halves wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn record(&mut self, seen: Observation, names: &Names) -> FlowRecord {
        let decision = |half: Half| Decision::new(half.verdict, names.reason(half.basis));
        let id = FlowId(
            u128::from(seen.time.0) << 64 | u128::from(node_hash(&seen.node)) << 32 | u128::from(self.number),
        );
        self.number = self.number.wrapping_add(1);
        let verdict = match seen.verdict() {
            Verdict::Denied => FlowVerdict::Denied,
            Verdict::Allowed if is_whole(&seen, names) => FlowVerdict::Allowed,
            Verdict::Allowed => FlowVerdict::Unknown,
        };
        let (source, destination) = (names.endpoint(seen.from), names.endpoint(seen.to));
        FlowRecord {
            id,
            tcp_flags: seen.tcp_flags,
            icmp: seen.icmp,
            asked: seen.asked,
            service: seen.asked.and_then(|asked| names.service(asked, seen.protocol).cloned()),
            egress: seen.egress.map(decision),
            ingress: seen.ingress.map(decision),
            staged: seen.would.map(|would| {
                Box::new(Staged {
                    verdict: would.verdict(),
                    egress: would.egress.map(decision),
                    ingress: would.ingress.map(decision),
                })
            }),
            policy_version: self.version,
            reply: seen.reply,
            cut: seen.cut,
            suppressed: seen.suppressed,
            ..FlowRecord::new(seen.time, seen.node, verdict, seen.protocol, source, destination)
        }
    }
}

/// Keeps ids of records apart that two nodes made at the same time.
fn node_hash(node: &str) -> u32 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(node.as_bytes());
    hasher.finish() as u32
}

/// Whether nobody else has anything to say about the connection.
fn is_whole(seen: &Observation, names: &Names) -> bool {
    // A staged instance alone speaks of it: an established connection, which goes on.
    if seen.would.is_some() && seen.egress.is_none() && seen.ingress.is_none() {
        return true;
    }
    let egress_known = seen.egress.is_some() || !names.is_pod(seen.from.ip());
    let ingress_known = seen.ingress.is_some() || !names.is_pod(seen.to.ip());
    egress_known && ingress_known
}

/// Both halves in one. The node and time are those of the half that denied, else of the first one.
fn join(first: Observation, second: Observation) -> Observation {
    let (mut main, other) = if second.verdict() == Verdict::Denied && first.verdict() == Verdict::Allowed {
        (second, first)
    } else {
        (first, second)
    };
    main.egress = main.egress.or(other.egress);
    main.ingress = main.ingress.or(other.ingress);
    main.asked = main.asked.or(other.asked);
    main.would = match (main.would, other.would) {
        (Some(one), Some(two)) => {
            Some(Would { egress: one.egress.or(two.egress), ingress: one.ingress.or(two.ingress) })
        }
        (one, two) => one.or(two),
    };
    main.cut |= other.cut;
    main.suppressed += other.suppressed;
    main
}

#[cfg(test)]
mod tests;
