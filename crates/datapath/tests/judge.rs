//! Real packets between pods are judged as the verdict tables say. Needs root.

mod support;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use podgate_datapath::{Backend, Datapath, Reason, UnknownPods};
use podgate_policy::{DeciderId, Direction, Verdict};
use support::raw::RawSockets;
use support::*;

with_both_backends! {
    headers_that_cannot_be_read_are_closed_for_isolated_pods_only
    a_pod_without_programs_is_open_and_one_with_is_judged
    a_rule_for_echo_requests_lets_their_replies_through_and_no_other_message
    egress_is_judged_before_ingress_and_both_must_allow
    the_default_row_for_pods_differs_from_the_one_for_others
    a_prefix_is_judged_by_its_class_and_the_longest_one_wins
    a_service_is_judged_by_its_backend
    related_icmp_errors_reach_a_pod_that_is_closed_for_ingress
    the_node_reaches_its_pods_and_neighbour_discovery_works
    an_unknown_pod_is_closed_or_open_by_setting
    programs_of_another_nodes_pods_are_not_asked_here
    a_pod_reaches_itself_as_far_as_its_program_says_of_that
    a_forged_own_address_is_not_taken_for_the_pod_itself
}

fn both(pod: usize) -> [IpAddr; 2] {
    [pod4(pod).into(), pod6(pod).into()]
}

fn a_pod_without_programs_is_open_and_one_with_is_judged(backend: Backend) {
    let net = Net::new(3);
    (1..=3).for_each(|pod| net.serve(pod, 80));
    let mut datapath = net.open_with(backend);
    let policy = Policy::open(3)
        .program(1, row(denied(7)), &[(2, ports(TCP, &[(80, 80, allowed(8))], denied(7)))])
        .pod(1, None, Some(1));
    policy.publish_full(&mut *datapath);
    for family in [0, 1] {
        let [one, two, three] = [1, 2, 3].map(|pod| both(pod)[family]);
        assert!(net.tcp(2, (one, 80)), "class 2 may reach port 80 of pod 1");
        assert!(!net.udp(2, (one, 80)), "but not by UDP");
        assert!(!net.tcp(3, (one, 80)), "class 3 may not");
        assert!(net.tcp(1, (three, 80)), "pod 1 isn't isolated for egress: replies pass");
        assert!(net.udp(1, (two, 80)));
        assert!(!net.ping(3, one, 56));
        assert!(net.ping(1, three, 56));
        assert!(net.ping(1, three, 4000), "fragments are put together before they are judged");
    }
    let seen = events(&mut *datapath);
    let open = seen.iter().find(|e| e.source == pod4(2) && e.verdict == Verdict::Allowed).expect("allowed");
    assert_eq!((open.ingress, open.destination_port, open.protocol), (DeciderId(8), 80, TCP));
    assert_eq!((open.egress, open.denied_by), (DeciderId::NOT_ISOLATED, None));
    assert_eq!(open.tcp_flags, 2, "a connection's first packet has SYN alone");
    assert!(open.source_is_local && open.destination_is_local && open.source_is_pod && !open.reply);
    let shut = seen.iter().find(|e| e.source == pod6(3) && e.protocol == TCP).expect("denied");
    assert_eq!((shut.verdict, shut.reason), (Verdict::Denied, Reason::Policy));
    assert_eq!((shut.ingress, shut.denied_by), (DeciderId(7), Some(Direction::Ingress)));
    assert_eq!(shut.tcp_flags, 2);
    assert!(seen.iter().filter(|e| e.protocol != TCP).all(|e| e.tcp_flags == 0));
    let ping = seen.iter().find(|e| e.protocol == ICMPV6 && e.destination == pod6(3)).expect("ping");
    assert_eq!((ping.icmp, ping.verdict, ping.source_port), (Some((128, 0)), Verdict::Allowed, 0));
    let connections = seen.iter().filter(|e| e.source == pod4(1) && e.protocol == TCP).count();
    assert_eq!(connections, 1, "one event for an allowed connection: {seen:#?}");
}

fn a_rule_for_echo_requests_lets_their_replies_through_and_no_other_message(backend: Backend) {
    let net = Net::new(3);
    let mut datapath = net.open_with(backend);
    let echo = |request| {
        ports(if request == 8 { ICMP } else { ICMPV6 }, &[(request, request, allowed(8))], denied(7))
    };
    let policy =
        Policy::open(3).program(1, row(denied(7)), &[(2, echo(8)), (3, echo(128))]).pod(1, Some(1), Some(1));
    policy.publish_full(&mut *datapath);
    assert!(net.ping(2, pod4(1), 56) && net.ping(1, pod4(2), 56), "type 8 is allowed with class 2");
    assert!(!net.ping(2, pod6(1), 56) && !net.ping(1, pod6(2), 56), "type 128 of ICMPv6 is not");
    assert!(net.ping(3, pod6(1), 56) && net.ping(1, pod6(3), 56), "type 128 is allowed with class 3");
    assert!(!net.ping(3, pod4(1), 56) && !net.ping(1, pod4(3), 56), "type 8 of ICMP is not");
}

fn egress_is_judged_before_ingress_and_both_must_allow(backend: Backend) {
    let net = Net::new(3);
    (1..=3).for_each(|pod| net.serve(pod, 80));
    let mut datapath = net.open_with(backend);
    let policy = Policy::open(3)
        .program(1, row(denied(10)), &[(2, row(allowed(12))), (3, row(allowed(13)))])
        .program(2, row(denied(20)), &[(1, row(allowed(21)))])
        .program(3, row(denied(30)), &[])
        .pod(1, Some(1), None)
        .pod(2, None, Some(2))
        .pod(3, None, Some(3));
    policy.publish_full(&mut *datapath);
    assert!(net.tcp(1, (pod4(2), 80)));
    assert!(!net.tcp(1, (pod4(3), 80)));
    assert!(net.tcp(3, (pod4(1), 80)), "replies of an egress-isolated pod pass");
    let seen = events(&mut *datapath);
    let open = seen.iter().find(|e| e.destination == pod4(2)).expect("allowed");
    assert_eq!((open.egress, open.ingress), (DeciderId(12), DeciderId(21)));
    let shut = seen.iter().find(|e| e.destination == pod4(3)).expect("denied");
    assert_eq!((shut.egress, shut.ingress), (DeciderId(13), DeciderId(30)));
    assert_eq!(shut.denied_by, Some(Direction::Ingress));
}

fn the_default_row_for_pods_differs_from_the_one_for_others(backend: Backend) {
    let net = Net::new(3);
    net.serve(1, 80);
    let mut datapath = net.open_with(backend);
    let mut policy = Policy::open(2).pod(1, None, Some(1));
    let mut program = podgate_policy::Program::new(row(allowed(1)), row(denied(2)));
    program.set_default_v6(row(denied(3)), row(allowed(4)));
    policy.programs.insert(podgate_policy::ProgramId(1), program);
    policy.publish_full(&mut *datapath);
    datapath.set_unknown_pods(UnknownPods::Open);
    assert!(!net.tcp(2, (pod4(1), 80)), "pod 2 is a pod");
    assert!(net.tcp(3, (pod4(1), 80)), "pod 3 isn't known as one");
    assert!(net.tcp(2, (pod6(1), 80)), "IPv6 has default rows of its own");
    assert!(!net.tcp(3, (pod6(1), 80)), "for others as well");
}

fn a_prefix_is_judged_by_its_class_and_the_longest_one_wins(backend: Backend) {
    let net = Net::new(3);
    net.serve(1, 80);
    let mut datapath = net.open_with(backend);
    let mut policy =
        Policy::open(1).program(1, row(denied(1)), &[(50, row(allowed(2)))]).pod(1, None, Some(1));
    policy.state.prefixes.push((support::net("10.42.0.12/31"), Some(podgate_policy::ClassId(50))));
    policy.state.prefixes.push((support::net("10.42.0.13/32"), Some(podgate_policy::ClassId(51))));
    policy.state.prefixes.push((support::net("fd42::12/127"), Some(podgate_policy::ClassId(50))));
    policy.publish_full(&mut *datapath);
    datapath.set_unknown_pods(UnknownPods::Open);
    assert!(net.tcp(2, (pod4(1), 80)));
    assert!(net.tcp(2, (pod6(1), 80)));
    assert!(!net.tcp(3, (pod4(1), 80)), "the /32 takes it out of the /31");
    let prefixes = vec![(support::net("10.42.0.13/32"), None)];
    policy.state.prefixes.retain(|(prefix, _)| *prefix != support::net("10.42.0.13/32"));
    let delta = podgate_policy::Delta { prefixes, ..Default::default() };
    datapath.publish(&policy, &delta).expect("publish");
    assert!(net.tcp(3, (pod4(1), 80)), "without the /32 the /31 says what it is");
    settle(&mut *datapath);
    assert!(net.tcp(3, (pod4(1), 80)));
}

fn a_service_is_judged_by_its_backend(backend: Backend) {
    let net = Net::new(3);
    net.serve(1, 8080);
    net.nft(
        "node",
        "table ip svc {
            chain in { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.42.0.11:8080; }
            chain out { type nat hook postrouting priority 100; ip saddr 10.42.0.11 ip daddr 10.42.0.11 masquerade; }
        }",
    );
    let mut datapath = net.open_with(backend);
    let policy = Policy::open(3)
        .program(1, row(denied(1)), &[(2, ports(TCP, &[(8080, 8080, allowed(2))], denied(1)))])
        .program(2, row(denied(3)), &[(1, ports(TCP, &[(8080, 8080, allowed(4))], denied(3)))])
        .pod(1, None, Some(1))
        .pod(2, Some(2), None);
    policy.publish_full(&mut *datapath);
    let service: SocketAddr = "10.96.0.1:80".parse().expect("address");
    assert!(net.tcp(2, service));
    assert!(!net.tcp(3, service));
    assert!(net.tcp(1, service), "a pod reaches itself through its Service");
    assert!(datapath.counters().expect("counters").to_itself > 0);
    let seen = events(&mut *datapath);
    let open = seen.iter().find(|e| e.source == pod4(2)).expect("allowed");
    assert_eq!((open.destination, open.destination_port), (pod4(1).into(), 8080));
    let told = datapath.capabilities().original_destination.then_some(service);
    assert_eq!(open.original_destination, told);
    let shut = seen.iter().find(|e| e.source == pod4(3)).expect("denied");
    assert_eq!((shut.verdict, shut.original_destination), (Verdict::Denied, told));
}

fn related_icmp_errors_reach_a_pod_that_is_closed_for_ingress(backend: Backend) {
    let net = Net::new(2);
    let mut datapath = net.open_with(backend);
    Policy::open(2).program(1, row(denied(1)), &[]).pod(1, None, Some(1)).publish_full(&mut *datapath);
    for to in both(2) {
        let error = net.inside("pod1", || {
            let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("any");
            let socket = UdpSocket::bind(any).expect("bind");
            socket.connect((to, 9)).expect("connect");
            socket.set_read_timeout(Some(Duration::from_secs(2))).expect("timeout");
            socket.send(b"nobody listens").expect("send");
            socket.recv(&mut [0; 8]).map_err(|error| error.kind())
        });
        assert_eq!(error, Err(ErrorKind::ConnectionRefused), "port unreachable from {to}");
    }
    assert!(datapath.counters().expect("counters").related >= 2);
}

fn the_node_reaches_its_pods_and_neighbour_discovery_works(backend: Backend) {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open_with(backend);
    let closed = Policy::open(2).program(1, row(denied(1)), &[]).pod(1, Some(1), Some(1));
    closed.publish_full(&mut *datapath);
    for to in both(1) {
        let reached = net.inside("node", || {
            std::net::TcpStream::connect_timeout(&(to, 80).into(), Duration::from_secs(1)).is_ok()
        });
        assert!(reached, "the node reaches {to}");
        assert!(!net.tcp(2, (to, 80)));
    }
    assert!(datapath.counters().expect("counters").own_node > 0);
}

fn an_unknown_pod_is_closed_or_open_by_setting(backend: Backend) {
    let net = Net::new(2);
    (1..=2).for_each(|pod| net.serve(pod, 80));
    let mut datapath = net.open_with(backend);
    let policy = Policy::open(1);
    policy.publish_full(&mut *datapath);
    for family in [0, 1] {
        assert!(!net.tcp(2, (both(1)[family], 80)));
        assert!(!net.tcp(1, (both(2)[family], 80)));
    }
    let reasons: Vec<Reason> = events(&mut *datapath).iter().map(|event| event.reason).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == Reason::UnknownPod), "{reasons:?}");
    datapath.set_unknown_pods(UnknownPods::Open);
    for family in [0, 1] {
        assert!(net.tcp(2, (both(1)[family], 80)));
    }
    datapath.set_unknown_pods(UnknownPods::Closed);
    assert!(!net.tcp(2, (pod4(1), 80)));
    let addresses = Policy::open(2).state.addresses.split_off(2);
    datapath.publish(&policy, &podgate_policy::Delta { addresses, ..Default::default() }).expect("publish");
    assert!(net.tcp(2, (pod4(1), 80)), "open as soon as it is known");
}

fn programs_of_another_nodes_pods_are_not_asked_here(backend: Backend) {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open_with(backend);
    let mut policy = Policy::open(2).program(1, row(denied(1)), &[]);
    policy = policy.address(pod4(1).into(), 1, None, Some(1), Some("node-b"));
    policy = policy.address(pod6(1).into(), 1, None, Some(1), None);
    policy.publish_full(&mut *datapath);
    assert!(net.tcp(2, (pod4(1), 80)), "node-b decides there");
    assert!(!net.tcp(2, (pod6(1), 80)), "an address without a node counts as this one's");
    let event = events(&mut *datapath).into_iter().find(|e| e.source == pod4(2)).expect("an event");
    assert!(event.destination_is_pod && !event.destination_is_local);
}

fn a_pod_reaches_itself_as_far_as_its_program_says_of_that(backend: Backend) {
    let net = Net::new(2);
    net.serve(1, 8080);
    net.serve(1, 8081);
    net.nft(
        "node",
        "table ip svc {
            chain in { type nat hook prerouting priority -100;
                ip daddr 10.96.0.1 tcp dport 80 dnat to 10.42.0.11:8080;
                ip daddr 10.96.0.1 tcp dport 81 dnat to 10.42.0.11:8081; }
            chain out { type nat hook postrouting priority 100; ip saddr 10.42.0.11 ip daddr 10.42.0.11 masquerade; }
        }",
    );
    let mut datapath = net.open_with(backend);
    let service = |port: u16| -> SocketAddr { ([10, 96, 0, 1], port).into() };
    let reached = || (net.tcp(1, service(80)), net.tcp(1, service(81)));
    // Both programs deny everything to everybody else; pod 1 has class 1.
    let closed = |policy: Policy| {
        policy.program(1, row(denied(1)), &[]).program(2, row(denied(2)), &[]).pod(1, Some(1), Some(2))
    };
    let only = |port: u16| ports(TCP, &[(port, port, denied(5))], allowed(0));
    closed(Policy::open(2)).publish_full(&mut *datapath);
    assert_eq!(reached(), (true, true), "a program without a word on it allows it");
    closed(Policy::open(2)).itself(1, only(8080), &[]).publish_full(&mut *datapath);
    assert_eq!(reached(), (false, true), "the default row of the egress program");
    closed(Policy::open(2)).itself(2, only(8080), &[(1, only(8081))]).publish_full(&mut *datapath);
    assert_eq!(reached(), (true, false), "the class's own row of the ingress program");
    let denial =
        events(&mut *datapath).into_iter().rfind(|event| event.verdict == Verdict::Denied).expect("a denial");
    assert_eq!((denial.source, denial.destination_port), (pod4(1).into(), 8081));
    closed(Policy::open(2)).publish_full(&mut *datapath);
    assert_eq!(reached(), (true, true), "nothing of the earlier rows is left");
}

fn a_forged_own_address_is_not_taken_for_the_pod_itself(backend: Backend) {
    let net = Net::new(2);
    net.serve(1, 80);
    net.nft(
        "pod2",
        "table ip forge {
            chain out { type filter hook postrouting priority 200; ip daddr 10.42.0.11 ip saddr set 10.42.0.11; }
        }",
    );
    let mut datapath = net.open_with(backend);
    Policy::open(2).program(1, row(denied(1)), &[]).pod(1, None, Some(1)).publish_full(&mut *datapath);
    assert!(!net.udp(2, (pod4(1), 80)));
    let counters = datapath.counters().expect("counters");
    assert_eq!((counters.to_itself, counters.denied_for(Reason::Policy)), (0, 1));
    let event = events(&mut *datapath).pop().expect("an event");
    assert_eq!((event.source, event.destination), (pod4(1).into(), pod4(1).into()));
}

fn headers_that_cannot_be_read_are_closed_for_isolated_pods_only(backend: Backend) {
    let net = Net::new(3);
    let mut datapath = net.open_with(backend);
    let policy = Policy::open(3).program(1, row(allowed(1)), &[]).pod(1, None, Some(1));
    policy.publish_full(&mut *datapath);
    let sockets = net.inside("pod2", RawSockets::open);
    // TCP whose ports end after two bytes.
    let send = |to: IpAddr, from: IpAddr| sockets.send(from, to, TCP, &[0, 80]);
    let told = |datapath: &mut dyn Datapath| {
        let counters = datapath.counters().expect("counters");
        (counters.denied_for(Reason::Unparsable), counters.denied_total(), counters.allowed)
    };
    for family in [0, 1] {
        send(both(1)[family], both(2)[family]);
        let event = events(&mut *datapath).pop().expect("an event");
        assert_eq!((event.reason, event.denied_by), (Reason::Unparsable, Some(Direction::Ingress)));
        assert_eq!((event.protocol, event.destination_port, event.no_conntrack), (TCP, 0, true));
        assert_eq!(event.ingress, DeciderId::NOT_ISOLATED, "no rule was asked");
    }
    assert_eq!(told(&mut *datapath), (2, 2, 0));
    for family in [0, 1] {
        send(both(3)[family], both(2)[family]);
    }
    assert_eq!(told(&mut *datapath), (2, 2, 2), "nothing isolates pod 3");
    assert_eq!(datapath.counters().expect("counters").unclassifiable, 4);
}
