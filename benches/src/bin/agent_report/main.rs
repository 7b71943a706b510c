//! One node agent against a replayed watch: memory, start, and the way from an event to the kernel.
//!
//! `unshare --net agent-report [--podgate PATH] [--pods N] [--namespaces N] [--policies N]
//! [--services N] [--seconds N]`, as
//! root: it enforces on the network namespace that it runs in. The API server is a replay in this process, over
//! loopback without TLS.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

mod agent;
mod histogram;
mod replay;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use podgate_bench::served::{ServedPod, pod};

use agent::Agent;
use histogram::Histogram;
use replay::Replay;

/// Nodes of the cluster: each has about 110 pods of 200,000.
const PODS_PER_NODE: usize = 110;
/// Pods that the policy of the last part selects as peers.
const TOUCHED: usize = 10_000;
/// Pod events a second.
const RATE: u32 = 100;
const METRIC: &str = "podgate_event_to_kernel_seconds";

struct Arguments {
    podgate: PathBuf,
    pods: usize,
    namespaces: usize,
    policies: usize,
    services: usize,
    seconds: u32,
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    bail_unless_alone()?;
    let world = World::new(&arguments);
    eprintln!("{} pods, {:.0} MB as the server sends them", arguments.pods, world.bytes() as f64 / 1e6);
    let replay = Replay::start(world.lists())?;
    let began = Instant::now();
    let agent = Agent::start(&arguments.podgate, replay.address())?;
    agent.wait_ready(Duration::from_secs(300))?;
    let start = began.elapsed();
    // What was needed to read the lists is handed back some seconds later.
    std::thread::sleep(Duration::from_secs(10));
    println!("| what | measured | aim |\n|---|---|---|");
    let (resident, peak) = agent.memory()?;
    println!("| start to complete tables | {:.1} s | 5 s |", start.as_secs_f64());
    println!("| resident memory | {resident:.0} MiB (peak {peak:.0}) | 64 MiB |");
    println!("| kernel tables | {:.1} MiB | 48 MiB |", agent.kernel_tables()?);
    events(&arguments, &world, &replay, &agent)?;
    touching(&replay, &agent)?;
    let (resident, peak) = agent.memory()?;
    println!("| resident memory afterwards | {resident:.0} MiB (peak {peak:.0}) | |");
    Ok(())
}

/// Pod events at a steady rate: a pod goes, one comes, one's labels change, one's status does.
fn events(arguments: &Arguments, world: &World, replay: &Replay, agent: &Agent) -> Result<()> {
    let before = Histogram::read(&agent.metrics()?, METRIC)?;
    let (cpu, began) = (agent.cpu_seconds()?, Instant::now());
    let count = RATE * arguments.seconds;
    for number in 0..count {
        let due = began + Duration::from_secs(1) * number / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let index = (number as usize / 4 * 7919) % arguments.pods;
        let mut served = world.pod(index);
        let kind = match number % 4 {
            0 => "DELETED",
            1 => "ADDED",
            2 => {
                served.tier = "frontend";
                "MODIFIED"
            }
            _ => "MODIFIED",
        };
        replay.send("pods", kind, &pod(&served))?;
    }
    std::thread::sleep(Duration::from_millis(300));
    let busy = (agent.cpu_seconds()? - cpu) / began.elapsed().as_secs_f64();
    let delay = Histogram::read(&agent.metrics()?, METRIC)?.since(&before);
    println!(
        "| pod event to kernel at {RATE} a second, {} publications, p50 | {} | 1 ms |",
        delay.count(),
        delay.quantile(0.5)
    );
    println!("| the same, p99 | {} | 10 ms |", delay.quantile(0.99));
    println!("| processor at {RATE} pod events a second | {busy:.3} core | 0.05 core |");
    Ok(())
}

/// A policy of a local pod whose peers are now these 10,000 pods, now those.
fn touching(replay: &Replay, agent: &Agent) -> Result<()> {
    let before = Histogram::read(&agent.metrics()?, METRIC)?;
    for number in 0..100 {
        replay.send("networkpolicies", "MODIFIED", &wide_policy(number % 2))?;
        std::thread::sleep(Duration::from_millis(150));
    }
    let delay = Histogram::read(&agent.metrics()?, METRIC)?.since(&before);
    println!(
        "| policy that touches {TOUCHED} pods to kernel, {} publications, p50 | {} | |",
        delay.count(),
        delay.quantile(0.5)
    );
    println!("| the same, p99 | {} | 20 ms |", delay.quantile(0.99));
    Ok(())
}

/// What the replayed server has.
struct World {
    pods: Vec<String>,
    namespaces: Vec<String>,
    policies: Vec<String>,
    services: Vec<String>,
    nodes: usize,
    namespace_count: usize,
}

impl World {
    fn new(arguments: &Arguments) -> World {
        let nodes = arguments.pods.div_ceil(PODS_PER_NODE);
        let mut world = World {
            pods: Vec::new(),
            namespaces: (0..arguments.namespaces).map(namespace).collect(),
            policies: (0..arguments.policies).map(|index| policy(index, arguments.namespaces)).collect(),
            services: (0..arguments.services).map(|index| service(index, arguments.namespaces)).collect(),
            nodes,
            namespace_count: arguments.namespaces,
        };
        world.policies.push(wide_policy(0));
        world.pods = (0..arguments.pods).map(|index| pod(&world.pod(index))).collect();
        world
    }

    fn pod(&self, index: usize) -> ServedPod {
        ServedPod::new(index, self.namespace_count, self.nodes)
    }

    fn bytes(&self) -> usize {
        [&self.pods, &self.namespaces, &self.policies, &self.services]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum()
    }

    fn lists(&self) -> Vec<(&'static str, Vec<String>)> {
        let nodes = (0..self.nodes).map(node).collect();
        vec![
            ("pods", self.pods.clone()),
            ("namespaces", self.namespaces.clone()),
            ("networkpolicies", self.policies.clone()),
            ("nodes", nodes),
            ("services", self.services.clone()),
        ]
    }
}

/// Its group is one of a few: 10,000 pods each.
fn namespace(index: usize) -> String {
    let group = index % 20;
    format!(
        r#"{{"kind":"Namespace","apiVersion":"v1","metadata":{{"name":"tenant-{index}","uid":"ns-{index}","resourceVersion":"1","labels":{{"kubernetes.io/metadata.name":"tenant-{index}","group":"g{group}"}}}}}}"#
    )
}

fn node(index: usize) -> String {
    let cidr = format!("10.{}.{}.0/24", index >> 8, index & 255);
    format!(
        r#"{{"kind":"Node","apiVersion":"v1","metadata":{{"name":"node-{index}","uid":"node-{index}","resourceVersion":"1"}},"spec":{{"podCIDR":"{cidr}","podCIDRs":["{cidr}"]}},"status":{{"addresses":[{{"type":"InternalIP","address":"172.16.{}.{}"}}]}}}}"#,
        index >> 8,
        index & 255
    )
}

/// One port, and a second one of every fourth.
fn service(index: usize, namespaces: usize) -> String {
    let metrics = if index.is_multiple_of(4) {
        r#",{"name":"metrics","protocol":"TCP","port":9090,"targetPort":9090}"#
    } else {
        ""
    };
    let ip = format!("10.{}.{}.{}", 96 + (index >> 16), index >> 8 & 255, index & 255);
    format!(
        r#"{{"kind":"Service","apiVersion":"v1","metadata":{{"name":"service-{index}","namespace":"tenant-{}","uid":"service-{index}","resourceVersion":"1","labels":{{"app":"app-{}"}}}},"spec":{{"selector":{{"app":"app-{}"}},"clusterIP":"{ip}","clusterIPs":["{ip}"],"type":"ClusterIP","sessionAffinity":"None","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","internalTrafficPolicy":"Cluster","ports":[{{"name":"http","protocol":"TCP","port":80,"targetPort":8080}}{metrics}]}},"status":{{"loadBalancer":{{}}}}}}"#,
        index % namespaces,
        index % 7,
        index % 7
    )
}

/// What a tenant's policies look like: from its own application and from a monitoring namespace, to DNS and to
/// the world without the cluster's own networks.
fn policy(index: usize, namespaces: usize) -> String {
    let (namespace, app) = (index % namespaces, index % 7);
    format!(
        r#"{{"kind":"NetworkPolicy","apiVersion":"networking.k8s.io/v1","metadata":{{"name":"policy-{index}","namespace":"tenant-{namespace}","uid":"policy-{index}","resourceVersion":"1","generation":1}},"spec":{{"podSelector":{{"matchLabels":{{"app":"app-{app}"}}}},"policyTypes":["Ingress","Egress"],"ingress":[{{"from":[{{"podSelector":{{"matchLabels":{{"tier":"backend"}}}}}},{{"namespaceSelector":{{"matchLabels":{{"kubernetes.io/metadata.name":"tenant-{}"}}}}}}],"ports":[{{"protocol":"TCP","port":8080}}]}}],"egress":[{{"to":[{{"namespaceSelector":{{"matchLabels":{{"kubernetes.io/metadata.name":"tenant-0"}}}}}}],"ports":[{{"protocol":"UDP","port":53}},{{"protocol":"TCP","port":53}}]}},{{"to":[{{"ipBlock":{{"cidr":"0.0.0.0/0","except":["169.254.169.254/32"]}}}}],"ports":[{{"protocol":"TCP","port":443}}]}}]}}}}"#,
        namespace / 100 * 100
    )
}

/// `tenant-0` has pods on `node-0`. Either side names two groups: half of its peers change.
fn wide_policy(side: usize) -> String {
    format!(
        r#"{{"kind":"NetworkPolicy","apiVersion":"networking.k8s.io/v1","metadata":{{"name":"wide","namespace":"tenant-0","uid":"wide","resourceVersion":"1","generation":1}},"spec":{{"podSelector":{{}},"policyTypes":["Ingress"],"ingress":[{{"from":[{{"namespaceSelector":{{"matchLabels":{{"group":"g{}"}}}}}}]}}]}}}}"#,
        side + 1
    )
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments {
        podgate: "target/release/podgate".into(),
        pods: 200_000,
        namespaces: 20_000,
        policies: 30_000,
        services: 20_000,
        seconds: 30,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--podgate" => arguments.podgate = value.into(),
            "--pods" => arguments.pods = value.parse()?,
            "--namespaces" => arguments.namespaces = value.parse()?,
            "--policies" => arguments.policies = value.parse()?,
            "--services" => arguments.services = value.parse()?,
            "--seconds" => arguments.seconds = value.parse()?,
            other => bail!("unknown argument {other}"),
        }
    }
    Ok(arguments)
}

fn bail_unless_alone() -> Result<()> {
    let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if !up.success() {
        bail!("loopback can't be brought up: run it as root");
    }
    let links = std::process::Command::new("ip").args(["-o", "link"]).output()?.stdout;
    if String::from_utf8_lossy(&links).lines().any(|line| line.contains("eth")) {
        bail!("this network namespace has other interfaces: run it with `unshare --net`");
    }
    Ok(())
}
