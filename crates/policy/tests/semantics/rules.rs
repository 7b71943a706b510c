//! Cases 7 to 9: rules and isolation.

use podgate_api::{NetworkPolicy, Object};

use crate::fixture::*;

#[test]
fn case_07_no_rules_deny_all() {
    world().with([policy("a/deny").subjects("app=web").ingress([])]).denies(&[
        "b/job -> a/web tcp/80",
        "a/db -> a/web udp/53",
        "8.8.8.8 -> a/web sctp/9",
        "b/job -> a/web 47",
    ]);
    world()
        .with([policy("a/deny").subjects("app=web").egress([])])
        .denies(&["a/web -> b/job tcp/80", "a/web -> 8.8.8.8 udp/53"]);
}

#[test]
fn case_07_an_empty_rule_allows_all() {
    world().with([policy("a/allow").subjects("app=web").ingress([any()])]).allows(&[
        "b/job -> a/web tcp/80",
        "8.8.8.8 -> a/web sctp/9",
        "2001:db8::1 -> a/web udp/1",
        "b/job -> a/web 47",
        "172.18.0.2 -> a/web tcp/65535",
    ]);
}

#[test]
fn case_07_no_peers_mean_any_source() {
    world()
        .with([policy("a/p").subjects("app=web").ingress([any().ports("tcp/80")])])
        .allows(&["b/job -> a/web tcp/80", "8.8.8.8 -> a/web tcp/80", "172.18.0.2 -> a/web tcp/80"])
        .denies(&["b/job -> a/web tcp/81", "8.8.8.8 -> a/web udp/80"]);
}

#[test]
fn case_07_no_ports_mean_any_port_and_any_protocol() {
    world()
        .with([policy("a/p").subjects("app=web").ingress([peers([pods("app=db")])])])
        .allows(&[
            "a/db -> a/web tcp/1",
            "a/db -> a/web udp/65535",
            "a/db -> a/web sctp/7",
            "a/db -> a/web 47",
        ])
        .denies(&["b/job -> a/web tcp/1", "b/job -> a/web 47"]);
}

#[test]
fn case_08_rules_of_a_direction_that_is_not_in_force_decide_nothing() {
    // policyTypes: [Egress] with ingress rules.
    let mut egress_only = policy("a/p").subjects("app=web");
    egress_only.0.ingress = vec![peers([pods("app=db")]).ports("tcp/80")];
    world()
        .with([egress_only.egress([])])
        .allows(&["b/job -> a/web tcp/81"])
        .denies(&["a/web -> b/job tcp/81", "a/web -> a/db tcp/80"]);
}

#[test]
fn case_08_both_directions_without_egress_rules_deny_all_egress() {
    let Object::NetworkPolicy(base) = policy("a/p").subjects("app=web").ingress([any()]) else { return };
    world()
        .with([Object::NetworkPolicy(NetworkPolicy { egress_in_force: true, ..base })])
        .allows(&["b/job -> a/web tcp/80"])
        .denies(&["a/web -> b/job tcp/80", "a/web -> 8.8.8.8 udp/53"]);
}

#[test]
fn case_09_policies_add_up() {
    world()
        .with([
            policy("a/deny").ingress([]),
            policy("a/one").subjects("app=web").ingress([peers([pods("app=db")]).ports("tcp/80")]),
            policy("a/two").subjects("app=web").ingress([peers([namespaces("")]).ports("tcp/443")]),
        ])
        .allows(&["a/db -> a/web tcp/80", "a/db -> a/web tcp/443", "b/job -> a/web tcp/443"])
        .denies(&["b/job -> a/web tcp/80", "b/job -> a/db tcp/443"]);
}

#[test]
fn case_09_order_never_matters() {
    let policies = || {
        [
            policy("a/deny").ingress([]),
            policy("a/one").subjects("app=web").ingress([peers([pods("app=db")]).ports("tcp/80")]),
            policy("a/two").subjects("app").ingress([any().ports("tcp/80-90")]),
        ]
    };
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = world();
        for at in order {
            world.put(policies()[at].clone());
        }
        world.allows(&["a/db -> a/web tcp/80", "b/job -> a/web tcp/85"]).denies(&["a/db -> a/web tcp/91"]);
        assert_eq!(world.reasons("a/db -> a/web tcp/80").1, "a/one ingress[0]");
        assert_eq!(world.reasons("a/db -> a/web tcp/91").1, "isolated by a/deny, a/one, a/two");
    }
}

#[test]
fn case_09_the_last_policy_of_a_direction_ends_the_isolation() {
    let mut world = world().with([
        policy("a/one").subjects("app=web").ingress([]),
        policy("a/two").ingress([]),
        policy("a/three").egress([]),
    ]);
    world.denies(&["b/job -> a/web tcp/80", "a/web -> b/job tcp/80"]);
    world.remove("NetworkPolicy", "a/one");
    world.denies(&["b/job -> a/web tcp/80", "a/web -> b/job tcp/80"]);
    world.remove("NetworkPolicy", "a/two");
    world.allows(&["b/job -> a/web tcp/80"]).denies(&["a/web -> b/job tcp/80"]);
    world.remove("NetworkPolicy", "a/three");
    world.allows(&["b/job -> a/web tcp/80", "a/web -> b/job tcp/80"]);
    assert_eq!(world.reasons("a/web -> b/job tcp/80"), ("NotIsolated".into(), "NotIsolated".into()));
}
