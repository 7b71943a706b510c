//! Whatever order changes come in, the engine ends where a fresh one would, and its deltas tell a
//! datapath all of it.

use std::net::IpAddr;

use podgate_api::Object;
use podgate_bench::{Event, Rng, random_events};
use podgate_policy::{Cluster, Delta, Settings};
use podgate_tests::compare::{Interesting, agree, agree_on_hairpin, caught, engine, seeds, shrink_and_panic};
use podgate_tests::mirror::{Mirror, flips};
use podgate_tests::naive::{Question, World};

/// Everything that holds after each commit of a life. `tell` may leave something out of a delta.
fn live(events: &[Event], seed: u64, tell: impl Fn(Delta) -> Delta) -> Result<(), String> {
    let icmp_echo = seed.is_multiple_of(3);
    let mut rng = Rng::new(seed);
    let mut cluster = Cluster::new(Settings { icmp_echo });
    let mut world = World::default();
    world.icmp_echo = icmp_echo;
    let mut mirror = Mirror::default();
    // Addresses and ports of the past stay interesting: they must be forgotten.
    let mut past: Vec<Object> = Vec::new();
    let mut named: Vec<IpAddr> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Apply(object) => {
                past.push(Object::clone(object));
                world.apply(Object::clone(object));
                cluster.apply(Object::clone(object));
            }
            Event::Delete(key) => {
                world.delete(key);
                cluster.delete(key);
            }
            Event::Bind(name, addresses) => {
                named.extend(addresses);
                world.bind(name, addresses);
                cluster.bind(name, addresses);
            }
            Event::Commit => {
                let told = |why| format!("after event {at}: {why}");
                let delta = tell(cluster.commit());
                mirror.apply(&delta, &cluster).map_err(told)?;
                mirror.copies_are_current(&cluster).map_err(told)?;
                // A pod without an address keeps its program ready.
                if let Some(id) = mirror.unused_programs().first()
                    && world.every_pod_has_an_address()
                {
                    return Err(told(format!("{id:?} has no user and was not told as gone")));
                }
                let last = at + 1 == events.len();
                let interesting = Interesting::of(&past).and(named.iter().copied());
                let questions = interesting.some(&mut rng, if last { 6_000 } else { 400 });
                for question in &questions {
                    agree(&world, &cluster, question).map_err(told)?;
                    mirror.agrees(&cluster, question).map_err(|why| told(format!("the deltas: {why}")))?;
                }
                for (pod, protocol, port) in interesting.some_hairpins(&mut rng, if last { 500 } else { 50 })
                {
                    agree_on_hairpin(&world, &cluster, pod, protocol, port).map_err(told)?;
                    mirror
                        .agrees_on_hairpin(&cluster, pod, protocol, port)
                        .map_err(|why| told(format!("the deltas: {why}")))?;
                }
            }
        }
    }
    // A life that was cut short by shrinking may end without a commit.
    mirror.apply(&cluster.commit(), &cluster)?;
    if !cluster.commit().is_empty() {
        return Err("a commit without changes tells changes".to_owned());
    }
    let mut fresh = Mirror::default();
    fresh.apply(&cluster.whole(), &cluster).map_err(|why| format!("the whole state: {why}"))?;
    mirror.same_reach(&fresh).map_err(|why| format!("the whole state: {why}"))?;
    let mut rebuilt = engine(&world.objects(), icmp_echo);
    world.names().for_each(|(name, addresses)| _ = rebuilt.bind(name, addresses));
    rebuilt.commit();
    for question in Interesting::of(&past).and(named).some(&mut rng, 3_000) {
        agree(&world, &rebuilt, &question).map_err(|why| format!("rebuilt: {why}"))?;
        fresh.agrees(&cluster, &question).map_err(|why| format!("the whole state: {why}"))?;
    }
    Ok(())
}

#[test]
fn random_lives_end_as_fresh_engines_and_deltas_tell_everything() {
    for seed in seeds(150) {
        let events = random_events(seed, 60);
        if caught(|| live(&events, seed, |delta| delta)).is_some() {
            shrink_and_panic(&format!("seed {seed}"), events, |events| {
                caught(|| live(events, seed, |delta| delta))
            });
        }
    }
}

#[test]
fn whatever_a_delta_leaves_out_is_noticed() {
    type Forget = fn(&mut Delta);
    let forgetful: [(&str, Forget); 6] = [
        ("addresses", |delta| _ = delta.addresses.pop()),
        ("prefixes", |delta| _ = delta.prefixes.pop()),
        ("rows", |delta| _ = delta.rows.pop()),
        ("rows_gone", |delta| _ = delta.rows_gone.pop()),
        ("programs", |delta| _ = delta.programs.pop()),
        ("programs_gone", |delta| _ = delta.programs_gone.pop()),
    ];
    for (field, forget) in forgetful {
        let noticed = (0..20).any(|seed| {
            let tell = |mut delta: Delta| {
                forget(&mut delta);
                delta
            };
            caught(|| live(&random_events(seed, 40), seed, tell)).is_some()
        });
        assert!(noticed, "a delta without its last of {field} goes unnoticed");
    }
}

/// A publication writes rows and programs, then flips all identities and prefixes at once, then removes
/// what nothing points at. Only the flip may change answers.
fn live_in_steps(events: &[Event], seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut cluster = Cluster::new(Settings::default());
    let mut mirror = Mirror::default();
    mirror.apply(&cluster.commit(), &cluster)?;
    let mut past: Vec<Object> = Vec::new();
    let mut named: Vec<IpAddr> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Apply(object) => {
                past.push(Object::clone(object));
                cluster.apply(Object::clone(object));
            }
            Event::Delete(key) => cluster.delete(key),
            Event::Bind(name, addresses) => {
                named.extend(addresses);
                cluster.bind(name, addresses);
            }
            Event::Commit => {
                let delta = cluster.commit();
                let questions = Interesting::of(&past).and(named.iter().copied()).some(&mut rng, 500);
                let before = mirror.clone();
                mirror.prepare(&delta, &cluster)?;
                same_answers(&before, &mirror, &questions)
                    .map_err(|why| format!("after event {at}, written before the flip: {why}"))?;
                for flip in flips(&delta) {
                    mirror.flip(&flip)?;
                }
                let flipped = mirror.clone();
                mirror.collect(&delta)?;
                same_answers(&flipped, &mirror, &questions)
                    .map_err(|why| format!("after event {at}, removed after the flip: {why}"))?;
            }
        }
    }
    Ok(())
}

fn same_answers(before: &Mirror, after: &Mirror, questions: &[Question]) -> Result<(), String> {
    for question in questions {
        let (before, after) = (before.judge(question)?, after.judge(question)?);
        if before != after {
            return Err(format!("{question:?}\n before {before:?}\n after {after:?}"));
        }
    }
    Ok(())
}

#[test]
fn only_the_flip_of_a_publication_changes_answers() {
    for seed in seeds(60) {
        let events = random_events(seed, 40);
        if caught(|| live_in_steps(&events, seed)).is_some() {
            shrink_and_panic(&format!("seed {seed}"), events, |events| {
                caught(|| live_in_steps(events, seed))
            });
        }
    }
}
