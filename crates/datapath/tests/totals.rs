//! Totals by edge are exact: each packet is in exactly one take. Needs root.

mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podgate_datapath::{
    Backend, BpfDatapath, BpfOptions, Capacity, Datapath, EdgeTotal, Reason, Taken, Traffic,
};
use podgate_policy::{DeciderId, Direction, Verdict};
use support::*;

/// Who, to whom, by what, with which outcome.
type Edge = (IpAddr, IpAddr, u16, u8, Verdict);

/// What was taken so far.
#[derive(Default)]
struct Sums {
    edges: BTreeMap<String, (EdgeTotal, Traffic)>,
    all: Traffic,
    unattributed: Traffic,
}

impl Sums {
    fn take(&mut self, datapath: &mut dyn Datapath) -> Taken {
        let mut edges = 0;
        let taken = datapath.take_totals(&mut |total| {
            edges += 1;
            self.all += total.traffic;
            let key = EdgeTotal { traffic: Traffic::default(), ..total.clone() };
            let entry = self.edges.entry(format!("{key:?}")).or_insert((key, Traffic::default()));
            entry.1 += total.traffic;
        });
        let taken = taken.expect("take");
        assert_eq!(taken.edges, edges);
        self.all += taken.unattributed;
        self.unattributed += taken.unattributed;
        taken
    }

    /// Takes until everything that the kernel has counted is here.
    #[track_caller]
    fn take_all(&mut self, datapath: &mut dyn Datapath) {
        let patience = Instant::now() + Duration::from_secs(10);
        while self.all != datapath.counters().expect("counters").counted {
            let counters = datapath.counters().expect("counters");
            assert!(Instant::now() < patience, "took {:?}, counted {counters:?}", self.all);
            self.take(datapath);
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn of(&self, (source, destination, port, protocol, verdict): Edge) -> &(EdgeTotal, Traffic) {
        let mut found = self.edges.values().filter(|(edge, _)| {
            (edge.source, edge.destination, edge.destination_port, edge.protocol, edge.verdict)
                == (source, destination, port, protocol, verdict)
        });
        let first = found.next().unwrap_or_else(|| panic!("no such edge in {:#?}", self.edges));
        assert_eq!(found.next(), None, "one edge");
        first
    }
}

/// Counts, with rules of nftables at the same hook, what leaves the node for a protocol and port of a pod, and
/// what comes back from there.
fn count_with_nft(net: &Net, family: &str, pod: IpAddr, protocol: &str, port: u16) {
    net.nft(
        "node",
        &format!(
            "table {family} measure {{
               chain out {{
                 type filter hook postrouting priority 80;
                 {family} daddr {pod} {protocol} dport {port} counter comment \"there\"
                 {family} saddr {pod} {protocol} sport {port} counter comment \"back\"
               }}
             }}"
        ),
    );
}

/// Packets and bytes, there and back.
fn measured(net: &Net, family: &str) -> [(u64, u64); 2] {
    let output = Command::new("ip")
        .args(["netns", "exec", &net.ns("node"), "nft", "list", "table", family, "measure"])
        .output()
        .expect("nft");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ["there", "back"].map(|name| {
        let line = text.lines().find(|line| line.contains(name)).expect("a counter");
        let mut words = line.split(' ').skip_while(|word| *word != "packets");
        let mut number = || words.nth(1).and_then(|word| word.parse().ok()).expect("a number");
        (number(), number())
    })
}

/// Sends so many datagrams of so many bytes from one socket, and waits for as many answers if there should be any.
fn datagrams(net: &Net, from: usize, to: SocketAddr, count: u32, bytes: usize, answers: bool) {
    net.inside(&format!("pod{from}"), || {
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).expect("bind");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        for _ in 0..count {
            socket.send_to(&vec![7; bytes], to).expect("send");
            if answers {
                socket.recv_from(&mut [0; 2048]).expect("an answer");
            }
        }
    });
}

fn ends(family: usize) -> [IpAddr; 3] {
    [1, 2, 3].map(|pod| if family == 4 { pod4(pod).into() } else { pod6(pod).into() })
}

/// Pod 2 may reach pod 1 on port 80; pod 3 may not.
fn policy() -> Policy {
    Policy::open(3).program(1, row(denied(7)), &[(2, ports(UDP, &[(80, 80, allowed(8))], denied(7)))]).pod(
        1,
        None,
        Some(1),
    )
}

#[test]
fn datagrams_are_counted_to_the_byte_in_both_directions_and_families() {
    let net = Net::new(3);
    net.serve(1, 80);
    let mut datapath = net.open();
    policy().publish_full(&mut datapath);
    let mut sums = Sums::default();
    for (family, header) in [(4, 28), (6, 48)] {
        let [one, two, three] = ends(family);
        let to = SocketAddr::new(one, 80);
        datagrams(&net, 2, to, 5, 100, true);
        datagrams(&net, 2, to, 3, 1000, true);
        datagrams(&net, 3, to, 4, 60, false);
        sums.take_all(&mut datapath);

        let (open, traffic) = sums.of((two, one, 80, UDP, Verdict::Allowed));
        let bytes = 5 * (100 + header) + 3 * (1000 + header);
        let both = Traffic { connections: 2, packets: 8, bytes, reply_packets: 8, reply_bytes: bytes };
        assert_eq!(*traffic, both);
        assert_eq!((open.egress, open.ingress), (DeciderId::NOT_ISOLATED, DeciderId(8)));
        assert_eq!((open.denied_by, open.reason), (None, Reason::Policy));
        assert!(open.source_is_pod && open.source_is_local);
        assert!(open.destination_is_pod && open.destination_is_local);

        let (shut, traffic) = sums.of((three, one, 80, UDP, Verdict::Denied));
        let tried = Traffic { connections: 4, packets: 4, bytes: 4 * (60 + header), ..Traffic::default() };
        assert_eq!(*traffic, tried, "what is denied makes no connection: each one tries anew");
        assert_eq!((shut.ingress, shut.denied_by), (DeciderId(7), Some(Direction::Ingress)));
    }
    assert_eq!(sums.unattributed, Traffic::default());
}

#[test]
fn a_connection_is_counted_as_nftables_counts_it() {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open();
    Policy::open(2).publish_full(&mut datapath);
    let mut sums = Sums::default();
    for (family, name) in [(4, "ip"), (6, "ip6")] {
        let [one, two, _] = ends(family);
        count_with_nft(&net, name, one, "tcp", 80);
        for _ in 0..3 {
            let mut stream = net.connection(2, (one, 80)).expect("a connection");
            (0..50).for_each(|_| assert!(ping_pong(&mut stream)));
        }
        // Until the last FIN and its acknowledgement are through.
        let mut before = measured(&net, name);
        loop {
            thread::sleep(Duration::from_millis(100));
            let now = measured(&net, name);
            if std::mem::replace(&mut before, now) == now {
                break;
            }
        }
        sums.take_all(&mut datapath);
        let (_, traffic) = sums.of((two, one, 80, TCP, Verdict::Allowed));
        let [there, back] = measured(&net, name);
        assert_eq!(traffic.connections, 3);
        assert_eq!((traffic.packets, traffic.bytes), there);
        assert_eq!((traffic.reply_packets, traffic.reply_bytes), back);
        assert!(there.0 > 150 && back.0 > 150, "{there:?} {back:?}");
    }
}

#[test]
fn a_service_is_counted_at_its_backend() {
    let net = Net::new(2);
    net.serve(1, 8080);
    for (family, rule) in [
        ("ip", "ip daddr 10.96.0.1 udp dport 53 dnat to 10.42.0.11:8080"),
        ("ip6", "ip6 daddr fd96::1 udp dport 53 dnat to [fd42::11]:8080"),
    ] {
        net.nft(
            "node",
            &format!(
                "table {family} services {{
                   chain in {{
                     type nat hook prerouting priority -100;
                     {rule}
                   }}
                 }}"
            ),
        );
    }
    let mut datapath = net.open();
    Policy::open(2).publish_full(&mut datapath);
    let mut sums = Sums::default();
    for (family, service, header) in [(4, "10.96.0.1", 28), (6, "fd96::1", 48)] {
        let [one, two, _] = ends(family);
        let service = SocketAddr::new(service.parse().expect("an address"), 53);
        datagrams(&net, 2, service, 6, 30, true);
        sums.take_all(&mut datapath);
        let (_, traffic) = sums.of((two, one, 8080, UDP, Verdict::Allowed));
        let bytes = 6 * (30 + header);
        let both = Traffic { connections: 1, packets: 6, bytes, reply_packets: 6, reply_bytes: bytes };
        assert_eq!(*traffic, both);
    }
    assert!(!sums.edges.keys().any(|edge| edge.contains("10.96.0.1") || edge.contains("fd96::1")));
}

#[test]
fn under_a_flood_no_packet_is_lost_or_doubled_between_takes() {
    let net = Net::new(3);
    let mut datapath = net.open();
    policy().publish_full(&mut datapath);
    let one = pod4(1).into();
    count_with_nft(&net, "ip", one, "udp", 80);
    // Takes and drops all: nobody answers that the port is closed.
    let sink = net.inside("pod1", || UdpSocket::bind((pod4(1), 80)).expect("bind"));
    let (stop, mut sums, mut takes) = (AtomicBool::new(false), Sums::default(), 0);
    thread::scope(|scope| {
        for pod in [2, 3] {
            let (net, stop) = (&net, &stop);
            scope.spawn(move || {
                net.inside(&format!("pod{pod}"), || {
                    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
                    while !stop.load(Ordering::Relaxed) {
                        let _ = socket.send_to(b"flood", (one, 80));
                    }
                });
            });
        }
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            takes += u32::from(sums.take(&mut datapath).edges > 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
    thread::sleep(Duration::from_millis(100));
    sums.take_all(&mut datapath);
    drop(sink);
    let [there, _] = measured(&net, "ip");
    assert_eq!((sums.all.packets, sums.all.bytes), there, "as nftables has counted");
    let counters = datapath.counters().expect("counters");
    assert_eq!(sums.all.packets, counters.allowed + counters.denied_total());
    let (_, open) = sums.of((pod4(2).into(), one, 80, UDP, Verdict::Allowed));
    let (_, shut) = sums.of((pod4(3).into(), one, 80, UDP, Verdict::Denied));
    assert_eq!((open.connections, shut.connections), (1, shut.packets));
    assert!(takes > 10 && open.packets > 1000 && shut.packets > 1000, "{takes} takes, {:?}", sums.all);
}

#[test]
fn what_finds_no_room_is_told_and_sums_stay_exact() {
    let net = Net::new(2);
    let options = BpfOptions { totals: Some(4), ..net.options() };
    let mut datapath = BpfDatapath::open(options).expect("open");
    Policy::open(2).publish_full(&mut datapath);
    let mut sums = Sums::default();
    for _ in 0..2 {
        let before = sums.unattributed;
        for port in 1..=20 {
            datagrams(&net, 2, (pod4(1), 7000 + port).into(), 1, 10, false);
        }
        sums.take_all(&mut datapath);
        assert!(sums.unattributed.packets > before.packets, "20 edges in room for 4");
    }
    let counters = datapath.counters().expect("counters");
    assert_eq!(counters.unattributed, sums.unattributed);
    assert_eq!(sums.all.connections, 40);
    assert!(!sums.edges.is_empty(), "and what found room is told by edge");
}

#[test]
fn nothing_counted_is_lost_from_one_process_to_the_next() {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open();
    Policy::open(2).publish_full(&mut datapath);
    let send = |count| datagrams(&net, 2, (pod4(1), 80).into(), count, 10, true);
    let mut sums = Sums::default();
    send(1);
    // Ends the first count, which nobody takes before the process ends.
    sums.take(&mut datapath);
    thread::sleep(Duration::from_millis(100));
    sums.take(&mut datapath);
    send(2);
    drop(datapath);
    send(3);
    let mut datapath = net.open();
    send(4);
    sums.take_all(&mut datapath);
    let (_, traffic) = sums.of((pod4(2).into(), pod4(1).into(), 80, UDP, Verdict::Allowed));
    assert_eq!((traffic.connections, traffic.packets, traffic.reply_packets), (4, 10, 10));

    // An upgrade makes new tables, and takes what is in the old ones.
    send(5);
    drop(datapath);
    let capacity = Capacity { rows: 2048, ..net.options().capacity };
    let mut datapath = BpfDatapath::open(BpfOptions { capacity, ..net.options() }).expect("open");
    send(6);
    Policy::open(2).publish_full(&mut datapath);
    send(7);
    let patience = Instant::now() + Duration::from_secs(10);
    while sums.all.packets < 28 && Instant::now() < patience {
        sums.take(&mut datapath);
        thread::sleep(Duration::from_millis(5));
    }
    let (_, traffic) = sums.of((pod4(2).into(), pod4(1).into(), 80, UDP, Verdict::Allowed));
    assert_eq!((traffic.connections, traffic.packets, traffic.reply_packets), (7, 28, 28));
}

#[test]
fn nothing_is_counted_where_that_is_off_or_impossible() {
    let net = Net::new(2);
    net.serve(1, 80);
    let off = BpfOptions { totals: None, ..net.options() };
    let mut bpf = BpfDatapath::open(off).expect("open");
    assert!(bpf.capabilities().totals);
    Policy::open(2).publish_full(&mut bpf);
    assert!(net.udp(2, (pod4(1), 80)));
    assert_eq!(bpf.take_totals(&mut |total| panic!("{total:?}")).expect("take"), Taken::default());
    assert_eq!(bpf.counters().expect("counters").counted, Traffic::default());
    drop(bpf);

    let mut nft = net.open_with(Backend::Nft);
    assert!(!nft.capabilities().totals);
    Policy::open(2).publish_full(&mut *nft);
    assert!(net.udp(2, (pod4(1), 80)));
    assert_eq!(nft.take_totals(&mut |total| panic!("{total:?}")).expect("take"), Taken::default());
}
