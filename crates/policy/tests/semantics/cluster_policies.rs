//! Evaluation order, and cases 33 to 38: cluster-scoped policies.

mod domains;
mod objects;

use podgate_api::{
    Action, ClusterPeer, ClusterPolicyKind, ClusterRule, ClusterSubject, LabelSelector, Object, Source,
};
use podgate_policy::Settings;

use crate::fixture::{World, any, block, namespace, peers, pod, policy, world, world_with};
use objects::{Maker, On, admin, baseline, everybody, networks, node, nodes, of, rule, unknown};

use Action::{Accept, Deny, Pass};
use ClusterPolicyKind::{AdminNetworkPolicy, BaselineAdminNetworkPolicy};

/// The world with these policies.
fn under(policies: impl IntoIterator<Item = Maker>) -> World {
    world().with(policies.into_iter().map(Object::from))
}

// === evaluation order ===

#[test]
fn order_admin_then_network_policy_then_baseline_then_allowed() {
    let actions = [None, Some(Accept), Some(Deny), Some(Pass)];
    for first in actions {
        for isolation in [None, Some(true), Some(false)] {
            for last in actions {
                let mut objects: Vec<Object> = Vec::new();
                objects.extend(first.map(|action| admin("g").ingress([rule(action, [everybody()])]).into()));
                objects.extend(isolation.map(|open| {
                    let rules = if open { vec![any()] } else { vec![] };
                    policy("a/p").subjects("app=web").ingress(rules)
                }));
                objects.extend(
                    last.map(|action| {
                        Object::from(baseline("default").ingress([rule(action, [everybody()])]))
                    }),
                );
                let world = world().with(objects);
                let (allowed, why) = match (first, isolation, last) {
                    (Some(Accept), _, _) => (true, "ClusterNetworkPolicy g ingress[0]"),
                    (Some(Deny), _, _) => (false, "ClusterNetworkPolicy g ingress[0]"),
                    (_, Some(true), _) => (true, "a/p ingress[0]"),
                    (_, Some(false), _) => (false, "isolated by a/p"),
                    (_, None, Some(Accept)) => (true, "ClusterNetworkPolicy default ingress[0]"),
                    (_, None, Some(Deny)) => (false, "ClusterNetworkPolicy default ingress[0]"),
                    (_, None, Some(Pass) | None) => (true, "NotIsolated"),
                };
                let question = "b/job -> a/web tcp/80";
                if allowed {
                    world.allows(&[question])
                } else {
                    world.denies(&[question])
                };
                assert_eq!(world.reasons(question).1, why, "{first:?} {isolation:?} {last:?}");
            }
        }
    }
}

#[test]
fn order_isolated_only_for_egress_still_has_its_ingress_decided_by_baseline() {
    let world = under([baseline("default").ingress([rule(Deny, [everybody()])])])
        .with([policy("a/out").subjects("app=web").egress([any()])]);
    world.denies(&["b/job -> a/web tcp/80"]).allows(&["a/web -> 8.8.8.8 tcp/80"]);
    assert_eq!(world.reasons("b/job -> a/web tcp/80").1, "ClusterNetworkPolicy default ingress[0]");
    let world = under([baseline("default").egress([rule(Deny, [everybody()])])])
        .with([policy("a/in").subjects("app=web").ingress([any()])]);
    world.denies(&["a/web -> b/job tcp/80"]).allows(&["8.8.8.8 -> a/web tcp/80"]);
}

#[test]
fn order_both_directions_must_allow() {
    for (egress, ingress, allowed) in [
        (Accept, Accept, true),
        (Accept, Deny, false),
        (Deny, Accept, false),
        (Accept, Pass, true),
        (Deny, Deny, false),
    ] {
        let world = under([
            admin("out").subjects("", "app=web").egress([rule(egress, [of("", "app=db")])]),
            baseline("in").subjects("", "app=db").ingress([rule(ingress, [of("", "app=web")])]),
        ]);
        let question = ["a/web -> a/db tcp/80", "b/web -> a/db tcp/80"];
        if allowed {
            world.allows(&question)
        } else {
            world.denies(&question)
        };
    }
}

#[test]
fn order_the_first_matching_rule_of_a_policy_decides() {
    let world = under([admin("g").ingress([
        rule(Accept, [of("", "app=web")]).on("tcp/80"),
        rule(Deny, [of("", "app=web")]),
        rule(Accept, [of("", "app=web")]).on("tcp/81"),
        rule(Pass, [everybody()]),
        rule(Deny, [everybody()]),
    ])]);
    world
        .allows(&["b/web -> a/db tcp/80", "b/job -> a/db tcp/80", "8.8.8.8 -> a/db tcp/80"])
        .denies(&["b/web -> a/db tcp/81", "b/web -> a/db udp/80"]);
    assert_eq!(world.reasons("b/web -> a/db tcp/81").1, "ClusterNetworkPolicy g ingress[1]");
}

#[test]
fn order_pass_leaves_the_whole_tier() {
    let world = under([
        admin("first").priority(1).ingress([rule(Pass, [of("", "app=web")])]),
        admin("second").priority(2).ingress([rule(Deny, [everybody()])]),
    ]);
    world.allows(&["b/web -> a/db tcp/80"]).denies(&["b/job -> a/db tcp/80"]);
    // Passed on to the NetworkPolicies, which then have the last word.
    let world = world.with([
        policy("a/p").subjects("app=db").ingress([]),
        baseline("default").ingress([rule(Accept, [everybody()])]).into(),
    ]);
    world.denies(&["b/web -> a/db tcp/80"]);
    assert_eq!(world.reasons("b/web -> a/db tcp/80").1, "isolated by a/p");
}

#[test]
fn order_the_lower_priority_number_is_asked_first() {
    for (low, high, allowed) in [(0, 1, true), (999, 1000, true), (5, 4, false)] {
        let world = under([
            admin("z").priority(low).ingress([rule(Accept, [everybody()])]),
            admin("a").priority(high).ingress([rule(Deny, [everybody()])]),
        ]);
        let question = ["a/web -> a/db tcp/80"];
        if allowed {
            world.allows(&question)
        } else {
            world.denies(&question)
        };
    }
}

// === 18 to 21 ===

#[test]
fn case_19_and_20_own_node_and_own_address_come_before_every_tier() {
    let world = under([admin("g")
        .ingress([rule(Deny, [everybody()]), rule(Deny, [unknown()])])
        .egress([rule(Deny, [networks(&["0.0.0.0/0", "::/0"])])])]);
    world
        .allows(&[
            "172.18.0.1 -> a/web tcp/10250",
            "a/web -> 172.18.0.1 tcp/10250",
            "fd01::1 -> a/web icmpv6/128",
        ])
        .allows(&["a/web -> 10.0.0.1 tcp/80"])
        .denies(&["172.18.0.2 -> a/web tcp/10250", "a/web -> 172.18.0.2 tcp/10250"]);
}

#[test]
fn case_21_the_setting_for_echo_is_about_network_policies() {
    let echo = "b/job -> 10.0.0.1 icmp/8";
    let echo_world = |objects: Vec<Object>| world_with(Settings { icmp_echo: true }).with(objects);
    let isolated = || policy("a/p").subjects("app=web").ingress([]);
    let deny = || [rule(Deny, [everybody()])];
    echo_world(vec![isolated()]).allows(&[echo]);
    echo_world(vec![isolated(), admin("g").ingress(deny()).into()]).denies(&[echo]);
    echo_world(vec![baseline("g").ingress(deny()).into()]).denies(&[echo]);
    // The second tier has decided; the third isn't asked.
    echo_world(vec![isolated(), baseline("g").ingress(deny()).into()]).allows(&[echo]);
}

#[test]
fn case_21_a_rule_with_protocols_matches_only_those_and_one_without_all() {
    let everything = ["tcp/80", "udp/80", "sctp/80", "icmp/8", "icmp/0", "47", "255"]
        .map(|p| format!("b/job -> 10.0.0.1 {p}"));
    let everything: Vec<&str> = everything.iter().map(String::as_str).collect();
    under([admin("g").ingress([rule(Deny, [everybody()])])]).denies(&everything);
    let world = under([admin("g").ingress([rule(Deny, [everybody()]).on("tcp udp sctp")])]);
    world.denies(&everything[..3]).allows(&everything[3..]);
    let world = under([admin("g").ingress([rule(Deny, [everybody()]).on("tcp/80")])]);
    world.denies(&everything[..1]).allows(&everything[1..]);
}

// === 33 ===

#[test]
fn case_33_only_rules_decide() {
    for nothing in [
        admin("g"),
        baseline("g"),
        baseline("g").kind(BaselineAdminNetworkPolicy),
        admin("g").ingress([rule(Accept, [of("", "app=none")])]),
        admin("g").subjects("", "app=none").ingress([rule(Deny, [everybody()])]),
        // What is left of a rule that the API server would refuse.
        admin("g").ingress([rule(Deny, [])]),
        admin("g").ingress([rule(Deny, [everybody()]).on("tcp/81")]),
        // The other direction.
        admin("g").egress([rule(Deny, [of("team=red", "app=db")])]).subjects("team=red", "app=db"),
    ] {
        let text = format!("{:?}", nothing.0);
        let world = under([nothing]);
        world.allows(&["b/job -> a/web tcp/80"]);
        let open = ("NotIsolated".to_owned(), "NotIsolated".to_owned());
        assert_eq!(world.reasons("b/job -> a/web tcp/80"), open, "{text}");
    }
}

#[test]
fn case_33_an_accept_rule_isolates_nobody_from_the_rest() {
    under([admin("g").ingress([rule(Accept, [of("", "app=web")]).on("tcp/80")])]).allows(&[
        "b/web -> a/db tcp/80",
        "b/web -> a/db tcp/81",
        "b/job -> a/db tcp/80",
        "8.8.8.8 -> a/db udp/1",
    ]);
}

#[test]
fn case_33_subjects_and_peers_are_pods_of_namespaces() {
    for (namespaces, pods, web_a, db_a, job_b) in [
        ("", "", true, true, true),
        ("team=red", "", true, true, false),
        ("!team", "", false, false, true),
        ("kubernetes.io/metadata.name=b", "", false, false, true),
        ("team=red", "app=web", true, false, false),
        ("", "app notin (web)", false, true, true),
        ("", "!app", false, false, true),
        ("team in (blue|red)", "app", true, true, false),
        ("team=blue", "", false, false, false),
    ] {
        let named = format!("{namespaces} and {pods}");
        let world = under([admin("g").subjects(namespaces, pods).ingress([rule(Deny, [everybody()])])]);
        for (target, selected) in [("a/web", web_a), ("a/db", db_a), ("b/job", job_b)] {
            let question = format!("b/web -> {target} tcp/80");
            let (_, ingress) = world.reasons(&question);
            assert_eq!(ingress == "ClusterNetworkPolicy g ingress[0]", selected, "{named}: {question}");
        }
        let world = under([admin("g").ingress([rule(Deny, [of(namespaces, pods)])])]);
        for (source, selected) in [("a/web", web_a), ("a/db", db_a), ("b/job", job_b)] {
            let question = format!("{source} -> b/web tcp/80");
            let (_, ingress) = world.reasons(&question);
            assert_eq!(ingress == "ClusterNetworkPolicy g ingress[0]", selected, "{named}: {question}");
        }
    }
}

#[test]
fn case_33_what_is_no_pod_is_neither_subject_nor_peer() {
    let mut host = pod("a/host", "app=web", "172.18.0.2").on("n2");
    host.0.host_network = true;
    let mut done = pod("a/done", "app=web", "10.0.0.9").on("n2");
    done.0.phase = podgate_api::PodPhase::Succeeded;
    let rules = || [rule(Deny, [everybody()])];
    let world = under([admin("g").ingress(rules()).egress(rules())]).with([host.into(), done.into()]);
    world
        .allows(&["172.18.0.2 -> a/web tcp/80", "a/web -> 172.18.0.2 tcp/80", "8.8.8.8 -> a/web tcp/80"])
        .allows(&["10.0.0.9 -> a/web tcp/80", "a/web -> 10.0.0.9 tcp/80", "10.0.0.9 -> 172.18.0.2 tcp/80"])
        .denies(&["b/job -> a/web tcp/80"]);
}

#[test]
fn case_33_labels_of_pods_and_namespaces_and_the_policy_itself_may_change() {
    let mut world = under([admin("g").subjects("team=red", "").ingress([rule(Deny, [of("", "app=web")])])]);
    world.denies(&["b/web -> a/db tcp/80"]).allows(&["b/job -> a/db tcp/80", "b/web -> b/job tcp/80"]);
    world.put(pod("b/job", "app=web", "10.0.0.4 fd00::4").on("n2"));
    world.denies(&["b/job -> a/db tcp/80"]);
    world.put(namespace("b", "team=red"));
    world.denies(&["b/web -> b/job tcp/80"]);
    world.put(namespace("a", ""));
    world.allows(&["b/web -> a/db tcp/80"]);
    world.put(admin("g").ingress([rule(Deny, [of("", "app=db")])]));
    world.allows(&["b/web -> b/job tcp/80"]).denies(&["a/db -> b/job tcp/80"]);
    world.remove("AdminNetworkPolicy", "g");
    world.denies(&["a/db -> b/job tcp/80"]);
    world.remove("ClusterNetworkPolicy", "g");
    world.allows(&["a/db -> b/job tcp/80"]);
}

// === 34 ===

/// Rules that nobody can read in full, all of them for the pods of namespace `a`.
fn unreadable(action: Action) -> [(&'static str, ClusterRule); 4] {
    [
        ("an unknown peer", rule(action, [unknown()])),
        ("an unknown peer among others", rule(action, [everybody(), unknown()])),
        ("an unknown protocol", rule(action, [everybody()]).on("?")),
        ("an unknown protocol among others", rule(action, [everybody()]).on("tcp/80 ?")),
    ]
}

const TO_A: [&str; 5] = [
    "b/job -> a/web tcp/80",
    "b/job -> a/db udp/9",
    "b/job -> 10.0.0.1 icmp/8",
    "8.8.8.8 -> a/web sctp/1",
    "172.18.0.1 -> a/db tcp/10250",
];

#[test]
fn case_34_an_unknown_peer_or_protocol_of_an_accept_rule_matches_nothing() {
    for (what, rule_of) in unreadable(Accept) {
        let subjects = |maker: Maker| maker.subjects("team=red", "");
        let world = under([subjects(admin("g")).ingress([rule_of.clone(), rule(Deny, [everybody()])])]);
        world.denies(&TO_A[..3]);
        assert_eq!(world.reasons(TO_A[0]).1, "ClusterNetworkPolicy g ingress[1]", "{what}");
        let world = under([subjects(admin("g")).ingress([rule_of])]);
        assert_eq!(world.allows(&TO_A).reasons(TO_A[0]).1, "NotIsolated", "{what}");
    }
}

#[test]
fn case_34_an_unknown_peer_or_protocol_of_a_deny_or_pass_rule_denies_everything() {
    for action in [Deny, Pass] {
        for (what, rule_of) in unreadable(action) {
            for tier in [admin("g"), baseline("g")] {
                let world = under([tier.subjects("team=red", "").ingress([rule_of.clone()])]);
                world.denies(&TO_A).allows(&["a/web -> b/job tcp/80", "a/web -> 8.8.8.8 tcp/80"]);
                assert_eq!(world.reasons(TO_A[0]).1, "ClusterNetworkPolicy g ingress[0]", "{what}");
            }
        }
    }
}

#[test]
fn case_34_what_comes_before_an_unreadable_rule_still_decides() {
    let world = under([
        admin("first").priority(1).ingress([rule(Accept, [of("", "app=web")]).on("tcp/80")]),
        admin("second").priority(2).ingress([rule(Pass, [of("", "app=db")]), rule(Deny, [unknown()])]),
    ]);
    world.allows(&["b/web -> a/db tcp/80", "a/db -> b/job udp/9"]).denies(&[
        "b/web -> a/db tcp/81",
        "b/job -> a/db tcp/80",
        "8.8.8.8 -> a/db tcp/80",
    ]);
}

#[test]
fn case_34_rules_of_an_unknown_subject_deny_every_pod_and_accept_nothing() {
    let with = |action| {
        let rules = || [rule(action, [of("", "app=none")]).on("tcp/1")];
        [admin("g").unknown_subject().ingress(rules()).egress(rules())]
    };
    let world = under(with(Accept));
    world.allows(&TO_A).allows(&["a/web -> 8.8.8.8 tcp/80"]);
    for action in [Deny, Pass] {
        let world = under(with(action));
        world.denies(&TO_A).denies(&[
            "a/web -> 8.8.8.8 tcp/80",
            "a/web -> b/job icmp/8",
            "b/web -> b/job 47",
        ]);
        assert_eq!(
            world.reasons("a/web -> b/job tcp/80"),
            ("ClusterNetworkPolicy g egress[0]".to_owned(), "ClusterNetworkPolicy g ingress[0]".to_owned())
        );
    }
    // A later pod is meant as well.
    let mut world = under(with(Deny));
    world.put(pod("c/new", "", "10.0.0.9").on("n1"));
    world.denies(&["8.8.8.8 -> c/new tcp/80"]);
}

#[test]
fn case_34_an_invalid_selector_is_an_unknown_subject_or_peer() {
    let invalid = || ClusterPeer::Pods {
        namespaces: LabelSelector::default(),
        pods: LabelSelector::invalid(),
        source: Source::default(),
    };
    for (action, allowed) in [(Accept, true), (Deny, false), (Pass, false)] {
        let mut subject = admin("g").ingress([rule(action, [of("", "app=none")])]);
        subject.0.subject =
            ClusterSubject::Pods { namespaces: LabelSelector::invalid(), pods: LabelSelector::default() };
        for maker in [subject, admin("g").ingress([rule(action, [invalid()])])] {
            let world = under([maker]);
            if allowed {
                world.allows(&TO_A)
            } else {
                world.denies(&TO_A)
            };
        }
    }
}

// === 35 ===

#[test]
fn case_35_a_tie_is_broken_by_kind_and_name_whatever_the_order_of_arrival() {
    for (first, second) in [
        (admin("a"), admin("b")),
        (admin("z").kind(AdminNetworkPolicy), admin("a")),
        (admin("a").priority(9), admin("z").kind(AdminNetworkPolicy)),
        (baseline("a"), baseline("b")),
        (baseline("z").priority(1000), baseline("a").kind(BaselineAdminNetworkPolicy)),
    ] {
        let allow = || [rule(Accept, [everybody()])];
        let deny = || [rule(Deny, [everybody()])];
        let (first, second): (Object, Object) =
            (first.ingress(allow()).into(), second.ingress(deny()).into());
        let question = ["b/job -> a/web tcp/80"];
        world().with([first.clone(), second.clone()]).allows(&question);
        world().with([second.clone(), first.clone()]).allows(&question);
        let mut world = world();
        world.put(second);
        world.denies(&question);
        world.put(first);
        world.allows(&question);
    }
}

#[test]
fn case_35_an_edited_priority_or_tier_moves_the_policy() {
    let mut world = under([
        admin("a").priority(1).ingress([rule(Deny, [everybody()])]),
        admin("b").priority(2).ingress([rule(Accept, [everybody()])]),
    ]);
    world.denies(&["b/job -> a/web tcp/80"]);
    world.put(admin("a").priority(3).ingress([rule(Deny, [everybody()])]));
    world.allows(&["b/job -> a/web tcp/80"]);
    world.put(admin("b").priority(3).ingress([rule(Accept, [everybody()])]));
    world.denies(&["b/job -> a/web tcp/80"]);
    world.put(baseline("a").ingress([rule(Deny, [everybody()])]));
    world.allows(&["b/job -> a/web tcp/80"]);
}

// === 36 ===

#[test]
fn case_36_networks_match_addresses_of_pods_nodes_and_others_icmp_included() {
    let deny =
        |nets: &[&str]| under([admin("g").subjects("", "app=web").egress([rule(Deny, [networks(nets)])])]);
    deny(&["10.0.0.2/32", "172.18.0.2/32", "8.8.8.0/24"])
        .denies(&["a/web -> 10.0.0.2 tcp/80", "a/web -> 10.0.0.2 icmp/8", "a/web -> 172.18.0.2 tcp/80"])
        .denies(&["a/web -> 8.8.8.255 udp/53", "a/web -> 8.8.8.0 icmp/8"])
        .allows(&["a/web -> 10.0.0.3 tcp/80", "a/web -> fd00::2 tcp/80", "a/web -> 8.8.9.0 tcp/80"])
        .allows(&["a/web -> fd01::2 tcp/80", "b/job -> 8.8.8.8 tcp/80"]);
    deny(&["0.0.0.0/0"])
        .denies(&["a/web -> 10.0.0.2 tcp/80", "a/web -> 1.1.1.1 tcp/80"])
        .allows(&["a/web -> fd00::2 tcp/80", "a/web -> 2001:db8::1 tcp/80"]);
    deny(&["::/0"]).denies(&["a/web -> fd00::2 tcp/80"]).allows(&["a/web -> 10.0.0.2 tcp/80"]);
}

#[test]
fn case_36_overlapping_networks_are_asked_in_the_order_of_rules() {
    let world = under([
        admin("first").priority(1).egress([
            rule(Accept, [networks(&["10.0.0.2/31"])]).on("tcp/80"),
            rule(Deny, [networks(&["10.0.0.0/29"])]).on("tcp/80-90"),
        ]),
        admin("second")
            .priority(2)
            .egress([rule(Pass, [of("", "app=db")]), rule(Deny, [networks(&["10.0.0.0/8"])])]),
    ]);
    world
        .allows(&["b/job -> 10.0.0.2 tcp/80", "b/job -> 10.0.0.3 tcp/80", "b/job -> 10.0.0.2 udp/80"])
        .allows(&["b/job -> 11.0.0.1 tcp/80", "b/job -> fd00::3 tcp/85"])
        .denies(&["b/job -> 10.0.0.1 tcp/80", "b/job -> 10.0.0.2 tcp/81", "b/job -> 10.0.0.7 tcp/90"])
        .denies(&["b/job -> 10.0.0.3 tcp/91", "b/job -> 10.0.0.8 tcp/80", "b/job -> 10.255.0.1 icmp/8"]);
}

#[test]
fn case_36_networks_of_both_kinds_of_policies_keep_out_of_each_others_way() {
    let world = under([admin("g").egress([rule(Deny, [networks(&["10.0.0.0/30"])]).on("tcp/80")])])
        .with([policy("b/p").egress([peers([block("10.0.0.0/29", &["10.0.0.2/32"])])])]);
    world
        .denies(&["b/job -> 10.0.0.1 tcp/80", "b/job -> 10.0.0.2 udp/80", "b/job -> 10.0.0.8 udp/80"])
        .allows(&["b/job -> 10.0.0.1 udp/80", "b/job -> 10.0.0.3 tcp/81", "b/job -> 10.0.0.5 tcp/80"]);
}

#[test]
fn case_36_nodes_match_their_addresses_as_labels_and_addresses_change() {
    let mut world = under([admin("g").egress([rule(Deny, [nodes("zone=z")])])]);
    // `b/job` runs on n2.
    world.allows(&["b/job -> 172.18.0.1 tcp/80"]);
    world.put(node("n1", "zone=z", "172.18.0.1 fd01::1"));
    world.denies(&["b/job -> 172.18.0.1 tcp/80", "b/job -> fd01::1 icmpv6/128"]).allows(&[
        "b/job -> 172.18.0.9 tcp/80",
        "b/job -> a/web tcp/80",
        "a/web -> 172.18.0.2 tcp/80",
    ]);
    world.put(node("n1", "zone=z", "172.18.0.9"));
    world
        .denies(&["b/job -> 172.18.0.9 tcp/80"])
        .allows(&["b/job -> 172.18.0.1 tcp/80", "b/job -> fd01::1 tcp/80"]);
    world.put(node("n1", "", "172.18.0.9"));
    world.allows(&["b/job -> 172.18.0.9 tcp/80"]);
    world.put(admin("g").egress([rule(Deny, [nodes("zone notin (z)")])]));
    world.denies(&["b/job -> 172.18.0.9 tcp/80", "a/web -> 172.18.0.2 tcp/80"]);
    world.remove("Node", "n1");
    world.allows(&["b/job -> 172.18.0.9 tcp/80"]).denies(&["a/web -> 172.18.0.2 tcp/80"]);
}

#[test]
fn case_36_nodes_match_whoever_uses_their_addresses() {
    let mut host = pod("a/host", "app=web", "172.18.0.2").on("n2");
    host.0.host_network = true;
    let world = under([admin("g").egress([rule(Deny, [nodes("")]).on("tcp/9100")])]).with([host.into()]);
    world.denies(&["a/web -> 172.18.0.2 tcp/9100"]).allows(&[
        "a/web -> 172.18.0.2 tcp/80",
        "a/web -> a/db tcp/9100",
        "b/job -> 172.18.0.2 tcp/9100",
    ]);
}

// === 37 ===

#[test]
fn case_37_ports_by_number_range_and_protocol() {
    let world = |ports: &str| under([admin("g").ingress([rule(Deny, [everybody()]).on(ports)])]);
    let questions =
        |ports: &[&str]| ports.iter().map(|port| format!("b/job -> 10.0.0.1 {port}")).collect::<Vec<_>>();
    for (ports, denied, allowed) in [
        ("tcp/80", &["tcp/80"][..], &["tcp/79", "tcp/81", "udp/80"][..]),
        ("tcp/80-90", &["tcp/80", "tcp/90"], &["tcp/79", "tcp/91", "sctp/85"]),
        ("udp/1-65535", &["udp/1", "udp/65535"], &["tcp/1", "icmp/8"]),
        ("sctp", &["sctp/1", "sctp/65535"], &["tcp/1", "udp/1"]),
        ("tcp/80 udp/53", &["tcp/80", "udp/53"], &["tcp/53", "udp/80"]),
        ("tcp/80-90 tcp/85-95", &["tcp/80", "tcp/95"], &["tcp/96"]),
    ] {
        let world = world(ports);
        for question in questions(denied) {
            world.denies(&[&question]);
        }
        for question in questions(allowed) {
            world.allows(&[&question]);
        }
    }
}

#[test]
fn case_37_a_named_port_is_the_destinations_whatever_its_protocol() {
    let world = |objects: Vec<Object>| {
        world()
            .with([
                pod("a/web", "app=web", "10.0.0.1 fd00::1").on("n1").ports("http=tcp/80 http=udp/81").into(),
                pod("a/db", "app=db", "10.0.0.2 fd00::2").on("n2").ports("http=tcp/8080").into(),
            ])
            .with(objects)
    };
    let rules = || [rule(Deny, [everybody()]).on("http")];
    for maker in [admin("g").ingress(rules()), admin("g").egress(rules())] {
        world(vec![maker.into()])
            .denies(&["b/job -> a/web tcp/80", "b/job -> a/web udp/81", "b/job -> a/db tcp/8080"])
            .allows(&["b/job -> a/web udp/80", "b/job -> a/web tcp/81", "b/job -> a/db tcp/80"])
            .allows(&["a/web -> b/job tcp/80", "b/job -> 10.0.0.1 icmp/8"]);
    }
    // The name follows its pod.
    let mut moved = world(vec![admin("g").egress(rules()).into()]);
    moved.put(pod("a/web", "app=web", "10.0.0.1 fd00::1").on("n1").ports("http=tcp/82"));
    moved.denies(&["b/job -> a/web tcp/82"]).allows(&["b/job -> a/web tcp/80", "b/job -> a/web udp/81"]);
    // Networks and nodes are addresses, and addresses have no port names, not even a pod's.
    let by_address = [networks(&["0.0.0.0/0", "::/0"]), nodes("")];
    world(vec![admin("g").egress([rule(Deny, by_address).on("http")]).into()]).allows(&[
        "b/job -> a/web tcp/80",
        "b/job -> 8.8.8.8 tcp/80",
        "b/job -> 172.18.0.1 tcp/80",
    ]);
    let both = [networks(&["0.0.0.0/0", "::/0"]), of("", "app=db")];
    world(vec![admin("g").egress([rule(Deny, both).on("http tcp/81")]).into()])
        .denies(&["b/job -> a/db tcp/8080", "b/job -> a/web tcp/81", "b/job -> 8.8.8.8 tcp/81"])
        .allows(&["b/job -> a/web tcp/80", "b/job -> 8.8.8.8 tcp/8080"]);
}

// === 38 ===

#[test]
fn case_38_the_last_rule_of_the_longest_policy_is_asked_and_named() {
    let rules = (1..=100).map(|port| rule(Deny, [everybody()]).on(&format!("tcp/{port}")));
    let world = under([admin("g").kind(AdminNetworkPolicy).ingress(rules)]);
    world.denies(&["b/job -> a/web tcp/1", "b/job -> a/web tcp/100"]).allows(&["b/job -> a/web tcp/101"]);
    assert_eq!(world.reasons("b/job -> a/web tcp/100").1, "AdminNetworkPolicy g ingress[99]");
}
