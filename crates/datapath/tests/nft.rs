//! What the nftables backend leaves in the kernel, how it takes that over, and what it makes of disturbances.
//! Needs root.

#![expect(clippy::print_stdout, reason = "one line tells what was counted")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use podgate_datapath::{Backend, Datapath, Error, NftDatapath, Repair, nft};
use podgate_policy::{Delta, Verdict};
use support::*;

fn open(net: &Net) -> NftDatapath {
    NftDatapath::open(net.options()).expect("open")
}

/// Pod 2 may reach pod 1, pod 3 may not.
fn policy() -> Policy {
    Policy::open(3).program(1, row(denied(1)), &[(2, row(allowed(2)))]).pod(1, None, Some(1))
}

/// What `nft` says in the node's namespace.
fn list(net: &Net, arguments: &[&str]) -> String {
    let node = net.ns("node");
    let output = Command::new("ip").args(["netns", "exec", &node, "nft"]).args(arguments).output();
    let output = output.expect("nft");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn table(net: &Net) -> String {
    list(net, &["list", "table", "inet", nft::TABLE])
}

#[test]
fn enforcement_outlives_the_process_and_the_next_one_takes_it_over() {
    let net = Net::new(3);
    net.serve(1, 80);
    let mut datapath = open(&net);
    policy().publish_full(&mut datapath);
    let mut stream = net.connection(2, (pod4(1), 80)).expect("pod 2 is allowed");
    let busy = NftDatapath::open(net.options()).map(drop);
    assert!(matches!(busy, Err(Error::LogGroup { .. })), "{busy:?}");
    drop(datapath);
    assert!(ping_pong(&mut stream), "what was allowed goes on");
    assert!(!net.tcp(3, (pod4(1), 80)), "what was denied stays so");

    let mut datapath = open(&net);
    assert!(datapath.is_attached(), "there is something to take over");
    assert!(ping_pong(&mut stream) && !net.tcp(3, (pod4(1), 80)), "opening changes nothing");
    let stale = datapath.publish(&Policy::default(), &Delta::default()).map(drop);
    assert!(matches!(stale, Err(Error::NeedsFull)), "{stale:?}");
    // The next engine counts its ids from the start again, and pod 3's address is free.
    let policy = Policy::open(2).program(1, row(denied(5)), &[(2, row(allowed(6)))]).pod(1, None, Some(1));
    policy.publish_full(&mut datapath);
    settle(&mut datapath);
    assert!(ping_pong(&mut stream) && !net.tcp(3, (pod4(1), 80)));
    let text = table(&net);
    assert!(text.contains("chain e2-v4-s0 {") && !text.contains("e1-"), "what the first one made is gone");
}

#[test]
fn taking_over_under_traffic_leaks_and_drops_nothing() {
    const ROUNDS: u32 = 20;
    let net = Net::new(3);
    let mut backends = [Backend::Nft, Backend::Nft, Backend::Bpf].into_iter().cycle();
    let mut datapath = net.open_with(backends.next().expect("endless"));
    policy().publish_full(&mut *datapath);
    let socket = net.inside("pod1", || UdpSocket::bind((pod4(1), 80)).expect("bind"));
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
    let (stop, by_pod) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 4]);
    let to = SocketAddr::from((pod4(1), 80));
    let flood = |pod: usize| {
        net.inside(&format!("pod{pod}"), || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
            let mut sent = 0u64;
            while !stop.load(Ordering::Relaxed) {
                sent += u64::from(socket.send_to(b"flood", to).is_ok());
            }
            sent
        })
    };
    let mut wrong = 0;
    let sent = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if let Ok((_, SocketAddr::V4(from))) = socket.recv_from(&mut [0; 16]) {
                    by_pod[usize::from(from.ip().octets()[3]) - 10].fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let (allowed, denied) = (scope.spawn(|| flood(2)), scope.spawn(|| flood(3)));
        for _ in 0..ROUNDS {
            drop(datapath);
            let next = net.open_with(backends.next().expect("endless"));
            datapath = next;
            policy().publish_full(&mut *datapath);
            thread::sleep(Duration::from_millis(20));
            let seen = events(&mut *datapath);
            wrong += seen.iter().filter(|e| e.source == pod4(2) && e.verdict == Verdict::Denied).count();
        }
        stop.store(true, Ordering::Relaxed);
        [allowed.join().expect("flood"), denied.join().expect("flood")]
    });
    let [received, leaked] = [2, 3].map(|pod| by_pod[pod].load(Ordering::Relaxed));
    println!("{ROUNDS} successors: sent {sent:?}, received {received}, leaked {leaked}");
    assert!(sent[0] > 10_000 && sent[1] > 10_000 && received > 1000, "the traffic was real");
    assert_eq!((leaked, wrong), (0, 0), "leaked, and denied though allowed");
}

#[test]
fn a_backend_ends_the_other_one_when_it_takes_over() {
    let net = Net::new(2);
    net.serve(1, 80);
    let closed = Policy::open(2).program(1, row(denied(1)), &[]).pod(1, None, Some(1));
    let mut datapath = net.open_with(Backend::Nft);
    closed.publish_full(&mut *datapath);
    drop(datapath);
    let mut datapath = net.open_with(Backend::Bpf);
    assert!(datapath.is_attached(), "by nftables");
    assert!(!net.tcp(2, (pod4(1), 80)), "still closed");
    Policy::open(2).publish_full(&mut *datapath);
    assert!(net.tcp(2, (pod4(1), 80)), "only the new state is in force");
    assert!(!list(&net, &["list", "tables"]).contains(nft::TABLE));
    closed.publish_full(&mut *datapath);
    drop(datapath);
    let mut datapath = net.open_with(Backend::Nft);
    assert!(datapath.is_attached() && !net.tcp(2, (pod4(1), 80)));
    Policy::open(2).publish_full(&mut *datapath);
    assert!(net.tcp(2, (pod4(1), 80)), "and back");
}

#[test]
fn the_best_backend_is_chosen_where_the_choice_is_free() {
    let net = Net::new(1);
    let opened = podgate_datapath::open(Backend::Auto, net.options()).expect("open");
    assert_eq!(
        opened.datapath.capabilities().backend,
        Backend::Bpf,
        "these tests need a kernel with netfilter BPF"
    );
    assert!(opened.without_bpf.is_none());
    for name in ["auto", "bpf", "nft"] {
        assert_eq!(name.parse::<Backend>().expect("a backend").to_string(), name);
    }
    assert_eq!(
        "ebpf".parse::<Backend>(),
        Err("no datapath is called \"ebpf\", use auto, bpf or nft".to_owned())
    );
}

#[test]
fn what_others_take_away_is_restored() {
    let net = Net::new(3);
    net.serve(1, 80);
    let mut datapath = open(&net);
    policy().publish_full(&mut datapath);
    let judged = || (net.tcp(2, (pod4(1), 80)), net.tcp(3, (pod4(1), 80)));
    assert_eq!(datapath.reassert().expect("reassert"), []);
    let table = format!("inet {}", nft::TABLE);
    let damages = [
        format!("delete table {table}"),
        format!("flush chain {table} postrouting"),
        format!("flush chain {table} judge"),
        "flush ruleset".to_owned(),
    ];
    for damage in damages {
        net.nft("node", &damage);
        assert_eq!(judged(), (true, true), "{damage}");
        assert_eq!(datapath.reassert().expect("reassert"), [Repair::Tables], "{damage}");
        assert_eq!(judged(), (true, false), "restored after: {damage}");
    }
    net.nft("node", "add table inet somebody-else");
    assert_eq!(datapath.reassert().expect("reassert"), [], "others' tables are no matter");
    let more = Policy::open(3).program(2, row(denied(3)), &[(3, row(allowed(4)))]).pod(1, None, Some(2));
    let delta = Delta { addresses: more.state.addresses.clone(), ..Delta::default() };
    datapath.publish(&more, &delta).expect("publications go on");
    assert_eq!(judged(), (false, true));
}

#[test]
fn publishing_fails_when_the_table_is_gone_and_the_next_full_one_makes_it_anew() {
    let net = Net::new(3);
    net.serve(1, 80);
    let mut datapath = open(&net);
    policy().publish_full(&mut datapath);
    net.nft("node", &format!("delete table inet {}", nft::TABLE));
    let more = Policy::open(3).program(2, row(denied(3)), &[(3, row(allowed(4)))]).pod(1, None, Some(2));
    let delta = Delta { addresses: more.state.addresses.clone(), ..Delta::default() };
    assert!(datapath.publish(&more, &delta).is_err());
    assert!(matches!(datapath.publish(&more, &delta), Err(Error::NeedsFull)));
    more.publish_full(&mut datapath);
    assert!(net.tcp(3, (pod4(1), 80)) && !net.tcp(2, (pod4(1), 80)));
}

#[test]
fn nft_lists_what_is_there() {
    let net = Net::new(3);
    let mut datapath = open(&net);
    let list_of = [(80, 80, allowed(1)), (8000, 8999, allowed(1))];
    let policy = Policy::open(3)
        .program(1, ports(TCP, &list_of, denied(1)), &[(2, ports(UDP, &[(53, 99, denied(2))], allowed(2)))])
        .pod(1, Some(1), Some(1));
    policy.publish_full(&mut datapath);
    let text = table(&net);
    for expected in
        ["10.42.0.11", "fd42::11", "tcp . 80", "8000-8999", "type filter hook postrouting priority"]
    {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
    let json = list(&net, &["-j", "list", "ruleset"]);
    assert!(json.contains("\"postrouting\""), "{json}");
}

#[test]
fn counters_and_events_add_up() {
    let net = Net::new(3);
    net.serve(1, 80);
    let mut datapath = open(&net);
    policy().publish_full(&mut datapath);
    assert!(net.udp(2, (pod4(1), 80)));
    (0..300).for_each(|_| {
        net.inside("pod3", || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
            socket.send_to(b"no", (pod4(1), 80)).expect("send");
        });
    });
    let seen = events(&mut datapath);
    let counters = datapath.counters().expect("counters");
    assert_eq!(counters.denied_total(), 300);
    assert!(counters.events_suppressed > 0, "more than the event rate: {counters:?}");
    assert_eq!(counters.events_submitted, seen.len() as u64, "every event that was sent has come");
    let sum = counters.events_submitted + counters.events_lost + counters.events_suppressed;
    assert_eq!((counters.events_attempted, sum), (301, 301));
    assert_eq!(counters.allowed, 2, "there and back");
    assert!(counters.packets >= 302 && counters.bytes > counters.packets * 28);
}
