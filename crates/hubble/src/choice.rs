//! Filters of the Hubble API as questions about records, and questions as such filters.

mod written;

use std::net::IpAddr;

use ipnet::IpNet;
use podgate_flow::{
    Denial, EndTerms, Family, Filter, FlowVerdict, NamePrefix, Protocol, Query, Take, TcpFlags, Terms,
    WorkloadName,
};
use podgate_policy::Direction;

use crate::flows::{POLICY_VERDICT, timestamp};
use crate::proto::podgate::v1::GetRecordsRequest;
use crate::proto::{flow, podgate::v1};

pub use written::written;

/// Why a filter can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nothing that podgate knows of a flow answers it.
    #[error("the filter {0} is not supported: podgate's flows don't have what it asks for; leave it out")]
    Unsupported(&'static str),
    /// It can't be read.
    #[error("the filter {field} can't be read: {why}")]
    Unreadable {
        /// Which one.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// The filter that a list of filters to fit and one of filters not to fit are.
pub fn filter(
    any_of: &[flow::FlowFilter],
    none_of: &[flow::FlowFilter],
    cluster: &str,
) -> Result<Filter, Unusable> {
    let all = |filters: &[flow::FlowFilter]| {
        filters.iter().map(|filter| terms(filter, cluster)).collect::<Result<_, _>>()
    };
    Ok(Filter { any_of: all(any_of)?, none_of: all(none_of)?, ..Filter::default() })
}

/// The same for filters of podgate's own API, which know policies and rules.
pub fn own_filter(any_of: &[v1::Filter], none_of: &[v1::Filter], cluster: &str) -> Result<Filter, Unusable> {
    let all = |filters: &[v1::Filter]| {
        filters.iter().map(|filter| own_terms(filter, cluster)).collect::<Result<_, _>>()
    };
    Ok(Filter { any_of: all(any_of)?, none_of: all(none_of)?, ..Filter::default() })
}

/// The records that a request of podgate's own API asks for.
///
/// # Errors
/// When a filter of it can't be used.
pub fn query(request: &GetRecordsRequest, cluster: &str) -> Result<Query, Unusable> {
    let number = usize::try_from(request.number).unwrap_or(usize::MAX);
    Ok(Query {
        filter: own_filter(&request.any_of, &request.none_of, cluster)?,
        since: request.since.as_ref().map(timestamp),
        until: request.until.as_ref().map(timestamp),
        take: match (number, request.first) {
            (0, _) => Take::All,
            (number, true) => Take::First(number),
            (number, false) => Take::Last(number),
        },
    })
}

fn own_terms(filter: &v1::Filter, cluster: &str) -> Result<Terms, Unusable> {
    let mut flow = filter.flow.as_ref().map(|flow| terms(flow, cluster)).transpose()?.unwrap_or_default();
    flow.source.workloads.extend(parsed("source_workload", &filter.source_workload)?);
    flow.destination.workloads.extend(parsed("destination_workload", &filter.destination_workload)?);
    Ok(Terms {
        policies: parsed("policy", &filter.policy)?,
        rules: parsed("rule", &filter.rule)?,
        staged: filter.staged,
        cut: filter.cut,
        ..flow
    })
}

/// The questions that one filter asks.
pub fn terms(filter: &flow::FlowFilter, cluster: &str) -> Result<Terms, Unusable> {
    refuse_unsupported(filter)?;
    let mut terms = Terms {
        source: EndTerms {
            ips: blocks("source_ip", &filter.source_ip)?,
            ports: parsed("source_port", &filter.source_port)?,
            pods: names("source_pod", &filter.source_pod)?,
            services: names("source_service", &filter.source_service)?,
            labels: parsed("source_label", &filter.source_label)?,
            workloads: filter.source_workload.iter().map(workload).collect(),
            fqdns: parsed("source_fqdn", &filter.source_fqdn)?,
            identities: filter.source_identity.clone(),
        },
        destination: EndTerms {
            ips: blocks("destination_ip", &filter.destination_ip)?,
            ports: parsed("destination_port", &filter.destination_port)?,
            pods: names("destination_pod", &filter.destination_pod)?,
            services: names("destination_service", &filter.destination_service)?,
            labels: parsed("destination_label", &filter.destination_label)?,
            workloads: filter.destination_workload.iter().map(workload).collect(),
            fqdns: parsed("destination_fqdn", &filter.destination_fqdn)?,
            identities: filter.destination_identity.clone(),
        },
        ids: parsed("uuid", &filter.uuid)?,
        tcp_flags: filter.tcp_flags.iter().map(tcp_flags).collect(),
        translated: blocks("source_ip_xlated", &filter.source_ip_xlated)?,
        replies: filter.reply.clone(),
        ..Terms::default()
    };
    for ids in &mut terms.ids {
        *ids = crate::flows::record_id(*ids);
    }
    let mut any = |asked: bool, fits: bool| terms.never |= asked && !fits;
    let ours = |names: &[String]| names.iter().any(|name| name == cluster);
    any(!filter.source_cluster_name.is_empty(), ours(&filter.source_cluster_name));
    any(!filter.destination_cluster_name.is_empty(), ours(&filter.destination_cluster_name));

    terms.verdicts = filter.verdict().filter_map(verdict).collect();
    terms.never |= !filter.verdict.is_empty() && terms.verdicts.is_empty();
    terms.denials = filter.drop_reason_desc().filter_map(denial).collect();
    terms.never |= !filter.drop_reason_desc.is_empty() && terms.denials.is_empty();
    terms.directions = filter.traffic_direction().filter_map(direction).collect();
    terms.never |= !filter.traffic_direction.is_empty() && terms.directions.is_empty();
    terms.families = filter.ip_version().filter_map(family).collect();
    terms.never |= !filter.ip_version.is_empty() && terms.families.is_empty();
    terms.never |= !filter.encrypted.is_empty() && !filter.encrypted.contains(&false);
    terms.protocols = protocols(&filter.protocol)?;
    terms.never |= !filter.protocol.is_empty() && terms.protocols.is_empty();
    nodes(&mut terms, &filter.node_name, cluster)?;
    event_types(&mut terms, &filter.event_type);
    Ok(terms)
}

/// Fields that ask for what podgate has not at all. To leave them out in silence would show too much.
fn refuse_unsupported(filter: &flow::FlowFilter) -> Result<(), Unusable> {
    let cel =
        filter.experimental.as_ref().is_some_and(|experimental| !experimental.cel_expression.is_empty());
    for (field, is_used) in [
        ("http_status_code", !filter.http_status_code.is_empty()),
        ("http_method", !filter.http_method.is_empty()),
        ("http_path", !filter.http_path.is_empty()),
        ("http_url", !filter.http_url.is_empty()),
        ("http_header", !filter.http_header.is_empty()),
        ("dns_query", !filter.dns_query.is_empty()),
        ("trace_id", !filter.trace_id.is_empty()),
        ("ip_trace_id", !filter.ip_trace_id.is_empty()),
        ("interface", !filter.interface.is_empty()),
        ("node_labels", !filter.node_labels.is_empty()),
        ("experimental.cel_expression", cel),
    ] {
        if is_used {
            return Err(Unusable::Unsupported(field));
        }
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(field: &'static str, texts: &[String]) -> Result<Vec<T>, Unusable>
where
    T::Err: std::fmt::Display,
{
    let parse = |text: &String| {
        text.parse().map_err(|why: T::Err| Unusable::Unreadable { field, why: format!("{text:?}: {why}") })
    };
    texts.iter().map(parse).collect()
}

/// A name without a namespace is one of the namespace `default`, and an empty one any name.
fn names(field: &'static str, texts: &[String]) -> Result<Vec<NamePrefix>, Unusable> {
    let mut names = parsed::<NamePrefix>(field, texts)?;
    for (name, text) in names.iter_mut().zip(texts) {
        if text.is_empty() {
            return Err(Unusable::Unreadable { field, why: "a name is empty".to_owned() });
        }
        if !text.contains('/') {
            name.namespace = Some("default".to_owned());
        }
    }
    Ok(names)
}

fn blocks(field: &'static str, texts: &[String]) -> Result<Vec<IpNet>, Unusable> {
    let block = |text: &String| {
        let read = match text.contains('/') {
            true => text.parse::<IpNet>().ok(),
            false => text.parse::<IpAddr>().ok().map(IpNet::from),
        };
        let why = || format!("{text:?} is neither an address nor a block such as 10.0.0.0/8");
        read.ok_or_else(|| Unusable::Unreadable { field, why: why() })
    };
    texts.iter().map(block).collect()
}

fn workload(workload: &flow::Workload) -> WorkloadName {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    WorkloadName { kind: given(&workload.kind), namespace: None, name: given(&workload.name) }
}

pub(crate) fn tcp_flags(flags: &flow::TcpFlags) -> TcpFlags {
    let bits = [flags.fin, flags.syn, flags.rst, flags.psh, flags.ack, flags.urg, flags.ece, flags.cwr];
    TcpFlags(bits.into_iter().enumerate().fold(0, |sum, (bit, is_set)| sum | u8::from(is_set) << bit))
}

fn verdict(verdict: flow::Verdict) -> Option<FlowVerdict> {
    match verdict {
        flow::Verdict::Forwarded => Some(FlowVerdict::Allowed),
        flow::Verdict::Dropped => Some(FlowVerdict::Denied),
        flow::Verdict::Unknown => Some(FlowVerdict::Unknown),
        _ => None,
    }
}

fn denial(reason: flow::DropReason) -> Option<Denial> {
    match reason {
        flow::DropReason::PolicyDeny => Some(Denial::Rule),
        flow::DropReason::PolicyDenied => Some(Denial::Isolation),
        flow::DropReason::NoConfigurationAvailableToPerformPolicyDecision => Some(Denial::NoTable),
        flow::DropReason::InvalidPacketDropped => Some(Denial::Unreadable),
        _ => None,
    }
}

fn direction(direction: flow::TrafficDirection) -> Option<Direction> {
    match direction {
        flow::TrafficDirection::Egress => Some(Direction::Egress),
        flow::TrafficDirection::Ingress => Some(Direction::Ingress),
        flow::TrafficDirection::Unknown => None,
    }
}

fn family(version: flow::IpVersion) -> Option<Family> {
    match version {
        flow::IpVersion::IPv4 => Some(Family::V4),
        flow::IpVersion::IPv6 => Some(Family::V6),
        flow::IpVersion::IpNotUsed => None,
    }
}

fn protocols(texts: &[String]) -> Result<Vec<Protocol>, Unusable> {
    let mut protocols = Vec::new();
    for text in texts {
        match text.to_ascii_lowercase().as_str() {
            "icmp" => protocols.extend([Protocol::ICMP, Protocol::ICMPV6]),
            "icmpv4" => protocols.push(Protocol::ICMP),
            // Protocols above those that podgate judges: none of its flows has them.
            "dns" | "http" | "kafka" | "vrrp" | "igmp" => {}
            other => {
                protocols.push(other.parse().map_err(|why| Unusable::Unreadable { field: "protocol", why })?)
            }
        }
    }
    Ok(protocols)
}

/// `[cluster/]node`, with stars.
fn nodes(terms: &mut Terms, texts: &[String], cluster: &str) -> Result<(), Unusable> {
    for text in texts {
        let (wanted, node) = text.split_once('/').unwrap_or(("", text));
        let is_ours = match wanted {
            "" => true,
            wanted => parsed::<podgate_flow::Pattern>("node_name", &[wanted.to_owned()])?[0].fits(cluster),
        };
        let node = if node.is_empty() { "*" } else { node };
        if is_ours {
            terms.nodes.extend(parsed("node_name", &[node.to_owned()])?);
        }
    }
    terms.never |= !texts.is_empty() && terms.nodes.is_empty();
    Ok(())
}

/// What Cilium reports as events of several types is one flow here. So those who ask for drops get what was denied,
/// and those who ask for traces what was allowed.
fn event_types(terms: &mut Terms, types: &[flow::EventTypeFilter]) {
    const DROP: i32 = 1;
    const TRACE: i32 = 4;
    if types.is_empty() || types.iter().any(|wanted| [0, POLICY_VERDICT].contains(&wanted.r#type)) {
        return;
    }
    let wants = |number: i32| types.iter().any(|wanted| wanted.r#type == number);
    let mut verdicts = Vec::new();
    if wants(DROP) {
        verdicts.push(FlowVerdict::Denied);
    }
    if wants(TRACE) {
        verdicts.extend([FlowVerdict::Allowed, FlowVerdict::Unknown]);
    }
    if !terms.verdicts.is_empty() {
        verdicts.retain(|verdict| terms.verdicts.contains(verdict));
    }
    terms.never |= verdicts.is_empty();
    terms.verdicts = verdicts;
}

#[cfg(test)]
mod tests;
