//! What the datapath costs, as Markdown: CPU time per operation against no policy, conntrack only and
//! nftables; and the time from a changed object to a kernel that judges by it. Needs root.
//!
//! `datapath-report [--quick] [--telling] [ROUNDS]`: 9 rounds unless told otherwise. With `--telling`, only what it
//! costs to tell more of traffic than events.

mod compare;
mod cpu;
mod net;
mod publish;
mod ruleset;
mod show;
mod traffic;

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use podgate_bench::Tenants;

use crate::compare::Effort;

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == traffic::SERVE) {
        return traffic::serve();
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let only_telling = arguments.iter().any(|argument| argument == "--telling");
    arguments.retain(|argument| argument != "--quick" && argument != "--telling");
    let rounds = match arguments.first() {
        Some(text) => text.parse().with_context(|| format!("not a number of rounds: {text}"))?,
        None if quick => 1,
        None => 9,
    };
    net::isolate()?;
    let all_local = Tenants { namespaces: 1000, pods: 10, policies: 10_000, nodes: 1 };
    let many = Tenants { namespaces: 1000, pods: 100, policies: 10_000, nodes: 1000 };
    let (effort, cluster, repetitions) = if quick {
        let tenants = Tenants { namespaces: 100, ..all_local };
        let effort =
            Effort { rounds, time: Duration::from_millis(20), sizes: vec![10, 1000], tenants, only_telling };
        (effort, Tenants { namespaces: 100, policies: 1000, nodes: 100, ..many }, 20)
    } else {
        let sizes = if only_telling { vec![1000] } else { vec![10, 1000, 10_000] };
        let time = Duration::from_millis(300);
        (Effort { rounds, time, sizes, tenants: all_local, only_telling }, many, 300)
    };
    let out = &mut io::stdout().lock();
    writeln!(out, "Load average before: {}. {rounds} rounds.\n", load_average()?)?;
    compare::run(&effort, out)?;
    if !only_telling {
        publish::run(&cluster, repetitions, out)?;
    }
    writeln!(out, "Load average after: {}.", load_average()?)?;
    Ok(())
}

fn load_average() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("read the load average")?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}
