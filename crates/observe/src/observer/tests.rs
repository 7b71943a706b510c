use std::net::IpAddr;

use podgate_api::Object;
use podgate_datapath::{Reason as KernelReason, Traffic};
use podgate_flow::{FlowVerdict, Limits, Reason};
use podgate_policy::{DeciderId, Direction, Programs, Settings, Verdict};

use super::*;

const OBJECTS: &str = r#"
{kind: Namespace, apiVersion: v1, metadata: {name: shop}}
---
kind: Pod
apiVersion: v1
metadata: {name: web-5c9d-abcde, namespace: shop, labels: {app: web, pod-template-hash: 5c9d}}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {podIPs: [{ip: 10.0.0.1}]}
---
kind: Pod
apiVersion: v1
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {podIPs: [{ip: 10.0.0.2}]}
---
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5433}]}]
"#;

fn cluster() -> Cluster {
    let loaded = podgate_api::load_text("o.yaml", OBJECTS);
    let mut cluster = Cluster::new(Settings::default());
    loaded.objects.into_iter().for_each(|object| cluster.apply(object));
    cluster.commit();
    cluster
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn event(verdict: Verdict, ingress: DeciderId) -> Event {
    Event {
        ktime: crate::wall_clock().since(boot_time()),
        source: ip("10.0.0.1"),
        source_port: 4000,
        destination: ip("10.0.0.2"),
        destination_port: 5432,
        original_destination: None,
        protocol: 6,
        icmp: None,
        tcp_flags: 2,
        verdict,
        denied_by: (verdict == Verdict::Denied).then_some(Direction::Ingress),
        reason: KernelReason::Policy,
        egress: DeciderId::NOT_ISOLATED,
        ingress,
        reply: false,
        established: false,
        no_conntrack: false,
        source_is_pod: true,
        source_is_local: true,
        destination_is_pod: true,
        destination_is_local: true,
        length: 60,
        suppressed: 0,
    }
}

/// What keeps the database closed.
fn isolation(cluster: &Cluster) -> DeciderId {
    let program = cluster.identity(ip("10.0.0.2")).unwrap().ingress.unwrap();
    let class = cluster.class_of(ip("10.0.0.1")).unwrap();
    let kind = podgate_policy::Kind { pod: true, family: podgate_policy::Family::V4 };
    cluster.program(program).unwrap().row_towards(class, kind).otherwise.decider
}

fn observer() -> Observer {
    Observer::new(Arc::new(History::new(Limits::default())))
}

#[test]
fn events_become_records_with_the_engine_s_names() {
    let cluster = cluster();
    let mut observer = observer();
    observer.event(&"n1".into(), &event(Verdict::Denied, isolation(&cluster)), &cluster);
    let (records, _) = observer.turn(crate::wall_clock(), &cluster);
    let record = &records[0];
    assert_eq!(
        (record.verdict, record.policy_version),
        (FlowVerdict::Denied, PolicyVersion(cluster.policy_version()))
    );
    let Party::Pod { namespace, pod, owner, labels, node } = &*record.source.party else {
        panic!("{record:?}")
    };
    assert_eq!((namespace.as_str(), pod.as_str(), node.as_deref()), ("shop", "web-5c9d-abcde", Some("n1")));
    assert_eq!(owner.as_ref().map(|owner| owner.name.as_str()), Some("web"));
    assert_eq!(labels["app"], "web");
    assert!(
        matches!(&*record.ingress.as_ref().unwrap().reason, Reason::Isolated { policies } if policies[0].name == "closed")
    );
    let nearest = record.ingress.as_ref().unwrap().nearest.as_ref().unwrap();
    assert_eq!((nearest.policy.name.as_str(), nearest.rule), ("closed", 0), "{nearest:?}");
    assert!(nearest.but.contains("5433"), "{nearest:?}");
    assert_eq!(observer.history().count(), (1, 1));
}

#[test]
fn an_address_that_changes_hands_changes_its_name() {
    let mut cluster = cluster();
    let mut observer = observer();
    let allowed = event(Verdict::Allowed, DeciderId::NOT_ISOLATED);
    let named = |observer: &mut Observer, cluster: &Cluster| {
        observer.event(&"n1".into(), &allowed, cluster);
        observer.turn(crate::wall_clock(), cluster).0[0].source.party.to_string()
    };
    assert_eq!(named(&mut observer, &cluster), "shop/web-5c9d-abcde");
    let pod = |object: &Object| matches!(object, Object::Pod(pod) if pod.meta.name.starts_with("web"));
    let web = podgate_api::load_text("o.yaml", OBJECTS).objects.into_iter().find(pod).unwrap();
    cluster.delete(&web.key());
    cluster.commit();
    observer.touch(ip("10.0.0.1"));
    assert_eq!(named(&mut observer, &cluster), "shop/web-5c9d-abcde", "its last packets");
    let Object::Pod(mut next) = web else { unreachable!() };
    next.meta.name = "next".into();
    cluster.apply_pod(&next);
    cluster.commit();
    observer.touch(ip("10.0.0.1"));
    assert_eq!(named(&mut observer, &cluster), "shop/next");
}

#[test]
fn a_record_names_the_service_that_the_client_asked_for_as_long_as_it_has_the_address() {
    let cluster = cluster();
    let mut observer = observer();
    let asking = Event {
        original_destination: Some("10.96.0.7:80".parse().unwrap()),
        ..event(Verdict::Allowed, DeciderId::NOT_ISOLATED)
    };
    let named = |observer: &mut Observer| {
        observer.event(&"n1".into(), &asking, &cluster);
        let record = observer.turn(crate::wall_clock(), &cluster).0.remove(0);
        record.service.as_ref().map(|service| (service.namespace.clone(), service.name.clone(), service.port))
    };
    let service = |name: &str| {
        let text = format!(
            "{{kind: Service, apiVersion: v1, metadata: {{name: {name}, namespace: shop}}, \
             spec: {{clusterIP: 10.96.0.7, ports: [{{port: 80}}]}}}}"
        );
        match podgate_api::load_text("s.yaml", &text).objects.remove(0) {
            Object::Service(service) => service,
            other => panic!("{other:?}"),
        }
    };
    let is = |name: &str| Some(("shop".to_owned(), name.to_owned(), 80));
    assert_eq!(named(&mut observer), None);
    observer.list_services();
    observer.apply_service(&service("db"));
    observer.sweep_services();
    assert_eq!(named(&mut observer), is("db"));
    observer.delete_service("shop", "db");
    assert_eq!(named(&mut observer), None, "nobody has the address");
    observer.apply_service(&service("next"));
    assert_eq!(named(&mut observer), is("next"));
    observer.list_services();
    observer.sweep_services();
    assert_eq!(named(&mut observer), None, "it went while nobody listened");
}

#[test]
fn a_clock_that_is_set_loses_no_record_and_no_count_and_makes_none_wait() {
    const HOUR: u64 = 3_600_000_000_000;
    let cluster = cluster();
    let mut observer = observer();
    let start = crate::wall_clock();
    // The destination is on another node: its half may come, and doesn't.
    let mut half = Event { destination_is_local: false, ..event(Verdict::Allowed, DeciderId::NOT_ISOLATED) };
    let total = EdgeTotal {
        source: ip("10.0.0.1"),
        destination: ip("10.0.0.2"),
        destination_port: 5432,
        protocol: 6,
        egress: DeciderId::NOT_ISOLATED,
        ingress: DeciderId::NOT_ISOLATED,
        verdict: Verdict::Allowed,
        denied_by: None,
        reason: KernelReason::Policy,
        source_is_pod: true,
        source_is_local: true,
        destination_is_pod: true,
        destination_is_local: false,
        traffic: Traffic { connections: 1, ..Traffic::default() },
    };
    let (mut records, mut connections) = (0, 0);
    let mut step = |now: Timestamp| {
        half.source_port += 1;
        observer.event(&"n1".into(), &half, &cluster);
        observer.count(&"n1".into(), &total, &cluster);
        let (told, minutes) = observer.turn(now, &cluster);
        records += told.len();
        connections += minutes.iter().map(|minute| minute.totals.connections).sum::<u64>();
        (records, connections)
    };
    assert_eq!(step(start), (0, 0), "the first waits for its other half");
    let back = Timestamp(start.0 - HOUR);
    assert_eq!(step(back), (2, 2), "an hour back: nothing waits for the hour to pass");
    let forward = Timestamp(start.0 + 24 * HOUR);
    assert_eq!(step(forward), (2, 3), "a day ahead");
    assert_eq!(step(Timestamp(forward.0 + 60_000_000_000)), (3, 4), "and on as ever");
}

#[test]
fn staged_policies_are_told_of_and_decide_nothing() {
    let candidate = cluster();
    let mut open = Cluster::new(Settings::default());
    open.commit();
    let mut observer = observer();
    observer.event(&"n1".into(), &event(Verdict::Allowed, DeciderId::NOT_ISOLATED), &open);
    observer.staged_event(&"n1".into(), &event(Verdict::Denied, isolation(&candidate)), &candidate);
    let (records, _) = observer.turn(crate::wall_clock(), &candidate);
    assert_eq!(records[0].verdict, FlowVerdict::Allowed);
    let staged = records[0].staged.as_ref().unwrap();
    assert_eq!(staged.verdict, Verdict::Denied);
    assert!(staged.ingress.as_ref().unwrap().reason.to_string().contains("shop/closed"));
}
