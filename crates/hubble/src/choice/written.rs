//! Questions about records, as filters of podgate's own API have them.

use ipnet::IpNet;
use podgate_flow::{Denial, EndTerms, Family, FlowVerdict, Protocol, TcpFlags, Terms, WorkloadName};
use podgate_policy::Direction;

use crate::proto::{flow, podgate::v1};

/// The filter that asks the same. A Hubble server understands the part in `flow`; the rest only podgate's do.
///
/// What nothing fits ([`Terms::never`]) has no filter: questions that are read from filters by name never are so.
pub fn written(terms: &Terms) -> v1::Filter {
    let (source, source_workload) = end(&terms.source);
    let (destination, destination_workload) = end(&terms.destination);
    let flow = flow::FlowFilter {
        uuid: texts(&terms.ids),
        source_ip: source.ips,
        source_port: source.ports,
        source_pod: source.pods,
        source_service: source.services,
        source_label: source.labels,
        source_workload: source.workloads,
        source_fqdn: source.fqdns,
        source_identity: source.identities,
        source_ip_xlated: terms.translated.iter().map(block).collect(),
        destination_ip: destination.ips,
        destination_port: destination.ports,
        destination_pod: destination.pods,
        destination_service: destination.services,
        destination_label: destination.labels,
        destination_workload: destination.workloads,
        destination_fqdn: destination.fqdns,
        destination_identity: destination.identities,
        verdict: terms.verdicts.iter().map(|it| verdict(*it).into()).collect(),
        drop_reason_desc: terms.denials.iter().map(|it| drop_reason(*it).into()).collect(),
        traffic_direction: terms.directions.iter().map(|it| direction(*it).into()).collect(),
        reply: terms.replies.clone(),
        protocol: terms.protocols.iter().map(|it| protocol(*it)).collect(),
        tcp_flags: terms.tcp_flags.iter().map(|it| tcp_flags(*it)).collect(),
        ip_version: terms.families.iter().map(|it| family(*it).into()).collect(),
        node_name: texts(&terms.nodes),
        ..flow::FlowFilter::default()
    };
    v1::Filter {
        flow: (flow != flow::FlowFilter::default()).then_some(flow),
        policy: texts(&terms.policies),
        rule: texts(&terms.rules),
        staged: terms.staged,
        cut: terms.cut,
        source_workload,
        destination_workload,
    }
}

/// The lists of one end.
struct End {
    ips: Vec<String>,
    ports: Vec<String>,
    pods: Vec<String>,
    services: Vec<String>,
    labels: Vec<String>,
    workloads: Vec<flow::Workload>,
    fqdns: Vec<String>,
    identities: Vec<u32>,
}

/// An end's lists, and its workloads apart when Hubble's filters have no form for one of them: they know no namespaces
/// there.
fn end(terms: &EndTerms) -> (End, Vec<String>) {
    let is_own = terms.workloads.iter().any(|workload| workload.namespace.is_some());
    let (own, plain) = if is_own { (&terms.workloads[..], &[][..]) } else { (&[][..], &terms.workloads[..]) };
    let end = End {
        ips: terms.ips.iter().map(block).collect(),
        ports: texts(&terms.ports),
        pods: texts(&terms.pods),
        services: texts(&terms.services),
        labels: texts(&terms.labels),
        workloads: plain.iter().map(workload).collect(),
        fqdns: texts(&terms.fqdns),
        identities: terms.identities.clone(),
    };
    (end, texts(own))
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

fn block(block: &IpNet) -> String {
    match block.prefix_len() == block.max_prefix_len() {
        true => block.addr().to_string(),
        false => block.to_string(),
    }
}

fn workload(name: &WorkloadName) -> flow::Workload {
    flow::Workload {
        name: name.name.clone().unwrap_or_default(),
        kind: name.kind.clone().unwrap_or_default(),
    }
}

fn verdict(verdict: FlowVerdict) -> flow::Verdict {
    match verdict {
        FlowVerdict::Allowed => flow::Verdict::Forwarded,
        FlowVerdict::Denied => flow::Verdict::Dropped,
        FlowVerdict::Unknown => flow::Verdict::Unknown,
    }
}

fn drop_reason(denial: Denial) -> flow::DropReason {
    match denial {
        Denial::Rule => flow::DropReason::PolicyDeny,
        Denial::Isolation => flow::DropReason::PolicyDenied,
        Denial::NoTable => flow::DropReason::NoConfigurationAvailableToPerformPolicyDecision,
        Denial::Unreadable => flow::DropReason::InvalidPacketDropped,
    }
}

fn direction(direction: Direction) -> flow::TrafficDirection {
    match direction {
        Direction::Egress => flow::TrafficDirection::Egress,
        Direction::Ingress => flow::TrafficDirection::Ingress,
    }
}

/// By the names that Hubble has; `icmp` alone would be that of both versions of IP.
fn protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::ICMP => "icmpv4".to_owned(),
        other => other.to_string().to_ascii_lowercase(),
    }
}

fn family(family: Family) -> flow::IpVersion {
    match family {
        Family::V4 => flow::IpVersion::IPv4,
        Family::V6 => flow::IpVersion::IPv6,
    }
}

fn tcp_flags(flags: TcpFlags) -> flow::TcpFlags {
    flow::TcpFlags {
        fin: flags.has("FIN"),
        syn: flags.has("SYN"),
        rst: flags.has("RST"),
        psh: flags.has("PSH"),
        ack: flags.has("ACK"),
        urg: flags.has("URG"),
        ece: flags.has("ECE"),
        cwr: flags.has("CWR"),
        ns: false,
    }
}
