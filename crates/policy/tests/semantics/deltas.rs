//! Deltas name what changed, and nothing else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podgate_policy::{Delta, Programs};

use crate::fixture::*;

fn touched(delta: &Delta) -> BTreeSet<String> {
    delta.addresses.iter().map(|(address, _)| address.to_string()).collect()
}

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|a| a.parse::<IpAddr>().expect("an address").to_string()).collect()
}

/// Peers of every kind around `a/web`, egress and ingress.
fn busy() -> World {
    world().with([
        policy("a/in").subjects("app=web").ingress([
            peers([pods("app=db"), block("10.0.0.0/24", &["10.0.0.4/32"])]).ports("tcp/80"),
            peers([namespaces("team=red")]).ports("tcp/443"),
        ]),
        policy("b/out").egress([peers([pods_in("team=red", "app=web")])]),
        policy("b/in").subjects("app=web").ingress([]),
    ])
}

#[test]
fn a_commit_without_changes_is_empty() {
    let mut world = busy();
    assert!(world.cluster.commit().is_empty());
}

#[test]
fn applying_an_object_again_is_no_change() {
    let mut world = busy();
    let again = [
        namespace("a", "team=red"),
        node("n1", "172.18.0.1 fd01::1"),
        pod("a/web", "app=web", "10.0.0.1 fd00::1").on("n1").into(),
        policy("b/in").subjects("app=web").ingress([]),
    ];
    for object in again {
        let key = object.key();
        let delta = world.put(object);
        assert!(delta.is_empty(), "{key}: {delta:?}");
    }
}

#[test]
fn a_pod_joining_a_known_class_changes_its_own_addresses_only() {
    let mut world = busy();
    world.put(pod("a/db-2", "app=db,tier=x", "10.0.0.20 fd00::20").on("n1"));
    let delta = world.put(pod("a/db-3", "app=db,tier=x", "10.0.0.21 fd00::21").on("n2"));
    assert_eq!(touched(&delta), set(&["10.0.0.21", "fd00::21"]));
    let rest = Delta { addresses: Vec::new(), ..delta.clone() };
    assert!(rest.is_empty(), "{delta:?}");
    let delta = world.remove("Pod", "a/db-3");
    assert_eq!(delta.addresses.len(), 2);
    assert!(delta.addresses.iter().all(|(_, identity)| identity.is_none()), "{delta:?}");
    assert!(Delta { addresses: Vec::new(), ..delta.clone() }.is_empty(), "{delta:?}");
}

#[test]
fn labels_that_no_policy_names_change_nothing() {
    let mut world = busy();
    let delta = world.put(pod("a/web", "app=web,pod-template-hash=77", "10.0.0.1 fd00::1").on("n1"));
    assert!(delta.is_empty(), "{delta:?}");
    let delta = world.put(namespace("a", "team=red,kubernetes.io/owner=x"));
    assert!(delta.is_empty(), "{delta:?}");
}

#[test]
fn pods_that_no_policy_can_tell_apart_share_a_class() {
    let world = world().with([policy("a/p").subjects("app=web").ingress([peers([pods("app=db")])])]);
    let whole = world.cluster.whole();
    let class = |address: &str| {
        let address: IpAddr = address.parse().expect("an address");
        let found = whole.addresses.iter().find(|(a, _)| *a == address);
        found.and_then(|(_, identity)| identity.as_ref()).expect("a pod").class
    };
    assert_eq!(class("10.0.0.3"), class("10.0.0.4"));
    assert_ne!(class("10.0.0.2"), class("10.0.0.4"));
}

#[test]
fn a_pod_of_a_new_class_adds_rows_to_the_programs_that_tell_it_apart() {
    let mut world = busy();
    let held = world.cluster.whole().programs;
    // Red and in the block, but neither web nor db: nobody was just that before.
    let delta = world.put(pod("a/new", "app=new", "10.0.0.77").on("n1"));
    assert_eq!(touched(&delta), set(&["10.0.0.77"]));
    assert!(delta.programs.is_empty() && delta.programs_gone.is_empty(), "{delta:?}");
    assert!(!delta.rows.is_empty(), "{delta:?}");
    for (id, class) in &delta.rows {
        assert!(held.contains(id), "{id:?} wasn't in force before");
        let program = world.cluster.program(*id).expect("a program in use");
        assert!(program.row(*class).is_some(), "{id:?} {class:?} is told and not there");
    }
    let delta = world.remove("Pod", "a/new");
    assert!(!delta.rows_gone.is_empty() && delta.rows.is_empty(), "{delta:?}");
}

#[test]
fn a_rule_edit_that_splits_no_class_touches_its_subjects_only() {
    let mut world = busy();
    let delta = world.put(policy("a/in").subjects("app=web").ingress([
        peers([pods("app=db"), block("10.0.0.0/24", &["10.0.0.4/32"])]).ports("tcp/81"),
        peers([namespaces("team=red")]).ports("tcp/443"),
    ]));
    assert_eq!(touched(&delta), set(&["10.0.0.1", "fd00::1"]));
    assert!(delta.prefixes.is_empty() && delta.rows.is_empty(), "{delta:?}");
    assert_eq!((delta.programs.len(), delta.programs_gone.len()), (1, 1), "{delta:?}");
}

#[test]
fn a_policy_touches_its_subjects_and_what_it_tells_apart() {
    let mut world = busy();
    let delta = world.put(policy("b/new").subjects("!app").ingress([peers([pods_in("team=red", "app=db")])]));
    let subjects = set(&["10.0.0.4", "fd00::4"]);
    let told_apart = set(&["10.0.0.2", "fd00::2"]);
    let touched = touched(&delta);
    assert!(touched.is_superset(&subjects), "{delta:?}");
    assert!(touched.is_subset(&subjects.union(&told_apart).cloned().collect()), "{delta:?}");
}

#[test]
fn a_policy_without_subjects_changes_no_pods_tables() {
    let mut world = busy();
    let delta = world.put(policy("z/none").ingress([any()]));
    assert!(delta.is_empty(), "{delta:?}");
    let delta = world.remove("NetworkPolicy", "z/none");
    assert!(delta.is_empty(), "{delta:?}");
}

#[test]
fn the_whole_state_tells_both_families_and_every_pod() {
    let whole = busy().cluster.whole();
    let prefixes: BTreeSet<String> = whole.prefixes.iter().map(|(prefix, _)| prefix.to_string()).collect();
    assert!(prefixes.contains("0.0.0.0/0") && prefixes.contains("::/0"), "{prefixes:?}");
    assert_eq!(whole.addresses.len(), 8);
    assert!(whole.rows.is_empty() && whole.rows_gone.is_empty() && whole.programs_gone.is_empty());
}

#[test]
fn the_first_delta_tells_both_families() {
    let delta = podgate_policy::Cluster::new(podgate_policy::Settings::default()).commit();
    let prefixes: BTreeSet<String> = delta.prefixes.iter().map(|(prefix, _)| prefix.to_string()).collect();
    assert_eq!(prefixes, BTreeSet::from(["0.0.0.0/0".to_owned(), "::/0".to_owned()]));
}
