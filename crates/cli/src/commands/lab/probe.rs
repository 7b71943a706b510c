//! `podgate lab probe`: real connections, beside what policy says of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use podgate_lab::Lab;
use podgate_lab::probe::{self, Families, Options, Selection};

use super::{Name, probe_tests};
use crate::commands::test;
use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::render::truth_table::Layout;
use crate::render::{probe_json, probe_junit, truth_table};
use crate::style;

/// Columns where there is no terminal to ask: a file, a pipe.
const USUAL_WIDTH: usize = 120;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    lab: Name,
    /// How to print the result.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Address families to try.
    #[arg(long, value_enum, default_value_t = Family::Both)]
    family: Family,
    /// Seconds to wait for an answer; what differs from the expectation is tried again, three times as long.
    #[arg(long, default_value_t = 1.0)]
    timeout: f64,
    /// Try from these only: pods, workloads, `namespace/`, nodes or `outside`; can be repeated.
    #[arg(long, value_name = "NAME")]
    from: Vec<String>,
    /// Try to these only: as `--from`, and Services.
    #[arg(long, value_name = "NAME")]
    to: Vec<String>,
    /// The port that is tried although no pod declares it; by default one inside a range that a policy names.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    undeclared: Option<u16>,
    /// A line and a column in the table for each pod, rather than for each workload.
    #[arg(long)]
    pods: bool,
    /// Try what ConnectivityTests name, and compare with what they expect; can be repeated.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "undeclared", "pods"])]
    tests: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Junit,
    /// With --tests.
    Tap,
    /// With --tests.
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Family {
    #[value(name = "4")]
    V4,
    #[value(name = "6")]
    V6,
    Both,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let timeout = Duration::try_from_secs_f64(arguments.timeout)
        .ok()
        .filter(|timeout| (0.01..=60.0).contains(&timeout.as_secs_f64()))
        .ok_or_else(|| Failure::bad("--timeout: use 0.01 to 60 seconds"))?;
    let families = match arguments.family {
        Family::V4 => Families::V4,
        Family::V6 => Families::V6,
        Family::Both => Families::Both,
    };
    let lab = Lab::new(&arguments.lab.name)?;
    if !arguments.tests.is_empty() {
        let report = probe_tests::run(&lab, &arguments.tests, families, timeout)?;
        test::print(
            &report,
            match arguments.output {
                Output::Table => test::Output::Text,
                Output::Json => test::Output::Json,
                Output::Junit => test::Output::Junit,
                Output::Tap => test::Output::Tap,
                Output::Sarif => test::Output::Sarif,
            },
        )?;
        return Ok(if report.failed + report.errors == 0 { FINE } else { FINDINGS });
    }
    if matches!(arguments.output, Output::Tap | Output::Sarif) {
        return Err(for_tests_only());
    }
    let options = Options {
        timeout,
        selection: Selection {
            families,
            from: arguments.from.clone(),
            to: arguments.to.clone(),
            undeclared: arguments.undeclared,
        },
    };
    let report = probe::lab(&lab, &options)?;
    let text = match arguments.output {
        Output::Table => truth_table::text(&report, Layout { width: terminal_width(), pods: arguments.pods }),
        Output::Json => probe_json::text(&report),
        Output::Junit => probe_junit::text(&report),
        Output::Tap | Output::Sarif => return Err(for_tests_only()),
    };
    style::line(text.trim_end());
    Ok(if report.differences().next().is_some() { FINDINGS } else { FINE })
}

fn for_tests_only() -> Failure {
    Failure::bad("--output tap and sarif are for --tests: use table, json or junit")
}

/// Columns of the terminal; `COLUMNS` says otherwise, as it does to shells.
fn terminal_width() -> usize {
    if let Some(columns) = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()) {
        return columns;
    }
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => USUAL_WIDTH,
    }
}
