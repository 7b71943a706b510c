//! Measures what the datapath costs: nanoseconds a packet in the kernel, microseconds a publication.
//! Needs root: `cargo run --release -p podgate-datapath --example cost`.

#![expect(clippy::print_stdout, reason = "its output is the result")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use podgate_datapath::{BpfDatapath, BpfOptions, Capacity, Datapath};
use podgate_policy::{ClassId, Delta};
use support::test_run::{TestRun, packet};
use support::*;

const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";
const PACKETS: u64 = 400_000;

/// Switches the kernel's run time statistics on, and back when dropped.
struct Stats(String);

impl Stats {
    fn on() -> Stats {
        let before = fs::read_to_string(STATS).expect("read bpf_stats_enabled");
        fs::write(STATS, "1").expect("switch bpf stats on");
        Stats(before)
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        let _ = fs::write(STATS, &self.0);
    }
}

fn run_time() -> (u64, u64) {
    libbpf_rs::query::ProgInfoIter::default()
        .filter(|program| program.name.to_string_lossy() == "podgate" && program.run_cnt > 0)
        .fold((0, 0), |(time, count), program| (time + program.run_time_ns, count + program.run_cnt))
}

fn cost(what: &str, work: impl FnOnce()) {
    let before = run_time();
    work();
    let after = run_time();
    let count = after.1 - before.1;
    println!("{what:<58} {:>7.1} ns a packet ({count} packets)", (after.0 - before.0) as f64 / count as f64);
}

fn other(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 60, 0, 0).to_bits() + number).into()
}

/// 10,000 addresses in 1,000 classes; both ends isolated, each with 1,000 rows of 8 ranges.
fn policy(first_program: u32) -> Policy {
    let list: Vec<_> = (0..8).map(|i| (100 * i + 1, 100 * i + 90, allowed(2))).collect();
    let rows: Vec<_> = (1..=1000).map(|class| (class, ports(UDP, &list, denied(1)))).collect();
    let mut policy = Policy::open(3)
        .program(first_program, row(denied(1)), &rows)
        .program(first_program + 1, row(denied(1)), &rows)
        .pod(1, None, Some(first_program))
        .pod(2, Some(first_program + 1), None);
    policy
        .state
        .prefixes
        .extend((0..100).map(|i| (support::net(&format!("172.{i}.0.0/16")), Some(ClassId(2000 + i)))));
    let known = policy.state.addresses.len();
    let identities: Vec<_> = (0..10_000)
        .map(|i| {
            let mut identity = policy.state.addresses[known - 1].1.clone();
            if let Some(identity) = &mut identity {
                identity.class = ClassId(1 + i % 1000);
                identity.node = Some("node-b".into());
            }
            (other(i), identity)
        })
        .collect();
    policy.state.addresses.extend(identities);
    policy
}

fn send(net: &Net, from: usize, to: SocketAddr, packets: u64) {
    net.inside(&format!("pod{from}"), || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        for _ in 0..packets {
            let _ = socket.send_to(b"cost", to);
        }
    });
}

fn main() {
    let net = Net::new(3);
    let _stats = Stats::on();
    let capacity = Capacity { addresses: 20_000, ..Capacity::default() };
    let mut datapath = BpfDatapath::open(BpfOptions { capacity, ..net.options() }).expect("open");
    let start = Instant::now();
    let full = policy(1);
    println!("built in {:?}", start.elapsed());
    let start = Instant::now();
    full.publish_full(&mut datapath);
    println!("full publication of 10,000 addresses and 2,004 rows: {:?}", start.elapsed());
    let start = Instant::now();
    full.publish_full(&mut datapath);
    println!("the same again, replacing all: {:?}", start.elapsed());
    settle(&mut datapath);

    let _sink = net.inside("pod1", || UdpSocket::bind((pod4(1), 550)).expect("bind"));
    let _sink3 = net.inside("pod3", || UdpSocket::bind((pod4(3), 550)).expect("bind"));
    cost("allowed, both ends isolated, row and range of each", || {
        send(&net, 2, (pod4(1), 550).into(), PACKETS)
    });
    cost("allowed, destination isolated", || send(&net, 3, (pod4(1), 550).into(), PACKETS));
    cost("allowed, neither isolated", || send(&net, 1, (pod4(3), 550).into(), PACKETS));
    cost("denied, event rate limited", || send(&net, 3, (pod4(1), 95).into(), PACKETS));
    cost("from the node", || {
        net.inside("node", || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
            for _ in 0..PACKETS {
                let _ = socket.send_to(b"cost", (pod4(1), 550));
            }
        });
    });
    events(&mut datapath);

    let run = TestRun::new(&datapath);
    for (what, from, to) in [
        ("both isolated", pod4(2).into(), pod4(1).into()),
        ("destination isolated", pod4(3).into(), pod4(1).into()),
        ("neither isolated", pod4(1).into(), pod4(3).into()),
        ("both isolated, IPv6", pod6(2).into(), pod6(1).into()),
        ("to an address outside", pod4(3).into(), "172.5.6.7".parse().expect("address")),
    ] {
        let bytes = packet(from, to, UDP, &test_run::ports(4000, 550));
        let (accepted, time) = run.run(&bytes, 2_000_000);
        assert!(accepted);
        println!("{what:<58} {time:>9.1?}, the same packet, without conntrack");
    }

    let mut times = Vec::new();
    for i in 0..300 {
        let mut identity = full.state.addresses[0].1.clone();
        if let Some(identity) = &mut identity {
            identity.class = ClassId(1 + i % 1000);
        }
        let addresses = vec![(other(10_500 + i), identity)];
        let delta = Delta { addresses, ..Delta::default() };
        settle(&mut datapath);
        let start = Instant::now();
        datapath.publish(&full, &delta).expect("publish");
        times.push(start.elapsed());
    }
    report("one new pod, known class, when idle", times);
    let mut times = Vec::new();
    for i in 0..100 {
        let addresses = vec![(other(10_500 + i), full.state.addresses[0].1.clone())];
        let start = Instant::now();
        datapath.publish(&full, &Delta { addresses, ..Delta::default() }).expect("publish");
        times.push(start.elapsed());
    }
    report("the same, one right after the other", times);
    let mut times = Vec::new();
    for i in 0..30 {
        let next = policy(100 + 2 * i);
        let addresses = next.state.addresses[..4].to_vec();
        settle(&mut datapath);
        let start = Instant::now();
        datapath.publish(&next, &Delta { addresses, ..Delta::default() }).expect("publish");
        times.push(start.elapsed());
    }
    report("two changed programs of 1,002 rows, when idle", times);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100];
    println!("{what:<58} {:>9.1?} median, {:?} p99", at(50), at(99));
}
