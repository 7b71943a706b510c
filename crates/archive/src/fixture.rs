//! Traffic for tests: made up from numbers, the same each time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use podgate_flow::{
    Decision, Edge, EdgeMinute, Endpoint, FlowId, FlowRecord, FlowVerdict, NearMiss, OwnerName, Party, Place,
    PolicyVersion, Protocol, Reason, ServiceName, Staged, TcpFlags, Timestamp, Totals,
};
use podgate_policy::{Direction, PolicyRef, Tier, Verdict};

/// 2026-11-23T14:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_795_442_400_000_000_000);

pub(crate) fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

fn policy(kind: &str, namespace: &str, name: &str) -> PolicyRef {
    PolicyRef { kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

/// Reasons of every shape.
pub(crate) fn reasons() -> Vec<Arc<Reason>> {
    let rule = |policy, tier, list, rule, written: &str| Reason::Rule {
        policy,
        tier,
        list,
        rule,
        written: written.to_owned(),
    };
    let allow = policy("NetworkPolicy", "shop", "allow-web");
    let admin = policy("ClusterNetworkPolicy", "", "no-metadata");
    [
        rule(allow.clone(), Tier::NetworkPolicy, Direction::Ingress, 0, "shop.yaml:12:5"),
        rule(allow.clone(), Tier::NetworkPolicy, Direction::Egress, 7, ""),
        rule(admin, Tier::Admin, Direction::Egress, 1, ""),
        Reason::Isolated { policies: vec![policy("NetworkPolicy", "shop", "deny"), allow] },
        Reason::NotIsolated,
        Reason::IcmpEcho,
        Reason::NotAPod,
        Reason::Forgotten,
    ]
    .map(Arc::new)
    .into()
}

fn pod(number: u64) -> Arc<Party> {
    let workload = format!("app-{}", number / 4);
    let labels = [("app", workload.clone()), ("tier", format!("\"quoted\" {}", number % 3))];
    Arc::new(Party::Pod {
        namespace: format!("team-{}", number % 5),
        pod: format!("{workload}-{number}"),
        owner: (!number.is_multiple_of(4))
            .then(|| OwnerName { kind: "Deployment".into(), name: workload.clone() }),
        node: (!number.is_multiple_of(3)).then(|| format!("node-{}", number % 2)),
        labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    })
}

/// Records in which every field has every shape, one a millisecond.
pub(crate) fn records(count: u64) -> Vec<Arc<FlowRecord>> {
    let pods: Vec<Arc<Party>> = (0..20).map(pod).collect();
    let reasons = reasons();
    (0..count).map(|number| Arc::new(record(number, &pods, &reasons))).collect()
}

fn record(number: u64, pods: &[Arc<Party>], reasons: &[Arc<Reason>]) -> FlowRecord {
    let time = START.after(Duration::from_nanos(number * 1_000_000 + 123));
    let party = |number: u64| match number % 11 {
        9 => Arc::new(Party::Node { node: "node-1".into() }),
        10 => Arc::new(Party::Outside { name: number.is_multiple_of(2).then(|| "internet".into()) }),
        _ => pods[number as usize % pods.len()].clone(),
    };
    let ip = |number: u64| match number.is_multiple_of(5) {
        true => IpAddr::from(Ipv6Addr::from(0xfd00 << 112 | u128::from(number % 40))),
        false => IpAddr::from(Ipv4Addr::from(0x0a00_0000 | (number % 40) as u32)),
    };
    let end = |number: u64, port| Endpoint::new(ip(number), port, party(number));
    let reason = |number: u64| reasons[number as usize % reasons.len()].clone();
    let protocol = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol(200)][number as usize % 4];
    let (source, destination) = (end(number, 40_000 + number as u16 % 999), end(number * 7 + 1, 443));
    let verdict = [FlowVerdict::Allowed, FlowVerdict::Denied, FlowVerdict::Unknown][number as usize % 3];
    let mut record = FlowRecord::new(time, "node-1", verdict, protocol, source, destination);
    record.id = FlowId(u128::from(time.0) << 64 | u128::from(number));
    record.tcp_flags = TcpFlags(if protocol == Protocol::TCP { 2 } else { 0 });
    record.icmp = (protocol == Protocol::ICMP).then_some((8, 255));
    if number.is_multiple_of(6) {
        record.asked = Some(SocketAddr::new(ip(3), 80));
        let service = ServiceName { namespace: "shop".into(), name: "web".into(), port: 80 };
        record.service = Some(Arc::new(service));
        record.destination.dns = Some(["a.example".into(), "b.example".into()].into());
    }
    record.egress = (!number.is_multiple_of(4)).then(|| Decision::new(Verdict::Allowed, reason(number)));
    record.ingress = (!number.is_multiple_of(5)).then(|| Decision {
        nearest: number.is_multiple_of(2).then(|| {
            let policy = policy("NetworkPolicy", "shop", "allow-web");
            Arc::new(NearMiss { policy, list: Direction::Ingress, rule: 2, but: "port 81 is not 80".into() })
        }),
        ..Decision::new(Verdict::Denied, reason(number / 3))
    });
    record.staged = number.is_multiple_of(9).then(|| {
        let ingress = Some(Decision::new(Verdict::Denied, reason(3)));
        Box::new(Staged { verdict: Verdict::Denied, egress: None, ingress })
    });
    record.policy_version = PolicyVersion(number / 1000 * 0xabc);
    record.reply = number.is_multiple_of(10);
    record.cut = number.is_multiple_of(13);
    record.suppressed = if number.is_multiple_of(17) { u64::from(u32::MAX) + number } else { 0 };
    record
}

/// Minutes of edges as in a cluster of so many edges: most are quiet, a few are not.
pub(crate) fn minutes(edges: u64, minutes: u64) -> Vec<Arc<EdgeMinute>> {
    let reasons = reasons();
    let node: Arc<str> = "node-1".into();
    let place = |number: u64| {
        Arc::new(match number % 12 {
            10 => Place::Node { node: "node-1".into() },
            11 => Place::Outside {
                ip: IpAddr::from(Ipv4Addr::from(0xc633_6400 | (number % 200) as u32)),
                name: number.is_multiple_of(5).then(|| "api.example.com".into()),
            },
            _ => Place::Workload {
                namespace: format!("team-{}", number % 40),
                owner: OwnerName { kind: "Deployment".into(), name: format!("service-{}", number % 300) },
            },
        })
    };
    let edge = |number: u64| {
        Arc::new(Edge {
            source: place(number * 31 + 7),
            destination: place(number),
            protocol: if number.is_multiple_of(9) { Protocol::UDP } else { Protocol::TCP },
            port: [443, 8080, 5432, 53, 9090][number as usize % 5],
            verdict: if number.is_multiple_of(50) { Verdict::Denied } else { Verdict::Allowed },
            egress: (!number.is_multiple_of(3)).then(|| reasons[number as usize % reasons.len()].clone()),
            ingress: (number.is_multiple_of(3)).then(|| reasons[number as usize % 5].clone()),
        })
    };
    let all: Vec<Arc<Edge>> = (0..edges).map(edge).collect();
    let mut seed = 1_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut out = Vec::new();
    for minute in 0..minutes {
        for (number, edge) in all.iter().enumerate() {
            let busy = 1 + 1000 / (1 + number as u64 % 97);
            let connections = 1 + random(busy);
            let packets = connections * (4 + random(20));
            let totals = Totals {
                connections,
                packets,
                bytes: packets * (60 + random(700)),
                reply_packets: packets - random(connections + 1),
                reply_bytes: packets * (60 + random(1300)),
            };
            out.push(Arc::new(EdgeMinute {
                minute: at(60 * minute),
                node: node.clone(),
                policy_version: PolicyVersion(7),
                edge: edge.clone(),
                totals,
            }));
        }
    }
    out
}
