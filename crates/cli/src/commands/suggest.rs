//! `podgate suggest`: policies for manifests that have none.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_analysis::suggest::{SuggestOptions, Suggestion};

use crate::input::{ManifestArguments, answered};
use crate::outcome::{FINE, Failure, Outcome};
use crate::render::{manifest, suggest as render};
use crate::{output, style};

/// Suggest NetworkPolicies for manifests: default-deny for each namespace, and what each workload needs.
///
/// What is needed is read from Services, declared ports, Ingresses, Gateway API routes, and the hosts that
/// containers are told of by environment, arguments and ConfigMaps. Policies of the input have no part in it.
/// The engine checks the result before it is printed. What the manifests don't tell is said in comments: read
/// them, `podgate reach` the result, then apply it.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifests: files, directories, `-` for standard input; the current directory when none are named.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    manifests: ManifestArguments,
    /// Only for this namespace; may be given several times. By default all but those that Kubernetes runs in.
    #[arg(long = "only", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// How to print the suggestion: yaml and json can be applied.
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Yaml,
    Json,
    Text,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let loaded = arguments.manifests.load(&arguments.paths)?;
    let broken = loaded.has_errors();
    let world = arguments.manifests.world_options(false)?;
    let options = SuggestOptions { namespaces: arguments.namespaces.clone() };
    let suggestion = Suggestion::new(loaded.objects, &world, &options);
    if !suggestion.differences.is_empty() {
        return Err(wrong(&suggestion));
    }
    if suggestion.policies.is_empty() {
        suggestion.notes.iter().for_each(|note| style::note(note));
        return Err(Failure::bad(
            "no workload in the input that policies could protect: name manifests with Pods or what makes them",
        ));
    }
    match arguments.output {
        Output::Yaml => output::raw(suggestion.to_yaml().as_bytes())?,
        Output::Json => {
            output::json(&manifest::list(suggestion.policies.iter().map(|policy| policy.document().policy)))?;
            // JSON has no comments.
            suggestion.notes.iter().for_each(|note| style::note(&format!("note: {note}")));
        }
        Output::Text => render::text(&suggestion),
    }
    Ok(answered(FINE, broken))
}

fn wrong(suggestion: &Suggestion) -> Failure {
    const MOST: usize = 5;
    let shown: Vec<&str> = suggestion.differences.iter().take(MOST).map(String::as_str).collect();
    Failure::bad(format!(
        "the engine does not agree with the suggestion, which is a mistake of podgate: please report it\n  {}",
        shown.join("\n  ")
    ))
}
