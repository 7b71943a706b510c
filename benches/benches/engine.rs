//! The engine at the sizes it promises times for. Run with `cargo bench -p podgate-bench`.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use podgate_api::Object;
use podgate_bench::{Change, Step, antrea_like, changes, monitored_of, select_all};
use podgate_policy::{Cluster, Connection, Settings};

fn build(objects: Vec<Object>) -> Cluster {
    let mut cluster = Cluster::new(Settings::default());
    cluster.apply_all(objects);
    cluster.commit();
    cluster
}

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    for (name, objects) in [
        ("100k pods, 75k policies", antrea_like()),
        ("100k pods, 75k policies, monitored", monitored_of(25_000)),
        ("10k × 10k", select_all()),
    ] {
        // The engine is returned, so that tearing it down isn't measured.
        group.bench_function(name, |b| b.iter_batched(|| objects.clone(), build, BatchSize::PerIteration));
    }
    group.finish();
}

fn single_changes(c: &mut Criterion) {
    let mut cluster = build(antrea_like());
    let (prepare, changes) = changes();
    prepare.run(&mut cluster);
    let mut group = c.benchmark_group("change at 100k pods, 75k policies");
    group.sample_size(20);
    for Change { name, there, back } in changes {
        let mut measure = |name: String, timed: &Step, other: &Step, timed_first: bool| {
            group.bench_function(name, |b| {
                b.iter_custom(|count| {
                    let mut total = std::time::Duration::ZERO;
                    for _ in 0..count {
                        if !timed_first {
                            other.clone().run(&mut cluster);
                        }
                        let step = timed.clone();
                        let start = std::time::Instant::now();
                        let delta = step.run(&mut cluster);
                        total += start.elapsed();
                        drop(delta);
                        if timed_first {
                            other.clone().run(&mut cluster);
                        }
                    }
                    total
                })
            });
        };
        measure(name.to_owned(), &there, &back, true);
        measure(format!("{name}: undone"), &back, &there, false);
    }
    group.finish();
}

fn evaluate(c: &mut Criterion) {
    let cluster = build(antrea_like());
    let address = |text: &str| text.parse().expect("an address");
    let connection = |from, to, port| Connection { from: address(from), to: address(to), protocol: 6, port };
    let mut group = c.benchmark_group("evaluate at 100k pods, 75k policies");
    group.bench_function("allowed by rules", |b| {
        let question = connection("10.0.0.29", "10.0.0.31", 5432);
        b.iter(|| cluster.evaluate(std::hint::black_box(&question)))
    });
    group.bench_function("denied by isolation", |b| {
        let question = connection("10.0.0.29", "10.0.1.31", 5432);
        b.iter(|| cluster.evaluate(std::hint::black_box(&question)))
    });
    group.finish();
}

criterion_group!(benches, bulk, single_changes, evaluate);
criterion_main!(benches);
