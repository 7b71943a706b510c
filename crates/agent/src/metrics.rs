//! Numbers for Prometheus. docs/book lists them all.

mod flows;
mod names;
#[cfg(test)]
mod tests;

use std::time::Duration;

use podgate_datapath::{Counters, Reason, Repair};
use podgate_kube::Watched;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// One label; every family here has at most one.
macro_rules! label {
    ($name:ident, $field:ident) => {
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(crate) struct $name {
            pub(crate) $field: &'static str,
        }
    };
}
label!(Resource, resource);
label!(Scope, scope);
label!(State, state);
label!(Kind, kind);
label!(Outcome, result);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PacketLabels {
    pub(crate) verdict: &'static str,
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CallLabels {
    pub(crate) command: &'static str,
    pub(crate) result: &'static str,
}

/// All of them; copies share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) synced: Gauge,
    pub(crate) enforcing: Gauge,
    pub(crate) news: Family<Resource, Counter>,
    pub(crate) interruptions: Family<Resource, Counter>,
    pub(crate) connected: Family<Resource, Gauge>,
    pub(crate) policies: Family<Scope, Gauge>,
    pub(crate) faults: Gauge,
    pub(crate) pods: Family<State, Gauge>,
    pub(crate) addresses: Gauge,
    pub(crate) classes: Gauge,
    pub(crate) programs: Gauge,
    pub(crate) publications: Family<Outcome, Counter>,
    pub(crate) publication: Histogram,
    pub(crate) delay: Histogram,
    pub(crate) cni: Family<CallLabels, Counter>,
    pub(crate) cni_add: Histogram,
    packets: Family<PacketLabels, Counter>,
    events: Family<Outcome, Counter>,
    pub(crate) unplaced: Gauge,
    pub(crate) repairs: Family<Kind, Counter>,
    pub(crate) writes: Family<Outcome, Counter>,
    pub(crate) flows: flows::FlowMetrics,
    pub(crate) names: names::NameMetrics,
    pub(crate) traces: Family<Outcome, Counter>,
}

impl Metrics {
    /// Metrics, and the registry that shows them.
    pub(crate) fn new() -> (Metrics, Registry) {
        let mut registry = Registry::with_prefix("podgate");
        // From 50 microseconds to about 10 seconds.
        let delays = || Histogram::new(exponential_buckets(0.000_05, 1.5, 31));
        let metrics = Metrics {
            synced: Gauge::default(),
            enforcing: Gauge::default(),
            news: Family::default(),
            interruptions: Family::default(),
            connected: Family::default(),
            policies: Family::default(),
            faults: Gauge::default(),
            pods: Family::default(),
            addresses: Gauge::default(),
            classes: Gauge::default(),
            programs: Gauge::default(),
            publications: Family::default(),
            publication: delays(),
            delay: delays(),
            cni: Family::default(),
            cni_add: delays(),
            packets: Family::default(),
            events: Family::default(),
            unplaced: Gauge::default(),
            repairs: Family::default(),
            writes: Family::default(),
            flows: flows::FlowMetrics::new(),
            names: names::NameMetrics::default(),
            traces: Family::default(),
        };
        metrics.register(&mut registry);
        // A counter that has never been touched would be missing, and its first count no increase.
        for what in podgate_kube::Watched::ALL {
            let label = Resource { resource: what.resource() };
            drop(metrics.news.get_or_create(&label));
            drop(metrics.interruptions.get_or_create(&label));
        }
        for repair in Repair::ALL {
            drop(metrics.repairs.get_or_create(&Kind { kind: repair.name() }));
        }
        for result in ["done", "refused"] {
            drop(metrics.cni.get_or_create(&CallLabels { command: "add", result }));
        }
        for result in ["done", "failed"] {
            drop(metrics.publications.get_or_create(&Outcome { result }));
            drop(metrics.writes.get_or_create(&Outcome { result }));
        }
        for result in ["sent", "failed", "dropped"] {
            drop(metrics.traces.get_or_create(&Outcome { result }));
        }
        (metrics, registry)
    }

    #[rustfmt::skip]
    fn register(&self, registry: &mut Registry) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The agent's version", version);
        let mut add = Adder(registry);
        add.one("synced", "1 when all that verdicts depend on has been listed at least once", &self.synced);
        add.one("enforcing", "1 when packets are judged", &self.enforcing);
        add.one("watch_news", "Changes heard from the API server, by resource", &self.news);
        add.one("watch_interruptions", "How often a watch failed, by resource", &self.interruptions);
        add.one("watch_connected", "1 when a resource is followed, 0 while it can't be", &self.connected);
        add.one("policies", "Policies: in the cluster, and those that may judge pods here", &self.policies);
        add.one("policy_faults", "Policies that can't be enforced as written", &self.faults);
        add.one("local_pods", "Pods of this node, by whether their policies are in force", &self.pods);
        add.one("addresses", "Pods of the whole cluster that the engine knows", &self.addresses);
        add.one("classes", "Classes of addresses", &self.classes);
        add.one("programs", "Verdict tables", &self.programs);
        add.one("publications", "Changes of the kernel's tables, by result", &self.publications);
        add.seconds("publication", "How long a change of the kernel's tables took", &self.publication);
        add.seconds("event_to_kernel", "From hearing of a change until it is in the kernel", &self.delay);
        add.one("cni_requests", "Requests of the CNI plugin, by command and result", &self.cni);
        add.seconds("cni_add", "How long a starting pod waited for its policies", &self.cni_add);
        add.one("packets", "Packets judged, by verdict and reason", &self.packets);
        add.one("events", "Kernel events, by what became of them", &self.events);
        add.one("unplaced", "Addresses and prefixes that found no room in the kernel's tables", &self.unplaced);
        add.one("repairs", "What others had undone in the kernel and was restored, by kind", &self.repairs);
        add.one("status_writes", "Conditions and Events written to the API server, by result", &self.writes);
        self.flows.register(&mut add);
        self.names.register(&mut add);
        add.one("traces", "Traces of changes, by what became of them", &self.traces);
    }

    /// Takes over the kernel's sums, which only grow while its tables live.
    pub(crate) fn set_counters(&self, counters: &Counters) {
        let allowed = PacketLabels { verdict: "allowed", reason: "policy" };
        raise(&self.packets.get_or_create(&allowed), counters.allowed);
        for (packets, reason) in [(counters.own_node, "own-node"), (counters.to_itself, "to-itself")] {
            raise(&self.packets.get_or_create(&PacketLabels { verdict: "allowed", reason }), packets);
        }
        for reason in Reason::ALL {
            let label = PacketLabels { verdict: "denied", reason: reason.name() };
            raise(&self.packets.get_or_create(&label), counters.denied_for(reason));
        }
        let events = [
            ("received", counters.events_submitted),
            ("lost", counters.events_lost),
            ("suppressed", counters.events_suppressed),
        ];
        for (result, count) in events {
            raise(&self.events.get_or_create(&Outcome { result }), count);
        }
        self.names.set_messages(counters);
    }

    pub(crate) fn published(&self, result: &'static str, took: Duration, since: Option<Duration>) {
        self.publications.get_or_create(&Outcome { result }).inc();
        self.publication.observe(took.as_secs_f64());
        if let Some(since) = since {
            self.delay.observe(since.as_secs_f64());
        }
    }

    pub(crate) fn connect(&self, what: Watched, is_connected: bool) {
        self.connected.get_or_create(&Resource { resource: what.resource() }).set(i64::from(is_connected));
    }
}

/// A counter only counts up; the kernel's sums begin anew with new tables.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

struct Adder<'a>(&'a mut Registry);

impl Adder<'_> {
    fn one<M>(&mut self, name: &str, help: &str, metric: &M)
    where
        M: Clone + prometheus_client::registry::Metric,
    {
        self.0.register(name, help, metric.clone());
    }

    fn seconds(&mut self, name: &str, help: &str, metric: &Histogram) {
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
    }
}
