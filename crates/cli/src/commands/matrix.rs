//! `podgate matrix`: a truth table of who reaches whom.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_analysis::matrix::Matrix;

use super::reach::QuestionArguments;
use crate::input::{ManifestArguments, Staging, answered};
use crate::outcome::{FINE, Outcome};
use crate::{output, render};

/// More workloads than this are put together where they are alike.
const MOST_LINES: usize = 40;

/// A truth table of who reaches whom.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifests: files, directories, `-` for standard input; the current directory when none is named.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    question: QuestionArguments,
    /// Put workloads together that are alike; what a table of more than 40 workloads does by itself.
    #[arg(long)]
    grouped: bool,
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
    /// JSON: docs/schema/matrix.schema.json.
    Json,
    /// The same as YAML.
    Yaml,
    /// A line for each source.
    Csv,
    /// A Markdown table.
    Md,
    /// A page that needs nothing else.
    Html,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let loaded = arguments.manifests.load(&arguments.paths)?;
    let broken = loaded.has_errors();
    let world = arguments.manifests.world(loaded, false, &arguments.staging)?;
    let question = arguments.question.resolve(&world, &arguments.manifests.namespace)?;
    let grouped = arguments.grouped || world.variants.len() > MOST_LINES;
    let matrix = Matrix::new(&world, &question, grouped);
    match arguments.output {
        Form::Text => render::print(&render::matrix::text(&matrix)),
        Form::Json => output::json(&matrix)?,
        Form::Yaml => output::yaml(&matrix)?,
        Form::Csv => render::print(&render::matrix::csv(&matrix)),
        Form::Md => render::print(&render::matrix::markdown(&matrix)),
        Form::Html => render::print(&render::matrix::html(&matrix)),
    }
    Ok(answered(FINE, broken))
}
