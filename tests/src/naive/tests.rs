//! The naive evaluator against truth tables written by hand.

mod cluster_policies;

use std::net::IpAddr;

use podgate_api::{
    ContainerPort, IpBlock, LabelSelector, Meta, Namespace, NetworkPolicy, Node, Object, Operator, Peer, Pod,
    PodPeer, PodPhase, PolicyPort, PortMatch, Protocol, Requirement, Rule, Source,
};

use super::{Question, Why, World};

fn meta(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Meta {
    let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Meta { name: name.into(), namespace: namespace.into(), labels, ..Meta::default() }
}

fn pod(namespace: &str, name: &str, labels: &[(&str, &str)], ips: &[&str]) -> Pod {
    let ips = ips.iter().map(|ip| ip.parse().expect("an address")).collect();
    Pod { meta: meta(namespace, name, labels), ips, node: Some("n1".into()), ..Pod::default() }
}

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator, values: values.iter().map(|v| v.to_string()).collect() }
}

fn select(key: &str, operator: Operator, values: &[&str]) -> LabelSelector {
    LabelSelector::new(vec![requirement(key, operator, values)])
}

fn app(value: &str) -> LabelSelector {
    select("app", Operator::In, &[value])
}

fn peer(namespaces: Option<LabelSelector>, pods: Option<LabelSelector>) -> Peer {
    Peer::Pods(PodPeer { namespaces, pods, source: Source::default() })
}

fn block(cidr: &str, except: &[&str]) -> Peer {
    let net = |text: &str| text.parse().expect("a block");
    Peer::IpBlock(IpBlock {
        cidr: net(cidr),
        except: except.iter().map(|e| net(e)).collect(),
        source: Source::default(),
    })
}

fn port(protocol: Protocol, port: PortMatch) -> PolicyPort {
    PolicyPort { protocol, port, source: Source::default() }
}

fn rule(peers: Option<Vec<Peer>>, ports: Option<Vec<PolicyPort>>) -> Rule {
    Rule { peers, ports, source: Source::default() }
}

fn ingress(namespace: &str, name: &str, subjects: LabelSelector, rules: Vec<Rule>) -> Object {
    Object::NetworkPolicy(NetworkPolicy {
        meta: meta(namespace, name, &[]),
        pod_selector: subjects,
        ingress_in_force: true,
        ingress: rules,
        ..NetworkPolicy::default()
    })
}

fn egress(namespace: &str, name: &str, subjects: LabelSelector, rules: Vec<Rule>) -> Object {
    Object::NetworkPolicy(NetworkPolicy {
        meta: meta(namespace, name, &[]),
        pod_selector: subjects,
        egress_in_force: true,
        egress: rules,
        ..NetworkPolicy::default()
    })
}

/// Two namespaces, two pods in each, dual stack, on two nodes.
fn cluster() -> Vec<Object> {
    let mut web = pod("a", "web", &[("app", "web")], &["10.0.0.1", "fd00::1"]);
    web.ports = vec![
        ContainerPort { name: "http".into(), port: 80, protocol: Protocol::Tcp },
        ContainerPort { name: "http".into(), port: 81, protocol: Protocol::Tcp },
        ContainerPort { name: "dns".into(), port: 53, protocol: Protocol::Udp },
    ];
    let node = |name: &str, ip: &str| {
        Object::Node(Node {
            meta: meta("", name, &[]),
            addresses: vec![ip.parse().expect("an address")],
            pod_cidrs: Vec::new(),
        })
    };
    vec![
        node("n1", "172.18.0.1"),
        node("n2", "172.18.0.2"),
        Object::Namespace(Namespace { meta: meta("", "a", &[("team", "red")]) }),
        Object::Pod(web),
        Object::Pod(pod("a", "db", &[("app", "db")], &["10.0.0.2", "fd00::2"])),
        Object::Pod(pod("b", "web", &[("app", "web")], &["10.0.0.3", "fd00::3"])),
        Object::Pod(pod("b", "job", &[], &["10.0.0.4", "fd00::4"])),
    ]
}

fn world(policies: Vec<Object>) -> World {
    let mut objects = cluster();
    objects.extend(policies);
    World::of(&objects)
}

/// Each row: from, to, protocol, port, allowed by egress and ingress together.
#[track_caller]
fn check(policies: Vec<Object>, rows: &[(&str, &str, u8, u16, bool)]) {
    let world = world(policies);
    for (from, to, protocol, port, expected) in rows {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let question = Question { from: address(from), to: address(to), protocol: *protocol, port: *port };
        let (egress, ingress) = world.answer(&question);
        assert_eq!(egress.allowed && ingress.allowed, *expected, "{question:?}: {egress:?} {ingress:?}");
    }
}

#[test]
fn selectors_by_operator() {
    let to_web = |selector| {
        vec![ingress("a", "p", app("web"), vec![rule(Some(vec![peer(None, Some(selector))]), None)])]
    };
    // The pods of namespace a: web (app=web), db (app=db). Namespace b is never meant.
    for (operator, values, db_allowed) in [
        (Operator::In, &["db"][..], true),
        (Operator::In, &["web", "x"], false),
        (Operator::NotIn, &["db"], false),
        (Operator::NotIn, &["web"], true),
        (Operator::Exists, &[], true),
        (Operator::DoesNotExist, &[], false),
    ] {
        check(
            to_web(select("app", operator, values)),
            &[("10.0.0.2", "10.0.0.1", 6, 80, db_allowed), ("10.0.0.4", "10.0.0.1", 6, 80, false)],
        );
    }
    check(to_web(select("absent", Operator::NotIn, &["x"])), &[("10.0.0.2", "10.0.0.1", 6, 80, true)]);
    check(to_web(select("absent", Operator::DoesNotExist, &[])), &[("10.0.0.2", "10.0.0.1", 6, 80, true)]);
    check(to_web(LabelSelector::invalid()), &[("10.0.0.2", "10.0.0.1", 6, 80, false)]);
}

#[test]
fn peers_by_namespace() {
    let named = |name: &str| select("kubernetes.io/metadata.name", Operator::In, &[name]);
    let from = |peers| vec![ingress("a", "p", app("web"), vec![rule(Some(peers), None)])];
    // a's db, b's web, b's job.
    for (peers, expected) in [
        (vec![peer(Some(LabelSelector::default()), None)], [true, true, true]),
        (vec![peer(Some(LabelSelector::default()), Some(app("web")))], [false, true, false]),
        (vec![peer(Some(named("b")), None)], [false, true, true]),
        (vec![peer(Some(select("team", Operator::In, &["red"])), None)], [true, false, false]),
        (vec![peer(Some(select("team", Operator::DoesNotExist, &[])), None)], [false, true, true]),
        (vec![peer(None, Some(LabelSelector::default()))], [true, false, false]),
        (vec![peer(Some(named("b")), Some(app("web"))), peer(None, Some(app("db")))], [true, true, false]),
        (vec![peer(None, None)], [false, false, false]),
    ] {
        for (other, allowed) in ["10.0.0.2", "10.0.0.3", "10.0.0.4"].iter().zip(expected) {
            check(from(peers.clone()), &[(other, "10.0.0.1", 6, 80, allowed)]);
        }
    }
}

#[test]
fn empty_rules_and_isolation() {
    check(
        vec![ingress("a", "deny", LabelSelector::default(), vec![])],
        &[("10.0.0.4", "10.0.0.1", 6, 80, false), ("10.0.0.1", "10.0.0.4", 6, 80, true)],
    );
    check(
        vec![ingress("a", "allow", LabelSelector::default(), vec![rule(None, None)])],
        &[("10.0.0.4", "10.0.0.1", 6, 80, true), ("8.8.8.8", "10.0.0.1", 47, 0, true)],
    );
    check(
        vec![egress("a", "deny", app("web"), vec![])],
        &[("10.0.0.1", "10.0.0.2", 6, 80, false), ("10.0.0.2", "10.0.0.1", 6, 80, true)],
    );
    check(
        vec![ingress("a", "deny", LabelSelector::invalid(), vec![])],
        &[("10.0.0.4", "10.0.0.1", 6, 80, false)],
    );
}

#[test]
fn ports_and_protocols() {
    let to_web = |ports| vec![ingress("a", "p", app("web"), vec![rule(None, Some(ports))])];
    let tcp = |m| vec![port(Protocol::Tcp, m)];
    check(
        to_web(tcp(PortMatch::All)),
        &[
            ("10.0.0.4", "10.0.0.1", 6, 1, true),
            ("10.0.0.4", "10.0.0.1", 6, 65535, true),
            ("10.0.0.4", "10.0.0.1", 17, 80, false),
            ("10.0.0.4", "10.0.0.1", 1, 0, false),
        ],
    );
    check(
        to_web(tcp(PortMatch::Range(80, 90))),
        &[
            ("10.0.0.4", "10.0.0.1", 6, 79, false),
            ("10.0.0.4", "10.0.0.1", 6, 80, true),
            ("10.0.0.4", "10.0.0.1", 6, 90, true),
            ("10.0.0.4", "10.0.0.1", 6, 91, false),
            ("10.0.0.4", "10.0.0.1", 132, 85, false),
        ],
    );
    check(
        to_web(tcp(PortMatch::Named("http".into()))),
        &[
            ("10.0.0.4", "10.0.0.1", 6, 80, true),
            ("10.0.0.4", "10.0.0.1", 6, 81, true),
            ("10.0.0.4", "10.0.0.1", 6, 53, false),
            ("8.8.8.8", "10.0.0.1", 6, 80, true),
        ],
    );
    check(to_web(tcp(PortMatch::Named("dns".into()))), &[("10.0.0.4", "10.0.0.1", 6, 53, false)]);
}

#[test]
fn named_ports_of_the_destination() {
    let named = Some(vec![port(Protocol::Tcp, PortMatch::Named("http".into()))]);
    let anywhere = Some(LabelSelector::default());
    for (peers, expected) in [
        (None, true),
        (Some(vec![peer(anywhere.clone(), None)]), true),
        (Some(vec![block("0.0.0.0/0", &[])]), false),
        (Some(vec![block("0.0.0.0/0", &[]), peer(anywhere, None)]), true),
    ] {
        check(
            vec![egress("b", "p", LabelSelector::default(), vec![rule(peers, named.clone())])],
            &[
                ("10.0.0.4", "10.0.0.1", 6, 80, expected),
                ("10.0.0.4", "10.0.0.2", 6, 80, false),
                ("10.0.0.4", "8.8.8.8", 6, 80, false),
            ],
        );
    }
}

#[test]
fn blocks_and_holes() {
    let from = |peers| vec![ingress("a", "p", app("web"), vec![rule(Some(peers), None)])];
    check(
        from(vec![block("10.0.0.0/29", &["10.0.0.2/31"])]),
        &[
            ("10.0.0.2", "10.0.0.1", 6, 80, false),
            ("10.0.0.3", "10.0.0.1", 6, 80, false),
            ("10.0.0.4", "10.0.0.1", 6, 80, true),
            ("10.0.0.7", "10.0.0.1", 6, 80, true),
            ("10.0.0.8", "10.0.0.1", 6, 80, false),
            ("fd00::4", "fd00::1", 6, 80, false),
        ],
    );
    check(
        from(vec![block("10.0.0.0/29", &["10.0.0.2/31"]), block("10.0.0.2/32", &[])]),
        &[("10.0.0.2", "10.0.0.1", 6, 80, true), ("10.0.0.3", "10.0.0.1", 6, 80, false)],
    );
    check(
        from(vec![block("0.0.0.0/0", &[]), block("fd00::4/128", &[])]),
        &[
            ("255.255.255.255", "10.0.0.1", 6, 80, true),
            ("fd00::4", "fd00::1", 6, 80, true),
            ("fd00::5", "fd00::1", 6, 80, false),
        ],
    );
    check(from(vec![block("::/0", &["8000::/1"])]), &[("fd00::4", "fd00::1", 6, 80, false)]);
    check(from(vec![block("::/0", &["::/1"])]), &[("fd00::4", "fd00::1", 6, 80, true)]);
}

#[test]
fn nodes_and_host_network() {
    let mut policies = vec![ingress("a", "deny", LabelSelector::default(), vec![])];
    check(
        policies.clone(),
        &[("172.18.0.1", "10.0.0.1", 6, 80, true), ("172.18.0.2", "10.0.0.1", 6, 80, false)],
    );
    let mut host = pod("a", "host", &[("app", "db")], &["172.18.0.2"]);
    host.host_network = true;
    policies.push(Object::Pod(host));
    policies.push(ingress("a", "db", app("web"), vec![rule(Some(vec![peer(None, Some(app("db")))]), None)]));
    check(
        policies,
        &[
            ("172.18.0.2", "10.0.0.1", 6, 80, false),
            ("10.0.0.4", "172.18.0.2", 6, 80, true),
            ("10.0.0.2", "10.0.0.1", 6, 80, true),
            ("10.0.0.1", "10.0.0.1", 6, 80, true),
        ],
    );
}

#[test]
fn an_address_belongs_to_the_running_newest_pod() {
    let old = |phase, created: &str, name: &str, label: &str| {
        let mut pod = pod("a", name, &[("app", label)], &["10.0.0.9"]);
        pod.phase = phase;
        pod.meta.created = created.into();
        Object::Pod(pod)
    };
    let policy = || ingress("a", "p", app("web"), vec![rule(Some(vec![peer(None, Some(app("new")))]), None)]);
    for (old_phase, new_phase, expected) in [
        (PodPhase::Running, PodPhase::Running, true),
        (PodPhase::Running, PodPhase::Pending, false),
        (PodPhase::Running, PodPhase::Failed, false),
        (PodPhase::Succeeded, PodPhase::Pending, true),
        (PodPhase::Pending, PodPhase::Pending, true),
        (PodPhase::Failed, PodPhase::Failed, false),
    ] {
        check(
            vec![
                policy(),
                old(old_phase, "2026-01-01T00:00:00Z", "z", "old"),
                old(new_phase, "2026-01-02T00:00:00Z", "y", "new"),
            ],
            &[("10.0.0.9", "10.0.0.1", 6, 80, expected)],
        );
    }
}

#[test]
fn answers_name_the_first_rule_or_every_isolating_policy() {
    let any =
        |port_number| rule(None, Some(vec![port(Protocol::Tcp, PortMatch::Range(port_number, port_number))]));
    let world = world(vec![
        ingress("a", "second", app("web"), vec![any(80)]),
        ingress("a", "first", app("web"), vec![any(81), any(80)]),
        ingress("a", "other", app("db"), vec![any(82)]),
    ]);
    let ask = |number| {
        let question = Question {
            from: "10.0.0.4".parse().expect("an address"),
            to: "10.0.0.1".parse().expect("an address"),
            protocol: 6,
            port: number,
        };
        world.answer(&question)
    };
    let (egress, ingress) = ask(80);
    assert_eq!(egress.why, Why::NotIsolated);
    assert_eq!(
        ingress.why,
        Why::Rule {
            kind: "NetworkPolicy",
            namespace: "a".into(),
            name: "first".into(),
            tier: None,
            index: 1,
            source: Source::default()
        }
    );
    let isolated = Why::Isolated(vec![("a".into(), "first".into()), ("a".into(), "second".into())]);
    assert_eq!(ask(82).1.why, isolated);
}
