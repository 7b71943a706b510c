//! Connections and rule hits for Prometheus: at the level of namespaces, and with an end to the number of series.

use std::sync::{Arc, Mutex, PoisonError};

use podgate_flow::{Edge, FlowRecord, Losses, Party, Place, Reason, Totals};
use podgate_policy::{PolicyRef, Verdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rustc_hash::FxHashSet;

use super::Adder;
use crate::exports::Progress;

/// Series of a family; what is beyond goes into one whose labels say `other`.
const MOST_SERIES: usize = 2000;
/// The label of what is beyond.
const OTHER: &str = "other";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EdgeLabels {
    source: String,
    destination: String,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RuleLabels {
    kind: String,
    namespace: String,
    policy: String,
    direction: &'static str,
    rule: String,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct To {
    to: &'static str,
}

/// A family that stops growing.
#[derive(Clone, Debug)]
struct Capped<L: Clone + std::hash::Hash + Eq> {
    family: Family<L, Counter>,
    seen: Arc<Mutex<FxHashSet<L>>>,
    other: L,
}

impl<L: Clone + std::hash::Hash + Eq + std::fmt::Debug> Capped<L> {
    fn new(other: L) -> Capped<L> {
        Capped { family: Family::default(), seen: Arc::default(), other }
    }

    fn add(&self, labels: L, count: u64) {
        if count == 0 {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = seen.contains(&labels) || seen.len() < MOST_SERIES && seen.insert(labels.clone());
        let labels = if fits { &labels } else { &self.other };
        self.family.get_or_create(labels).inc_by(count);
    }
}

/// See the module; copies share the numbers.
#[derive(Clone, Debug)]
pub(crate) struct FlowMetrics {
    connections: Capped<EdgeLabels>,
    bytes: Capped<EdgeLabels>,
    hits: Capped<RuleLabels>,
    staged: Capped<EdgeLabels>,
    records: Counter,
    unattributed: Counter,
    losses: Family<Stage, Counter>,
    exported: Family<To, Counter>,
    failures: Family<To, Counter>,
}

impl FlowMetrics {
    pub(super) fn new() -> FlowMetrics {
        let other = EdgeLabels { source: OTHER.into(), destination: OTHER.into(), verdict: OTHER };
        let hits = RuleLabels {
            kind: OTHER.into(),
            namespace: OTHER.into(),
            policy: OTHER.into(),
            direction: OTHER,
            rule: OTHER.into(),
            verdict: OTHER,
        };
        let metrics = FlowMetrics {
            connections: Capped::new(other.clone()),
            bytes: Capped::new(other.clone()),
            hits: Capped::new(hits),
            staged: Capped::new(other.clone()),
            records: Counter::default(),
            unattributed: Counter::default(),
            losses: Family::default(),
            exported: Family::default(),
            failures: Family::default(),
        };
        metrics.set_losses(Losses::default());
        metrics
    }

    #[rustfmt::skip]
    pub(super) fn register(&self, add: &mut Adder<'_>) {
        add.one("flow_connections", "Connections that began, by the namespaces of both ends and verdict", &self.connections.family);
        add.one("flow_bytes", "Bytes of both directions, by the namespaces of both ends and verdict", &self.bytes.family);
        add.one("rule_hits", "Connections that a rule allowed or denied, or an isolation denied", &self.hits.family);
        add.one("flow_staged", "Connections that staged policies would treat otherwise, by the namespaces of both ends and the verdict they would have", &self.staged.family);
        add.one("flow_records", "Flow records made", &self.records);
        add.one("flow_unattributed_packets", "Packets that are in no sum by namespace or rule: the kernel had no room to tell them apart", &self.unattributed);
        add.one("flow_losses", "Flows that are missing in the records, by where they got lost", &self.losses);
        add.one("flow_exported", "Records, minutes of totals and files that other systems have taken", &self.exported);
        add.one("flow_export_failures", "Requests with flows that other systems have not taken; most are tried again", &self.failures);
    }

    /// Makes a series of each family.
    #[cfg(test)]
    pub(super) fn touch(&self) {
        for capped in [&self.connections, &self.bytes, &self.staged] {
            capped.add(capped.other.clone(), 1);
        }
        self.hits.add(self.hits.other.clone(), 1);
        self.exported(&Progress { to: "otlp", sent: 0, lost: 0, failures: 0, trouble: None });
    }

    /// Counts records.
    pub(crate) fn recorded(&self, records: &[Arc<FlowRecord>]) {
        self.records.inc_by(records.len() as u64);
        for record in records {
            if let Some(staged) = &record.staged {
                let (source, destination) = (side(&record.source.party), side(&record.destination.party));
                self.staged.add(EdgeLabels { source, destination, verdict: word(staged.verdict) }, 1);
            }
        }
    }

    /// Counts packets that nothing is known of but their number.
    pub(crate) fn unattributed(&self, packets: u64) {
        self.unattributed.inc_by(packets);
    }

    /// Takes over what has been lost so far.
    pub(crate) fn set_losses(&self, losses: Losses) {
        let Losses { kernel, suppressed, disk, export, nodes: _ } = losses;
        let stages = [("kernel", kernel), ("suppressed", suppressed), ("disk", disk), ("export", export)];
        for (stage, count) in stages {
            super::raise(&self.losses.get_or_create(&Stage { stage }), count);
        }
    }

    /// Takes over what has been exported so far.
    pub(crate) fn exported(&self, export: &Progress) {
        super::raise(&self.exported.get_or_create(&To { to: export.to }), export.sent);
        super::raise(&self.failures.get_or_create(&To { to: export.to }), export.failures);
    }

    /// Adds what went over an edge.
    pub(crate) fn count(&self, edge: &Edge, totals: Totals) {
        let labels = EdgeLabels {
            source: scope(&edge.source),
            destination: scope(&edge.destination),
            verdict: word(edge.verdict),
        };
        self.connections.add(labels.clone(), totals.connections);
        self.bytes.add(labels, totals.bytes + totals.reply_bytes);
        for (direction, reason) in [("egress", &edge.egress), ("ingress", &edge.ingress)] {
            let (policies, rule): (&[PolicyRef], String) = match reason.as_deref() {
                Some(Reason::Rule { policy, rule, .. }) => (std::slice::from_ref(policy), rule.to_string()),
                Some(Reason::Isolated { policies }) => (policies, "isolation".to_owned()),
                _ => continue,
            };
            for policy in policies {
                let labels = RuleLabels {
                    kind: policy.kind.clone(),
                    namespace: policy.namespace.clone(),
                    policy: policy.name.clone(),
                    direction,
                    rule: rule.clone(),
                    verdict: word(edge.verdict),
                };
                self.hits.add(labels, totals.connections);
            }
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Denied => "denied",
    }
}

/// A namespace, or what has none.
fn scope(place: &Place) -> String {
    match place {
        Place::Workload { namespace, .. } => namespace.clone(),
        Place::Node { .. } => "(node)".to_owned(),
        Place::Outside { .. } => "(outside)".to_owned(),
    }
}

/// The same of an address.
fn side(party: &Party) -> String {
    match party {
        Party::Pod { namespace, .. } => namespace.clone(),
        Party::Node { .. } => "(node)".to_owned(),
        Party::Outside { .. } => "(outside)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podgate_flow::{OwnerName, Protocol};
    use podgate_policy::{Direction, Tier};

    fn edge(namespace: &str, reason: Reason, verdict: Verdict) -> Edge {
        let owner = OwnerName { kind: "Deployment".into(), name: "web".into() };
        Edge {
            source: Arc::new(Place::Outside { ip: "192.0.2.1".parse().unwrap(), name: None }),
            destination: Arc::new(Place::Workload { namespace: namespace.into(), owner }),
            protocol: Protocol::TCP,
            port: 80,
            verdict,
            egress: None,
            ingress: Some(Arc::new(reason)),
        }
    }

    fn policy(name: &str) -> PolicyRef {
        PolicyRef { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: name.into() }
    }

    fn shown(metrics: &FlowMetrics) -> String {
        let mut registry = prometheus_client::registry::Registry::with_prefix("podgate");
        metrics.register(&mut Adder(&mut registry));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn rules_and_isolating_policies_get_their_hits() {
        let metrics = FlowMetrics::new();
        let rule = Reason::Rule {
            policy: policy("allow"),
            tier: Tier::NetworkPolicy,
            list: Direction::Ingress,
            rule: 2,
            written: String::new(),
        };
        let totals = Totals { connections: 3, packets: 30, bytes: 100, reply_packets: 1, reply_bytes: 20 };
        metrics.count(&edge("shop", rule, Verdict::Allowed), totals);
        let isolated = Reason::Isolated { policies: vec![policy("a"), policy("b")] };
        metrics.count(&edge("shop", isolated, Verdict::Denied), totals);
        let text = shown(&metrics);
        for line in [
            r#"podgate_flow_connections_total{source="(outside)",destination="shop",verdict="denied"} 3"#,
            r#"podgate_flow_bytes_total{source="(outside)",destination="shop",verdict="allowed"} 120"#,
            r#"podgate_rule_hits_total{kind="NetworkPolicy",namespace="shop",policy="allow",direction="ingress",rule="2",verdict="allowed"} 3"#,
            r#"podgate_rule_hits_total{kind="NetworkPolicy",namespace="shop",policy="b",direction="ingress",rule="isolation",verdict="denied"} 3"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn series_have_an_end_and_nothing_is_lost_beyond_it() {
        let metrics = FlowMetrics::new();
        let one = Totals { connections: 1, ..Totals::default() };
        for number in 0..MOST_SERIES + 5 {
            metrics.count(&edge(&format!("n{number}"), Reason::NotIsolated, Verdict::Allowed), one);
        }
        let text = shown(&metrics);
        let series = text.lines().filter(|line| line.starts_with("podgate_flow_connections_total")).count();
        assert_eq!(series, MOST_SERIES + 1);
        let other = r#"podgate_flow_connections_total{source="other",destination="other",verdict="other"} 5"#;
        assert!(text.contains(other));
    }
}
