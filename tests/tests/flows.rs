//! Every connection of a known set is reported once, with the verdict, the policies and the rules that the
//! naive evaluator names, at both ends; and the kernel's counts add up. Needs root.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use podgate_flow::{Decision, FlowRecord, FlowVerdict, Reason};
use podgate_lab::enforce::Reply;
use podgate_lab::netns;
use podgate_policy::Verdict;
use podgate_tests::lab::{TestLab, wait_until};
use podgate_tests::naive::{Answer, Question, Why, World};
use podgate_tests::watch::Watch;

const LAB_PROCESS: &str = env!("CARGO_BIN_EXE_lab-process");

/// Four pods on two nodes; egress and ingress policies of which several apply to one pod.
const CLUSTER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {nodeName: node-2, containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}, {containerPort: 5000, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: node-2, containers: [{name: c, image: i, ports: [{containerPort: 5432}, {containerPort: 5000, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: free, namespace: shop, labels: {app: free}}
spec: {nodeName: node-1, containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web-out, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  - {to: [{podSelector: {matchLabels: {app: free}}}]}
  - {to: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: http}, {port: 5000, protocol: UDP}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-in, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
  - {from: [{podSelector: {matchLabels: {app: db}}}]}
  - {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-nothing, namespace: shop}
spec: {podSelector: {matchExpressions: [{key: app, operator: In, values: [api, db]}]}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db-in, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - {from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.244.0.0/24]}}, {ipBlock: {cidr: "::/0"}}], ports: [{port: 5432}]}
"#;

/// How many connections of each kind.
const EACH: u16 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Connection {
    from: SocketAddr,
    to: SocketAddr,
    protocol: u8,
}

#[test]
fn each_connection_is_reported_once_with_what_decided_at_both_ends() {
    let lab = TestLab::new(LAB_PROCESS, "flows", 2);
    lab.write("cluster.yaml", CLUSTER);
    lab.up();
    let plan = lab.plan();
    let input = podgate_lab::up::load(&lab.lab().spec().unwrap().unwrap()).objects;
    let world = World::of(&plan.objects(&input));
    let watch = Watch::start(&lab);
    let before = Counts::of(&lab);
    let made = connect_all(&lab);
    let expected = made.len();
    wait_until("all flows are reported", || watch.flows().len() >= expected);
    // What is reported twice comes late.
    std::thread::sleep(Duration::from_millis(400));

    let mut reported: BTreeMap<Connection, Vec<FlowRecord>> = BTreeMap::new();
    for flow in watch.flows() {
        let end = |end: &podgate_flow::Endpoint| SocketAddr::new(end.ip, end.port);
        let protocol = flow.protocol.0;
        let key = Connection { from: end(&flow.source), to: end(&flow.destination), protocol };
        reported.entry(key).or_default().push(flow);
    }
    let (mut allowed, mut denied) = (0, 0);
    for (connection, answered) in &made {
        let flows = reported.remove(connection).unwrap_or_default();
        let [flow] = &flows[..] else {
            panic!("{connection:?} is reported {} times: {flows:#?}", flows.len())
        };
        check(&world, connection, *answered, flow);
        if *answered { allowed += 1 } else { denied += 1 }
    }
    assert!(reported.is_empty(), "connections that nobody made: {reported:#?}");
    assert!(allowed > 20 && denied > 20, "{allowed} allowed, {denied} denied");

    let after = Counts::of(&lab);
    assert!(!watch.heard().iter().any(|reply| matches!(reply, Reply::Lost(_))), "nothing is lost");
    assert_eq!((after.lost - before.lost, after.suppressed - before.suppressed), (0, 0));
    // A connection between nodes is judged on both; a denied one only where its packet was stopped, and
    // before that where it was let out.
    let halves: u64 = made.iter().map(|(connection, _)| halves(&lab, &world, connection)).sum();
    assert_eq!(after.events - before.events, halves, "each node reports what it judged, once");
}

/// Connects every pod to every other one, to each of the ports, over both families and protocols. Tells
/// whether there was an answer.
fn connect_all(lab: &TestLab) -> Vec<(Connection, bool)> {
    let pods = ["shop/web", "shop/api", "shop/db", "shop/free"].map(|key| lab.pod(key));
    let mut made = Vec::new();
    for source in &pods {
        for target in pods.iter().filter(|target| target.index != source.index) {
            for (protocol, port) in target.listen.iter().map(|(protocol, port)| (protocol.number(), *port)) {
                for (from, to) in source.ips.iter().zip(&target.ips) {
                    let to = SocketAddr::new(*to, port);
                    let tries = netns::run(&source.netns, || {
                        (0..EACH).map(|_| connect(protocol, *from, to)).collect::<Vec<_>>()
                    });
                    made.extend(tries.unwrap());
                }
            }
        }
    }
    made
}

fn connect(protocol: u8, from: IpAddr, to: SocketAddr) -> (Connection, bool) {
    // Less than TCP waits before it asks again, which would be a second packet of a denied connection.
    let patience = Duration::from_millis(60);
    // The sockets are bound first: a denied connection leaves no trace of its port.
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let from = SocketAddr::new(from, port);
    let connection = Connection { from, to, protocol };
    if protocol == 17 {
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.send_to(b"hello", to).unwrap();
        return (connection, socket.recv_from(&mut [0; 512]).is_ok());
    }
    drop(socket);
    let answered = tcp_from(from, to, patience).is_ok_and(|mut stream| stream.read(&mut [0; 512]).is_ok());
    (connection, answered)
}

fn tcp_from(from: SocketAddr, to: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    bind(&socket, &from)?;
    match connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: patience.as_nanos() as i64 };
    let mut fds = [rustix::event::PollFd::new(&socket, rustix::event::PollFlags::OUT)];
    if rustix::event::poll(&mut fds, Some(&timeout))? == 0 {
        return Err(std::io::ErrorKind::TimedOut.into());
    }
    let stream = TcpStream::from(socket);
    stream.take_error()?.map_or(Ok(()), Err)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[track_caller]
fn check(world: &World, connection: &Connection, answered: bool, flow: &FlowRecord) {
    let (egress, ingress) = world.answer(&question(connection));
    let is_allowed = egress.allowed && ingress.allowed;
    assert_eq!(answered, is_allowed, "{connection:?}: {egress:?}, {ingress:?}");
    assert_eq!(flow.verdict == FlowVerdict::Allowed, is_allowed, "{connection:?}: {flow:?}");
    assert!(!flow.cut && flow.suppressed == 0, "{flow:?}");
    same(&egress, flow.egress.as_ref(), flow);
    // Where the source's own policies deny, nobody else is asked.
    match egress.allowed {
        true => same(&ingress, flow.ingress.as_ref(), flow),
        false => assert_eq!(flow.ingress, None, "{flow:?}"),
    }
}

fn question(connection: &Connection) -> Question {
    let Connection { from, to, protocol } = *connection;
    Question { from: from.ip(), to: to.ip(), protocol, port: to.port() }
}

#[track_caller]
fn same(naive: &Answer, said: Option<&Decision>, flow: &FlowRecord) {
    let said = said.unwrap_or_else(|| panic!("one end is missing: {flow:?}"));
    let because = match (&naive.why, &*said.reason) {
        (Why::NotIsolated, Reason::NotIsolated) => true,
        (Why::Rule { kind, namespace, name, index, .. }, Reason::Rule { policy, rule, written, .. }) => {
            let found = (policy.kind.as_str(), &policy.namespace, &policy.name, *rule as usize)
                == (*kind, namespace, name, *index);
            found && written.contains("cluster.yaml:")
        }
        (Why::Isolated(naive), Reason::Isolated { policies }) => naive
            .iter()
            .map(|(space, name)| (space, name))
            .eq(policies.iter().map(|p| (&p.namespace, &p.name))),
        _ => false,
    };
    assert!(because && naive.allowed == (said.verdict == Verdict::Allowed), "{naive:?} and {flow:?}");
}

/// How many nodes have something to report of a connection.
fn halves(lab: &TestLab, world: &World, connection: &Connection) -> u64 {
    let node = |ip: IpAddr| lab.plan().pods.iter().find(|pod| pod.ips.contains(&ip)).map(|pod| pod.node);
    let (egress, _) = world.answer(&question(connection));
    if egress.allowed && node(connection.from.ip()) != node(connection.to.ip()) { 2 } else { 1 }
}

#[derive(Debug)]
struct Counts {
    events: u64,
    lost: u64,
    suppressed: u64,
}

impl Counts {
    fn of(lab: &TestLab) -> Counts {
        let nodes = lab.status().nodes;
        Counts {
            events: nodes.iter().map(|node| node.events).sum(),
            lost: nodes.iter().map(|node| node.events_lost).sum(),
            suppressed: nodes.iter().map(|node| node.events_suppressed).sum(),
        }
    }
}

#[test]
fn a_flood_of_denials_is_reported_or_counted_to_the_last() {
    let lab = TestLab::new(LAB_PROCESS, "flood", 1);
    let deny = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: none, namespace: shop}\n\
                spec: {podSelector: {matchLabels: {app: api}}}\n";
    lab.write(
        "cluster.yaml",
        &CLUSTER.split("---\napiVersion: networking").next().unwrap().replace("node-2", "node-1"),
    );
    lab.write("deny.yaml", deny);
    lab.up();
    let watch = Watch::start(&lab);
    let before = Counts::of(&lab);
    let denied = |lab: &TestLab| lab.status().nodes.iter().map(|node| node.denied).sum::<u64>();
    let denied_before = denied(&lab);
    let (count, to) = (5000, SocketAddr::new(lab.ip("shop/api", true), 5000));
    netns::run(&lab.pod("shop/free").netns, || {
        let sockets: Vec<UdpSocket> = (0..10).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap()).collect();
        for i in 0..count {
            sockets[i % sockets.len()].send_to(b"x", to).unwrap();
        }
    })
    .unwrap();
    wait_until("every packet is judged", || denied(&lab) - denied_before == count as u64);
    let after = Counts::of(&lab);
    let (events, lost) = (after.events - before.events, after.lost - before.lost);
    let suppressed = after.suppressed - before.suppressed;
    assert_eq!(
        events + lost + suppressed,
        count as u64,
        "{events} events, {lost} lost, {suppressed} suppressed"
    );
    assert!(suppressed > 0, "a flood of like packets is not worth an event each");
    wait_until("every event is a flow", || watch.flows().len() as u64 == events);
    assert!(watch.flows().iter().all(|flow| flow.verdict == FlowVerdict::Denied));
}
