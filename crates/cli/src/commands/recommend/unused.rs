//! `podgate recommend unused`: rules that nothing used, and rules that allow more than was used.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_advise::unused::{RuleUse, Usage};

use crate::input::flows::FlowArguments;
use crate::input::{ManifestArguments, answered, count};
use crate::outcome::{FINDINGS, FINE, Outcome};
use crate::render::replay::lost;
use crate::style::{BOLD, FAINT};
use crate::{output, style};

/// Rules of NetworkPolicies that no connection of the window matched, and rules that allow more than was used.
///
/// The engine says which rules each connection matches, by the policies of the input. What happens less often than the
/// window is long looks unused: read the window before you remove anything. From an archive (--flows) the kernel's exact
/// totals count as well: they know which rule decided where records got lost. The exit code is 1 when there is such a
/// rule.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's objects with its policies: files, directories, `-` for standard input; the current directory when
    /// none are named.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    flows: FlowArguments,
    #[command(flatten)]
    manifests: ManifestArguments,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Yaml,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let loaded = arguments.manifests.load(&arguments.paths)?;
    let broken = loaded.has_errors();
    let seen = arguments.flows.seen(&loaded.objects)?;
    let settings = arguments.manifests.world_options(false)?.settings;
    let usage = Usage::new(loaded.objects, &seen, &arguments.flows.minutes()?, settings);
    match arguments.output {
        Output::Text => text(&usage),
        Output::Json => output::json(&usage)?,
        Output::Yaml => output::yaml(&usage)?,
    }
    let is_fine = usage.unused.is_empty() && usage.broad.is_empty();
    Ok(answered(if is_fine { FINE } else { FINDINGS }, broken))
}

fn text(usage: &Usage) {
    if !usage.unused.is_empty() {
        style::line(&format!("{BOLD}Used by nothing that was seen{BOLD:#}"));
        for RuleUse { rule, at, .. } in &usage.unused {
            style::line(&format!("  {rule}  {FAINT}{at}{FAINT:#}"));
        }
    }
    if !usage.broad.is_empty() {
        style::line(&format!("{BOLD}Allows more than was used{BOLD:#}"));
        for one in &usage.broad {
            style::line(&format!("  {}  {FAINT}{}{FAINT:#}", one.rule, one.at));
            style::line(&format!("      {}", one.more.join(", ")));
            style::line(&format!(
                "      {FAINT}used by {} on {}, {} connections{FAINT:#}",
                one.peers.join(", "),
                one.ports.join(", "),
                one.connections
            ));
        }
    }
    style::line(&format!(
        "{} unused, {} too broad, {} as used",
        usage.unused.len(),
        usage.broad.len(),
        usage.fitting
    ));
    let window = match usage.window {
        Some(window) => window.to_string(),
        None => "no time at all".to_owned(),
    };
    let totals = match usage.minutes {
        0 => String::new(),
        minutes => format!(" and {} of exact totals", count(minutes as usize, "minute")),
    };
    style::line(&format!(
        "{FAINT}{} records{totals}, {window}; {}{FAINT:#}",
        usage.records,
        lost(&usage.lost)
    ));
}
