//! `podgate replay`: what candidate policies would do to flows that were seen.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_advise::{Judge, Replay};
use podgate_api::{Loaded, Object};

use crate::input::flows::FlowArguments;
use crate::input::{self, ManifestArguments, answered};
use crate::outcome::{FINDINGS, FINE, Outcome};
use crate::{output, render};

/// What candidate policies would cut and open of the flows that were seen.
///
/// The engine judges each flow again, with the pods as they were: by the addresses that pods had, ports after
/// Service translation, and labels from the cluster's objects or, where a pod is gone, from the record. What can't be
/// judged is told apart. The exit code is 1 when something would be cut.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The candidate policies: files, directories, `-` for standard input.
    #[arg(value_name = "CANDIDATE", required = true)]
    candidates: Vec<PathBuf>,
    #[command(flatten)]
    flows: FlowArguments,
    /// The cluster's objects that the candidate is applied to (-f, --cluster, --git).
    #[command(flatten)]
    manifests: ManifestArguments,
    /// Judge by the candidate's policies alone: those of the cluster's objects are gone.
    #[arg(long)]
    replace: bool,
    /// End with exit code 1 on these changes only. May be given several times [default: cut].
    #[arg(long, value_enum, value_name = "CHANGE", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Something that was let through would be denied.
    Cut,
    /// Something that was denied would be let through.
    Opened,
    /// Something can't be judged.
    Unjudged,
    /// Nothing: the answer is for reading.
    Never,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// JSON: docs/schema/replay.schema.json.
    Json,
    /// The same as YAML.
    Yaml,
    /// Markdown for a pull request's comment.
    Md,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let candidate = arguments.manifests.load_only(&arguments.candidates)?;
    let base = arguments.manifests.load_named()?.unwrap_or_default();
    let broken = candidate.has_errors() || base.has_errors();
    let objects = together(base, candidate, arguments.replace);
    let seen = arguments.flows.read(&objects)?;
    let settings = arguments.manifests.world_options(false)?.settings;
    let replay = Replay::new(&seen, &mut Judge::new(objects, settings, &seen));
    match arguments.output {
        Form::Text => render::print(&render::replay::text(&replay)),
        Form::Json => output::json(&replay)?,
        Form::Yaml => output::yaml(&replay)?,
        Form::Md => render::print(&render::replay::markdown(&replay)),
    }
    let is_met = |on: &FailOn| match on {
        FailOn::Cut => !replay.cut.is_empty(),
        FailOn::Opened => !replay.opened.is_empty(),
        FailOn::Unjudged => !replay.unjudged.is_empty(),
        FailOn::Never => false,
    };
    let on = if arguments.fail_on.is_empty() { &[FailOn::Cut][..] } else { &arguments.fail_on };
    Ok(answered(if on.iter().any(is_met) { FINDINGS } else { FINE }, broken))
}

/// The cluster's objects with the candidate on top.
fn together(mut base: Loaded, candidate: Loaded, replace: bool) -> Vec<Object> {
    base.objects = podgate_advise::without_staged(base.objects);
    if replace {
        base.objects.retain(|object| !matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_)));
    }
    input::on_top(base, candidate).objects
}
