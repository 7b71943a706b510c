//! Times and memory of the engine as a Markdown table.
//!
//! `engine-report [RUNS] [NAMESPACES]`: 5 builds at 25,000 namespaces unless told otherwise.

use std::alloc::{GlobalAlloc, Layout};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use podgate_api::Object;
use podgate_bench::{Holes, Remote, Step, antrea_like_of, blocked_of, changes, monitored_of, select_all_of};
use podgate_policy::{Cluster, Connection, Settings};

/// The allocator of the `podgate` binary; counts bytes in use, and the most that ever were, when asked to.
struct Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    if !COUNTING.load(Relaxed) {
        return;
    }
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

fn shrunk(bytes: usize) {
    if COUNTING.load(Relaxed) {
        LIVE.fetch_sub(bytes, Relaxed);
    }
}

// SAFETY: every call goes to the other allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: the caller's promises about `pointer` and `layout` are passed on.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        shrunk(layout.size());
        // SAFETY: the caller's promises about `pointer`, `layout` and `size` are passed on.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// CPU time of all threads so far: what counts where other work disturbs the clock.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

struct Built {
    cluster: Cluster,
    apply: Duration,
    commit: Duration,
    cpu: Duration,
    /// Bytes beyond the objects: the most at any moment, and what stays.
    peak: usize,
    kept: usize,
}

fn build(objects: Vec<Object>) -> Built {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let (start, cpu_before) = (Instant::now(), cpu());
    let mut cluster = Cluster::new(Settings::default());
    cluster.apply_all(objects);
    let apply = start.elapsed();
    let delta = cluster.commit();
    let commit = start.elapsed() - apply;
    let cpu = cpu() - cpu_before;
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    drop(delta);
    let kept = LIVE.load(Relaxed).saturating_sub(before);
    Built { cluster, apply, commit, cpu, peak, kept }
}

fn best_and_median(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let shown = |time: Duration| match time.as_nanos() {
        0..10_000 => format!("{:.2} µs", time.as_nanos() as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} µs", time.as_nanos() as f64 / 1e3),
        _ => format!("{:.1} ms", time.as_micros() as f64 / 1e3),
    };
    match times.get(times.len() / 2) {
        Some(median) => format!("{} | {}", shown(times[0]), shown(*median)),
        None => "– | –".to_owned(),
    }
}

fn mb(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn report_build(
    out: &mut impl Write,
    name: &str,
    runs: usize,
    make: impl Fn() -> Vec<Object>,
) -> io::Result<Cluster> {
    // Once for the bytes; counting would slow the runs that are timed.
    COUNTING.store(true, Relaxed);
    let before = LIVE.load(Relaxed);
    let objects = make();
    let size = LIVE.load(Relaxed) - before;
    let mut built = build(objects);
    let (peak, kept) = (built.peak, built.kept);
    COUNTING.store(false, Relaxed);
    let (mut totals, mut applies, mut commits, mut cpus) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        drop(std::mem::replace(&mut built.cluster, Cluster::new(Settings::default())));
        built = build(make());
        totals.push(built.apply + built.commit);
        cpus.push(built.cpu);
        applies.push(built.apply);
        commits.push(built.commit);
    }
    writeln!(out, "| {name}: build | {} | {} peak, {} kept |", best_and_median(totals), mb(peak), mb(kept))?;
    writeln!(out, "| – taking the objects in | {} | objects: {} |", best_and_median(applies), mb(size))?;
    writeln!(out, "| – CPU time of both | {} | |", best_and_median(cpus))?;
    writeln!(out, "| – first commit | {} | |", best_and_median(commits))?;
    Ok(built.cluster)
}

fn timed(step: &Step, cluster: &mut Cluster, times: &mut Vec<Duration>) -> String {
    let step = step.clone();
    let start = Instant::now();
    let delta = step.run(cluster);
    times.push(start.elapsed());
    let counts = [
        ("addresses", delta.addresses.len()),
        ("prefixes", delta.prefixes.len()),
        ("rows", delta.rows.len()),
        ("rows gone", delta.rows_gone.len()),
        ("programs", delta.programs.len()),
        ("programs gone", delta.programs_gone.len()),
    ];
    let said = counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}"));
    said.collect::<Vec<_>>().join(", ")
}

fn main() -> io::Result<()> {
    let number = |at: usize| std::env::args().nth(at).and_then(|text| text.parse::<u32>().ok());
    let (runs, namespaces) = (number(1).unwrap_or(5).max(1) as usize, number(2).unwrap_or(25_000).max(8));
    let mut out = io::stdout().lock();
    writeln!(out, "| | best | median | memory beyond the objects, or the delta |\n|---|---|---|---|")?;

    let small = (namespaces * 2 / 5).max(8);
    report_build(&mut out, &format!("{small} × {small}, all select all"), runs, || select_all_of(small, 1))?;
    let size = format!("{} pods, {} policies", namespaces * 4, namespaces * 3);
    let cluster = report_build(&mut out, &size, runs, || antrea_like_of(namespaces))?;
    report_changes(&mut out, cluster, runs)?;
    let name = format!("{size}, with monitoring that all allow");
    let cluster = report_build(&mut out, &name, runs, || monitored_of(namespaces))?;
    report_changes(&mut out, cluster, runs)?;
    for (holes, what) in [(Holes::Same, "the same block"), (Holes::Own, "blocks of their own")] {
        let name = format!("{size}, all with {what}");
        let cluster = report_build(&mut out, &name, runs, || blocked_of(namespaces, holes))?;
        report_changes(&mut out, cluster, runs)?;
    }
    report_remote(&mut out, namespaces * 4 / 5)
}

/// What a node's agent pays for pods of other nodes.
fn report_remote(out: &mut impl Write, namespaces: u32) -> io::Result<()> {
    writeln!(
        out,
        "\n| pods of other nodes | time | bytes a pod at the worst moment | bytes a pod kept |\n|---|---|---|---|"
    )?;
    let (nodes, pods) = ((namespaces / 20).max(1), namespaces * Remote::PODS);
    for (own_labels, labels) in
        [(false, "the same ten label sets in all namespaces"), (true, "label sets of their own")]
    {
        for (dual_stack, addresses) in [(false, "one address"), (true, "two addresses")] {
            let remote = Remote { namespaces, nodes, dual_stack, own_labels };
            COUNTING.store(true, Relaxed);
            let before = LIVE.load(Relaxed);
            PEAK.store(before, Relaxed);
            let start = Instant::now();
            let mut cluster = Cluster::new(Settings::default());
            remote.objects().for_each(|object| cluster.apply(object));
            cluster.commit();
            let time = start.elapsed();
            let (kept, peak) = (LIVE.load(Relaxed) - before, PEAK.load(Relaxed) - before);
            COUNTING.store(false, Relaxed);
            let each = |bytes: usize| bytes / pods as usize;
            let what = format!("{pods} pods in {namespaces} namespaces, {addresses}, {labels}");
            writeln!(out, "| {what} | {:.0} ms | {} | {} |", time.as_millis(), each(peak), each(kept))?;
        }
    }
    Ok(())
}

fn report_changes(out: &mut impl Write, mut cluster: Cluster, runs: usize) -> io::Result<()> {
    let (prepare, changes) = changes();
    prepare.run(&mut cluster);
    for change in changes {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let (mut told, mut told_back) = (String::new(), String::new());
        for _ in 0..runs * 10 {
            told = timed(&change.there, &mut cluster, &mut there);
            told_back = timed(&change.back, &mut cluster, &mut back);
        }
        writeln!(out, "| {} | {} | {told} |", change.name, best_and_median(there))?;
        writeln!(out, "| – undone | {} | {told_back} |", best_and_median(back))?;
    }

    let address = |text: &str| text.parse().map_err(io::Error::other);
    let question =
        Connection { from: address("10.0.0.29")?, to: address("10.0.0.31")?, protocol: 6, port: 5432 };
    let times = (0..1000).map(|_| {
        let start = Instant::now();
        std::hint::black_box(cluster.evaluate(std::hint::black_box(&question)));
        start.elapsed()
    });
    writeln!(out, "| one question | {} | |", best_and_median(times.collect()))?;
    Ok(())
}
