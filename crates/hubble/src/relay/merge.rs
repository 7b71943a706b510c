//! Answers of many in order of time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use podgate_flow::{FlowId, FlowRecord, Party, Protocol, Timestamp};
use rustc_hash::FxHashMap;

use crate::flows::timestamp;
use crate::proto::observer::GetFlowsResponse;
use crate::reader::join;

/// How long answers about the past wait for those that belong before them: nodes don't tell in order of time.
pub(super) const APART: Duration = Duration::from_secs(2);
/// Two reports of one packet are not further apart than this, clocks that differ included. A packet that is sent again,
/// because nobody answered, is sent after a second.
const SAME: Duration = Duration::from_millis(500);

/// What makes two reports speak of one connection.
pub(super) type Connection = (SocketAddr, SocketAddr, Protocol, bool);

/// An answer that has a place in time.
pub(super) trait Item: Send + 'static {
    /// When it was.
    fn time(&self) -> Timestamp;

    /// Which connection it is one half of; `None`: it is whole.
    fn half_of(&self) -> Option<Connection>;

    /// Whether another report is the other half.
    fn is_other_half(&self, other: &Self) -> bool;

    /// Adds the other half.
    fn join(&mut self, other: Self);
}

impl Item for GetFlowsResponse {
    fn time(&self) -> Timestamp {
        self.time.as_ref().map(timestamp).unwrap_or_default()
    }

    fn half_of(&self) -> Option<Connection> {
        None
    }

    fn is_other_half(&self, _: &Self) -> bool {
        false
    }

    fn join(&mut self, _: Self) {}
}

impl Item for FlowRecord {
    fn time(&self) -> Timestamp {
        self.time
    }

    fn half_of(&self) -> Option<Connection> {
        let is_pod = |party: &Party| matches!(party, Party::Pod { .. });
        let lacks_one = self.egress.is_some() != self.ingress.is_some();
        if !lacks_one || !is_pod(&self.source.party) || !is_pod(&self.destination.party) {
            return None;
        }
        let at = |end: &podgate_flow::Endpoint| SocketAddr::from((end.ip, end.port));
        Some((at(&self.source), at(&self.destination), self.protocol, self.reply))
    }

    fn is_other_half(&self, other: &Self) -> bool {
        let apart = self.time.since(other.time).max(other.time.since(self.time));
        self.egress.is_some() != other.egress.is_some() && self.node != other.node && apart <= SAME
    }

    fn join(&mut self, other: Self) {
        // An id of one of them stands for both.
        let id = FlowId(self.id.0.min(other.id.0));
        let time = self.time.min(other.time);
        join(self, other);
        (self.id, self.time) = (id, time);
    }
}

/// Holds answers back until those that belong before them, or to them, are there.
#[derive(Debug)]
pub(super) struct Window<T> {
    held: BTreeMap<(Timestamp, u64), Held<T>>,
    halves: FxHashMap<Connection, (Timestamp, u64)>,
    number: u64,
}

#[derive(Debug)]
struct Held<T> {
    item: T,
    came: Timestamp,
}

impl<T: Item> Window<T> {
    pub(super) fn new() -> Window<T> {
        Window { held: BTreeMap::new(), halves: FxHashMap::default(), number: 0 }
    }

    /// Takes an answer; `now`: when it came.
    pub(super) fn push(&mut self, item: T, now: Timestamp) {
        let half = item.half_of();
        if let Some(connection) = half
            && let Some(at) = self.halves.get(&connection)
            && let Some(first) = self.held.get_mut(at)
            && first.item.is_other_half(&item)
        {
            first.item.join(item);
            self.halves.remove(&connection);
            return;
        }
        let at = (item.time(), self.number);
        self.number += 1;
        if let Some(connection) = half {
            self.halves.insert(connection, at);
        }
        self.held.insert(at, Held { item, came: now });
    }

    /// What happened before a time, in order.
    pub(super) fn before(&mut self, time: Timestamp) -> Vec<T> {
        let later = self.held.split_off(&(time, 0));
        let done = std::mem::replace(&mut self.held, later);
        self.forget(done)
    }

    /// What came before a time, in the order in which it happened.
    pub(super) fn came_before(&mut self, time: Timestamp) -> Vec<T> {
        let (done, held) = std::mem::take(&mut self.held).into_iter().partition(|(_, held)| held.came < time);
        self.held = held;
        self.forget(done)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Vec<T> {
        let done = std::mem::take(&mut self.held);
        self.forget(done)
    }

    fn forget(&mut self, done: BTreeMap<(Timestamp, u64), Held<T>>) -> Vec<T> {
        let mut items = Vec::with_capacity(done.len());
        for (at, held) in done {
            if let Some(connection) = held.item.half_of()
                && self.halves.get(&connection) == Some(&at)
            {
                self.halves.remove(&connection);
            }
            items.push(held.item);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SECOND, allowed, denied, outbound};
    use podgate_flow::FlowVerdict;

    /// What the node of one end tells of a record.
    fn half(mut record: FlowRecord, egress: bool) -> FlowRecord {
        let party = if egress { &record.source.party } else { &record.destination.party };
        let Party::Pod { node: Some(node), .. } = &**party else { panic!() };
        record.node = node.as_str().into();
        match egress {
            true => record.ingress = None,
            false => record.egress = None,
        }
        let denies = |decision: &Option<podgate_flow::Decision>| {
            decision.as_ref().is_some_and(|decision| decision.verdict == podgate_policy::Verdict::Denied)
        };
        let is_denied = denies(&record.egress) || denies(&record.ingress);
        record.verdict = if is_denied { FlowVerdict::Denied } else { FlowVerdict::Unknown };
        record
    }

    const NOW: Timestamp = Timestamp(100 * SECOND);

    #[test]
    fn halves_of_two_nodes_are_one_record_in_either_order() {
        for egress_first in [true, false] {
            for whole in [allowed(5), denied(5)] {
                let mut window = Window::new();
                window.push(half(whole.clone(), egress_first), NOW);
                window.push(outbound(4), NOW);
                window.push(half(whole.clone(), !egress_first), NOW);
                assert_eq!(window.rest(), [outbound(4), whole]);
            }
        }
    }

    #[test]
    fn what_is_no_other_half_stays_alone() {
        let mut window = Window::new();
        window.push(half(allowed(5), true), NOW);
        window.push(half(allowed(5), true), NOW);
        window.push(half(allowed(6), false), NOW);
        assert_eq!(window.rest().len(), 3, "the same half twice, and one of a second later");
        let mut window = Window::new();
        let reply = FlowRecord { reply: true, ..half(allowed(5), false) };
        window.push(half(allowed(5), true), NOW);
        window.push(reply, NOW);
        assert_eq!(window.rest().len(), 2);
    }

    #[test]
    fn answers_leave_in_order_of_time_when_none_can_come_before_them() {
        let mut window = Window::new();
        for second in [3, 1, 2] {
            window.push(outbound(second), Timestamp(second));
        }
        let seconds =
            |records: Vec<FlowRecord>| records.iter().map(|r| r.time.0 / SECOND).collect::<Vec<_>>();
        assert_eq!(seconds(window.before(Timestamp(2 * SECOND))), [1]);
        window.push(outbound(1), Timestamp(9));
        assert_eq!(seconds(window.came_before(Timestamp(4))), [2, 3]);
        assert_eq!(seconds(window.rest()), [1]);
        assert!(window.halves.is_empty());
    }
}
