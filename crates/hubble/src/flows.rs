//! From records to flows of the Hubble API: one for each direction that was decided.

mod details;
mod ends;

pub use details::details;
pub(crate) use details::plain_reason;

use podgate_flow::{
    Decision, Denial, FlowId, FlowRecord, FlowVerdict, PolicyVersion, Protocol, Reason, TcpFlags, Timestamp,
    View,
};
use podgate_policy::{Direction, PolicyRef, Tier};
use prost_types::Any;

use crate::proto::flow;

/// The number of policy verdicts among the types of events.
pub(crate) const POLICY_VERDICT: i32 = 5;

/// What one flow's record tells that the record of the other direction must not: ids are of 128 bits, and those
/// of records leave the highest one free.
const INGRESS_BIT: u128 = 1 << 127;

/// Where flows come from, for what a record doesn't say.
#[derive(Clone, Debug)]
pub struct Naming {
    /// The cluster's name.
    pub cluster: String,
    /// The version of podgate.
    pub version: String,
    /// Flows carry [`crate::proto::podgate::v1::Details`] as their extension.
    pub details: bool,
}

impl Naming {
    /// A cluster's name and this version, without details.
    pub fn new(cluster: impl Into<String>) -> Naming {
        Naming { cluster: cluster.into(), version: env!("CARGO_PKG_VERSION").to_owned(), details: false }
    }
}

/// What a record is in the Hubble API: a view for each direction that was decided, egress first; the whole when none
/// was.
pub fn views(record: &FlowRecord) -> impl Iterator<Item = View<'_>> {
    let halves = [Direction::Egress, Direction::Ingress].map(|direction| View::half(record, direction));
    let none = halves.iter().all(Option::is_none);
    halves.into_iter().flatten().chain(none.then(|| View::whole(record)))
}

/// A record as flows of the Hubble API.
pub fn to_hubble(record: &FlowRecord, naming: &Naming) -> Vec<flow::Flow> {
    views(record).map(|view| flow_of(view, naming)).collect()
}

/// One direction of a record as a flow of the Hubble API.
pub fn flow_of(view: View<'_>, naming: &Naming) -> flow::Flow {
    let record = view.record();
    let (source, destination) = view.ends();
    let mut flow = flow::Flow {
        time: Some(time(record.time)),
        uuid: flow_id(view).to_string(),
        verdict: match view.verdict() {
            FlowVerdict::Allowed => flow::Verdict::Forwarded,
            FlowVerdict::Denied => flow::Verdict::Dropped,
            FlowVerdict::Unknown => flow::Verdict::Unknown,
        }
        .into(),
        ip: Some(ends::ip(view)),
        l4: layer4(view),
        source: Some(ends::endpoint(source, &naming.cluster)),
        destination: Some(ends::endpoint(destination, &naming.cluster)),
        source_names: ends::names(source),
        destination_names: ends::names(destination),
        source_service: source.service.map(ends::service),
        destination_service: destination.service.map(ends::service),
        r#type: flow::FlowType::L3L4.into(),
        node_name: view.node().to_owned(),
        event_type: Some(flow::CiliumEventType { r#type: POLICY_VERDICT, sub_type: 0 }),
        is_reply: Some(record.reply),
        reply: record.reply,
        emitter: Some(flow::Emitter { name: "podgate".to_owned(), version: naming.version.clone() }),
        summary: summary(view),
        ..flow::Flow::default()
    };
    if let Some((direction, decision)) = view.direction().and_then(|_| view.decisions().next()) {
        decide(&mut flow, direction, decision, record);
    }
    if naming.details {
        flow.extensions = Any::from_msg(&details(record)).ok();
    }
    flow
}

fn decide(flow: &mut flow::Flow, direction: Direction, decision: &Decision, record: &FlowRecord) {
    flow.set_traffic_direction(direction_number(direction));
    flow.policy_match_type = match &*decision.reason {
        Reason::Rule { .. } => 2,
        Reason::Isolated { .. } => 0,
        _ if view_is_denied(decision) => 0,
        _ => 4,
    };
    let by = policies(decision, record.policy_version);
    let reason = Denial::of(decision).map(|denial| match denial {
        Denial::Rule => flow::DropReason::PolicyDeny,
        Denial::Isolation => flow::DropReason::PolicyDenied,
        Denial::NoTable => flow::DropReason::NoConfigurationAvailableToPerformPolicyDecision,
        Denial::Unreadable => flow::DropReason::InvalidPacketDropped,
    });
    if let Some(reason) = reason {
        flow.drop_reason = reason as u32;
        flow.set_drop_reason_desc(reason);
        // The flow stands for those that the kernel counted only.
        if record.suppressed > 0 {
            let count = u32::try_from(record.suppressed.saturating_add(1)).unwrap_or(u32::MAX);
            flow.aggregate = Some(match direction {
                Direction::Egress => flow::Aggregate { egress_flow_count: count, ..Default::default() },
                Direction::Ingress => flow::Aggregate { ingress_flow_count: count, ..Default::default() },
            });
        }
    }
    match (direction, reason.is_some()) {
        (Direction::Egress, false) => flow.egress_allowed_by = by,
        (Direction::Egress, true) => flow.egress_denied_by = by,
        (Direction::Ingress, false) => flow.ingress_allowed_by = by,
        (Direction::Ingress, true) => flow.ingress_denied_by = by,
    }
}

fn view_is_denied(decision: &Decision) -> bool {
    Denial::of(decision).is_some()
}

/// The policies that made a decision: the rule's, or all that isolate.
fn policies(decision: &Decision, version: PolicyVersion) -> Vec<flow::Policy> {
    match &*decision.reason {
        Reason::Rule { policy: by, tier, list, rule, .. } => {
            let mut by = policy(by, version);
            by.labels.push(format!("podgate:rule={}[{rule}]", list_word(*list)));
            by.labels.push(format!("podgate:tier={}", tier_word(*tier)));
            vec![by]
        }
        Reason::Isolated { policies } => policies.iter().map(|by| policy(by, version)).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn policy(of: &PolicyRef, version: PolicyVersion) -> flow::Policy {
    flow::Policy {
        name: of.name.clone(),
        namespace: of.namespace.clone(),
        labels: Vec::new(),
        revision: version.0,
        kind: of.kind.clone(),
    }
}

pub(crate) fn direction_number(direction: Direction) -> flow::TrafficDirection {
    match direction {
        Direction::Egress => flow::TrafficDirection::Egress,
        Direction::Ingress => flow::TrafficDirection::Ingress,
    }
}

pub(crate) fn list_word(list: Direction) -> &'static str {
    match list {
        Direction::Egress => "egress",
        Direction::Ingress => "ingress",
    }
}

pub(crate) fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Admin => "Admin",
        Tier::NetworkPolicy => "NetworkPolicy",
        Tier::Baseline => "Baseline",
    }
}

/// A record's id, and one of its own for the ingress half.
pub(crate) fn flow_id(view: View<'_>) -> FlowId {
    let id = view.record().id.0;
    FlowId(if view.direction() == Some(Direction::Ingress) { id | INGRESS_BIT } else { id })
}

/// The id of the record that a flow is a half of.
pub(crate) fn record_id(flow: FlowId) -> FlowId {
    FlowId(flow.0 & !INGRESS_BIT)
}

pub(crate) fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: (at.0 / 1_000_000_000) as i64, nanos: (at.0 % 1_000_000_000) as i32 }
}

pub(crate) fn timestamp(time: &prost_types::Timestamp) -> Timestamp {
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.nanos).unwrap_or(0)))
}

fn layer4(view: View<'_>) -> Option<flow::Layer4> {
    let record = view.record();
    let (source, destination) = view.ends();
    let (source_port, destination_port) = (source.endpoint.port.into(), destination.endpoint.port.into());
    let (kind, code) = record.icmp.map(|(kind, code)| (kind.into(), code.into())).unwrap_or_default();
    use flow::layer4::Protocol as P;
    let protocol = match record.protocol {
        Protocol::TCP => {
            let flags = (!record.tcp_flags.is_empty()).then(|| tcp_flags(record.tcp_flags));
            P::Tcp(flow::Tcp { source_port, destination_port, flags })
        }
        Protocol::UDP => P::Udp(flow::Udp { source_port, destination_port }),
        Protocol::SCTP => P::Sctp(flow::Sctp { source_port, destination_port, chunk_type: 0 }),
        Protocol::ICMP => P::IcmPv4(flow::IcmPv4 { r#type: kind, code }),
        Protocol::ICMPV6 => P::IcmPv6(flow::IcmPv6 { r#type: kind, code }),
        _ => return None,
    };
    Some(flow::Layer4 { protocol: Some(protocol) })
}

fn tcp_flags(flags: TcpFlags) -> flow::TcpFlags {
    let bit = |number: u8| flags.0 >> number & 1 == 1;
    flow::TcpFlags {
        fin: bit(0),
        syn: bit(1),
        rst: bit(2),
        psh: bit(3),
        ack: bit(4),
        urg: bit(5),
        ece: bit(6),
        cwr: bit(7),
        ns: false,
    }
}

fn summary(view: View<'_>) -> String {
    let record = view.record();
    let mut text = match record.protocol {
        Protocol::TCP if record.tcp_flags.is_empty() => "TCP".to_owned(),
        Protocol::TCP => {
            let names: Vec<_> = record.tcp_flags.names().collect();
            format!("TCP Flags: {}", names.join(", "))
        }
        Protocol::ICMP => format!("ICMPv4 {}", icmp(record)),
        Protocol::ICMPV6 => format!("ICMPv6 {}", icmp(record)),
        protocol => protocol.to_string(),
    };
    if record.cut {
        text.push_str("; cut by a policy change");
    }
    // Denials alone are counted rather than reported.
    if record.suppressed > 0 && view.verdict() == FlowVerdict::Denied {
        text.push_str(&format!("; {} more like it were counted", record.suppressed));
    }
    text
}

fn icmp(record: &FlowRecord) -> String {
    let is_v4 = record.protocol == Protocol::ICMP;
    match record.icmp {
        Some((8, _)) if is_v4 => "EchoRequest".to_owned(),
        Some((0, _)) if is_v4 => "EchoReply".to_owned(),
        Some((128, _)) if !is_v4 => "EchoRequest".to_owned(),
        Some((129, _)) if !is_v4 => "EchoReply".to_owned(),
        Some((kind, code)) => format!("type {kind} code {code}"),
        None => "message".to_owned(),
    }
}

#[cfg(test)]
mod tests;
