use super::*;
use crate::fixture::{SECOND, allowed, denied, outbound};
use crate::flows::{Naming, to_hubble};
use crate::json;
use crate::proto::observer::get_flows_response::ResponseTypes;

/// A record out of one line of JSON.
#[track_caller]
fn read(line: &str) -> Option<FlowRecord> {
    let Some(ResponseTypes::Flow(flow)) = json::read_response(line).unwrap().response_types else { panic!() };
    from_hubble(&flow)
}

/// What a flow can't say of a party: the node of the end that it was not seen at.
fn without_nodes(mut record: FlowRecord) -> FlowRecord {
    for end in [&mut record.source, &mut record.destination] {
        if let Party::Pod { node, .. } = Arc::make_mut(&mut end.party) {
            *node = None;
        }
    }
    record.node = "".into();
    record
}

#[test]
fn records_come_back_whole_from_flows_with_details() {
    let naming = Naming { details: true, ..Naming::new("kind") };
    for record in [allowed(5), denied(5), FlowRecord { reply: true, cut: true, ..denied(5) }] {
        for flow in to_hubble(&record, &naming) {
            let back = from_hubble(&flow).unwrap();
            assert_eq!(without_nodes(back), without_nodes(record.clone()));
        }
    }
    let mut expected = without_nodes(outbound(5));
    // A name that was given is one among others.
    expected.destination.party = Party::Outside { name: None }.into();
    expected.destination.dns = Some(["dns.example".into(), "isp".into()].into());
    let back = from_hubble(&to_hubble(&outbound(5), &naming)[0]).unwrap();
    assert_eq!(without_nodes(back), expected);
}

#[test]
fn without_details_rules_come_from_labels() {
    let flows = to_hubble(&denied(5), &Naming::new("kind"));
    let (egress, ingress) = (from_hubble(&flows[0]).unwrap(), from_hubble(&flows[1]).unwrap());
    assert_eq!(egress.id, ingress.id);
    assert_eq!((egress.verdict, ingress.verdict), (FlowVerdict::Allowed, FlowVerdict::Denied));
    assert_eq!(egress.egress.unwrap().reason.to_string(), "shop/web-out egress[1]");
    assert_eq!(ingress.ingress.unwrap().reason.to_string(), "isolated by shop/db-in, shop/default-deny");
    assert_eq!((ingress.suppressed, egress.suppressed), (36, 0));
    assert!(egress.ingress.is_none() && ingress.egress.is_none());
}

#[test]
fn flows_of_cilium_are_read_as_far_as_they_tell() {
    let record = read(
        r#"{"flow":{"time":"1970-01-01T00:00:09Z","uuid":"6a1a0f1e-0000-4000-8000-000000000001","verdict":"DROPPED",
            "drop_reason":133,"IP":{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"},
            "l4":{"TCP":{"source_port":4000,"destination_port":80,"flags":{"SYN":true}}},
            "source":{"ID":7,"identity":300,"cluster_name":"c","namespace":"shop","pod_name":"web-0",
              "labels":["k8s:app=web","k8s:io.kubernetes.pod.namespace=shop","k8s:io.cilium.k8s.policy.cluster=c"],
              "workloads":[{"name":"web","kind":"StatefulSet"}]},
            "destination":{"identity":1,"labels":["reserved:host"]},"destination_names":["node-7"],
            "Type":"L3_L4","node_name":"c/n1","event_type":{"type":5},"traffic_direction":"INGRESS",
            "destination_service":{"name":"db","namespace":"shop"},
            "ingress_denied_by":[{"name":"deny","namespace":"shop","kind":"CiliumNetworkPolicy","revision":"2"}],
            "drop_reason_desc":"POLICY_DENIED","Summary":"TCP Flags: SYN"},"node_name":"c/n1"}"#,
    )
    .unwrap();
    assert_eq!((record.time.0, &*record.node, record.verdict), (9 * SECOND, "c/n1", FlowVerdict::Denied));
    assert_eq!(record.destination.party, Party::Node { node: "node-7".into() }.into());
    let Party::Pod { namespace, pod, owner, labels, .. } = &*record.source.party else { panic!() };
    assert_eq!((namespace.as_str(), pod.as_str()), ("shop", "web-0"));
    assert_eq!(owner.as_ref().unwrap().kind, "StatefulSet");
    assert_eq!(labels.iter().collect::<Vec<_>>(), [(&"app".to_owned(), &"web".to_owned())]);
    assert_eq!(record.service.unwrap().to_string(), "shop/db:80");
    assert_eq!(record.ingress.unwrap().reason.to_string(), "isolated by shop/deny");
    assert_eq!(record.id.to_string(), "6a1a0f1e-0000-4000-8000-000000000001");
}

#[test]
fn replies_are_turned_round_and_what_is_no_connection_is_left_out() {
    let line = |verdict: &str, rest: &str| {
        format!(
            r#"{{"verdict":"{verdict}","IP":{{"source":"10.0.0.2","destination":"10.0.0.1"}},
               "l4":{{"UDP":{{"source_port":53,"destination_port":4000}}}},"node_name":"n"{rest}}}"#
        )
    };
    let reply = read(&line("FORWARDED", r#","is_reply":true"#)).unwrap();
    assert_eq!((reply.source.port, reply.destination.port, reply.reply), (4000, 53, true));
    assert_eq!(read(&line("AUDIT", "")).unwrap().verdict, FlowVerdict::Allowed);
    assert_eq!(read(&line("REDIRECTED", "")).unwrap().source.party, Party::Outside { name: None }.into());
    assert!(read(&line("TRANSLATED", "")).is_none());
    assert!(read(&line("FORWARDED", r#","Type":"L7""#)).is_none());
    assert!(read(r#"{"verdict":"FORWARDED","node_name":"n"}"#).is_none());
}
