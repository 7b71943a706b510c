//! A small report that has one of everything.

use podgate_flow::{Decision, Reason};
use podgate_lab::probe::{
    Cell, Expected, Measured, Place, PlaceKind, Possible, ProbeReport, Target, TargetKind, Wire,
};
use podgate_policy::{Direction, PolicyRef, Tier, Verdict};

fn policy(name: &str) -> PolicyRef {
    PolicyRef { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: name.into() }
}

pub fn open() -> Decision {
    Decision::new(Verdict::Allowed, Reason::NotIsolated)
}

pub fn rule() -> Decision {
    let reason = Reason::Rule {
        policy: policy("allow-web"),
        tier: Tier::NetworkPolicy,
        list: Direction::Ingress,
        rule: 0,
        written: "a.yaml:7:3".into(),
    };
    Decision::new(Verdict::Allowed, reason)
}

pub fn isolated() -> Decision {
    let policies = vec![policy("allow-web"), policy("default-deny")];
    Decision::new(Verdict::Denied, Reason::Isolated { policies })
}

fn way(answers: &str, ingress: Decision) -> Possible {
    Possible { answers: answers.into(), verdict: ingress.verdict, egress: open(), ingress }
}

fn pod(name: &str) -> Place {
    let group = name.rsplit_once('-').map_or(name, |(group, _)| group).to_owned();
    Place { name: name.into(), group, kind: PlaceKind::Pod }
}

fn target(name: &str, kind: TargetKind, wire: Wire, port: u16, declared: bool) -> Target {
    let group = match kind {
        TargetKind::Pod => name.rsplit_once('-').map_or(name, |(group, _)| group).to_owned(),
        TargetKind::Outside => "outside".to_owned(),
        _ => name.to_owned(),
    };
    Target { name: name.into(), group, kind, wire, port, declared }
}

/// Two web pods, a database, a Service in front of two unlike backends, the outside; one difference.
pub fn report() -> ProbeReport {
    let reached = || Measured::Reached { by: None };
    let cell = |from, to, ways: Vec<Possible>, measured| Cell {
        from,
        to,
        source_ip: "10.244.0.1".parse().unwrap(),
        target_ip: "10.244.0.2".parse().unwrap(),
        expected: Expected::new(ways),
        measured,
    };
    let one = |decision: Decision| vec![way("shop/db-0", decision)];
    ProbeReport {
        lab: "lab".into(),
        sources: vec![pod("shop/web-0"), pod("shop/web-1"), pod("shop/db-0")],
        targets: vec![
            target("shop/db-0", TargetKind::Pod, Wire::Tcp, 5432, true),
            target("shop/db-0", TargetKind::Pod, Wire::Tcp, 4242, false),
            target("shop/db-0", TargetKind::Pod, Wire::Echo, 0, true),
            target("shop/mixed", TargetKind::Service, Wire::Udp, 53, true),
            target("outside/192.0.2.1", TargetKind::Outside, Wire::Tcp, 443, true),
            target("outside/198.51.100.10", TargetKind::Outside, Wire::Tcp, 443, true),
        ],
        cells: vec![
            cell(0, 0, one(rule()), reached()),
            cell(0, 1, one(isolated()), Measured::Dropped),
            cell(0, 2, one(isolated()), reached()),
            cell(0, 3, vec![way("shop/a-0", rule()), way("shop/b-0", isolated())], Measured::Dropped),
            cell(0, 4, one(open()), reached()),
            cell(0, 5, one(open()), reached()),
            cell(1, 0, one(isolated()), Measured::Dropped),
            cell(1, 1, one(isolated()), Measured::Dropped),
            cell(1, 2, one(isolated()), Measured::Dropped),
            cell(2, 4, one(open()), reached()),
            cell(2, 5, one(open()), reached()),
        ],
        retried: 1,
        notes: vec!["Service shop/none port TCP 80: no pod answers on it, so it is not tried".into()],
        seconds: 1.25,
    }
}
