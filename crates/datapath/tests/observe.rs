//! A second instance that only observes: it says what its tables would do, and does nothing. Needs root.

mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use podgate_datapath::{
    Backend, BpfDatapath, BpfOptions, Capacity, Datapath, Error, Event, EventRate, Mode, Reason,
    remove_observer,
};
use podgate_policy::{DeciderId, Direction, Verdict};
use support::*;

fn directory(net: &Net) -> PathBuf {
    net.pin_dir().with_file_name("staged")
}

fn options(net: &Net, allowed: bool) -> BpfOptions {
    BpfOptions { pin_dir: directory(net), mode: Mode::Observe { allowed }, ..net.options() }
}

fn observer(net: &Net, allowed: bool) -> BpfDatapath {
    BpfDatapath::open(options(net, allowed)).expect("open the observer")
}

/// Nothing may reach pod 1 but datagrams to port 53, from anywhere.
fn shut() -> Policy {
    Policy::open(3).program(5, ports(UDP, &[(53, 53, allowed(51))], denied(50)), &[]).pod(1, None, Some(5))
}

fn ends(event: &Event) -> (IpAddr, u16, IpAddr, u16, u8) {
    (event.source, event.source_port, event.destination, event.destination_port, event.protocol)
}

/// Ends what [`Net`] knows nothing of, before the network goes.
struct Staged<'a>(&'a Net);

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let removed = remove_observer(&directory(self.0));
        if !std::thread::panicking() {
            removed.expect("remove the observer");
        }
    }
}

#[test]
fn a_staged_default_deny_cuts_nothing_and_says_what_it_would_cut() {
    let net = Net::new(3);
    let _staged = Staged(&net);
    (1..=2).for_each(|pod| net.serve(pod, 80));
    net.serve(1, 53);
    let mut enforcing = net.open();
    Policy::open(3).publish_full(&mut enforcing);
    let mut staged = observer(&net, false);
    assert!(!staged.is_attached(), "nothing is attached before it is published");
    shut().publish_full(&mut staged);
    assert!(enforcing.is_attached() && staged.is_attached());

    for [one, two] in [[IpAddr::from(pod4(1)), pod4(2).into()], [pod6(1).into(), pod6(2).into()]] {
        assert!(net.tcp(2, (one, 80)) && net.udp(2, (one, 80)) && net.udp(3, (one, 53)));
        assert!(net.tcp(3, (two, 80)), "pod 2 isn't isolated");
        assert!(net.ping(3, one, 56));
    }
    let (happened, would_be) = (events(&mut enforcing), events(&mut staged));
    assert!(happened.iter().all(|event| event.verdict == Verdict::Allowed), "{happened:#?}");
    assert!(would_be.iter().all(|event| event.verdict == Verdict::Denied), "{would_be:#?}");
    let cut = would_be.iter().filter(|event| !event.established).count();
    assert_eq!(cut, 6, "TCP, UDP and a ping, in two families: {would_be:#?}");
    for event in &would_be {
        assert_eq!((event.ingress, event.denied_by), (DeciderId(50), Some(Direction::Ingress)));
        assert!(happened.iter().any(|other| ends(other) == ends(event)), "both tell of {event:?}");
    }
    let counters = enforcing.counters().expect("counters");
    assert_eq!(counters.denied_total(), 0);
    assert!(staged.counters().expect("counters").denied_for(Reason::Policy) > 6);
}

#[test]
fn it_sees_what_the_enforcing_one_drops() {
    let net = Net::new(3);
    let _staged = Staged(&net);
    net.serve(1, 80);
    let mut enforcing = net.open();
    shut().publish_full(&mut enforcing);
    let mut staged = observer(&net, true);
    Policy::open(3).program(6, row(allowed(61)), &[]).pod(1, None, Some(6)).publish_full(&mut staged);
    for pod in 2..=3 {
        assert!(!net.udp(pod, (pod4(1), 80)), "the policies in force decide");
    }
    assert!(net.tcp(1, (pod4(1), 80)), "a pod's own loopback is nobody's business");
    let (happened, would_be) = (events(&mut enforcing), events(&mut staged));
    let told = |events: &[Event]| events.iter().map(|e| (ends(e), e.verdict)).collect::<Vec<_>>();
    let opened: Vec<_> = told(&happened).into_iter().map(|(ends, _)| (ends, Verdict::Allowed)).collect();
    assert_eq!(told(&would_be), opened);
    assert_eq!(happened.len(), 2);
    assert!(would_be.iter().all(|event| event.ingress == DeciderId(61)));
}

#[test]
fn live_connections_go_on_and_leave_room_for_news_of_new_ones() {
    let net = Net::new(2);
    let _staged = Staged(&net);
    (80..=85).for_each(|port| net.serve(1, port));
    let mut enforcing = net.open();
    Policy::open(2).publish_full(&mut enforcing);
    let mut stream = net.connection(2, (pod4(1), 80)).expect("a connection");
    let rate = EventRate { per_second: 1, burst: 5 };
    let mut staged =
        BpfDatapath::open(BpfOptions { event_rate: rate, ..options(&net, false) }).expect("open");
    shut().publish_full(&mut staged);
    for _ in 0..200 {
        assert!(ping_pong(&mut stream), "nothing is cut");
    }
    for port in 81..=85 {
        assert!(net.udp(2, (pod4(1), port)));
    }
    let would_be = events(&mut staged);
    let (old, new): (Vec<_>, Vec<_>) = would_be.iter().partition(|event| event.established);
    assert!(old.iter().any(|event| event.destination_port == 80 && event.verdict == Verdict::Denied));
    let mut ports: Vec<u16> = new.iter().map(|event| event.destination_port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [81, 82, 83, 84, 85], "in spite of all that the old one has caused");
    let counters = staged.counters().expect("counters");
    assert!(counters.events_suppressed > 300, "{counters:?}");
    let sum = counters.events_submitted + counters.events_suppressed + counters.events_lost;
    assert_eq!(counters.events_attempted, sum);
    assert_eq!(counters.events_submitted, would_be.len() as u64);
    assert!(events(&mut enforcing).iter().all(|event| event.verdict == Verdict::Allowed));
}

#[test]
fn a_stream_of_datagrams_is_one_new_connection_and_then_an_established_one() {
    let net = Net::new(2);
    let _staged = Staged(&net);
    let mut enforcing = net.open();
    Policy::open(2).publish_full(&mut enforcing);
    let mut staged = observer(&net, false);
    shut().publish_full(&mut staged);
    let _sink = net.inside("pod1", || UdpSocket::bind((pod4(1), 90)).expect("bind"));
    net.inside("pod2", || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        (0..10).for_each(|_| assert!(socket.send_to(b"one way", (pod4(1), 90)).is_ok()));
    });
    let established: Vec<bool> = events(&mut staged).iter().map(|event| event.established).collect();
    assert_eq!(established, [&[false][..], &[true; 9]].concat());
}

#[test]
fn tables_without_room_let_everything_pass() {
    let net = Net::new(3);
    let _staged = Staged(&net);
    (1..=3).for_each(|pod| net.serve(pod, 80));
    let mut enforcing = net.open();
    Policy::open(3).publish_full(&mut enforcing);
    let capacity = Capacity { addresses: 1, prefixes: 1, rows: 1, ranges: 1, ring_bytes: 4096 };
    let mut staged = BpfDatapath::open(BpfOptions { capacity, ..options(&net, false) }).expect("open");
    let policy = shut();
    let report = staged.publish_full(&policy, &policy.state).expect("publish");
    assert!(!report.is_complete());
    for from in 1..=3 {
        for to in (1..=3).filter(|to| *to != from) {
            assert!(net.tcp(from, (pod4(to), 80)) && net.udp(from, (pod6(to), 80)));
        }
    }
    assert!(events(&mut staged).iter().any(|event| event.reason == Reason::TableFull));
}

#[test]
fn both_publish_on_their_own_and_either_goes_without_the_other() {
    let net = Net::new(3);
    net.serve(1, 80);
    let to: SocketAddr = (pod4(1), 80).into();
    let mut enforcing = net.open();
    shut().publish_full(&mut enforcing);
    let mut staged = observer(&net, false);
    Policy::open(3).publish_full(&mut staged);
    assert!(!net.tcp(2, to));
    Policy::open(3).publish_full(&mut enforcing);
    assert!(net.tcp(2, to));
    shut().publish_full(&mut staged);
    assert!(net.tcp(2, to));
    assert_eq!(staged.reassert().expect("reassert"), []);
    assert_eq!(enforcing.reassert().expect("reassert"), []);

    shut().publish_full(&mut enforcing);
    drop(staged);
    assert!(!net.tcp(2, to), "without its process");
    assert!(observer(&net, false).is_attached(), "it can be taken over");
    remove_observer(&directory(&net)).expect("remove");
    assert!(!net.tcp(2, to), "without its program");
    assert!(!observer(&net, false).is_attached());
    let before = enforcing.counters().expect("counters");
    assert!(net.udp(2, (pod4(1), 53)) == net.udp(2, (pod4(1), 53)));
    let after = enforcing.counters().expect("counters");
    assert_eq!(after.no_conntrack, before.no_conntrack, "connections are tracked as before");
    assert!(after.packets > before.packets);

    let mut staged = observer(&net, false);
    shut().publish_full(&mut staged);
    drop(enforcing);
    podgate_datapath::remove(&net.pin_dir(), Some(&net.netns())).expect("remove what enforces");
    assert!(net.tcp(2, to), "nothing enforces");
    drop(staged);
    remove_observer(&directory(&net)).expect("remove");
}

#[test]
fn neither_takes_the_others_directory() {
    let net = Net::new(2);
    let _staged = Staged(&net);
    let mut staged = observer(&net, false);
    shut().publish_full(&mut staged);
    drop(staged);
    let wrong = BpfDatapath::open(BpfOptions { pin_dir: directory(&net), ..net.options() });
    assert!(matches!(wrong, Err(Error::OtherMode { observes: true, .. })), "{:?}", wrong.err());
    let mut enforcing = net.open();
    shut().publish_full(&mut enforcing);
    drop(enforcing);
    let wrong = BpfDatapath::open(BpfOptions { pin_dir: net.pin_dir(), ..options(&net, false) });
    assert!(matches!(wrong, Err(Error::OtherMode { observes: false, .. })), "{:?}", wrong.err());
    let wrong = remove_observer(&net.pin_dir());
    assert!(matches!(wrong, Err(Error::OtherMode { observes: false, .. })), "{wrong:?}");
    assert!(net.open().is_attached(), "what enforces is there");
}

#[test]
fn it_observes_beside_nftables_too_and_nftables_cannot_observe() {
    let net = Net::new(2);
    let _staged = Staged(&net);
    net.serve(1, 80);
    let mut enforcing = net.open_with(Backend::Nft);
    shut().publish_full(&mut *enforcing);
    assert!(!enforcing.capabilities().observing);
    let mut staged = podgate_datapath::open(Backend::Auto, options(&net, true)).expect("open").datapath;
    assert!(staged.capabilities().observing);
    Policy::open(2).publish_full(&mut *staged);
    assert!(!net.tcp(2, (pod4(1), 80)), "nftables goes on to enforce");
    assert!(events(&mut *staged).iter().any(|event| event.verdict == Verdict::Allowed));
    drop(staged);
    let refused = podgate_datapath::open(Backend::Nft, options(&net, true)).err();
    assert!(matches!(refused, Some(Error::Settings(_))), "{refused:?}");
}
