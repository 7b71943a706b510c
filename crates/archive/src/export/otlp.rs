//! OpenTelemetry: records as log records, totals as delta sums, as protobuf over HTTP (OTLP 1.x).
//!
//! Attributes are named as the semantic conventions name them, where they have a name.

mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use podgate_flow::{
    Decision, EdgeMinute, Endpoint, FlowRecord, FlowVerdict, Party, Place, Protocol, Reason, Timestamp,
    Totals,
};
use ureq::http::Method;
use wire::{Message, rejected};

use super::http::Client;
use super::{Failure, Secret, Sink};
use crate::flows::{decided_word, verdict_word};

/// Sends to an OpenTelemetry collector, or whatever else takes OTLP.
pub struct Otlp {
    client: Client,
    endpoint: String,
    headers: Vec<(String, Secret)>,
    cluster: String,
}

impl Otlp {
    /// The endpoint is the collector's base, such as `http://collector:4318`; headers may hold a token; the
    /// cluster's name goes with everything that is sent, unless it is empty.
    pub fn new(endpoint: &str, headers: Vec<(String, Secret)>, cluster: &str) -> Otlp {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Otlp { client: Client::new(), endpoint, headers, cluster: cluster.to_owned() }
    }

    fn send(&self, signal: &str, body: &Message) -> Result<u64, Failure> {
        let url = format!("{}/v1/{signal}", self.endpoint);
        let mut headers = vec![("content-type", "application/x-protobuf")];
        headers.extend(self.headers.iter().map(|(name, Secret(value))| (name.as_str(), value.as_str())));
        let answer = self.client.send(Method::POST, &url, &headers, body.bytes())?;
        rejected(&answer).ok_or_else(|| Failure::lasting(format!("{url} answers with no OTLP message")))
    }

    /// What all that a node tells has in common.
    fn resource(&self, node: &str) -> Message {
        let mut resource = Message::default();
        let mut add = |key, value| resource.message(1, &attribute(key, value));
        add("service.name", "podgate");
        add("service.version", env!("CARGO_PKG_VERSION"));
        if !self.cluster.is_empty() {
            add("k8s.cluster.name", &self.cluster);
        }
        add("k8s.node.name", node);
        resource
    }
}

impl Sink for Otlp {
    fn flows(&mut self, records: &[Arc<FlowRecord>]) -> Result<u64, Failure> {
        let mut nodes: BTreeMap<&str, Message> = BTreeMap::new();
        for record in records {
            nodes.entry(&record.node).or_insert_with(scoped).message(2, &log_record(record));
        }
        self.send("logs", &self.request(nodes))
    }

    fn edges(&mut self, minutes: &[Arc<EdgeMinute>]) -> Result<u64, Failure> {
        let mut nodes: BTreeMap<&str, Vec<&EdgeMinute>> = BTreeMap::new();
        for minute in minutes {
            nodes.entry(&minute.node).or_default().push(minute);
        }
        let scopes = nodes.into_iter().map(|(node, minutes)| {
            let mut scope = scoped();
            METRICS.iter().for_each(|metric| scope.message(2, &metric.of(&minutes)));
            (node, scope)
        });
        // The answer counts data points, of which a minute has several.
        let rejected = self.send("metrics", &self.request(scopes.collect()))?;
        Ok(rejected.div_ceil(POINTS_OF_A_MINUTE))
    }
}

impl Otlp {
    fn request(&self, scopes: BTreeMap<&str, Message>) -> Message {
        let mut request = Message::default();
        for (node, scope) in scopes {
            let mut resource = Message::default();
            resource.message(1, &self.resource(node));
            resource.message(2, &scope);
            request.message(1, &resource);
        }
        request
    }
}

/// `ScopeLogs` or `ScopeMetrics`, with nothing in it yet.
fn scoped() -> Message {
    let (mut scope, mut out) = (Message::default(), Message::default());
    scope.text(1, "podgate");
    scope.text(2, env!("CARGO_PKG_VERSION"));
    out.message(1, &scope);
    out
}

/// A value of an attribute.
enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    Texts(&'a [Box<str>]),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text)
    }
}

fn any(value: Value<'_>) -> Message {
    let mut any = Message::default();
    match value {
        Value::Text(text) => any.text_or_empty(1, text),
        Value::Flag(flag) => any.number_or_zero(2, u64::from(flag)),
        Value::Number(number) => any.number_or_zero(3, number),
        Value::Texts(texts) => {
            let mut list = Message::default();
            texts.iter().for_each(|text| list.message(1, &any_text(text)));
            any.message(5, &list);
        }
    }
    any
}

fn any_text(text: &str) -> Message {
    any(Value::Text(text))
}

fn attribute<'a>(key: &str, value: impl Into<Value<'a>>) -> Message {
    let mut pair = Message::default();
    pair.text(1, key);
    pair.message(2, &any(value.into()));
    pair
}

const INFO: u64 = 9;
const WARN: u64 = 13;

fn log_record(record: &FlowRecord) -> Message {
    let mut log = Message::default();
    let is_denied = record.verdict == FlowVerdict::Denied;
    log.time(1, record.time);
    log.number(2, if is_denied { WARN } else { INFO });
    log.text(3, if is_denied { "WARN" } else { "INFO" });
    log.message(5, &any_text(&line(record)));
    let mut add = |key: &str, value: Value<'_>| log.message(6, &attribute(key, value));
    let id = record.id.to_string();
    add("podgate.flow.id", Value::Text(&id));
    add("podgate.verdict", Value::Text(verdict_word(record.verdict)));
    transport(record.protocol, &mut add);
    add("network.type", Value::Text(if record.source.ip.is_ipv4() { "ipv4" } else { "ipv6" }));
    for (name, end) in [("source", &record.source), ("destination", &record.destination)] {
        endpoint(name, end, &mut add);
    }
    if let Some(asked) = record.asked {
        add("podgate.asked.address", Value::Text(&asked.ip().to_string()));
        add("podgate.asked.port", Value::Number(asked.port().into()));
    }
    if let Some(service) = &record.service {
        add("podgate.service.namespace", Value::Text(&service.namespace));
        add("podgate.service.name", Value::Text(&service.name));
        add("podgate.service.port", Value::Number(service.port.into()));
    }
    if let Some((kind, code)) = record.icmp {
        add("podgate.icmp.type", Value::Number(kind.into()));
        add("podgate.icmp.code", Value::Number(code.into()));
    }
    if !record.tcp_flags.is_empty() {
        add("podgate.tcp.flags", Value::Text(&record.tcp_flags.to_string()));
    }
    for (name, decision) in [("egress", &record.egress), ("ingress", &record.ingress)] {
        if let Some(Decision { verdict, reason, nearest }) = decision {
            add(&format!("podgate.{name}.verdict"), Value::Text(decided_word(*verdict)));
            explain(name, reason, &mut add);
            if let Some(near) = nearest {
                let text = format!("{} {:?}[{}] but {}", near.policy, near.list, near.rule, near.but);
                add(&format!("podgate.{name}.nearest"), Value::Text(&text));
            }
        }
    }
    if let Some(staged) = &record.staged {
        add("podgate.staged.verdict", Value::Text(decided_word(staged.verdict)));
    }
    if !record.policy_version.is_unknown() {
        add("podgate.policy.version", Value::Text(&record.policy_version.to_string()));
    }
    for (name, flag) in [("reply", record.reply), ("cut", record.cut)] {
        if flag {
            add(&format!("podgate.{name}"), Value::Flag(true));
        }
    }
    if record.suppressed > 0 {
        add("podgate.suppressed", Value::Number(record.suppressed));
    }
    log.time(11, record.time);
    log.text(12, "podgate.flow");
    log
}

/// What a person reads of a record, as `shop/web -> shop/db:5432 TCP denied: isolated by shop/db`.
fn line(record: &FlowRecord) -> String {
    let FlowRecord { source, destination, protocol, verdict, .. } = record;
    let mut line = format!("{} -> {}", source.party, destination.party);
    if destination.port != 0 {
        line.push_str(&format!(":{}", destination.port));
    }
    line.push_str(&format!(" {protocol} {}", verdict_word(*verdict)));
    let denied = [&record.egress, &record.ingress].into_iter().flatten();
    if let Some(decision) =
        denied.into_iter().find(|decision| decision.verdict == podgate_policy::Verdict::Denied)
    {
        line.push_str(&format!(": {}", decision.reason));
    }
    line
}

/// The conventions know TCP and UDP by name and leave others to who tells.
fn transport(protocol: Protocol, add: &mut impl FnMut(&str, Value<'_>)) {
    add("network.transport", Value::Text(&protocol.to_string().to_lowercase()));
}

fn endpoint(name: &str, end: &Endpoint, add: &mut impl FnMut(&str, Value<'_>)) {
    add(&format!("{name}.address"), Value::Text(&end.ip.to_string()));
    if end.port != 0 {
        add(&format!("{name}.port"), Value::Number(end.port.into()));
    }
    match &*end.party {
        Party::Pod { namespace, pod, owner, node, labels } => {
            add(&format!("{name}.k8s.namespace.name"), Value::Text(namespace));
            add(&format!("{name}.k8s.pod.name"), Value::Text(pod));
            if let Some(owner) = owner {
                let kind = owner.kind.to_lowercase();
                add(&format!("{name}.k8s.{kind}.name"), Value::Text(&owner.name));
            }
            if let Some(node) = node {
                add(&format!("{name}.k8s.node.name"), Value::Text(node));
            }
            for (key, value) in labels {
                add(&format!("{name}.k8s.pod.label.{key}"), Value::Text(value));
            }
        }
        Party::Node { node } => add(&format!("{name}.k8s.node.name"), Value::Text(node)),
        Party::Outside { name: Some(known) } => add(&format!("{name}.name"), Value::Text(known)),
        Party::Outside { name: None } => {}
    }
    if let Some(names) = &end.dns {
        add(&format!("{name}.dns.names"), Value::Texts(names));
    }
}

fn explain(direction: &str, reason: &Reason, add: &mut impl FnMut(&str, Value<'_>)) {
    add(&format!("podgate.{direction}.reason"), Value::Text(&reason.to_string()));
    match reason {
        Reason::Rule { policy, rule, .. } => {
            add(&format!("podgate.{direction}.policy"), Value::Text(&policy.to_string()));
            add(&format!("podgate.{direction}.rule"), Value::Number((*rule).into()));
        }
        Reason::Isolated { policies } => {
            let policies: Vec<Box<str>> = policies.iter().map(|policy| policy.to_string().into()).collect();
            add(&format!("podgate.{direction}.isolated_by"), Value::Texts(&policies));
        }
        _ => {}
    }
}

struct Metric {
    name: &'static str,
    unit: &'static str,
    about: &'static str,
    /// What it counts from source to destination, and where that differs, the other way.
    there: fn(&Totals) -> u64,
    back: Option<fn(&Totals) -> u64>,
}

const POINTS_OF_A_MINUTE: u64 = 5;

const METRICS: [Metric; 3] = [
    Metric {
        name: "podgate.edge.connections",
        unit: "{connection}",
        about: "Connections that began",
        there: |totals| totals.connections,
        back: None,
    },
    Metric {
        name: "podgate.edge.packets",
        unit: "{packet}",
        about: "Packets",
        there: |totals| totals.packets,
        back: Some(|totals| totals.reply_packets),
    },
    Metric {
        name: "podgate.edge.io",
        unit: "By",
        about: "Bytes, from the IP header on",
        there: |totals| totals.bytes,
        back: Some(|totals| totals.reply_bytes),
    },
];

impl Metric {
    fn of(&self, minutes: &[&EdgeMinute]) -> Message {
        const DELTA: u64 = 1;
        let mut sum = Message::default();
        for minute in minutes {
            let direction = self.back.map(|_| "transmit");
            sum.message(1, &point(minute, direction, (self.there)(&minute.totals)));
            if let Some(back) = self.back {
                sum.message(1, &point(minute, Some("receive"), back(&minute.totals)));
            }
        }
        sum.number(2, DELTA);
        sum.number(3, 1);
        let mut metric = Message::default();
        metric.text(1, self.name);
        metric.text(2, self.about);
        metric.text(3, self.unit);
        metric.message(7, &sum);
        metric
    }
}

fn point(minute: &EdgeMinute, direction: Option<&str>, value: u64) -> Message {
    let mut point = Message::default();
    let edge = &minute.edge;
    point.time(2, minute.minute);
    point.time(3, Timestamp(minute.minute.0 + 60_000_000_000));
    point.fixed(6, value);
    let mut add = |key: &str, value: Value<'_>| point.message(7, &attribute(key, value));
    for (name, place) in [("source", &edge.source), ("destination", &edge.destination)] {
        match &**place {
            Place::Workload { namespace, owner } => {
                add(&format!("{name}.k8s.namespace.name"), Value::Text(namespace));
                let kind = owner.kind.to_lowercase();
                add(&format!("{name}.k8s.{kind}.name"), Value::Text(&owner.name));
            }
            Place::Node { node } => add(&format!("{name}.k8s.node.name"), Value::Text(node)),
            Place::Outside { ip, name: known } => {
                add(&format!("{name}.address"), Value::Text(&ip.to_string()));
                if let Some(known) = known {
                    add(&format!("{name}.name"), Value::Text(known));
                }
            }
        }
    }
    if edge.port != 0 {
        add("destination.port", Value::Number(edge.port.into()));
    }
    transport(edge.protocol, &mut add);
    add("podgate.verdict", Value::Text(decided_word(edge.verdict)));
    for (name, reason) in [("egress", &edge.egress), ("ingress", &edge.ingress)] {
        if let Some(reason) = reason {
            add(&format!("podgate.{name}.reason"), Value::Text(&reason.to_string()));
        }
    }
    if let Some(direction) = direction {
        add("network.io.direction", Value::Text(direction));
    }
    point
}
