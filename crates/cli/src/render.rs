//! From results to text: one module for each form.

pub mod csv;
pub mod diff;
pub mod expectations;
pub mod exposure;
pub mod findings;
pub mod flow_line;
pub mod graph;
pub mod manifest;
pub mod matrix;
pub mod npguard;
pub mod npguard_diff;
pub mod npguard_exposure;
pub mod observe;
pub mod probe_json;
pub mod probe_junit;
pub mod reach;
pub mod replay;
pub mod sarif;
pub mod score;
pub mod status;
pub mod story;
pub mod suggest;
pub mod truth_table;
pub mod why;

use podgate_lab::probe::{Cell, Expectation, Measured, ProbeReport};

/// Prints a rendered answer on standard output.
pub fn print(text: &str) {
    crate::style::line(text.trim_end_matches('\n'));
}

/// `shop/web-0 -> shop/db-0 TCP 5432 (IPv4)`.
pub fn attempt(report: &ProbeReport, cell: &Cell) -> String {
    let target = &report.targets[cell.to];
    let family = if cell.target_ip.is_ipv4() { "IPv4" } else { "IPv6" };
    format!("{} -> {} {} ({family})", report.sources[cell.from].name, target.name, target.port_text())
}

/// What policy expects, and the policies and rules that say so.
pub fn expectation(cell: &Cell) -> String {
    let word = expectation_word(cell.expected.verdict);
    let ways = cell.expected.possible.iter().map(|way| {
        let why = format!("egress {}; ingress {}", way.egress.reason, way.ingress.reason);
        match cell.expected.possible.len() {
            1 => why,
            _ => format!("{} {}: {why}", way.answers, verdict_word(way.verdict)),
        }
    });
    format!("{word} ({})", ways.collect::<Vec<_>>().join(" | "))
}

/// What was measured, in words.
pub fn measurement(measured: &Measured) -> String {
    match measured {
        Measured::Reached { by: None } => "reached".to_owned(),
        Measured::Reached { by: Some(pod) } => format!("reached {pod}"),
        Measured::Dropped => "no answer".to_owned(),
        Measured::Failed { error } => format!("failed: {error}"),
    }
}

pub fn expectation_word(expectation: Expectation) -> &'static str {
    match expectation {
        Expectation::Allowed => "allowed",
        Expectation::Denied => "denied",
        Expectation::Depends => "depends",
    }
}

pub fn verdict_word(verdict: podgate_policy::Verdict) -> &'static str {
    match verdict {
        podgate_policy::Verdict::Allowed => "allowed",
        podgate_policy::Verdict::Denied => "denied",
    }
}

#[cfg(test)]
pub mod fixture;
