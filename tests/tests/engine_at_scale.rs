//! The engine takes other ways when much changes at once: large clusters, built at once and in
//! batches, still give the naive evaluator's answers, and deltas still tell all of it.

use podgate_api::Object;
use podgate_bench::{Holes, Rng, Shape, antrea_like_of, blocked_of, changes, monitored_of, select_all_of};
use podgate_policy::{Cluster, Settings};
use podgate_tests::compare::{Interesting, agree, engine};
use podgate_tests::mirror::Mirror;
use podgate_tests::naive::World;

/// What is worth asking about a few of the pods, among them and to the outside.
fn some_of(objects: &[Object], rng: &mut Rng) -> Interesting {
    let mut few: Vec<Object> = objects.to_vec();
    rng.shuffle(&mut few);
    let (pods, mut rest): (Vec<Object>, Vec<Object>) = few.into_iter().partition(|o| o.key().kind == "Pod");
    rest.retain(|object| object.key().kind == "NetworkPolicy");
    rest.truncate(20);
    // Neighbours too: strangers alone would hardly ever be allowed.
    let namespace = pods[0].meta().namespace.clone();
    let neighbours = pods.iter().filter(|pod| pod.meta().namespace == namespace).take(20);
    rest.extend(neighbours.chain(pods.iter().take(20)).cloned());
    Interesting::of(&rest)
}

#[track_caller]
fn check(name: &str, objects: Vec<Object>, questions: usize) {
    let mut rng = Rng::new(1);
    let world = World::of(&objects);
    let at_once = engine(&objects, false);
    let (mut cluster, mut mirror) = (Cluster::new(Settings::default()), Mirror::default());
    let mut shuffled = objects.clone();
    rng.shuffle(&mut shuffled);
    // Most of it, a little, and the rest.
    let (most, rest) = shuffled.split_at(objects.len() * 3 / 4);
    let (little, rest) = rest.split_at(10);
    for batch in [most, little, rest] {
        cluster.apply_all(batch.to_vec());
        let delta = cluster.commit();
        mirror.apply(&delta, &cluster).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    for _ in 0..5 {
        for question in some_of(&objects, &mut rng).some(&mut rng, questions) {
            let asked = agree(&world, &at_once, &question)
                .and_then(|()| agree(&world, &cluster, &question))
                .and_then(|()| mirror.agrees(&cluster, &question));
            asked.unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    }
}

#[test]
fn many_small_namespaces() {
    check("tenants", antrea_like_of(1_200), 150);
    check("monitored tenants", monitored_of(1_001), 150);
}

#[test]
fn many_policies_with_blocks_that_hold_nearly_all_pods() {
    check("the same block", blocked_of(1_001, Holes::Same), 150);
    check("blocks with holes of their own", blocked_of(1_001, Holes::Own), 150);
}

#[test]
fn many_policies_for_the_same_pods() {
    // The naive evaluator reads every policy and every pod for each rule: it gets few questions.
    check("all select all", select_all_of(2_100, 1), 4);
    check("all select all of three namespaces", select_all_of(2_100, 3), 12);
}

#[test]
fn large_namespaces_with_everything() {
    check("mixed", Shape { namespaces: 10, pods: 300, policies: 40, ..Shape::default() }.generate(), 150);
}

#[test]
fn single_changes_to_many_namespaces() {
    changed("monitored", monitored_of(1_001));
    changed("the same block", blocked_of(1_001, Holes::Same));
    changed("blocks with holes of their own", blocked_of(1_001, Holes::Own));
}

fn changed(name: &str, objects: Vec<Object>) {
    let mut rng = Rng::new(2);
    let (mut world, mut mirror) = (World::of(&objects), Mirror::default());
    let mut cluster = engine(&objects, false);
    mirror.apply(&cluster.whole(), &cluster).unwrap_or_else(|why| panic!("{name}, the whole state: {why}"));
    let (prepare, changes) = changes();
    let steps = changes.into_iter().flat_map(|change| [change.there, change.back]);
    for step in std::iter::once(prepare).chain(steps) {
        match &step {
            podgate_bench::Step::Apply(object) => world.apply(Object::clone(object)),
            podgate_bench::Step::Delete(key) => world.delete(key),
        }
        let delta = step.clone().run(&mut cluster);
        mirror.apply(&delta, &cluster).unwrap_or_else(|why| panic!("{name}, {step:?}: {why}"));
        // The changes are about the pods of ns-0 and ns-7.
        let near: Vec<Object> = world
            .objects()
            .into_iter()
            .filter(|object| ["ns-0", "ns-1", "ns-7", "ns-1000"].contains(&object.meta().namespace.as_str()))
            .collect();
        for question in Interesting::of(&near).some(&mut rng, 200) {
            agree(&world, &cluster, &question)
                .and_then(|()| mirror.agrees(&cluster, &question))
                .unwrap_or_else(|why| panic!("{name}, {step:?}: {why}"));
        }
    }
}
