//! Rules with `domainNames` open exactly the addresses that DNS gave to the pods, with real packets and real DNS messages:
//! case 36. Needs root.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use podgate_flow::{FlowRecord, FlowVerdict};
use podgate_lab::netns;
use podgate_lab::probe::Query;
use podgate_policy::Verdict;
use podgate_tests::lab::{TestLab, wait_until};
use podgate_tests::nameserver::{NameServer, ask};
use podgate_tests::watch::Watch;

const LAB_PROCESS: &str = env!("CARGO_BIN_EXE_lab-process");

/// `shop/client` may go to its name server and to names. The second policy selects nobody: its networks make the lab
/// give the outside an address in each.
const CLUSTER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {nodeName: node-1, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {nodeName: node-2, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: impostor, namespace: shop, labels: {k8s-app: kube-dns}}
spec: {nodeName: node-2, containers: [{name: c, image: i}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: names}
spec:
  tier: Admin
  priority: 10
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}}
  egress:
  - {action: Accept, to: [{namespaces: {}}]}
  - name: names
    action: Accept
    to: [{domainNames: [api.example.com, "*.cdn.example.net", gone.example.com]}]
    protocols: [{tcp: {destinationPort: {number: 443}}}]
  - {action: Deny, to: [{networks: ["0.0.0.0/0", "::/0"]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: nobody}
spec:
  tier: Baseline
  priority: 10
  subject: {namespaces: {matchLabels: {no: namespace}}}
  egress:
  - action: Accept
    to: [{networks: [203.0.113.0/28, 203.0.113.16/28, 203.0.113.32/28, 203.0.113.48/28, "2001:db8:1::/64", "2001:db8:2::/64"]}]
"#;

/// As long as answers without a TTL count, and some.
const FOR_GOOD: Duration = Duration::from_secs(120);

struct Net {
    lab: TestLab,
    /// The client's namespace.
    from: String,
    names: NameServer,
    /// Addresses outside.
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl Net {
    fn new(test: &str) -> Net {
        let lab = TestLab::new(LAB_PROCESS, test, 2);
        lab.write("cluster.yaml", CLUSTER);
        lab.up();
        let outside = lab.plan().outside.addresses;
        let (v4, v6) = outside.into_iter().partition(IpAddr::is_ipv4);
        let from = lab.pod("shop/client").netns;
        let names = NameServer::start(&lab.pod("kube-system/dns").netns);
        Net { from, names, v4, v6, lab }
    }

    #[track_caller]
    fn ask(&self, name: &str, kind: RecordType, by_tcp: bool, is_v4: bool) -> (ResponseCode, usize) {
        ask(&self.from, self.lab.ip("kube-system/dns", is_v4), name, kind, by_tcp)
    }

    fn connect(&self, to: IpAddr, port: u16, patience: Duration) -> Option<TcpStream> {
        let to = SocketAddr::new(to, port);
        netns::run(&self.from, || TcpStream::connect_timeout(&to, patience).ok()).unwrap()
    }

    /// Whether a connection is made at the first attempt, or soon when what is to open it may still be on its way.
    fn is_open(&self, to: IpAddr) -> bool {
        self.connect(to, 443, Duration::from_millis(300)).is_some()
    }

    #[track_caller]
    fn opens(&self, to: IpAddr, why: &str) {
        // One connection of a client that knows nothing: the kernel asks again when its first packet came too early.
        assert!(self.connect(to, 443, Duration::from_secs(8)).is_some(), "{why}: {to} is closed");
    }

    #[track_caller]
    fn stays_closed(&self, to: IpAddr, why: &str) {
        std::thread::sleep(Duration::from_millis(100));
        assert!(!self.is_open(to), "{why}: {to} is open");
    }
}

#[test]
fn case_36_a_pod_may_connect_to_exactly_what_dns_answered() {
    let net = Net::new("names");
    let watch = Watch::start(&net.lab);
    let [own, first, second, third, fourth] = net.v4[..5] else { panic!("{:?}", net.v4) };
    let [_, sixth, other_sixth] = net.v6[..3] else { panic!("{:?}", net.v6) };
    for ip in net.v4.iter().chain(&net.v6) {
        assert!(!net.is_open(*ip), "{ip} before anything was asked");
    }

    net.names.say("api.example.com", &[("api.example.com", 600, &first.to_string())]);
    assert_eq!(net.ask("API.example.com.", RecordType::A, false, true), (ResponseCode::NoError, 1));
    net.opens(first, "an exact name, by UDP");
    assert!(net.connect(first, 80, Duration::from_millis(300)).is_none(), "the rule's port alone");
    net.stays_closed(second, "nobody answered with it");

    net.names.say("a.b.cdn.example.net", &[("a.b.cdn.example.net", 600, &sixth.to_string())]);
    assert_eq!(net.ask("a.b.cdn.example.net.", RecordType::AAAA, true, true), (ResponseCode::NoError, 1));
    net.opens(sixth, "a wildcard, IPv6, by TCP");
    net.stays_closed(other_sixth, "nobody answered with it");

    let chain = [
        ("www.shop.example.org", 600, "e7.cdn.example.net"),
        ("e7.cdn.example.net", 600, &*second.to_string()),
    ];
    net.names.say("www.shop.example.org", &chain);
    assert_eq!(net.ask("www.shop.example.org.", RecordType::A, true, false), (ResponseCode::NoError, 2));
    net.opens(second, "a name that another leads to, asked over IPv6 by TCP");

    net.names.say("cdn.example.net", &[("cdn.example.net", 600, &third.to_string())]);
    assert_eq!(net.ask("cdn.example.net.", RecordType::A, false, false), (ResponseCode::NoError, 1));
    net.stays_closed(third, "a wildcard doesn't stand for the name above");

    assert_eq!(net.ask("gone.example.com.", RecordType::A, false, true), (ResponseCode::NXDomain, 0));
    let impostor = NameServer::start(&net.lab.pod("shop/impostor").netns);
    impostor.say("gone.example.com", &[("gone.example.com", 600, &fourth.to_string())]);
    let server = net.lab.ip("shop/impostor", true);
    assert_eq!(ask(&net.from, server, "gone.example.com.", RecordType::A, false), (ResponseCode::NoError, 1));
    net.stays_closed(fourth, "whom nobody trusts opens nothing");
    net.stays_closed(own, "nobody answered with it");

    // Flows say the names, and which rule let them through.
    let is_it = |flow: &FlowRecord| flow.destination.ip == second && flow.verdict == FlowVerdict::Allowed;
    wait_until("the flow is reported", || watch.flows().iter().any(is_it));
    let flow = watch.flows().into_iter().find(is_it).unwrap();
    let called: Vec<&str> =
        flow.destination.dns.iter().flat_map(|names| names.iter().map(|name| &**name)).collect();
    assert_eq!(called, ["e7.cdn.example.net", "www.shop.example.org"]);
    let why = flow.egress.map(|egress| egress.reason.to_string()).unwrap_or_default();
    assert!(why.contains("names"), "{why}");

    // A rule that is gone takes its names along.
    net.lab.write("cluster.yaml", &CLUSTER.replace("api.example.com, ", ""));
    wait_until("the rule is gone", || !net.is_open(first));
    net.opens(sixth, "another name of the rule");
}

/// The time is real: answers count for a minute longer than their TTL.
#[test]
fn case_36_an_answer_ends_and_cuts_no_connection_that_goes_on() {
    let net = Net::new("expiry");
    let [_, quiet, busy, ..] = net.v4[..] else { panic!("{:?}", net.v4) };
    for ip in [quiet, busy] {
        net.names.say("api.example.com", &[("api.example.com", 1, &ip.to_string())]);
        net.ask("api.example.com.", RecordType::A, false, true);
    }
    // To the one, no packet goes: it would keep it open. So the engine is asked.
    let from = net.lab.ip("shop/client", true);
    let may_reach_quiet = || {
        let query = Query { from, to: quiet, protocol: 6, port: 443 };
        net.lab.client().evaluate(&[query]).unwrap()[0].verdict == Verdict::Allowed
    };
    net.opens(busy, "just answered");
    assert!(may_reach_quiet(), "just answered");
    let mut going_on = net.connect(busy, 443, Duration::from_secs(2)).expect("open");
    going_on.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    net.lab.kill_daemon();
    net.lab.up();
    let started = Instant::now();
    while may_reach_quiet() {
        assert!(started.elapsed() < FOR_GOOD, "an answer that should have ended still opens {quiet}");
        echo(&mut going_on);
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(
        started.elapsed() > Duration::from_secs(30),
        "a killed daemon's successor goes on with what was answered"
    );
    net.stays_closed(quiet, "its answer has ended");
    echo(&mut going_on);
    assert!(net.is_open(busy), "an address with a connection");
}

/// The outside says who it is, then each byte that it receives.
#[track_caller]
fn echo(stream: &mut TcpStream) {
    stream.write_all(b"?").expect("the connection goes on");
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(1) if byte == *b"?" => return,
            Ok(1) => {}
            Ok(_) => panic!("the connection ended"),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("the connection was cut: {error}"),
        }
    }
}
