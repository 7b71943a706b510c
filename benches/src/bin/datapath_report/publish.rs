//! From an object that changed to a kernel that judges by it.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podgate_api::Object;
use podgate_bench::{Change, Step, Tenants};
use podgate_datapath::{BpfDatapath, Datapath};
use podgate_policy::Cluster;

use crate::compare::{addresses, compile, options};
use crate::net;
use crate::show::{Table, grouped, median, micros, quantile};
use crate::traffic::passes;

/// Addresses of the server's namespace that no pod has to begin with.
const EXTRA: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);

/// Ports of [`Tenants::INNER`], which the server takes: the client's side alone decides.
const TO_GOLD: u16 = 7100;
const ADDED: u16 = 7200;
const EDITED: [u16; 2] = [7300, 7301];

const DENIED_WITHIN: Duration = Duration::from_millis(20);
const ALLOWED_WITHIN: Duration = Duration::from_secs(1);

/// A change, and the connection that it makes possible.
struct Case {
    change: Change,
    opens: SocketAddr,
}

#[derive(Default)]
struct Times {
    engine: Vec<f64>,
    publish: Vec<f64>,
    total: Vec<f64>,
}

struct Live {
    cluster: Cluster,
    datapath: BpfDatapath,
}

/// Measures and prints the table.
pub fn run(tenants: &Tenants, repetitions: usize, out: &mut impl Write) -> Result<()> {
    let (IpAddr::V4(client), IpAddr::V4(server)) = addresses(tenants)? else {
        anyhow::bail!("the cluster has no IPv4 addresses")
    };
    let _net = net::Net::new(client, &[server, EXTRA])?;
    let mut objects = tenants.generate();
    let to_gold = Tenants::may_call("front-gold", &[("tier", "gold")], TO_GOLD);
    let to_old = Tenants::may_call("front-edited", &[("app", "back")], EDITED[0]);
    objects.extend([to_gold, to_old].map(Object::NetworkPolicy));
    let local = objects
        .iter()
        .filter(|object| matches!(object, Object::Pod(pod) if pod.node.as_deref() == Some(Tenants::NODE)));
    let local = local.count();
    let (cluster, state) = compile(&objects);
    let mut datapath = BpfDatapath::open(options()?)?;
    let start = Instant::now();
    let report = datapath.publish_full(&cluster, &state)?;
    let full = start.elapsed();
    ensure!(report.is_complete(), "the kernel's tables are too small");
    let size = cluster.size();
    let mut live = Live { cluster, datapath };

    writeln!(out, "### From a changed object to the kernel, µs\n")?;
    writeln!(
        out,
        "{} pods, {} policies, {} classes; {local} pods on this node. The first full publication takes {} ms.\n",
        grouped(size.pods as f64),
        grouped(size.policies as f64),
        grouped(size.classes as f64),
        grouped(full.as_secs_f64() * 1e3),
    )?;
    let titles = ["engine p50", "engine p99", "publish p50", "publish p99", "in force p50", "in force p99"];
    let mut table = Table::new(out, "event", &titles)?;
    for case in cases(server) {
        let (mut there, mut back) = (Times::default(), Times::default());
        for repetition in 0..repetitions {
            let probe_denied = repetition % 10 == 0;
            if probe_denied {
                ensure!(!passes(case.opens, DENIED_WITHIN)?, "before {}: allowed already", case.change.name);
            }
            live.settle()?;
            live.timed(&case.change.there, &mut there)?;
            let name = case.change.name;
            ensure!(passes(case.opens, ALLOWED_WITHIN)?, "{name}: published, and not in force");
            live.settle()?;
            live.timed(&case.change.back, &mut back)?;
            if probe_denied {
                ensure!(!passes(case.opens, DENIED_WITHIN)?, "{name}, undone: published, and not in force");
            }
        }
        table.row(case.change.name, there.cells())?;
        table.row("– undone", back.cells())?;
    }
    let mut waiting = Times::default();
    for case in cases(server).iter().take(1) {
        for _ in 0..repetitions.div_ceil(2) {
            live.timed(&case.change.there, &mut waiting)?;
            live.timed(&case.change.back, &mut waiting)?;
        }
        table.row(&format!("{}, right after another change", case.change.name), waiting.cells())?;
    }
    writeln!(out)?;
    Ok(())
}

fn cases(server: Ipv4Addr) -> Vec<Case> {
    let apply = |object: Object| Step::Apply(Box::new(object));
    let added = |name, object: Object, opens: (Ipv4Addr, u16)| {
        let back = Step::Delete(object.key());
        Case { change: Change { name, there: apply(object), back }, opens: opens.into() }
    };
    let extra =
        |node: &str, labels: &[(&str, &str)]| Object::Pod(Tenants::extra("extra", node, EXTRA, labels));
    let back = [("app", "back")];
    let edited = |port| apply(Object::NetworkPolicy(Tenants::may_call("front-edited", &back, port)));
    let policy = Object::NetworkPolicy(Tenants::may_call("added", &back, ADDED));
    vec![
        added(
            "a pod of a known class starts on this node",
            extra(Tenants::NODE, &back),
            (EXTRA, Tenants::PORT),
        ),
        added(
            "a pod of a known class starts on another node",
            extra("node-1", &back),
            (EXTRA, Tenants::PORT),
        ),
        added(
            "a pod of a new class starts on this node",
            extra(Tenants::NODE, &[("app", "back"), ("tier", "gold")]),
            (EXTRA, TO_GOLD),
        ),
        Case {
            change: Change {
                name: "a policy's port is edited",
                there: edited(EDITED[1]),
                back: edited(EDITED[0]),
            },
            opens: (server, EDITED[1]).into(),
        },
        added("a policy is added", policy, (server, ADDED)),
    ]
}

impl Live {
    fn settle(&mut self) -> Result<()> {
        while !self.datapath.settle()? {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn timed(&mut self, step: &Step, times: &mut Times) -> Result<()> {
        let step = step.clone();
        let start = Instant::now();
        let delta = step.run(&mut self.cluster);
        let engine = start.elapsed();
        let report = self.datapath.publish(&self.cluster, &delta).context("publish")?;
        let total = start.elapsed();
        ensure!(report.is_complete() && !delta.is_empty(), "an event changed nothing, or found no room");
        times.engine.push(micros(engine));
        times.publish.push(micros(total - engine));
        times.total.push(micros(total));
        Ok(())
    }
}

impl Times {
    fn cells(&self) -> Vec<String> {
        let both = |values: &[f64]| [median(values), quantile(values, 0.99)];
        [&self.engine, &self.publish, &self.total]
            .into_iter()
            .flat_map(|values| both(values))
            .map(|value| if value < 100.0 { format!("{value:.1}") } else { grouped(value) })
            .collect()
    }
}
