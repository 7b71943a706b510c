//! `podgate graph`: a picture of who reaches whom.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_analysis::graph::Graph;

use super::reach::QuestionArguments;
use crate::input::{ManifestArguments, Staging, answered};
use crate::outcome::{FINE, Outcome};
use crate::{output, render};

/// A picture of who reaches whom: SVG or a page to look at, or a graph for Graphviz and Mermaid.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifests: files, directories, `-` for standard input; the current directory when none is named.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    question: QuestionArguments,
    /// The form of the picture.
    #[arg(short, long, value_enum, default_value_t = Form::Svg, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    manifests: ManifestArguments,
    #[command(flatten)]
    staging: Staging,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// A picture that needs nothing else.
    Svg,
    /// A page that needs nothing else; pointing at a workload shows its connections alone.
    Html,
    /// For Graphviz.
    Dot,
    /// For Markdown.
    Mermaid,
    /// The parts of the picture: docs/schema/graph.schema.json.
    Json,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let loaded = arguments.manifests.load(&arguments.paths)?;
    let broken = loaded.has_errors();
    let world = arguments.manifests.world(loaded, false, &arguments.staging)?;
    let question = arguments.question.resolve(&world, &arguments.manifests.namespace)?;
    let graph = Graph::new(&world, &question);
    match arguments.output {
        Form::Svg => render::print(&render::graph::svg(&graph)),
        Form::Html => render::print(&render::graph::html(&graph)),
        Form::Dot => render::print(&render::graph::dot(&graph)),
        Form::Mermaid => render::print(&render::graph::mermaid(&graph)),
        Form::Json => output::json(&graph)?,
    }
    Ok(answered(FINE, broken))
}
