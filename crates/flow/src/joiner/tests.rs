use std::net::SocketAddr;

use podgate_policy::{Decider, DeciderId, Direction, PolicyRef, RuleRef, Tier, Verdict};

use super::*;
use crate::{Basis, Endpoint, Party, Protocol, Reason, ServiceName, TcpFlags};

const RULE: DeciderId = DeciderId(77);
const ISOLATION: DeciderId = DeciderId(78);
const TCP: Protocol = Protocol::TCP;

/// Two pods on two nodes, a Service in front of the second, and the world.
fn names() -> Names {
    let pod = |pod: &str, node: &str| Party::Pod {
        namespace: "shop".into(),
        pod: pod.into(),
        owner: None,
        node: Some(node.into()),
        labels: Default::default(),
    };
    let mut names = Names::new();
    names.set_addresses(
        [
            ("10.0.1.1".parse().unwrap(), pod("web", "node-1")),
            ("10.0.2.1".parse().unwrap(), pod("db", "node-2")),
            ("172.16.0.1".parse().unwrap(), Party::Node { node: "node-1".into() }),
        ],
        [(
            ("10.96.0.5:80".parse().unwrap(), TCP),
            ServiceName { namespace: "shop".into(), name: "db".into(), port: 80 },
        )],
    );
    let policy = PolicyRef { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: "allow".into() };
    names.add_deciders([
        (
            RULE,
            Decider::Rule(RuleRef {
                policy: policy.clone(),
                tier: Tier::NetworkPolicy,
                direction: Direction::Egress,
                index: 0,
                name: String::new(),
                source: Default::default(),
            }),
        ),
        (ISOLATION, Decider::Isolation { direction: Direction::Ingress, policies: vec![policy] }),
    ]);
    names
}

fn allowed() -> Option<Half> {
    Some(Half { verdict: Verdict::Allowed, basis: Basis::Decider(RULE) })
}

fn denied() -> Option<Half> {
    Some(Half { verdict: Verdict::Denied, basis: Basis::Decider(ISOLATION) })
}

fn seen(node: &str, from: &str, to: &str, egress: Option<Half>, ingress: Option<Half>) -> Observation {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    Observation {
        time: Timestamp(0),
        node: node.into(),
        from: at(from),
        to: at(to),
        asked: None,
        protocol: TCP,
        tcp_flags: TcpFlags(2),
        icmp: None,
        would: None,
        reply: false,
        egress,
        ingress,
        cut: false,
        suppressed: 0,
    }
}

const WEB: &str = "10.0.1.1:4000";
const DB: &str = "10.0.2.1:5432";
const OUTSIDE: &str = "192.0.2.9:4000";

fn ms(millis: u64) -> Timestamp {
    Timestamp(millis * 1_000_000)
}

/// Feeds observations at their times and tells what came out when, as `time verdict egress ingress`.
#[track_caller]
fn check(input: &[(u64, Observation)], expected: &[&str]) {
    let names = names();
    let mut joiner = Joiner::new();
    let mut lines = Vec::new();
    for now in (0..=1000).step_by(10) {
        let mut out = Vec::new();
        for (_, half) in input.iter().filter(|(at, _)| *at == now) {
            joiner.observe(ms(now), half.clone(), &names, &mut out);
        }
        joiner.expire(ms(now), &names, &mut out);
        let side = |decision: &Option<Decision>| match decision {
            None => "-".to_owned(),
            Some(d) => format!("{:?}", d.verdict).to_lowercase(),
        };
        lines.extend(out.iter().map(|r| {
            format!("{now} {:?} at {}: {} {}", r.verdict, r.node, side(&r.egress), side(&r.ingress))
        }));
    }
    assert_eq!(lines, expected);
    assert_eq!(joiner.waiting(), 0);
    assert!(joiner.denied.is_empty() && joiner.deadlines.is_empty(), "nothing is kept for ever");
}

#[test]
fn both_ends_on_one_node_go_out_at_once() {
    check(&[(0, seen("node-1", WEB, DB, allowed(), allowed()))], &["0 Allowed at node-1: allowed allowed"]);
}

#[test]
fn two_allowed_halves_make_one_record_in_either_order() {
    let egress = seen("node-1", WEB, DB, allowed(), None);
    let ingress = seen("node-2", WEB, DB, None, allowed());
    check(&[(0, egress.clone()), (10, ingress.clone())], &["10 Allowed at node-1: allowed allowed"]);
    check(&[(0, ingress), (10, egress)], &["10 Allowed at node-2: allowed allowed"]);
}

#[test]
fn a_denial_at_the_source_goes_out_at_once() {
    check(&[(0, seen("node-1", WEB, DB, denied(), None))], &["0 Denied at node-1: denied -"]);
}

#[test]
fn a_denial_at_the_destination_takes_the_waiting_half_along() {
    check(
        &[(0, seen("node-1", WEB, DB, allowed(), None)), (20, seen("node-2", WEB, DB, None, denied()))],
        &["20 Denied at node-2: allowed denied"],
    );
}

#[test]
fn the_late_allowed_half_of_a_denied_connection_is_not_shown() {
    check(
        &[(0, seen("node-2", WEB, DB, None, denied())), (10, seen("node-1", WEB, DB, allowed(), None))],
        &["0 Denied at node-2: - denied"],
    );
}

#[test]
fn the_direction_that_denied_and_now_allows_is_shown() {
    check(
        &[
            (0, seen("node-2", WEB, DB, None, denied())),
            (50, seen("node-1", WEB, DB, allowed(), None)),
            (100, seen("node-2", WEB, DB, None, allowed())),
        ],
        &["0 Denied at node-2: - denied", "300 Unknown at node-2: - allowed"],
    );
}

#[test]
fn every_denied_attempt_is_shown() {
    check(
        &[(0, seen("node-2", WEB, DB, None, denied())), (100, seen("node-2", WEB, DB, None, denied()))],
        &["0 Denied at node-2: - denied", "100 Denied at node-2: - denied"],
    );
}

#[test]
fn a_half_without_its_other_end_is_shown_after_the_wait() {
    check(&[(0, seen("node-1", WEB, DB, allowed(), None))], &["200 Unknown at node-1: allowed -"]);
}

#[test]
fn the_outside_and_nodes_have_no_half_of_their_own() {
    check(&[(0, seen("node-2", OUTSIDE, DB, None, allowed()))], &["0 Allowed at node-2: - allowed"]);
    check(&[(0, seen("node-1", WEB, "192.0.2.9:443", allowed(), None))], &["0 Allowed at node-1: allowed -"]);
    check(
        &[(0, seen("node-1", "172.16.0.1:4000", "10.0.1.1:80", None, allowed()))],
        &["0 Allowed at node-1: - allowed"],
    );
}

#[test]
fn an_established_connection_that_staged_policies_would_cut_is_let_through() {
    let mut alone = seen("node-1", WEB, DB, None, None);
    alone.would = Some(Would { egress: denied(), ingress: None });
    check(&[(0, alone)], &["0 Allowed at node-1: - -"]);
}

#[test]
fn the_record_has_names_service_and_sums() {
    let names = names();
    let mut joiner = Joiner::new();
    let mut out = Vec::new();
    let mut egress = seen("node-1", WEB, DB, allowed(), None);
    egress.asked = Some("10.96.0.5:80".parse().unwrap());
    egress.suppressed = 2;
    let mut ingress = seen("node-2", WEB, DB, None, denied());
    ingress.cut = true;
    ingress.suppressed = 3;
    joiner.observe(ms(0), egress, &names, &mut out);
    joiner.observe(ms(1), ingress, &names, &mut out);

    let [record] = &out[..] else { panic!("{out:?}") };
    assert_eq!(record.service.as_ref().map(ToString::to_string).as_deref(), Some("shop/db:80"));
    assert_eq!(record.source.party.to_string(), "shop/web");
    assert_eq!(record.destination.party.to_string(), "shop/db");
    assert!(record.cut);
    assert_eq!(record.suppressed, 5);
    let reason = |d: &Option<Decision>| d.as_ref().map(|d| d.reason.to_string()).unwrap_or_default();
    assert_eq!(reason(&record.egress), "shop/allow egress[0]");
    assert_eq!(reason(&record.ingress), "isolated by shop/allow");
}

#[test]
fn records_survive_json() {
    let names = names();
    let mut joiner = Joiner::new();
    let mut out = Vec::new();
    joiner.observe(ms(0), seen("node-1", WEB, DB, allowed(), denied()), &names, &mut out);
    joiner.observe(ms(0), seen("node-2", OUTSIDE, DB, None, allowed()), &names, &mut out);
    for record in &out {
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(&serde_json::from_str::<FlowRecord>(&text).unwrap(), record, "{text}");
    }
    let outside: &Endpoint = &out[1].source;
    assert_eq!(*outside.party, Party::Outside { name: None });
    assert!(matches!(*out[0].egress.as_ref().unwrap().reason, Reason::Rule { rule: 0, .. }));
}
