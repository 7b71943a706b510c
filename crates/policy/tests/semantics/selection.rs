//! Cases 1 to 6: who is meant.

use podgate_api::{LabelSelector, Object, Peer, PodPeer, Source};

use crate::fixture::*;

/// `a/web` takes connections from these peers only.
fn only_from(list: impl IntoIterator<Item = Peer>) -> World {
    world().with([policy("a/p").subjects("app=web").ingress([peers(list)])])
}

/// Other ends of `a/web` that are not in the list must be denied.
#[track_caller]
fn reached_by(world: &World, expected: &[&str]) {
    for from in ["a/db", "b/web", "b/job"] {
        let question = format!("{from} -> a/web tcp/80");
        if expected.contains(&from) {
            world.allows(&[&question])
        } else {
            world.denies(&[&question])
        };
    }
}

#[test]
fn case_01_an_empty_selector_selects_every_pod_of_the_namespace() {
    world()
        .with([policy("a/deny").ingress([])])
        .denies(&["b/job -> a/web tcp/80", "b/job -> a/db tcp/80", "a/web -> a/db tcp/80"])
        .allows(&["a/web -> b/web tcp/80", "a/web -> b/job tcp/80"]);
}

#[test]
fn case_01_operators_on_subjects() {
    // web has app=web; db has app=db, tier=x.
    for (subjects, web_denied, db_denied) in [
        ("app in (web)", true, false),
        ("app in (web|db)", true, true),
        ("app in (none)", false, false),
        ("app notin (web)", false, true),
        ("tier notin (x)", true, false),
        ("tier notin (y)", true, true),
        ("tier", false, true),
        ("!tier", true, false),
        ("app", true, true),
        ("!app", false, false),
    ] {
        let world = world().with([policy("a/deny").subjects(subjects).ingress([])]);
        for (pod, denied) in [("a/web", web_denied), ("a/db", db_denied)] {
            let question = format!("b/job -> {pod} tcp/80");
            if denied {
                world.denies(&[&question])
            } else {
                world.allows(&[&question])
            };
        }
    }
}

#[test]
fn case_01_operators_on_peers() {
    for (selector, expected) in [
        ("app=web", &["b/web"][..]),
        ("app in (web|db)", &["a/db", "b/web"]),
        ("app notin (web)", &["a/db", "b/job"]),
        ("app", &["a/db", "b/web"]),
        ("!app", &["b/job"]),
        ("tier notin (x)", &["b/web", "b/job"]),
        ("", &["a/db", "b/web", "b/job"]),
    ] {
        reached_by(&only_from([pods_in("", selector)]), expected);
    }
}

#[test]
fn case_01_all_requirements_must_hold() {
    reached_by(&only_from([pods_in("", "app=db,tier=x")]), &["a/db"]);
    reached_by(&only_from([pods_in("", "app=db,!tier")]), &[]);
    reached_by(&only_from([pods_in("", "app,app notin (db)")]), &["b/web"]);
    reached_by(&only_from([pods_in("", "app=db,app=web")]), &[]);
}

#[test]
fn case_02_an_empty_namespace_selector_is_every_namespace() {
    reached_by(&only_from([namespaces("")]), &["a/db", "b/web", "b/job"]);
    only_from([namespaces("")]).denies(&["8.8.8.8 -> a/web tcp/80", "172.18.0.2 -> a/web tcp/80"]);
}

#[test]
fn case_02_a_pod_selector_alone_means_the_own_namespace() {
    reached_by(&only_from([pods("")]), &["a/db"]);
    reached_by(&only_from([pods("app=web")]), &[]);
}

#[test]
fn case_02_both_selectors_in_one_peer_mean_and() {
    reached_by(&only_from([pods_in("kubernetes.io/metadata.name=b", "app=web")]), &["b/web"]);
    reached_by(&only_from([pods_in("team=red", "app=web")]), &[]);
}

#[test]
fn case_02_two_peers_mean_or() {
    reached_by(
        &only_from([namespaces("kubernetes.io/metadata.name=b"), pods("app=db")]),
        &["a/db", "b/web", "b/job"],
    );
    reached_by(&only_from([pods_in("", "app=web"), pods("app=db")]), &["a/db", "b/web"]);
}

#[test]
fn case_03_every_namespace_has_its_name_as_a_label() {
    // Namespace a has an object, b is only mentioned by its pods.
    reached_by(&only_from([namespaces("kubernetes.io/metadata.name=b")]), &["b/web", "b/job"]);
    reached_by(&only_from([namespaces("kubernetes.io/metadata.name=a")]), &["a/db"]);
    reached_by(&only_from([namespaces("kubernetes.io/metadata.name notin (a)")]), &["b/web", "b/job"]);
    reached_by(&only_from([namespaces("kubernetes.io/metadata.name")]), &["a/db", "b/web", "b/job"]);
}

#[test]
fn case_03_a_mentioned_namespace_has_no_other_label_until_its_object_comes_and_after_it_goes() {
    let mut world = only_from([namespaces("team")]);
    reached_by(&world, &["a/db"]);
    world.put(namespace("b", "team=blue"));
    reached_by(&world, &["a/db", "b/web", "b/job"]);
    world.remove("Namespace", "b");
    reached_by(&world, &["a/db"]);
    world.remove("Namespace", "a");
    reached_by(&world, &[]);
}

#[test]
fn case_04_pod_labels_change_subjects() {
    let mut world = world().with([policy("a/deny").subjects("app=web").ingress([])]);
    world.denies(&["b/job -> a/web tcp/80"]);
    world.put(pod("a/web", "app=other", "10.0.0.1 fd00::1"));
    world.allows(&["b/job -> a/web tcp/80"]);
    world.put(pod("a/web", "app=web,more=1", "10.0.0.1 fd00::1"));
    world.denies(&["b/job -> a/web tcp/80"]);
}

#[test]
fn case_04_pod_labels_change_peers() {
    let mut world = only_from([pods("app=db")]);
    world.allows(&["a/db -> a/web tcp/80"]);
    world.put(pod("a/db", "app=cache", "10.0.0.2 fd00::2"));
    world.denies(&["a/db -> a/web tcp/80"]);
    world.put(pod("a/db", "app=db", "10.0.0.2 fd00::2"));
    world.allows(&["a/db -> a/web tcp/80"]);
}

#[test]
fn case_04_namespace_labels_change_peers() {
    let mut world = only_from([namespaces("team=blue")]);
    reached_by(&world, &[]);
    world.put(namespace("b", "team=blue"));
    reached_by(&world, &["b/web", "b/job"]);
    world.put(namespace("b", "team=green"));
    reached_by(&world, &[]);
    world.put(namespace("a", "team=blue"));
    reached_by(&world, &["a/db"]);
}

#[test]
fn case_04_selectors_of_policies_change_subjects_and_peers() {
    let mut world = only_from([pods("app=db")]);
    world.put(
        policy("a/p").subjects("app=web").ingress([peers([namespaces("kubernetes.io/metadata.name=b")])]),
    );
    reached_by(&world, &["b/web", "b/job"]);
    world.put(policy("a/p").subjects("app=db").ingress([peers([pods("app=none")])]));
    reached_by(&world, &["a/db", "b/web", "b/job"]);
    world.denies(&["b/job -> a/db tcp/80"]);
}

#[test]
fn case_05_an_invalid_selector_of_subjects_selects_every_pod() {
    let mut broken = policy("a/deny");
    broken.0.pod_selector = LabelSelector::invalid();
    world()
        .with([broken.ingress([])])
        .denies(&["b/job -> a/web tcp/80", "b/job -> a/db tcp/80"])
        .allows(&["a/web -> b/job tcp/80"]);
}

#[test]
fn case_05_an_invalid_selector_of_peers_matches_nothing() {
    let invalid = || Some(LabelSelector::invalid());
    let everything = || Some(LabelSelector::default());
    for (namespaces, pods) in [
        (invalid(), None),
        (None, invalid()),
        (invalid(), everything()),
        (everything(), invalid()),
        (invalid(), invalid()),
    ] {
        let peer = Peer::Pods(PodPeer { namespaces, pods, source: Source::default() });
        reached_by(&only_from([peer.clone()]), &[]);
        // And it spoils no other peer of its rule.
        reached_by(&only_from([peer, self::pods("app=db")]), &["a/db"]);
    }
}

fn host_pod(name: &str, text: &str, ips: &str) -> Object {
    let mut maker = pod(name, text, ips).on("n2");
    maker.0.host_network = true;
    maker.into()
}

#[test]
fn case_06_host_network_pods_are_no_subjects() {
    world()
        .with([host_pod("a/host", "app=host", "172.18.0.2"), policy("a/deny").ingress([])])
        .allows(&["b/job -> 172.18.0.2 tcp/80", "b/web -> 172.18.0.2 tcp/80"]);
    world()
        .with([host_pod("a/host", "app=host", "172.18.0.2"), policy("a/deny").egress([])])
        .allows(&["172.18.0.2 -> b/web tcp/80"]);
}

#[test]
fn case_06_host_network_pods_are_no_peers() {
    let world =
        only_from([pods("app=host"), namespaces("")]).with([host_pod("a/host", "app=host", "172.18.0.2")]);
    world.denies(&["172.18.0.2 -> a/web tcp/80"]);
    // A block means addresses, whoever has them.
    only_from([block("172.18.0.2/32", &[])])
        .with([host_pod("a/host", "app=host", "172.18.0.2")])
        .allows(&["172.18.0.2 -> a/web tcp/80"]);
}

#[test]
fn case_06_a_pod_that_turns_to_the_host_network_leaves_its_address() {
    let mut world = only_from([pods("app=db")]);
    world.allows(&["10.0.0.2 -> a/web tcp/80"]);
    world.put(host_pod("a/db", "app=db", "10.0.0.2 fd00::2"));
    world.denies(&["10.0.0.2 -> a/web tcp/80", "fd00::2 -> a/web tcp/80"]);
}
