//! From flows of the Hubble API to records: other people's flows, and our own that somebody saved.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use podgate_flow::{
    Decision, Endpoint, FlowId, FlowRecord, FlowVerdict, NearMiss, OwnerName, Party, PolicyVersion, Protocol,
    Reason, ServiceName, Staged, TcpFlags,
};
use podgate_policy::{Direction, PolicyRef, Tier, Verdict};

use crate::flows::{plain_reason, record_id, timestamp};
use crate::proto::flow;
use crate::proto::flow::layer4::Protocol as Layer4;
use crate::proto::podgate::v1;

/// A flow of the Hubble API as a record, as far as it tells. `None`: it is not about a connection, or not of one that
/// was let through or dropped: HTTP requests, socket translations, debugging.
pub fn from_hubble(flow: &flow::Flow) -> Option<FlowRecord> {
    if ![flow::FlowType::L3L4, flow::FlowType::UnknownType].contains(&flow.r#type()) {
        return None;
    }
    let verdict = match flow.verdict() {
        flow::Verdict::Forwarded | flow::Verdict::Redirected | flow::Verdict::Audit => Verdict::Allowed,
        flow::Verdict::Dropped | flow::Verdict::Error => Verdict::Denied,
        _ => return None,
    };
    let reply = flow.is_reply.unwrap_or(flow.reply);
    let wire = Wire::of(flow)?;
    let direction = match flow.traffic_direction() {
        flow::TrafficDirection::Egress => Some(Direction::Egress),
        flow::TrafficDirection::Ingress => Some(Direction::Ingress),
        flow::TrafficDirection::Unknown => None,
    };
    // Who opened the connection, and who was reached.
    let local = |at: Direction| (direction == Some(at)).then_some(flow.node_name.as_str());
    let (from_node, to_node) = (local(Direction::Egress), local(Direction::Ingress));
    let (left, right) = if reply { (to_node, from_node) } else { (from_node, to_node) };
    let sender = end(wire.source, flow.source.as_ref(), &flow.source_names, left);
    let receiver = end(wire.destination, flow.destination.as_ref(), &flow.destination_names, right);
    let (source, destination) = if reply { (receiver, sender) } else { (sender, receiver) };
    let record_verdict = match verdict {
        Verdict::Allowed => FlowVerdict::Allowed,
        Verdict::Denied => FlowVerdict::Denied,
    };
    let is_ours = flow.emitter.as_ref().is_some_and(|emitter| emitter.name == "podgate");
    let id = flow.uuid.parse().map_or(FlowId::default(), |id| if is_ours { record_id(id) } else { id });
    let mut record = FlowRecord {
        id,
        tcp_flags: wire.flags,
        icmp: wire.icmp,
        service: service(flow, reply, &destination),
        suppressed: suppressed(flow),
        reply,
        ..FlowRecord::new(
            flow.time.as_ref().map(timestamp).unwrap_or_default(),
            flow.node_name.as_str(),
            record_verdict,
            wire.protocol,
            source,
            destination,
        )
    };
    match direction {
        Some(Direction::Egress) => record.egress = decision(flow, Direction::Egress, verdict),
        Some(Direction::Ingress) => record.ingress = decision(flow, Direction::Ingress, verdict),
        None => {}
    }
    let details = flow.extensions.as_ref().and_then(|any| any.to_msg::<v1::Details>().ok());
    if let Some(details) = details {
        add_details(&mut record, &details);
    }
    Some(record)
}

/// What the packet's headers said.
struct Wire {
    source: SocketAddr,
    destination: SocketAddr,
    protocol: Protocol,
    flags: TcpFlags,
    icmp: Option<(u8, u8)>,
}

impl Wire {
    fn of(flow: &flow::Flow) -> Option<Wire> {
        let ip = flow.ip.as_ref()?;
        let (source, destination): (IpAddr, IpAddr) = (ip.source.parse().ok()?, ip.destination.parse().ok()?);
        let plain = |protocol, from: u32, to: u32| (protocol, from, to, TcpFlags::default(), None);
        let icmp = |protocol, kind: u32, code: u32| {
            (protocol, 0, 0, TcpFlags::default(), Some((kind as u8, code as u8)))
        };
        let (protocol, from, to, flags, icmp) = match flow.l4.as_ref()?.protocol.as_ref()? {
            Layer4::Tcp(tcp) => {
                let flags = tcp.flags.as_ref().map(crate::choice::tcp_flags).unwrap_or_default();
                (Protocol::TCP, tcp.source_port, tcp.destination_port, flags, None)
            }
            Layer4::Udp(udp) => plain(Protocol::UDP, udp.source_port, udp.destination_port),
            Layer4::Sctp(sctp) => plain(Protocol::SCTP, sctp.source_port, sctp.destination_port),
            Layer4::IcmPv4(message) => icmp(Protocol::ICMP, message.r#type, message.code),
            Layer4::IcmPv6(message) => icmp(Protocol::ICMPV6, message.r#type, message.code),
            Layer4::Vrrp(_) => plain(Protocol(112), 0, 0),
            Layer4::Igmp(_) => plain(Protocol(2), 0, 0),
        };
        let port = |number: u32| u16::try_from(number).ok();
        let (source, destination) = ((source, port(from)?).into(), (destination, port(to)?).into());
        Some(Wire { source, destination, protocol, flags, icmp })
    }
}

fn end(at: SocketAddr, told: Option<&flow::Endpoint>, names: &[String], node: Option<&str>) -> Endpoint {
    let mut names = names.to_vec();
    let party = match told {
        Some(pod) if !pod.pod_name.is_empty() => Party::Pod {
            namespace: pod.namespace.clone(),
            pod: pod.pod_name.clone(),
            owner: pod
                .workloads
                .first()
                .map(|workload| OwnerName { kind: workload.kind.clone(), name: workload.name.clone() }),
            node: node.map(str::to_owned),
            labels: pod_labels(&pod.labels),
        },
        Some(other) if other.labels.iter().any(|label| is_node(label)) => {
            let name = names.pop().or(node.map(str::to_owned)).unwrap_or_else(|| at.ip().to_string());
            Party::Node { node: name }
        }
        _ => Party::Outside { name: None },
    };
    let dns = (!names.is_empty()).then(|| names.into_iter().map(String::into_boxed_str).collect());
    Endpoint { dns, ..Endpoint::new(at.ip(), at.port(), party) }
}

fn is_node(label: &str) -> bool {
    ["reserved:host", "reserved:remote-node"].contains(&label)
}

/// The labels that the pod itself has; others were derived from its namespace.
fn pod_labels(labels: &[String]) -> BTreeMap<String, String> {
    let own = labels.iter().filter_map(|label| label.strip_prefix("k8s:")).filter(|label| {
        !label.starts_with("io.kubernetes.pod.namespace=") && !label.starts_with("io.cilium.k8s.")
    });
    own.map(|label| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        (key.to_owned(), value.to_owned())
    })
    .collect()
}

/// The Service that was asked for, by the port that was reached as long as nobody tells the other.
fn service(flow: &flow::Flow, reply: bool, destination: &Endpoint) -> Option<Arc<ServiceName>> {
    let service = if reply { &flow.source_service } else { &flow.destination_service };
    let named = service.as_ref().filter(|service| !service.name.is_empty())?;
    let (namespace, name) = (named.namespace.clone(), named.name.clone());
    Some(Arc::new(ServiceName { namespace, name, port: destination.port }))
}

fn suppressed(flow: &flow::Flow) -> u64 {
    let Some(all) = &flow.aggregate else { return 0 };
    let count = u64::from(all.ingress_flow_count)
        + u64::from(all.egress_flow_count)
        + u64::from(all.unknown_direction_flow_count);
    count.saturating_sub(1)
}

/// What a direction decided, where the flow names policies.
fn decision(flow: &flow::Flow, direction: Direction, verdict: Verdict) -> Option<Decision> {
    let by = match (direction, verdict) {
        (Direction::Egress, Verdict::Allowed) => &flow.egress_allowed_by,
        (Direction::Egress, Verdict::Denied) => &flow.egress_denied_by,
        (Direction::Ingress, Verdict::Allowed) => &flow.ingress_allowed_by,
        (Direction::Ingress, Verdict::Denied) => &flow.ingress_denied_by,
    };
    let first = by.first()?;
    let told = |key: &str| first.labels.iter().find_map(|label| label.strip_prefix(key));
    let rule = told("podgate:rule=").and_then(place);
    let tier = told("podgate:tier=").and_then(tier);
    let reason = match (verdict, rule) {
        (_, Some((list, rule))) => Reason::Rule {
            policy: policy(first),
            tier: tier.unwrap_or(Tier::NetworkPolicy),
            list,
            rule,
            written: String::new(),
        },
        (Verdict::Denied, None) => Reason::Isolated { policies: by.iter().map(policy).collect() },
        // Which of its rules it was, nobody says.
        (Verdict::Allowed, None) => return None,
    };
    Some(Decision::new(verdict, reason))
}

/// `ingress[0]`.
fn place(text: &str) -> Option<(Direction, u32)> {
    let (list, index) = text.strip_suffix(']')?.split_once('[')?;
    let list = match list {
        "egress" => Direction::Egress,
        "ingress" => Direction::Ingress,
        _ => return None,
    };
    Some((list, index.parse().ok()?))
}

fn tier(word: &str) -> Option<Tier> {
    [Tier::Admin, Tier::NetworkPolicy, Tier::Baseline]
        .into_iter()
        .find(|tier| crate::flows::tier_word(*tier) == word)
}

fn policy(named: &flow::Policy) -> PolicyRef {
    PolicyRef { kind: named.kind.clone(), namespace: named.namespace.clone(), name: named.name.clone() }
}

fn add_details(record: &mut FlowRecord, details: &v1::Details) {
    record.egress = details.egress.as_ref().and_then(detailed).or(record.egress.take());
    record.ingress = details.ingress.as_ref().and_then(detailed).or(record.ingress.take());
    record.staged = details.staged.as_ref().and_then(|staged| {
        let (egress, ingress) = (staged.egress.as_ref(), staged.ingress.as_ref());
        Some(Box::new(Staged {
            verdict: told_verdict(staged.verdict())?,
            egress: egress.and_then(detailed),
            ingress: ingress.and_then(detailed),
        }))
    });
    record.policy_version = details.policy_version.parse().unwrap_or(PolicyVersion::default());
    record.suppressed = details.suppressed;
    record.cut = details.cut;
    record.asked = details.asked.parse().ok();
    let port = u16::try_from(details.service_port).unwrap_or_default();
    if let Some(service) = record.service.take() {
        record.service = Some(Arc::new(ServiceName { port, ..ServiceName::clone(&service) }));
    }
    let decided: Vec<Verdict> =
        [&record.egress, &record.ingress].into_iter().flatten().map(|d| d.verdict).collect();
    if decided.contains(&Verdict::Denied) {
        record.verdict = FlowVerdict::Denied;
    }
}

fn told_verdict(verdict: flow::Verdict) -> Option<Verdict> {
    match verdict {
        flow::Verdict::Forwarded => Some(Verdict::Allowed),
        flow::Verdict::Dropped => Some(Verdict::Denied),
        _ => None,
    }
}

fn detailed(told: &v1::Decision) -> Option<Decision> {
    let reason = match (told.reason.as_str(), &told.rule) {
        ("rule", Some(rule)) => Reason::Rule {
            policy: policy(told.policies.first()?),
            tier: tier(&rule.tier)?,
            list: list(rule.list())?,
            rule: rule.index,
            written: rule.written.clone(),
        },
        ("isolated", _) => Reason::Isolated { policies: told.policies.iter().map(policy).collect() },
        (word, _) => plain_reason(word)?,
    };
    let nearest = told.nearest.as_ref().and_then(|near| {
        let policy = policy(near.policy.as_ref()?);
        let list = list(near.list())?;
        Some(Arc::new(NearMiss { policy, list, rule: near.index, but: near.but.clone() }))
    });
    Some(Decision { nearest, ..Decision::new(told_verdict(told.verdict())?, reason) })
}

fn list(direction: flow::TrafficDirection) -> Option<Direction> {
    match direction {
        flow::TrafficDirection::Egress => Some(Direction::Egress),
        flow::TrafficDirection::Ingress => Some(Direction::Ingress),
        flow::TrafficDirection::Unknown => None,
    }
}

#[cfg(test)]
mod tests;
