//! Real packets between pods are judged as the verdict tables say. Needs root.

mod support;

use podgate_policy::{DeciderId, Direction, Verdict};
use support::*;

#[test]
fn a_pod_without_programs_is_open_and_one_with_is_judged() {
    let net = Net::new(3);
    (1..=3).for_each(|pod| net.serve(pod, 80));
    let mut datapath = net.open();
    let policy = Policy::open(3)
        .program(1, row(denied(7)), &[(2, ports(TCP, &[(80, 80, allowed(8))], denied(7)))])
        .pod(1, None, Some(1));
    policy.publish_full(&mut datapath);
    for (one, two, three) in
        [(pod4(1).into(), pod4(2).into(), pod4(3).into()), (pod6(1).into(), pod6(2).into(), pod6(3).into())]
    {
        let [one, two, three]: [std::net::IpAddr; 3] = [one, two, three];
        assert!(net.tcp(2, (one, 80)), "class 2 may reach port 80 of pod 1");
        assert!(!net.udp(2, (one, 80)), "but not by UDP");
        assert!(!net.tcp(3, (one, 80)), "class 3 may not");
        assert!(net.tcp(1, (three, 80)), "pod 1 isn't isolated for egress: replies pass");
        assert!(net.udp(1, (two, 80)));
        assert!(!net.ping(3, one, 56));
        assert!(net.ping(1, three, 56));
    }
    let seen = events(&mut datapath);
    let open = seen.iter().find(|e| e.source == pod4(2) && e.verdict == Verdict::Allowed).expect("allowed");
    assert_eq!((open.ingress, open.destination_port, open.protocol), (DeciderId(8), 80, TCP));
    let shut = seen.iter().find(|e| e.source == pod4(3) && e.verdict == Verdict::Denied).expect("denied");
    assert_eq!((shut.ingress, shut.denied_by), (DeciderId(7), Some(Direction::Ingress)));
}
