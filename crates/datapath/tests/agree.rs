//! Both backends and the engine's tables judge the same packets alike, through random lives of random clusters:
//! after every publication, with the same reasons and deciders. Needs root.
//!
//! `PODGATE_SEEDS=100` tries more clusters, `PODGATE_SEEDS=7..8` a certain one.

#![expect(clippy::print_stderr, reason = "how much was tried")]

mod support;

use std::collections::BTreeMap;
use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use podgate_bench::{Event as Change, Rng, random_events};
use podgate_datapath::{Backend, BpfOptions, Datapath, EventRate, Reason};
use podgate_policy::{
    ClassId, Cluster, DeciderId, Delta, Direction, Family, Identity, Kind, PortKey, Programs, Row, Settings,
    Verdict,
};
use support::raw::{RawSockets, first_packet};
use support::*;

/// The node that enforces: one of the generator's.
const HERE: &str = "n1";
const SCTP: u8 = 132;
/// Without ports, and nothing that conntrack looks into.
const PRIVATE: u8 = 99;
/// Packets of one round; each has a source port of its own.
const QUESTIONS: usize = 120;

/// What is told of a packet; `None`: nothing, and it passed.
type Told = Option<(Verdict, Option<Direction>, Reason, DeciderId, DeciderId)>;

/// By whom and with what.
type Asked = (IpAddr, IpAddr, u8, u16);

fn v4(third: u8, last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, third, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
}

/// Pods' addresses, nodes', and some outside.
fn address(rng: &mut Rng, state: &State, is_v4: bool) -> IpAddr {
    let known: Vec<IpAddr> =
        state.addresses.keys().filter(|known| known.is_ipv4() == is_v4).copied().collect();
    if !known.is_empty() && rng.percent(75) {
        return *rng.pick(&known);
    }
    let outside = ["192.0.2.1", "172.18.0.1", "10.0.1.1", "10.1.0.5"];
    let outside6 = ["2001:db8::1", "fd01::1", "fd00::1:5", "fd02::9"];
    match (rng.percent(60), is_v4) {
        (true, true) => v4(0, rng.below(16) as u8),
        (true, false) => v6(rng.below(16) as u16),
        (false, true) => rng.pick(&outside).parse().expect("an address"),
        (false, false) => rng.pick(&outside6).parse().expect("an address"),
    }
}

/// A Service, as the node translates it: these addresses and port 80 to those and 8080.
const SERVICES: [(&str, &str); 4] =
    [("10.96.0.1", "10.0.0.3"), ("10.96.0.2", "10.0.0.9"), ("fd96::1", "fd00::3"), ("fd96::2", "fd00::9")];

/// pod 1 sends from all addresses; pod 2 takes the packets for all, but for every pod from 10.0.0.8 and fd00::8 on:
/// those leave by the device they came in by.
fn network() -> Net {
    let net = Net::new(2);
    net.ip(
        "node",
        "route add default via 10.42.0.12 dev pod2 onlink\nroute add 10.0.0.8/29 via 10.42.0.11 dev pod1 onlink\n\
         route add ::/0 via fd42::12 dev pod2 onlink\nroute add fd00::8/125 via fd42::11 dev pod1 onlink\n",
    );
    let mut rules = String::new();
    for (family, services) in [("ip", &SERVICES[..2]), ("ip6", &SERVICES[2..])] {
        rules.push_str(&format!(
            "table {family} svc {{ chain in {{ type nat hook prerouting priority -100;\n"
        ));
        for (service, backend) in services {
            let to = if family == "ip" { format!("{backend}:8080") } else { format!("[{backend}]:8080") };
            rules.push_str(&format!("{family} daddr {service} tcp dport 80 dnat to {to};\n"));
            rules.push_str(&format!("{family} daddr {service} udp dport 80 dnat to {to};\n"));
        }
        rules.push_str("}\n}\n");
    }
    net.nft("node", &rules);
    // Until neighbours know each other, packets wait; and these have to be judged in the round that they are sent in.
    for pod in [IpAddr::from(pod4(2)), pod6(2).into()] {
        assert!((0..20).any(|_| net.ping(1, pod, 56)), "{pod} doesn't answer");
    }
    net
}

/// What deltas told.
#[derive(Default)]
struct State {
    addresses: BTreeMap<IpAddr, Identity>,
    prefixes: BTreeMap<IpNet, ClassId>,
}

impl State {
    fn apply(&mut self, delta: &Delta) {
        for (address, identity) in &delta.addresses {
            match identity {
                Some(identity) => _ = self.addresses.insert(*address, identity.clone()),
                None => _ = self.addresses.remove(address),
            }
        }
        for (prefix, class) in &delta.prefixes {
            match class {
                Some(class) => _ = self.prefixes.insert(prefix.trunc(), *class),
                None => _ = self.prefixes.remove(&prefix.trunc()),
            }
        }
    }

    fn class(&self, address: IpAddr) -> ClassId {
        if let Some(identity) = self.addresses.get(&address) {
            return identity.class;
        }
        let holds = self.prefixes.iter().filter(|(net, _)| net.contains(&address));
        *holds.max_by_key(|(net, _)| net.prefix_len()).expect("a default class").1
    }

    /// What the tables say, and the fixed cases.
    fn expect(&self, cluster: &Cluster, from: IpAddr, to: IpAddr, key: PortKey) -> Told {
        let shut = |direction, reason, egress, ingress| {
            Some((Verdict::Denied, Some(direction), reason, egress, ingress))
        };
        let none = DeciderId::NOT_ISOLATED;
        let known = |end| self.addresses.get(&end);
        let is_unknown = |end: IpAddr| known(end).is_none() && cidrs().iter().any(|net| net.contains(&end));
        if is_unknown(from) {
            return shut(Direction::Egress, Reason::UnknownPod, none, none);
        }
        if is_unknown(to) {
            return shut(Direction::Ingress, Reason::UnknownPod, none, none);
        }
        // Pods from here on are reached by the device that they are on.
        let here =
            |end: IpAddr| ["10.0.0.8/29", "fd00::8/125"].iter().any(|n| support::net(n).contains(&end));
        let itself = from == to && here(from);
        let ask = |own: IpAddr, other: IpAddr, egress: bool| {
            let identity = known(own).filter(|identity| is_here(identity))?;
            let program = if egress { identity.egress } else { identity.ingress };
            let program = cluster.program(program?)?;
            let kind = Kind { pod: known(other).is_some(), family: Family::of(other) };
            match itself {
                true => program.itself(self.class(other), kind.family).map(|row: &Row| row.outcome(key)),
                false => Some(program.outcome(self.class(other), kind, key)),
            }
        };
        let (egress, ingress) = (ask(from, to, true), ask(to, from, false));
        let decider =
            |outcome: Option<podgate_policy::Outcome>| outcome.map_or(none, |outcome| outcome.decider);
        let denies = |outcome: Option<podgate_policy::Outcome>| {
            outcome.is_some_and(|outcome| outcome.verdict == Verdict::Denied)
        };
        if denies(egress) {
            return shut(Direction::Egress, Reason::Policy, decider(egress), none);
        }
        if denies(ingress) {
            return shut(Direction::Ingress, Reason::Policy, decider(egress), decider(ingress));
        }
        let is_told = !itself && (known(from).is_some() || known(to).is_some());
        is_told.then(|| (Verdict::Allowed, None, Reason::Policy, decider(egress), decider(ingress)))
    }
}

fn is_here(identity: &Identity) -> bool {
    identity.node.as_deref().is_none_or(|node| node == HERE)
}

fn cidrs() -> [IpNet; 2] {
    [support::net("10.0.0.0/28"), support::net("fd00::/124")]
}

/// What one backend told in one life, and what it should have.
#[derive(Default)]
struct Life {
    told: BTreeMap<Asked, Told>,
    expected: BTreeMap<Asked, Told>,
}

fn live(seed: u64, backend: Backend) -> Life {
    let net = network();
    let options = BpfOptions {
        node: HERE.to_owned(),
        pod_cidrs: cidrs().to_vec(),
        event_rate: EventRate { per_second: 0, burst: 0 },
        ..net.options()
    };
    let mut datapath = podgate_datapath::open(backend, options).expect("open").datapath;
    let sockets = net.inside("pod1", RawSockets::open);
    let (mut cluster, mut state, mut life) =
        (Cluster::new(Settings::default()), State::default(), Life::default());
    let (mut rng, mut port, mut is_first) = (Rng::new(seed ^ 0xa9ee), 1000, true);
    for change in random_events(seed, 40) {
        match change {
            Change::Apply(object) => cluster.apply(*object),
            Change::Delete(key) => cluster.delete(&key),
            Change::Bind(name, addresses) => _ = cluster.bind(name, &addresses),
            Change::Commit => {
                let delta = cluster.commit();
                let published = match std::mem::take(&mut is_first) {
                    true => datapath.publish_full(&cluster, &delta),
                    false => datapath.publish(&cluster, &delta),
                };
                assert!(published.expect("publish").is_complete());
                state.apply(&delta);
                if rng.percent(30) {
                    settle(&mut *datapath);
                }
                ask(&mut rng, &mut port, &sockets, &state, &cluster, &mut life);
                hear(&mut *datapath, &mut life);
            }
        }
    }
    let counters = datapath.counters().expect("counters");
    assert_eq!((counters.events_lost, counters.events_suppressed), (0, 0), "{counters:?}");
    life
}

fn ask(
    rng: &mut Rng,
    port: &mut u16,
    sockets: &RawSockets,
    state: &State,
    cluster: &Cluster,
    life: &mut Life,
) {
    for _ in 0..QUESTIONS {
        let is_v4 = rng.percent(60);
        let (from, mut to) = (address(rng, state, is_v4), address(rng, state, is_v4));
        if from == to {
            continue;
        }
        // Only this node's pods reach themselves here.
        if rng.percent(10) && state.addresses.get(&from).is_some_and(is_here) {
            to = from;
        }
        let protocol =
            *rng.pick(&[TCP, TCP, TCP, UDP, UDP, SCTP, if is_v4 { ICMP } else { ICMPV6 }, PRIVATE]);
        let mut target = *rng.pick(&[80, 80, 81, 443, 8080, 8080, 53, 5000, 0, 65535]);
        let mut sent_to = to;
        // What a Service leads to.
        if rng.percent(15) && (protocol == TCP || protocol == UDP) {
            let services: Vec<_> = SERVICES.iter().filter(|(s, _)| s.contains('.') == is_v4).collect();
            let (service, backend) = **rng.pick(&services);
            sent_to = service.parse().expect("an address");
            to = backend.parse().expect("an address");
            if from == to && !state.addresses.get(&from).is_some_and(is_here) {
                continue;
            }
            target = 80;
        }
        let known = [(from, to, protocol, 0), (to, from, protocol, 0)];
        if protocol == PRIVATE && known.iter().any(|known| life.expected.contains_key(known)) {
            continue;
        }
        *port += 1;
        let with_ports = [TCP, UDP, SCTP].contains(&protocol);
        sockets.send(from, sent_to, protocol, &first_packet(from, sent_to, protocol, (*port, target)));
        let key = match protocol {
            ICMP => PortKey::new(ICMP, 8),
            ICMPV6 => PortKey::new(ICMPV6, 128),
            _ if with_ports => PortKey::new(protocol, if sent_to == to { target } else { 8080 }),
            _ => PortKey::new(protocol, 0),
        };
        let asked = (from, to, protocol, if with_ports { *port } else { 0 });
        let expected = state.expect(cluster, from, to, key);
        // A ping has another number each time. What has no numbers is a known connection the second
        // time, and was left out above.
        life.told.remove(&asked);
        life.expected.insert(asked, expected);
    }
}

/// Takes events until none come any more.
fn hear(datapath: &mut dyn Datapath, life: &mut Life) {
    let mut quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(20) {
        for event in events(datapath) {
            quiet = Instant::now();
            let with_ports = [TCP, UDP, SCTP].contains(&event.protocol);
            let port = if with_ports { event.source_port } else { 0 };
            let asked = (event.source, event.destination, event.protocol, port);
            let told = Some((event.verdict, event.denied_by, event.reason, event.egress, event.ingress));
            // Others are the kernels' own: neighbour discovery of the namespaces, and what they answer.
            if life.expected.contains_key(&asked) {
                life.told.insert(asked, told);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn seeds() -> Range<u64> {
    let text = env::var("PODGATE_SEEDS").unwrap_or_else(|_| "4".to_owned());
    let number = |text: &str| text.parse().expect("PODGATE_SEEDS is a number, or two with .. between them");
    text.split_once("..").map_or_else(|| 0..number(&text), |(first, end)| number(first)..number(end))
}

#[test]
fn both_backends_and_the_tables_agree_on_every_packet() {
    let (mut allowed, mut denied, mut silent) = (0, 0, 0);
    for seed in seeds() {
        let lives = [Backend::Bpf, Backend::Nft].map(|backend| (backend, live(seed, backend)));
        for (backend, life) in &lives {
            let mut wrong = Vec::new();
            for (asked, expected) in &life.expected {
                let told = life.told.get(asked).copied().flatten();
                if told != *expected {
                    wrong.push(format!("{asked:?}: told {told:?}, expected {expected:?}"));
                }
                match expected {
                    Some((Verdict::Allowed, ..)) => allowed += 1,
                    Some((Verdict::Denied, ..)) => denied += 1,
                    None => silent += 1,
                }
            }
            assert!(wrong.is_empty(), "seed {seed}, {backend}, {}:\n{}", wrong.len(), wrong.join("\n"));
        }
        let [(_, bpf), (_, nft)] = &lives;
        assert!(bpf.expected.keys().eq(nft.expected.keys()), "both were asked the same");
    }
    eprintln!("{allowed} allowed, {denied} denied, {silent} allowed without an event");
    assert!(allowed > 100 && denied > 100 && silent > 10, "this shows little");
}
