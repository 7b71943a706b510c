//! What staged policies would have done: joined to what the policies in force did.
//!
//! The staged instance sees each packet just before the enforcing one, and tells of every new connection. So
//! when the enforcing instance's events are read first, the staged instance's of the same packets are there
//! too; those that are left over come with the next reading, or are about packets of which the enforcing
//! instance says nothing: established connections that staged policies would cut.

use std::collections::VecDeque;
use std::time::Duration;

use podgate_flow::{Observation, Timestamp, Would};
use podgate_policy::Verdict;
use rustc_hash::FxHashMap;

use podgate_flow::ConnectionKey;

/// How long a staged event waits for the enforcing instance's.
const WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Staging {
    waiting: FxHashMap<(ConnectionKey, std::sync::Arc<str>), (Observation, bool)>,
    order: VecDeque<(Timestamp, (ConnectionKey, std::sync::Arc<str>))>,
}

impl Staging {
    /// Takes what the staged instance says of a packet.
    pub(crate) fn would_be(&mut self, seen: Observation, established: bool) {
        let key = (seen.connection(), seen.node.clone());
        self.order.push_back((seen.time, key.clone()));
        self.waiting.insert(key, (seen, established));
    }

    /// Adds what the staged policies say to what happened, where it differs.
    pub(crate) fn attach(&mut self, happened: &mut Observation) {
        if self.waiting.is_empty() {
            return;
        }
        let key = (happened.connection(), happened.node.clone());
        let Some((staged, _)) = self.waiting.remove(&key) else { return };
        if staged.verdict() != happened.verdict() {
            happened.would = Some(Would { egress: staged.egress, ingress: staged.ingress });
        }
    }

    /// Established connections that go on, and that staged policies would cut.
    pub(crate) fn left_over(&mut self, now: Timestamp) -> Vec<Observation> {
        let mut cut = Vec::new();
        while let Some((time, key)) = self.order.front() {
            if now.since(*time) < WAIT {
                break;
            }
            if let Some((staged, established)) = self.waiting.remove(key)
                && established
                && staged.verdict() == Verdict::Denied
            {
                let would = Some(Would { egress: staged.egress, ingress: staged.ingress });
                cut.push(Observation { egress: None, ingress: None, cut: false, would, ..staged });
            }
            self.order.pop_front();
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podgate_flow::{Basis, Half, Protocol, TcpFlags};
    use podgate_policy::DeciderId;

    fn seen(verdict: Verdict) -> Observation {
        Observation {
            time: Timestamp(0),
            node: "n".into(),
            from: "10.0.0.1:4000".parse().unwrap(),
            to: "10.0.0.2:80".parse().unwrap(),
            asked: None,
            protocol: Protocol::TCP,
            tcp_flags: TcpFlags::default(),
            icmp: None,
            egress: Some(Half { verdict, basis: Basis::Decider(DeciderId(9)) }),
            ingress: None,
            would: None,
            reply: false,
            cut: false,
            suppressed: 0,
        }
    }

    #[test]
    fn a_difference_is_told_with_what_happened() {
        let mut staging = Staging::default();
        for (staged, differs) in [(Verdict::Denied, true), (Verdict::Allowed, false)] {
            staging.would_be(seen(staged), false);
            let mut happened = seen(Verdict::Allowed);
            staging.attach(&mut happened);
            assert_eq!(happened.would.is_some(), differs, "{staged:?}");
        }
        assert!(staging.left_over(Timestamp(u64::MAX)).is_empty());
    }

    #[test]
    fn what_goes_on_and_would_be_cut_is_told_after_a_while() {
        let mut staging = Staging::default();
        staging.would_be(seen(Verdict::Denied), true);
        assert!(staging.left_over(Timestamp(1)).is_empty());
        let told = staging.left_over(Timestamp(0).after(WAIT));
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].verdict(), told[0].egress), (Verdict::Allowed, None));
        // A denial that the enforcing instance made too, and only counted.
        staging.would_be(seen(Verdict::Denied), false);
        assert!(staging.left_over(Timestamp(0).after(WAIT)).is_empty());
    }
}
