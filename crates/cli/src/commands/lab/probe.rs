//! `podgate lab probe`: real connections, beside what policy says of them.

use std::time::Duration;

use clap::{Args, ValueEnum};
use podgate_lab::Lab;
use podgate_lab::probe::{self, Families, Options, Selection};

use super::Name;
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Junit,
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
    let options = Options {
        timeout,
        selection: Selection {
            families: match arguments.family {
                Family::V4 => Families::V4,
                Family::V6 => Families::V6,
                Family::Both => Families::Both,
            },
            from: arguments.from.clone(),
            to: arguments.to.clone(),
            undeclared: arguments.undeclared,
        },
    };
    let report = probe::lab(&Lab::new(&arguments.lab.name)?, &options)?;
    let text = match arguments.output {
        Output::Table => truth_table::text(&report, Layout { width: terminal_width(), pods: arguments.pods }),
        Output::Json => probe_json::text(&report),
        Output::Junit => probe_junit::text(&report),
    };
    style::line(text.trim_end());
    Ok(if report.differences().next().is_some() { FINDINGS } else { FINE })
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
