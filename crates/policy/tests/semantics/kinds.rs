//! Cases 18 to 24, as far as they are the engine's: kinds of traffic. What only a kernel can show
//! (replies, fragments, neighbour discovery, cut connections) is tested with packets.

use podgate_policy::Settings;

use crate::fixture::*;

#[test]
fn case_18_a_connection_is_judged_in_the_direction_it_is_made() {
    // The reverse may not be opened; whether replies pass is a matter of connections, not of policy.
    world()
        .with([
            policy("a/p").subjects("app=web").ingress([peers([pods("app=db")])]),
            policy("a/q").subjects("app=web").egress([]),
        ])
        .allows(&["a/db -> a/web tcp/80"])
        .denies(&["a/web -> a/db tcp/80"]);
}

#[test]
fn case_19_the_own_node_reaches_its_pods_with_every_address() {
    let world = world().with([policy("a/deny").ingress([]), policy("b/deny").ingress([])]);
    world
        .allows(&["172.18.0.1 -> a/web tcp/80", "fd01::1 -> a/web udp/53", "172.18.0.2 -> a/db 47"])
        .denies(&["172.18.0.2 -> a/web tcp/80", "fd01::2 -> a/web tcp/80", "172.18.0.1 -> a/db tcp/80"]);
    assert_eq!(world.reasons("172.18.0.1 -> a/web tcp/80"), ("OwnNode".into(), "OwnNode".into()));
}

#[test]
fn case_19_a_pod_reaches_its_own_node() {
    let world = world().with([policy("a/deny").egress([])]);
    world
        .allows(&["a/web -> 172.18.0.1 tcp/10250", "a/web -> fd01::1 tcp/10250"])
        .denies(&["a/web -> 172.18.0.2 tcp/10250", "a/web -> fd01::2 tcp/10250"]);
    assert_eq!(world.reasons("a/web -> 172.18.0.1 tcp/10250"), ("OwnNode".into(), "OwnNode".into()));
}

#[test]
fn case_19_holds_whatever_comes_first_and_follows_the_nodes_addresses() {
    let mut world = world().with([policy("a/deny").ingress([])]);
    world.put(pod("a/new", "", "10.0.0.9").on("n9"));
    world.denies(&["172.18.0.9 -> a/new tcp/80"]);
    world.put(node("n9", "172.18.0.9"));
    world.allows(&["172.18.0.9 -> a/new tcp/80"]);
    world.put(node("n9", "172.18.0.10"));
    world.allows(&["172.18.0.10 -> a/new tcp/80"]).denies(&["172.18.0.9 -> a/new tcp/80"]);
    world.remove("Node", "n9");
    world.denies(&["172.18.0.10 -> a/new tcp/80"]);
}

#[test]
fn case_19_an_address_may_be_that_of_two_nodes_while_one_replaces_the_other() {
    let mut world = world().with([policy("a/deny").ingress([])]);
    world.put(node("n0", "172.18.0.1"));
    world.allows(&["172.18.0.1 -> a/web tcp/80"]);
    world.remove("Node", "n0");
    world.allows(&["172.18.0.1 -> a/web tcp/80"]);
}

#[test]
fn case_19_other_nodes_need_a_rule_and_selectors_do_not_mean_them() {
    world()
        .with([policy("a/p").subjects("app=web").ingress([peers([namespaces("")])])])
        .denies(&["172.18.0.2 -> a/web tcp/80"]);
    world()
        .with([policy("a/p").subjects("app=web").ingress([peers([block("172.18.0.0/24", &[])])])])
        .allows(&["172.18.0.2 -> a/web tcp/80"]);
}

#[test]
fn case_20_a_pod_reaches_its_own_address() {
    let world = world().with([policy("a/deny").ingress([]), policy("a/deny-out").egress([])]);
    world.allows(&["10.0.0.1 -> 10.0.0.1 tcp/80", "fd00::1 -> fd00::1 udp/53"]);
    assert_eq!(world.reasons("10.0.0.1 -> 10.0.0.1 tcp/80"), ("Itself".into(), "Itself".into()));
    world.denies(&["10.0.0.1 -> 10.0.0.2 tcp/80"]);
}

#[test]
fn case_21_other_protocols_match_rules_without_ports() {
    world()
        .with([policy("a/p").subjects("app=web").ingress([peers([pods("app=db")]), any().ports("tcp/80")])])
        .allows(&[
            "a/db -> a/web icmp/8",
            "a/db -> a/web icmpv6/128",
            "a/db -> a/web 47",
            "a/db -> a/web 255",
        ])
        .denies(&[
            "b/job -> a/web icmp/8",
            "b/job -> a/web icmpv6/128",
            "b/job -> a/web 47",
            "b/job -> a/web 255",
        ]);
}

#[test]
fn case_21_icmp_echo_is_a_setting() {
    let deny = || [policy("a/deny").ingress([]), policy("a/deny-out").egress([])];
    world().with(deny()).denies(&[
        "b/job -> a/web icmp/8",
        "b/job -> a/web icmpv6/128",
        "a/web -> b/job icmp/8",
    ]);
    let world = world_with(Settings { icmp_echo: true }).with(deny());
    world
        .allows(&[
            "b/job -> a/web icmp/8",
            "b/job -> a/web icmpv6/128",
            "a/web -> b/job icmp/8",
            "a/web -> 8.8.8.8 icmp/8",
        ])
        .denies(&[
            "b/job -> a/web icmp/13",
            "b/job -> a/web icmp/128",
            "b/job -> a/web icmpv6/8",
            "b/job -> a/web tcp/8",
        ]);
    assert_eq!(world.reasons("10.0.0.4 -> 10.0.0.1 icmp/8").1, "IcmpEcho");
    assert_eq!(world.reasons("a/web -> 8.8.8.8 icmp/8").0, "IcmpEcho");
}

#[test]
fn case_21_a_rule_is_named_before_the_setting_for_icmp_echo() {
    let world = world_with(Settings { icmp_echo: true }).with([policy("a/p").ingress([any()])]);
    assert_eq!(world.reasons("b/job -> a/web icmp/8").1, "a/p ingress[0]");
}

#[test]
fn case_23_policy_means_the_backend_and_its_target_port() {
    // A Service's port 80 leads to targetPort 8080: a rule must name 8080.
    world()
        .with([policy("a/p").subjects("app=web").ingress([any().ports("tcp/8080")])])
        .allows(&["b/job -> a/web tcp/8080"])
        .denies(&["b/job -> a/web tcp/80"]);
    // The Service's own address is nobody's: only a block could mean it, in vain.
    world()
        .with([policy("b/p").egress([peers([block("10.96.0.10/32", &[])])])])
        .denies(&["10.0.0.4 -> 10.0.0.1 tcp/8080"]);
}

#[test]
fn case_24_a_policy_change_tells_a_new_table_for_its_subjects() {
    let mut world = world().with([policy("a/p").subjects("app=web").ingress([any()])]);
    let web = |delta: &podgate_policy::Delta, address: &str| {
        let address: std::net::IpAddr = address.parse().expect("an address");
        delta.addresses.iter().find(|(a, _)| *a == address).and_then(|(_, identity)| identity.clone())
    };
    let delta = world.put(policy("a/p").subjects("app=web").ingress([]));
    world.denies(&["b/job -> a/web tcp/80"]);
    for address in ["10.0.0.1", "fd00::1"] {
        let identity = web(&delta, address).expect("its subject is told");
        let program = identity.ingress.expect("it is isolated");
        assert!(delta.programs.contains(&program), "{address} uses a table that was never told: {delta:?}");
    }
    assert_eq!(delta.programs_gone.len(), 1, "{delta:?}");
}
