//! Cases 14 to 17: address blocks.

use podgate_api::Peer;
use podgate_policy::Programs;

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

/// `a/web` takes connections from a block, and each of `count` pods is a class of its own: another policy asks
/// for it. Pods have addresses of both families that end in 16, 17 and so on.
fn crowd(count: u32, blocks: impl IntoIterator<Item = Peer>, v4: &str, v6: &str) -> World {
    let mut world = from(blocks);
    let each =
        (0..count).map(|i| peers([pods_in("", &format!("id=i{i}"))]).ports(&format!("tcp/{}", 1000 + i)));
    world.apply(policy("a/each").subjects("app=db").ingress(each));
    move_crowd(&mut world, count, v4, v6);
    world.cluster.commit();
    world
}

fn move_crowd(world: &mut World, count: u32, v4: &str, v6: &str) {
    for i in 0..count {
        let ips = format!("{v4}.{} {v6}::{:x}", i + 16, i + 16);
        world.apply(pod(&format!("b/p{i}"), &format!("id=i{i}"), &ips));
    }
}

/// How many rows of its own the program that judges what `a/web` takes has.
fn rows(world: &World) -> usize {
    let web = "10.0.0.1".parse().expect("an address");
    let ingress = world.cluster.identity(web).and_then(|web| web.ingress).expect("a/web is isolated");
    world.cluster.program(ingress).expect("a program in use").rows().len()
}

#[test]
fn a_block_that_holds_nearly_all_pods_costs_rows_for_the_others_only() {
    let world = crowd(40, [block("10.0.0.0/8", &["10.0.0.20/31"])], "10.0.0", "fd00");
    assert!(rows(&world) < 8, "{} rows", rows(&world));
    world
        .allows(&["10.0.0.19 -> a/web tcp/80", "10.0.0.22 -> a/web tcp/80", "10.9.9.9 -> a/web tcp/80"])
        .denies(&["10.0.0.20 -> a/web tcp/80", "10.0.0.21 -> a/web tcp/80", "11.0.0.1 -> a/web tcp/80"])
        .denies(&["fd00::16 -> a/web tcp/80", "2001:db8::1 -> a/web tcp/80"]);
}

#[test]
fn one_block_of_each_family_may_hold_nearly_all_pods() {
    let blocks = [block("0.0.0.0/0", &["10.0.0.20/31"]), block("::/0", &["fd00::20/127"])];
    let world = crowd(40, blocks, "10.0.0", "fd00");
    assert!(rows(&world) < 12, "{} rows", rows(&world));
    world
        .allows(&["10.0.0.22 -> a/web tcp/80", "8.8.8.8 -> a/web tcp/80"])
        .allows(&["fd00::22 -> a/web tcp/80", "2001:db8::1 -> a/web tcp/80"])
        .denies(&["10.0.0.20 -> a/web tcp/80", "10.0.0.21 -> a/web tcp/80"])
        .denies(&["fd00::20 -> a/web tcp/80", "fd00::21 -> a/web tcp/80"]);
}

#[test]
fn tables_follow_when_most_pods_move_out_of_a_block_or_into_it() {
    let mut world = crowd(40, [block("10.0.0.0/24", &["10.0.0.20/31"])], "10.0.1", "fd00");
    assert!(rows(&world) < 8, "nearly all outside: {} rows", rows(&world));
    world.denies(&["10.0.1.30 -> a/web tcp/80"]);
    move_crowd(&mut world, 40, "10.0.0", "fd00");
    let delta = world.cluster.commit();
    assert!(!delta.programs.is_empty(), "programs with other default rows are new programs");
    assert!(rows(&world) < 8, "nearly all inside: {} rows", rows(&world));
    world.allows(&["10.0.0.30 -> a/web tcp/80", "10.0.0.22 -> a/web tcp/80"]).denies(&[
        "10.0.0.20 -> a/web tcp/80",
        "10.0.1.30 -> a/web tcp/80",
        "fd00::30 -> a/web tcp/80",
    ]);
    move_crowd(&mut world, 40, "10.0.1", "fd00");
    world.cluster.commit();
    assert!(rows(&world) < 8, "outside again: {} rows", rows(&world));
    world.allows(&["10.0.0.30 -> a/web tcp/80"]).denies(&["10.0.1.30 -> a/web tcp/80"]);
    assert!(world.cluster.commit().is_empty());
}

#[test]
fn a_policy_older_than_all_pods_gets_small_tables_too() {
    let mut world = World::empty();
    world.put(policy("a/p").subjects("app=web").ingress([peers([block("10.0.0.0/8", &["10.0.0.20/31"])])]));
    let each = (0..40).map(|i| peers([pods_in("", &format!("id=i{i}"))]).ports(&format!("tcp/{}", 1000 + i)));
    world.put(policy("a/each").subjects("app=db").ingress(each));
    world.put(pod("a/web", "app=web", "10.0.0.1"));
    for i in 0..40 {
        world.put(pod(&format!("b/p{i}"), &format!("id=i{i}"), &format!("10.0.0.{}", i + 16)));
    }
    assert!(rows(&world) < 40, "{} rows", rows(&world));
    world.allows(&["10.0.0.22 -> a/web tcp/80"]).denies(&["10.0.0.20 -> a/web tcp/80"]);
}
