//! Records for tests.

use std::sync::Arc;

use podgate_flow::{
    Decision, Endpoint, FlowRecord, FlowVerdict, NearMiss, OwnerName, Party, Protocol, Reason, ServiceName,
    TcpFlags, Timestamp,
};
use podgate_policy::{Direction, PolicyRef, Tier, Verdict};

fn policy(name: &str) -> PolicyRef {
    PolicyRef { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: name.into() }
}

fn rule(name: &str, list: Direction, rule: u32) -> Decision {
    let (policy, tier) = (policy(name), Tier::NetworkPolicy);
    Decision::new(Verdict::Allowed, Reason::Rule { policy, tier, list, rule, written: String::new() })
}

fn pod(name: &str) -> Party {
    let workload = name.split('-').next().unwrap_or(name);
    Party::Pod {
        namespace: "shop".into(),
        pod: name.into(),
        owner: Some(OwnerName { kind: "Deployment".into(), name: workload.into() }),
        node: None,
        labels: Default::default(),
    }
}

/// Allowed by a rule at either end.
pub fn allowed() -> FlowRecord {
    let source = Endpoint::new("10.0.1.5".parse().unwrap(), 40_000, pod("web-1"));
    let destination = Endpoint::new("10.0.2.7".parse().unwrap(), 5432, pod("db-0"));
    FlowRecord {
        tcp_flags: TcpFlags(2),
        egress: Some(rule("web-out", Direction::Egress, 1)),
        ingress: Some(rule("db-in", Direction::Ingress, 0)),
        ..FlowRecord::new(
            Timestamp(1_769_853_600_123_000_000),
            "a",
            FlowVerdict::Allowed,
            Protocol::TCP,
            source,
            destination,
        )
    }
}

/// Asked for by a Service's name, denied by two policies that isolate; a rule came near.
pub fn denied() -> FlowRecord {
    let isolated = Reason::Isolated { policies: vec![policy("db-in"), policy("default-deny")] };
    let near = NearMiss {
        policy: policy("db-in"),
        list: Direction::Ingress,
        rule: 0,
        but: "the port is not 5433".into(),
    };
    FlowRecord {
        verdict: FlowVerdict::Denied,
        ingress: Some(Decision { nearest: Some(Arc::new(near)), ..Decision::new(Verdict::Denied, isolated) }),
        service: Some(Arc::new(ServiceName { namespace: "shop".into(), name: "db".into(), port: 5432 })),
        suppressed: 36,
        ..allowed()
    }
}
