//! A default deny comes to the running shop, and its users notice nothing.

use std::time::{Duration, Instant};

use podgate_policy::Verdict;

use super::Demo;
use crate::error::{Error, Result};
use crate::load::Route;
use crate::probe::{self, Expectation, Families, Options, ProbeReport, Selection, Wire};

const fn tcp(from: &'static str, to: &'static str, port: u16) -> Route {
    Route { from, to, port, wire: Wire::Tcp }
}

const fn dns(from: &'static str) -> Route {
    Route { from, to: "kube-system/kube-dns", port: 53, wire: Wire::Udp }
}

/// What the shop's users and applications do all day.
pub const ROUTES: [Route; 8] = [
    tcp("outside", "web/frontend", 80),
    dns("web/frontend"),
    tcp("web/frontend", "shop/backend", 80),
    dns("shop/backend"),
    tcp("shop/backend", "data/database", 5432),
    tcp("shop/backend", "shop/payments", 7000),
    dns("shop/payments"),
    tcp("shop/payments", "outside", 443),
];

/// Where the policies of the namespaces are: staged first, then in force.
pub const DEFAULT_DENY: &str = "policies/default-deny.yaml";
/// The default deny, staged.
pub const STAGED: &str = include_str!("../../../../examples/rollout/default-deny-staged.yaml");
/// The default deny, in force.
pub const ENFORCED: &str = super::POLICIES[0].1;
/// Where the recommended policies are.
pub const RECOMMENDED: &str = "policies/recommended.yaml";
/// Where the attacker's pod is.
pub const ATTACKER: (&str, &str) =
    ("attacker.yaml", include_str!("../../../../examples/rollout/attacker.yaml"));
/// The pod of [`ATTACKER`].
pub const ATTACKER_POD: &str = "shop/attacker";

/// What the attacker tries, and what came of it.
#[derive(Debug)]
pub struct Attack {
    /// All attempts, as a probe makes them.
    pub report: ProbeReport,
}

/// How long a pod may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has the attacker's pod appear. Returns when it can connect.
///
/// # Errors
/// When the manifest can't be written, or the pod doesn't come.
pub fn let_attacker_in(demo: &Demo) -> Result<()> {
    let (file, text) = ATTACKER;
    demo.put(file, text)?;
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        // Held while the network is being changed: with it, what the plan says is there.
        let lock = demo.lab().lock()?;
        if demo.lab().plan()?.is_some_and(|plan| plan.pods.iter().any(|pod| pod.key() == ATTACKER_POD)) {
            return Ok(());
        }
        drop(lock);
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Error::message(format!(
        "pod {ATTACKER_POD} did not come: see `podgate lab status --name {}`",
        demo.lab().name()
    )))
}

impl Attack {
    /// Tries all that the shop has, from the attacker's pod.
    ///
    /// # Errors
    /// As [`probe::lab`].
    pub fn new(demo: &Demo) -> Result<Attack> {
        let targets = ["web/frontend", "shop/backend", "shop/payments", "data/database", "outside"];
        let selection = Selection {
            families: Families::V4,
            from: vec![ATTACKER_POD.to_owned()],
            to: targets.map(str::to_owned).to_vec(),
            undeclared: None,
        };
        let options = Options { timeout: Duration::from_millis(500), selection };
        Ok(Attack { report: probe::lab(demo.lab(), &options)? })
    }

    /// Attempts that got through.
    pub fn reached(&self) -> usize {
        self.report
            .cells
            .iter()
            .filter(|cell| matches!(cell.measured, probe::Measured::Reached { .. }))
            .count()
    }

    /// Attempts that the engine denies, each with what denies it.
    pub fn denials(&self) -> impl Iterator<Item = (&probe::Target, String)> {
        let cells = self.report.cells.iter().filter(|cell| cell.expected.verdict == Expectation::Denied);
        cells.filter_map(|cell| {
            let possible = cell.expected.possible.first()?;
            let denies = [("egress", &possible.egress), ("ingress", &possible.ingress)];
            let by: Vec<String> = denies
                .into_iter()
                .filter(|(_, decision)| decision.verdict == Verdict::Denied)
                .map(|(side, decision)| format!("{side} {}", decision.reason))
                .collect();
            Some((&self.report.targets[cell.to], by.join("; ")))
        })
    }
}
