//! What came of the answers of name servers.

use podgate_datapath::Counters;
use podgate_observe::DnsCounts;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Adder, Kind, Outcome, raise};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameMetrics {
    answers: Family<Outcome, Counter>,
    bindings: Family<Kind, Gauge>,
    over: Family<Outcome, Counter>,
    messages: Family<Outcome, Counter>,
}

impl NameMetrics {
    pub(super) fn register(&self, add: &mut Adder<'_>) {
        add.one("dns_answers", "Answers of name servers to pods, by what became of them", &self.answers);
        add.one(
            "dns_bindings",
            "Pairs of name and address, by whether rules ask for the name",
            &self.bindings,
        );
        add.one("dns_bindings_over", "Pairs of name and address that went over a limit", &self.over);
        add.one(
            "dns_messages",
            "Packets of name servers to pods, by what became of them on the way from the kernel",
            &self.messages,
        );
        self.set(&DnsCounts::default());
        self.set_messages(&Counters::default());
    }

    /// Takes over what the kernel handed over so far, and what it had no room for.
    pub(crate) fn set_messages(&self, counters: &Counters) {
        for (result, count) in [("received", counters.answers_submitted), ("lost", counters.answers_lost)] {
            raise(&self.messages.get_or_create(&Outcome { result }), count);
        }
    }

    pub(crate) fn set(&self, counts: &DnsCounts) {
        for (result, count) in [
            ("learned", counts.answers),
            ("untrusted", counts.untrusted),
            ("malformed", counts.malformed),
            ("lost", counts.lost_streams),
        ] {
            raise(&self.answers.get_or_create(&Outcome { result }), count);
        }
        for (kind, count) in [("asked", counts.wanted), ("other", counts.others)] {
            self.bindings.get_or_create(&Kind { kind }).set(count as i64);
        }
        for (result, count) in [
            ("refused", counts.over.refused),
            ("replaced", counts.over.replaced),
            ("crowded-out", counts.over.crowded_out),
        ] {
            raise(&self.over.get_or_create(&Outcome { result }), count);
        }
    }
}
