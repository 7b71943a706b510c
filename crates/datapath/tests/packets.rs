//! The kernel program agrees with the verdict tables on every port, and knows odd packets. Needs root.

mod support;

use std::net::IpAddr;

use podgate_datapath::{Datapath, Reason};
use podgate_policy::{ClassId, Family, Kind, PortKey, PortRange, Row, Verdict};
use proptest::prelude::*;
use support::test_run::{TestRun, packet};
use support::*;

const SCTP: u8 = 132;

fn upper(protocol: u8, port: u16) -> Vec<u8> {
    match protocol {
        ICMP | ICMPV6 => vec![8; 20],
        _ => test_run::ports(40_000, port),
    }
}

/// Up to 40,000 ranges that may touch each other and the ends.
fn any_row() -> impl Strategy<Value = Row> {
    let cut = prop_oneof![
        3 => (0u32..=2, any::<u16>()).prop_map(|(p, port)| [6, 17, 132][p as usize] << 16 | u32::from(port)),
        1 => 0u32..=PortKey::MAX.0,
        1 => prop_oneof![Just(0), Just(0x6_0000), Just(0x6_ffff), Just(0x11_0000), Just(PortKey::MAX.0)],
    ];
    (proptest::collection::btree_set(cut, 0..60), any::<bool>(), any::<u32>()).prop_map(
        |(cuts, otherwise, seed)| {
            let cuts: Vec<u32> = cuts.into_iter().collect();
            let outcome = |i: usize| match (seed >> (i % 31)) & 1 {
                0 => denied(i as u64),
                _ => allowed(i as u64),
            };
            let ranges = cuts
                .chunks(2)
                .enumerate()
                .map(|(i, cut)| PortRange {
                    lo: PortKey(cut[0]),
                    hi: PortKey(*cut.last().unwrap_or(&cut[0])),
                    outcome: outcome(i),
                })
                .collect();
            Row { ranges, otherwise: if otherwise { allowed(999) } else { denied(999) } }
        },
    )
}

#[test]
fn kernel_and_tables_agree_on_random_rows() {
    let net = Net::new(0);
    let mut datapath = net.open();
    Policy::open(2).publish_full(&mut datapath);
    let run = TestRun::new(&datapath);
    let ends: [(IpAddr, IpAddr); 2] = [(pod4(2).into(), pod4(1).into()), (pod6(2).into(), pod6(1).into())];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(48));
    let datapath = std::cell::RefCell::new(&mut datapath);
    runner
        .run(&(any_row(), any_row(), any::<bool>()), |(own, default, has_row)| {
            let rows = if has_row { vec![(2, own.clone())] } else { vec![] };
            let policy = Policy::open(2).program(1, default.clone(), &rows).pod(1, None, Some(1));
            policy.publish_full(*datapath.borrow_mut());
            let program = &policy.programs[&podgate_policy::ProgramId(1)];
            let mut keys = vec![PortKey::new(TCP, 0), PortKey::new(UDP, 65535), PortKey::new(47, 0)];
            for range in own.ranges.iter().chain(&default.ranges) {
                for key in [range.lo.0.saturating_sub(1), range.lo.0, range.hi.0, range.hi.0 + 1] {
                    keys.push(PortKey(key & PortKey::MAX.0));
                }
            }
            for key in keys {
                // ICMP and extension headers are other tests'; other protocols have port 0 in the kernel.
                let with_ports = [TCP, UDP, SCTP].contains(&key.protocol());
                if [0, 1, 43, 44, 50, 51, 58, 60, 135, 139, 140].contains(&key.protocol()) {
                    continue;
                }
                let key = if with_ports { key } else { PortKey::new(key.protocol(), 0) };
                let kind = Kind { pod: true, family: Family::V4 };
                let expected = program.outcome(ClassId(2), kind, key).verdict == Verdict::Allowed;
                for (from, to) in ends {
                    let bytes = packet(from, to, key.protocol(), &upper(key.protocol(), key.port()));
                    prop_assert_eq!(run.accepts(&bytes), expected, "{:?} to {}", key, to);
                }
            }
            Ok(())
        })
        .expect("kernel and tables agree");
}

#[test]
fn the_search_finds_one_range_many_ranges_and_both_ends() {
    let net = Net::new(0);
    let mut datapath = net.open();
    let allows = |lo, hi| (lo, hi, allowed(1));
    let many: Vec<_> = (1..=32_767u16).map(|i| allows(2 * i, 2 * i)).collect();
    let cases = [
        (vec![allows(65_535, 65_535)], vec![65_535], vec![0, 1, 65_534]),
        (vec![allows(0, 0)], vec![0], vec![1, 65_535]),
        (vec![allows(1, 65_535)], vec![1, 443, 65_535], vec![0]),
        (vec![allows(1, 1), allows(65_535, 65_535)], vec![1, 65_535], vec![2, 65_534]),
        (many, vec![2, 4, 32_768, 65_532, 65_534], vec![0, 1, 3, 32_769, 65_533, 65_535]),
    ];
    let run = {
        Policy::open(2).publish_full(&mut datapath);
        TestRun::new(&datapath)
    };
    for (list, open, shut) in cases {
        let policy = Policy::open(2).program(1, ports(TCP, &list, denied(0)), &[]).pod(1, None, Some(1));
        policy.publish_full(&mut datapath);
        let accepts = |protocol, port| {
            run.accepts(&packet(pod4(2).into(), pod4(1).into(), protocol, &upper(protocol, port)))
        };
        for port in open {
            assert!(accepts(TCP, port), "{} ranges, port {port}", list.len());
            assert!(!accepts(UDP, port) && !accepts(SCTP, port), "{} ranges, port {port}", list.len());
        }
        for port in shut {
            assert!(!accepts(TCP, port), "{} ranges, port {port}", list.len());
        }
    }
}

#[test]
fn headers_before_the_ports_are_skipped() {
    let net = Net::new(0);
    let mut datapath = net.open();
    Policy::open(2)
        .program(1, ports(TCP, &[(80, 80, allowed(1))], denied(0)), &[])
        .pod(1, None, Some(1))
        .publish_full(&mut datapath);
    let run = TestRun::new(&datapath);
    let v6 = |next: u8, chain: &[u8], port: u16| {
        let bytes = [chain, &upper(TCP, port)].concat();
        run.accepts(&packet(pod6(2).into(), pod6(1).into(), next, &bytes))
    };
    let hop_by_hop = [60, 0, 1, 4, 0, 0, 0, 0];
    let destination = [43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let routing = [51, 0, 2, 0, 0, 0, 0, 0];
    let authentication = [TCP, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let chain = [&hop_by_hop[..], &destination, &routing, &authentication].concat();
    assert!(v6(0, &chain, 80));
    assert!(!v6(0, &chain, 81));
    let whole = [TCP, 0, 0, 0, 0, 0, 0, 9];
    assert!(v6(44, &whole, 80), "an atomic fragment is a whole packet");
    let eight = [[60u8, 0, 1, 4, 0, 0, 0, 0].repeat(7), vec![TCP, 0, 1, 4, 0, 0, 0, 0]].concat();
    assert!(v6(60, &eight, 80));
    let nine = [[60u8, 0, 1, 4, 0, 0, 0, 0].repeat(8), vec![TCP, 0, 1, 4, 0, 0, 0, 0]].concat();
    assert!(!v6(60, &nine, 80), "more headers than anyone sends");

    let v4 = |words: u8, port: u16| {
        let mut bytes = packet(pod4(2).into(), pod4(1).into(), TCP, &[]);
        bytes[0] = 0x40 | words;
        bytes.resize(usize::from(words) * 4, 1);
        bytes.extend(upper(TCP, port));
        run.accepts(&bytes)
    };
    for words in [5, 6, 15] {
        assert!(v4(words, 80) && !v4(words, 81), "{words} words of IPv4 header");
    }
}

#[test]
fn what_cannot_be_classified_is_dropped_for_isolated_pods_only() {
    let net = Net::new(0);
    let mut datapath = net.open();
    Policy::open(3).program(1, row(allowed(1)), &[]).pod(1, None, Some(1)).publish_full(&mut datapath);
    let run = TestRun::new(&datapath);
    let mut later_fragment = packet(pod4(2).into(), pod4(1).into(), TCP, &upper(TCP, 80));
    later_fragment[7] = 1;
    let mut short_header = packet(pod4(2).into(), pod4(1).into(), TCP, &upper(TCP, 80));
    short_header[0] = 0x44;
    let odd = [
        (Reason::Fragment, later_fragment),
        (
            Reason::Fragment,
            packet(pod6(2).into(), pod6(1).into(), 44, &[TCP, 0, 0, 8, 0, 0, 0, 9, 0, 80, 0, 80]),
        ),
        (Reason::Unparsable, short_header),
        (Reason::Unparsable, packet(pod4(2).into(), pod4(1).into(), TCP, &[0, 80])),
        (Reason::Unparsable, packet(pod6(2).into(), pod6(1).into(), 60, &[TCP, 200, 0, 0, 0, 0, 0, 0])),
    ];
    for (reason, mut bytes) in odd {
        let before = datapath.counters().expect("counters").denied_for(reason);
        assert!(!run.accepts(&bytes), "{reason:?}: {bytes:02x?}");
        assert_eq!(datapath.counters().expect("counters").denied_for(reason), before + 1, "{bytes:02x?}");
        let (source, last) = if bytes[0] >> 4 == 4 { (15, 19) } else { (23, 39) };
        bytes[source] += 1;
        bytes[last] += 1;
        assert!(run.accepts(&bytes), "pods 3 and 2 aren't isolated: {bytes:02x?}");
    }
}

#[test]
fn neighbour_discovery_passes_and_what_only_looks_like_it_does_not() {
    let net = Net::new(0);
    let mut datapath = net.open();
    let closed = Policy::open(2).program(1, row(denied(1)), &[]).pod(1, Some(1), Some(1));
    closed.publish_full(&mut datapath);
    let run = TestRun::new(&datapath);
    let icmp = |kind: u8, hop_limit: u8| {
        let mut bytes = packet(pod6(2).into(), pod6(1).into(), ICMPV6, &[kind, 0, 0, 0, 0, 0, 0, 0]);
        bytes[7] = hop_limit;
        run.accepts(&bytes)
    };
    for kind in 133..=137 {
        assert!(icmp(kind, 255) && !icmp(kind, 254) && !icmp(kind, 1), "type {kind}");
    }
    for kind in [130, 131, 132, 143] {
        assert!(icmp(kind, 1) && !icmp(kind, 255) && !icmp(kind, 2), "type {kind}");
    }
    for kind in [1, 2, 3, 4, 128, 129, 138, 142, 144, 255] {
        assert!(!icmp(kind, 255) && !icmp(kind, 1), "type {kind}");
    }
}
