//! Changes while packets flow: nothing leaks, nothing is dropped that both states allow. Needs root.

#![expect(
    clippy::print_stdout,
    reason = "one line tells what was counted, another that the process is ready"
)]

mod support;

use std::io::Read;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use podgate_datapath::{Backend, BpfDatapath, BpfOptions, Capacity, Datapath, Error, EventRate, Reason};
use podgate_policy::{ClassId, Delta, ProgramId, Verdict};
use support::*;

with_both_backends! {
    thousands_of_publications_under_traffic_leak_and_drop_nothing
    a_live_connection_is_cut_and_comes_back
    a_one_way_stream_is_cut_at_its_replies_too
    removing_ends_the_filtering_and_leaves_nothing
    a_row_of_a_class_that_is_new_to_a_program_takes_effect_with_the_class
}

/// Sends datagrams from a pod as fast as it can until told to stop.
fn flood(net: &Net, pod: usize, to: SocketAddr, stop: &AtomicBool) -> u64 {
    net.inside(&format!("pod{pod}"), || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            sent += u64::from(socket.send_to(b"flood", to).is_ok());
        }
        sent
    })
}

/// Counts datagrams by the pod that sent them, until told to stop.
fn count(socket: &UdpSocket, stop: &AtomicBool, by_pod: &[AtomicU64; 4]) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, SocketAddr::V4(from))) = socket.recv_from(&mut [0; 16]) {
            by_pod[usize::from(from.ip().octets()[3]) - 10].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Pod 2 may reach pod 1 and pod 3 may not, in every round; but classes and programs are others each
/// time, so that words or rows of two rounds together would say the opposite for both.
fn round(number: u32) -> Policy {
    let (base, even) = (number * 10, number.is_multiple_of(2));
    let (two, three) = if even { (base + 5002, base + 5003) } else { (base + 5003, base + 5002) };
    let unlike = |class: u32| if class % 10 == 2 { class + 1 } else { class - 1 };
    let mut policy = Policy::open(1).program(
        base + 1,
        row(denied(1)),
        &[(two, row(allowed(2))), (three, row(denied(3))), (unlike(three) + 1000, row(allowed(4)))],
    );
    policy = policy.pod(1, None, Some(base + 1));
    policy = policy.address(pod4(2).into(), two, None, None, Some(NODE));
    policy.address(pod4(3).into(), three, None, None, Some(NODE))
}

fn thousands_of_publications_under_traffic_leak_and_drop_nothing(backend: Backend) {
    const ROUNDS: u32 = 2000;
    let net = Net::new(3);
    let options = BpfOptions { event_rate: EventRate { per_second: 1, burst: 1 }, ..net.options() };
    let mut datapath = podgate_datapath::open(backend, options).expect("open").datapath;
    let mut policy = round(0);
    policy.publish_full(&mut *datapath);
    let socket = net.inside("pod1", || UdpSocket::bind((pod4(1), 80)).expect("bind"));
    let (stop, by_pod) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 4]);
    let to = SocketAddr::from((pod4(1), 80));
    let mut seen = Vec::new();
    let sent = thread::scope(|scope| {
        scope.spawn(|| count(&socket, &stop, &by_pod));
        let allowed = scope.spawn(|| flood(&net, 2, to, &stop));
        let denied = scope.spawn(|| flood(&net, 3, to, &stop));
        for number in 1..=ROUNDS {
            let mut next = round(number);
            let delta = Delta {
                addresses: next.state.addresses.clone(),
                programs: next.programs.keys().copied().collect(),
                programs_gone: policy.programs.keys().copied().collect(),
                ..Delta::default()
            };
            next.programs.extend(policy.programs.drain().filter(|(id, _)| id.0 / 10 + 1 == number));
            let report = datapath.publish(&next, &delta).expect("publish");
            assert!(report.is_complete(), "{report:?}");
            if number.is_multiple_of(10) {
                settle(&mut *datapath);
            }
            seen.extend(events(&mut *datapath));
            policy = next;
        }
        stop.store(true, Ordering::Relaxed);
        [allowed.join().expect("flood"), denied.join().expect("flood")]
    });
    seen.extend(events(&mut *datapath));
    let counters = datapath.counters().expect("counters");
    let [received, leaked] = [2, 3].map(|pod| by_pod[pod].load(Ordering::Relaxed));
    println!(
        "{backend}, {ROUNDS} publications: sent {sent:?}, received {received}, leaked {leaked}, {counters:?}"
    );
    assert!(sent[0] > 10_000 && sent[1] > 10_000 && received > 1000, "the traffic was real");
    assert_eq!(leaked, 0, "packets of pod 3 reached pod 1");
    let dropped: Vec<_> =
        seen.iter().filter(|e| e.source == pod4(2) && e.verdict == Verdict::Denied).collect();
    assert!(dropped.is_empty(), "packets of pod 2 were dropped: {:?}", dropped[0]);
    assert!(counters.denied_total() <= sent[1], "no more was denied than pod 3 sent");
    assert!(counters.allowed <= sent[0], "no more was allowed than pod 2 sent");
    assert_eq!(counters.denied_for(Reason::Policy), counters.denied_total(), "every denial has a row");
}

fn a_live_connection_is_cut_and_comes_back(backend: Backend) {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open_with(backend);
    let open = Policy::open(2).program(1, row(allowed(1)), &[]).pod(1, None, Some(1));
    open.publish_full(&mut *datapath);
    let mut stream = net.connection(2, (pod4(1), 80)).expect("a connection");
    assert!(ping_pong(&mut stream));
    events(&mut *datapath);
    let shut = Policy::open(2).program(2, row(denied(2)), &[]).pod(1, None, Some(2));
    let change = |policy: &Policy| Delta { addresses: policy.state.addresses.clone(), ..Delta::default() };
    datapath.publish(&shut, &change(&shut)).expect("publish");
    assert!(!ping_pong(&mut stream), "cut at its next packet");
    let cut = events(&mut *datapath).pop().expect("an event");
    assert!(cut.established && cut.verdict == Verdict::Denied, "{cut:?}");
    assert_eq!((cut.source, cut.destination_port), (pod4(2).into(), 80));
    let open = Policy::open(2).program(3, row(allowed(3)), &[]).pod(1, None, Some(3));
    datapath.publish(&open, &change(&open)).expect("publish");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    assert!(stream.read_exact(&mut [0; 4]).is_ok(), "TCP sends again what was dropped");
}

fn a_one_way_stream_is_cut_at_its_replies_too(backend: Backend) {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open_with(backend);
    Policy::open(2).publish_full(&mut *datapath);
    let mut stream = net.connection(2, (pod4(1), 80)).expect("a connection");
    assert!(ping_pong(&mut stream));
    let shut = Policy::open(2).program(1, row(denied(1)), &[]).pod(1, None, Some(1));
    shut.publish_full(&mut *datapath);
    events(&mut *datapath);
    assert!(!ping_pong(&mut stream));
    drop(stream);
    // The server's end closes in its own time: its packets are replies of a connection that is denied.
    let end = Instant::now() + Duration::from_secs(5);
    let mut seen = events(&mut *datapath);
    while !seen.iter().any(|event| event.reply) && Instant::now() < end {
        let _ = TcpStream::connect_timeout(&(pod4(1), 80).into(), Duration::from_millis(1));
        thread::sleep(Duration::from_millis(20));
        seen.extend(events(&mut *datapath));
    }
    assert!(seen.iter().all(|event| event.source == pod4(2) && event.destination == pod4(1)), "{seen:?}");
}

/// Set for the process that is killed: the pin directory and the network namespace.
const HOLD: &str = "PGDP_HOLD";

#[test]
fn filtering_survives_kill_9_and_the_next_process_adopts_it() {
    if let Ok(net) = env::var(HOLD) {
        hold(&net);
    }
    let net = Net::new(3);
    net.serve(1, 80);
    let held = format!("{} {}", net.pin_dir().display(), net.netns().display());
    let mut child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "filtering_survives_kill_9_and_the_next_process_adopts_it", "--nocapture"])
        .env(HOLD, held)
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut out = child.stdout.take().expect("stdout");
    let mut text = String::new();
    while !text.contains("HOLDING") {
        let mut buffer = [0; 256];
        let length = out.read(&mut buffer).expect("read");
        assert!(length > 0, "the process that holds the datapath ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    let busy = BpfDatapath::open(net.options()).map(drop);
    assert!(matches!(busy, Err(Error::InUse { .. })), "{busy:?}");
    let mut stream = net.connection(2, (pod4(1), 80)).expect("pod 2 is allowed");
    child.kill().expect("kill");
    child.wait().expect("wait");

    assert!(ping_pong(&mut stream), "what was allowed goes on");
    assert!(!net.tcp(3, (pod4(1), 80)), "what was denied stays so");
    let mut datapath = net.open();
    assert!(datapath.is_attached(), "adopted");
    assert!(ping_pong(&mut stream) && !net.tcp(3, (pod4(1), 80)), "adopting changes nothing");
    let seen = events(&mut datapath);
    assert!(seen.iter().any(|event| event.source == pod4(3)), "events of the time between are kept");
    let stale = datapath.publish(&Policy::default(), &Delta::default()).map(drop);
    assert!(matches!(stale, Err(Error::NeedsFull)), "{stale:?}");

    // The next engine counts its ids from the start again, and pod 3's address is free.
    let mut policy = Policy::open(2).program(1, row(denied(5)), &[(2, row(allowed(6)))]);
    policy = policy.pod(1, None, Some(1));
    policy.publish_full(&mut datapath);
    assert!(ping_pong(&mut stream));
    net.udp(3, (pod4(1), 80));
    assert_eq!(events(&mut datapath).pop().map(|event| event.reason), Some(Reason::UnknownPod));
    settle(&mut datapath);
    let rows = entries(&datapath, "rows");
    // Four default rows and one of its own.
    assert_eq!((rows, entries(&datapath, "addr4"), entries(&datapath, "lpm4")), (5, 2, 1), "swept");
}

/// What the process does that is killed.
fn hold(net: &str) -> ! {
    let (pin_dir, netns) = net.split_once(' ').expect("two paths");
    let mut datapath = BpfDatapath::open(BpfOptions {
        netns: Some(PathBuf::from(netns)),
        capacity: Capacity { addresses: 256, prefixes: 64, rows: 1024, ranges: 1 << 17, ring_bytes: 1 << 20 },
        pod_cidrs: vec![support::net("10.42.0.0/24"), support::net("fd42::/64")],
        ..BpfOptions::new(NODE, pin_dir)
    })
    .expect("open");
    let policy = Policy::open(3)
        .program(1, ports(UDP, &[(1, 2, denied(0)), (9, 9, allowed(4))], denied(1)), &[(2, row(allowed(2)))])
        .pod(1, None, Some(1));
    policy.publish_full(&mut datapath);
    // Killed between the flip and what settling would do.
    let delta = Delta { addresses: policy.state.addresses.clone(), ..Delta::default() };
    datapath.publish(&policy, &delta).expect("publish");
    println!("HOLDING");
    loop {
        thread::park();
    }
}

fn entries(datapath: &BpfDatapath, map: &str) -> usize {
    use libbpf_rs::{MapCore, MapHandle};
    let path = datapath.directory().join("maps").join(map);
    MapHandle::from_pinned_path(path).expect("open a map").keys().count()
}

#[test]
fn an_upgrade_under_traffic_leaks_and_drops_nothing() {
    const UPGRADES: u32 = 20;
    let net = Net::new(3);
    let policy = Policy::open(3).program(1, row(denied(1)), &[(2, row(allowed(2)))]).pod(1, None, Some(1));
    let options = |number: u32| {
        let options = net.options();
        let capacity = Capacity { rows: 1024 + number, ..options.capacity };
        BpfOptions { capacity, event_rate: EventRate { per_second: 0, burst: 0 }, ..options }
    };
    let mut datapath = BpfDatapath::open(options(0)).expect("open");
    policy.publish_full(&mut datapath);
    let socket = net.inside("pod1", || UdpSocket::bind((pod4(1), 80)).expect("bind"));
    let (stop, by_pod) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 4]);
    let to = SocketAddr::from((pod4(1), 80));
    let mut seen = Vec::new();
    let sent = thread::scope(|scope| {
        scope.spawn(|| count(&socket, &stop, &by_pod));
        let allowed = scope.spawn(|| flood(&net, 2, to, &stop));
        let denied = scope.spawn(|| flood(&net, 3, to, &stop));
        for number in 1..=UPGRADES {
            seen.extend(events(&mut datapath));
            drop(datapath);
            datapath = BpfDatapath::open(options(number)).expect("open the next");
            policy.publish_full(&mut datapath);
            seen.extend(events(&mut datapath));
            let directories = fs::read_dir(net.pin_dir()).expect("list").count();
            assert_eq!(directories, 1, "the old one is gone");
        }
        stop.store(true, Ordering::Relaxed);
        [allowed.join().expect("flood"), denied.join().expect("flood")]
    });
    let [received, leaked] = [2, 3].map(|pod| by_pod[pod].load(Ordering::Relaxed));
    println!(
        "{UPGRADES} upgrades: sent {sent:?}, received {received}, leaked {leaked}, events {}",
        seen.len()
    );
    assert!(sent[0] > 10_000 && sent[1] > 10_000 && received > 1000, "the traffic was real");
    assert_eq!(leaked, 0);
    assert!(seen.iter().any(|event| event.source == pod4(3)), "denials were reported");
    assert!(!seen.iter().any(|event| event.source == pod4(2) && event.verdict == Verdict::Denied));
}

#[test]
fn links_of_another_namespace_are_not_adopted() {
    let (net, other) = (Net::new(1), Net::new(1));
    let mut datapath = net.open();
    Policy::open(1).publish_full(&mut datapath);
    drop(datapath);
    for rows in [net.options().capacity.rows, 7] {
        let capacity = Capacity { rows, ..net.options().capacity };
        let options = BpfOptions { netns: Some(other.netns()), capacity, ..net.options() };
        let refused = BpfDatapath::open(options).map(drop);
        assert!(matches!(refused, Err(Error::OtherNamespace { .. })), "{refused:?}");
    }
}

#[test]
fn a_pin_directory_must_be_on_a_bpf_file_system() {
    let net = Net::new(0);
    let options = BpfOptions { pin_dir: env::temp_dir().join("pgdp-nowhere"), ..net.options() };
    let refused = BpfDatapath::open(options).map(drop);
    assert!(matches!(refused, Err(Error::NotBpffs { .. })), "{refused:?}");
}

fn removing_ends_the_filtering_and_leaves_nothing(backend: Backend) {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open_with(backend);
    Policy::open(2).program(1, row(denied(1)), &[]).pod(1, None, Some(1)).publish_full(&mut *datapath);
    assert!(!net.tcp(2, (pod4(1), 80)));
    drop(datapath);
    podgate_datapath::remove(&net.pin_dir(), Some(&net.netns())).expect("remove");
    assert!(net.tcp(2, (pod4(1), 80)));
    let left = fs::read_dir(net.pin_dir()).map_or(0, Iterator::count);
    assert_eq!(left, 0);
    podgate_datapath::remove(&net.pin_dir(), Some(&net.netns())).expect("remove again");
}

#[test]
fn connection_tracking_is_restored_when_somebody_took_it_away() {
    let net = Net::new(2);
    let mut datapath = net.open();
    Policy::open(2).publish_full(&mut datapath);
    net.nft("node", "delete table inet podgate");
    net.udp(2, (pod4(1), 80));
    assert!(datapath.counters().expect("counters").no_conntrack > 0);
    datapath.reassert().expect("reassert");
    let before = datapath.counters().expect("counters").no_conntrack;
    net.udp(2, (pod4(1), 80));
    assert_eq!(datapath.counters().expect("counters").no_conntrack, before);
}

fn a_row_of_a_class_that_is_new_to_a_program_takes_effect_with_the_class(backend: Backend) {
    let net = Net::new(3);
    net.serve(1, 80);
    let mut datapath = net.open_with(backend);
    let policy = Policy::open(2).program(1, row(denied(1)), &[]).pod(1, None, Some(1));
    policy.publish_full(&mut *datapath);
    assert!(!net.tcp(2, (pod4(1), 80)));
    let mut next = Policy::open(2).program(1, row(denied(1)), &[(70, row(allowed(2)))]).pod(1, None, Some(1));
    next = next.address(pod4(2).into(), 70, None, None, Some(NODE));
    let two = next.state.addresses.iter().filter(|(address, _)| *address == pod4(2)).cloned().collect();
    let delta = Delta { addresses: two, rows: vec![(ProgramId(1), ClassId(70))], ..Delta::default() };
    datapath.publish(&next, &delta).expect("publish");
    assert!(net.tcp(2, (pod4(1), 80)));
    let delta = Delta {
        addresses: vec![(pod4(2).into(), None)],
        rows_gone: vec![(ProgramId(1), ClassId(70))],
        ..Delta::default()
    };
    datapath.publish(&policy, &delta).expect("publish");
    assert!(!net.tcp(2, (pod4(1), 80)), "unknown now");
    settle(&mut *datapath);
    assert!(!net.tcp(2, (pod4(1), 80)), "and so it stays");
}
