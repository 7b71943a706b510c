//! The ten ways in which generated policies break applications, and the bugs that are known of generators: each is a
//! test.

use podgate_advise::recommend::Options;
use podgate_flow::{FlowVerdict, Party, Protocol, TcpFlags};

use crate::support::*;

const WEB: (&str, &str) = ("shop/Deployment/web", "10.1.0.11");
const API: (&str, &str, u16) = ("shop/Deployment/api", "10.1.0.12", 9000);
const DB: (&str, &str, u16) = ("data/StatefulSet/db", "10.1.0.13", 5432);
const DNS: (&str, &str, u16) = ("kube-system/Deployment/coredns", "10.1.0.14", 53);

/// Failure mode 1: replies and clients' ports.
#[test]
fn replies_and_clients_ports_never_become_rules() {
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, API);
    // After the kernel forgot the connection, its answers look like new connections to the client's port, and are
    // denied by some and let through by others.
    for (flags, verdict) in [
        (ACK, FlowVerdict::Denied),
        (TcpFlags(0x11), FlowVerdict::Allowed),
        (TcpFlags(0x12), FlowVerdict::Allowed),
    ] {
        let (server, client) = (end(API.0, API.1, 9000), end(WEB.0, WEB.1, 40_000));
        recorder.add(server, client, Protocol::TCP, verdict).tcp_flags = flags;
    }
    // The same of DNS, where no flag tells.
    recorder.udp(WEB, DNS);
    let (server, client) = (end(DNS.0, DNS.1, 53), end(WEB.0, WEB.1, 40_004));
    recorder.add(server, client, Protocol::UDP, FlowVerdict::Allowed);
    // A reply that the kernel knew to be one stands with its connection's ends.
    let record = recorder.tcp(WEB, API);
    record.tcp_flags = TcpFlags(0x12);
    record.reply = true;
    let recommendation = recorder.recommend(SHOP);
    assert_eq!(
        rules(&recommendation, "shop/web[Deployment]"),
        [
            "egress: {kubernetes.io/metadata.name=kube-system} k8s-app=kube-dns TCP/53,UDP/53",
            "egress: app=api TCP/9000",
        ]
    );
    assert_eq!(rules(&recommendation, "shop/api[Deployment]"), ["ingress: app=web TCP/9000"]);
}

/// A connection that is older than the agent is seen from its middle, from either end.
#[test]
fn connections_older_than_the_window_are_told_by_who_serves_the_port() {
    let mut recorder = Recorder::default();
    recorder
        .add(end(DB.0, DB.1, 5432), end(API.0, API.1, 40_001), Protocol::TCP, FlowVerdict::Allowed)
        .tcp_flags = ACK;
    recorder
        .add(end(WEB.0, WEB.1, 40_002), end(API.0, API.1, 9000), Protocol::TCP, FlowVerdict::Allowed)
        .tcp_flags = ACK;
    // Neither port tells.
    recorder
        .add(end(WEB.0, WEB.1, 50_001), end(DB.0, DB.1, 50_002), Protocol::TCP, FlowVerdict::Allowed)
        .tcp_flags = ACK;
    let recommendation = recorder.recommend(SHOP);
    assert_eq!(
        rules(&recommendation, "data/db[StatefulSet]"),
        ["ingress: {kubernetes.io/metadata.name=shop} app=api TCP/5432"]
    );
    assert_eq!(rules(&recommendation, "shop/web[Deployment]"), ["egress: app=api TCP/9000"]);
    assert_eq!(
        recommendation.statement.unlearned,
        ["1 connection: its beginning was not seen, so that who opened it is not clear"]
    );
}

/// Failure mode 2, and a recorder that wrote the Service's port 80 for the pods' 9000.
#[test]
fn ports_are_the_pods_and_not_the_services() {
    let mut recorder = Recorder::default();
    through(recorder.tcp(WEB, API), "shop/api", "10.96.0.10:80");
    let recommendation = recorder.recommend(SHOP);
    assert_eq!(rules(&recommendation, "shop/web[Deployment]"), ["egress: app=api TCP/9000"]);

    // A record from before the translation: the Service's own address.
    let pods = r#"
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: shop, labels: {app: api}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: api, uid: u, controller: true}]}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.1.0.12}
"#;
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, ("out:", "10.96.0.10", 80));
    let recommendation = recorder.recommend(&format!("{SHOP}{pods}"));
    assert_eq!(rules(&recommendation, "shop/web[Deployment]"), ["egress: app=api TCP/9000"]);
    assert_eq!(rules(&recommendation, "shop/api[Deployment]"), ["ingress: app=web TCP/9000"]);
}

/// Failure mode 3: the workload is not in the input, only its pods' labels are known.
#[test]
fn hashes_versions_and_zones_are_not_selected_by() {
    let mut recorder = Recorder::default();
    for (ip, hash, version) in [("10.1.0.21", "6d8f", "1.2"), ("10.1.0.22", "7c9a", "1.3")] {
        let mut from = end("shop/Deployment/cart", ip, 40_000);
        let Party::Pod { labels: of, .. } = std::sync::Arc::make_mut(&mut from.party) else { unreachable!() };
        *of = labels(&[
            ("app", "cart"),
            ("pod-template-hash", hash),
            ("app.kubernetes.io/version", version),
            ("topology.kubernetes.io/zone", "a"),
        ]);
        recorder.add(from, end(DB.0, DB.1, 5432), Protocol::TCP, FlowVerdict::Allowed);
    }
    let recommendation = recorder.recommend(SHOP);
    let text = policy(&recommendation, "shop/cart[Deployment]");
    assert!(text.contains("  podSelector:\n    matchLabels:\n      app: cart\n  policyTypes"), "{text}");
    assert_eq!(
        rules(&recommendation, "data/db[StatefulSet]"),
        ["ingress: {kubernetes.io/metadata.name=shop} app=cart TCP/5432"]
    );
}

/// Failure mode 4: two workloads with the same labels.
#[test]
fn labels_shared_by_two_workloads_are_said() {
    let canary = r#"
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-canary, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web, app.kubernetes.io/version: "1.2"}}, spec: {containers: [{name: c, image: i}]}}
"#;
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, API);
    let recommendation = recorder.recommend(&format!("{SHOP}{canary}"));
    let warnings: Vec<String> = recommendation.warnings().into_iter().map(|warning| warning.text).collect();
    let expected = "its labels also select shop/web-canary[Deployment]: what one may, the other may as well";
    assert!(warnings.iter().any(|warning| warning == expected), "{warnings:?}");
    assert!(recommendation.to_yaml().contains(expected));
}

/// Failure mode 5: services outside with ever-changing addresses.
#[test]
fn many_addresses_outside_are_grouped_by_name_and_said_or_stand_for_their_block() {
    let mut recorder = Recorder::default();
    for last in 1..=12 {
        let mut to = end("out:", &format!("198.51.100.{last}"), 443);
        to.dns = Some(vec!["api.pay.example".into()].into());
        recorder.add(end(WEB.0, WEB.1, 40_000 + last), to, Protocol::TCP, FlowVerdict::Allowed);
    }
    recorder.tcp(WEB, ("out:", "203.0.113.9", 8443));
    let recommendation = recorder.recommend(SHOP);
    let found = rules(&recommendation, "shop/web[Deployment]");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("egress: 198.51.100.1/32+198.51.100.2/32+") && found[0].ends_with(" TCP/443"),
        "{found:?}"
    );
    assert_eq!(found[1], "egress: 203.0.113.9/32 TCP/8443");
    let text = recommendation.to_yaml();
    assert!(
        text.contains("# To api.pay.example (its name by DNS when it was seen): 12 connections."),
        "{text}"
    );
    assert!(text.contains("12 single addresses of api.pay.example in one rule"), "{text}");

    let blocks = vec![("198.51.100.0/24".parse().unwrap(), "Pay".to_owned())];
    let options = Options { known_blocks: blocks, ..Options::default() };
    let recommendation = recorder.recommend_with(SHOP, &options);
    assert_eq!(
        rules(&recommendation, "shop/web[Deployment]"),
        ["egress: 198.51.100.0/24 TCP/443", "egress: 203.0.113.9/32 TCP/8443"]
    );
}

/// Failure mode 6, and a generator that asked for labels which CoreDNS pods do not have.
#[test]
fn dns_is_allowed_over_udp_and_tcp_to_the_resolvers_that_were_seen() {
    let mut recorder = Recorder::default();
    recorder.udp(WEB, DNS);
    // NodeLocal DNSCache answers at an address of the node.
    recorder.udp(API_CLIENT, ("node:n1", "169.254.20.10", 53));
    // A resolver that listens on a port of its own, behind a Service.
    through(recorder.udp(WEB, ("dns/DaemonSet/dns", "10.1.0.30", 5353)), "dns/dns", "10.96.0.53:53");
    let recommendation = recorder.recommend(SHOP);
    assert_eq!(
        rules(&recommendation, "shop/web[Deployment]"),
        [
            "egress: {kubernetes.io/metadata.name=dns} app=dns TCP/5353,UDP/5353",
            "egress: {kubernetes.io/metadata.name=kube-system} k8s-app=kube-dns TCP/53,UDP/53",
        ]
    );
    // A pod reaches its own node's addresses whatever its policies say, and a rule for another node's changes nothing.
    assert!(recommendation.proof.cut.is_empty());
}

const API_CLIENT: (&str, &str) = ("shop/Deployment/api", "10.1.0.12");

/// Failure mode 7, and a generator that crashed on peers in the host network.
#[test]
fn nodes_are_named_by_address_and_kubelets_need_no_rule() {
    let monitor = r#"
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: monitor, namespace: ops}
spec:
  selector: {matchLabels: {app: monitor}}
  template: {metadata: {labels: {app: monitor}}, spec: {hostNetwork: true, containers: [{name: c, image: i}]}}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}, {type: InternalIP, address: "fd00:18::3"}]}
"#;
    let mut recorder = Recorder::default();
    // The kubelet of the pod's own node probes it.
    recorder.tcp(("node:n1", "172.18.0.2"), ("shop/Deployment/web", "10.1.0.11", 8080));
    // Monitoring in the host network of another node.
    recorder.tcp(("ops/DaemonSet/monitor", "172.18.0.3"), ("shop/Deployment/web", "10.1.0.11", 8080));
    // The API server, on a third.
    recorder.tcp(WEB, ("node:control", "172.18.0.9", 6443));
    let recommendation = recorder.recommend(&format!("{SHOP}{monitor}"));
    assert_eq!(
        rules(&recommendation, "shop/web[Deployment]"),
        ["ingress: 172.18.0.3/32+fd00:18::3/128 TCP/8080", "egress: 172.18.0.9/32 TCP/6443",]
    );
    assert_eq!(recommendation.statement.host_network, ["ops/monitor[DaemonSet]"]);
    assert!(
        recommendation.to_yaml().contains("node control is named by address"),
        "{}",
        recommendation.to_yaml()
    );
}

/// Failure mode 8, and a generator that knew IPv4 alone.
#[test]
fn ipv6_is_learned_as_ipv4_is() {
    let mut recorder = Recorder::default();
    recorder.tcp(("shop/Deployment/web", "fd00:1::11"), ("shop/Deployment/api", "fd00:1::12", 9000));
    recorder.tcp(("shop/Deployment/web", "fd00:1::11"), ("out:", "2001:db8::7", 443));
    let recommendation = recorder.recommend(SHOP);
    assert_eq!(
        rules(&recommendation, "shop/web[Deployment]"),
        ["egress: app=api TCP/9000", "egress: 2001:db8::7/128 TCP/443"]
    );
}

/// Failure mode 9: what happens seldom.
#[test]
fn what_was_not_seen_is_said() {
    let backup = r#"
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup, namespace: data}
spec: {schedule: "0 3 * * *", jobTemplate: {spec: {template: {metadata: {labels: {app: backup}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}
"#;
    let mut recorder = Recorder::default();
    for _ in 0..9 {
        recorder.tcp(WEB, API);
    }
    let recommendation = recorder.recommend(&format!("{SHOP}{backup}"));
    let statement = &recommendation.statement;
    assert_eq!(statement.not_run, ["data/backup[CronJob]"]);
    assert_eq!(statement.never_seen, ["data/db[StatefulSet]"]);
    assert_eq!(statement.without_egress, ["shop/api[Deployment]"]);
    assert_eq!(statement.without_ingress, ["shop/web[Deployment]"]);
    let text = recommendation.to_yaml();
    for line in ["#   data/backup[CronJob]", "such as a backup, a failover", "# Window: 2023-11-14T22:13:20"]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("namespace: data"), "what was not seen gets no policy:\n{text}");
}

/// Failure mode 10: lost events are not "not there".
#[test]
fn lost_events_are_said_in_the_head_and_with_each_policy() {
    let mut recorder = Recorder { lost: 17, ..Recorder::default() };
    recorder.tcp(WEB, API);
    let text = recorder.recommend(SHOP).to_yaml();
    assert!(text.contains("# Missing: 17 events lost."), "{text}");
    assert!(
        text.contains("# What shop/web[Deployment] needs: 1 connection, 1 pod seen, 17 events lost"),
        "{text}"
    );
}

/// A generator whose rules for other namespaces asked for a label that namespaces do not have.
#[test]
fn namespaces_are_named_by_the_label_that_every_namespace_has() {
    let mut recorder = Recorder::default();
    recorder.tcp(API_CLIENT, DB);
    let recommendation = recorder.recommend(SHOP);
    assert!(
        policy(&recommendation, "shop/api[Deployment]").contains("kubernetes.io/metadata.name: data"),
        "{}",
        recommendation.to_yaml()
    );
}

/// A generator that left out datagrams to ports from 1024 on.
#[test]
fn datagrams_to_high_ports_are_learned() {
    let mut recorder = Recorder::default();
    recorder.udp(WEB, ("shop/Deployment/api", "10.1.0.12", 8125));
    recorder.udp(WEB, ("out:", "203.0.113.5", 51_820));
    let recommendation = recorder.recommend(SHOP);
    assert_eq!(
        rules(&recommendation, "shop/web[Deployment]"),
        ["egress: app=api UDP/8125", "egress: 203.0.113.5/32 UDP/51820"]
    );
}

#[test]
fn only_what_was_let_through_teaches() {
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, API);
    recorder.one(WEB, DB, Protocol::TCP, FlowVerdict::Denied);
    recorder.one(WEB, ("out:", "203.0.113.5", 22), Protocol::TCP, FlowVerdict::Denied);
    let recommendation = recorder.recommend(SHOP);
    assert_eq!(rules(&recommendation, "shop/web[Deployment]"), ["egress: app=api TCP/9000"]);
    assert_eq!(recommendation.proof.denied, 2);
}

#[test]
fn the_same_records_in_any_order_make_the_same_text() {
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, API);
    recorder.udp(WEB, DNS);
    recorder.tcp(API_CLIENT, DB);
    recorder.tcp(WEB, ("out:", "203.0.113.5", 443));
    let first = recorder.recommend(SHOP).to_yaml();
    recorder.records.reverse();
    assert_eq!(recorder.recommend(SHOP).to_yaml(), first);
}

/// A pod of a workload that is known from its records alone.
fn labelled(name: &str, ip: &str, port: u16, of: &[(&str, &str)]) -> podgate_flow::Endpoint {
    let mut end = end(name, ip, port);
    let Party::Pod { labels: known, .. } = std::sync::Arc::make_mut(&mut end.party) else { unreachable!() };
    *known = labels(of);
    end
}

/// Whom the denied flow was about: `labels` are those of the workload that must not be reached.
fn beside_a_denied_neighbour(of: &[(&str, &str)]) -> podgate_advise::recommend::Recommendation {
    let one = |ip, port| labelled("blue/Deployment/one", ip, port, &[("tier", "b")]);
    let mut recorder = Recorder::default();
    recorder.add(
        one("10.1.0.31", 45_000),
        labelled("blue/Deployment/other", "10.1.0.41", 80, of),
        Protocol::UDP,
        FlowVerdict::Denied,
    );
    recorder.add(one("10.1.0.31", 45_001), one("10.1.0.32", 80), Protocol::UDP, FlowVerdict::Allowed);
    let objects = objects(SHOP);
    podgate_advise::recommend::Recommendation::new(
        objects.clone(),
        &recorder.seen(&objects),
        &Options::default(),
    )
}

/// A workload that only denials tell of is one that policies must not select by accident.
#[test]
fn a_workload_that_was_only_denied_is_told_from_the_one_that_was_let_through() {
    let recommendation = beside_a_denied_neighbour(&[("tier", "b"), ("app", "other")]);
    assert!(recommendation.proof.holds(), "{}", recommendation.to_yaml());
    assert_eq!(
        rules(&recommendation, "blue/one[Deployment]"),
        ["ingress: !app, tier=b UDP/80", "egress: !app, tier=b UDP/80"]
    );
    assert_eq!(recommendation.statement.only_denied, ["blue/other[Deployment]"]);
}

#[test]
fn what_is_opened_because_no_label_tells_two_workloads_apart_is_said_and_counted() {
    let recommendation = beside_a_denied_neighbour(&[("tier", "b")]);
    assert_eq!(recommendation.proof.opened.len(), 1, "{:#?}", recommendation.proof);
    let text = recommendation.to_yaml();
    for line in [
        "# Look at this: its labels also select blue/other[Deployment]: what one may, the other may as well.",
        "# Look at this: it would let through 1 connection that was denied: labels don't tell who is meant.",
        "#   would be let through: blue/one[Deployment] to blue/other[Deployment], UDP 80",
        "#   blue/other[Deployment]",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
