//! Policies, pods and namespaces are edited while traffic runs. Nothing that stays allowed is lost, nothing
//! that stays denied gets through, and what changes changes once: cases 4, 24, 26 and 30. Needs root.
//!
//! `PODGATE_EDITS=5000` edits for longer; `PODGATE_LAB_SEEDS=7..8` edits in another order.

#![expect(clippy::print_stderr, reason = "how long edits take is worth knowing")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use podgate_bench::Rng;
use podgate_flow::{FlowVerdict, Party, Timestamp};
use podgate_lab::netns;
use podgate_tests::compare::lab_seeds;
use podgate_tests::lab::TestLab;
use podgate_tests::traffic::{Flow, FlowSpec, Traffic};
use podgate_tests::watch::Watch;

const LAB_PROCESS: &str = env!("CARGO_BIN_EXE_lab-process");

/// An edit that takes longer than this is never enforced, or at most by chance.
const LATEST: Duration = Duration::from_secs(2);

// === the cluster ===

/// Servers that `client` pods reach by turns, one for each way to change that. `steady` always reaches them.
const TOGGLES: [Toggle; 10] = [
    Toggle {
        server: "s-rule",
        client: "shop/client",
        off: |lab| rule(lab, false),
        on: |lab| rule(lab, true),
    },
    Toggle {
        server: "s-gone",
        client: "shop/client",
        off: |lab| lab.write("gone.yaml", &policy("gone", "{app: s-gone}", "ingress", &from(&[STEADY]))),
        on: |lab| lab.remove("gone.yaml"),
    },
    Toggle {
        server: "s-subject",
        client: "shop/client",
        off: |lab| pod(lab, "shop", "s-subject", "guarded: 'yes'"),
        on: |lab| pod(lab, "shop", "s-subject", "guarded: 'no'"),
    },
    Toggle {
        server: "s-peer",
        client: "shop/friend",
        off: |lab| pod(lab, "shop", "friend", "role: stranger"),
        on: |lab| pod(lab, "shop", "friend", "role: friend"),
    },
    Toggle {
        server: "s-space",
        client: "away/client",
        off: |lab| namespace(lab, "away", "foes"),
        on: |lab| namespace(lab, "away", "friends"),
    },
    Toggle {
        server: "s-block",
        client: "shop/client",
        off: |lab| block(lab, ", except: [10.244.0.0/15]"),
        on: |lab| block(lab, ""),
    },
    Toggle { server: "s-out", client: "shop/sender", off: |lab| out(lab, false), on: |lab| out(lab, true) },
    Toggle {
        server: "s-admin",
        client: "shop/client",
        off: |lab| admin(lab, "Deny"),
        on: |lab| admin(lab, "Pass"),
    },
    Toggle {
        server: "s-base",
        client: "shop/client",
        off: |lab| baseline(lab, "Deny"),
        on: |lab| baseline(lab, "Allow"),
    },
    Toggle {
        server: "s-net",
        client: "shop/surfer",
        off: |lab| network(lab, "10.244.0.0/15"),
        on: |lab| network(lab, "192.0.2.0/24"),
    },
];

struct Toggle {
    server: &'static str,
    client: &'static str,
    off: fn(&TestLab),
    on: fn(&TestLab),
}

const STEADY: &str = "{podSelector: {matchLabels: {app: steady}}}";
const CLIENT: &str = "{podSelector: {matchLabels: {app: client}}}";

fn policy(name: &str, labels: &str, list: &str, rules: &str) -> String {
    let direction = if list == "ingress" { "Ingress" } else { "Egress" };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  podSelector: {{matchLabels: {labels}}}\n  policyTypes: [{direction}]\n  {list}: {rules}\n"
    )
}

fn from(peers: &[&str]) -> String {
    format!("[{{from: [{}]}}]", peers.join(", "))
}

fn rule(lab: &TestLab, allows: bool) {
    let peers = if allows { from(&[CLIENT, STEADY]) } else { from(&[STEADY]) };
    lab.write("rule.yaml", &policy("rule", "{app: s-rule}", "ingress", &peers));
}

fn block(lab: &TestLab, except: &str) {
    let block = format!("{{ipBlock: {{cidr: 10.0.0.0/8{except}}}}}");
    lab.write("block.yaml", &policy("block", "{app: s-block}", "ingress", &from(&[&block, STEADY])));
}

fn out(lab: &TestLab, allows: bool) {
    let server = if allows { "s-out" } else { "nobody" };
    let rules = format!("[{{to: [{{podSelector: {{matchLabels: {{app: {server}}}}}}}]}}]");
    lab.write("out.yaml", &policy("out", "{app: sender}", "egress", &rules));
}

/// A peer or subject of a cluster-scoped policy.
fn pods(app: &str) -> String {
    format!("{{pods: {{namespaceSelector: {{}}, podSelector: {{matchLabels: {{app: {app}}}}}}}}}")
}

/// `steady` always, `client` by this action, nobody else.
fn guard(server: &str, allow: &str, action: &str) -> String {
    let everybody = "{namespaces: {}}";
    let rule = |action: &str, from: &str| format!("  - {{action: {action}, from: [{from}]}}\n");
    let rules =
        [rule(allow, &pods("steady")), rule(action, &pods("client")), rule("Deny", everybody)].concat();
    format!("  subject: {}\n  ingress:\n{rules}", pods(server))
}

fn cluster_policy(kind: &str, version: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"
    )
}

fn admin(lab: &TestLab, action: &str) {
    let spec = format!("  tier: Admin\n  priority: 5\n{}", guard("s-admin", "Accept", action));
    lab.write("admin.yaml", &cluster_policy("ClusterNetworkPolicy", "v1alpha2", "admin", &spec));
}

fn baseline(lab: &TestLab, action: &str) {
    let spec = guard("s-base", "Allow", action);
    lab.write("baseline.yaml", &cluster_policy("BaselineAdminNetworkPolicy", "v1alpha1", "default", &spec));
}

fn network(lab: &TestLab, denied: &str) {
    let spec = format!(
        "  priority: 5\n  subject: {}\n  egress:\n  - {{action: Deny, to: [{{networks: [{denied}]}}]}}\n",
        pods("surfer")
    );
    lab.write("network.yaml", &cluster_policy("AdminNetworkPolicy", "v1alpha1", "network", &spec));
}

fn pod(lab: &TestLab, namespace: &str, name: &str, label: &str) {
    let node = if matches!(name, "steady" | "client" | "s-rule" | "s-space" | "friend") { 1 } else { 2 };
    lab.write(
        &format!("pod-{namespace}-{name}.yaml"),
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}, {label}}}}}\n\
             spec: {{nodeName: node-{node}, containers: [{{name: c, image: i, ports: [{{containerPort: 8080}}]}}]}}\n"
        ),
    );
}

fn namespace(lab: &TestLab, name: &str, team: &str) {
    let text =
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{team: {team}}}}}\n");
    lab.write(&format!("namespace-{name}.yaml"), &text);
}

fn cluster(test: &str) -> TestLab {
    let lab = TestLab::new(LAB_PROCESS, test, 2);
    namespace(&lab, "shop", "shop");
    for name in ["steady", "blocked", "keep", "client", "sender", "surfer", "noise"] {
        pod(&lab, "shop", name, "x: none");
    }
    pod(&lab, "away", "client", "x: none");
    for toggle in &TOGGLES {
        pod(&lab, "shop", toggle.server, "x: none");
    }
    // What doesn't change for `blocked` and `steady`, whatever the toggles do.
    lab.write("keep.yaml", &policy("keep", "{app: keep}", "ingress", &from(&[STEADY])));
    let guarded = policy("subject", "{app: s-subject, guarded: 'yes'}", "ingress", &from(&[STEADY]));
    lab.write("subject.yaml", &guarded);
    let friends = from(&["{podSelector: {matchLabels: {role: friend}}}", STEADY]);
    lab.write("peer.yaml", &policy("peer", "{app: s-peer}", "ingress", &friends));
    let spaces = from(&["{namespaceSelector: {matchLabels: {team: friends}}}", STEADY]);
    lab.write("space.yaml", &policy("space", "{app: s-space}", "ingress", &spaces));
    for toggle in &TOGGLES {
        (toggle.off)(&lab);
    }
    lab.up();
    lab
}

/// An edit that changes nothing for any flow.
fn edit_something_else(lab: &TestLab, rng: &mut Rng) {
    let number = rng.below(1000);
    match rng.below(6) {
        0 => pod(lab, "shop", "noise", &format!("n: '{number}'")),
        // A new place among the others, and new programs for every pod.
        5 => {
            let spec = format!(
                "  tier: Admin\n  priority: {number}\n  subject: {{namespaces: {{}}}}\n  ingress:\n  \
                 - {{action: Deny, from: [{}], protocols: [{{tcp: {{destinationPort: {{number: {}}}}}}}]}}\n",
                pods("noise"),
                number + 1
            );
            lab.write("all.yaml", &cluster_policy("ClusterNetworkPolicy", "v1beta1", "all", &spec));
        }
        // More policies for pods that are isolated anyway.
        1 => {
            let rules = format!("[{{from: [{{ipBlock: {{cidr: 192.0.2.{}/32}}}}]}}]", number % 256);
            let names = ["keep", "s-rule", "s-peer", "noise"];
            let labels = format!("{{app: {}}}", rng.pick(&names));
            lab.write("more.yaml", &policy("more", &labels, "ingress", &rules));
        }
        2 => namespace(lab, "shop", &format!("t{number}")),
        3 => {
            let ports = format!("[{{from: [{STEADY}], ports: [{{port: {}}}]}}]", number + 1);
            lab.write("ports.yaml", &policy("ports", "{app: keep}", "ingress", &ports));
        }
        _ => {
            let many: Vec<String> = (0..40)
                .map(|i| policy(&format!("n{i}"), &format!("{{app: noise, n: '{i}'}}"), "ingress", "[]"))
                .collect();
            lab.write("noise.yaml", &many[..rng.between(1, 40)].join("---\n"));
        }
    }
}

// === flows ===

fn spec(lab: &TestLab, name: String, from: &str, to: &str, is_v4: bool, micros: u64) -> FlowSpec {
    let to = lab.pod(to);
    let ip = *to.ips.iter().find(|ip| ip.is_ipv4() == is_v4).unwrap();
    let from = lab.pod(from).netns;
    FlowSpec { name, from, to: (to.netns, ip), every: Duration::from_micros(micros) }
}

/// `always ...`, `never ...`, and one flow named after each toggle's server.
fn flows(lab: &TestLab) -> Vec<FlowSpec> {
    let mut flows = Vec::new();
    let server = |toggle: &Toggle| format!("shop/{}", toggle.server);
    for (kind, from) in [("always", "shop/steady"), ("never", "shop/blocked")] {
        for is_v4 in [true, false] {
            flows.push(spec(lab, format!("{kind} keep {is_v4}"), from, "shop/keep", is_v4, 1000));
        }
        for toggle in &TOGGLES {
            // The others admit everybody while they are on.
            let is_closed = matches!(toggle.server, "s-rule" | "s-peer" | "s-space" | "s-admin" | "s-base");
            if kind == "always" || is_closed {
                flows.push(spec(lab, format!("{kind} {}", toggle.server), from, &server(toggle), true, 2000));
            }
        }
    }
    for toggle in &TOGGLES {
        // A block says nothing of the other family.
        let is_v4 = matches!(toggle.server, "s-block" | "s-gone" | "s-space" | "s-net");
        flows.push(spec(lab, toggle.server.to_owned(), toggle.client, &server(toggle), is_v4, 1000));
    }
    flows
}

/// New TCP connections all the time, to those that must answer and those that must not.
struct Connections {
    stop: AtomicBool,
    made: AtomicU64,
    refused: AtomicU64,
    /// Those that went wrong, with the time it took to know.
    wrong: Mutex<Vec<String>>,
}

impl Connections {
    fn run(&self, lab: &TestLab, is_allowed: bool) {
        let (source, timeout, pause) = match is_allowed {
            true => ("shop/steady", Duration::from_millis(900), Duration::from_millis(2)),
            false => ("shop/blocked", Duration::from_millis(15), Duration::ZERO),
        };
        let servers = ["shop/keep", "shop/s-rule", "shop/s-peer", "shop/s-space", "shop/s-admin"];
        let addresses: Vec<SocketAddr> =
            servers.iter().flat_map(|pod| lab.pod(pod).ips).map(|ip| SocketAddr::new(ip, 8080)).collect();
        netns::run(&lab.pod(source).netns, || {
            for address in addresses.iter().cycle() {
                if self.stop.load(Ordering::Relaxed) {
                    break;
                }
                let started = Instant::now();
                let answered = TcpStream::connect_timeout(address, timeout);
                if is_allowed != answered.is_ok() {
                    let text = format!(
                        "{source} to {address}: {answered:?} after {:?}, at {}",
                        started.elapsed(),
                        now()
                    );
                    self.wrong.lock().unwrap().push(text);
                }
                let counter = if is_allowed { &self.made } else { &self.refused };
                counter.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(pause);
            }
        })
        .unwrap();
    }
}

/// One TCP connection for the whole time; returns how many lines came back and the longest wait.
fn one_long_connection(lab: &TestLab, stop: &AtomicBool) -> (u64, Duration) {
    let address = SocketAddr::new(lab.ip("shop/keep", true), 8080);
    let mut stream =
        netns::run(&lab.pod("shop/steady").netns, || TcpStream::connect(address)).unwrap().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let (mut lines, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        stream.write_all(b"still there?\n").unwrap();
        line.clear();
        reader.read_line(&mut line).expect("a connection that stays allowed goes on");
        longest = longest.max(asked.elapsed());
        lines += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    (lines, longest)
}

/// Wall-clock time, to find the moment in the daemon's log.
fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64)
}

// === edits ===

struct Edit {
    toggle: usize,
    written: Instant,
    is_on: bool,
}

#[test]
fn hundreds_of_edits_under_traffic_lose_nothing_and_leak_nothing() {
    let seed = lab_seeds(1).start;
    let count: usize = std::env::var("PODGATE_EDITS").map_or(300, |text| text.parse().unwrap());
    let mut rng = Rng::new(seed);
    let lab = cluster("edits");
    let watch = Watch::start(&lab);
    let mut traffic = Traffic::start(flows(&lab));
    let connections = Connections {
        stop: AtomicBool::new(false),
        made: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        wrong: Mutex::default(),
    };
    let mut edits: Vec<Edit> = Vec::new();
    let (lines, longest) = std::thread::scope(|scope| {
        let stop_all = StopAtEnd(&connections.stop);
        scope.spawn(|| connections.run(&lab, true));
        scope.spawn(|| connections.run(&lab, false));
        let long = scope.spawn(|| one_long_connection(&lab, &connections.stop));
        let mut is_on = [false; TOGGLES.len()];
        for _ in 0..count {
            if rng.percent(40) {
                edit_something_else(&lab, &mut rng);
                std::thread::sleep(Duration::from_millis(rng.below(10) as u64));
            }
            let toggle = rng.below(TOGGLES.len());
            edits.push(flip(&lab, &traffic, toggle, &mut is_on[toggle]));
            std::thread::sleep(Duration::from_millis(rng.below(20) as u64));
        }
        drop(stop_all);
        long.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    traffic.stop();

    let mut lost = Vec::new();
    let mut sent = [0, 0];
    for flow in traffic.flows() {
        let record = flow.record();
        let name = &flow.spec.name;
        let kind = usize::from(name.starts_with("never"));
        if name.starts_with("always") {
            let (gone, silent) = (count_of(&record, |d| !d.arrived), count_of(&record, |d| !d.echoed));
            lost.extend((gone + silent > 0).then(|| format!("{name}: {gone} lost, {silent} without echo")));
        } else if name.starts_with("never") {
            let leaked = count_of(&record, |d| d.arrived);
            lost.extend((leaked > 0).then(|| format!("{name}: {leaked} leaked")));
        } else {
            continue;
        }
        sent[kind] += record.len();
    }
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "always allowed: {} datagrams, {} connections, {lines} lines of one connection (longest wait {longest:?}); \
         always denied: {} datagrams, {} connections",
        sent[0],
        of(&connections.made),
        sent[1],
        of(&connections.refused)
    );
    assert!(lost.is_empty(), "seed {seed}: {lost:#?}");
    let wrong = connections.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    assert!(sent.iter().all(|sent| *sent > 10 * count) && of(&connections.made) > 100 && lines > 100);
    check_order(&traffic, &edits, seed);
    check_flows(&watch);
    assert_eq!(lab.status().failure, "");
}

fn count_of<T>(items: &[T], is_meant: impl Fn(&T) -> bool) -> usize {
    items.iter().filter(|item| is_meant(item)).count()
}

/// Other threads end also when this one panics.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes the edit and waits until its flow shows it.
fn flip(lab: &TestLab, traffic: &Traffic, toggle: usize, is_on: &mut bool) -> Edit {
    let Toggle { server, off, on, .. } = &TOGGLES[toggle];
    let flow = traffic.flow(server);
    *is_on = !*is_on;
    let (from, written) = (flow.sent(), Instant::now());
    if *is_on {
        on(lab)
    } else {
        off(lab)
    }
    while !flow.shows(from, *is_on) {
        assert!(written.elapsed() < LATEST, "{server}: the edit is not enforced after {LATEST:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Edit { toggle, written, is_on: *is_on }
}

/// After each edit: as before for a while, then as told until the next edit. Prints how long the whiles are.
fn check_order(traffic: &Traffic, edits: &[Edit], seed: u64) {
    let mut took = Vec::new();
    for (number, toggle) in TOGGLES.iter().enumerate() {
        let flow = traffic.flow(toggle.server);
        let own: Vec<&Edit> = edits.iter().filter(|edit| edit.toggle == number).collect();
        for (i, edit) in own.iter().enumerate() {
            let end = own.get(i + 1).map(|next| next.written);
            took.push(time_to_change(&flow, edit, end, seed));
        }
    }
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    eprintln!(
        "{} edits, from write to first packet: p50 {:?}, p99 {:?}, max {:?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    );
    assert!(at(100) < LATEST, "seed {seed}");
}

fn time_to_change(flow: &Flow, edit: &Edit, end: Option<Instant>, seed: u64) -> Duration {
    let record = flow.record();
    let after: Vec<_> =
        record.iter().filter(|d| d.sent >= edit.written && end.is_none_or(|end| d.sent < end)).collect();
    let changed = after.iter().position(|d| d.arrived == edit.is_on);
    let changed = changed.unwrap_or_else(|| panic!("seed {seed}: {} never changes", flow.spec.name));
    let back = after[changed..].iter().filter(|d| d.arrived != edit.is_on).count();
    assert_eq!(back, 0, "seed {seed}: {} goes back after it has changed", flow.spec.name);
    after[changed].sent.duration_since(edit.written)
}

/// The daemon says the same: it never denied what is always allowed, nor the other way round.
fn check_flows(watch: &Watch) {
    let is = |party: &Party, name: &str| matches!(party, Party::Pod { pod, .. } if pod == name);
    let flows = watch.flows();
    for flow in &flows {
        if is(&flow.source.party, "steady") {
            assert_eq!(flow.verdict, FlowVerdict::Allowed, "{flow:?}");
        }
        let is_closed = ["keep", "s-rule", "s-peer", "s-space"];
        if is(&flow.source.party, "blocked") && is_closed.iter().any(|name| is(&flow.destination.party, name))
        {
            assert_ne!(flow.verdict, FlowVerdict::Allowed, "{flow:?}");
        }
    }
    assert!(flows.iter().any(|flow| flow.cut), "a live flow was cut and nobody said so");
}

#[test]
fn a_denial_cuts_a_live_tcp_connection_which_goes_on_when_it_is_allowed_again() {
    let lab = cluster("cut");
    rule(&lab, true);
    let address = SocketAddr::new(lab.ip("shop/s-rule", false), 8080);
    let source = lab.pod("shop/client").netns;
    let connect = || netns::run(&source, || TcpStream::connect_timeout(&address, Duration::from_millis(100)));
    let started = Instant::now();
    let mut stream = loop {
        assert!(started.elapsed() < LATEST, "the rule is not enforced");
        if let Ok(stream) = connect().unwrap() {
            break stream;
        }
    };
    let mut echo = |text: &[u8], patience: Duration| -> std::io::Result<()> {
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(text)?;
        let mut byte = [0];
        while byte[0] != b'\n' {
            stream.read_exact(&mut byte)?;
        }
        Ok(())
    };
    // The greeting comes first, and is a line of its own.
    echo(b"", LATEST).unwrap();
    echo(b"a\n", LATEST).unwrap();
    rule(&lab, false);
    std::thread::sleep(Duration::from_millis(300));
    let error = echo(b"b\n", Duration::from_millis(300)).expect_err("the connection is cut");
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
    rule(&lab, true);
    echo(b"c\n", Duration::from_secs(5)).expect("TCP sends it again");
}
