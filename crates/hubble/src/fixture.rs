//! Records for tests.

use std::sync::Arc;

use podgate_flow::{
    Decision, Endpoint, FlowId, FlowRecord, FlowVerdict, NearMiss, OwnerName, Party, PolicyVersion, Protocol,
    Reason, ServiceName, Staged, TcpFlags, Timestamp,
};
use podgate_policy::{Direction, PolicyRef, Tier, Verdict};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// A pod of a Deployment in the namespace `shop`.
pub(crate) fn pod(name: &str, node: &str) -> Party {
    let workload = name.split('-').next().unwrap_or(name);
    Party::Pod {
        namespace: "shop".into(),
        pod: name.into(),
        owner: Some(OwnerName { kind: "Deployment".into(), name: workload.into() }),
        node: Some(node.into()),
        labels: [("app".to_owned(), workload.to_owned())].into(),
    }
}

pub(crate) fn policy(name: &str) -> PolicyRef {
    PolicyRef { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: name.into() }
}

/// `shop/NAME LIST[INDEX]` in `shop.yaml`.
pub(crate) fn rule(verdict: Verdict, name: &str, list: Direction, index: u32) -> Decision {
    let written = "shop.yaml:7:3".to_owned();
    let reason = Reason::Rule { policy: policy(name), tier: Tier::NetworkPolicy, list, rule: index, written };
    Decision::new(verdict, reason)
}

/// From `shop/web-1` on node `a` to `shop/db-0` on node `b`, allowed by a rule at either end.
pub(crate) fn allowed(second: u64) -> FlowRecord {
    let source = Endpoint::new("10.0.1.5".parse().unwrap(), 40_000, pod("web-1", "a"));
    let destination = Endpoint::new("10.0.2.7".parse().unwrap(), 5432, pod("db-0", "b"));
    let time = Timestamp(second * SECOND);
    FlowRecord {
        id: FlowId(u128::from(time.0) << 64 | 1),
        tcp_flags: TcpFlags(2),
        egress: Some(rule(Verdict::Allowed, "web-out", Direction::Egress, 1)),
        ingress: Some(rule(Verdict::Allowed, "db-in", Direction::Ingress, 0)),
        policy_version: PolicyVersion(0xabc),
        ..FlowRecord::new(time, "a", FlowVerdict::Allowed, Protocol::TCP, source, destination)
    }
}

/// The same, through a Service, denied at its end by two policies that isolate; a rule came near.
pub(crate) fn denied(second: u64) -> FlowRecord {
    let isolated = Reason::Isolated { policies: vec![policy("db-in"), policy("default-deny")] };
    let near = NearMiss {
        policy: policy("db-in"),
        list: Direction::Ingress,
        rule: 0,
        but: "port 5432 is not 5433".into(),
    };
    let ingress = Decision { nearest: Some(Arc::new(near)), ..Decision::new(Verdict::Denied, isolated) };
    FlowRecord {
        verdict: FlowVerdict::Denied,
        node: "b".into(),
        ingress: Some(ingress),
        asked: Some("10.96.0.9:5432".parse().unwrap()),
        service: Some(Arc::new(ServiceName { namespace: "shop".into(), name: "db".into(), port: 5432 })),
        suppressed: 36,
        ..allowed(second)
    }
}

/// A name lookup that leaves the cluster; staged policies would deny it.
pub(crate) fn outbound(second: u64) -> FlowRecord {
    let source = Endpoint::new("fd00::5".parse().unwrap(), 50_000, pod("web-1", "a"));
    let mut destination =
        Endpoint::new("2001:db8::1".parse().unwrap(), 53, Party::Outside { name: Some("isp".into()) });
    destination.dns = Some(["dns.example".into()].into());
    let staged = Staged {
        verdict: Verdict::Denied,
        egress: Some(Decision::new(Verdict::Denied, Reason::Isolated { policies: vec![policy("tight")] })),
        ingress: None,
    };
    let time = Timestamp(second * SECOND);
    FlowRecord {
        id: FlowId(u128::from(time.0) << 64 | 2),
        egress: Some(Decision::new(Verdict::Allowed, Reason::NotIsolated)),
        staged: Some(Box::new(staged)),
        ..FlowRecord::new(time, "a", FlowVerdict::Allowed, Protocol::UDP, source, destination)
    }
}
