//! `podgate doctor`: whether this node can be enforced on.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_agent::doctor::{Finding, Level, Node, examine};

use crate::outcome::{FINDINGS, FINE, Outcome};
use crate::style::{BAD, BOLD, GOOD, WARN};
use crate::{output, render};

/// Whether this node can be enforced on, and what to do where it can't.
///
/// Run it on a node, as root. It changes nothing. Ends with exit code 1 when something keeps policies from being
/// enforced.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the container runtime finds network configurations.
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "DIR")]
    cni_conf_dir: PathBuf,
    /// Where the container runtime finds plugins.
    #[arg(long, default_value = "/opt/cni/bin", value_name = "DIR")]
    cni_bin_dir: PathBuf,
    /// Where the agent pins the kernel's state.
    #[arg(long, default_value = "/sys/fs/bpf/podgate", value_name = "DIR")]
    pin_dir: PathBuf,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// JSON.
    Json,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let findings = examine(&Node {
        cni_conf_dir: arguments.cni_conf_dir.clone(),
        cni_bin_dir: arguments.cni_bin_dir.clone(),
        pin_dir: arguments.pin_dir.clone(),
        ..Node::default()
    });
    match arguments.output {
        Form::Text => render::print(&text(&findings)),
        Form::Json => output::json(&findings)?,
    }
    let is_bad = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if is_bad { FINDINGS } else { FINE })
}

fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let (style, word) = match finding.level {
            Level::Ok => (GOOD, "ok     "),
            Level::Warning => (WARN, "warning"),
            Level::Error => (BAD, "error  "),
        };
        let Finding { check, message, help, .. } = finding;
        out.push_str(&format!("{style}{word}{style:#}  {BOLD}{check:<12}{BOLD:#} {message}\n"));
        if !help.is_empty() {
            out.push_str(&format!("{:22} -> {help}\n", ""));
        }
    }
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let verdict = match (count(Level::Error), count(Level::Warning)) {
        (0, 0) => "this node can be enforced on".to_owned(),
        (0, warnings) => format!("this node can be enforced on, with {warnings} limits to know"),
        (errors, _) => format!("{errors} things to mend before policies are enforced here"),
    };
    out.push_str(&verdict);
    out.push('\n');
    out
}
