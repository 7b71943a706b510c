//! What name servers answer to pods of this node is handed over, and nothing else. Needs root.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use podgate_datapath::{BpfDatapath, BpfOptions, Capacity, Datapath, DnsAnswers, DnsMessage, Error};
use support::raw::{RawSockets, first_packet};
use support::*;

fn options(net: &Net, ports: &[u16]) -> BpfOptions {
    BpfOptions {
        answers: Some(DnsAnswers { ports: ports.to_vec(), ..DnsAnswers::default() }),
        ..net.options()
    }
}

fn open(net: &Net) -> BpfDatapath {
    match BpfDatapath::open(options(net, &[53])) {
        Ok(datapath) => datapath,
        Err(Error::Verifier { log, .. }) => panic!("{log}"),
        Err(error) => panic!("{error}"),
    }
}

fn answers(datapath: &mut dyn Datapath) -> Vec<DnsMessage> {
    let mut answers = Vec::new();
    let count = datapath.poll_answers(&mut |answer| answers.push(answer)).expect("poll");
    assert_eq!(count, answers.len());
    answers
}

/// A question that the name servers of these tests answer with itself.
fn question(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// Asks by UDP and waits for the answer; the port asked from.
fn ask(net: &Net, pod: usize, to: SocketAddr, bytes: usize) -> u16 {
    net.inside(&format!("pod{pod}"), || {
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).expect("bind");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        socket.send_to(&question(bytes), to).expect("ask");
        let mut answer = vec![0; 65_536];
        let (length, _) = socket.recv_from(&mut answer).expect("an answer");
        assert_eq!(answer[..length], question(bytes));
        socket.local_addr().expect("an address").port()
    })
}

/// Asks by TCP, twice on one connection.
fn ask_by_tcp(net: &Net, pod: usize, to: SocketAddr, bytes: usize) -> u16 {
    let mut stream = net.connection(pod, to).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    for _ in 0..2 {
        stream.write_all(&question(bytes)).expect("ask");
        let mut answer = vec![0; bytes];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, question(bytes));
    }
    stream.local_addr().expect("an address").port()
}

/// Puts the payloads of a TCP connection where their numbers say.
#[track_caller]
fn assembled(answers: &[DnsMessage]) -> Vec<u8> {
    let first = answers.first().and_then(|answer| answer.tcp_seq).expect("a number");
    let mut bytes = Vec::new();
    for answer in answers {
        let at = answer.tcp_seq.expect("a number").wrapping_sub(first) as usize;
        assert_eq!(answer.length as usize, answer.payload.len(), "all of it");
        bytes.resize(bytes.len().max(at + answer.payload.len()), 0);
        bytes[at..at + answer.payload.len()].copy_from_slice(&answer.payload);
    }
    bytes
}

fn both(pod: usize) -> [IpAddr; 2] {
    [pod4(pod).into(), pod6(pod).into()]
}

#[test]
fn answers_by_udp_and_tcp_are_handed_over_in_both_families() {
    let net = Net::new(2);
    [53, 80].into_iter().for_each(|port| net.serve(1, port));
    let mut datapath = open(&net);
    assert!(datapath.capabilities().answers);
    Policy::open(2).publish_full(&mut datapath);
    for (server, client) in both(1).into_iter().zip(both(2)) {
        let to = SocketAddr::new(server, 53);
        for bytes in [1, 100, 512, 513, 1400, 4096] {
            let port = ask(&net, 2, to, bytes);
            let seen = answers(&mut datapath);
            assert_eq!(seen.len(), 1, "the answer and not the question: {seen:?}");
            assert_eq!((seen[0].server, seen[0].server_port, seen[0].protocol), (server, 53, UDP));
            assert_eq!((seen[0].client, seen[0].client_port, seen[0].tcp_seq), (client, port, None));
            assert_eq!((&seen[0].payload, seen[0].length), (&question(bytes), bytes as u32));
        }
        ask(&net, 2, to, 6000);
        let long = answers(&mut datapath).pop().expect("an answer");
        assert_eq!((long.payload, long.length), (question(DnsAnswers::MAX_PAYLOAD), 6000), "cut off");

        let port = ask_by_tcp(&net, 2, to, 1000);
        let seen = answers(&mut datapath);
        assert!(seen.iter().all(|answer| answer.client_port == port && answer.protocol == TCP));
        assert_eq!(assembled(&seen), [question(1000), question(1000)].concat());

        ask(&net, 2, (server, 80).into(), 10);
        assert_eq!(answers(&mut datapath), [], "another port is no name server's");
    }
    let counters = datapath.counters().expect("counters");
    assert_eq!(counters.answers_lost, 0);
    assert!(counters.answers_submitted >= 18);
}

#[test]
fn a_service_answers_as_its_backend_from_any_port_that_is_named() {
    let net = Net::new(2);
    net.serve(1, 5353);
    net.nft(
        "node",
        "table ip services {
           chain in {
             type nat hook prerouting priority -100;
             ip daddr 10.96.0.10 udp dport 53 dnat to 10.42.0.11:5353
           }
         }",
    );
    let mut datapath = BpfDatapath::open(options(&net, &[53, 8053, 5353])).expect("open");
    Policy::open(2).publish_full(&mut datapath);
    ask(&net, 2, "10.96.0.10:53".parse().expect("an address"), 40);
    let seen = answers(&mut datapath);
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].server, seen[0].server_port), (pod4(1).into(), 5353));
    assert_eq!(seen[0].payload, question(40));
}

#[test]
fn nobody_makes_an_answer_by_sending_one() {
    let net = Net::new(3);
    net.serve(1, 53);
    let mut datapath = open(&net);
    Policy::open(3).publish_full(&mut datapath);
    let sink = net.inside("pod2", || UdpSocket::bind((pod4(2), 4000)).expect("bind"));
    // Pod 3 claims to be the name server, and then is one that nobody asked.
    net.inside("pod3", || {
        let sockets = RawSockets::open();
        for from in both(1) {
            let to = if from.is_ipv4() { both(2)[0] } else { both(2)[1] };
            sockets.send(from, to, UDP, &first_packet(from, to, UDP, (53, 4000)));
        }
        let socket = UdpSocket::bind((pod4(3), 53)).expect("bind");
        socket.send_to(b"unasked", (pod4(2), 4000)).expect("send");
    });
    sink.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    let (_, from) = sink.recv_from(&mut [0; 64]).expect("it arrives");
    assert!([pod4(1), pod4(3)].iter().any(|pod| from.ip() == *pod));
    let allowed = || datapath.counters().expect("counters").allowed;
    // The first packet to a neighbour waits until its address is known.
    let patience = Instant::now() + Duration::from_secs(10);
    while allowed() < 3 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(allowed() >= 3, "{} were seen, and let through", allowed());
    assert_eq!(answers(&mut datapath), []);

    // What a policy denies doesn't reach the pod, and counts for nothing.
    let to: SocketAddr = (pod4(1), 53).into();
    let socket = net.inside("pod2", || UdpSocket::bind("0.0.0.0:0").expect("bind"));
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("timeout");
    socket.send_to(b"q", to).expect("ask");
    assert!(socket.recv_from(&mut [0; 64]).is_ok());
    assert_eq!(answers(&mut datapath).len(), 1);
    Policy::open(3).program(1, row(denied(1)), &[]).pod(2, Some(1), None).publish_full(&mut datapath);
    socket.send_to(b"q", to).expect("ask");
    assert!(socket.recv_from(&mut [0; 64]).is_err());
    assert_eq!(answers(&mut datapath), []);
}

/// A name server in the node's own network namespace that answers with what it is asked.
fn serve_on_the_node(net: &Net, at: SocketAddr) {
    let (tcp, udp) = net.inside("node", || {
        (TcpListener::bind(at).expect("bind tcp"), UdpSocket::bind(at).expect("bind udp"))
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&buffer[..length], from);
        }
    });
}

#[test]
fn the_nodes_own_name_server_is_heard_with_and_without_connection_tracking() {
    let net = Net::new(1);
    net.ip("node", "addr add 169.254.20.10/32 dev lo\naddr add fd42:0:0:1::53/128 dev lo nodad\n");
    let servers: [SocketAddr; 2] =
        ["169.254.20.10:53", "[fd42:0:0:1::53]:53"].map(|at| at.parse().expect("an address"));
    servers.into_iter().for_each(|at| serve_on_the_node(&net, at));
    let mut datapath = open(&net);
    Policy::open(1).publish_full(&mut datapath);
    for tracked in [true, false] {
        if !tracked {
            net.nft(
                "node",
                "table inet untracked {
                   chain in { type filter hook prerouting priority -300; udp dport 53 notrack; tcp dport 53 notrack; }
                   chain out { type filter hook output priority -300; udp sport 53 notrack; tcp sport 53 notrack; }
                 }",
            );
        }
        for (at, client) in servers.into_iter().zip(both(1)) {
            let port = ask(&net, 1, at, 200);
            let seen = answers(&mut datapath);
            assert_eq!(seen.len(), 1, "tracked: {tracked}, {at}");
            assert_eq!((seen[0].server, seen[0].server_port), (at.ip(), 53));
            assert_eq!((seen[0].client, seen[0].client_port), (client, port));
            assert_eq!(seen[0].payload, question(200));
            ask_by_tcp(&net, 1, at, 300);
            let seen = answers(&mut datapath);
            assert_eq!(assembled(&seen), [question(300), question(300)].concat(), "tracked: {tracked}");
        }
    }
}

#[test]
fn answers_without_room_are_counted() {
    let net = Net::new(2);
    net.serve(1, 53);
    let answers_option = DnsAnswers { ring_bytes: 16_384, ..DnsAnswers::default() };
    let options = BpfOptions { answers: Some(answers_option), ..net.options() };
    let mut datapath = BpfDatapath::open(options).expect("open");
    Policy::open(2).publish_full(&mut datapath);
    for bytes in [20, 2000] {
        for _ in 0..40 {
            ask(&net, 2, (pod4(1), 53).into(), bytes);
        }
    }
    let received = answers(&mut datapath).len() as u64;
    let counters = datapath.counters().expect("counters");
    assert_eq!(counters.answers_submitted, received);
    assert_eq!(counters.answers_submitted + counters.answers_lost, 80);
    assert!(received > 10 && counters.answers_lost > 10, "{counters:?}");
}

#[test]
fn without_the_setting_nothing_is_copied_and_an_upgrade_loses_no_answer() {
    let net = Net::new(2);
    net.serve(1, 53);
    let mut datapath = net.open();
    Policy::open(2).publish_full(&mut datapath);
    ask(&net, 2, (pod4(1), 53).into(), 10);
    assert_eq!(answers(&mut datapath), []);
    drop(datapath);

    let mut datapath = open(&net);
    Policy::open(2).publish_full(&mut datapath);
    ask(&net, 2, (pod4(1), 53).into(), 11);
    drop(datapath);
    let capacity = Capacity { rows: 2048, ..net.options().capacity };
    let mut datapath = BpfDatapath::open(BpfOptions { capacity, ..options(&net, &[53]) }).expect("open");
    Policy::open(2).publish_full(&mut datapath);
    ask(&net, 2, (pod4(1), 53).into(), 12);
    let lengths: Vec<u32> = answers(&mut datapath).iter().map(|answer| answer.length).collect();
    assert_eq!(lengths, [11, 12]);
    drop(datapath);

    for ports in [&[][..], &[0], &[1, 2, 3, 4, 5]] {
        let refused = BpfDatapath::open(options(&net, ports)).err();
        assert!(matches!(refused, Some(Error::Settings(_))), "{refused:?}");
    }
}
