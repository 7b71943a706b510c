//! The engine and the naive evaluator give the same verdicts for the same reasons, on clusters made
//! to provoke corner cases: every pair of addresses, every interesting port, every protocol.
//!
//! `PODGATE_SEEDS=1000` tries more clusters, `PODGATE_SEEDS=7..8` a certain one.

use podgate_api::Object;
use podgate_bench::{Shape, random_small};
use podgate_tests::compare::{Interesting, agree, caught, engine, seeds, shrink_and_panic};
use podgate_tests::naive::World;

fn difference(objects: &[Object], icmp_echo: bool) -> Option<String> {
    caught(|| {
        let cluster = engine(objects, icmp_echo);
        let mut world = World::of(objects);
        world.icmp_echo = icmp_echo;
        Interesting::of(objects).all().try_for_each(|question| agree(&world, &cluster, &question))
    })
}

#[test]
fn on_random_small_clusters() {
    for seed in seeds(300) {
        let objects = random_small(seed);
        let icmp_echo = seed % 2 == 1;
        if difference(&objects, icmp_echo).is_some() {
            shrink_and_panic(&format!("seed {seed}"), objects, |objects| difference(objects, icmp_echo));
        }
    }
}

#[test]
fn on_a_middle_sized_cluster() {
    let shape = Shape { namespaces: 12, pods: 6, policies: 4, nodes: 3, label_values: 3, ..Shape::default() };
    let objects = shape.generate();
    let cluster = engine(&objects, false);
    let world = World::of(&objects);
    let mut rng = podgate_bench::Rng::new(7);
    for question in Interesting::of(&objects).some(&mut rng, 20_000) {
        agree(&world, &cluster, &question).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn the_questions_meet_every_kind_of_answer() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let objects = random_small(seed);
        let mut world = World::of(&objects);
        world.icmp_echo = true;
        let mut rng = podgate_bench::Rng::new(seed);
        for question in Interesting::of(&objects).some(&mut rng, 2_000) {
            let (egress, ingress) = world.answer(&question);
            for (direction, answer) in [("egress", egress), ("ingress", ingress)] {
                let why = format!("{:?}", answer.why);
                let kind = why.split([' ', '(']).next().unwrap_or_default().to_owned();
                seen.insert((direction, kind));
            }
        }
    }
    assert_eq!(seen.len(), 14, "seven reasons in two directions: {seen:?}");
}
