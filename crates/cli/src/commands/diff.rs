//! `podgate diff`: what changes between two sets of manifests.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_advise::without_staged;
use podgate_analysis::World;
use podgate_analysis::diff::{ChangeKind, Diff};
use podgate_analysis::npguard;
use podgate_analysis::reach::Question;
use podgate_api::Loaded;

use crate::input::{self, ManifestArguments, Staging, answered};
use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::{output, render};

/// What changes between two sets of manifests: connections opened and closed, each with the rule that caused
/// it.
///
/// Compares two paths, or what the paths hold at a git ref with what they hold now (`--git REF [PATH…]`), or
/// the live cluster with the cluster after the paths are applied (`--cluster PATH…`). With --enforce-staged the new
/// side takes staged policies for enforced; with one path, or with --cluster alone, that is all that differs: what
/// promoting them changes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// OLD and NEW; with --git or --cluster the paths that changed.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// End with exit code 1 when there is such a change. May be given several times.
    #[arg(long, value_enum, value_name = "CHANGE", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// Name every workload of a long list.
    #[arg(long)]
    all_names: bool,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    manifests: ManifestArguments,
    #[command(flatten)]
    staging: Staging,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Some connection is allowed that was not.
    Opened,
    /// Some connection is not allowed any more.
    Closed,
    /// Anything changed.
    Any,
    /// The internet reaches something that it did not reach.
    Exposed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// JSON: docs/schema/diff.schema.json.
    Json,
    /// The same as YAML.
    Yaml,
    /// Markdown for a pull request's comment.
    Md,
    /// A line for each change.
    Csv,
    /// Lines as np-guard prints them.
    Npguard,
    /// np-guard's CSV.
    NpguardCsv,
    /// np-guard's Markdown.
    NpguardMd,
    /// np-guard's DOT.
    NpguardDot,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let (mut old, mut new) = sides(arguments)?;
    let broken = old.has_errors() || new.has_errors();
    old.objects = without_staged(old.objects);
    new.objects = arguments.staging.in_force(new.objects);
    // Two clusters, two processors.
    let (old, new) = std::thread::scope(|scope| {
        let old = scope.spawn(|| world(arguments, old));
        let new = world(arguments, new);
        (old.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), new)
    });
    let (old, new) = (old?, new?);
    let diff = Diff::new(&old, &new);
    let np = || {
        let lines = |world| npguard::lines(world, &Question::default());
        npguard::changes(&lines(&old), &lines(&new), &npguard::names(&old), &npguard::names(&new))
    };
    match arguments.output {
        Form::Text => {
            let most = if arguments.all_names { usize::MAX } else { render::reach::MOST_NAMES };
            render::print(&render::diff::text(&diff, most));
        }
        Form::Json => output::json(&diff)?,
        Form::Yaml => output::yaml(&diff)?,
        Form::Md => render::print(&render::diff::markdown(&diff)),
        Form::Csv => render::print(&render::diff::csv(&diff)),
        Form::Npguard => render::print(&render::npguard_diff::text(&np())),
        Form::NpguardCsv => render::print(&render::npguard_diff::csv(&np())),
        Form::NpguardMd => render::print(&render::npguard_diff::markdown(&np())),
        Form::NpguardDot => render::print(&render::npguard_diff::dot(&old, &new, &np())),
    }
    let code = if arguments.fail_on.iter().any(|on| on.is_met(&diff)) { FINDINGS } else { FINE };
    Ok(answered(code, broken))
}

fn world(arguments: &Arguments, loaded: Loaded) -> Result<World, Failure> {
    Ok(World::new(loaded.objects, &arguments.manifests.world_options(true)?))
}

impl FailOn {
    fn is_met(self, diff: &Diff) -> bool {
        let kind =
            |kinds: [ChangeKind; 2]| diff.connections.iter().any(|change| kinds.contains(&change.kind));
        match self {
            FailOn::Opened => kind([ChangeKind::Opened, ChangeKind::Changed]),
            FailOn::Closed => kind([ChangeKind::Closed, ChangeKind::Changed]),
            FailOn::Any => !diff.is_empty(),
            FailOn::Exposed => !diff.exposed.is_empty(),
        }
    }
}

/// The old and the new input.
fn sides(arguments: &Arguments) -> Result<(Loaded, Loaded), Failure> {
    let Arguments { paths, manifests, staging, .. } = arguments;
    if let Some(reference) = &manifests.git {
        return Ok((manifests.load_at(reference, paths)?, manifests.load_now(paths)?));
    }
    if manifests.cluster {
        let live = manifests.load_cluster()?;
        if staging.enforce_staged && paths.is_empty() {
            return Ok((live.clone(), live));
        }
        let files = manifests.load_now(paths)?;
        return Ok((live.clone(), input::on_top(live, files)));
    }
    match &paths[..] {
        [old, new] if manifests.files.is_empty() => {
            let one = |path: &PathBuf| manifests.load_now(std::slice::from_ref(path));
            Ok((one(old)?, one(new)?))
        }
        _ if staging.enforce_staged => {
            let now = manifests.load_now(paths)?;
            Ok((now.clone(), now))
        }
        _ => Err(Failure::bad(
            "two paths are needed, OLD and NEW; or --git REF to compare with what the paths held there; or \
             --cluster to see what applying the paths would change",
        )),
    }
}
