//! Cases 10 to 13: ports and protocols.

use crate::fixture::*;

/// `a/web` takes these ports from anywhere.
fn taking(ports: &str) -> World {
    world().with([policy("a/p").subjects("app=web").ingress([any().ports(ports)])])
}

#[test]
fn case_10_an_entry_without_port_is_every_port_of_its_protocol() {
    taking("tcp")
        .allows(&["b/job -> a/web tcp/1", "b/job -> a/web tcp/65535", "8.8.8.8 -> a/web tcp/80"])
        .denies(&[
            "b/job -> a/web udp/1",
            "b/job -> a/web sctp/1",
            "b/job -> a/web icmp/8",
            "b/job -> a/web 47",
        ]);
    taking("sctp").allows(&["b/job -> a/web sctp/1"]).denies(&["b/job -> a/web tcp/1"]);
    taking("tcp udp sctp")
        .allows(&["b/job -> a/web tcp/1", "b/job -> a/web udp/1", "b/job -> a/web sctp/1"])
        .denies(&["b/job -> a/web 47"]);
}

#[test]
fn case_11_end_port_is_inclusive() {
    taking("tcp/8000-8010")
        .allows(&["b/job -> a/web tcp/8000", "b/job -> a/web tcp/8005", "b/job -> a/web tcp/8010"])
        .denies(&["b/job -> a/web tcp/7999", "b/job -> a/web tcp/8011", "b/job -> a/web udp/8005"]);
    taking("tcp/80-80").allows(&["b/job -> a/web tcp/80"]).denies(&["b/job -> a/web tcp/81"]);
}

#[test]
fn case_11_edges_of_the_port_space_work() {
    taking("tcp/1")
        .allows(&["b/job -> a/web tcp/1"])
        .denies(&["b/job -> a/web tcp/2", "b/job -> a/web tcp/0"]);
    taking("tcp/65535")
        .allows(&["b/job -> a/web tcp/65535"])
        .denies(&["b/job -> a/web tcp/65534", "b/job -> a/web 7/0"]);
    taking("udp/1-65535").allows(&["b/job -> a/web udp/1", "b/job -> a/web udp/65535"]).denies(&[
        "b/job -> a/web 18/0",
        "b/job -> a/web tcp/80",
        "b/job -> a/web 16/65535",
    ]);
}

#[test]
fn case_11_overlapping_and_touching_ranges_add_up() {
    taking("tcp/10-20 tcp/15-30 tcp/31-40 tcp/12")
        .allows(&[
            "b/job -> a/web tcp/10",
            "b/job -> a/web tcp/30",
            "b/job -> a/web tcp/31",
            "b/job -> a/web tcp/40",
        ])
        .denies(&["b/job -> a/web tcp/9", "b/job -> a/web tcp/41"]);
}

/// Pods of `b` may only connect to what `rule` names; `a/web` calls ports by name, and `a/db` calls
/// another number by the same name.
fn naming(rule: podgate_api::Rule) -> World {
    world().with([
        pod("a/web", "app=web", "10.0.0.1 fd00::1")
            .ports("http=tcp/80 http=tcp/8080 dns=udp/53 dns=tcp/5353")
            .into(),
        pod("a/db", "app=db", "10.0.0.2 fd00::2").ports("http=tcp/81").into(),
        policy("b/p").egress([rule]),
    ])
}

#[test]
fn case_12_a_name_is_resolved_on_each_destination_pod_for_egress() {
    naming(peers([namespaces("")]).ports("tcp/http"))
        .allows(&["b/job -> a/web tcp/80", "b/job -> a/web tcp/8080", "b/job -> a/db tcp/81"])
        .denies(&["b/job -> a/web tcp/81", "b/job -> a/db tcp/80", "b/job -> b/web tcp/80"]);
}

#[test]
fn case_12_a_rule_for_any_peer_resolves_names_on_pods() {
    naming(any().ports("tcp/http")).allows(&["b/job -> a/web tcp/80", "b/job -> a/db tcp/81"]).denies(&[
        "b/job -> a/db tcp/80",
        "b/job -> 8.8.8.8 tcp/80",
        "b/job -> 172.18.0.1 tcp/80",
    ]);
}

#[test]
fn case_12_the_protocol_must_agree() {
    naming(peers([namespaces("")]).ports("udp/http"))
        .denies(&["b/job -> a/web udp/80", "b/job -> a/web tcp/80"]);
    naming(peers([namespaces("")]).ports("udp/dns")).allows(&["b/job -> a/web udp/53"]).denies(&[
        "b/job -> a/web tcp/53",
        "b/job -> a/web udp/5353",
        "b/job -> a/web tcp/5353",
    ]);
}

#[test]
fn case_12_a_name_that_no_container_has_matches_nothing() {
    naming(peers([namespaces("")]).ports("tcp/none"))
        .denies(&["b/job -> a/web tcp/80", "b/job -> a/web tcp/1"]);
    taking("tcp/http").denies(&["b/job -> a/web tcp/80"]);
}

#[test]
fn case_12_a_block_never_matches_a_name() {
    naming(peers([block("0.0.0.0/0", &[]), block("::/0", &[])]).ports("tcp/http"))
        .denies(&["b/job -> a/web tcp/80", "b/job -> 8.8.8.8 tcp/80"]);
    // The block keeps the rule's numbers, the pods of the same rule keep its names.
    naming(
        peers([block("10.0.0.0/24", &[]), block("fd00::/64", &[]), pods_in("", "app=db")])
            .ports("tcp/http tcp/443"),
    )
    .allows(&["b/job -> a/web tcp/443", "b/job -> a/db tcp/443", "b/job -> a/db tcp/81"])
    .denies(&["b/job -> a/web tcp/80"]);
}

#[test]
fn case_12_for_ingress_a_name_is_resolved_on_the_subject() {
    let world = world().with([
        pod("a/web", "app=web", "10.0.0.1 fd00::1").ports("http=tcp/80").into(),
        pod("a/db", "app=db", "10.0.0.2 fd00::2").ports("http=tcp/81").into(),
        policy("a/p").ingress([any().ports("tcp/http")]),
    ]);
    world
        .allows(&["b/job -> a/web tcp/80", "b/job -> a/db tcp/81", "8.8.8.8 -> a/web tcp/80"])
        .denies(&["b/job -> a/web tcp/81", "b/job -> a/db tcp/80"]);
}

#[test]
fn case_12_a_pod_that_names_its_ports_otherwise_changes_the_answer() {
    let mut world = naming(peers([namespaces("")]).ports("tcp/http"));
    world.put(policy("a/p").ingress([any().ports("tcp/http")]));
    world.allows(&["b/job -> a/db tcp/81"]).denies(&["b/job -> a/db tcp/82"]);
    world.put(pod("a/db", "app=db", "10.0.0.2 fd00::2").ports("http=tcp/82"));
    world.allows(&["b/job -> a/db tcp/82"]).denies(&["b/job -> a/db tcp/81"]);
}

#[test]
fn case_13_sctp_is_not_tcp() {
    taking("sctp/80")
        .allows(&["b/job -> a/web sctp/80"])
        .denies(&["b/job -> a/web tcp/80", "b/job -> a/web udp/80"]);
    taking("tcp/80").denies(&["b/job -> a/web sctp/80"]);
}

#[test]
fn case_13_a_pod_under_an_sctp_rule_alone_is_isolated() {
    let world = taking("sctp/80");
    world.denies(&["b/job -> a/web tcp/443", "8.8.8.8 -> a/web udp/53"]);
    assert_eq!(world.reasons("b/job -> a/web tcp/443").1, "isolated by a/p");
}
