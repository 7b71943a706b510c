//! The enforcement daemon dies, manifests break, addresses change hands: enforcement goes on as policy says.
//! Cases 25, 28, 30 and 32. Needs root.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use podgate_lab::enforce::NoticeEvent;
use podgate_lab::netns;
use podgate_tests::lab::{TestLab, wait_until};
use podgate_tests::traffic::{FlowSpec, Traffic};
use podgate_tests::watch::Watch;

const LAB_PROCESS: &str = env!("CARGO_BIN_EXE_lab-process");

fn pod(name: &str, labels: &str, node: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}}}\n\
         spec: {{nodeName: node-{node}, containers: [{{name: c, image: i, ports: [{{containerPort: 8080}}]}}]}}\n"
    )
}

fn ingress(name: &str, labels: &str, from: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{podSelector: {{matchLabels: {{{labels}}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{{from}}}}}}}]}}]}}\n"
    )
}

fn flow(lab: &TestLab, name: &str, from: &str, to: &str, is_v4: bool) -> FlowSpec {
    let to = lab.pod(to);
    let ip = *to.ips.iter().find(|ip| ip.is_ipv4() == is_v4).unwrap();
    let from = lab.pod(from).netns;
    FlowSpec { name: name.to_owned(), from, to: (to.netns, ip), every: Duration::from_millis(1) }
}

/// Two clients, a server on either node, and a server that may change.
fn cluster(test: &str) -> (TestLab, Traffic) {
    let lab = TestLab::new(LAB_PROCESS, test, 2);
    let pods = [("friend", 1), ("stranger", 2), ("near", 1), ("far", 2), ("fickle", 2)];
    for (name, node) in pods {
        lab.write(&format!("{name}.yaml"), &pod(name, &format!("app: {name}"), node));
    }
    lab.write("near-in.yaml", &ingress("near", "app: near", "app: friend"));
    lab.write("far-in.yaml", &ingress("far", "app: far", "app: friend"));
    lab.write("fickle-in.yaml", &ingress("fickle", "app: fickle", "app: friend"));
    lab.up();
    let mut flows = Vec::new();
    for is_v4 in [true, false] {
        for server in ["near", "far"] {
            let to = format!("shop/{server}");
            flows.push(flow(&lab, &format!("always {server} {is_v4}"), "shop/friend", &to, is_v4));
            flows.push(flow(&lab, &format!("never {server} {is_v4}"), "shop/stranger", &to, is_v4));
        }
    }
    flows.push(flow(&lab, "friend", "shop/friend", "shop/fickle", true));
    flows.push(flow(&lab, "stranger", "shop/stranger", "shop/fickle", false));
    let traffic = Traffic::start(flows);
    (lab, traffic)
}

/// Stops, and finds no packet that went wrong.
#[track_caller]
fn check_unchanging(traffic: &mut Traffic) {
    traffic.stop();
    for flow in traffic.flows() {
        let (name, record) = (&flow.spec.name, flow.record());
        let arrived = record.iter().filter(|datagram| datagram.arrived).count();
        let echoed = record.iter().filter(|datagram| datagram.echoed).count();
        if name.starts_with("always") {
            assert_eq!((arrived, echoed), (record.len(), record.len()), "{name}: arrived and echoed");
        } else if name.starts_with("never") {
            assert_eq!(arrived, 0, "{name}: leaked of {}", record.len());
        } else {
            continue;
        }
        assert!(record.len() > 100, "{name}: only {} datagrams", record.len());
    }
}

/// The number of times that a flow went from arriving to not arriving or back.
fn turns(traffic: &Traffic, name: &str) -> usize {
    let record = traffic.flow(name).settled();
    record.windows(2).filter(|pair| pair[0].arrived != pair[1].arrived).count()
}

#[test]
fn killed_under_traffic_and_started_again_it_makes_no_wrong_packet() {
    let (lab, mut traffic) = cluster("kill");
    for _ in 0..3 {
        lab.kill_daemon();
        std::thread::sleep(Duration::from_millis(200));
        lab.up();
        assert!(lab.status().nodes.iter().all(|node| node.adopted), "what is pinned is taken over");
        std::thread::sleep(Duration::from_millis(100));
    }
    check_unchanging(&mut traffic);
    assert_eq!((turns(&traffic, "friend"), turns(&traffic, "stranger")), (0, 0));
}

#[test]
fn edits_made_while_it_is_dead_are_enforced_once_it_is_back() {
    let (lab, mut traffic) = cluster("dead");
    lab.kill_daemon();
    lab.write("fickle-in.yaml", &ingress("fickle", "app: fickle", "app: stranger"));
    std::thread::sleep(Duration::from_millis(300));
    let (friend, stranger) = (traffic.flow("friend"), traffic.flow("stranger"));
    assert_eq!((turns(&traffic, "friend"), turns(&traffic, "stranger")), (0, 0), "the last state stays");
    let (to_friend, to_stranger) = (friend.sent(), stranger.sent());
    lab.up();
    wait_until("the edit is enforced", || {
        friend.shows(to_friend, false) && stranger.shows(to_stranger, true)
    });
    std::thread::sleep(Duration::from_millis(200));
    check_unchanging(&mut traffic);
    assert_eq!((turns(&traffic, "friend"), turns(&traffic, "stranger")), (1, 1), "there is no third state");
}

#[test]
fn a_broken_edit_changes_no_packet_and_neither_does_a_restart_with_it() {
    let (lab, mut traffic) = cluster("broken");
    let watch = Watch::start(&lab);
    let broken = |file: &str| {
        let heard = watch.heard().len();
        lab.write(file, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSel");
        watch.wait_for("the mistake is told", heard, |event| matches!(event, NoticeEvent::Broken { .. }));
    };
    broken("near-in.yaml");
    broken("fickle-in.yaml");
    std::thread::sleep(Duration::from_millis(100));
    lab.kill_daemon();
    lab.up();
    let broken_files = lab.status().diagnostics.iter().filter(|file| file.broken).count();
    assert_eq!(broken_files, 2);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!((turns(&traffic, "friend"), turns(&traffic, "stranger")), (0, 0));
    // The other files still count.
    let stranger = traffic.flow("stranger");
    let from = stranger.sent();
    lab.write("more.yaml", &ingress("more", "app: fickle", "app: stranger"));
    wait_until("another file is enforced", || stranger.shows(from, true));
    check_unchanging(&mut traffic);
    assert_eq!((turns(&traffic, "friend"), turns(&traffic, "stranger")), (0, 1));
}

#[test]
fn a_file_that_is_written_slowly_keeps_what_it_said_until_it_is_closed() {
    use std::io::Write;
    let (lab, mut traffic) = cluster("slow");
    let text = std::fs::read_to_string(lab.dir().join("near-in.yaml")).unwrap();
    for _ in 0..5 {
        // Empty at first, as when a shell redirects the output of a slow command.
        let mut file = std::fs::File::create(lab.dir().join("near-in.yaml")).unwrap();
        std::thread::sleep(Duration::from_millis(60));
        lab.write("other.yaml", &ingress("other", "app: nobody", "app: nobody"));
        std::thread::sleep(Duration::from_millis(60));
        file.write_all(text.as_bytes()).unwrap();
    }
    check_unchanging(&mut traffic);
}

#[test]
fn a_pod_that_gets_the_address_of_another_inherits_nothing() {
    // `old` may be reached by everybody and may reach the server; `new`, which gets its address, may not.
    let lab = TestLab::new(LAB_PROCESS, "reuse", 2);
    lab.write("client.yaml", &pod("client", "app: client", 1));
    lab.write("server.yaml", &pod("server", "app: server", 2));
    lab.write("changing.yaml", &pod("old", "app: old", 2));
    lab.write(
        "policies.yaml",
        &[ingress("server", "app: server", "app: old"), ingress("new", "app: new", "app: no")].join("---\n"),
    );
    lab.up();
    let (addresses, client) = (lab.pod("shop/old").ips, lab.pod("shop/client").netns);
    let server = lab.ip("shop/server", true);
    let sink =
        netns::run(&lab.pod("shop/server").netns, || UdpSocket::bind((server, 7777))).unwrap().unwrap();
    sink.set_nonblocking(true).unwrap();
    let (stop, greetings) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        for ip in &addresses {
            scope.spawn(|| netns::run(&client, || keep_asking(*ip, &stop, &greetings)).unwrap());
        }
        for round in 0..6 {
            let (name, gone) = if round % 2 == 0 { ("new", "old") } else { ("old", "new") };
            // Time to be reached: whoever is there says who it is.
            std::thread::sleep(Duration::from_millis(100));
            lab.remove("changing.yaml");
            let is_there = |name: &str| lab.plan().pods.iter().any(|pod| pod.name == name);
            wait_until(&format!("{gone} is gone"), || !is_there(gone));
            let changed = Instant::now();
            lab.write("changing.yaml", &pod(name, &format!("app: {name}"), 2));
            wait_until(&format!("{name} is there"), || is_there(name));
            let now = lab.pod(&format!("shop/{name}"));
            assert_eq!(now.ips, addresses, "the address changes hands, or this shows nothing");
            send_from(&now.netns, name, server);
            if name == "old" {
                wait_until("old is reached again", || {
                    greetings.lock().unwrap().iter().any(|(at, _): &(Instant, String)| *at > changed)
                });
                wait_until("old reaches the server", || {
                    send_from(&now.netns, name, server);
                    received(&sink).contains(&"old".to_owned())
                });
            } else {
                std::thread::sleep(Duration::from_millis(50));
                assert_eq!(received(&sink).iter().filter(|from| *from == "new").count(), 0, "round {round}");
            }
        }
    });
    let greetings = greetings.into_inner().unwrap();
    let by = |name: &str| greetings.iter().filter(|(_, line)| line.starts_with(name)).count();
    assert_eq!(by("shop/new"), 0, "the new pod is reached with the old one's rights");
    assert!(by("shop/old") > 10, "{} greetings", by("shop/old"));
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connects over and over, and notes who answers.
fn keep_asking(ip: IpAddr, stop: &AtomicBool, greetings: &Mutex<Vec<(Instant, String)>>) {
    while !stop.load(Ordering::Relaxed) {
        let timeout = Duration::from_millis(20);
        if let Ok(stream) = TcpStream::connect_timeout(&SocketAddr::new(ip, 8080), timeout) {
            stream.set_read_timeout(Some(timeout)).unwrap();
            let mut line = String::new();
            if BufReader::new(stream).read_line(&mut line).is_ok_and(|length| length > 0) {
                greetings.lock().unwrap().push((Instant::now(), line));
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a few datagrams that say who sends them, as soon as the pod can.
fn send_from(netns: &str, name: &str, to: IpAddr) {
    let sent = netns::run(netns, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        (0..20).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            socket.send_to(name.as_bytes(), (to, 7777)).is_ok()
        })
    });
    assert!(sent.is_ok_and(|sent| sent), "{name} can send");
}

fn received(sink: &UdpSocket) -> Vec<String> {
    let mut buffer = [0; 64];
    let next =
        || sink.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
    std::iter::from_fn(next).collect()
}

#[test]
fn case_25_a_local_address_that_is_no_known_pods_is_closed() {
    let lab = TestLab::new(LAB_PROCESS, "stray", 1);
    lab.write("server.yaml", &pod("server", "app: server", 1));
    lab.up();
    // Beside the lab's doing, as a network plugin connects a pod before anybody has told of it.
    let node = lab.plan().nodes[0].netns.clone();
    let stray = format!("{}-stray", lab.lab().name());
    netns::create(&stray).unwrap();
    let _cleanup = Stray(stray.clone());
    let ip = |netns: &str, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let status = netns::run(netns, || Command::new("ip").args(&words).status()).unwrap().unwrap();
        assert!(status.success(), "ip {line}");
    };
    ip(&node, &format!("link add stray0 type veth peer name eth0 netns {stray}"));
    for (family, own, gateway, length) in
        [("-4", "10.244.0.200", "10.244.0.201", 32), ("-6", "fd00:10:244::c8", "fd00:10:244::c9", 128)]
    {
        let nodad = if length == 128 { " nodad" } else { "" };
        ip(&node, "link set stray0 up");
        ip(&node, &format!("{family} addr add {gateway}/{length} dev stray0{nodad}"));
        ip(&node, &format!("{family} route add {own}/{length} dev stray0"));
        ip(&stray, "link set eth0 up");
        ip(&stray, &format!("{family} addr add {own}/{length} dev eth0{nodad}"));
        ip(&stray, &format!("{family} route add {gateway}/{length} dev eth0"));
        ip(&stray, &format!("{family} route add default via {gateway} dev eth0"));
    }
    let server = lab.pod("shop/server");
    let denied = || lab.status().nodes[0].denied;
    for (target, own) in server.ips.iter().zip(["10.244.0.200:9000", "[fd00:10:244::c8]:9000"]) {
        let before = denied();
        let ask = || TcpStream::connect_timeout(&SocketAddr::new(*target, 8080), Duration::from_millis(200));
        let error = netns::run(&stray, ask).unwrap().expect_err("an unknown pod reaches nobody");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{target}");
        let from_server = UdpSocket::bind(own.parse::<SocketAddr>().unwrap());
        assert!(from_server.is_err(), "the address is the stray's alone");
        let heard =
            netns::run(&stray, || UdpSocket::bind(own.parse::<SocketAddr>().unwrap())).unwrap().unwrap();
        heard.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let send = || UdpSocket::bind(any).unwrap().send_to(b"x", own).unwrap();
        netns::run(&server.netns, send).unwrap();
        assert!(heard.recv(&mut [0; 8]).is_err(), "nobody reaches an unknown pod");
        assert!(denied() >= before + 2, "both are counted");
    }
}

struct Stray(String);

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = netns::delete(&self.0);
    }
}
