use podgate_flow::{FLAGS, View};

use super::*;
use crate::fixture::{allowed, denied, outbound};
use crate::flows::{flow_id, views};
use crate::proto::flow::FlowFilter;

/// Which flows of the three records fit, as `RECORD DIRECTION`.
#[track_caller]
fn fitting(filter: FlowFilter) -> Vec<String> {
    let terms = terms(&filter, "kind").unwrap();
    let records = [("allowed", allowed(1)), ("denied", denied(2)), ("outbound", outbound(3))];
    let mut fitting = Vec::new();
    for (name, record) in &records {
        let words = views(record).filter(|view| terms.accept(*view)).map(|view| match view.direction() {
            Some(Direction::Egress) => format!("{name} egress"),
            Some(Direction::Ingress) => format!("{name} ingress"),
            None => format!("{name} whole"),
        });
        fitting.extend(words);
    }
    fitting
}

fn list(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn every_supported_field_chooses() {
    let none = FlowFilter::default;
    let all = fitting(none());
    assert_eq!(all.len(), 5);
    let workload = |kind: &str, name: &str| vec![flow::Workload { kind: kind.into(), name: name.into() }];
    let to_db = ["allowed egress", "allowed ingress", "denied egress", "denied ingress"];
    let denied = ["denied ingress"];
    let outbound = ["outbound egress"];
    let id = |record: &podgate_flow::FlowRecord| {
        flow_id(View::half(record, Direction::Egress).unwrap()).to_string()
    };
    for (filter, expected) in [
        (FlowFilter { destination_pod: list("shop/db"), ..none() }, &to_db[..]),
        (FlowFilter { destination_pod: list("shop/"), ..none() }, &to_db),
        (FlowFilter { destination_pod: list("db"), ..none() }, &[]),
        (FlowFilter { source_pod: list("shop/db"), ..none() }, &[]),
        (FlowFilter { destination_ip: list("10.0.2.0/24"), ..none() }, &to_db),
        (FlowFilter { source_ip: list("fd00::5"), ..none() }, &outbound),
        (FlowFilter { destination_port: list("53"), ..none() }, &outbound),
        (FlowFilter { source_port: list("53"), ..none() }, &[]),
        (FlowFilter { destination_label: list("app=db"), ..none() }, &to_db),
        (FlowFilter { destination_label: list("reserved:world"), ..none() }, &outbound),
        (FlowFilter { destination_service: list("shop/db"), ..none() }, &to_db[2..]),
        (FlowFilter { destination_workload: workload("Deployment", "db"), ..none() }, &to_db),
        (FlowFilter { destination_workload: workload("DaemonSet", "db"), ..none() }, &[]),
        (FlowFilter { destination_fqdn: list("*.EXAMPLE"), ..none() }, &outbound),
        (FlowFilter { destination_identity: vec![2], ..none() }, &outbound),
        (FlowFilter { verdict: vec![flow::Verdict::Dropped.into()], ..none() }, &denied),
        (FlowFilter { verdict: vec![flow::Verdict::Audit.into()], ..none() }, &[]),
        (FlowFilter { drop_reason_desc: vec![133], ..none() }, &denied),
        (FlowFilter { drop_reason_desc: vec![181], ..none() }, &[]),
        (FlowFilter { drop_reason_desc: vec![162], ..none() }, &[]),
        (FlowFilter { protocol: list("udp"), ..none() }, &outbound),
        (FlowFilter { protocol: list("http"), ..none() }, &[]),
        (FlowFilter { ip_version: vec![2], ..none() }, &outbound),
        (FlowFilter { reply: vec![true], ..none() }, &[]),
        (FlowFilter { traffic_direction: vec![1], ..none() }, &["allowed ingress", "denied ingress"]),
        (FlowFilter { node_name: list("b"), ..none() }, &["allowed ingress", "denied ingress"]),
        (FlowFilter { node_name: list("k*/b"), ..none() }, &["allowed ingress", "denied ingress"]),
        (FlowFilter { node_name: list("other/b"), ..none() }, &[]),
        (FlowFilter { destination_cluster_name: list("other"), ..none() }, &[]),
        (FlowFilter { source_ip_xlated: list("10.96.0.9"), ..none() }, &to_db[2..]),
        (FlowFilter { encrypted: vec![true], ..none() }, &[]),
        (FlowFilter { uuid: vec![id(&crate::fixture::outbound(3))], ..none() }, &outbound),
    ] {
        assert_eq!(fitting(filter.clone()), expected, "{filter:?}");
    }
    assert_eq!(fitting(FlowFilter { source_cluster_name: list("kind"), ..none() }), all);
    let syn = flow::TcpFlags { syn: true, ..Default::default() };
    assert_eq!(fitting(FlowFilter { tcp_flags: vec![syn], ..none() }), to_db);
}

#[test]
fn types_of_events_are_what_podgate_has_for_them() {
    let of = |types: &[i32]| {
        let filter = |number: &i32| flow::EventTypeFilter { r#type: *number, ..Default::default() };
        fitting(FlowFilter { event_type: types.iter().map(filter).collect(), ..FlowFilter::default() })
    };
    assert_eq!(of(&[5]).len(), 5);
    assert_eq!(of(&[1]), ["denied ingress"]);
    assert_eq!(of(&[4]).len(), 4);
    assert_eq!(of(&[1, 4, 129]).len(), 5);
    assert_eq!(of(&[129]).len(), 0);
}

#[test]
fn what_podgate_has_not_is_refused_by_name() {
    let header = flow::HttpHeader { key: "a".into(), value: "b".into() };
    let cel = flow::flow_filter::Experimental { cel_expression: list("true") };
    let none = FlowFilter::default;
    for (filter, name) in [
        (FlowFilter { http_method: list("GET"), ..none() }, "http_method"),
        (FlowFilter { http_header: vec![header], ..none() }, "http_header"),
        (FlowFilter { dns_query: list("a"), ..none() }, "dns_query"),
        (FlowFilter { node_labels: list("a=b"), ..none() }, "node_labels"),
        (FlowFilter { trace_id: list("a"), ..none() }, "trace_id"),
        (FlowFilter { experimental: Some(cel), ..none() }, "experimental.cel_expression"),
        (FlowFilter { source_ip: list("10.0.0"), ..none() }, "source_ip"),
        (FlowFilter { destination_port: list("http"), ..none() }, "destination_port"),
        (FlowFilter { source_label: list("a in b"), ..none() }, "source_label"),
        (FlowFilter { protocol: list("tcpp"), ..none() }, "protocol"),
        (FlowFilter { source_pod: list(""), ..none() }, "source_pod"),
        (FlowFilter { uuid: list("1"), ..none() }, "uuid"),
    ] {
        let error = terms(&filter, "kind").unwrap_err().to_string();
        assert!(error.contains(&format!("filter {name} ")), "{error}");
    }
}

#[test]
fn podgates_own_filters_know_policies_and_rules() {
    let filter = |filter: v1::Filter| {
        let chosen = own_filter(&[filter], &[], "kind").unwrap();
        [allowed(1), denied(2), outbound(3)].map(|record| chosen.accepts(&record))
    };
    assert_eq!(
        filter(v1::Filter { policy: list("default-deny"), ..Default::default() }),
        [false, true, false]
    );
    assert_eq!(
        filter(v1::Filter { rule: list("db-in ingress[0]"), ..Default::default() }),
        [true, false, false]
    );
    assert_eq!(filter(v1::Filter { staged: true, ..Default::default() }), [false, false, true]);
    let flow = FlowFilter { protocol: list("udp"), ..FlowFilter::default() };
    assert_eq!(filter(v1::Filter { flow: Some(flow), ..Default::default() }), [false, false, true]);
    let bad = v1::Filter { rule: list("up[0]"), ..Default::default() };
    assert!(own_filter(&[], &[bad], "kind").unwrap_err().to_string().contains("filter rule "));
}

/// One filter of each name that podgate reads, alone and turned round.
fn by_name() -> impl Iterator<Item = podgate_flow::Given> {
    FLAGS.iter().flat_map(|flag| {
        let values: &[&str] = match flag.name.trim_start_matches("from-").trim_start_matches("to-") {
            "workload" => &["web", "Deployment/web", "DaemonSet/", "shop/web", "shop/Deployment/web"],
            "pod" | "service" => &["web", "shop/web", "shop/"],
            "label" => &["app=web,tier in (a, b)", "reserved:world", "!app"],
            "fqdn" | "node-name" => &["*.example"],
            "ip" | "snat-ip" => &["10.0.0.1", "10.0.0.0/8", "fd00::/64"],
            "port" | "identity" => &["80"],
            "protocol" => &["tcp", "udp", "sctp", "icmp", "icmpv4", "icmpv6", "47"],
            "verdict" => &["allowed", "DROPPED", "unknown"],
            "policy" => &["web", "shop/web", "BaselineAdminNetworkPolicy default", "NetworkPolicy/shop/web"],
            "rule" => &["ingress[0]", "shop/web egress[3]"],
            "traffic-direction" => &["ingress", "egress"],
            "drop-reason-desc" => &["POLICY_DENY", "POLICY_DENIED", "INVALID_PACKET_DROPPED"],
            "tcp-flags" => &["SYN,ACK", "fin,rst,psh,urg,ece,cwr"],
            "ip-version" => &["v4", "v6"],
            "type" => &["drop", "trace"],
            "uuid" => &["00000000-0000-0001-0000-000000000000"],
            _ => &["shop"],
        };
        values.iter().flat_map(move |value| {
            [false, true].map(|not| podgate_flow::Given { flag, value: (*value).to_owned(), not })
        })
    })
}

#[test]
fn filters_by_name_arrive_as_they_were_meant() {
    let all: Vec<podgate_flow::Given> = by_name().collect();
    assert!(all.len() > 2 * FLAGS.len());
    let mut choices: Vec<Vec<podgate_flow::Given>> = all.iter().map(|given| vec![given.clone()]).collect();
    choices.push(all.into_iter().filter(|given| given.flag.name != "type").collect());
    for given in choices {
        let meant = Filter::of(&given).unwrap();
        let sent = |terms: &[Terms]| terms.iter().map(written).collect::<Vec<_>>();
        let arrived = own_filter(&sent(&meant.any_of), &sent(&meant.none_of), "kind").unwrap();
        let names: Vec<&str> = given.iter().map(|given| given.flag.name).collect();
        assert_eq!((arrived.any_of, arrived.none_of), (meant.any_of, meant.none_of), "{names:?}");
    }
}
