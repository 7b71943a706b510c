//! Cases 25 to 29, as far as they are the engine's: pods come, go and change. Publication (30), full
//! tables (31) and restarts (32) are tested where tables are published.

use std::net::IpAddr;

use podgate_api::{Object, PodPhase};
use podgate_policy::Identity;

use crate::fixture::*;

fn only_from_db() -> Object {
    policy("a/p").subjects("app=web").ingress([peers([pods("app=db")])])
}

#[test]
fn case_25_the_first_word_about_a_pod_holds_its_isolation() {
    let mut world = world().with([policy("a/deny").ingress([]), policy("a/deny-out").egress([])]);
    let delta = world.put(pod("a/new", "app=new", "10.0.0.9 fd00::9").on("n1"));
    let told: Vec<&(IpAddr, Option<Identity>)> = delta.addresses.iter().collect();
    assert_eq!(told.len(), 2, "{delta:?}");
    for (address, identity) in told {
        let identity = identity.as_ref().expect("the pod is there");
        assert!(identity.ingress.is_some() && identity.egress.is_some(), "{address}: {identity:?}");
    }
    world.denies(&["b/job -> a/new tcp/80", "a/new -> b/job tcp/80"]);
}

#[test]
fn case_26_a_pod_that_no_rule_knows_yet_is_denied_not_allowed() {
    let mut world = world().with([only_from_db()]);
    world.denies(&["10.0.0.9 -> a/web tcp/80"]);
    world.put(pod("a/db-2", "app=db", "10.0.0.9"));
    world.allows(&["10.0.0.9 -> a/web tcp/80"]);
    world.remove("Pod", "a/db-2");
    world.denies(&["10.0.0.9 -> a/web tcp/80"]);
}

fn in_phase(name: &str, text: &str, ips: &str, phase: PodPhase) -> PodMaker {
    let mut maker = pod(name, text, ips);
    maker.0.phase = phase;
    maker
}

#[test]
fn case_27_terminating_pods_keep_their_policy_and_count_as_peers() {
    let mut world = world().with([only_from_db()]);
    let mut web = pod("a/web", "app=web", "10.0.0.1 fd00::1");
    web.0.meta.terminating = true;
    world.put(web);
    let mut db = pod("a/db", "app=db", "10.0.0.2 fd00::2");
    db.0.meta.terminating = true;
    world.put(db);
    world.allows(&["a/db -> a/web tcp/80"]).denies(&["b/job -> a/web tcp/80"]);
}

#[test]
fn case_27_completed_pods_are_neither_subjects_nor_peers() {
    for phase in [PodPhase::Succeeded, PodPhase::Failed] {
        let mut world = world().with([only_from_db()]);
        world.put(in_phase("a/db", "app=db", "10.0.0.2 fd00::2", phase));
        world.denies(&["a/db -> a/web tcp/80"]);
        world.put(in_phase("a/web", "app=web", "10.0.0.1 fd00::1", phase));
        world.allows(&["b/job -> a/web tcp/80"]);
        assert_eq!(world.reasons("b/job -> a/web tcp/80"), ("NotIsolated".into(), "NotAPod".into()));
    }
}

#[test]
fn case_27_pending_and_unknown_pods_are_both() {
    for phase in [PodPhase::Pending, PodPhase::Unknown] {
        let mut world = world().with([only_from_db()]);
        world.put(in_phase("a/db", "app=db", "10.0.0.2 fd00::2", phase));
        world.put(in_phase("a/web", "app=web", "10.0.0.1 fd00::1", phase));
        world.allows(&["a/db -> a/web tcp/80"]).denies(&["b/job -> a/web tcp/80"]);
    }
}

#[test]
fn case_27_the_running_newest_pod_owns_an_address() {
    let claim = |name: &str, label: &str, created: &str, phase| {
        let mut maker = in_phase(name, label, "10.0.0.9", phase);
        maker.0.meta.created = created.to_owned();
        Object::from(maker)
    };
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    use PodPhase::{Failed, Pending, Running, Succeeded};
    for (old, new, db_is_new, allowed) in [
        (Running, Running, true, true),
        (Running, Running, false, false),
        (Running, Pending, true, false),
        (Pending, Running, true, true),
        (Pending, Pending, true, true),
        (Running, Failed, true, false),
        (Succeeded, Pending, true, true),
    ] {
        let label = |db| if db { "app=db" } else { "app=other" };
        let first = claim("a/one", label(!db_is_new), early, old);
        let second = claim("a/two", label(db_is_new), late, new);
        for order in [[&first, &second], [&second, &first]] {
            let world = world().with([only_from_db()]).with(order.into_iter().cloned());
            let question = ["10.0.0.9 -> a/web tcp/80"];
            if allowed {
                world.allows(&question)
            } else {
                world.denies(&question)
            };
        }
    }
}

#[test]
fn case_27_an_address_goes_back_to_the_pod_that_still_has_it() {
    let mut world = world().with([only_from_db()]);
    let claim = |name: &str, label: &str, created: &str| {
        let mut maker = pod(name, label, "10.0.0.9");
        maker.0.meta.created = created.to_owned();
        maker
    };
    world.put(claim("a/old", "app=db", "2026-01-01T00:00:00Z"));
    world.put(claim("a/new", "app=other", "2026-01-02T00:00:00Z"));
    world.denies(&["10.0.0.9 -> a/web tcp/80"]);
    world.remove("Pod", "a/new");
    world.allows(&["10.0.0.9 -> a/web tcp/80"]);
    world.remove("Pod", "a/old");
    world.denies(&["10.0.0.9 -> a/web tcp/80"]);
}

#[test]
fn case_27_a_pod_without_address_is_in_no_set_until_it_has_one() {
    let mut world = world().with([only_from_db()]);
    let delta = world.put(pod("a/db-2", "app=db", ""));
    assert!(delta.is_empty(), "{delta:?}");
    world.put(pod("a/db-2", "app=db", "10.0.0.9"));
    world.allows(&["a/db-2 -> a/web tcp/80"]);
    world.put(pod("a/db-2", "app=db", "10.0.0.10"));
    world.allows(&["10.0.0.10 -> a/web tcp/80"]).denies(&["10.0.0.9 -> a/web tcp/80"]);
}

#[test]
fn case_28_a_pod_recreated_under_its_name_is_new() {
    let mut world = world().with([only_from_db()]);
    let stateful = |uid: &str, label: &str, ips: &str| {
        let mut maker = pod("a/db", label, ips);
        maker.0.meta.uid = uid.to_owned();
        maker
    };
    world.put(stateful("1", "app=db", "10.0.0.2"));
    world.allows(&["10.0.0.2 -> a/web tcp/80"]);
    world.put(stateful("2", "app=db", "10.0.0.12"));
    world.allows(&["10.0.0.12 -> a/web tcp/80"]).denies(&["10.0.0.2 -> a/web tcp/80"]);
    world.put(stateful("3", "app=other", "10.0.0.12"));
    world.denies(&["10.0.0.12 -> a/web tcp/80"]);
}

#[test]
fn case_28_a_namespace_recreated_under_its_name_keeps_no_labels() {
    let mut world =
        world().with([policy("a/p").subjects("app=web").ingress([peers([namespaces("team=blue")])])]);
    world.put(namespace("b", "team=blue"));
    world.allows(&["b/job -> a/web tcp/80"]);
    world.remove("Namespace", "b");
    world.put(namespace("b", "other=1"));
    world.denies(&["b/job -> a/web tcp/80"]);
}

/// All orders of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let longer = |order: Vec<usize>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    orders(last).into_iter().flat_map(longer).collect()
}

#[test]
fn case_29_events_in_any_order_end_the_same() {
    let objects = || {
        let mut old = pod("c/old", "app=db", "10.0.0.9");
        old.0.meta.created = "2026-01-01T00:00:00Z".to_owned();
        let mut new = pod("c/new", "app=db", "10.0.0.9");
        new.0.meta.created = "2026-01-02T00:00:00Z".to_owned();
        [
            namespace("c", "team=blue"),
            old.into(),
            new.into(),
            policy("c/p").egress([peers([namespaces("team=red")])]),
            policy("a/p").subjects("app=web").ingress([peers([pods_in("team=blue", "app=db")])]),
        ]
    };
    for order in orders(5) {
        let mut world = world();
        for at in &order {
            world.put(objects()[*at].clone());
        }
        // The old pod's end is told late: the address stays the new one's.
        world.remove("Pod", "c/old");
        world
            .allows(&["10.0.0.9 -> a/web tcp/80"])
            .denies(&["10.0.0.9 -> b/web tcp/80", "a/db -> a/web tcp/80"]);
        assert_eq!(
            world.reasons("10.0.0.9 -> 10.0.0.1 tcp/80"),
            ("c/p egress[0]".into(), "a/p ingress[0]".into()),
            "{order:?}"
        );
    }
}

#[test]
fn case_29_an_isolated_pod_is_never_open_on_the_way() {
    // Whatever comes after the deny policy: no commit may show its subject open to a stranger.
    let later = || {
        [
            namespace("a", "team=green"),
            pod("a/web", "app=web,more=1", "10.0.0.1 fd00::1").into(),
            policy("a/allow").subjects("app=web").ingress([peers([pods("app=db")])]),
            policy("a/other").subjects("app=db").egress([]),
            node("n1", "172.18.0.7"),
        ]
    };
    for order in orders(5) {
        let mut world = world().with([policy("a/deny").ingress([])]);
        for at in order {
            world.put(later()[at].clone());
            world.denies(&["b/job -> a/web tcp/80", "8.8.8.8 -> a/web tcp/80"]);
        }
    }
}

#[test]
fn deleting_what_was_never_there_changes_nothing() {
    let mut world = world().with([only_from_db()]);
    for (kind, name) in [("Pod", "a/none"), ("NetworkPolicy", "z/none"), ("Namespace", "z"), ("Node", "n7")] {
        let delta = world.remove(kind, name);
        assert!(delta.is_empty(), "{kind} {name}: {delta:?}");
    }
}
