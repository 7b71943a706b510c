//! Cluster-scoped policies: the pods are those of the parent's small cluster.

use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPort, ClusterPortMatch, ClusterRule,
    ClusterSubject, ClusterTier, LabelSelector, Node, Object, Operator, PortMatch, Protocol, Source,
};

use super::{app, check, ingress, meta, rule, select};

use Action::{Accept, Deny, Pass};
use ClusterPolicyKind::{AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy};
use ClusterTier::{Admin, Baseline};

const DB_TO_WEB: (&str, &str) = ("10.0.0.2", "10.0.0.1");

fn everybody() -> ClusterPeer {
    pods(LabelSelector::default())
}

fn pods(pods: LabelSelector) -> ClusterPeer {
    ClusterPeer::Pods { namespaces: LabelSelector::default(), pods, source: Source::default() }
}

fn networks(networks: &[&str]) -> ClusterPeer {
    let networks = networks.iter().map(|net| net.parse().expect("a network")).collect();
    ClusterPeer::Networks { networks, source: Source::default() }
}

fn says(action: Action, peers: Vec<ClusterPeer>) -> ClusterRule {
    ClusterRule { name: String::new(), action, peers, ports: None, source: Source::default() }
}

fn on(mut rule: ClusterRule, ports: &[ClusterPortMatch]) -> ClusterRule {
    let entry =
        |matches: &ClusterPortMatch| ClusterPort { matches: matches.clone(), source: Source::default() };
    rule.ports = Some(ports.iter().map(entry).collect());
    rule
}

fn tcp(first: u16, last: u16) -> ClusterPortMatch {
    ClusterPortMatch::Port(Protocol::Tcp, PortMatch::Range(first, last))
}

/// For all pods that are called `web`.
fn policy(kind: ClusterPolicyKind, name: &str, tier: ClusterTier, priority: i32) -> ClusterPolicy {
    ClusterPolicy {
        meta: meta("", name, &[]),
        kind,
        tier,
        priority,
        subject: ClusterSubject::Pods { namespaces: LabelSelector::default(), pods: app("web") },
        ingress: Vec::new(),
        egress: Vec::new(),
    }
}

fn admin(rules: Vec<ClusterRule>) -> Object {
    let policy = policy(ClusterNetworkPolicy, "p", Admin, 1);
    Object::ClusterPolicy(ClusterPolicy { ingress: rules, ..policy })
}

fn baseline(rules: Vec<ClusterRule>) -> Object {
    let policy = policy(BaselineAdminNetworkPolicy, "default", Baseline, ClusterPolicy::NO_PRIORITY);
    Object::ClusterPolicy(ClusterPolicy { ingress: rules, ..policy })
}

/// For the egress of all pods that are called `web`.
fn out(rules: Vec<ClusterRule>) -> Object {
    let policy = policy(ClusterNetworkPolicy, "out", Admin, 1);
    Object::ClusterPolicy(ClusterPolicy { egress: rules, ..policy })
}

/// What `a/db` may do to `a/web` on TCP 80.
#[track_caller]
fn db_to_web(policies: Vec<Object>, allowed: bool) {
    check(policies, &[(DB_TO_WEB.0, DB_TO_WEB.1, 6, 80, allowed)]);
}

#[test]
fn tiers_in_their_order() {
    let isolated = || ingress("a", "none", app("web"), vec![]);
    let open = || ingress("a", "all", app("web"), vec![rule(None, None)]);
    let rules = |action| vec![says(action, vec![everybody()])];
    db_to_web(vec![admin(rules(Accept)), isolated(), baseline(rules(Deny))], true);
    db_to_web(vec![admin(rules(Deny)), open(), baseline(rules(Accept))], false);
    db_to_web(vec![admin(rules(Pass)), isolated(), baseline(rules(Accept))], false);
    db_to_web(vec![admin(rules(Pass)), open(), baseline(rules(Deny))], true);
    db_to_web(vec![admin(rules(Pass)), baseline(rules(Deny))], false);
    db_to_web(vec![admin(rules(Pass)), baseline(rules(Accept))], true);
    db_to_web(vec![baseline(rules(Pass))], true);
    // Pass leaves the whole tier: what comes later in it has no say.
    db_to_web(vec![admin([rules(Pass), rules(Deny)].concat())], true);
    db_to_web(vec![admin([rules(Accept), rules(Deny)].concat())], true);
    db_to_web(vec![admin([rules(Deny), rules(Accept)].concat())], false);
    // Isolation is a matter of one direction.
    let egress_only = super::egress("a", "out", app("web"), vec![]);
    db_to_web(vec![egress_only, baseline(rules(Deny))], false);
}

#[test]
fn priority_then_kind_then_name() {
    let one = |kind, name, priority, action| {
        let policy = policy(kind, name, Admin, priority);
        Object::ClusterPolicy(ClusterPolicy { ingress: vec![says(action, vec![everybody()])], ..policy })
    };
    let (anp, cnp) = (AdminNetworkPolicy, ClusterNetworkPolicy);
    db_to_web(vec![one(cnp, "a", 1, Deny), one(cnp, "b", 0, Accept)], true);
    db_to_web(vec![one(cnp, "a", 1, Deny), one(cnp, "b", 1, Accept)], false);
    db_to_web(vec![one(cnp, "a", 1, Deny), one(anp, "b", 1, Accept)], true);
    db_to_web(vec![one(cnp, "a", 1, Deny), one(anp, "b", 2, Accept)], false);
}

#[test]
fn only_rules_decide() {
    db_to_web(vec![admin(vec![]), baseline(vec![])], true);
    db_to_web(vec![admin(vec![says(Accept, vec![pods(app("none"))])])], true);
    // What API servers refuse is read as a rule without peers.
    db_to_web(vec![admin(vec![says(Deny, vec![])])], true);
}

#[test]
fn unreadable_parts_fail_closed() {
    let unknown = || ClusterPeer::Unknown(Source::default());
    let deny_all = || says(Deny, vec![everybody()]);
    for part in [
        says(Accept, vec![unknown(), everybody()]),
        on(says(Accept, vec![everybody()]), &[tcp(80, 80), ClusterPortMatch::Unknown]),
        says(Accept, vec![pods(LabelSelector::invalid()), everybody()]),
    ] {
        db_to_web(vec![admin(vec![part.clone()])], true);
        db_to_web(vec![admin(vec![part.clone(), deny_all()])], false);
        for action in [Deny, Pass] {
            let rules = vec![ClusterRule { action, ..part.clone() }];
            check(
                vec![admin(rules)],
                &[
                    ("10.0.0.2", "10.0.0.1", 17, 9, false),
                    ("8.8.8.8", "10.0.0.3", 1, 8, false),
                    ("10.0.0.1", "10.0.0.2", 6, 80, true),
                ],
            );
        }
    }
    for subject in [
        ClusterSubject::Unknown,
        ClusterSubject::Pods { namespaces: LabelSelector::invalid(), pods: LabelSelector::default() },
    ] {
        let with = |action| {
            let policy = policy(ClusterNetworkPolicy, "p", Admin, 1);
            let ingress = vec![says(action, vec![pods(app("none"))])];
            vec![Object::ClusterPolicy(ClusterPolicy { subject: subject.clone(), ingress, ..policy })]
        };
        db_to_web(with(Accept), true);
        for action in [Deny, Pass] {
            check(
                with(action),
                &[("10.0.0.1", "10.0.0.2", 1, 8, false), ("10.0.0.1", "8.8.8.8", 6, 1, true)],
            );
        }
    }
}

#[test]
fn ports_by_protocol_number_and_name() {
    let deny = |ports: &[ClusterPortMatch]| vec![admin(vec![on(says(Deny, vec![everybody()]), ports)])];
    let rows = |expected: [bool; 6]| {
        let questions = [(6, 79), (6, 80), (6, 81), (17, 80), (17, 53), (1, 8)];
        let row = |((protocol, port), allowed)| (DB_TO_WEB.0, DB_TO_WEB.1, protocol, port, allowed);
        questions.into_iter().zip(expected).map(row).collect::<Vec<_>>()
    };
    check(vec![admin(vec![says(Deny, vec![everybody()])])], &rows([false; 6]));
    check(deny(&[tcp(80, 80)]), &rows([true, false, true, true, true, true]));
    check(deny(&[tcp(80, 90)]), &rows([true, false, false, true, true, true]));
    let all_tcp = ClusterPortMatch::Port(Protocol::Tcp, PortMatch::All);
    check(deny(&[all_tcp]), &rows([false, false, false, true, true, true]));
    check(deny(&[ClusterPortMatch::Named("http".into())]), &rows([true, false, false, true, true, true]));
    check(deny(&[ClusterPortMatch::Named("dns".into())]), &rows([true, true, true, true, false, true]));
}

#[test]
fn peers_by_address() {
    let named = ClusterPortMatch::Named("http".into());
    let rows = |b_web: bool, db: bool, n2: bool, far: bool| {
        [
            ("10.0.0.1", "10.0.0.3", 6, 80, b_web),
            ("10.0.0.1", "10.0.0.2", 1, 8, db),
            ("10.0.0.1", "172.18.0.2", 6, 80, n2),
            ("10.0.0.1", "8.8.8.8", 6, 80, far),
        ]
    };
    let deny = |peer| vec![out(vec![says(Deny, vec![peer])])];
    check(deny(networks(&["0.0.0.0/0"])), &rows(false, false, false, false));
    check(deny(networks(&["::/0"])), &rows(true, true, true, true));
    check(deny(networks(&["10.0.0.3/32", "8.0.0.0/8"])), &rows(false, true, true, false));
    let nodes = |nodes| ClusterPeer::Nodes { nodes, source: Source::default() };
    check(deny(nodes(LabelSelector::default())), &rows(true, true, false, true));
    check(deny(nodes(select("zone", Operator::In, &["z"]))), &rows(true, true, true, true));
    let mut with_zone = deny(nodes(select("zone", Operator::In, &["z"])));
    with_zone.push(Object::Node(Node {
        meta: meta("", "n2", &[("zone", "z")]),
        addresses: vec!["172.18.0.2".parse().expect("an address")],
        pod_cidrs: Vec::new(),
    }));
    check(with_zone, &rows(true, true, false, true));
    let domain = ClusterPeer::Domains { names: vec!["*.dns".into()], source: Source::default() };
    check(
        vec![out(vec![says(Accept, vec![domain]), says(Deny, vec![networks(&["8.8.8.8/32"])])])],
        &rows(true, true, true, false),
    );
    // An address has no port names, even where a pod that has them has the address.
    let by_name = |peer| vec![out(vec![on(says(Deny, vec![peer]), std::slice::from_ref(&named))])];
    check(by_name(networks(&["10.0.0.1/32"])), &[("10.0.0.3", "10.0.0.1", 6, 80, true)]);
    check(by_name(everybody()), &[("10.0.0.3", "10.0.0.1", 6, 80, false)]);
}

#[test]
fn a_pod_that_comes_back_to_itself_from_a_service() {
    let isolated = || ingress("a", "none", app("web"), vec![]);
    let rules = |action| vec![says(action, vec![pods(app("web"))])];
    let peers_of_others = vec![says(Deny, vec![pods(app("db"))])];
    for (policies, allowed) in [
        (vec![isolated()], true),
        (vec![admin(rules(Deny))], false),
        (vec![admin(rules(Deny)), isolated()], false),
        (vec![admin(rules(Accept)), baseline(rules(Deny))], true),
        (vec![admin(rules(Pass)), baseline(rules(Deny))], false),
        (vec![admin(rules(Pass)), isolated(), baseline(rules(Deny))], true),
        (vec![admin(peers_of_others)], true),
        (vec![out(vec![says(Deny, vec![networks(&["10.0.0.1/32"])])])], false),
        (
            vec![out(vec![on(says(Deny, vec![everybody()]), &[ClusterPortMatch::Named("http".into())])])],
            false,
        ),
        (vec![out(vec![on(says(Deny, vec![everybody()]), &[tcp(1, 79)])])], true),
    ] {
        let text = format!("{policies:?}");
        let own = "10.0.0.1".parse().expect("an address");
        let (egress, ingress) = super::world(policies).answer_hairpin(own, 6, 80);
        assert_eq!(egress.allowed && ingress.allowed, allowed, "{text}");
    }
}
