//! Measures what publications cost, with either backend and 200,000 addresses.
//! Needs root: `cargo run --release -p podgate-datapath --example publish`.

#![expect(clippy::print_stdout, reason = "its output is the result")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use podgate_datapath::{Backend, BpfOptions, Capacity, Datapath};
use podgate_policy::{ClassId, Delta, Identity, ProgramId};
use support::*;

const ADDRESSES: u32 = 200_000;
const LOCAL: u32 = 110;
const CLASSES: u32 = 20_000;
const ROUNDS: u32 = 100;

fn pod(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 60, 0, 0).to_bits() + number).into()
}

fn identity(class: u32, node: &str, program: Option<u32>) -> Identity {
    let program = program.map(ProgramId);
    Identity { class: ClassId(class), egress: program, ingress: program, node: Some(node.into()) }
}

/// 200,000 addresses in 20,000 classes; 110 pods of this node, two to a program of 20 rows, two ports each.
fn policy() -> Policy {
    let mut policy = Policy::open(0);
    for program in 1..=LOCAL / 2 {
        policy = policy.program(program, row(denied(1)), &rows(program));
    }
    policy
        .state
        .prefixes
        .extend((0..100).map(|i| (support::net(&format!("172.{i}.0.0/16")), Some(ClassId(30_000 + i)))));
    let local = (0..LOCAL).map(|i| (pod(i), identity(100 + i, NODE, Some(1 + i / 2))));
    let others = (LOCAL..ADDRESSES).map(|i| (pod(i), identity(100 + i % CLASSES, "node-b", None)));
    policy.state.addresses.extend(local.chain(others).map(|(address, identity)| (address, Some(identity))));
    policy
}

fn rows(program: u32) -> Vec<(u32, podgate_policy::Row)> {
    let port = 1000 + program as u16;
    let list = [(80, 80, allowed(2)), (port, port, allowed(3))];
    (0..20).map(|i| (100 + program * 7 + i, ports(TCP, &list, denied(1)))).collect()
}

/// What the kernel has taken, and isn't a process's.
fn kernel_memory() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let of = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    (of("Slab:") + of("VmallocUsed:") + of("Percpu:")) / 1024.0
}

fn main() {
    for backend in [Backend::Bpf, Backend::Nft] {
        println!("{backend}");
        measure(backend);
    }
}

fn measure(backend: Backend) {
    let net = Net::new(0);
    let capacity = Capacity { addresses: 262_144, ..Capacity::default() };
    let options = BpfOptions { capacity, ..net.options() };
    let mut datapath = podgate_datapath::open(backend, options).expect("open").datapath;
    let mut policy = policy();
    let memory = kernel_memory();
    let start = Instant::now();
    policy.publish_full(&mut *datapath);
    println!("  {ADDRESSES} addresses, {} programs, full{:>25.1?}", LOCAL / 2, start.elapsed());
    let start = Instant::now();
    settle(&mut *datapath);
    println!("  settling after that{:>37.1?}", start.elapsed());
    println!("  the kernel's memory{:>33.1} MiB more", kernel_memory() - memory);
    let start = Instant::now();
    policy.publish_full(&mut *datapath);
    println!("  the same again, replacing all{:>27.1?}", start.elapsed());
    settle(&mut *datapath);

    let publish = |datapath: &mut Box<dyn Datapath + Send>, policy: &Policy, delta: Delta| {
        settle(&mut **datapath);
        let start = Instant::now();
        datapath.publish(policy, &delta).expect("publish");
        start.elapsed()
    };
    let mut times = Vec::new();
    for i in 0..ROUNDS {
        let addresses = vec![(pod(ADDRESSES + i), Some(identity(100 + i, "node-b", None)))];
        times.push(publish(&mut datapath, &policy, Delta { addresses, ..Delta::default() }));
    }
    report("a pod of another node, known class", times);
    let mut times = Vec::new();
    for i in 0..ROUNDS {
        let addresses = vec![(pod(ADDRESSES + ROUNDS + i), Some(identity(100 + i, NODE, Some(1 + i % 50))))];
        times.push(publish(&mut datapath, &policy, Delta { addresses, ..Delta::default() }));
    }
    report("a pod of this node, known class and program", times);
    let mut times = Vec::new();
    for i in 0..ROUNDS {
        let (old, new) = (1 + i % 50, 1000 + i);
        policy = policy.program(new, row(denied(1)), &rows(new % 1000));
        let of = |number| (pod(number), Some(identity(100 + number, NODE, Some(new))));
        let addresses = vec![of((old - 1) * 2), of((old - 1) * 2 + 1)];
        times.push(publish(&mut datapath, &policy, Delta { addresses, ..Delta::default() }));
    }
    report("a new program of 22 rows for two pods", times);
    let mut times = Vec::new();
    for i in 0..ROUNDS {
        let addresses = vec![(pod(ADDRESSES), Some(identity(200 + i, "node-b", None)))];
        let start = Instant::now();
        datapath.publish(&policy, &Delta { addresses, ..Delta::default() }).expect("publish");
        times.push(start.elapsed());
    }
    report("a changed pod, right after another change", times);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100];
    println!("  {what:<46} {:>9.1?} median, {:.1?} p99", at(50), at(99));
}
