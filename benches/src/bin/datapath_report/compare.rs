//! CPU time per operation, with and without policy.
//!
//! The configurations take turns on the same two pods, round by round and each round in another order,
//! so that what drifts in the machine drifts for all. Ratios are taken within a round.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use podgate_api::Object;
use podgate_bench::Tenants;
use podgate_datapath::{Backend, BpfDatapath, BpfOptions, Counters, Datapath, Mode};
use podgate_policy::{Cluster, Delta, Settings};

use crate::cpu::Softirqd;
use crate::ruleset::{self, Judge, Ruleset, ruleset};
use crate::show::{Table, grouped, median, quartiles};
use crate::traffic::{Load, Server, passes};
use crate::{cpu, net};

/// How long the kernel goes on freeing what the configuration before has left.
const FREED: Duration = Duration::from_millis(200);

/// How often events are taken out of the kernel.
const DRAIN: Duration = Duration::from_millis(10);

/// How often totals are.
const TAKE: Duration = Duration::from_secs(1);

/// How long and how much.
pub struct Effort {
    pub rounds: usize,
    /// Of one measurement, about.
    pub time: Duration,
    /// Numbers of policies, ascending.
    pub sizes: Vec<u32>,
    /// Pods, the same in all sizes.
    pub tenants: Tenants,
    /// Compares only what it costs to tell more of traffic than events.
    pub only_telling: bool,
}

/// A cluster with a number of policies, compiled.
struct World {
    policies: u32,
    objects: Vec<Object>,
    cluster: Cluster,
    state: Delta,
}

/// What is told of traffic: each more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    Events,
    /// And totals by edge, as podgate does where nothing else is said.
    Totals,
    /// And what the same policies would do if they were staged, by a second instance.
    Staged,
}

impl Telling {
    const ALL: [Telling; 3] = [Telling::Events, Telling::Totals, Telling::Staged];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setup {
    Plain,
    Conntrack,
    Podgate(usize, Backend, Telling),
    Nftables(usize, Judge),
}

/// Nanoseconds by setup, load and round.
type Samples = Vec<Vec<Vec<f64>>>;

pub fn addresses(tenants: &Tenants) -> Result<(IpAddr, IpAddr)> {
    let first = |ips: Vec<IpAddr>| ips.first().copied().context("a pod without address");
    Ok((first(tenants.client().ips)?, first(tenants.server().ips)?))
}

pub fn options() -> Result<BpfOptions> {
    Ok(BpfOptions {
        netns: Some(net::path(net::NODE)),
        pod_cidrs: vec![IpNet::new([10, 0, 0, 0].into(), 8)?],
        ..BpfOptions::new(Tenants::NODE, net::pin_dir())
    })
}

pub fn compile(objects: &[Object]) -> (Cluster, Delta) {
    let mut cluster = Cluster::new(Settings::default());
    objects.iter().cloned().for_each(|object| cluster.apply(object));
    let state = cluster.commit();
    (cluster, state)
}

/// Measures everything and prints the tables.
pub fn run(effort: &Effort, out: &mut impl Write) -> Result<()> {
    let (IpAddr::V4(client), IpAddr::V4(server)) = addresses(&effort.tenants)? else {
        anyhow::bail!("the cluster has no IPv4 addresses")
    };
    let _net = net::Net::new(client, &[server])?;
    let worlds: Vec<World> = effort
        .sizes
        .iter()
        .map(|policies| {
            let objects = Tenants { policies: *policies, ..effort.tenants }.generate();
            let (cluster, state) = compile(&objects);
            World { policies: *policies, objects, cluster, state }
        })
        .collect();
    let last = worlds.len() - 1;
    let telling = Telling::ALL.map(|telling| Setup::Podgate(last, Backend::Bpf, telling));
    let setups = match effort.only_telling {
        true => [Setup::Conntrack].into_iter().chain(telling).collect(),
        false => all_setups(worlds.len()),
    };
    let mut rulesets = Vec::new();
    for (number, setup) in setups.iter().enumerate() {
        let Setup::Nftables(world, judge) = setup else {
            rulesets.push((ruleset::conntrack(), Duration::ZERO));
            continue;
        };
        let rules = ruleset(&worlds[*world].objects, *judge, &format!("pgb{number}"));
        let start = Instant::now();
        net::nft(&rules.load)?;
        rulesets.push((rules, start.elapsed()));
    }

    let mut bench = Bench {
        server: Server::start(server.into())?,
        softirqd: Softirqd::find()?,
        denied: (server, Tenants::INNER.0).into(),
    };
    let counts = bench.calibrate(effort.time)?;
    let mut samples: Samples = vec![vec![Vec::new(); Load::ALL.len()]; setups.len()];
    for round in 0..effort.rounds {
        for turn in 0..setups.len() {
            let at = (turn + round) % setups.len();
            let setup = setups[at];
            let measured = match setup {
                Setup::Plain => bench.measure(&counts, false, &AtomicU64::new(0)),
                Setup::Conntrack => bench.with_nft(&rulesets[at].0, &counts, false),
                Setup::Nftables(..) => bench.with_nft(&rulesets[at].0, &counts, true),
                Setup::Podgate(world, backend, telling) => {
                    let run = bench.with_podgate(&worlds[world], (backend, telling), &counts);
                    run.map(|(measured, full)| {
                        rulesets[at].1 = full;
                        measured
                    })
                }
            };
            let measured = measured.with_context(|| title(setup, &worlds))?;
            measured.iter().zip(&mut samples[at]).for_each(|(ns, list)| list.push(*ns));
        }
    }
    print(&setups, &worlds, &samples, out)?;
    writeln!(out, "### The whole state at once, ms\n")?;
    let mut table = Table::new(out, "configuration", &["to publish or to load"])?;
    for (setup, (_, took)) in setups.iter().zip(&rulesets).skip(2) {
        table.row(&title(*setup, &worlds), [grouped(took.as_secs_f64() * 1e3)])?;
    }
    writeln!(out)?;
    Ok(())
}

fn all_setups(worlds: usize) -> Vec<Setup> {
    let mut setups = vec![Setup::Plain, Setup::Conntrack];
    for backend in [Backend::Bpf, Backend::Nft] {
        setups.extend((0..worlds).map(|world| Setup::Podgate(world, backend, Telling::Totals)));
    }
    setups.extend(
        [Telling::Events, Telling::Staged].map(|telling| Setup::Podgate(worlds - 1, Backend::Bpf, telling)),
    );
    for judge in [Judge::First, Judge::All] {
        setups.extend((0..worlds).map(|world| Setup::Nftables(world, judge)));
    }
    setups
}

struct Bench {
    server: Server,
    softirqd: Softirqd,
    /// A port of the server that no rule allows.
    denied: SocketAddr,
}

impl Bench {
    /// How many operations of each load fill the time.
    fn calibrate(&mut self, time: Duration) -> Result<Vec<u64>> {
        let few = 500;
        let count = |load| {
            self.server.measure(load, few)?;
            let took = self.server.measure(load, few)?;
            Ok((time.as_secs_f64() / took.as_secs_f64() * few as f64) as u64 + few)
        };
        Load::ALL.into_iter().map(count).collect()
    }

    fn with_nft(&mut self, rules: &Ruleset, counts: &[u64], enforced: bool) -> Result<Vec<f64>> {
        net::nft(&rules.hook)?;
        let measured = self.measure(counts, enforced, &AtomicU64::new(0));
        net::nft(&rules.unhook)?;
        measured
    }

    /// Also the time that the first publication takes.
    fn with_podgate(
        &mut self,
        world: &World,
        kind: (Backend, Telling),
        counts: &[u64],
    ) -> Result<(Vec<f64>, Duration)> {
        let consumer = Consumer::default();
        let (ready, is_ready) = channel();
        let measured = thread::scope(|scope| {
            let thread = scope.spawn(|| consumer.run(world, kind, ready));
            let stop = consumer.stopped_at_the_end();
            let measured = match is_ready.recv() {
                Ok(()) => self.measure(counts, true, &consumer.cpu),
                // The consumer has failed, and says why below.
                Err(_) => Ok(Vec::new()),
            };
            drop(stop);
            let seen = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            seen.check(counts)?;
            Ok((measured?, seen.full))
        });
        podgate_datapath::remove_observer(&net::staged_pin_dir())?;
        podgate_datapath::remove(&net::pin_dir(), Some(&net::path(net::NODE)))?;
        measured
    }

    /// Nanoseconds an operation of each load, `aside` (nanoseconds so far of another thread) included.
    fn measure(&mut self, counts: &[u64], enforced: bool, aside: &AtomicU64) -> Result<Vec<f64>> {
        let passes = passes(self.denied, Duration::from_millis(60))?;
        ensure!(passes != enforced, "a denied connection was {}", if passes { "made" } else { "dropped" });
        thread::sleep(FREED);
        let mut nanoseconds = Vec::new();
        for (load, count) in Load::ALL.into_iter().zip(counts) {
            net::forget_connections()?;
            self.server.measure(load, count / 10 + 1)?;
            let others = || {
                // Until the consumer has slept and taken out the last events.
                thread::sleep(2 * DRAIN + Duration::from_millis(5));
                Ok::<_, anyhow::Error>(
                    self.softirqd.time()? + Duration::from_nanos(aside.load(Ordering::Relaxed)),
                )
            };
            let before = others()?;
            let ends = self.server.measure(load, *count)?;
            let time = ends + others()? - before;
            nanoseconds.push(time.as_nanos() as f64 / *count as f64);
        }
        Ok(nanoseconds)
    }
}

/// Takes events out as podgate does, on another CPU; its CPU time counts.
#[derive(Default)]
struct Consumer {
    stop: AtomicBool,
    cpu: AtomicU64,
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the kernel says at the end, and how many events came.
struct Seen {
    counters: Counters,
    events: u64,
    full: Duration,
}

impl Consumer {
    fn stopped_at_the_end(&self) -> Stop<'_> {
        Stop(&self.stop)
    }

    fn run(&self, world: &World, (backend, telling): (Backend, Telling), ready: Sender<()>) -> Result<Seen> {
        cpu::pin(cpu::aside())?;
        let mut options = options()?;
        options.totals = options.totals.filter(|_| telling != Telling::Events);
        let mut staged = match telling {
            Telling::Staged => Some(staged(world)?),
            Telling::Events | Telling::Totals => None,
        };
        let mut datapath = podgate_datapath::open(backend, options)?.datapath;
        let start = Instant::now();
        let report = datapath.publish_full(&world.cluster, &world.state)?;
        let full = start.elapsed();
        ensure!(report.is_complete(), "the kernel's tables are too small");
        while !datapath.settle()? {
            thread::sleep(Duration::from_millis(1));
        }
        let (mut events, mut taken) = (0, Instant::now());
        ready.send(()).context("nobody waits")?;
        while !self.stop.load(Ordering::Relaxed) {
            if taken.elapsed() >= TAKE {
                datapath.take_totals(&mut |total| _ = std::hint::black_box(total))?;
                taken = Instant::now();
            }
            events += datapath.poll_events(&mut |event| _ = std::hint::black_box(event))? as u64;
            if let Some(staged) = &mut staged {
                staged.poll_events(&mut |event| _ = std::hint::black_box(event))?;
            }
            self.cpu.store(cpu::of_thread().as_nanos() as u64, Ordering::Relaxed);
            thread::sleep(DRAIN);
        }
        events += datapath.poll_events(&mut |_| ())? as u64;
        Ok(Seen { counters: datapath.counters()?, events, full })
    }
}

/// A second instance that tells of all new connections.
fn staged(world: &World) -> Result<BpfDatapath> {
    let options = options()?;
    let mode = Mode::Observe { allowed: true };
    let mut staged =
        BpfDatapath::open(BpfOptions { pin_dir: net::staged_pin_dir(), totals: None, mode, ..options })?;
    let report = staged.publish_full(&world.cluster, &world.state)?;
    ensure!(report.is_complete() && staged.is_attached(), "nothing is observed");
    Ok(staged)
}

impl Seen {
    fn check(&self, counts: &[u64]) -> Result<()> {
        let Seen { counters, events, .. } = self;
        ensure!(counters.events_lost == 0, "{} events were lost", counters.events_lost);
        ensure!(
            counters.events_submitted == *events,
            "sent {} events, got {events}",
            counters.events_submitted
        );
        let connections = Load::ALL.iter().zip(counts).find(|(load, _)| **load == Load::Connect);
        let expected = connections.map_or(0, |(_, count)| *count);
        ensure!(*events > expected, "{events} events for more than {expected} connections");
        Ok(())
    }
}

fn title(setup: Setup, worlds: &[World]) -> String {
    let policies = |world: usize| grouped(f64::from(worlds[world].policies));
    match setup {
        Setup::Plain => "no conntrack, no policy".to_owned(),
        Setup::Conntrack => "conntrack only".to_owned(),
        Setup::Podgate(world, Backend::Nft, _) => {
            format!("podgate on nftables, {} policies", policies(world))
        }
        Setup::Podgate(world, _, Telling::Totals) => format!("podgate, {} policies", policies(world)),
        Setup::Podgate(world, _, Telling::Events) => {
            format!("podgate without totals, {} policies", policies(world))
        }
        Setup::Podgate(world, _, Telling::Staged) => {
            format!("podgate with a staged instance, {} policies", policies(world))
        }
        Setup::Nftables(world, Judge::First) => {
            format!("nftables, established accepted, {} policies", policies(world))
        }
        Setup::Nftables(world, Judge::All) => {
            format!("nftables, every packet judged, {} policies", policies(world))
        }
    }
}

fn print(setups: &[Setup], worlds: &[World], samples: &Samples, out: &mut impl Write) -> Result<()> {
    let titles: Vec<&str> = Load::ALL.into_iter().map(Load::title).collect();
    let reference = setups.iter().position(|setup| *setup == Setup::Conntrack).context("a reference")?;
    let ratios = |of: usize, to: usize, load: usize| -> Vec<f64> {
        samples[of][load].iter().zip(&samples[to][load]).map(|(of, to)| of / to).collect()
    };
    let ratio = |values: &[f64]| {
        let (low, high) = quartiles(values);
        format!("**{:.2}** ({low:.2}–{high:.2})", median(values))
    };

    writeln!(out, "### CPU time per operation, ns\n")?;
    let mut table = Table::new(out, "configuration", &titles)?;
    for (at, setup) in setups.iter().enumerate() {
        table
            .row(&title(*setup, worlds), (0..titles.len()).map(|load| grouped(median(&samples[at][load]))))?;
    }
    writeln!(out, "\n### Ratio to conntrack only\n")?;
    let mut table = Table::new(out, "configuration", &titles)?;
    for (at, setup) in setups.iter().enumerate() {
        let cells = (0..titles.len()).map(|load| ratio(&ratios(at, reference, load)));
        table.row(&title(*setup, worlds), cells)?;
    }
    let last = worlds.len() - 1;
    let place = |setup| setups.iter().position(|known| *known == setup).context("a setup");
    writeln!(out, "\n### Telling more than events\n")?;
    let mut table = Table::new(out, "configuration", &titles)?;
    let [events, totals, staged] =
        Telling::ALL.map(|telling| place(Setup::Podgate(last, Backend::Bpf, telling)));
    let (events, totals, staged) = (events?, totals?, staged?);
    for (what, more, less) in
        [("totals, against none", totals, events), ("a staged instance, against none", staged, totals)]
    {
        table.row(what, (0..titles.len()).map(|load| ratio(&ratios(more, less, load))))?;
    }
    if !setups.contains(&Setup::Plain) {
        writeln!(out)?;
        return Ok(());
    }
    let kinds: [fn(usize) -> Setup; 4] = [
        |world| Setup::Podgate(world, Backend::Bpf, Telling::Totals),
        |world| Setup::Podgate(world, Backend::Nft, Telling::Totals),
        |world| Setup::Nftables(world, Judge::First),
        |world| Setup::Nftables(world, Judge::All),
    ];
    let [few, many] = [0, last].map(|world| grouped(f64::from(worlds[world].policies)));
    writeln!(out, "\n### {many} policies against {few}\n")?;
    let mut table = Table::new(out, "configuration", &titles)?;
    for kind in kinds {
        let (few, many) = (place(kind(0))?, place(kind(last))?);
        let name = title(kind(0), worlds);
        let name = name.rsplit_once(',').map_or(name.as_str(), |(name, _)| name);
        table.row(name, (0..titles.len()).map(|load| ratio(&ratios(many, few, load))))?;
    }
    writeln!(out)?;
    Ok(())
}
