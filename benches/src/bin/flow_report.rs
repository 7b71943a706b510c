//! What a flow record costs on its way: observed, joined, named, kept, handed to the disk, written.
//!
//! `flow-report [RECORDS]`, 2,000,000 by default. The producer is synthetic: connections between the pods of two
//! nodes, a tenth of them to the outside, a tenth denied, made from a seed.
//!
//! `flow-report --archive DIR [RECORDS]` writes an archive of 200,000 such records, or so many, and ends: for who measures
//! what reads it.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use podgate_archive::{Archive, Caps};
use podgate_flow::{
    Basis, Edge, EdgeMinute, FlowRecord, Half, History, Joiner, Limits, Names, Observation, OwnerName, Party,
    Place, PolicyVersion, Protocol, Reason, TcpFlags, Timestamp, Totals,
};
use podgate_policy::{Decider, DeciderId, Direction, PolicyRef, RuleRef, Tier, Verdict};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PODS: u64 = 2_000;
const POLICIES: u64 = 300;
/// Records that are handed on at a time: what a node reads in 10 ms when there are a million a second.
const BATCH: usize = 10_000;
/// What is written to disk.
const RECORDS: usize = 200_000;
/// Edges of a node, and the minutes of an hour.
const EDGES: u64 = 2_000;
const MINUTES: u64 = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let first = std::env::args().nth(1);
    if first.as_deref() == Some("--archive") {
        let dir = std::env::args().nth(2).ok_or("--archive DIR [RECORDS]: a directory is needed")?;
        let records = std::env::args().nth(3).map_or(Ok(RECORDS), |text| text.parse())?;
        written(dir.as_ref(), &made(records))?;
        return Ok(());
    }
    let records = match first {
        Some(text) => text.parse()?,
        None => 2_000_000,
    };
    println!("| a record's way, in one thread | records a second | ns a record |");
    println!("|---|---:|---:|");
    for (what, is_split) in [("both ends on one node", false), ("two halves, of two nodes", true)] {
        let stages: [(&str, Stage); 4] = [
            ("observed", Stage::Observed),
            ("joined and named", Stage::Joined),
            ("in the history", Stage::Kept),
            ("in the archive's queue", Stage::Queued),
        ];
        for (stage, until) in stages {
            let (time, lost) = run(records, is_split, until)?;
            let each = time.as_secs_f64() / records as f64;
            println!("| {what}: {stage} | {:.0} | {:.0} |", 1.0 / each, each * 1e9);
            if until == Stage::Queued {
                println!(
                    "| – of them beyond what the queue holds, counted as lost | {:.0} % | |",
                    lost * 100.0
                );
            }
        }
    }
    write()?;
    edges()
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Stage {
    Observed,
    Joined,
    Kept,
    Queued,
}

/// Runs so many records through the stages up to one. Returns the processor time that it took, and which share
/// of the records the archive's queue had no room for.
fn run(records: usize, is_split: bool, until: Stage) -> Result<(Duration, f64), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let archive = Archive::open(dir.path(), Caps::default())?;
    let history = History::new(Limits::default());
    let names = names();
    let (mut producer, mut joiner) = (Producer::new(), Joiner::new());
    joiner.set_policy_version(PolicyVersion(0xbeef));
    let mut out = Vec::with_capacity(BATCH);
    let start = clock(ClockId::ThreadCPUTime);
    let mut left = records;
    while left > 0 {
        for _ in 0..left.min(BATCH) {
            let whole = producer.next();
            if until == Stage::Observed {
                std::hint::black_box(&whole);
                continue;
            }
            let now = whole.time;
            match is_split {
                false => joiner.observe(now, whole, &names, &mut out),
                true => {
                    let (first, second) = halves(whole);
                    joiner.observe(now, first, &names, &mut out);
                    joiner.observe(now, second, &names, &mut out);
                }
            }
        }
        let now = Timestamp(producer.time);
        joiner.expire(now, &names, &mut out);
        left -= left.min(BATCH);
        if until < Stage::Kept {
            out.clear();
            continue;
        }
        let shared: Vec<Arc<FlowRecord>> = out.drain(..).map(Arc::new).collect();
        if until == Stage::Queued {
            archive.append(&shared);
        }
        history.push(now, shared);
    }
    let time = clock(ClockId::ThreadCPUTime) - start;
    Ok((time, archive.state().flows_lost as f64 / records as f64))
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What the writer makes of records, and what they take on the disk.
fn write() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let records = made(RECORDS);
    let elapsed = || clock(ClockId::ProcessCPUTime) - clock(ClockId::ThreadCPUTime);
    let start = elapsed();
    let archive = written(dir.path(), &records)?;
    let took = (elapsed() - start).as_secs_f64();
    let state = archive.state();
    println!("\n| on the disk | |\n|---|---:|");
    println!("| records written a second of the writer's processor time | {:.0} |", RECORDS as f64 / took);
    println!("| bytes a record, in parts | {:.1} |", state.bytes as f64 / RECORDS as f64);
    drop(archive);
    let start = clock(ClockId::ProcessCPUTime);
    let archive = put_together(dir.path())?;
    let took = (clock(ClockId::ProcessCPUTime) - start).as_secs_f64();
    println!(
        "| records put together into their hour a second of processor time | {:.0} |",
        RECORDS as f64 / took
    );
    println!("| bytes a record, in its hour | {:.1} |", archive.state().bytes as f64 / RECORDS as f64);
    let start = clock(ClockId::ProcessCPUTime);
    let found = archive.flows(&Default::default())?.found.len();
    let took = (clock(ClockId::ProcessCPUTime) - start).as_secs_f64();
    println!("| records read back a second of processor time | {:.0} |", found as f64 / took);
    Ok(())
}

/// Records of connections that began three hours ago.
fn made(records: usize) -> Vec<Arc<FlowRecord>> {
    let (names, mut producer, mut joiner) = (names(), Producer::new(), Joiner::new());
    producer.time = hours_ago(3);
    let mut out = Vec::new();
    while out.len() < records {
        let whole = producer.next();
        joiner.observe(whole.time, whole, &names, &mut out);
    }
    out.into_iter().map(Arc::new).collect()
}

/// An archive with these records.
fn written(
    dir: &std::path::Path,
    records: &[Arc<FlowRecord>],
) -> Result<Archive, Box<dyn std::error::Error>> {
    let archive = Archive::open(dir, Caps::default())?;
    // No more than the queue takes at once.
    for some in records.chunks(100_000) {
        archive.append(some);
        archive.flush();
    }
    let state = archive.state();
    if state.flows != records.len() as u64 {
        return Err(format!(
            "{} of {} records were written: {:?}",
            state.flows,
            records.len(),
            state.problems
        )
        .into());
    }
    Ok(archive)
}

/// Opens an archive again, which puts hours together that are over.
fn put_together(dir: &std::path::Path) -> Result<Archive, Box<dyn std::error::Error>> {
    let archive = Archive::open(dir, Caps::default())?;
    while archive.whole_hours().is_empty() {
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(archive)
}

fn edges() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let archive = Archive::open(dir.path(), Caps::default())?;
    let mut random = Random(7);
    let edges: Vec<Arc<Edge>> = (0..EDGES).map(|number| Arc::new(edge(number, &mut random))).collect();
    let (node, start) = (Arc::from("node-1"), hours_ago(3));
    for minute in 0..MINUTES {
        let of = |edge: &Arc<Edge>| {
            // Most edges are quiet: a health check, a scrape. A few carry the traffic.
            let busy = 1 + 2_000 / (1 + random.below(200));
            let connections = 1 + random.below(4) * random.below(busy);
            let packets = connections * (6 + random.below(30));
            let totals = Totals {
                connections,
                packets,
                bytes: packets * (52 + random.below(700)),
                reply_packets: packets - random.below(packets / 2),
                reply_bytes: packets * (52 + random.below(1_400)),
            };
            let minute = Timestamp(start + minute * 60_000_000_000);
            let policy_version = PolicyVersion(0xbeef);
            Arc::new(EdgeMinute {
                minute,
                node: Arc::clone(&node),
                policy_version,
                edge: edge.clone(),
                totals,
            })
        };
        archive.append_edges(&edges.iter().map(of).collect::<Vec<_>>());
        archive.flush();
    }
    let rows = (EDGES * MINUTES) as f64;
    println!("| bytes a minute of an edge, in parts | {:.1} |", archive.state().bytes as f64 / rows);
    drop(archive);
    let archive = put_together(dir.path())?;
    println!("| bytes a minute of an edge, in its hour | {:.1} |", archive.state().bytes as f64 / rows);
    Ok(())
}

fn hours_ago(hours: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let hour = 3_600_000_000_000;
    (now / hour - hours) * hour
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }
}

fn pod_ip(number: u64) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number as u32).into()
}

fn workload(number: u64) -> (String, OwnerName) {
    let owner = OwnerName { kind: "Deployment".to_owned(), name: format!("service-{}", number / 4) };
    (format!("team-{}", number / 100), owner)
}

fn names() -> Names {
    let mut names = Names::new();
    let party = |number: u64| {
        let (namespace, owner) = workload(number);
        let labels = [("app", owner.name.clone()), ("pod-template-hash", format!("{:x}", number / 4 * 7919))];
        let party = Party::Pod {
            namespace,
            pod: format!("{}-{:x}-{number}", owner.name, number * 104_729),
            owner: Some(owner),
            node: Some(format!("node-{}", number % 2)),
            labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        };
        (pod_ip(number), party)
    };
    names.set_addresses((0..PODS).map(party), []);
    names.add_deciders((0..POLICIES).map(|number| (decider_id(number), decider(number))));
    names
}

fn decider_id(number: u64) -> DeciderId {
    DeciderId(1_000 + number)
}

fn policy(number: u64) -> PolicyRef {
    PolicyRef {
        kind: "NetworkPolicy".to_owned(),
        namespace: format!("team-{}", number % 20),
        name: format!("allow-{number}"),
    }
}

/// Every tenth one is an isolation.
fn decider(number: u64) -> Decider {
    match number.is_multiple_of(10) {
        true => Decider::Isolation { direction: Direction::Ingress, policies: vec![policy(number)] },
        false => Decider::Rule(RuleRef {
            policy: policy(number),
            tier: Tier::NetworkPolicy,
            direction: Direction::Ingress,
            index: (number % 5) as u32,
            name: String::new(),
            source: Default::default(),
        }),
    }
}

struct Producer {
    random: Random,
    time: u64,
    node: Arc<str>,
}

impl Producer {
    fn new() -> Producer {
        Producer { random: Random(1), time: hours_ago(1), node: "node-1".into() }
    }

    /// A new connection, a microsecond after the last one.
    fn next(&mut self) -> Observation {
        let random = &mut self.random;
        self.time += 1_000;
        let from = random.below(PODS);
        let is_outside = random.below(10) == 0;
        let to = if is_outside { 0x5000_0000 + random.below(5_000) } else { random.below(PODS) };
        let rule = random.below(POLICIES);
        let verdict = if rule.is_multiple_of(10) { Verdict::Denied } else { Verdict::Allowed };
        let open = Half { verdict: Verdict::Allowed, basis: Basis::Decider(DeciderId::NOT_ISOLATED) };
        Observation {
            time: Timestamp(self.time),
            node: self.node.clone(),
            from: SocketAddr::new(pod_ip(from), 32_768 + random.below(28_000) as u16),
            to: SocketAddr::new(pod_ip(to), [443, 8080, 5432, 53][random.below(4) as usize]),
            asked: None,
            protocol: Protocol::TCP,
            tcp_flags: TcpFlags(2),
            icmp: None,
            egress: Some(open),
            ingress: (!is_outside).then_some(Half { verdict, basis: Basis::Decider(decider_id(rule)) }),
            would: None,
            reply: false,
            cut: false,
            suppressed: 0,
        }
    }
}

/// What the two nodes say. A denial is known at once, so the first half is the denied one.
fn halves(whole: Observation) -> (Observation, Observation) {
    let (mut first, mut second) = (whole.clone(), whole);
    first.egress = None;
    second.ingress = None;
    (first, second)
}

fn edge(number: u64, random: &mut Random) -> Edge {
    let place = |number: u64| {
        let (namespace, owner) = workload(number);
        Arc::new(Place::Workload { namespace, owner })
    };
    let rule = random.below(POLICIES);
    let outside = || Place::Outside { ip: pod_ip(0x5000_0000 + number), name: None };
    Edge {
        source: place(random.below(PODS)),
        destination: if number.is_multiple_of(10) { Arc::new(outside()) } else { place(random.below(PODS)) },
        protocol: Protocol::TCP,
        port: [443, 8080, 5432, 53][random.below(4) as usize],
        verdict: Verdict::Allowed,
        egress: Some(Arc::new(Reason::NotIsolated)),
        ingress: Some(Arc::new(Reason::of(&decider(rule)))),
    }
}
