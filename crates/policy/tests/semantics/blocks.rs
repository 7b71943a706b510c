//! Cases 14 to 17: address blocks.

use podgate_api::Peer;

use crate::fixture::*;

/// `a/web` takes connections from these peers only.
fn from(list: impl IntoIterator<Item = Peer>) -> World {
    world().with([policy("a/p").subjects("app=web").ingress([peers(list)])])
}

#[test]
fn case_14_except_cuts_a_hole_in_its_own_block() {
    from([block("192.0.2.0/24", &["192.0.2.64/26", "192.0.2.200/32"])])
        .allows(&["192.0.2.0 -> a/web tcp/80", "192.0.2.63 -> a/web tcp/80", "192.0.2.128 -> a/web tcp/80"])
        .allows(&[
            "192.0.2.199 -> a/web tcp/80",
            "192.0.2.201 -> a/web tcp/80",
            "192.0.2.255 -> a/web tcp/80",
        ])
        .denies(&["192.0.2.64 -> a/web tcp/80", "192.0.2.127 -> a/web tcp/80", "192.0.2.200 -> a/web tcp/80"])
        .denies(&["192.0.1.255 -> a/web tcp/80", "192.0.3.0 -> a/web tcp/80"]);
}

#[test]
fn case_14_except_cuts_a_hole_in_its_own_block_only() {
    let holed = || block("192.0.2.0/24", &["192.0.2.64/26"]);
    // Another peer of the rule, another rule, another policy may allow what the hole leaves out.
    from([holed(), block("192.0.2.64/30", &[])])
        .allows(&["192.0.2.64 -> a/web tcp/80"])
        .denies(&["192.0.2.68 -> a/web tcp/80"]);
    world()
        .with([policy("a/p")
            .subjects("app=web")
            .ingress([peers([holed()]), peers([block("192.0.2.64/30", &[])])])])
        .allows(&["192.0.2.64 -> a/web tcp/80"])
        .denies(&["192.0.2.68 -> a/web tcp/80"]);
    from([holed()])
        .with([policy("a/q").subjects("app=web").ingress([peers([block("192.0.2.64/30", &[])])])])
        .allows(&["192.0.2.64 -> a/web tcp/80"])
        .denies(&["192.0.2.68 -> a/web tcp/80"]);
    from([holed()])
        .with([policy("a/q").ingress([any().ports("tcp/443")])])
        .allows(&["192.0.2.64 -> a/web tcp/443"])
        .denies(&["192.0.2.64 -> a/web tcp/80"]);
}

#[test]
fn case_14_the_hole_of_one_policy_is_none_in_another_policys_block() {
    world()
        .with([
            policy("a/p").subjects("app=web").ingress([peers([block("0.0.0.0/0", &["10.0.0.0/8"])])]),
            policy("a/q").subjects("app=web").ingress([peers([pods_in("", "app=db")])]),
        ])
        .allows(&["10.0.0.2 -> a/web tcp/80", "8.8.8.8 -> a/web tcp/80"])
        .denies(&["10.0.0.4 -> a/web tcp/80"]);
}

#[test]
fn case_15_whole_families_single_addresses_and_edges() {
    from([block("0.0.0.0/0", &[])])
        .allows(&["0.0.0.0 -> a/web tcp/80", "255.255.255.255 -> a/web tcp/80", "10.0.0.4 -> a/web tcp/80"])
        .denies(&["fd00::4 -> a/web tcp/80"]);
    from([block("::/0", &[])])
        .allows(&[":: -> a/web tcp/80", "ffff::ffff -> a/web tcp/80", "fd00::4 -> a/web tcp/80"])
        .denies(&["10.0.0.4 -> a/web tcp/80"]);
    from([block("192.0.2.7/32", &[]), block("2001:db8::7/128", &[])])
        .allows(&["192.0.2.7 -> a/web tcp/80", "2001:db8::7 -> a/web tcp/80"])
        .denies(&["192.0.2.6 -> a/web tcp/80", "192.0.2.8 -> a/web tcp/80", "2001:db8::8 -> a/web tcp/80"]);
}

#[test]
fn case_15_adjacent_and_nested_holes() {
    from([block("192.0.2.0/24", &["192.0.2.0/25", "192.0.2.128/26"])])
        .allows(&["192.0.2.192 -> a/web tcp/80", "192.0.2.255 -> a/web tcp/80"])
        .denies(&["192.0.2.0 -> a/web tcp/80", "192.0.2.127 -> a/web tcp/80", "192.0.2.191 -> a/web tcp/80"]);
    from([block("192.0.2.0/24", &["192.0.2.0/25", "192.0.2.64/26", "192.0.2.65/32"])])
        .allows(&["192.0.2.128 -> a/web tcp/80"])
        .denies(&["192.0.2.0 -> a/web tcp/80", "192.0.2.64 -> a/web tcp/80", "192.0.2.65 -> a/web tcp/80"]);
    // Two halves leave nothing.
    from([block("192.0.2.0/24", &["192.0.2.0/25", "192.0.2.128/25"])])
        .denies(&["192.0.2.0 -> a/web tcp/80", "192.0.2.255 -> a/web tcp/80"]);
    from([block("2001:db8::/64", &["2001:db8::/65", "2001:db8::8000:0:0:0/128"])])
        .allows(&["2001:db8::8000:0:0:1 -> a/web tcp/80"])
        .denies(&["2001:db8::1 -> a/web tcp/80", "2001:db8::8000:0:0:0 -> a/web tcp/80"]);
}

#[test]
fn case_15_overlapping_blocks_with_different_ports_add_up() {
    world()
        .with([policy("a/p").subjects("app=web").ingress([
            peers([block("192.0.2.0/24", &["192.0.2.16/28"])]).ports("tcp/80"),
            peers([block("192.0.2.0/25", &[])]).ports("tcp/443"),
            peers([block("192.0.0.0/16", &["192.0.2.0/30"])]).ports("udp/53"),
        ])])
        .allows(&["192.0.2.4 -> a/web tcp/80", "192.0.2.4 -> a/web tcp/443", "192.0.2.4 -> a/web udp/53"])
        .allows(&["192.0.2.0 -> a/web tcp/80", "192.0.2.0 -> a/web tcp/443", "192.0.2.200 -> a/web tcp/80"])
        .allows(&["192.0.2.17 -> a/web tcp/443", "192.0.2.17 -> a/web udp/53", "192.0.3.1 -> a/web udp/53"])
        .denies(&["192.0.2.0 -> a/web udp/53", "192.0.2.17 -> a/web tcp/80", "192.0.2.200 -> a/web tcp/443"])
        .denies(&["192.0.3.1 -> a/web tcp/80"]);
}

#[test]
fn case_15_a_mapped_block_is_a_block_of_ipv6_addresses() {
    from([block("::ffff:192.0.2.0/120", &[])])
        .allows(&["::ffff:192.0.2.1 -> a/web tcp/80"])
        .denies(&["::ffff:192.0.3.1 -> a/web tcp/80"]);
}

#[test]
fn case_16_a_block_matches_addresses_of_pods() {
    from([block("10.0.0.0/29", &["10.0.0.4/32"])])
        .allows(&["10.0.0.2 -> a/web tcp/80", "10.0.0.3 -> a/web tcp/80"])
        .denies(&["10.0.0.4 -> a/web tcp/80"]);
    world()
        .with([policy("b/p").egress([peers([block("10.0.0.1/32", &[]), block("fd00::2/128", &[])])])])
        .allows(&["10.0.0.4 -> 10.0.0.1 tcp/80", "fd00::4 -> fd00::2 tcp/80"])
        .denies(&["10.0.0.4 -> 10.0.0.2 tcp/80", "fd00::4 -> fd00::1 tcp/80"]);
}

#[test]
fn case_16_an_address_keeps_its_blocks_when_a_pod_takes_and_leaves_it() {
    let mut world = from([block("10.0.9.0/24", &["10.0.9.128/25"])]);
    for _ in 0..2 {
        world.allows(&["10.0.9.5 -> a/web tcp/80"]).denies(&["10.0.9.200 -> a/web tcp/80"]);
        world.put(pod("b/new", "app=new", "10.0.9.5"));
        world.put(pod("b/newer", "app=new", "10.0.9.200"));
        world.allows(&["10.0.9.5 -> a/web tcp/80"]).denies(&["10.0.9.200 -> a/web tcp/80"]);
        world.remove("Pod", "b/new");
        world.remove("Pod", "b/newer");
    }
}

#[test]
fn case_17_a_block_says_nothing_of_the_other_family() {
    from([block("10.0.0.0/8", &[])])
        .allows(&["10.0.0.4 -> a/web tcp/80"])
        .denies(&["fd00::4 -> a/web tcp/80"]);
    from([block("fd00::/8", &[])]).allows(&["fd00::4 -> a/web tcp/80"]).denies(&["10.0.0.4 -> a/web tcp/80"]);
}

#[test]
fn case_17_selectors_cover_all_addresses_of_a_pod() {
    from([pods("app=db")]).allows(&["10.0.0.2 -> a/web tcp/80", "fd00::2 -> a/web tcp/80"]);
    world()
        .with([policy("a/deny").subjects("app=web").ingress([])])
        .denies(&["b/job -> 10.0.0.1 tcp/80", "b/job -> fd00::1 tcp/80"]);
}
