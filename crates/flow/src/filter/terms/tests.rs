use std::sync::Arc;

use podgate_policy::Tier;

use super::*;
use crate::fixture::flow;
use crate::{Filter, FlowRecord, Party, ServiceName};

fn policy(name: &str) -> PolicyRef {
    PolicyRef { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: name.into() }
}

/// Allowed by `shop/out egress[1]`, denied by the isolation of `shop/in`; asked for by a Service's name.
fn record() -> FlowRecord {
    let rule = Reason::Rule {
        policy: policy("out"),
        tier: Tier::NetworkPolicy,
        list: Direction::Egress,
        rule: 1,
        written: String::new(),
    };
    let isolated = Reason::Isolated { policies: vec![policy("in")] };
    let mut record = flow(5);
    record.verdict = FlowVerdict::Denied;
    record.egress = Some(Decision::new(Verdict::Allowed, rule));
    record.ingress = Some(Decision::new(Verdict::Denied, isolated));
    record.asked = Some("10.96.0.7:80".parse().unwrap());
    record.service = Some(Arc::new(ServiceName { namespace: "shop".into(), name: "db".into(), port: 80 }));
    record.destination.dns = Some(["db.example".into()].into());
    record
}

#[track_caller]
fn check(terms: Terms, whole: bool, egress: bool, ingress: bool) {
    let record = record();
    let half = |direction| terms.accept(View::half(&record, direction).unwrap());
    let got = (terms.accept(View::whole(&record)), half(Direction::Egress), half(Direction::Ingress));
    assert_eq!(got, (whole, egress, ingress), "{terms:?}");
}

#[test]
fn a_direction_has_its_own_verdict_policies_and_rules() {
    let none = Terms::default;
    check(none(), true, true, true);
    check(Terms { never: true, ..none() }, false, false, false);
    check(Terms { verdicts: vec![FlowVerdict::Denied], ..none() }, true, false, true);
    check(Terms { verdicts: vec![FlowVerdict::Allowed], ..none() }, false, true, false);
    check(Terms { directions: vec![Direction::Egress], ..none() }, true, true, false);
    check(Terms { denials: vec![Denial::Isolation], ..none() }, true, false, true);
    check(Terms { denials: vec![Denial::Rule], ..none() }, false, false, false);
    check(Terms { policies: vec!["shop/out".parse().unwrap()], ..none() }, true, true, false);
    check(Terms { policies: vec!["NetworkPolicy in".parse().unwrap()], ..none() }, true, false, true);
    check(Terms { policies: vec!["other/in".parse().unwrap()], ..none() }, false, false, false);
    check(Terms { rules: vec!["egress[1]".parse().unwrap()], ..none() }, true, true, false);
    check(Terms { rules: vec!["shop/out egress[0]".parse().unwrap()], ..none() }, false, false, false);
    check(Terms { staged: true, ..none() }, false, false, false);
    check(Terms { cut: true, ..none() }, false, false, false);
}

#[test]
fn each_question_is_asked() {
    let fits = |terms: Terms| terms.accept(View::whole(&record()));
    let none = Terms::default;
    assert!(fits(Terms { tcp_flags: vec![TcpFlags(2)], ..none() }));
    assert!(!fits(Terms { tcp_flags: vec![TcpFlags(3)], ..none() }));
    assert!(fits(Terms { tcp_flags: vec![TcpFlags(3), TcpFlags(2)], ..none() }));
    assert!(!fits(Terms { families: vec![Family::V6], ..none() }));
    assert!(!fits(Terms { protocols: vec![Protocol::UDP], ..none() }));
    assert!(!fits(Terms { replies: vec![true], ..none() }));
    assert!(!fits(Terms { ids: vec![FlowId(1)], ..none() }));
    assert!(fits(Terms { nodes: vec!["node-*".parse().unwrap()], ..none() }));
    assert!(fits(Terms { translated: vec!["10.96.0.0/16".parse().unwrap()], ..none() }));

    let to = |destination: EndTerms| fits(Terms { destination, ..none() });
    let end = EndTerms::default;
    assert!(to(EndTerms { ips: vec!["10.0.0.2/32".parse().unwrap()], ..end() }));
    assert!(to(EndTerms { ports: vec![5432], ..end() }));
    assert!(!to(EndTerms { ports: vec![40_000], ..end() }));
    assert!(to(EndTerms { pods: vec!["shop/db".parse().unwrap()], ..end() }));
    assert!(to(EndTerms { services: vec!["shop/d".parse().unwrap()], ..end() }));
    assert!(to(EndTerms { fqdns: vec!["*.example".parse().unwrap()], ..end() }));
    assert!(!to(EndTerms { workloads: vec!["db".parse().unwrap()], ..end() }));
    let from = EndTerms { services: vec!["shop/d".parse().unwrap()], ..end() };
    assert!(!fits(Terms { source: from, ..none() }), "the Service is what was asked for, not who asked");
}

#[test]
fn a_reply_has_its_ends_as_they_are_in_the_packet() {
    let record = FlowRecord { reply: true, ..record() };
    let (source, destination) = View::half(&record, Direction::Egress).unwrap().ends();
    assert_eq!((source.endpoint.port, destination.endpoint.port), (5432, 40_000));
    assert!(source.service.is_some() && destination.service.is_none());
    assert_eq!(View::whole(&record).ends().0.endpoint.port, 40_000);
}

#[test]
fn the_deciding_node_is_that_of_the_pod_that_was_asked() {
    let mut record = record();
    let mut party = (*record.destination.party).clone();
    if let Party::Pod { node, .. } = &mut party {
        *node = Some("node-2".into());
    }
    record.destination.party = Arc::new(party);
    assert_eq!(View::half(&record, Direction::Ingress).unwrap().node(), "node-2");
    assert_eq!(View::half(&record, Direction::Egress).unwrap().node(), "node-1");
    record.ingress = None;
    assert!(View::half(&record, Direction::Ingress).is_none());
}

#[test]
fn a_filter_takes_one_of_some_and_none_of_others() {
    let denied = Terms { verdicts: vec![FlowVerdict::Denied], ..Terms::default() };
    let never = Terms { never: true, ..Terms::default() };
    let filter = |any_of: Vec<Terms>, none_of: Vec<Terms>| Filter { any_of, none_of, ..Filter::default() };
    assert!(filter(vec![never.clone(), denied.clone()], vec![never.clone()]).accepts(&record()));
    assert!(!filter(vec![never.clone()], vec![]).accepts(&record()));
    assert!(!filter(vec![], vec![denied]).accepts(&record()));
}

#[test]
fn what_names_no_rule_or_policy_is_said() {
    assert!("ingress".parse::<RuleName>().unwrap_err().contains("egress[0]"));
    assert!("shop/a up[1]".parse::<RuleName>().is_err());
    assert!("ingress[x]".parse::<RuleName>().is_err());
    assert!("a/b/c".parse::<PolicyName>().unwrap_err().contains("Kind name"));
}
