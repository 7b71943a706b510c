//! Random clusters as real ones: what the naive evaluator says, what the engine says and what packets do is
//! the same for every pair and every port. Needs root.
//!
//! `PODGATE_LAB_SEEDS=100` tries more clusters, `PODGATE_LAB_SEEDS=7..8` a certain one.

#![expect(clippy::print_stderr, reason = "how much was tried")]

use std::time::Duration;

use podgate_api::{Object, load_text};
use podgate_bench::Rng;
use podgate_flow::{Decision, Reason};
use podgate_lab::plan::is_policy;
use podgate_lab::probe::{self, Expectation, Options, Query, Ruling, Selection};
use podgate_policy::Verdict;
use podgate_tests::compare::{Interesting, lab_seeds};
use podgate_tests::lab::{TestLab, differences};
use podgate_tests::manifests::manifest;
use podgate_tests::naive::{Answer, Question, Why, World};
use podgate_tests::shape::random_lab;

const LAB_PROCESS: &str = env!("CARGO_BIN_EXE_lab-process");

#[test]
fn on_random_clusters_and_after_changing_them() {
    let (mut allowed, mut denied) = (0, 0);
    for seed in lab_seeds(5) {
        let mut objects = random_lab(seed);
        let lab = TestLab::new(LAB_PROCESS, &format!("naive-{seed}"), 0);
        lab.write_all(&objects);
        lab.up();
        for round in 0..2 {
            if round > 0 {
                change(&mut objects, seed);
                lab.write_all(&objects);
                // A file that is missing is gone only when it stays missing.
                std::thread::sleep(Duration::from_millis(50));
                lab.up();
            }
            let (yes, no) = check(&lab, &objects, &format!("seed {seed}, round {round}"));
            allowed += yes;
            denied += no;
        }
    }
    eprintln!("{allowed} allowed and {denied} denied connections");
    assert!(allowed > 100 && denied > 100, "{allowed} allowed, {denied} denied: this shows little");
}

/// The same pods with other labels, under the policies and namespaces of another cluster.
fn change(objects: &mut Vec<Object>, seed: u64) {
    let other = random_lab(seed + 10_000);
    let mut rng = Rng::new(seed);
    let labels: Vec<_> =
        other.iter().filter(|o| matches!(o, Object::Pod(_))).map(|o| o.meta().labels.clone()).collect();
    let node_labels: Vec<_> =
        other.iter().filter(|o| matches!(o, Object::Node(_))).map(|o| o.meta().labels.clone()).collect();
    objects.retain(|object| !matches!(object, Object::Namespace(_)) && !is_policy(object));
    for object in objects.iter_mut() {
        match object {
            Object::Pod(pod) if rng.percent(50) => pod.meta.labels = rng.pick(&labels).clone(),
            Object::Node(node) if !node_labels.is_empty() => {
                node.meta.labels = rng.pick(&node_labels).clone();
            }
            _ => {}
        }
    }
    let wanted = |object: &Object| match object {
        Object::Namespace(_) => true,
        // A new file with a mistake in it says nothing yet.
        object => is_policy(object) && !has_mistake(object),
    };
    objects.extend(other.into_iter().filter(wanted));
}

fn has_mistake(object: &Object) -> bool {
    manifest(object).is_some_and(|(file, text)| load_text(&file, &text).has_errors())
}

/// Compares all three; returns how many connections were allowed and denied.
fn check(lab: &TestLab, objects: &[Object], what: &str) -> (usize, usize) {
    let plan = lab.plan();
    // The objects as they were made, not as the manifests were read: a mistake in reading is found, too.
    let world = World::of(&plan.objects(objects));
    let mut client = lab.client();
    let judge = |queries: &[Query]| {
        let rulings = client.evaluate(queries)?;
        for (query, ruling) in queries.iter().zip(&rulings) {
            compare(&world, query, ruling, what);
        }
        Ok(rulings)
    };
    let selection = Selection { undeclared: Some(undeclared(objects)), ..Selection::default() };
    let options = Options { timeout: Duration::from_millis(500), selection };
    let report = probe::run(&plan, judge, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
    let different = differences(&report);
    assert!(different.is_empty(), "{what}: packets go otherwise than both evaluators say:\n{different}");
    let count = |e| report.cells.iter().filter(|cell| cell.expected.verdict == e).count();
    (count(Expectation::Allowed), count(Expectation::Denied))
}

/// A port that a rule names and pods may not have.
fn undeclared(objects: &[Object]) -> u16 {
    let interesting = Interesting::of(objects);
    let middle = interesting.ranges.iter().rev().find(|(_, last)| *last < u16::MAX);
    middle.map_or(4242, |(first, last)| first + (last - first) / 2)
}

#[track_caller]
fn compare(world: &World, query: &Query, ruling: &Ruling, what: &str) {
    let Query { from, to, protocol, port } = *query;
    // A pod's own address never leaves the pod, so this one came back from a Service.
    let (egress, ingress) = match from == to {
        true => world.answer_hairpin(to, protocol, port),
        false => world.answer(&Question { from, to, protocol, port }),
    };
    let same = same(&egress, &ruling.egress)
        && same(&ingress, &ruling.ingress)
        && (ruling.verdict == Verdict::Allowed) == (egress.allowed && ingress.allowed);
    assert!(
        same,
        "{what}: {query:?}\n naive egress {egress:?}\n naive ingress {ingress:?}\n engine {ruling:?}\n{world:#?}"
    );
}

fn same(naive: &Answer, engine: &Decision) -> bool {
    let because = match (&naive.why, &*engine.reason) {
        (Why::NotAPod, Reason::NotAPod)
        | (Why::Itself, Reason::Itself)
        | (Why::OwnNode, Reason::OwnNode)
        | (Why::NotIsolated, Reason::NotIsolated)
        | (Why::IcmpEcho, Reason::IcmpEcho) => true,
        (Why::Rule { kind, namespace, name, index, .. }, Reason::Rule { policy, rule, .. }) => {
            (*kind, namespace, name, *index)
                == (policy.kind.as_str(), &policy.namespace, &policy.name, *rule as usize)
        }
        (Why::Isolated(naive), Reason::Isolated { policies }) => naive
            .iter()
            .map(|(space, name)| (space, name))
            .eq(policies.iter().map(|p| (&p.namespace, &p.name))),
        // What allows a pod or a node to reach itself need not be named.
        (Why::NotAPod | Why::NotIsolated | Why::Rule { .. }, Reason::Itself) => naive.allowed,
        _ => false,
    };
    because && naive.allowed == (engine.verdict == Verdict::Allowed)
}
