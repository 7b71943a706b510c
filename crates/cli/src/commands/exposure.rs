//! `podgate exposure`: what is open, to whom.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_analysis::exposure::Exposure;
use podgate_analysis::npguard;
use podgate_analysis::reach::Question;

use crate::input::{ManifestArguments, Staging, answered};
use crate::outcome::{FINE, Outcome};
use crate::{output, render};

/// What is open: to the internet, to the whole cluster, to pods that don't exist yet; and what no policy
/// protects.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifests: files, directories, `-` for standard input; the current directory when none is named.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// JSON: docs/schema/exposure.schema.json.
    Json,
    /// The same as YAML.
    Yaml,
    /// Markdown.
    Md,
    /// A line for each finding.
    Csv,
    /// np-guard's text, as of its `list --exposure`.
    Npguard,
    /// np-guard's JSON.
    NpguardJson,
    /// np-guard's CSV.
    NpguardCsv,
    /// np-guard's Markdown.
    NpguardMd,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let loaded = arguments.manifests.load(&arguments.paths)?;
    let broken = loaded.has_errors();
    let world = arguments.manifests.world(loaded, true, &arguments.staging)?;
    let exposure = Exposure::new(&world);
    match arguments.output {
        Form::Text => {
            let most = if arguments.all_names { usize::MAX } else { render::reach::MOST_NAMES };
            render::print(&render::exposure::text(&exposure, most));
        }
        Form::Json => output::json(&exposure)?,
        Form::Yaml => output::yaml(&exposure)?,
        Form::Md => render::print(&render::exposure::markdown(&exposure)),
        Form::Csv => render::print(&render::exposure::csv(&exposure)),
        Form::Npguard | Form::NpguardJson | Form::NpguardCsv | Form::NpguardMd => {
            let lines = npguard::lines(&world, &Question::default());
            let exposed = npguard::exposure(&exposure, &lines);
            match arguments.output {
                Form::NpguardJson => output::json(&render::npguard_exposure::Json::new(&lines, &exposed))?,
                Form::NpguardCsv => render::print(&render::npguard_exposure::csv(&lines, &exposed)),
                Form::NpguardMd => render::print(&render::npguard_exposure::markdown(&lines, &exposed)),
                _ => render::print(&render::npguard_exposure::text(&lines, &exposed)),
            }
        }
    }
    Ok(answered(FINE, broken))
}
