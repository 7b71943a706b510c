use super::*;
use crate::fixture::{allowed, denied, outbound, rule};
use crate::proto::podgate::v1;
use podgate_policy::Verdict;

fn flows(record: &FlowRecord) -> Vec<flow::Flow> {
    to_hubble(record, &Naming::new("kind"))
}

fn names(policies: &[flow::Policy]) -> Vec<&str> {
    policies.iter().map(|policy| policy.name.as_str()).collect()
}

#[test]
fn each_direction_is_a_flow_of_the_node_that_decided_it() {
    let flows = flows(&allowed(5));
    let [egress, ingress] = &flows[..] else { panic!("{flows:?}") };
    assert_eq!((egress.traffic_direction(), &*egress.node_name), (flow::TrafficDirection::Egress, "a"));
    assert_eq!((ingress.traffic_direction(), &*ingress.node_name), (flow::TrafficDirection::Ingress, "b"));
    assert_ne!(egress.uuid, ingress.uuid);
    assert_eq!(names(&egress.egress_allowed_by), ["web-out"]);
    assert_eq!(names(&ingress.ingress_allowed_by), ["db-in"]);
    assert!(egress.ingress_allowed_by.is_empty() && ingress.egress_allowed_by.is_empty());
    let by = &egress.egress_allowed_by[0];
    assert_eq!((&*by.kind, &*by.namespace, by.revision), ("NetworkPolicy", "shop", 0xabc));
    assert_eq!(by.labels, ["podgate:rule=egress[1]", "podgate:tier=NetworkPolicy"]);
    for flow in [egress, ingress] {
        assert_eq!(flow.verdict(), flow::Verdict::Forwarded);
        assert_eq!(flow.r#type(), flow::FlowType::L3L4);
        assert_eq!(flow.event_type.as_ref().unwrap().r#type, 5);
        assert_eq!((flow.is_reply, flow.policy_match_type), (Some(false), 2));
        assert_eq!(flow.time.as_ref().unwrap().seconds, 5);
        assert_eq!(flow.summary, "TCP Flags: SYN");
        assert_eq!(flow.extensions, None);
    }
}

#[test]
fn ends_have_names_labels_and_workloads() {
    let flow = flows(&allowed(5)).remove(0);
    let source = flow.source.unwrap();
    assert_eq!((&*source.namespace, &*source.pod_name, &*source.cluster_name), ("shop", "web-1", "kind"));
    assert_eq!(source.labels, ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]);
    assert_eq!(source.workloads, [flow::Workload { name: "web".into(), kind: "Deployment".into() }]);
    assert!(source.identity >= 256);
    let ip = flow.ip.unwrap();
    assert_eq!(
        (&*ip.source, &*ip.destination, ip.ip_version()),
        ("10.0.1.5", "10.0.2.7", flow::IpVersion::IPv4)
    );
    let Some(flow::layer4::Protocol::Tcp(tcp)) = flow.l4.unwrap().protocol else { panic!("no TCP") };
    assert_eq!((tcp.source_port, tcp.destination_port), (40_000, 5432));
    assert!(tcp.flags.unwrap().syn);

    let flow = flows(&outbound(5)).remove(0);
    let world = flow.destination.unwrap();
    assert_eq!((world.identity, &*world.labels), (2, &["reserved:world".to_owned()][..]));
    assert_eq!(flow.destination_names, ["dns.example", "isp"]);
    assert_eq!(flow.ip.unwrap().ip_version(), flow::IpVersion::IPv6);
    assert_eq!((flow.policy_match_type, &*flow.summary), (4, "UDP"));
}

#[test]
fn a_denial_by_isolation_names_every_policy_and_what_it_stands_for() {
    let flows = flows(&denied(5));
    assert_eq!(flows[0].verdict(), flow::Verdict::Forwarded, "the source let it go");
    let flow = &flows[1];
    assert_eq!(
        (flow.verdict(), flow.drop_reason_desc()),
        (flow::Verdict::Dropped, flow::DropReason::PolicyDenied)
    );
    assert_eq!((flow.drop_reason, flow.policy_match_type), (133, 0));
    assert_eq!(names(&flow.ingress_denied_by), ["db-in", "default-deny"]);
    assert_eq!(flow.aggregate.as_ref().unwrap().ingress_flow_count, 37);
    assert_eq!(flow.summary, "TCP Flags: SYN; 36 more like it were counted");
    assert_eq!(flow.destination_service.as_ref().unwrap().name, "db");
    assert_eq!(flow.ip.as_ref().unwrap().source_xlated, "");
}

#[test]
fn drops_have_the_reason_that_fits() {
    let reason = |decision: Decision| {
        let flow = flows(&FlowRecord { egress: Some(decision), ingress: None, ..denied(5) }).remove(0);
        (flow.drop_reason, flow.verdict())
    };
    let dropped = flow::Verdict::Dropped;
    assert_eq!(reason(rule(Verdict::Denied, "no", Direction::Egress, 0)), (181, dropped));
    for (why, number) in [
        (Reason::UnknownPod, 165),
        (Reason::TableFull, 165),
        (Reason::Incomplete, 165),
        (Reason::Unreadable, 134),
        (Reason::Forgotten, 133),
    ] {
        assert_eq!(reason(Decision::new(Verdict::Denied, why)), (number, dropped));
    }
}

#[test]
fn a_reply_is_shown_as_the_packet_goes() {
    let flows = flows(&FlowRecord { reply: true, ..denied(5) });
    let flow = &flows[1];
    assert_eq!((flow.is_reply, flow.traffic_direction()), (Some(true), flow::TrafficDirection::Ingress));
    assert_eq!(flow.source.as_ref().unwrap().pod_name, "db-0");
    let ip = flow.ip.as_ref().unwrap();
    assert_eq!((&*ip.source, &*ip.source_xlated), ("10.0.2.7", "10.96.0.9"));
    assert_eq!(flow.source_service.as_ref().unwrap().name, "db");
    assert!(flow.destination_service.is_none());
}

#[test]
fn what_nobody_decided_is_one_flow_without_direction() {
    let record = FlowRecord { egress: None, ingress: None, verdict: FlowVerdict::Unknown, ..allowed(5) };
    let flows = flows(&record);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].traffic_direction(), flow::TrafficDirection::Unknown);
    assert_eq!((flows[0].verdict(), &*flows[0].node_name), (flow::Verdict::Unknown, "a"));
}

#[test]
fn protocols_have_their_own_summaries() {
    for (protocol, icmp, summary) in [
        (Protocol::ICMP, Some((8, 0)), "ICMPv4 EchoRequest"),
        (Protocol::ICMP, Some((3, 1)), "ICMPv4 type 3 code 1"),
        (Protocol::ICMPV6, Some((129, 0)), "ICMPv6 EchoReply"),
        (Protocol::ICMPV6, None, "ICMPv6 message"),
        (Protocol::SCTP, None, "SCTP"),
        (Protocol(47), None, "47"),
    ] {
        let flow = flows(&FlowRecord { protocol, icmp, ..allowed(5) }).remove(0);
        assert_eq!(flow.summary, summary);
        assert_eq!(flow.l4.is_some(), protocol != Protocol(47));
    }
    let cut = flows(&FlowRecord { cut: true, ..allowed(5) }).remove(0);
    assert_eq!(cut.summary, "TCP Flags: SYN; cut by a policy change");
}

#[test]
fn details_tell_what_the_api_has_no_words_for() {
    let naming = Naming { details: true, ..Naming::new("kind") };
    let any = to_hubble(&denied(5), &naming).remove(0).extensions.unwrap();
    assert_eq!(any.type_url, "type.googleapis.com/podgate.v1.Details");
    let details: v1::Details = any.to_msg().unwrap();
    assert_eq!((details.suppressed, &*details.policy_version), (36, "0000000000000abc"));
    assert_eq!((&*details.asked, details.service_port), ("10.96.0.9:5432", 5432));
    let egress = details.egress.unwrap();
    assert_eq!((&*egress.reason, egress.rule.unwrap().written.as_str()), ("rule", "shop.yaml:7:3"));
    let near = details.ingress.unwrap().nearest.unwrap();
    assert_eq!((near.policy.unwrap().name.as_str(), near.index), ("db-in", 0));
    assert_eq!(near.but, "port 5432 is not 5433");
    let staged = super::details(&outbound(5)).staged.unwrap();
    assert_eq!(
        (staged.verdict(), staged.egress.unwrap().policies[0].name.as_str()),
        (flow::Verdict::Dropped, "tight")
    );
}
