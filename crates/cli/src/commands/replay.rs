//! `podgate replay`: what candidate policies would do to flows that were seen.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use podgate_advise::score::{Prediction, Score};
use podgate_advise::{Judge, Replay, second};
use podgate_api::{Loaded, Object};

use crate::input::flows::FlowArguments;
use crate::input::{self, ManifestArguments, answered};
use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::{output, render, style};

/// What candidate policies would cut and open of the flows that were seen.
///
/// The engine judges each flow again, with the pods as they were: by the addresses that pods had, ports after
/// Service translation, and labels from the cluster's objects or, where a pod is gone, from the record. What can't be
/// judged is told apart. The exit code is 1 when something would be cut.
///
/// With --score nothing is judged: what an earlier replay predicted (its -o json) is held against the flows since its
/// policies were enforced. The exit code is 1 when something predicted did not happen, or something else did.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The candidate policies: files, directories, `-` for standard input.
    #[arg(value_name = "CANDIDATE", required_unless_present = "score")]
    candidates: Vec<PathBuf>,
    /// Hold an earlier replay against what happened since: the file that `podgate replay -o json` wrote. Say with --since
    /// from when on its policies were enforced.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["candidates", "replace"])]
    score: Option<PathBuf>,
    #[command(flatten)]
    flows: FlowArguments,
    /// The cluster's objects that the candidate is applied to (-f, --cluster, --git).
    #[command(flatten)]
    manifests: ManifestArguments,
    /// Judge by the candidate's policies alone: those of the cluster's objects are gone.
    #[arg(long)]
    replace: bool,
    /// End with exit code 1 on these changes only. May be given several times [default: cut; with --score missed,surprise].
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
    /// With --score: something that was predicted did not happen.
    Missed,
    /// With --score: something was cut or opened that was not predicted.
    Surprise,
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
    match &arguments.score {
        Some(path) => score(arguments, path),
        None => replay(arguments),
    }
}

fn replay(arguments: &Arguments) -> Outcome {
    let on = arguments.fail_on(&[FailOn::Cut], &[FailOn::Missed, FailOn::Surprise])?;
    let candidate = arguments.manifests.load_only(&arguments.candidates)?;
    let base = arguments.manifests.load_named()?.unwrap_or_default();
    let broken = candidate.has_errors() || base.has_errors();
    let objects = together(base, candidate, arguments.replace);
    let seen = arguments.flows.seen(&objects)?;
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
        FailOn::Never | FailOn::Missed | FailOn::Surprise => false,
    };
    Ok(answered(if on.iter().any(is_met) { FINDINGS } else { FINE }, broken))
}

fn score(arguments: &Arguments, path: &Path) -> Outcome {
    let on = arguments
        .fail_on(&[FailOn::Missed, FailOn::Surprise], &[FailOn::Cut, FailOn::Opened, FailOn::Unjudged])?;
    let wrong = |what: String| Failure::bad(format!("--score {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let prediction: Prediction = serde_json::from_str(&text).map_err(|error| {
        wrong(format!("no replay: {error}; make one with `podgate replay CANDIDATE -o json > FILE`"))
    })?;
    let loaded = arguments.manifests.load_named()?.unwrap_or_default();
    let seen = arguments.flows.seen(&loaded.objects)?;
    let score = Score::new(&prediction, &seen);
    match arguments.output {
        Form::Text => render::print(&render::score::text(&score)),
        Form::Json => output::json(&score)?,
        Form::Yaml => output::yaml(&score)?,
        Form::Md => render::print(&render::score::markdown(&score)),
    }
    if let (Some(before), Some(since)) = (score.predicted_from, score.window)
        && since.first <= before.last
    {
        style::warning(&format!(
            "flows from {} on are held against a replay of flows up to {}: say with --since from when on its policies \
             were enforced",
            second(since.first),
            second(before.last)
        ));
    }
    let is_met = |on: &FailOn| match on {
        FailOn::Missed => score.has_missed(),
        FailOn::Surprise => score.has_surprises(),
        FailOn::Cut | FailOn::Opened | FailOn::Unjudged | FailOn::Never => false,
    };
    Ok(answered(if on.iter().any(is_met) { FINDINGS } else { FINE }, loaded.has_errors()))
}

impl Arguments {
    /// What ends with exit code 1. Refuses what this way of asking can never find.
    fn fail_on<'a>(&'a self, usual: &'a [FailOn], others: &[FailOn]) -> Result<&'a [FailOn], Failure> {
        let Some(other) = self.fail_on.iter().find(|on| others.contains(on)) else {
            return Ok(if self.fail_on.is_empty() { usual } else { &self.fail_on });
        };
        let name = other.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        Err(Failure::bad(match self.score {
            Some(_) => format!("--fail-on {name}: a score finds missed and surprise"),
            None => {
                format!("--fail-on {name}: only --score finds it; a replay finds cut, opened and unjudged")
            }
        }))
    }
}

/// The cluster's objects with the candidate on top.
fn together(mut base: Loaded, candidate: Loaded, replace: bool) -> Vec<Object> {
    base.objects = podgate_advise::without_staged(base.objects);
    if replace {
        base.objects.retain(|object| !matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_)));
    }
    input::on_top(base, candidate).objects
}
