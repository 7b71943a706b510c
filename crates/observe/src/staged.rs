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
/// How long it is remembered that a connection's difference was told, after it was last heard of: the staged
/// instance tells of every packet that it would deny.
const TOLD: Duration = Duration::from_secs(300);
/// Connections that are remembered.
const MOST_TOLD: usize = 50_000;

#[derive(Debug, Default)]
pub(crate) struct Staging {
    told: Told,
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
            self.told.insert(happened.connection(), happened.time);
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
                && self.told.insert(staged.connection(), *time)
            {
                let would = Some(Would { egress: staged.egress, ingress: staged.ingress });
                cut.push(Observation { egress: None, ingress: None, cut: false, would, ..staged });
            }
            self.order.pop_front();
        }
        cut
    }
}

/// Connections of which it was told what staged policies would do.
#[derive(Debug, Default)]
struct Told {
    last: FxHashMap<ConnectionKey, Timestamp>,
}

impl Told {
    /// Whether it was not told before.
    fn insert(&mut self, key: ConnectionKey, now: Timestamp) -> bool {
        if self.last.len() >= MOST_TOLD {
            self.last.retain(|_, last| now.since(*last) < TOLD);
        }
        if self.last.len() >= MOST_TOLD {
            // Told twice is better than memory without end.
            self.last.clear();
        }
        self.last.insert(key, now).is_none_or(|last| now.since(last) >= TOLD)
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
    fn a_connection_that_was_told_as_it_began_is_not_told_again() {
        let mut staging = Staging::default();
        staging.would_be(seen(Verdict::Denied), false);
        staging.attach(&mut seen(Verdict::Allowed));
        staging.would_be(seen(Verdict::Denied), true);
        assert!(staging.left_over(Timestamp(0).after(WAIT)).is_empty());
    }

    #[test]
    fn what_goes_on_and_would_be_cut_is_told_after_a_while() {
        let mut staging = Staging::default();
        staging.would_be(seen(Verdict::Denied), true);
        assert!(staging.left_over(Timestamp(1)).is_empty());
        let told = staging.left_over(Timestamp(0).after(WAIT));
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].verdict(), told[0].egress), (Verdict::Allowed, None));
        // Its next packets say nothing new, for as long as there are some.
        for minutes in 1..8 {
            let later = Timestamp(0).after(TOLD / 2 * minutes);
            staging.would_be(Observation { time: later, ..seen(Verdict::Denied) }, true);
            assert!(staging.left_over(later.after(WAIT)).is_empty(), "{minutes}");
        }
        let much_later = Timestamp(0).after(TOLD * 10);
        staging.would_be(Observation { time: much_later, ..seen(Verdict::Denied) }, true);
        assert_eq!(staging.left_over(much_later.after(WAIT)).len(), 1);
        // A denial that the enforcing instance made too, and only counted.
        staging.would_be(seen(Verdict::Denied), false);
        assert!(staging.left_over(Timestamp(0).after(WAIT)).is_empty());
    }
}
