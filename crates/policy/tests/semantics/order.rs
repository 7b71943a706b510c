//! The order of evaluation, and what a decision names.

use podgate_policy::{Connection, Direction, Reason, Tier, Verdict};

use crate::fixture::*;

#[test]
fn without_policies_everything_is_allowed() {
    let world = world();
    world.allows(&["a/db -> a/web tcp/80", "8.8.8.8 -> a/web udp/53", "a/web -> 8.8.8.8 47"]);
    assert_eq!(world.reasons("a/db -> a/web tcp/80"), ("NotIsolated".into(), "NotIsolated".into()));
    assert_eq!(world.reasons("8.8.8.8 -> a/web tcp/80"), ("NotAPod".into(), "NotIsolated".into()));
    assert_eq!(world.reasons("8.8.8.8 -> 9.9.9.9 tcp/80"), ("NotAPod".into(), "NotAPod".into()));
}

#[test]
fn both_sides_must_allow() {
    let out = |allow: bool| policy("a/out").subjects("app=db").egress(allow.then(any));
    let inward = |allow: bool| policy("a/in").subjects("app=web").ingress(allow.then(any));
    for (egress, ingress) in [(true, true), (true, false), (false, true), (false, false)] {
        let world = world().with([out(egress), inward(ingress)]);
        for decision in world.ask("a/db -> a/web tcp/80") {
            let verdict = |allowed| if allowed { Verdict::Allowed } else { Verdict::Denied };
            assert_eq!(decision.verdict, verdict(egress && ingress));
            assert_eq!(decision.egress.verdict, verdict(egress));
            assert_eq!(decision.ingress.verdict, verdict(ingress));
        }
    }
}

#[test]
fn isolation_for_egress_leaves_ingress_to_the_default() {
    world()
        .with([policy("a/p").subjects("app=web").egress([])])
        .allows(&["b/job -> a/web tcp/80", "8.8.8.8 -> a/web tcp/80"])
        .denies(&["a/web -> b/job tcp/80"]);
}

#[test]
fn isolation_for_ingress_leaves_egress_to_the_default() {
    world()
        .with([policy("a/p").subjects("app=web").ingress([])])
        .allows(&["a/web -> b/job tcp/80", "a/web -> 8.8.8.8 udp/53"])
        .denies(&["b/job -> a/web tcp/80"]);
}

#[test]
fn the_first_rule_by_policy_name_then_index_is_named() {
    let rules = || [any().ports("tcp/443"), any().ports("tcp/80"), any().ports("tcp/80-90")];
    let world = world().with([
        policy("a/zebra").subjects("app=web").ingress([any()]),
        policy("a/ant").subjects("app=web").ingress(rules()),
    ]);
    for (question, rule) in [
        ("b/job -> a/web tcp/443", "a/ant ingress[0]"),
        ("b/job -> a/web tcp/80", "a/ant ingress[1]"),
        ("b/job -> a/web tcp/85", "a/ant ingress[2]"),
        ("b/job -> a/web tcp/91", "a/zebra ingress[0]"),
        ("b/job -> a/web 47", "a/zebra ingress[0]"),
    ] {
        assert_eq!(world.reasons(question).1, rule, "{question}");
    }
}

#[test]
fn the_named_rule_is_the_first_whichever_of_its_peers_matches() {
    let world = world().with([
        policy("a/b").subjects("app=web").ingress([any()]),
        policy("a/a")
            .subjects("app=web")
            .ingress([peers([pods("app=db")]), peers([block("10.0.0.0/24", &[]), block("fd00::/64", &[])])]),
    ]);
    assert_eq!(world.reasons("a/db -> a/web tcp/80").1, "a/a ingress[0]");
    assert_eq!(world.reasons("b/job -> a/web tcp/80").1, "a/a ingress[1]");
    assert_eq!(world.reasons("8.8.8.8 -> a/web tcp/80").1, "a/b ingress[0]");
}

#[test]
fn a_denial_names_every_isolating_policy_in_order_and_no_other() {
    let world = world().with([
        policy("a/zebra").ingress([]),
        policy("a/ant").subjects("app=web").ingress([any().ports("tcp/443")]),
        policy("a/out").egress([any()]),
        policy("a/db").subjects("app=db").ingress([]),
        policy("b/deny").ingress([]),
    ]);
    assert_eq!(
        world.reasons("b/job -> a/web tcp/80"),
        ("NotIsolated".into(), "isolated by a/ant, a/zebra".into())
    );
    assert_eq!(
        world.reasons("a/web -> a/db tcp/80"),
        ("a/out egress[0]".into(), "isolated by a/db, a/zebra".into())
    );
}

#[test]
fn a_rule_says_where_it_is_written_also_after_its_file_changed() {
    let at = |line: u32| {
        let mut rule = any();
        rule.source = podgate_api::Source { file: "p.yaml".into(), line, column: 5 };
        policy("a/p").subjects("app=web").ingress([rule])
    };
    let mut world = world();
    for line in [7, 9, 3] {
        world.put(at(line));
        let (from, to) = ("10.0.0.4".parse().expect("an address"), "10.0.0.1".parse().expect("an address"));
        let decision = world.cluster.evaluate(&Connection { from, to, protocol: 6, port: 80 });
        let Reason::Rule(rule) = decision.ingress.reason else { panic!("{decision:?}") };
        assert_eq!(
            (rule.source.line, rule.tier, rule.direction),
            (line, Tier::NetworkPolicy, Direction::Ingress)
        );
    }
}
