//! Floods and full tables: what is lost is counted, what doesn't fit is closed. Needs root.

mod support;

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use podgate_datapath::{BpfDatapath, BpfOptions, Capacity, Datapath, EventRate, Reason};
use podgate_policy::{Delta, Verdict};
use support::test_run::{TestRun, packet};
use support::*;

fn flood(net: &Net, pod: usize, packets: usize) {
    net.inside(&format!("pod{pod}"), || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        for i in 0..packets {
            // Other ports, so that every packet is one of a new connection.
            let _ = socket.send_to(b"flood", (pod4(1), 1 + (i % 60_000) as u16));
        }
    });
}

fn closed_pod(net: &Net, ring_bytes: u32, event_rate: EventRate) -> BpfDatapath {
    let capacity = Capacity { ring_bytes, ..net.options().capacity };
    let mut datapath = BpfDatapath::open(BpfOptions { capacity, event_rate, ..net.options() }).expect("open");
    let policy = Policy::open(3).program(1, row(denied(1)), &[(3, row(allowed(3)))]).pod(1, None, Some(1));
    policy.publish_full(&mut datapath);
    datapath
}

#[test]
fn events_lost_in_a_flood_are_counted() {
    let net = Net::new(3);
    let mut datapath = closed_pod(&net, 8192, EventRate { per_second: 0, burst: 0 });
    let mut received = 0;
    for _ in 0..20 {
        flood(&net, 2, 500);
        flood(&net, 3, 100);
        received += events(&mut datapath).len() as u64;
    }
    let counters = datapath.counters().expect("counters");
    assert!(counters.events_lost > 1000, "the buffer was full: {counters:?}");
    assert_eq!(received, counters.events_submitted);
    assert_eq!(counters.events_attempted, received + counters.events_lost + counters.events_suppressed);
    assert_eq!(counters.events_suppressed, 0);
}

#[test]
fn a_source_that_floods_is_limited_and_others_are_not() {
    let net = Net::new(3);
    let mut datapath = closed_pod(&net, 1 << 20, EventRate { per_second: 50, burst: 20 });
    let mut seen = Vec::new();
    for _ in 0..5 {
        flood(&net, 2, 2000);
        net.ping(3, pod4(1), 56);
        thread::sleep(Duration::from_millis(100));
        seen.extend(events(&mut datapath));
    }
    flood(&net, 2, 1);
    seen.extend(events(&mut datapath));
    let counters = datapath.counters().expect("counters");
    let of_two: Vec<_> = seen.iter().filter(|event| event.source == pod4(2)).collect();
    assert!(of_two.len() >= 20 && of_two.len() < 500, "{} events of pod 2", of_two.len());
    assert!(seen.iter().any(|event| event.source == pod4(3) && event.verdict == Verdict::Allowed));
    let withheld: u64 = of_two.iter().map(|event| u64::from(event.suppressed)).sum();
    assert_eq!(withheld, counters.events_suppressed, "the source's next event tells how many");
    assert_eq!(counters.events_lost, 0);
    assert_eq!(counters.events_attempted, seen.len() as u64 + counters.events_suppressed);
}

#[test]
fn a_program_without_room_closes_its_pod_alone_until_there_is_room() {
    let net = Net::new(3);
    (1..=3).for_each(|pod| net.serve(pod, 80));
    let capacity = Capacity { rows: 12, ..net.options().capacity };
    let mut datapath = BpfDatapath::open(BpfOptions { capacity, ..net.options() }).expect("open");
    let many: Vec<_> = (1..=20).map(|class| (class, row(allowed(1)))).collect();
    let policy = Policy::open(3)
        .program(1, row(allowed(1)), &many)
        .program(2, row(allowed(2)), &[(9, row(denied(2)))])
        .pod(1, None, Some(1))
        .pod(2, None, Some(2));
    let report = datapath.publish_full(&policy, &policy.state).expect("publish");
    assert_eq!(report.closed, [std::net::IpAddr::from(pod4(1)), pod6(1).into()]);
    assert!(!net.tcp(3, (pod4(1), 80)), "closed, though policy allows it");
    assert!(net.tcp(3, (pod4(2), 80)), "the other pod isn't affected");
    assert!(net.tcp(1, (pod4(3), 80)), "nor the direction that has room");
    assert!(events(&mut datapath).iter().any(|event| event.reason == Reason::TableFull));

    let fits = Policy::open(3).program(3, row(allowed(3)), &many[..3]).pod(1, None, Some(3));
    let delta = Delta { addresses: fits.state.addresses.clone(), ..Delta::default() };
    let report = datapath.publish(&fits, &delta).expect("publish");
    assert!(report.is_complete(), "{report:?}");
    assert!(net.tcp(3, (pod4(1), 80)));
}

#[test]
fn a_row_without_room_closes_the_pods_of_its_program() {
    let net = Net::new(3);
    (1..=3).for_each(|pod| net.serve(pod, 80));
    let capacity = Capacity { rows: 5, ..net.options().capacity };
    let mut datapath = BpfDatapath::open(BpfOptions { capacity, ..net.options() }).expect("open");
    let policy = Policy::open(3).program(1, row(allowed(1)), &[(2, row(allowed(2)))]).pod(1, None, Some(1));
    policy.publish_full(&mut datapath);
    assert!(net.tcp(2, (pod4(1), 80)));
    let rows = [(2, row(allowed(2))), (3, row(allowed(3)))];
    let more = Policy::open(3).program(1, row(allowed(1)), &rows).pod(1, None, Some(1));
    let delta =
        Delta { rows: vec![(podgate_policy::ProgramId(1), podgate_policy::ClassId(3))], ..Delta::default() };
    let report = datapath.publish(&more, &delta).expect("publish");
    assert_eq!(report.closed.len(), 2, "{report:?}");
    assert!(!net.tcp(2, (pod4(1), 80)));
    let report = datapath.publish(&policy, &Delta::default()).expect("publish");
    assert!(report.is_complete(), "it fits again: {report:?}");
    assert!(net.tcp(2, (pod4(1), 80)));
}

#[test]
fn ranges_without_room_close_their_pod() {
    let net = Net::new(0);
    let capacity = Capacity { ranges: 10, ..net.options().capacity };
    let mut datapath = BpfDatapath::open(BpfOptions { capacity, ..net.options() }).expect("open");
    let list: Vec<_> = (1..=11).map(|i| (i * 10, i * 10, allowed(1))).collect();
    let policy = Policy::open(3)
        .program(1, ports(TCP, &list, allowed(0)), &[])
        .program(2, ports(TCP, &list[..10], denied(0)), &[])
        .pod(1, None, Some(1))
        .pod(2, None, Some(2));
    let report = datapath.publish_full(&policy, &policy.state).expect("publish");
    assert_eq!(report.closed, [std::net::IpAddr::from(pod4(1)), pod6(1).into()]);
    let run = TestRun::new(&datapath);
    let to = |pod| run.accepts(&packet(pod4(3).into(), pod4(pod).into(), TCP, &test_run::ports(1, 100)));
    assert!(!to(1) && to(2));
}

#[test]
fn an_address_without_room_is_closed_even_where_unknown_pods_are_open() {
    let net = Net::new(0);
    let capacity = Capacity { addresses: 4, ..net.options().capacity };
    let mut datapath = BpfDatapath::open(BpfOptions {
        capacity,
        unknown_pods: podgate_datapath::UnknownPods::Open,
        ..net.options()
    })
    .expect("open");
    Policy::open(2).publish_full(&mut datapath);
    let policy = Policy::open(3);
    let third: Vec<_> = policy.state.addresses[4..].to_vec();
    let delta = Delta { addresses: third.clone(), ..Delta::default() };
    let report = datapath.publish(&policy, &delta).expect("publish");
    assert_eq!(report.unplaced, [std::net::IpAddr::from(pod4(3)), pod6(3).into()]);
    let run = TestRun::new(&datapath);
    let passes = |from, to| run.accepts(&packet(from, to, TCP, &test_run::ports(1, 80)));
    assert!(passes(pod4(1).into(), pod4(2).into()));
    assert!(!passes(pod4(3).into(), pod4(1).into()) && !passes(pod6(1).into(), pod6(3).into()));
    assert!(passes(pod4(9).into(), pod4(1).into()), "an address that nobody named is another matter");
    assert_eq!(datapath.counters().expect("counters").denied_for(Reason::TableFull), 2);

    let gone = Delta { addresses: vec![(pod4(2).into(), None), (pod6(2).into(), None)], ..Delta::default() };
    datapath.publish(&policy, &gone).expect("publish");
    let report = datapath.publish(&policy, &Delta::default()).expect("publish");
    assert!(report.is_complete(), "{report:?}");
    assert!(passes(pod4(3).into(), pod4(1).into()));
}

#[test]
fn a_prefix_without_room_closes_only_pods_that_would_allow_more() {
    let net = Net::new(0);
    let capacity = Capacity { prefixes: 2, ..net.options().capacity };
    let mut datapath = BpfDatapath::open(BpfOptions { capacity, ..net.options() }).expect("open");
    let mut policy = Policy::open(3)
        .program(1, row(allowed(1)), &[(60, row(denied(2)))])
        .program(2, row(denied(3)), &[(60, row(allowed(4)))])
        .pod(1, None, Some(1))
        .pod(2, None, Some(2));
    policy.state.prefixes.push((support::net("192.0.2.0/24"), Some(podgate_policy::ClassId(60))));
    let report = datapath.publish_full(&policy, &policy.state).expect("publish");
    assert_eq!(report.unplaced_prefixes, [support::net("192.0.2.0/24")]);
    assert_eq!(report.closed, [std::net::IpAddr::from(pod4(1)), pod6(1).into()]);
    let run = TestRun::new(&datapath);
    let passes = |from: &str, pod| {
        let from = from.parse().expect("address");
        run.accepts(&packet(from, pod4(pod).into(), TCP, &test_run::ports(1, 80)))
    };
    assert!(!passes("192.0.2.1", 1) && !passes("198.51.100.1", 1), "closed");
    assert!(!passes("192.0.2.1", 2), "denied by default: narrower, not wider");
    let gone = Delta { prefixes: vec![(support::net("192.0.2.0/24"), None)], ..Delta::default() };
    let report = datapath.publish(&policy, &gone).expect("publish");
    assert!(report.is_complete(), "{report:?}");
    assert!(passes("198.51.100.1", 1));
}
